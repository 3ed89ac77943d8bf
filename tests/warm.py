"""Runs of `nvdb` in copies of one process that has loaded it: real processes with arguments, folder, streams and exit
code of their own, without the start of Python, which would be half of the time of the tests of the command line."""

import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

_SERVER = """
import importlib, os, pickle, socket, struct, sys, traceback
from neuralvdb.cli import main
for name in ("compress", "decompress", "diff", "info", "verify"):
    importlib.import_module("neuralvdb.api." + name)
channel = socket.socket(fileno=int(sys.argv[1]))

def work(argv, folder, environment):
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["nvdb", *argv]
    try:
        return main()
    except SystemExit as end:
        return end.code or 0
    except BaseException:
        traceback.print_exc()
        return 1

while True:
    message, streams, *_ = socket.recv_fds(channel, 1 << 20, 3)
    if not message:
        break
    child = os.fork()
    if not child:
        channel.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        code = work(*pickle.loads(message))
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    for stream in streams:
        os.close(stream)
    channel.send(struct.pack("i", child))
    channel.send(struct.pack("i", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""


class WarmNvdb:
    """`nvdb`, loaded once."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-P", "-c", _SERVER, str(theirs.fileno())]
            self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def run(self, arguments: Sequence[object], folder: Path, seconds: float = 120) -> subprocess.CompletedProcess:
        """The finished process of `nvdb` with these arguments in this folder, its output as text, nothing on stdin."""
        argv = list(map(str, arguments))
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
            streams = [stream.fileno() for stream in (nothing, out, err)]
            socket.send_fds(self._channel, [pickle.dumps((argv, str(folder), dict(os.environ)))], streams)
            code = self._wait(argv, seconds)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(argv, code, out.read().decode(), err.read().decode())

    def _wait(self, argv: list[str], seconds: float) -> int:
        self._channel.settimeout(seconds)
        (child,) = struct.unpack("i", self._channel.recv(4))
        try:
            return struct.unpack("i", self._channel.recv(4))[0]
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            self._channel.recv(4)
            raise subprocess.TimeoutExpired(argv, seconds) from None

    def close(self) -> None:
        """Ends it."""
        self._channel.close()
        self._server.wait()
