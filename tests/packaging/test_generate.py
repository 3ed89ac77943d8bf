"""data/generate.py writes volumes that load, and the same ones every time."""

import itertools
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import neuralvdb
from neuralvdb.settings import CompressSettings

tomllib = pytest.importorskip("tomllib")  # Python 3.11
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("torch") is None, reason="torch is absent; data/generate.py needs it"),
]

SOLIDS = ["knot", "vessel", "gear", "machined", "blocks", "drops", "sponge", "julia", "terrain", "eroded", "broken"]
KINDS = {
    "smoke": (("--resolution", "24", "--frames", "2", "--thin"), {"smoke_0001.vdb", "smoke_0002.vdb"}),
    "fire": (("--resolution", "24", "--frames", "2", "--sharp"), {"fire_0001.vdb", "fire_0002.vdb"}),
    "blast": (("--resolution", "24", "--frames", "2"), {"blast_0001.vdb", "blast_0002.vdb"}),
    "dust": (("--resolution", "24", "--frames", "1", "--padding", "0", "--threshold", "0.03"), {"dust_0001.vdb"}),
    "cloud": (("--resolution", "32"), {"cloud.vdb"}),
    "storm": (("--resolution", "20"), {"storm.vdb"}),
    "levelset": (("--resolution", "32"), {"levelset.vdb"}),
    "shapes": (("--resolution", "16", "--half"), {f"shapes_{name}.vdb" for name in SOLIDS}),
    "filled": (("--resolution", "16", "--sharp"), {f"filled_{name}.vdb" for name in SOLIDS}),
    "liquid": (("--resolution", "24", "--frames", "2"), {"liquid_0001.vdb", "liquid_0002.vdb"}),
}
GRIDS = {
    "smoke": ["density", "temperature", "velocity"],
    "fire": ["density", "temperature", "fuel", "flame", "velocity"],
    "blast": ["density", "temperature", "flame", "velocity"],
    "dust": ["density", "velocity"],
    "cloud": ["density"],
    "storm": ["density"],
    "levelset": ["surface"],
    "shapes": ["surface"],
    "filled": ["density"],
    "liquid": ["surface", "velocity"],
}


def generate(root: Path, kind: str, folder: Path, *more: str) -> dict[str, bytes]:
    """The files written, by name."""
    command = [sys.executable, "data/generate.py", kind, "-o", str(folder), *KINDS[kind][0], *more]
    done = subprocess.run(command, cwd=root, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_deterministic_and_load(root, tmp_path, kind):
    first, second = (generate(root, kind, tmp_path / name) for name in "ab")
    assert first.keys() == KINDS[kind][1]
    assert first == second
    for name in first:
        grids = neuralvdb.info(tmp_path / "a" / name).grids
        assert [grid.name for grid in grids] == GRIDS[kind]
        assert all(grid.active_voxels for grid in grids)
    for name in sorted(first)[:2]:
        neuralvdb.compress(tmp_path / "a" / name, tmp_path / f"{name}.neuralvdb", CompressSettings(quality="lossless"))


def made_by(entry: dict) -> set[str]:
    """The files, relative to the corpus, of an entry of configs/corpus.toml."""
    kind = entry["kind"]
    names = [f"{kind}_{frame:04d}" for frame in entry.get("save", ())]
    names = names or ([f"{kind}_{name}" for name in SOLIDS] if kind in ("shapes", "filled") else [kind])
    return {str(Path(entry["output"]) / f"{name}.vdb") for name in names}


@pytest.mark.parametrize("recipe", ["priors.toml", "topology.toml"])
def test_what_is_trained_on_is_in_the_corpus(root, recipe):
    corpus = tomllib.loads((root / "configs/corpus.toml").read_text())["files"]
    made = set().union(*map(made_by, corpus))
    assert sum(map(len, map(made_by, corpus))) == len(made), "two entries write one file"
    named = tomllib.loads((root / "configs" / recipe).read_text())["generated"]
    assert set(named if isinstance(named, list) else itertools.chain(*named.values())) <= made


def test_another_seed_is_another_cloud(root, tmp_path):
    first, second = (generate(root, "cloud", tmp_path / seed, "--seed", seed) for seed in "12")
    assert first != second
