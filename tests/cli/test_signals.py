"""Signals at any moment, to the command or its worker: no torn target, no worker that lives on, nothing left."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import from_dense, write_vdb

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGKILL")
# `python tests/cli/test_signals.py 30 [COMMAND...]` tries 30 moments of each combination, prints what became of them
MAIN = [sys.executable, "-P", "-c", "import sys; from neuralvdb.cli import main; sys.exit(main())"]
OLD = b"what was there before"
TWO_SIGNALS = """
import os, signal, sys
from neuralvdb import platform
from neuralvdb.cli import main
end = platform.end_child

def end_child(child):
    os.kill(os.getpid(), signal.SIGTERM)  # a second one, just before the worker would be killed
    end(child)

platform.end_child = end_child
sys.exit(main(sys.argv[1:]))
"""

LOSES_ERRORS = """
import contextlib, os, signal
with contextlib.suppress(BaseException):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(100):
        pass
"""
WAYS = """
import importlib, os, signal, sys, time
from neuralvdb.cli.interrupts import interruptible

class Losing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):
            pass

def block(lose):
    try:
        with interruptible(block.__code__):
            lose()
            time.sleep(10)
    except KeyboardInterrupt:
        print("heard")

def drop():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(100):
            pass
    except KeyboardInterrupt:
        time.sleep(0.1)  # nothing interrupts what handles it
        print("dropped")

def handle():
    with interruptible(handle.__code__) as end:
        try:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(100):
                pass
        except KeyboardInterrupt:
            end()
        time.sleep(0.1)  # nothing is raised again
        print("handled")

handle()
block(drop)
block(Losing)
block(lambda: importlib.import_module("loses_errors"))
block(lambda: os.kill(os.getpid(), signal.SIGINT))
"""


def workers(pid: int) -> list[int]:
    """Children of a process."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def is_running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@dataclass(frozen=True)
class Kill:
    """A signal, who gets it, and when: seconds after the worker began."""

    name: str
    to_worker: bool
    delay: float


def outcome(argv: list[str], folder: Path, whole: bytes, kill: Kill) -> str:
    """What became of a command that got a signal; asserts what always holds. whole: its output when it is done."""
    name, to_worker, target = kill.name, kill.to_worker, folder / argv[-1]
    target.write_bytes(OLD)
    process, worker = started(argv, folder)
    time.sleep(kill.delay)
    if process.poll() is None and (not to_worker or is_running(worker)):
        os.kill(worker if to_worker else process.pid, signal.Signals[name])
    message = process.communicate(timeout=60)[1]
    late = process.returncode == -signal.Signals[name] and name != "SIGKILL"  # all was done
    assert late or process.returncode in (0, 130, -signal.SIGKILL, 9), (process.returncode, message)
    assert message.count("\n") <= 1 + ("####" in argv[1])  # of the frame, and of the archive of all
    limit = time.monotonic() + 5  # the system ends it with its parent, at the next moment that it can
    while worker and is_running(worker) and time.monotonic() < limit:
        time.sleep(0.01)
    assert not (worker and is_running(worker))
    assert target.read_bytes() in ((whole,) if late or process.returncode == 0 else (OLD, whole))
    left_over = list(folder.rglob("*.part"))
    assert not left_over or (name == "SIGKILL" and not to_worker)
    for file in left_over:
        file.unlink()
    if "####" in argv[1]:
        go_on(argv, folder, whole)
    return f"exit {process.returncode}" + (", .part left" if left_over else "")


def go_on(argv: list[str], folder: Path, whole: bytes) -> None:
    """Runs what was stopped again; asserts that it ends with the bytes of a run that was not, and leaves nothing."""
    again = subprocess.run([*MAIN, *argv, "--skip-existing", "-q"], cwd=folder, capture_output=True, text=True)
    assert (again.returncode, again.stderr) == (0, "")
    assert (folder / argv[-1]).read_bytes() == whole
    assert not Path(f"{folder / argv[-1]}.frames").exists()


def started(argv: list[str], folder: Path) -> tuple[subprocess.Popen, int]:
    """A command, and its worker as soon as there is one; 0 where none was seen."""
    command = [*MAIN, *argv, "--force", "-q"]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, preexec_fn=hear_all)
    while process.poll() is None and not workers(process.pid):
        time.sleep(0.002)
    return process, (workers(process.pid) or [0])[0]


def hear_all() -> None:
    """Lets a command hear signals that nohup, or a shell in the background, has it ignore."""
    for name in SIGNALS[:-1]:
        signal.signal(signal.Signals[name], signal.SIG_DFL)


def done(argv: list[str], folder: Path) -> tuple[bytes, float]:
    """The output of a command that nothing stops, and how many seconds its worker took."""
    process, _ = started(argv, folder)
    began = time.monotonic()
    message = process.communicate(timeout=60)[1]
    assert process.returncode == 0, message
    return (folder / argv[-1]).read_bytes(), time.monotonic() - began


