"""A worker that a hostile file makes do what it should not: it cannot write elsewhere, start a program, nor connect."""

import os
import socket
import subprocess
import sys

import pytest

from neuralvdb.cli.answers import Returned, pack, pack_told, take_told, unpack
from neuralvdb.errors import NeuralVdbError

PROGRAM = """
import os, socket, subprocess, sys
import neuralvdb.api.compress
from neuralvdb.cli import main
compress = sys.modules["neuralvdb.api.compress"]

def misbehave(*_, **__):
    {work}

compress.encode_frame = misbehave
sys.exit(main(["compress", {small!r}, "-o", "x.neuralvdb", "-v"]))
"""
DEEDS = {
    "write a new file": 'open("new", "w")',
    "write over a file": 'open("old", "w")',
    "add to a file": 'open("old", "a")',
    "remove a file": 'os.unlink("old")',
    "rename a file": 'os.rename("old", "other")',
    "make a folder": 'os.mkdir("folder")',
    "make a link": 'os.symlink("old", "link")',
    "start a program": 'subprocess.run(["/bin/true"])',
    "connect": 'socket.create_connection(("127.0.0.1", {port}))',
    "listen": 'socket.create_server(("127.0.0.1", 0))',
    "send a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
}


NETWORK = ("connect", "listen", "send a datagram")


@pytest.mark.parametrize("deed", DEEDS)
def test_a_worker_cannot(small, tmp_path, deed, in_force):
    if ("network" if deed in NETWORK else "files") not in in_force:
        pytest.skip("this kernel has no means for it")
    (tmp_path / "old").write_text("as before")
    with socket.create_server(("127.0.0.1", 0)) as server:
        work = DEEDS[deed].format(port=server.getsockname()[1])
        program = PROGRAM.format(work=work, small=str(small))
        command = [sys.executable, "-P", "-c", program]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert "Permission denied" in done.stderr
    assert done.returncode != 0
    assert os.listdir(tmp_path) == ["old"]
    assert (tmp_path / "old").read_text() == "as before"


def test_a_worker_without_confinement_could(small, tmp_path):
    """What the test above sees is the confinement."""
    program = PROGRAM.format(work='open("new", "w"); sys.exit(3)', small=str(small))
    program = "import neuralvdb.confinement as c\nc.confine = lambda _: None\n" + program
    subprocess.run([sys.executable, "-P", "-c", program], cwd=tmp_path, capture_output=True, timeout=120)
    assert os.listdir(tmp_path) == ["new"]


class _Deed:
    def __reduce__(self) -> tuple:
        return os.system, ("touch made",)


def test_an_answer_is_data_and_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NeuralVdbError, match="no answer that makes sense"):
        unpack(pack(Returned(_Deed())))
    assert os.listdir(tmp_path) == []


def test_what_is_told_is_data_and_comes_before_the_answer(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = bytearray(pack_told(1) + pack_told("two")[:-1])
    assert take_told(data) == [1] and len(data) == len(pack_told("two")) - 1
    data += pack_told("two")[-1:] + pack_told(3) + pack(Returned(4))
    assert take_told(data) == ["two", 3] and unpack(bytes(data)) == Returned(4) and take_told(data) == []
    crash = bytearray(b"Fatal Python error: Segmentation fault")
    assert take_told(crash) == [] and crash.startswith(b"Fatal")
    for value in (_Deed(), os.system):
        with pytest.raises(NeuralVdbError, match="no answer that makes sense"):
            take_told(bytearray(pack_told(value)))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name", [b"cneuralvdb.vdb\nVdbWriter\n.", b"cbuiltins\neval\n.", b"cneuralvdb.platform\nos\n."]
)
def test_an_answer_names_no_function(name):
    with pytest.raises(NeuralVdbError, match="is no data"):
        unpack(name)
