"""Readers of other makers, each run by the Python that has it.

NEURALVDB_TEST_PYOPENVDB names a Python with `pyopenvdb` (default: the system's), NEURALVDB_TEST_BPY one with
`bpy` (default: the Python that runs the tests).
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ORACLES = Path(__file__).resolve().parent.parent / "oracles"
PYOPENVDB_PYTHON = os.environ.get("NEURALVDB_TEST_PYOPENVDB") or "/usr/bin/python3"
BPY_PYTHON = os.environ.get("NEURALVDB_TEST_BPY") or sys.executable


@dataclass(frozen=True)
class Oracle:
    """A script of tests/oracles and the Python that runs it."""

    python: str
    script: str
    needs: str

    def run(self, *args: object) -> list | dict:
        """What the script prints as JSON. Skips the test where the script's module cannot be imported."""
        command = [self.python, str(ORACLES / self.script), *map(str, args)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        except FileNotFoundError:
            pytest.skip(f"{self.python} is absent; {self.needs}")
        *_, last = ["", *done.stderr.strip().splitlines()]
        if done.returncode and last.startswith(("ModuleNotFoundError", "ImportError")):
            pytest.skip(f"{last} in {self.python}; {self.needs}")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    @property
    def is_importable(self) -> bool:
        """Whether the script's module can be imported."""
        try:
            self.run()
        except pytest.skip.Exception:
            return False
        return True


def _pyopenvdb(script: str) -> Oracle:
    return Oracle(PYOPENVDB_PYTHON, script, "set NEURALVDB_TEST_PYOPENVDB to a Python with pyopenvdb")


def _bpy(script: str) -> Oracle:
    return Oracle(BPY_PYTHON, script, "set NEURALVDB_TEST_BPY to a Python with bpy 4.5")


@pytest.fixture(scope="session")
def readers() -> dict[str, Oracle]:
    """The readers that are there, by name: OpenVDB 10 of Debian's pyopenvdb, OpenVDB 12 of Blender."""
    both = {"pyopenvdb": _pyopenvdb("read_pyopenvdb.py"), "openvdb12": _bpy("read_bpy.py")}
    return {name: oracle for name, oracle in both.items() if oracle.is_importable}


@pytest.fixture(scope="session")
def makers() -> dict[str, Oracle]:
    """Writers of odd files, by the name of their reader."""
    return {"pyopenvdb": _pyopenvdb("make_odd.py"), "openvdb12": _bpy("make_odd.py")}


@pytest.fixture(scope="session")
def dense() -> Oracle:
    """Boxes of a grid through pyopenvdb."""
    return _pyopenvdb("dense_pyopenvdb.py")


@pytest.fixture(scope="session")
def errors() -> Oracle:
    """Errors between two files through OpenVDB 12."""
    return _bpy("errors_bpy.py")


@pytest.fixture(scope="session")
def render() -> Oracle:
    """Pictures by Blender's Cycles."""
    return _bpy("render_bpy.py")
