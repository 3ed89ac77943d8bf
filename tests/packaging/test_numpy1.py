"""NumPy 1.26, which the Pythons of Blender 4.5 and of older hosts have: the same bytes as with the newest."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from neuralvdb.vdb import from_dense, write_vdb

ROUND_TRIP = """
import sys
import numpy as np
import neuralvdb
from neuralvdb.settings import Bound
from neuralvdb.vdb import from_dense
source, folder, version = sys.argv[1:]
assert np.__version__.startswith(version), np.__version__
for name, bounds in (("lossless", ()), ("lossy", (Bound(value=0.01, relative=True),))):
    settings = neuralvdb.CompressSettings(quality="lossless", bounds=bounds, effort=1)
    neuralvdb.compress(source, f"{folder}/{name}.neuralvdb", settings)
    neuralvdb.decompress(f"{folder}/{name}.neuralvdb", f"{folder}/{name}.vdb")
box = np.zeros((9, 40, 9), np.float32)
box[4, :, 4] = 1
assert len(from_dense(box, name="line", active=box > 0).tree.leaf) == 5
"""


@pytest.fixture(scope="module")
def numpy1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with NumPy 1.26."""
    folder = tmp_path_factory.mktemp("numpy1")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--only-binary=:all:",
        "--target",
        str(folder),
    ]
    done = subprocess.run([*install, "numpy==1.26.*"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"pip has no NumPy 1.26 for this Python: {done.stderr.strip().splitlines()[-1]}")
    return folder


@pytest.mark.slow
def test_archives_and_volumes_are_the_same_bytes(numpy1, tmp_path):
    source = tmp_path / "fog.vdb"
    waves = np.sin(np.indices((40, 24, 24)).sum(0) / 5).astype(np.float32)
    write_vdb(source, [from_dense(waves, name="fog", active=waves > 0)])
    for path, name, version in ((str(numpy1), "old", "1.26."), (os.environ.get("PYTHONPATH", ""), "new", "2.")):
        folder = tmp_path / name
        folder.mkdir()
        command = [sys.executable, "-P", "-c", ROUND_TRIP, str(source), str(folder), version]
        subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True)
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "old" / name).read_bytes() == (tmp_path / "new" / name).read_bytes(), name
