"""Several files at once: each in a child of its own, which shares nothing with the others; what is said meanwhile."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from neuralvdb import devices, platform
from neuralvdb.cli import batch
from neuralvdb.cli.batch import jobs_at_once

PROGRAM = """
import ctypes, os, signal, stat, sys, time
from neuralvdb.cli import main
import neuralvdb.api.compress
module = sys.modules["neuralvdb.api.compress"]
encode_frame = module.encode_frame

def pipes():
    numbers = [int(number) for number in os.listdir("/proc/self/fd")]
    return [number for number in numbers if os.path.exists(f"/proc/self/fd/{{number}}") and number > 2
            and stat.S_ISFIFO(os.fstat(number).st_mode)]

def other(writer, source, *args):
    {work}
    return encode_frame(writer, source, *args)

module.encode_frame = other
{before}
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def run_with(frames):
    """Runs `nvdb compress` on four frames, three at once, with more work in each child, and before there are any; gives
    process and archives."""

    def run(work: str, *options: str, before: str = "", code: int = 0) -> tuple[subprocess.CompletedProcess, list[str]]:
        program = PROGRAM.format(work=work, before=before)
        command = [sys.executable, "-P", "-c", program, "compress", "smoke.####.vdb", "-o", "out/", "--lossless"]
        command += ["--no-verify", "--jobs", "3", *options]
        done = subprocess.run(command, cwd=frames, capture_output=True, text=True, timeout=120)
        assert done.returncode == code, done.stderr
        return done, sorted(os.listdir(frames / "out"))

    return run


def archives(*numbers: int) -> list[str]:
    return [f"smoke.{number:04d}.neuralvdb" for number in numbers]


def test_a_crash_or_a_signal_is_one_line_and_the_others_go_on(run_with):
    work = "os.abort() if '0001' in source.path else os.kill(os.getpid(), 15) if '0003' in source.path else None"
    done, made = run_with(work, "--json", code=1)
    assert made == archives(2, 5)
    report = json.loads(done.stdout)
    assert [(error["path"], error["exit_code"]) for error in report["errors"]] == [
        ("smoke.0001.vdb", 1),
        ("smoke.0003.vdb", 130),
    ]
    assert [result["source"] for result in report["results"]] == ["smoke.0002.vdb", "smoke.0005.vdb"]
    assert done.stderr.count("\n") == 2
    assert (report["total"]["files"], report["total"]["done"], report["total"]["failed"]) == (4, 2, 2)


def test_a_child_reads_no_pipe(run_with):
    """Neither what another child answers, nor what it tells of its progress."""
    work = (
        "import fcntl; assert [p for p in pipes() if fcntl.fcntl(p, fcntl.F_GETFL) & 3 != os.O_WRONLY] == [] < pipes()"
    )
    assert run_with(work)[1] == archives(1, 2, 3, 5)


def test_a_child_can_write_no_other_output(run_with, in_force):
    """Not that of a file which another child writes at the same time."""
    if "files" not in in_force:
        pytest.skip("this kernel has no means for it")
    work = "time.sleep(0.3); names = ['out/' + n for n in os.listdir('out') if source.path[-8:-4] not in n]\n"
    work += "    [open(name, 'r+') for name in names]"
    done, made = run_with(work, code=7)
    assert 1 <= len(made) + done.stderr.count("Permission denied") == 4
    assert "Permission denied" in done.stderr


def test_frames_start_while_others_work_and_results_come_as_they_are_done(run_with):
    """The first frame waits until the others are there."""
    work = "while '0001' in source.path and len([n for n in os.listdir('out') if n[0] != '.']) < 3: time.sleep(0.01)"
    done, _ = run_with(work, "--progress", "plain")
    lines = done.stdout.splitlines()
    assert lines[3].startswith("smoke.0001.vdb -> out/smoke.0001.neuralvdb")
    assert lines[4].startswith("4 files  ") and " -> " in lines[4]
    assert done.stderr.splitlines()[-1].startswith("nvdb: 4/4 done, 100 %")
    assert "\r" not in done.stderr and "\x1b" not in done.stderr


def test_the_next_frame_does_not_wait_until_the_one_before_is_on_disk(run_with):
    """No file is flushed before the fourth frame has begun. Of those that are done at the same time each has its own
    bytes."""
    before = """
def flush(handle, fsync=os.fsync):
    end = time.monotonic() + 60
    while time.monotonic() < end and not any("0005" in name for name in os.listdir("out")):
        time.sleep(0.01)
    assert time.monotonic() < end
    fsync(handle)
os.fsync = flush
"""
    done, made = run_with("pass", "--json", before=before)
    assert made == archives(1, 2, 3, 5)
    results = json.loads(done.stdout)["results"]
    assert {(result["source"][-8:-4], Path(result["target"]).stem[-4:]) for result in results} == {
        (number, number) for number in ("0001", "0002", "0003", "0005")
    }


@pytest.fixture
def shot_that_waits(frames):
    """A process that makes one archive of two chunks, two at once, each of which waits in its second frame."""
    work = "while source.path[-5] in '25' and not os.path.exists('go'): time.sleep(0.01)"
    command = [sys.executable, "-P", "-u", "-c", PROGRAM.format(work=work, before=""), "compress", "smoke.####.vdb"]
    command += ["-o", "shot.neuralvdb", "--chunk", "2", "--jobs", "2", "--rel-error", "1%"]

    @contextlib.contextmanager
    def start(*options: str) -> Iterator[subprocess.Popen]:
        default = lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL)  # noqa: E731 - not as a shell's & leaves it
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": default}
        with subprocess.Popen([*command, *options], cwd=frames, **pipes) as process:
            try:
                yield process
            finally:
                process.kill()

    return start


