"""The exit-code table: the same in errors.py, in `nvdb --help` and in README.md, and every code is reached."""

import functools
import os
import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest

from neuralvdb import devices, errors
from neuralvdb.cli import info, main
from neuralvdb.codec.frame_table import FrameTable

README = Path(__file__).resolve().parents[2] / "README.md"
MEANINGS = {
    0: "done",
    1: "bug",
    2: "arguments",
    3: "cannot be read",
    4: "damaged",
    5: "newer version",
    6: "exists",
    7: "cannot be written",
    8: "promised",
    9: "memory",
    10: "differences",
    11: "grid",
    12: "priors",
    13: "device",
    130: "interrupted",
}


def classes() -> dict[str, int]:
    """{class: exit code} of errors.py."""
    codes, todo = {}, [errors.NeuralVdbError]
    while todo:
        kind = todo.pop()
        codes[kind.__name__] = kind.exit_code
        todo += kind.__subclasses__()
    return codes


def table(text: str) -> dict[int, str]:
    """{code: meaning} of the table in `nvdb --help`."""
    lines = text.partition("exit codes:\n")[2].splitlines()
    cells = [cell for line in lines for cell in re.split(r"\s{2,}(?=\d)|\s+(?=130 )", line.strip())]
    return {int(code): meaning for code, meaning in (cell.split(None, 1) for cell in cells if cell)}


def test_help_lists_every_code(run):
    listed = table(run("--help").stdout)
    assert listed.keys() == {0, errors.DIFFERENT, errors.INTERRUPTED, *classes().values()}
    assert listed.keys() == MEANINGS.keys()
    assert [code for code, meaning in MEANINGS.items() if meaning not in listed[code]] == []


def test_every_error_has_a_code_of_its_own():
    assert len(set(classes().values())) == len(classes())


def test_the_docstring_of_errors_draws_the_tree():
    drawn = re.findall(r"^(?:[├└]── )?([A-Z]\w+) +(\d+) ", errors.__doc__, re.MULTILINE)
    assert {name: int(code) for name, code in drawn} == classes()


def test_the_readme_has_the_same_table():
    text = README.read_text()
    rows = dict(re.findall(r"^\|\s*`?(\d+)`?\s*\|\s*(.*?)\s*\|", text, re.MULTILINE))
    if "exit code" not in text.lower() or not rows:
        pytest.skip("README.md has no table of exit codes")
    assert {int(code) for code in rows} == MEANINGS.keys()


def test_0_done(run, archive):
    run("verify", archive)


def test_1_a_bug_is_one_line_and_with_verbose_a_traceback(monkeypatch, capsys):
    def broken(*_):
        raise ZeroDivisionError("deep inside")

    monkeypatch.setattr(info, "run", broken)
    assert main(["info", "x"]) == 1
    assert capsys.readouterr().err.startswith("nvdb: internal error, please report it")
    assert main(["info", "x", "-v"]) == 1
    assert 'raise ZeroDivisionError("deep inside")' in capsys.readouterr().err


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("frobnicate",),
        ("compress",),
        ("compress", "a.vdb", "--threads", "0"),
        ("compress", "a.vdb", "--threads", "many"),
        ("compress", "a.vdb", "--grids", ","),
        ("decompress", "a.neuralvdb", "--compression", "rar"),
        ("diff", "a.vdb"),
    ],
    ids=" ".join,
)
def test_2_wrong_arguments(run, args):
    done = run(*args, code=2)
    assert done.stdout == ""
    assert "error: " in done.stderr
    assert "_count" not in done.stderr


@pytest.mark.parametrize("args", [("info", "a.vdb"), ("compress", "a.vdb"), ("decompress", "a"), ("verify", "a")])
def test_3_missing_input(run, args):
    assert run(*args, code=3).stderr == f"nvdb: {args[1]}: cannot be read: No such file or directory\n"


def test_3_a_folder_as_input(run, tmp_path):
    """Where a file is meant; a folder with files stands for them."""
    assert "holds no" in run("info", tmp_path, code=3).stderr
    assert "holds no" in run("verify", tmp_path, code=3).stderr


@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify"])
def test_4_damaged_input(run, tmp_path, command):
    (tmp_path / "garbage").write_bytes(bytes(range(256)) * 40)
    done = run(command, "garbage", code=4)
    assert done.stderr.startswith("nvdb: garbage: damaged or not a")
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == ["garbage"]


@pytest.mark.parametrize("command", ["decompress", "info", "verify"])
def test_5_a_newer_archive(run, archive, tmp_path, command):
    data = archive.read_bytes()
    (tmp_path / "new.neuralvdb").write_bytes(data[:14] + b"\x05" + data[15:])
    assert "archive version 5 is not 1 or 4; upgrade neuralvdb" in run(command, "new.neuralvdb", code=5).stderr


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_6_the_output_exists(run, small, archive, tmp_path, command):
    (tmp_path / "there").write_text("mine")
    source = small if command == "compress" else archive
    done = run(command, source, "-o", "there", code=6)
    assert done.stderr == "nvdb: there: exists already; use --force to overwrite it\n"
    assert (tmp_path / "there").read_text() == "mine"
    run(command, source, "-o", "there", "--force")
    assert (tmp_path / "there").read_bytes() != b"mine"
    assert os.listdir(tmp_path) == ["there"]


