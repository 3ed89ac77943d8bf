"""Puts the licences of what a wheel holds besides neuralvdb into it: licences.py WHEEL FOLDER OUT. Needs `wheel`."""

import subprocess
import sys
import tempfile
from importlib.metadata import files
from pathlib import Path

LICENCES = "Apache-2.0 AND BSD-2-Clause AND BSD-3-Clause AND MIT AND MPL-2.0"
SOURCES = """What this wheel holds besides neuralvdb, compiled from unchanged sources:

OpenVDB 10.0.1  https://deb.debian.org/debian/pool/main/o/openvdb/openvdb_10.0.1.orig.tar.xz
oneTBB 2021.8.0 https://deb.debian.org/debian/pool/main/o/onetbb/onetbb_2021.8.0.orig.tar.xz
Blosc 1.21.3    https://deb.debian.org/debian/pool/main/c/c-blosc/c-blosc_1.21.3+ds.orig.tar.xz
LZ4 1.9.4       https://deb.debian.org/debian/pool/main/l/lz4/lz4_1.9.4.orig.tar.gz
nanobind        https://pypi.org/project/nanobind/
"""


def nanobind_licences() -> dict[str, str]:
    """{file in the wheel: text} of nanobind as it is installed here, and of the hash map in it, at its head."""
    texts = {
        path.name: path.read_text() for path in files("nanobind") or () if path.name in ("LICENSE", "robin_hash.h")
    }
    return {"nanobind.txt": texts["LICENSE"], "robin-map.txt": texts["robin_hash.h"].partition("*/")[0] + "*/\n"}


def add_licences(metadata: Path, folder: Path) -> None:
    """Changes an unpacked dist-info."""
    texts = {path.name: path.read_text() for path in folder.iterdir()} | nanobind_licences() | {"SOURCES.txt": SOURCES}
    for name, text in texts.items():
        (metadata / "licenses" / name).write_text(text)
    file = metadata / "METADATA"
    licence = "License-Expression: Apache-2.0\n"
    head, _, tail = file.read_text().partition(licence)
    assert tail, f"{file}: no line {licence}"
    listed = "".join(f"License-File: {name}\n" for name in sorted(texts))
    file.write_text(f"{head}License-Expression: {LICENCES}\n{listed}{tail}")


def main() -> None:
    """Unpacks the wheel, adds the licences of the folder and nanobind's, and packs it in OUT."""
    wheel, folder, out = map(Path, sys.argv[1:])
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run([sys.executable, "-m", "wheel", "unpack", "--dest", scratch, wheel], check=True)
        (tree,) = Path(scratch).iterdir()
        (metadata,) = tree.glob("*.dist-info")
        add_licences(metadata, folder)
        subprocess.run([sys.executable, "-m", "wheel", "pack", "--dest-dir", out, tree], check=True)


if __name__ == "__main__":
    main()
