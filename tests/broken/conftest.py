"""Runs of `nvdb` that must stay small whatever they are given."""

import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

_PROGRAM = "import sys; from neuralvdb.cli import main; sys.exit(main())"
_CPU_SECONDS, _MEMORY = 5.0, 1 << 30
_PATIENCE = 120.0  # seconds


@dataclass(frozen=True)
class Measured:
    """A command that has ended. seconds: of CPU time of it and its children; memory: bytes of the largest of them."""

    code: int
    stdout: str
    stderr: str
    seconds: float
    memory: int


@pytest.fixture
def measured(tmp_path: Path):
    """Runs `nvdb` in a fresh folder and gives Measured; asserts that it took no more than 5 s of CPU and 1 GiB."""

    def run(*args: object) -> Measured:
        command = [sys.executable, "-P", "-c", _PROGRAM, *map(str, args)]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            work = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=err)
            timer = threading.Timer(_PATIENCE, work.kill)
            timer.start()
            _, status, taken = os.wait4(work.pid, 0)
            timer.cancel()
            work.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            err.seek(0)
            seconds, memory = taken.ru_utime + taken.ru_stime, taken.ru_maxrss << 10
            done = Measured(work.returncode, out.read(), err.read(), seconds, memory)
        assert done.seconds < _CPU_SECONDS
        assert done.memory < _MEMORY
        return done

    return run


@pytest.fixture
def within_limits(measured):
    """Runs `nvdb` as `measured` does and gives stderr. Asserts its exit code, one of `codes`, and that an error is one
    line."""

    def run(*args: object, codes: set[int]) -> str:
        done = measured(*args)
        assert done.code in codes, done.stderr
        assert done.code in (0, 10) or done.stderr.count("\n") == 1, done.stderr
        return done.stderr

    return run
