"""Trains the networks that correct predictions by references, by the recipe in configs/corrections.toml.

python data/train_corrections.py --shots DIR --work DIR [-o neuralvdb/values/lattice/corrections.npz]

Needs neuralvdb (installed), torch and tqdm. DIR of --shots: what `python data/generate.py shots -o DIR` made. Every
shot is compressed under every setting of the recipe; grids that got a reference are learned from. What is compressed
is kept in --work.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tomllib
import torch
from tqdm import tqdm

from neuralvdb.api.jobs import ignore
from neuralvdb.api.shot import FrameSource, ShotSoFar, compressing_frames
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.frame import OpenFrames
from neuralvdb.codec.grid_reference import GridAt
from neuralvdb.fit.pretrain_corrections import ReferredGrid, pretrain_corrections
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import Tree

ROOT = Path(__file__).resolve().parent.parent


def settings_of(entry: dict) -> CompressSettings:
    """The settings of an entry of the recipe."""
    if "quality" in entry:
        return CompressSettings(quality=entry["quality"], verify=False, threads=1)
    return CompressSettings(bounds=(Bound(value=entry["rel_error"], relative=True),), verify=False, threads=1)


def compress_shot(paths: list[Path], archive: Path, settings: CompressSettings) -> None:
    """Writes an archive of one chunk, if it is not there."""
    if not archive.exists():
        sources, shot = [FrameSource(str(path), number) for number, path in enumerate(paths)], ShotSoFar(len(paths))
        with compressing_frames(sources, str(archive), settings, shot, progress=ignore, note=ignore) as task:
            task.work()


def referred_grids(frames: OpenFrames, paths: list[Path]) -> Iterator[ReferredGrid]:
    """Every grid of a shot that has a reference."""
    for position, path in enumerate(paths):
        frame, reader = frames.at(position), VdbReader(path)

        def tree_of(grid: GridAt, position: int = position) -> Tree:
            tree = frames.at(position - grid.before).read(grid.number).tree
            assert tree is not None
            return tree

        for number, reference in frame.index.references.items():
            promise, tree = frame.promise(number), reader.read(number).tree
            assert promise is not None and tree is not None
            yield ReferredGrid(tree, promise, reference.predict(tree, tree_of))


def main() -> None:
    """Trains and writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shots", type=Path, required=True, help="folder of the generated shots")
    parser.add_argument("--work", type=Path, required=True, help="folder in which compressed shots are kept")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "neuralvdb/values/lattice/corrections.npz")
    args = parser.parse_args()
    recipe = tomllib.loads((ROOT / "configs/corrections.toml").read_text())
    args.work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # sums in one order, so that the same recipe gives the same weights
    of_family = defaultdict(list)
    for folder in tqdm(sorted(path for path in args.shots.iterdir() if path.is_dir()), unit="shot"):
        paths = sorted(folder.glob("*.vdb"))
        level_sets_only = folder.name.startswith(tuple(recipe["level_sets_only"]))
        for name, settings in recipe["settings"].items():
            archive = args.work / f"{folder.name}.{name}.neuralvdb"
            compress_shot(paths, archive, settings_of(settings))
            for grid in referred_grids(OpenFrames(ArchiveReader(archive, is_readable)), paths):
                if not level_sets_only or grid.promise.mode.family == "levelset":
                    of_family[grid.promise.mode.family].append(grid)
    arrays = {}
    for family in tqdm(recipe["families"], unit="network"):
        network = pretrain_corrections(of_family[family], recipe["iterations"], recipe["seed"])
        arrays |= {f"{family}.{name}": getattr(network, name) for name in network.__dataclass_fields__}
    np.savez(args.output, **arrays)


if __name__ == "__main__":
    main()
