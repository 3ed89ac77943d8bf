"""compress() decodes what it wrote: grids while others are still encoded, from the file, and the table at the end."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.codec import check, encode, scheduler
from neuralvdb.codec.decode import GridDecoder
from neuralvdb.codec.encode_grid import GridHead
from neuralvdb.codec.frame_writer import FrameWriter
from neuralvdb.errors import PromiseBroken
from neuralvdb.vdb import from_dense, write_vdb

THREADS = pytest.mark.parametrize("threads", [1, 2, 5])


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Four grids: the second one resembles the first, the third one is the first again."""
    smooth = np.random.default_rng(3).normal(size=(3, 40, 24, 24)).cumsum(1).cumsum(2).cumsum(3).astype("f4")
    grids = {"a": smooth[0], "b": smooth[0] * 3 + smooth[1] / 50, "again": smooth[0], "other": smooth[2]}
    path = tmp_path_factory.mktemp("check") / "four.vdb"
    write_vdb(path, [from_dense(values, name=name) for name, values in grids.items()])
    return path


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Numbers of the grids that are decoded, as that happens."""
    numbers, read = [], GridDecoder.read

    def counted(self, number, *args, **options):
        numbers.append(number)
        return read(self, number, *args, **options)

    monkeypatch.setattr(GridDecoder, "read", counted)
    return numbers


@THREADS
def test_each_grid_is_decoded_once_and_all_of_the_source_is_told_of_twice(source, tmp_path, decoded, threads):
    told = []
    neuralvdb.compress(source, tmp_path / "x", rel_error=0.01, threads=threads, progress=told.append)
    assert sorted(decoded) == [0, 1, 3]
    assert neuralvdb.info(tmp_path / "x").grids[1].references == [["a"]]
    once = []
    neuralvdb.compress(source, tmp_path / "y", rel_error=0.01, threads=threads, progress=once.append, verify=False)
    assert sum(told) == 2 * sum(once) > 0
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()


def test_large_grids_are_decoded_before_the_next_one_is_encoded(source, tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(scheduler, "_SMALL", 0)
    begin = encode.encode_grid

    def begun(job, *args):
        decoded.append(f"encode {job.number}")
        return (yield from begin(job, *args))

    monkeypatch.setattr(encode, "encode_grid", begun)
    neuralvdb.compress(source, tmp_path / "x", rel_error=0.01, threads=1)
    assert decoded == ["encode 0", 0, "encode 1", 1, "encode 2", "encode 3", 3]


@THREADS
@pytest.mark.parametrize("name", [b"b", b"again"])
def test_a_grid_that_decodes_to_something_else_is_an_error(source, tmp_path, monkeypatch, threads, name):
    grid_of, repeated = GridHead.of.__func__, encode.EncodedGrid.repeated

    def wrong(head):
        return replace(head, content=bytes(16)) if head.unique_name == name else head

    monkeypatch.setattr(GridHead, "of", classmethod(lambda kind, *args, **to: wrong(grid_of(kind, *args, **to))))
    monkeypatch.setattr(
        encode.EncodedGrid, "repeated", lambda *args: replace(new := repeated(*args), head=wrong(new.head))
    )
    with pytest.raises(PromiseBroken, match=name.decode()):
        neuralvdb.compress(source, tmp_path / "x", rel_error=0.01, threads=threads)
    assert list(tmp_path.iterdir()) == []


@THREADS
def test_a_byte_that_is_another_one_in_the_file_is_an_error(source, tmp_path, monkeypatch, threads):
    work_on = check.FrameCheck.work_on

    def damaging(self, grid, free_threads):
        self._stream.flush()
        with open(self._archive.path, "r+b") as file:
            file.seek(grid.sections[-1].offset)
            file.write(b"?")
        return work_on(self, grid, free_threads)

    monkeypatch.setattr(check.FrameCheck, "work_on", damaging)
    with pytest.raises(PromiseBroken, match=r"x[^ ]*: it reads back damaged \(.*checksum of section"):
        neuralvdb.compress(source, tmp_path / "x", rel_error=0.01, threads=threads)


@pytest.mark.parametrize("lost", ["a grid's voxels", "a reference"])
def test_a_table_that_says_something_else_is_an_error(source, tmp_path, monkeypatch, lost):
    end = FrameWriter.end

    def wrong(self, table, references, losses):
        if lost == "a reference":
            return end(self, table, {}, losses)
        first, *remaining = table.grids
        return end(self, replace(table, grids=(replace(first, active_voxels=7), *remaining)), references, losses)

    monkeypatch.setattr(FrameWriter, "end", wrong)
    with pytest.raises(PromiseBroken, match="reads back as something else"):
        neuralvdb.compress(source, tmp_path / "x", rel_error=0.01)


@pytest.mark.parametrize("work", ["compress", "compress unchecked", "decompress", "verify"])
def test_threads_end_where_who_takes_the_grids_fails(source, tmp_path, work):
    """The error is kept, as a host may: it holds the frames of the call, and nothing else ends their threads."""
    neuralvdb.compress(source, tmp_path / "x", rel_error=0.01)
    count, calls = threading.active_count(), []

    def cancel(size: int) -> None:
        calls.append(size)
        raise RuntimeError("no longer wanted")

    options = {"threads": 3, "progress": cancel}
    with pytest.raises(RuntimeError, match="no longer wanted") as kept:
        if work.startswith("compress"):
            neuralvdb.compress(source, tmp_path / "y", rel_error=0.01, verify=work == "compress", **options)
        elif work == "decompress":
            neuralvdb.decompress(tmp_path / "x", tmp_path / "y.vdb", **options)
        else:
            neuralvdb.verify(tmp_path / "x", **options)
    assert (threading.active_count(), len(calls), kept.value.__traceback__ is None) == (count, 1, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def test_grids_are_not_kept_where_nobody_checks_them(source, tmp_path, monkeypatch):
    checks = []

    class Noted(encode._Checks):
        def __init__(self, check) -> None:
            super().__init__(check)
            checks.append(self)

    monkeypatch.setattr(encode, "_Checks", Noted)
    neuralvdb.compress(source, tmp_path / "x", rel_error=0.01, verify=False)
    assert [each._written for each in checks] == [[]]
