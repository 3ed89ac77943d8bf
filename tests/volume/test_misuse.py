"""Calls of the compiled bridge in a wrong order or with what makes no sense: an exception, nothing worse."""

from pathlib import Path

import numpy as np
import pytest

from neuralvdb.errors import Unsupported
from neuralvdb.topology import Topology
from neuralvdb.vdb import VdbWriter, _bridge, from_dense, write_vdb
from neuralvdb.vdb.files import NIL_UUID, arrays_of

REFUSED = (ValueError, TypeError, IndexError, KeyError, RuntimeError, OSError, _bridge.DamagedError)
ACTIVE = np.ones((8, 8, 8), bool)
GRID = from_dense(ACTIVE.astype(np.float32), name="g", active=ACTIVE)
ENTRY = {"unique_name": b"g", "type": b"Tree_float_5_4_3", "parent": b"", "half": False}
NOTHING = _bridge.make_metadata({})


def written(path: Path, uuid: bytes = NIL_UUID, count: int = 1, metadata: bytes = NOTHING, **changes: object) -> None:
    """A file of the grid; changes: of its entry, metadata, transform and arrays."""
    arrays = arrays_of(GRID.tree)
    head = [changes.get("entry", ENTRY), changes.get("grid_metadata", GRID.metadata), GRID.transform]
    with open(path, "wb") as file:
        writer = _bridge.Writer(file.fileno(), metadata, count, uuid, changes.get("compression", "blosc"), 224)
        writer.write_tree(*head[:2], changes.get("transform", head[2]), arrays | changes.get("arrays", {}))
        writer.close()


