"""Leaves are read and written by threads as by one alone, however values are stored."""

import numpy as np
import pytest

from neuralvdb.errors import DamagedFile
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, set_threads, write_vdb
from neuralvdb.volume import VolumeGrid

EDGE = 72  # voxels: 729 leaves, more than a thread takes at a time


@pytest.fixture(autouse=True)
def one_thread_afterwards():
    yield
    set_threads(1)


def grid(dtype: type, components: int, half: bool = False) -> VolumeGrid:
    """Leaves with few and many active voxels, and none, one, two or many inactive values; halves can hold them all."""
    random = np.random.default_rng(components)
    tail = (components,) * (components > 1)
    values = random.random((EDGE,) * 3 + tail).astype(np.float16)
    active = random.random((EDGE,) * 3) < np.linspace(0.01, 1.1, EDGE)
    kinds = random.integers(0, 1 + np.arange(EDGE) // 8 % 4, active.shape)
    inactive = np.array([0, 2, -3, 0.5], np.float16)[kinds]
    values[~active] = inactive[~active].reshape(-1, *(1,) * len(tail))
    return from_dense(values.astype(dtype), name="density", active=active, properties=GridProperties(half=half))


@pytest.mark.parametrize("compression", ["blosc", "zip", "none"])
@pytest.mark.parametrize(
    ("dtype", "components", "half"), [(np.float32, 1, False), (np.float32, 3, True), (float, 1, 0)]
)
def test_threads_write_and_read_leaves_as_one_does(dtype, components, half, compression, tmp_path):
    written, path = grid(dtype, components, bool(half)), tmp_path / "a.vdb"
    contents = []
    for threads in (1, 3):
        set_threads(threads)
        write_vdb(path, [written], compression=compression)
        contents.append(path.read_bytes())
    assert contents[0] == contents[1]
    for threads in (1, 3):
        set_threads(threads)
        (read,) = VdbReader(path)
        assert read.tree.leaf.values.tobytes() == written.tree.leaf.values.tobytes()
        assert read.tree.leaf.active.tobytes() == written.tree.leaf.active.tobytes()


def test_a_length_that_no_leaf_has_is_found_by_threads_too(tmp_path):
    written, path = grid(np.float32, 1), tmp_path / "a.vdb"
    write_vdb(path, [written])
    content = bytearray(path.read_bytes())
    at = content.rindex(written.tree.leaf.active[-300].tobytes()) + 64
    kind = content[at]
    length = at + 1 + {0: 0, 2: 4, 4: 4 + 64, 5: 8 + 64, 6: 0}[kind]
    assert 0 < int.from_bytes(content[length : length + 8], "little") < 2048 + 64
    for size in (1 << 40, -(1 << 62), 1 << 13):
        content[length : length + 8] = size.to_bytes(8, "little", signed=True)
        path.write_bytes(content)
        for threads in (1, 3):
            set_threads(threads)
            with pytest.raises((DamagedFile, MemoryError)):
                VdbReader(path).read(0)
