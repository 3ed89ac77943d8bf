"""The types of the compiled modules are what nanobind says of them today, and lie in the package."""

import runpy
from importlib.util import find_spec
from pathlib import Path

import pytest

STUBS = Path(__file__).with_name("make_stubs.py")
MODULES = ("archive._rans", "motion._motion", "topology._topology", "values._lattice", "vdb._bridge", "volume._leaves")


@pytest.mark.skipif(find_spec("nanobind") is None, reason="nanobind is not installed; see tests/setup.sh")
@pytest.mark.parametrize("name", MODULES)
def test_the_stub_is_current(root, name):
    script = runpy.run_path(str(STUBS))
    assert script["MODULES"] == MODULES
    stub = script["path_of"](root / "neuralvdb", name)
    assert stub.read_text() == script["stub"](name), f"run tests/packaging/{STUBS.name} and commit {stub.name}"
