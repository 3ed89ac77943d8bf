"""Volumes made to break a reader: each is one clear line, soon and without much memory."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
from vdb_bytes import GridBytes, vdb_file

PROGRAM = "import sys; from neuralvdb.cli import main; sys.exit(main())"
CPU_SECONDS, MEMORY = 5.0, 1 << 30


@pytest.fixture
def run(tmp_path: Path):
    """Runs `nvdb` in a fresh folder; a failure must be one line. All that it may take is checked."""

    def measured(*args: object, codes: set[int]) -> str:
        with open(tmp_path / "stderr", "w+") as err:
            command = [sys.executable, "-P", "-c", PROGRAM, *map(str, args)]
            work = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=err)
            _, status, taken = os.wait4(work.pid, 0)
            work.returncode = os.waitstatus_to_exitcode(status)
            err.seek(0)
            message = err.read()
        assert work.returncode in codes, message
        assert work.returncode in (0, 10) or message.count("\n") == 1, message
        assert taken.ru_utime + taken.ru_stime < CPU_SECONDS
        assert taken.ru_maxrss << 10 < MEMORY
        return message

    return measured


def test_holes_of_a_file_hold_nothing_that_takes_memory(run, tmp_path):
    """A file of 1 GiB that takes 4 kB on the disk, the rest upper nodes of zeros."""
    nodes = struct.pack("<ifii", 1, 0.0, 0, 1 << 20)
    size = 1 << 30
    with open(tmp_path / "sparse.vdb", "wb") as file:
        file.write(vdb_file(GridBytes(name=b"density", body=nodes, missing=size - 400)))
        file.truncate(size)
    run("info", "sparse.vdb", codes={4, 9})
