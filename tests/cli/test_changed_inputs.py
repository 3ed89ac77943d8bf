"""An input that changes while it is read: what was read counts, and a file that is found damaged then is not blamed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# The worker of `nvdb` may not write, so a process of its own changes the file when the worker asks for it.
PROGRAM = """
import os, sys
from pathlib import Path
from neuralvdb.{module} import {owner}
from neuralvdb.cli import main

path, read = Path({path!r}), {owner}.read
(asked, ask), (told, tell) = os.pipe(), os.pipe()
if os.fork() == 0:
    if os.read(asked, 1):
        {change}
        os.write(tell, b"!")
    os._exit(0)

def read_later(self, *args, **options):
    os.write(ask, b"?")
    os.read(told, 1)
    return read(self, *args, **options)

{owner}.read = read_later
sys.exit(main({argv!r}))
"""
CHANGES = {
    "removed": "path.unlink(missing_ok=True)",
    "replaced": "path.with_name('other').write_bytes(bytes(99_999)); os.replace(path.with_name('other'), path)",
    "grown": "path.open('ab').write(bytes(5000))",
    "cut": "os.truncate(path, 0)",
    "overwritten": "path.open('r+b').write(bytes([255]) * path.stat().st_size)",
}
READERS = {"compress": ("vdb.files", "VdbReader"), "decompress": ("codec.frame", "Frame")}


@pytest.fixture
def run_changing(small: Path, archive: Path, tmp_path: Path):
    """Runs `nvdb --json` on an input that changes when its first grid is read; gives the process, and the input's size
    before."""

    def run(command: str, change: str) -> tuple[subprocess.CompletedProcess, int]:
        source = small if command == "compress" else archive
        path = Path(shutil.copy(source, tmp_path / "in.file"))
        module, owner = READERS[command]
        argv = [command, str(path), "-o", "out.file", "--json"]
        argv += ["--no-verify"] if command == "compress" else []
        program = PROGRAM.format(module=module, owner=owner, path=str(path), change=CHANGES[change], argv=argv)
        done = subprocess.run(
            [sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=120
        )
        return done, source.stat().st_size

    return run


@pytest.mark.parametrize("change", ["removed", "replaced", "grown"])
@pytest.mark.parametrize("command", READERS)
def test_what_was_read_is_what_counts(run_changing, tmp_path, command, change):
    done, size = run_changing(command, change)
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["source_size" if command == "compress" else "archive_size"] == size
    assert (tmp_path / "out.file").stat().st_size > 100


@pytest.mark.parametrize("change", ["cut", "overwritten"])
@pytest.mark.parametrize("command", READERS)
def test_bytes_that_are_no_longer_there_are_no_damage(run_changing, tmp_path, command, change):
    done, _ = run_changing(command, change)
    assert done.returncode == 3, done.stderr
    assert "in.file: was changed while it was read" in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out.file").exists()
