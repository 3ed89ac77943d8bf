"""The GPU benchmark checks what it measures, from a bare checkout; without a GPU it says so and prints no figure."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neuralvdb.vdb import from_dense, write_vdb

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here; run the benchmark itself"),
]

ROOT = Path(__file__).resolve().parents[2]
BENCHMARKS = ROOT / "tests" / "benchmarks"


def ran(*args: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *map(str, args)], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def bricks(tmp_path_factory) -> Path:
    """Of a small fog: without a GPU kernels are interpreted, or their definitions run."""
    path = tmp_path_factory.mktemp("bricks") / "bricks.npz"
    radius = np.linalg.norm(np.indices((24, 24, 24)) - 11.5, axis=0) + np.random.default_rng(1).random((24, 24, 24))
    fog = np.maximum(0, 1 - radius / 12).astype(np.float32)
    write_vdb(path.with_name("fog.vdb"), [from_dense(fog, name="density", active=fog > 0)])
    done = ran("-P", BENCHMARKS / "gpu_bricks.py", path.with_name("fog.vdb"), "density", path)
    assert done.returncode == 0, done.stderr
    return path


def test_without_a_gpu_there_are_no_figures(bricks):
    done = ran(BENCHMARKS / "gpu.py", bricks)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("no GPU here, so no figures")


@pytest.mark.parametrize(
    ("name", "words"), [("expected", "values by"), ("m.expected", "masks by"), ("0.exact", "states by")]
)
def test_what_is_wrong_ends_it(bricks, tmp_path, name, words):
    with np.load(bricks) as file:
        arrays = dict(file)
    arrays[name][0] += 8
    np.savez(tmp_path / "wrong.npz", **arrays)
    done = ran(BENCHMARKS / "gpu.py", tmp_path / "wrong.npz")
    assert done.returncode != 0
    assert words in done.stderr
    assert done.stdout == ""
