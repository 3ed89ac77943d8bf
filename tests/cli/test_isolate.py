"""A crash of the work on a file is one line: only a crash inside of the OpenVDB reader is the file's fault."""

import ctypes
import inspect
import os
import subprocess
import sys

import pytest

from neuralvdb.cli import isolate
from neuralvdb.vdb import VdbReader

STAGES = {
    "reading": "files.tree_of = lambda _: work()",
    "outline": "files.Outline = lambda **_: work()",
    "coding": "compress.encode_frame = lambda *_, **__: work()",
    "coding in a thread": "compress.encode_frame = lambda *_, **__: pool.submit(work).result()",
}
CRASHES = {
    "SIGABRT": "os.abort()",
    "SIGSEGV": "ctypes.string_at(0)",
    "SIGBUS": "signal.raise_signal(signal.SIGBUS)",
}
PROGRAM = """
import ctypes, os, signal, sys
from concurrent.futures import ThreadPoolExecutor
import neuralvdb.api.compress
from neuralvdb.cli import main
from neuralvdb.vdb import files
compress = sys.modules["neuralvdb.api.compress"]
pool = ThreadPoolExecutor(1)

def work():
    {work}

{stage}
sys.exit(main({argv!r}))
"""


@pytest.fixture
def run_broken(small, tmp_path):
    """Runs `nvdb` on `small` with other code in one stage, asserts exit code, one line and no files; gives the line."""

    def checked(stage: str, work: str, code: int) -> str:
        argv = ["info", str(small)] if stage == "outline" else ["compress", str(small), "-o", "x.neuralvdb"]
        program = PROGRAM.format(work=work, stage=STAGES[stage], argv=argv)
        command = [sys.executable, "-P", "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode, os.listdir(tmp_path), done.stderr.count("\n")) == (code, [], 1), done.stderr
        return done.stderr

    return checked


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("stage", ["reading", "outline"])
def test_a_crash_of_the_reader_is_blamed_on_the_file(run_broken, stage, crash):
    message = run_broken(stage, CRASHES[crash], code=4)
    assert f"the OpenVDB library crashed on it ({crash}); it is damaged" in message


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("stage", ["coding", "coding in a thread"])
def test_a_crash_while_coding_is_not_blamed_on_the_file(run_broken, stage, crash):
    message = run_broken(stage, CRASHES[crash], code=1)
    assert f"the work on it crashed ({crash}); try fewer --threads or another machine" in message
    assert "damaged" not in message


@pytest.mark.parametrize("lack", ["raise MemoryError", 'raise RuntimeError("can\'t start new thread")'])
@pytest.mark.parametrize("stage", ["coding", "coding in a thread"])
def test_a_lack_of_memory_or_threads_while_coding_is_exit_code_9(run_broken, stage, lack):
    message = run_broken(stage, lack, code=9)
    assert "use fewer --threads or another machine" in message
    assert "damaged" not in message


def test_memory_that_the_reader_asks_for_in_vain_is_blamed_on_the_file(run_broken):
    assert "more than a file of its size can need; it is damaged" in run_broken("reading", "raise MemoryError", code=4)


def test_readers_are_the_methods_that_call_openvdb():
    methods = dict(inspect.getmembers(VdbReader, inspect.isfunction))
    calling = {name for name, method in methods.items() if {"Reader", "_reader"} & {*method.__code__.co_names}}
    assert calling - {"__init__"} == {*isolate.READERS}
    assert set(methods["__init__"].__code__.co_names) & {"_bridge", "Reader"} == set()


def test_a_process_that_cannot_be_started_is_exit_code_9():
    """Root has no limit of processes: the command runs as somebody else."""
    script = (
        "import locale, os, resource, sys, neuralvdb.api.info, neuralvdb.cli.info; from neuralvdb.cli import main\n"
    )
    script += "os.setgid(54321); os.setuid(54321); resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n"
    script += "sys.exit(main(sys.argv[1:]))"
    if os.getuid() != 0:
        pytest.skip("only root can become another user")
    command = [sys.executable, "-P", "-c", script, "info", "a.vdb"]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=60)
    assert done.returncode == 9, done.stderr
    assert done.stderr.startswith("nvdb: cannot start a process: ")
    assert done.stderr.count("\n") == 1


FAULTS = """
import resource, sys
import numpy as np
from neuralvdb.platform import keep_freed_memory
from neuralvdb.vdb import VdbReader

def pages(work):
    for _ in range(2):
        work()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        work()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

keep_freed_memory()
reader = VdbReader(sys.argv[1])
print(pages(lambda: [np.ones(3 << 20, np.uint8) for _ in range(4)]), pages(lambda: reader.read(0)))
"""


@pytest.mark.skipif(sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="not glibc")
def test_small_grids_do_not_take_their_memory_anew(small):
    command = [sys.executable, "-P", "-c", FAULTS, str(small)]
    arrays, grids = map(int, subprocess.run(command, capture_output=True, check=True, timeout=120).stdout.split())
    assert arrays < 300 and grids < 60  # pages that were taken; else some 30,000, and hundreds