@pytest.mark.parametrize(
    "changes",
    [
        {"compression": "lzma"},
        {"metadata": b"\xff\xff\xff\xff"},
        *({"grid_metadata": metadata} for metadata in (GRID.metadata[:-3], b"\xff\xff\xff\xff")),
        *({"transform": transform} for transform in (b"", GRID.transform[:-1])),
        *({"entry": entry} for entry in ({}, ENTRY | {"type": b"Tree_dragon"}, ENTRY | {"half": "yes"})),
        {"arrays": {"leaf_values": [[0.0] * 512]}},
        {"arrays": {"child_origins": np.zeros((), np.int32)}},
        {"arrays": {"leaf_values": np.zeros(512, np.float32)}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_writing(tmp_path, changes):
    written(tmp_path / "a.vdb")
    with pytest.raises(REFUSED):
        written(tmp_path / "b.vdb", **changes)


def test_trees_that_are_not_there(tmp_path):
    with open(tmp_path / "a.vdb", "wb") as file:
        writer = _bridge.Writer(file.fileno(), NOTHING, 2, NIL_UUID, "blosc", 224)
        writer.write_tree(ENTRY, GRID.metadata, GRID.transform, arrays_of(GRID.tree))
        for number in (-1, 1, 1 << 40):
            with pytest.raises(REFUSED):
                writer.write_again(ENTRY, GRID.metadata, GRID.transform, number)
        assert not writer.write_again(ENTRY | {"type": b"Tree_double_5_4_3"}, GRID.metadata, GRID.transform, 0)
        with pytest.raises(OSError, match="Bad file descriptor"):  # it cannot be read
            writer.write_again(ENTRY, GRID.metadata, GRID.transform, 0)


def test_reading(tmp_path):
    write_vdb(tmp_path / "a.vdb", [GRID])
    reader = _bridge.Reader(str(tmp_path / "a.vdb"))
    for index in (-1, 1, 99, 1 << 70):
        for call in (reader.read, reader.outline):
            with pytest.raises(REFUSED):
                call(index)


def test_masks_there_twice(tmp_path):
    masks = {name: np.concatenate([array] * 2) for name, array in vars(Topology.of(GRID.tree)).items()}
    with open(tmp_path / "a.vdb", "wb") as file, pytest.raises(REFUSED):
        writer = _bridge.Writer(file.fileno(), NOTHING, 1, NIL_UUID, "blosc", 224)
        writer.write_mask(ENTRY | {"type": b"Tree_mask_5_4_3"}, GRID.metadata, GRID.transform, masks)


@pytest.mark.parametrize("changes", [{"uuid": b"0"}, {"uuid": NIL_UUID * 2}, {"count": -1}], ids=str)
def test_what_a_file_begins_with(tmp_path, changes):
    with open(tmp_path / "a.vdb", "wb") as file, pytest.raises(ValueError, match="36 characters"):
        VdbWriter(file, **{"metadata": NOTHING, "count": 1, "uuid": NIL_UUID} | changes)
    with pytest.raises(ValueError, match=r"36 characters|at least 0"):
        written(tmp_path / "a.vdb", **changes)


def test_file_versions(tmp_path):
    with open(tmp_path / "a.vdb", "wb") as file:
        with pytest.raises(Unsupported, match="version 226"):
            VdbWriter(file, metadata=NOTHING, count=0, uuid=NIL_UUID, version=226)
        for version in (0, 223, 226, (1 << 32) - 1):
            with pytest.raises(ValueError, match="no such file version"):
                _bridge.Writer(file.fileno(), NOTHING, 0, NIL_UUID, "blosc", version)


RAW = ENTRY | {"type": b"Tree_dragon"}
TREE = lambda writer: writer.write_tree(ENTRY, GRID.metadata, GRID.transform, arrays_of(GRID.tree))  # noqa: E731
INSTANCE = lambda writer: writer.write_instance(ENTRY, GRID.metadata, GRID.transform)  # noqa: E731


@pytest.mark.parametrize(
    "calls",
    [
        *([lambda writer, at=at: writer.write_raw(RAW, b"123", at)] for at in (-1, 4, 1 << 60)),
        [INSTANCE],
        [TREE, TREE],
        [lambda writer: writer.close()],
        [TREE, lambda writer: writer.close(), lambda writer: writer.close()],
        [TREE, lambda writer: writer.close(), TREE],
    ],
    ids=["before", "behind", "far behind", "instance of none", "one more", "one less", "closed twice", "closed"],
)
def test_what_is_written_where_it_does_not_belong(tmp_path, calls):
    with open(tmp_path / "a.vdb", "wb") as file:
        writer = _bridge.Writer(file.fileno(), NOTHING, 1, NIL_UUID, "blosc", 224)
        for call in calls[:-1]:
            call(writer)
        with pytest.raises(REFUSED):
            calls[-1](writer)


def test_regions():
    arrays, head = arrays_of(GRID.tree), ("Tree_float_5_4_3", GRID.metadata, GRID.transform)
    cells = {"values": np.zeros((1, 64), np.float32), "active": np.zeros((1, 64), np.uint8)}
    _bridge.coarse_transform(GRID.transform, 1, 0.5)
    _bridge.coarsen(*head, arrays, cells, 1, ((0, 0, 0), (0, 9, 0)))
    for lod in (-5, 0, 4, 99):
        with pytest.raises(ValueError, match="lod is"):
            _bridge.coarse_transform(GRID.transform, lod, 0.0)
        with pytest.raises(ValueError, match="lod is"):
            _bridge.coarsen(*head, arrays, cells, lod, None)
    for shift in (np.nan, np.inf):
        with pytest.raises(ValueError, match="shift"):
            _bridge.coarse_transform(GRID.transform, 1, shift)
    for box in (((0, 0, 0), (0, -1, 0)), ((5, 5, 5), (0, 0, 0))):
        for call in (
            lambda box: _bridge.clip_tree(*head, arrays, *box),
            lambda box: _bridge.clip_serial(*head, b"", *box),
            lambda box: _bridge.coarsen(*head, arrays, cells, 1, box),
        ):
            with pytest.raises(ValueError, match="box"):
                call(box)


def test_metadata_of_noise():
    for noise in (b"", b"\x01", bytes(range(100)), b"\xff" * 100):
        with pytest.raises(REFUSED):
            _bridge.describe_metadata(noise)
