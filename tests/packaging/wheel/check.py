"""Says what keeps a wheel from being installed anywhere: check.py WHEEL... Needs `readelf`."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

BYTES = 12_000_000
EVERYWHERE = {"libc", "libdl", "libgcc_s", "libm", "libpthread", "librt", "libz", "ld-linux-x86-64", "ld-linux-aarch64"}
LICENCES = ("Blosc", "LICENSE", "LZ4", "OpenVDB", "nanobind", "oneTBB", "robin-map")


def module_problems(name: str, path: Path) -> list[str]:
    """What is wrong with one compiled module."""
    text = subprocess.run(["readelf", "-dSW", "--dyn-syms", path], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"Shared library: \[([\w+-]+)\.so", text)
    problems = [f"{name}: needs {lib}.so, which not every system has" for lib in needed if lib not in EVERYWHERE]
    if re.search(r"\s\.(symtab|debug_info)\s", text):
        problems.append(f"{name}: is not stripped")
    visible = re.findall(r"(?:GLOBAL|WEAK|UNIQUE)\s+DEFAULT\s+\d+ (\w+)", text)
    if other := [symbol for symbol in visible if not symbol.startswith("PyInit_")]:
        problems.append(f"{name}: shows {len(other)} symbols to other libraries, such as {other[0]}")
    return problems


def problems(wheel: Path) -> list[str]:
    """What is wrong with a wheel, a line for each."""
    texts = []
    if wheel.stat().st_size > BYTES:
        texts.append(f"has {wheel.stat().st_size} bytes, more than {BYTES}")
    if "manylinux" not in wheel.name:
        texts.append("has no manylinux tag; see auditwheel repair")
    with ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as scratch:
        names = archive.namelist()
        licences = [Path(name).name for name in names if "/licenses/" in name]
        texts += [f"holds no licence of {name}" for name in LICENCES if not any(name in text for text in licences)]
        for name in names:
            if name.endswith(".so"):
                texts += module_problems(name, Path(archive.extract(name, scratch)))
    return texts


def main() -> None:
    """Checks every wheel, prints its size and exits with 1 where one is not as it should be."""
    failed = False
    for wheel in map(Path, sys.argv[1:]):
        lines = problems(wheel)
        unpacked = sum(entry.file_size for entry in ZipFile(wheel).infolist())
        print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, unpacked {unpacked / 1e6:.2f} MB")
        print("".join(f"    {problem}\n" for problem in lines), end="")
        failed |= bool(lines)
    sys.exit(failed)


if __name__ == "__main__":
    main()
