"""Runs of `nvdb` that must stay small whatever they are given."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from neuralvdb.archive import ArchiveReader, ArchiveWriter
from neuralvdb.archive.formats import is_readable, version_written
from neuralvdb.errors import NeuralVdbError, Unsupported

_PROGRAM = "import sys; from neuralvdb.cli import main; sys.exit(main())"
_MEASURE = """
import json, os, subprocess, sys
_, status, taken = os.wait4(subprocess.Popen(sys.argv[2:]).pid, 0)
usage = os.waitstatus_to_exitcode(status), taken.ru_utime + taken.ru_stime, taken.ru_maxrss << 10
open(sys.argv[1], "w").write(json.dumps(usage))
"""
"""Between the tests and `nvdb`, which would have the highest memory so far of the process that starts it."""
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
        usage = tmp_path / "usage.json"
        command = [sys.executable, "-P", "-c", _PROGRAM, *map(str, args)]
        measure = [sys.executable, "-P", "-S", "-c", _MEASURE, usage, *command]
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            with subprocess.Popen(measure, cwd=tmp_path, stdout=out, stderr=err, start_new_session=True) as work:
                timer = threading.Timer(_PATIENCE, os.killpg, [work.pid, signal.SIGKILL])
                timer.start()
                work.wait()
                timer.cancel()
            out.seek(0)
            err.seek(0)
            code, seconds, memory = json.loads(usage.read_text())
            usage.unlink()
            done = Measured(code, out.read(), err.read(), seconds, memory)
        assert done.seconds < _CPU_SECONDS
        assert done.memory < _MEMORY
        return done

    return run


@pytest.fixture
def hostile(data: Path, tmp_path_factory) -> Callable[[str], Path]:
    """The hostile input of a name: hostile("x.neuralvdb").

    What is hostile in archives is their table. Those that were made when topology by networks had an older version get
    the version of now, or they would be refused for that alone.
    """

    def get(name: str) -> Path:
        path = data / "hostile" / name
        if path.suffix != ".neuralvdb":
            return path
        try:
            with ArchiveReader(path, is_readable):
                return path
        except Unsupported:
            return _with_new_topology(path, tmp_path_factory.mktemp("hostile") / name)
        except NeuralVdbError:
            return path

    return get


def _with_new_topology(path: Path, target: Path) -> Path:
    with ArchiveReader(path, lambda *_: True) as archive, open(target, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in archive.sections:
            version = version_written(s.kind, s.codec) if s.kind == "TOPO" else s.version
            writer.add(replace(s.label, version=version), archive.read(s), raw_size=s.raw_size)
        writer.close()
    return target


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
