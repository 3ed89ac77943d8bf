"""Wheels that hold OpenVDB work where the system has no OpenVDB, TBB, Blosc or Boost, and make the bytes that we make.

NEURALVDB_WHEELS names the folder that tests/packaging/wheel/build.py filled. Without it these wheels are not tested,
since building OpenVDB takes longer than all tests; what checks them is tested on the ordinary wheel.
"""

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

CHECK = Path(__file__).parent / "wheel" / "check.py"
LIBRARIES = ("openvdb", "tbb", "blosc", "boost_", "Imath", "log4cplus", "snappy")
MASK = """
for file in {files}; do mount --bind {empty} "$file" || exit 99; done
exec "$@"
"""
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def masked(tmp_path: Path) -> Run:
    """Runs a command where the system's copies of LIBRARIES are empty files."""
    folders = [folder for folder in Path("/usr/lib").glob("*-linux-gnu") if folder.is_dir()]
    files = {path.resolve() for folder in folders for name in LIBRARIES for path in folder.glob(f"lib{name}*.so*")}
    empty = tmp_path / "empty"
    empty.touch()
    script = MASK.format(files=" ".join(map(str, sorted(files))), empty=empty)
    prefix = ["unshare", "--mount", "sh", "-c", script, "sh"]
    clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "LD_LIBRARY_PATH")}

    def run(*command: object) -> subprocess.CompletedProcess:
        words = [*prefix, *map(str, command)]
        return subprocess.run(words, cwd=tmp_path, env=clean, capture_output=True, text=True)

    if shutil.which("unshare") is None or run("true").returncode:
        pytest.skip("files cannot be masked here: that takes unshare (util-linux) and root")
    return run


def links_to_openvdb() -> bool:
    """Whether the bridge that is installed here loads the system's OpenVDB."""
    code = "import neuralvdb.vdb, pathlib; print('libopenvdb' in pathlib.Path('/proc/self/maps').read_text())"
    return subprocess.check_output([sys.executable, "-P", "-c", code], text=True).strip() == "True"


def test_a_missing_openvdb_is_one_line_that_says_what_to_install(masked, sample):
    if not links_to_openvdb():
        pytest.skip("OpenVDB is in the bridge that is installed here")
    done = masked(Path(sys.executable).with_name("nvdb"), "info", sample)
    assert (done.returncode, done.stdout) == (5, "")
    assert len(done.stderr.splitlines()) == 1
    assert "OpenVDB library cannot be loaded" in done.stderr and "apt-get install libopenvdb" in done.stderr


def test_the_checks_refuse_a_wheel_that_holds_no_openvdb(wheel):
    problems = runpy.run_path(str(CHECK))["problems"](Path(wheel.filename))
    text = "\n".join(problems)
    assert "holds no licence of OpenVDB" in text and "has no manylinux tag" in text
    assert "libopenvdb.so, which not every system has" in text and "libstdc++.so" in text
    assert re.search(r"_bridge\.\S+: shows \d+ symbols", text)
    assert "LICENSE" not in text and "libc.so" not in text


def bundled(minor: int) -> tuple[Path, str]:
    """The wheel for this Python 3.x and the Python; skips where one of them is absent."""
    folder = os.environ.get("NEURALVDB_WHEELS")
    if not folder:
        pytest.skip("NEURALVDB_WHEELS is not set; see tests/packaging/wheel/README.md")
    tag = "cp312-abi3" if minor >= 12 else f"cp3{minor}-cp3{minor}"
    wheels = list(Path(folder).glob(f"neuralvdb-*-{tag}-*.whl"))
    python = shutil.which(f"python3.{minor}")
    if not wheels or python is None or subprocess.run([python, "-V"], capture_output=True).returncode:
        pytest.skip(f"no wheel or no Python for 3.{minor}")
    return wheels[0].resolve(), python


LIBRARIES_IN_USE = """
import re, sys, neuralvdb.vdb, neuralvdb.codec.decode
files = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line}
print(*sorted(file for file in files if re.search(sys.argv[1], file) and not file.startswith(sys.prefix)))
print("torch" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.parametrize("minor", [11, 12, 13])
def test_a_bundled_wheel_works_on_a_bare_system(masked, nvdb, sample, tmp_path, minor):
    wheel, python = bundled(minor)
    assert runpy.run_path(str(CHECK))["problems"](wheel) == []
    subprocess.run([python, "-m", "venv", tmp_path / "x"], check=True)
    installed = masked(tmp_path / "x/bin/pip", "install", "--quiet", wheel)
    assert installed.returncode == 0, installed.stderr
    bridge = masked(tmp_path / "x/bin/python", "-P", "-c", LIBRARIES_IN_USE, "|".join(LIBRARIES))
    assert bridge.stdout.splitlines() == ["", "False"], bridge.stderr
    for name, options in (("exact", ["--lossless"]), ("near", ["--rel-error", "1%"])):
        archive, back = f"{name}.neuralvdb", f"{name}.vdb"
        for words in (
            ["compress", sample, "-o", archive, *options],
            ["decompress", archive, "-o", back],
            ["verify", archive, sample],
        ):
            done = masked(tmp_path / "x/bin/nvdb", *words)
            assert done.returncode == 0, done.stderr
        reference = nvdb("compress", sample, "-o", f"our-{archive}", *options)
        assert reference.returncode == 0, reference.stderr
        assert nvdb("decompress", f"our-{archive}", "-o", f"our-{back}").returncode == 0
        for file in (archive, back):
            assert (tmp_path / file).read_bytes() == (tmp_path / f"our-{file}").read_bytes(), file
