"""An archive of several frames: one open file, each frame its own table, sections and networks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from neuralvdb import CompressSettings, compress, values
from neuralvdb.api.shot import FrameSource, ShotSoFar, compressing_frames
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.frame import Frame, FrameReader, OpenFrames
from neuralvdb.codec.reusable import GridInFile
from neuralvdb.errors import InputError, UsageError
from neuralvdb.sequence.pack import frames_in, in_order, join, split
from neuralvdb.settings import Bound
from neuralvdb.vdb import VdbReader, from_dense, write_vdb
from neuralvdb.volume import VolumeGrid


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Four grids of two masks."""
    rng = np.random.default_rng(5)
    shape = (20, 20, 20)
    masks = [rng.random(shape) < share for share in (0.3, 0.8)]
    path = tmp_path_factory.mktemp("frames") / "in.vdb"
    write_vdb(
        path,
        [from_dense(rng.random(shape).astype("f4"), name=f"g{i}", active=masks[i % 2]) for i in range(4)],
    )
    return path


@pytest.fixture(scope="module")
def pieces(source) -> list[Path]:
    """Archives of frame 8 with all grids of the source, and of frame 9 with the last two, lossy."""
    paths = [source.with_name(f"s.{number:04}.neuralvdb") for number in (8, 9)]
    compress(source, paths[0], CompressSettings(quality="lossless"))
    compress(source, paths[1], CompressSettings(bounds=(Bound(value=0.01, relative=True),), grids=("g2", "g3")))
    return paths


@pytest.fixture(scope="module")
def archive(pieces) -> Path:
    """Both in one."""
    path = pieces[0].with_name("s.neuralvdb")
    with open(path, "wb") as stream:
        ordered, _ = in_order(frame for piece in pieces[::-1] for frame in frames_in(str(piece)))
        assert [frame.path for frame in join(ordered, stream)] == list(map(str, pieces))
    return path


def same(a: VolumeGrid, b: VolumeGrid) -> bool:
    """Whether the leaves of two grids have the same bytes."""
    return a.tree.leaf.values.tobytes() == b.tree.leaf.values.tobytes()


def test_frames_share_an_open_archive(source, archive):
    original = list(VdbReader(source))
    with ArchiveReader(archive, is_readable) as opened:
        first, second = (Frame(OpenFrames(opened), position) for position in (0, 1))
        assert [head.name for head in first.grids] == ["g0", "g1", "g2", "g3"]
        assert [head.name for head in second.grids] == ["g2", "g3"]
        assert all(same(grid, first.read(number)) for number, grid in enumerate(original))
        assert first.promise(2) is None
        assert second.promise(0) is not None
        error = np.abs(second.read(0).tree.leaf.values - original[2].tree.leaf.values)
        assert 0 < error.max() <= second.promise(0).bound.max_error


def test_frames_that_are_joined_come_apart_again(pieces, archive, tmp_path):
    """As the very archives that they came from."""
    with ArchiveReader(archive, is_readable) as opened:
        for position, piece in enumerate(pieces):
            with open(tmp_path / piece.name, "wb") as stream:
                split(opened, position, stream)
            assert (tmp_path / piece.name).read_bytes() == piece.read_bytes()
    assert archive.stat().st_size < sum(piece.stat().st_size for piece in pieces)


def test_a_frame_may_be_there_twice_where_it_is_the_same(pieces, archive, tmp_path):
    twice = [frame for path in (archive, pieces[1], pieces[0]) for frame in frames_in(str(path))]
    ordered, again = in_order(twice)
    assert ([frame.label.number for frame in ordered], len(again)) == ([8, 9], 2)
    (tmp_path / "s.0009.neuralvdb").write_bytes(pieces[0].read_bytes())
    with pytest.raises(UsageError, match=r"frame 9 is in .* and not the same; leave one"):
        in_order([*twice, *frames_in(str(tmp_path / "s.0009.neuralvdb"))])
    (tmp_path / "smoke.neuralvdb").write_bytes(pieces[0].read_bytes())
    with pytest.raises(UsageError, match=r"smoke\.neuralvdb: its name says no frame"):
        frames_in(str(tmp_path / "smoke.neuralvdb"))


def test_what_an_earlier_frame_has_is_not_coded_again(tmp_path):
    """Whatever it is called; and the bytes are those of a frame that is coded alone."""
    rng = np.random.default_rng(1)
    fog, other = (rng.random((20, 20, 20), np.float32) for _ in range(2))
    for number, grids in enumerate(({"a": fog, "b": other}, {"a_previous": fog, "b": other + 1})):
        write_vdb(tmp_path / f"s.{number}.vdb", [from_dense(values, name=name) for name, values in grids.items()])
    settings, coded, reusable = CompressSettings(verify=False), [], {}
    prepare = values.prepare_values

    def code(number: int, name: str) -> tuple[str, ...]:
        source = FrameSource(str(tmp_path / f"s.{number}.vdb"), number)
        shot = ShotSoFar(1, reusable=reusable)
        with compressing_frames([source], str(tmp_path / name), settings, shot) as task:
            (report,) = task.work()
        return report.keys

    with mock.patch.object(values, "prepare_values", lambda *args: coded.append(1) or prepare(*args)):
        first, _ = code(0, "0.neuralvdb"), code(1, "alone.neuralvdb")
        assert len(set(first)) == 2 and all(first) and len(coded) == 4
        reusable |= {key: GridInFile(str(tmp_path / "0.neuralvdb"), 0, number) for number, key in enumerate(first)}
        second = code(1, "1.neuralvdb")
    assert len(coded) == 5
    assert second[0] == first[0]
    assert (tmp_path / "1.neuralvdb").read_bytes() == (tmp_path / "alone.neuralvdb").read_bytes()


def test_threads_read_one_frame_at_the_same_time(archive):
    with FrameReader(archive, 9) as frame:
        expected = [frame.read(number) for number in (0, 1)]
    with FrameReader(archive, 9) as frame, ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(frame.read, [0, 1] * 8))
    assert all(same(grid, expected[i % 2]) for i, grid in enumerate(decoded))


def test_a_frame_that_is_not_there(archive):
    with pytest.raises(InputError, match="has no frame 7; it holds 2 frames from 8 to 9"):
        FrameReader(archive, 7)
    with pytest.raises(UsageError, match="holds 2 frames from 8 to 9; say which"):
        FrameReader(archive)
