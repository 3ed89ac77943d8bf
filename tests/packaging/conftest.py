"""The wheel, built once."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    """The wheel of the tree as it is, built with what an earlier build left in .build."""
    missing = [tool for tool in ("cmake", "ninja") if shutil.which(tool) is None]
    missing += [module for module in ("pip", "scikit_build_core", "nanobind") if find_spec(module) is None]
    if missing:
        pytest.skip(f"the wheel cannot be built here: {', '.join(missing)} missing; see tests/setup.sh")
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-build-isolation", "--no-deps", "--quiet", "--wheel-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "pip", "wheel", *options, str(ROOT)], capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    (path,) = folder.glob("*.whl")
    return ZipFile(path)
