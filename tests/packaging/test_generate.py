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
    "storm": (("--resolution", "12"), {"storm.vdb"}),
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


# Noise has at most four scales: the finer ones, which are far below a voxel here, would be nearly all of the work. What
# shapes and filled are made of is made once in a process.
GENERATE = """
import functools, runpy, sys
sys.path.insert(0, "data")
import noise
fractal = noise.fractal
noise.fractal = lambda shape, spacing, scales, *more, **named: fractal(shape, spacing, min(scales, 4), *more, **named)
import solids
for name, (solid, half_band) in solids.SOLIDS.items():
    solids.SOLIDS[name] = functools.cache(solid), half_band
for arguments in map(str.split, sys.argv[1:]):
    sys.argv[1:] = arguments
    runpy.run_path("data/generate.py", run_name="__main__")
"""


def generate(root: Path, folder: Path, *calls: str) -> dict[str, bytes]:
    """Calls data/generate.py in one process, each time with arguments and a folder of its own; the files by name."""
    lines = [f"{call} -o {folder / str(number)}" for number, call in enumerate(calls)]
    command = [sys.executable, "-P", "-c", GENERATE, *lines]
    done = subprocess.run(command, cwd=root, capture_output=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("*/*")}


def test_files_are_deterministic_and_load(root, tmp_path):
    """The second time in another order, so that no kind depends on what was made before."""
    calls = [" ".join([kind, *options]) for kind, (options, _) in KINDS.items()]
    first = generate(root, tmp_path / "a", *calls)
    second = generate(root, tmp_path / "b", *calls[::-1])
    for number, (kind, (_, names)) in enumerate(KINDS.items()):
        made = f"{number}/"
        assert {name.removeprefix(made) for name in first if name.startswith(made)} == names
        for name in names:
            assert first[made + name] == second[f"{len(KINDS) - 1 - number}/{name}"]
            grids = neuralvdb.info(tmp_path / "a" / made / name).grids
            assert [grid.name for grid in grids] == GRIDS[kind]
            assert all(grid.active_voxels for grid in grids)
        name = min(names)
        neuralvdb.compress(tmp_path / "a" / made / name, tmp_path / name, CompressSettings(quality="lossless"))


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
    made = generate(root, tmp_path, *(f"cloud --resolution 16 --seed {seed}" for seed in "12"))
    assert made["0/cloud.vdb"] != made["1/cloud.vdb"]
