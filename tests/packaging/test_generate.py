"""data/generate.py writes volumes that load, and the same ones every time."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import neuralvdb

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is absent; data/generate.py needs it")

KINDS = {
    "smoke": (("--resolution", "24", "--frames", "2"), {"smoke_0001.vdb", "smoke_0002.vdb"}),
    "cloud": (("--resolution", "32"), {"cloud.vdb"}),
    "levelset": (("--resolution", "32"), {"levelset.vdb"}),
}
GRIDS = {"smoke": ["density", "temperature", "velocity"], "cloud": ["density"], "levelset": ["surface"]}


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
        neuralvdb.compress(tmp_path / "a" / name, tmp_path / f"{name}.neuralvdb")


def test_another_seed_is_another_cloud(root, tmp_path):
    one, two = (generate(root, "cloud", tmp_path / seed, "--seed", seed) for seed in "12")
    assert one != two
