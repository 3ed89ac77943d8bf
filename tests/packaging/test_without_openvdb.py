"""Archives decode to arrays where there is no OpenVDB: in a copy of the package without the bridge."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import neuralvdb

PACKAGES = ["archive", "nets", "topology", "values", "volume", "codec.decode", "codec.frame"]
DECODE = """
import sys, pathlib
import numpy as np
import neuralvdb
from neuralvdb.codec.frame import FrameReader
assert neuralvdb.__file__.startswith(sys.argv[1])
with FrameReader(sys.argv[2]) as frame:
    grid = frame.read(0)
    np.savez(sys.argv[3], values=grid.tree.leaf.values, active=grid.tree.leaf.active)
    if sys.argv[4] == "tensors":
        leaves = frame.leaves(0)
        assert (leaves.masks.numpy() == grid.tree.leaf.active).all()
assert not [name for name in sys.modules if name.startswith("neuralvdb.vdb")]
assert "openvdb" not in pathlib.Path("/proc/self/maps").read_text()
"""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package as it is installed, but for the module that needs libopenvdb."""
    folder = tmp_path_factory.mktemp("bare")
    leave_out = shutil.ignore_patterns("_bridge*", "__pycache__", "*.md")
    shutil.copytree(Path(neuralvdb.__file__).parent, folder / "neuralvdb", ignore=leave_out)
    return folder


def run(bare: Path, code: str, *arguments: object) -> None:
    command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(bare)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_bridge_is_absent_in_the_copy(bare):
    code = (
        "import neuralvdb.errors\ntry:\n    import neuralvdb.vdb\n"
        "except neuralvdb.errors.Unsupported as error:\n    assert 'OpenVDB' in str(error)\n"
        "else:\n    raise SystemExit(1)"
    )
    run(bare, code)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_imports_without_it(bare, name):
    run(bare, f"import neuralvdb.{name}, sys; assert not [n for n in sys.modules if n.startswith('neuralvdb.vdb')]")


@pytest.mark.parametrize(
    "options", [["--lossless"], ["--rel-error", "0.01", "--effort", "0"]], ids=["lossless", "lossy"]
)
def test_an_archive_decodes_without_it(bare, nvdb, sample, tmp_path, options):
    archive, arrays, vdb = tmp_path / "a.neuralvdb", tmp_path / "arrays.npz", tmp_path / "back.vdb"
    for arguments in (["compress", sample, "-o", archive, *options], ["decompress", archive, "-o", vdb]):
        done = nvdb(*arguments)
        assert done.returncode == 0, done.stderr
    run(bare, DECODE, bare, archive, arrays, "tensors")
    import numpy as np

    from neuralvdb.vdb import VdbReader

    tree = VdbReader(vdb).read(0).tree
    with np.load(arrays) as decoded:
        assert decoded["values"].tobytes() == tree.leaf.values.tobytes()
        assert decoded["active"].tobytes() == tree.leaf.active.tobytes()