def test_7_the_output_s_folder_is_absent(run, small, tmp_path):
    assert "absent/x.neuralvdb: cannot be written" in run("compress", small, "-o", "absent/x.neuralvdb", code=7).stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("command", ["decompress", "verify"])
def test_8_decoded_data_is_not_what_was_promised(run, forge, tmp_path, command):
    def change(kind: str, payload: bytes, raw_size: int) -> tuple[bytes, int]:
        if kind != "FRAM":
            return payload, raw_size
        table = FrameTable.unpack(payload, raw_size, "here", version=3)
        first, *later = table.grids
        return replace(table, grids=(replace(first, content=bytes(16)), *later)).pack()

    done = run(command, forge(change), code=8)
    assert "grid 'ball' decodes to other values than were stored" in done.stderr
    assert os.listdir(tmp_path) == ["forged.neuralvdb"]


@pytest.mark.skipif(devices.seems_there(), reason="there is a GPU here")
@pytest.mark.parametrize("device", ["cuda", "cuda:3"])
@pytest.mark.parametrize("command", ["compress", "decompress", "verify", "train"])
def test_13_no_such_device(run, archive, small, tmp_path, command, device):
    """Never a silent fall-back to the CPU."""
    target = () if command == "verify" else ("-o", "x")
    done = run(command, small if command == "compress" else archive, *target, "--device", device, code=13)
    assert done.stderr.startswith(f"nvdb: --device {device}")
    assert "--device cpu" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:-1"])
def test_2_devices_that_make_no_sense(run, archive, device):
    assert "is no device" in run("decompress", archive, "-o", "x.vdb", "--device", device, code=2).stderr


@pytest.mark.parametrize("size", [1 << 45, 1 << 60, 1 << 61, (1 << 64) - 1], ids=["2^45", "2^60", "2^61", "2^64-1"])
@pytest.mark.parametrize("name", ["decompress", "verify", "diff"])
def test_9_more_memory_than_there_is(forge, tmp_path, nvdb_command, name, size):
    """Whatever size an archive claims, the answer is an exit code and one line, and comes at once."""
    path = forge(lambda kind, payload, raw_size: (payload, size if kind == "VALS" else raw_size))
    options = {"cwd": tmp_path, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    args = [name, path, *([path] if name == "diff" else [])]
    with subprocess.Popen([*nvdb_command, *map(str, args)], start_new_session=True, **options) as process:
        try:
            _, message = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            pytest.fail("hangs")
    assert process.returncode == 9, message
    assert "bytes of memory; this machine has" in message
    assert len(message.splitlines()) == 1


def test_10_differences(run, archive, sample):
    run("diff", archive, sample, code=10)
    run("verify", archive, sample, code=10)


@pytest.mark.parametrize("command", ["compress", "decompress", "diff"])
def test_11_no_such_grid(run, small, archive, command):
    args = {"compress": (small, "-o", "a"), "decompress": (archive, "-o", "a"), "diff": (small, archive)}[command]
    assert "has no grid 'fuel'; it has: ball" in run(command, *args, "--grids", "ball,fuel", code=11).stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["interrupt", "terminate"])
def test_130_interrupted(nvdb_command, smoke, tmp_path, number):
    """A job that takes long ends at once, says so and leaves nothing."""
    hear = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a shell in the background has it ignored
    options = {"cwd": tmp_path, "stderr": subprocess.PIPE, "text": True, "preexec_fn": hear}
    slow = ["compress", "smoke.vdb", "--rel-error", "0.1%", "--effort", "9"]
    with subprocess.Popen([*nvdb_command, *slow], **options) as process:
        deadline = time.monotonic() + 20
        while len(os.listdir(tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)  # until the temporary output is there
        assert len(os.listdir(tmp_path)) == 2
        time.sleep(0.3)
        process.send_signal(number)
        _, message = process.communicate(timeout=20)
    assert process.returncode == 130
    assert message == "nvdb: interrupted; nothing half-written was left\n"
    assert os.listdir(tmp_path) == ["smoke.vdb"]


def test_the_first_error_gives_the_code(run, small, tmp_path):
    (tmp_path / "garbage.vdb").write_bytes(b"no volume" * 100)
    assert len(run("compress", "absent.vdb", "garbage.vdb", small, "-o", ".", code=3).stderr.splitlines()) == 2
    run("compress", "garbage.vdb", "absent.vdb", "-o", ".", code=4)


def test_a_reader_of_stdout_that_has_seen_enough_is_no_bug(nvdb_command, small):
    """As `head` is one: no word of an error."""
    receive, send = os.pipe()
    os.close(receive)
    done = subprocess.run([*nvdb_command, "info", str(small)], stdout=send, stderr=subprocess.PIPE, text=True)
    os.close(send)
    assert (done.returncode, done.stderr) == (130, "")
