"""Writes the types of the compiled modules beside their packages: make_stubs.py [FOLDER], by default the checkout's.

Run it on the installed package after a change of what a compiled module offers, and commit what it writes.
"""

import importlib
import re
import sys
from pathlib import Path

from nanobind.stubgen import StubGen

MODULES = ("archive._rans", "motion._motion", "topology._topology", "values._lattice", "vdb._bridge", "volume._leaves")
_VALUE = re.compile(r"^(\w+: \w+) = .*$", re.MULTILINE)  # of a constant, which may depend on the OpenVDB library


def stub(name: str) -> str:
    """The types of the module neuralvdb.NAME."""
    importlib.import_module("neuralvdb." + name.rpartition(".")[0])
    module = importlib.import_module("neuralvdb." + name)
    generator = StubGen(module)
    generator.put(module)
    return _VALUE.sub(r"\1 = ...", generator.get())


def path_of(package: Path, name: str) -> Path:
    """Where the stub of a module lies."""
    return package / (name.replace(".", "/") + ".pyi")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "neuralvdb"
    for name in MODULES:
        path_of(folder, name).write_text(stub(name))
