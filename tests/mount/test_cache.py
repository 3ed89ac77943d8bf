"""The cache and what processes say to each other, without a mount."""

import os
import threading
import time
from multiprocessing import Pipe

import pytest

from neuralvdb import errors
from neuralvdb.errors import DamagedFile, OutputError, Stopped
from neuralvdb.mount.cache import FrameCache, SizeTable, remove_abandoned, workplace
from neuralvdb.mount.client import Decoder
from neuralvdb.mount.decoder import Answered
from neuralvdb.mount.messages import (
    Decode,
    FrameName,
    Identity,
    Listed,
    done,
    failed,
    pack_identity,
    pack_list,
    text_of_answer,
    unpack_identity,
    unpack_list,
)

KEYS = [f"{number:032x}" for number in range(4)]


def put(cache: FrameCache, key: str, size: int, folder) -> None:
    """Puts a frame of that many bytes in."""
    path = folder / "new"
    path.write_bytes(b"x" * size)
    cache.keep(key, str(path))


def test_what_was_used_longest_ago_goes(tmp_path):
    cache = FrameCache(str(tmp_path / "cache"), 100)
    for age, key in enumerate(KEYS[:3]):
        put(cache, key, 30, tmp_path)
        os.utime(cache._path(key), (age, age))
    handle = cache.open(KEYS[0])
    put(cache, KEYS[3], 60, tmp_path)
    assert [cache.size(key) for key in KEYS] == [30, None, None, 60]
    assert os.pread(handle, 100, 0) == b"x" * 30
    os.close(handle)
    with pytest.raises(OutputError, match="raise --cache-size"):
        put(cache, KEYS[1], 101, tmp_path)
    assert [cache.size(key) for key in KEYS] == [30, None, None, 60] and cache.open(KEYS[1]) is None
    os.symlink("/etc/passwd", tmp_path / "link")
    with pytest.raises(OutputError):
        cache.keep(KEYS[1], str(tmp_path / "link"))


def test_sizes_outlive_frames(tmp_path):
    table = SizeTable(str(tmp_path))
    table.add(KEYS[0], 5)
    with open(tmp_path / "sizes", "a") as file:
        file.write("no line\n" + KEYS[1])
    assert [SizeTable(str(tmp_path)).get(key) for key in KEYS[:2]] == [5, None]


def test_work_of_processes_that_live_is_left_alone(tmp_path):
    (tmp_path / "work" / "abandoned").mkdir(parents=True)
    (tmp_path / "work" / "abandoned" / "frame.vdb").write_bytes(b"x")
    with workplace(str(tmp_path)) as path:
        remove_abandoned(str(tmp_path))
        assert os.listdir(tmp_path / "work") == [os.path.basename(path)]
    assert os.listdir(tmp_path / "work") == []


def test_what_several_ask_for_is_asked_once():
    """The answer, or the error, is that of all; when it is over, all who wait hear so."""
    here, other_end = Pipe()
    ended = threading.Event()
    decoder = Decoder(here, ended.set)
    request = Decode(FrameName("x", "1"), (1, 2), Identity(KEYS[0], 3, 4))
    answers: list[object] = []

    def ask() -> None:
        try:
            answers.append(decoder.ask(request))
        except errors.NeuralVdbError as error:
            answers.append(type(error))

    def all_ask(count: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=ask) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads

    for value in (7, DamagedFile("x")):
        threads = all_ask(8)
        asked = other_end.recv()
        assert asked.request == request
        time.sleep(0.05)
        assert not other_end.poll()
        other_end.send(Answered(asked.number, value))
        for thread in threads:
            thread.join(10)
    assert answers == [7] * 8 + [DamagedFile] * 8
    decoder.prepare(request)
    ahead = other_end.recv()
    (thread,) = all_ask(1)
    urgent = other_end.recv()
    assert (ahead.number, ahead.ahead, urgent.number, urgent.ahead) == (urgent.number, True, ahead.number, False)
    other_end.close()
    thread.join(10)
    assert ended.wait(10) and answers[-1] is Stopped


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b'[["1", "../x.vdb"]]',
        b'[["1", "a/x.vdb"]]',
        b'[["1", "x.exe"]]',
        b'[["1", ".vdb"]]',
        b'[["x", "x.vdb"]]',
        b'[["1", "x.vdb", 1]]',
        b'[["1", "x.vdb"], ["2", "x.vdb"]]',
        b'[[1, "x.vdb"]]',
    ],
)
def test_a_list_that_makes_no_sense_is_damage(data):
    with pytest.raises(DamagedFile):
        unpack_list(data, "x")


def test_answers_come_back():
    assert text_of_answer(done("text \udcff")) == "text \udcff"
    assert unpack_list(pack_list([Listed("1.5", "a\udcff.vdb")]), "x") == (Listed("1.5", "a\udcff.vdb"),)
    with pytest.raises(OutputError, match="no room"):
        text_of_answer(failed(OutputError("no room")))
    for answer in (b"", b"\1os\nx", b"\1NeuralVdbError.__init__\n", b"\2"):
        with pytest.raises(DamagedFile):
            text_of_answer(answer)
    assert unpack_identity(pack_identity(Identity(KEYS[0], 3, 4)), "x") == Identity(KEYS[0], 3, 4)
    for text in ("", "x 1 1", KEYS[0], f"{KEYS[0]} -1 1", f"../{KEYS[0]} 1 1", f"{KEYS[0]} 1 {'9' * 30}"):
        with pytest.raises(DamagedFile):
            unpack_identity(text, "x")
