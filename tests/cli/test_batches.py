"""One input that fails does not keep the others from being done and reported, whatever the failure is."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

MAIN = [sys.executable, "-P", "-c", "import sys; from neuralvdb.cli import main; sys.exit(main())"]
SURPRISE = """
import sys
import neuralvdb.api.info
from neuralvdb.cli import main
module = sys.modules["neuralvdb.api.info"]
before = module.info

def info(path, number):
    if path.endswith("b.vdb"):
        raise LookupError("nobody expects this")
    return before(path, number)

module.info = info
sys.exit(main())
"""


@pytest.fixture
def three(small, tmp_path):
    """Names of three copies of a small file, in the folder in which commands run."""
    for name in ("a.vdb", "b.vdb", "c.vdb"):
        (tmp_path / name).write_bytes(small.read_bytes())
    return ["a.vdb", "b.vdb", "c.vdb"]


def surprised(folder, *argv: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-P", "-c", SURPRISE, *argv]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_an_unexpected_error_of_one_file_leaves_the_others(three, tmp_path):
    done = surprised(tmp_path, "info", "--json", *three)
    report = json.loads(done.stdout)
    assert [entry["path"] for entry in report["results"]] == ["a.vdb", "c.vdb"]
    assert [(error["path"], error["exit_code"]) for error in report["errors"]] == [("b.vdb", 1)]
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "b.vdb: internal error, please report it with the output of -v: LookupError" in done.stderr


def test_verbose_says_where_an_unexpected_error_came_from(three, tmp_path):
    done = surprised(tmp_path, "info", "-v", *three)
    assert ", in info\nLookupError: nobody expects this" in done.stderr
    assert "c.vdb" in done.stdout


def test_results_are_printed_as_files_are_done(three, tmp_path):
    """What was done before a signal is reported, as text at once and as JSON at the end."""
    command = [*MAIN, "compress", "--json", *three, "-o", "archives/"]
    (tmp_path / "archives").mkdir()
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "archives/a.neuralvdb").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    report = json.loads(process.communicate(timeout=60)[0])
    has_ended = len(report["results"]) == 3  # and the signal met Python's own end
    assert process.returncode in ((0, 130, -signal.SIGTERM) if has_ended else (130,))
    assert report["results"][0]["source"] == "a.vdb"
    assert not [name for name in os.listdir(tmp_path / "archives") if name.endswith(".part")]


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)], ids=str)
def test_closed_streams_keep_nothing_from_being_done(small, tmp_path, closed):
    def close() -> None:
        for number in closed:
            os.close(number)

    command = [*MAIN, "compress", str(small), "-o", "x.neuralvdb"]
    done = subprocess.run(command, cwd=tmp_path, preexec_fn=close, timeout=120)
    assert done.returncode == 0
    assert os.listdir(tmp_path) == ["x.neuralvdb"]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_below_the_log_is_exit_code_7(small, tmp_path, stream):
    inputs = [str(small)] if stream == "stdout" else [str(small), "absent.vdb"]
    with open("/dev/full", "w") as full:
        done = subprocess.run([*MAIN, "info", *inputs], cwd=tmp_path, timeout=120, **{stream: full})
    assert done.returncode == (7 if stream == "stdout" else 3)


def test_a_hard_limit_of_memory_set_before_is_respected(small, tmp_path):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (700 << 20, 700 << 20))

    command = [*MAIN, "compress", str(small), "-o", "x.neuralvdb"]
    done = subprocess.run(command, cwd=tmp_path, preexec_fn=limit, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")


def test_proc_is_not_needed(small, archive, tmp_path):
    """Containers may lack it; nvdb counts memory there."""
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if shutil.which("unshare") is None or subprocess.run([*hide, "true"], capture_output=True).returncode != 0:
        pytest.skip("only who may mount can hide /proc")
    for argv in (["compress", small, "--lossless", "-o", "a.neuralvdb"], ["decompress", archive, "-o", "a.vdb"]):
        command = [*hide, *MAIN, *map(str, argv)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.returncode, done.stderr) == (0, "")
        assert (tmp_path / argv[-1]).exists()


@pytest.mark.parametrize("hard", [False, True])
def test_a_limit_of_cpu_time_is_said_to_be_one(tmp_path, sample, hard):
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (1, 1 if hard else resource.RLIM_INFINITY))

    command = [*MAIN, "compress", "--rel-error", "1%", "--effort", "9", str(sample), "-o", "x.neuralvdb"]
    done = subprocess.run(command, cwd=tmp_path, preexec_fn=limit, capture_output=True, text=True, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "limit of CPU time" in done.stderr
    assert os.listdir(tmp_path) == []


def test_a_pattern_that_nothing_matches_leaves_the_others(three, nvdb_command, tmp_path):
    command = [*nvdb_command, "info", "--json", "a.vdb", "none.####.vdb", "c.vdb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    report = json.loads(done.stdout)
    assert [entry["path"] for entry in report["results"]] == ["a.vdb", "c.vdb"]
    assert [(error["path"], error["exit_code"]) for error in report["errors"]] == [("none.####.vdb", 3)]
    assert done.returncode == 3
