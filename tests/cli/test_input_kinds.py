"""Inputs that are no ordinary files, or files of another kind, are told apart at once."""

import gzip
import os
import subprocess

import pytest

COMMANDS = [("info",), ("compress", "-o", "x.neuralvdb"), ("decompress", "-o", "x.vdb"), ("verify",)]
KINDS = {
    "NanoVDB": (b"NanoVDB0" + bytes(200), "convert it with nanovdb_convert"),
    "LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64, "git lfs pull"),
    "gzip": (gzip.compress(b" BDV" + bytes(200)), "compressed by gzip"),
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_refused_and_not_waited_for(run, tmp_path, command, kind):
    if kind == "pipe":
        os.mkfifo(tmp_path / "in")
    elif os.getuid() == 0:
        os.mknod(tmp_path / "in", 0o600 | 0o020000, os.makedev(1, 5))  # as /dev/zero
    else:
        pytest.skip("only root makes devices")
    done = run(command[0], "in", *command[1:], code=3)
    assert done.stderr.endswith("a pipe, device or socket; save what it gives in a file first\n")
    assert done.stderr.count("\n") == 1


def test_diff_of_a_pipe_is_refused(run, small, tmp_path):
    os.mkfifo(tmp_path / "in")
    run("diff", small, "in", code=3)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_named(run, tmp_path, command, kind):
    data, hint = KINDS[kind]
    (tmp_path / "in").write_bytes(data)
    done = run(command[0], "in", *command[1:], code=4)
    assert hint in done.stderr
    assert done.stderr.count("\n") == 1


def test_ours_given_to_the_wrong_command_are_named(run, small, archive):
    assert "it is an archive already; nvdb decompress" in run("compress", archive, "-o", "x", code=4).stderr
    assert "it is a .vdb file; nvdb compress makes" in run("decompress", small, "-o", "x.vdb", code=4).stderr


@pytest.mark.slow
def test_names_with_control_characters_are_escaped(nvdb_command, small, tmp_path):
    """Of files, in results and in errors; JSON keeps them, in its own way."""
    name = "a\x1b[31mred\x07\nnvdb: all is well.vdb"
    (tmp_path / name).write_bytes(small.read_bytes())
    for argv in (["info", name], ["info", "-v", name], ["compress", name], ["decompress", name], ["info", name + "x"]):
        done = subprocess.run([*nvdb_command, *argv], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.stdout + done.stderr
        assert "\x1b" not in done.stdout + done.stderr
        assert "\x07" not in done.stdout + done.stderr
        assert "\nnvdb: all is well" not in done.stdout + done.stderr
