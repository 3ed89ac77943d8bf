"""An archive of several frames: one open file, each frame its own table, sections and networks."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from neuralvdb import CompressSettings
from neuralvdb.archive import ArchiveReader, ArchiveWriter
from neuralvdb.archive.formats import is_readable
from neuralvdb.codec.encode import encode_frame
from neuralvdb.codec.frame import Frame, FrameReader
from neuralvdb.codec.models import ModelStore
from neuralvdb.errors import DamagedFile
from neuralvdb.settings import Bound
from neuralvdb.values.context import EncodeContext
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
def archive(source) -> Path:
    """Frame 0 with all grids of the source, frame 1 with the last two, lossy."""
    path = source.with_suffix(".neuralvdb")
    lossy = CompressSettings(bounds=(Bound(value=0.01, relative=True),), effort=0)
    with open(path, "wb") as stream:
        writer, reader = ArchiveWriter(stream), VdbReader(source)
        for number, (selected, settings) in enumerate(
            (([0, 1, 2, 3], CompressSettings(quality="lossless")), ([2, 3], lossy))
        ):
            encode_frame(writer, reader, selected, EncodeContext.of(settings), lambda _: None, frame=number)
        writer.close()
    return path


def same(a: VolumeGrid, b: VolumeGrid) -> bool:
    """Whether the leaves of two grids have the same bytes."""
    return a.tree.leaf.values.tobytes() == b.tree.leaf.values.tobytes()


def test_frames_share_an_open_archive(source, archive):
    original = list(VdbReader(source))
    with ArchiveReader(archive, is_readable) as opened:
        models = ModelStore(opened, None)
        first, second = (Frame(opened, models, number) for number in (0, 1))
        assert [head.name for head in first.grids] == ["g0", "g1", "g2", "g3"]
        assert [head.name for head in second.grids] == ["g2", "g3"]
        assert all(same(grid, first.read(number)) for number, grid in enumerate(original))
        assert first.promise(2) is None
        assert second.promise(0) is not None
        error = np.abs(second.read(0).tree.leaf.values - original[2].tree.leaf.values)
        assert 0 < error.max() <= second.promise(0).bound.max_error


def test_threads_read_one_frame_at_the_same_time(archive):
    with FrameReader(archive, 1) as frame:
        expected = [frame.read(number) for number in (0, 1)]
    with FrameReader(archive, 1) as frame, ThreadPoolExecutor(8) as pool:
        decoded = list(pool.map(frame.read, [0, 1] * 8))
    assert all(same(grid, expected[i % 2]) for i, grid in enumerate(decoded))


def test_a_frame_that_is_not_there(archive):
    with pytest.raises(DamagedFile, match="its table is missing"):
        FrameReader(archive, 2)
