"""Runs of `nvdb` that must stay small whatever they are given."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = "import sys; from neuralvdb.cli import main; sys.exit(main())"
_CPU_SECONDS, _MEMORY = 5.0, 1 << 30


@pytest.fixture
def within_limits(tmp_path: Path):
    """Runs `nvdb` in a fresh folder and gives stderr. Asserts its exit code, one of `codes`, that an error is one line,
    and that it and its children took no more than 5 s of CPU and 1 GiB."""

    def run(*args: object, codes: set[int]) -> str:
        with open(tmp_path / "stderr", "w+") as err:
            command = [sys.executable, "-P", "-c", _PROGRAM, *map(str, args)]
            work = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=err)
            _, status, taken = os.wait4(work.pid, 0)
            work.returncode = os.waitstatus_to_exitcode(status)
            err.seek(0)
            message = err.read()
        assert work.returncode in codes, message
        assert work.returncode in (0, 10) or message.count("\n") == 1, message
        assert taken.ru_utime + taken.ru_stime < _CPU_SECONDS
        assert taken.ru_maxrss << 10 < _MEMORY
        return message

    return run