@pytest.fixture(scope="module")
def undisturbed(sample, tmp_path_factory) -> tuple[Path, dict[str, list[str]], dict[str, bytes]]:
    """A folder with an archive, commands that work there, and what each of them writes."""
    folder = tmp_path_factory.mktemp("signals")
    lines = commands(folder, sample)
    return folder, lines, {name: done(line, folder)[0] for name, line in lines.items()}


def commands(folder: Path, sample: Path) -> dict[str, list[str]]:
    """Of some commands, the input before all options, the output last."""
    exact = CompressSettings(quality="lossless")
    neuralvdb.compress(sample, folder / "in.neuralvdb", exact)
    for number in (1, 2, 3):
        fog = np.random.default_rng(number).random((32, 32, 32), np.float32)
        write_vdb(folder / f"frame.{number:04}.vdb", [from_dense(fog, name="density", active=fog > 0)])
        neuralvdb.compress(folder / f"frame.{number:04}.vdb", folder / f"one.{number:04}.neuralvdb", exact)
    return {
        "compress": ["compress", str(sample), "--lossless", "-o", "out.neuralvdb"],
        "decompress": ["decompress", "in.neuralvdb", "-o", "out.vdb"],
        "compress many": ["compress", "frame.####.vdb", "--lossless", "-o", "many.neuralvdb"],
        "pack": ["pack", *(f"one.{number:04}.neuralvdb" for number in (1, 2, 3)), "-o", "packed.neuralvdb"],
    }


@pytest.mark.parametrize("to_worker", [False, True], ids=["command", "worker"])
@pytest.mark.parametrize("name", SIGNALS)
@pytest.mark.parametrize(
    "command",
    ["compress", "decompress", *(pytest.param(name, marks=pytest.mark.slow) for name in ("compress many", "pack"))],
)
def test_a_signal_leaves_nothing_half_written(undisturbed, command, name, to_worker):
    folder, lines, whole = undisturbed
    first = 0.1 * SIGNALS.index(name) + 0.05 * to_worker
    for delay in (first, first + 0.5):
        outcome(lines[command], folder, whole[command], Kill(name, to_worker, delay))


def test_a_second_signal_does_not_lose_the_worker(sample, tmp_path):
    argv = ["compress", str(sample), "--rel-error", "1%", "-o", "out.neuralvdb"]
    process = subprocess.Popen([sys.executable, "-P", "-c", TWO_SIGNALS, *argv], cwd=tmp_path, stderr=subprocess.PIPE)
    while not workers(process.pid):
        time.sleep(0.002)
    (worker,) = workers(process.pid)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert (process.returncode, is_running(worker), os.listdir(tmp_path)) == (130, False, [])


def test_a_stopped_worker_ends_with_the_command(sample, tmp_path):
    argv = ["compress", str(sample), "--rel-error", "1%", "-o", "out.neuralvdb"]
    process = subprocess.Popen([*MAIN, *argv], cwd=tmp_path, stderr=subprocess.PIPE)
    while not workers(process.pid):
        time.sleep(0.002)
    (worker,) = workers(process.pid)
    os.kill(worker, signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert (process.returncode, is_running(worker), os.listdir(tmp_path)) == (130, False, [])


def test_nohup_keeps_a_command_alive(small, tmp_path):
    argv = ["nohup", *MAIN, "compress", "--lossless", str(small), "-o", "out.neuralvdb"]
    process = subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not workers(process.pid) and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=60) == 0


def test_no_interrupt_is_lost_where_python_drops_errors(tmp_path):
    """Where modules are loaded, and in __del__; the program itself is loaded as a module, which changes nothing."""
    (tmp_path / "loses_errors.py").write_text(LOSES_ERRORS)
    (tmp_path / "ways.py").write_text(WAYS)
    command = [sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import ways"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, preexec_fn=hear_all)
    assert (done.stdout, done.stderr, done.returncode) == ("handled\ndropped\n" + "heard\n" * 4, "", 0)


if __name__ == "__main__":
    import tempfile
    from collections import Counter

    count = int(sys.argv[1])
    smoke = Path(__file__).resolve().parents[2] / "data/sample/smoke.vdb"
    with tempfile.TemporaryDirectory() as made:
        lines = commands(Path(made), smoke)
        for title, line in ((title, lines[title]) for title in sys.argv[2:] or lines):
            output, span = min((done(line, Path(made)) for _ in range(3)), key=lambda seconds: seconds[1])
            for kind in SIGNALS:
                for child in (False, True):
                    delays = [span * i / count for i in range(count)]
                    counts = Counter(outcome(line, Path(made), output, Kill(kind, child, delay)) for delay in delays)
                    print(title, kind, "worker" if child else "command", dict(sorted(counts.items())), flush=True)