def test_each_frame_of_a_chunk_is_told_of_as_it_is_done(shot_that_waits, frames):
    """While the others of its chunk are not; and in one order with all that comes later."""
    with shot_that_waits("--progress", "openjd") as process:
        lines: list[str] = []
        while "openjd_status: 2 of 4 files done\n" not in lines:
            lines.append(process.stdout.readline())
        first = sorted(line.split()[0] for line in lines if " -> " in line)
        assert first == ["smoke.0001.vdb", "smoke.0003.vdb"] and not (frames / "shot.neuralvdb").exists()
        (frames / "go").touch()
        remaining, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert sorted(line.split()[0] for line in remaining.splitlines() if " -> shot.neuralvdb " in line) == [
        "smoke.0002.vdb",
        "smoke.0005.vdb",
    ]
    assert "shot.neuralvdb  4 frames: 1-3, 5" in remaining and "\n4 files  " in remaining


def test_a_stop_says_which_frames_are_coded_and_not_kept(shot_that_waits, frames):
    with shot_that_waits() as process:
        assert {process.stdout.readline().split()[0][-8:] for _ in range(2)} == {"0001.vdb", "0003.vdb"}
        process.terminate()
        _, message = process.communicate(timeout=60)
    assert (
        message
        == "nvdb: stopped: 0 of 4 done, 2 more coded in chunks that were not finished; nothing half-written was left\n"
    )
    assert process.returncode == 130 and not list(frames.glob("shot.neuralvdb.frames/*"))


def test_openjd_hears_of_progress_on_stdout(run, frames):
    done = run("info", "smoke.####.vdb", "--progress", "openjd", "-q")
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["openjd_progress: 100.0", "openjd_status: 4 of 4 files done"]
    assert all(line.startswith(("openjd_progress: ", "openjd_status: ")) for line in lines)
    assert "leave one out" in run("info", "smoke.####.vdb", "--progress", "openjd", "--json", code=2).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_says_what_is_done(frames, number):
    work = "while '0001' not in source.path: time.sleep(0.01)"
    program = PROGRAM.format(work=work, before="")
    command = [sys.executable, "-P", "-c", program, "compress", "smoke.####.vdb", "-o", "out/"]
    command += ["--lossless", "--no-verify", "--jobs", "2", "--json-lines"]
    default = lambda: signal.signal(number, signal.default_int_handler)  # noqa: E731 - not as a shell's & leaves it
    options = {"cwd": frames, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": default}
    with subprocess.Popen(command, **options) as process:
        first = json.loads(process.stdout.readline())
        process.send_signal(number)
        remaining, message = process.communicate(timeout=60)
    assert first["result"]["target"] == "out/smoke.0001.neuralvdb"
    assert json.loads(remaining)["total"] | {"seconds": 0, "bytes_in": 0, "bytes_out": 0} == {
        **{"files": 4, "done": 1, "skipped": 0, "failed": 0, "stopped": True},
        **{"seconds": 0, "bytes_in": 0, "bytes_out": 0},
    }
    assert (process.returncode, message) == (130, "nvdb: stopped: 1 of 4 done; nothing half-written was left\n")
    assert os.listdir(frames / "out") == archives(1)


def test_as_many_files_at_once_as_cores_and_memory_allow(monkeypatch):
    monkeypatch.setattr(platform, "usable_memory", lambda: 10 * batch.BASE_MEMORY)
    assert jobs_at_once(None, [0] * 100, threads=4) == 4
    assert jobs_at_once(None, [0] * 3, threads=4) == 3
    assert jobs_at_once(None, [batch.BASE_MEMORY * 4, 0, 0, 0, 0, 0, 0, 0], threads=16) == 6
    assert jobs_at_once(None, [1 << 60], threads=4) == jobs_at_once(None, [], threads=4) == 1
    assert jobs_at_once(50, [1 << 60] * 60, threads=1) == 50
    monkeypatch.setattr(batch.devices, "seems_there", lambda: True)
    assert [jobs_at_once(None, [0] * 9, 4, device) for device in ("cuda", "auto", "cpu")] == [1, 4, 4]
    assert jobs_at_once(None, [devices.ENOUGH_TO_START, 0], 4, "auto") == 1


@pytest.mark.slow
@pytest.mark.parametrize("threads", ["1", "5"])
def test_archives_are_those_of_one_file_at_a_time(run, frames, threads):
    shutil.copy(Path(__file__).resolve().parents[2] / "data/sample/smoke.vdb", frames / "smoke.0004.vdb")
    for jobs in ("1", "3"):
        run("compress", ".", "-o", f"{jobs}/", "--rel-error", "1%", "--jobs", jobs, "--threads", threads)
    for name in archives(1, 2, 3, 4, 5):
        assert (frames / "1" / name).read_bytes() == (frames / "3" / name).read_bytes()


def test_no_child_outlives_a_killed_command(frames):
    program = PROGRAM.format(work="time.sleep(60)", before="")
    command = [sys.executable, "-P", "-c", program, "compress", "smoke.####.vdb"]
    with subprocess.Popen([*command, "--jobs", "2", "--lossless"], cwd=frames) as process:
        children: list[str] = []
        while len(children) < 2:
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
    limit = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < limit:
        time.sleep(0.01)
    assert [child for child in children if Path(f"/proc/{child}").exists()] == []
