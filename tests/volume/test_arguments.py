"""Arrays that are no tree are a ValueError of the function that gets them, never the end of the process."""

import os
from dataclasses import replace

import numpy as np
import pytest

from neuralvdb.errors import DamagedFile, InputError, OutputError
from neuralvdb.topology import Topology
from neuralvdb.vdb import GridProperties, VdbReader, VdbWriter, _bridge, from_dense, set_threads, write_vdb
from neuralvdb.vdb.files import arrays_of
from neuralvdb.volume import Storage, VolumeGrid

CHILD = ("upper_child", "upper_active", "upper_values", "lower_child", "lower_active", "lower_values")
CELLS = {"values": np.zeros((1, 64), np.float32), "active": np.zeros((1, 64), np.uint8)}


@pytest.fixture
def grid() -> VolumeGrid:
    active = np.ones((8, 8, 8), bool)
    return from_dense(active.astype(np.float32), name="g", active=active)


def twice(arrays: dict) -> None:
    """Every node twice."""
    for name in (*CHILD, "child_origins", "leaf_active", "leaf_values"):
        if name in arrays:
            arrays[name] = np.concatenate([arrays[name]] * 2)


def changed(name: str, change) -> object:
    def apply(arrays: dict) -> None:
        arrays[name] = change(arrays[name])

    return apply


def removed(name: str) -> object:
    return lambda arrays: arrays.pop(name)


def tile_over_child(arrays: dict) -> None:
    arrays["tile_origins"], arrays["tile_active"] = arrays["child_origins"], np.ones(1, np.uint8)
    if "tile_values" in arrays:
        arrays["tile_values"] = np.ones(1, np.float32)


CHANGES = {
    "every node twice": twice,
    "a tile where a node is": tile_over_child,
    "an origin off the lines": changed("child_origins", lambda array: array + np.int32(8)),
    "origins without an axis": changed("child_origins", lambda _: np.int32(0)),
    "origins of no number of axes": changed("child_origins", lambda _: np.zeros((), np.int32)),
    "origins of one axis": changed("child_origins", lambda array: array.reshape(-1)),
    "origins of 64 bits": changed("child_origins", lambda array: array.astype(np.int64)),
    "origins as text": changed("child_origins", lambda _: "here"),
    "a leaf too few": changed("leaf_active", lambda array: array[:0]),
    "masks as a list": changed("leaf_active", lambda array: array.tolist()),
    "no masks of leaves": removed("leaf_active"),
    "no masks of lower nodes": removed("lower_child"),
}
OF_VALUES = {
    "no values of leaves": removed("leaf_values"),
    "no background": removed("background"),
    "values of 64 bits": changed("leaf_values", lambda array: array.astype(np.float64)),
    "values in another order": changed("upper_values", lambda array: np.repeat(array, 2, axis=0).T.copy().T[::2]),
}


def writer(file) -> VdbWriter:
    return VdbWriter(file, metadata=_bridge.make_metadata({}), count=1, uuid=b"0" * 36)


@pytest.mark.parametrize("name", [*CHANGES, *OF_VALUES])
def test_arrays_that_are_no_tree(grid, name):
    arrays = arrays_of(grid.tree)
    (CHANGES | OF_VALUES)[name](arrays)
    head = (grid.grid_type, grid.metadata, grid.transform)
    with pytest.raises(ValueError):
        _bridge.clip_tree(*head, arrays, (0, 0, 0), (5, 5, 5))
    with pytest.raises(ValueError):
        _bridge.coarsen(*head, arrays, CELLS, 1, None)


@pytest.mark.parametrize("name", CHANGES)
def test_arrays_that_are_no_mask(grid, tmp_path, name):
    masks = dict(vars(Topology.of(grid.tree)))
    CHANGES[name](masks)
    with open(tmp_path / "a.vdb", "wb") as file, pytest.raises(ValueError):
        writer(file).write_mask(grid, masks)


def test_nodes_that_are_there_twice_are_not_written(grid, tmp_path):
    root = replace(grid.tree.root, child_origins=np.concatenate([grid.tree.root.child_origins] * 2))
    levels = {
        name: replace(
            level, **{name_of_array: np.concatenate([array] * 2) for name_of_array, array in vars(level).items()}
        )
        for name, level in (("upper", grid.tree.upper), ("lower", grid.tree.lower), ("leaf", grid.tree.leaf))
    }
    with pytest.raises(ValueError, match="one place"):
        write_vdb(tmp_path / "a.vdb", [replace(grid, tree=replace(grid.tree, root=root, **levels))])


@pytest.mark.parametrize("before", [None, b"what was there before"])
def test_nothing_half_written_stays(grid, tmp_path, before):
    """A second grid that cannot be written, a compression that is none: the old file stays, or none is there."""
    path = tmp_path / "a.vdb"
    if before is not None:
        path.write_bytes(before)
    short = replace(grid, tree=replace(grid.tree, leaf=replace(grid.tree.leaf, values=grid.tree.leaf.values[:-1])))
    with pytest.raises(ValueError):
        write_vdb(path, [grid, replace(short, unique_name=b"short")])
    with pytest.raises(ValueError):
        write_vdb(path, [grid], compression="lzma")
    with pytest.raises(DamagedFile):
        write_vdb(path, [grid, replace(grid, unique_name=b"odd", metadata=b"\xff" * 4)])
    assert [file.name for file in tmp_path.iterdir()] == ([] if before is None else ["a.vdb"])
    assert before is None or path.read_bytes() == before
    write_vdb(path, [grid])
    assert [entry.name for entry in VdbReader(path).entries] == [grid.name]


def test_a_file_is_written_into_no_folder_that_is_missing(grid, tmp_path):
    with pytest.raises(OutputError, match="cannot be written"):
        write_vdb(tmp_path / "none" / "a.vdb", [grid])


@pytest.mark.parametrize("parent", [b"nobody", b"again"])
def test_an_instance_of_nothing_is_not_written(grid, tmp_path, parent):
    instance = replace(grid, unique_name=b"again", storage=Storage.INSTANCE, parent=parent, tree=None)
    with pytest.raises(ValueError, match="'again' shares the tree of"):
        write_vdb(tmp_path / "a.vdb", [grid, instance])
    assert not (tmp_path / "a.vdb").exists()


@pytest.mark.parametrize(
    "properties",
    [{"voxel_size": size} for size in (0.0, -1.0, float("nan"), float("inf"))]
    + [{"metadata": {"note": value}} for value in (None, [1], 1 << 70)],
)
def test_properties_that_no_grid_has(properties):
    active = np.ones((2, 2, 2), bool)
    with pytest.raises(ValueError):
        from_dense(active.astype(np.float32), name="g", active=active, properties=GridProperties(**properties))


def test_no_threads():
    with pytest.raises(ValueError, match="0 threads"):
        set_threads(0)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("at", [-(2**31) - 8, -(2**31) - 1, 2**31 - 6, 2**31, 2**40])
def test_voxels_beyond_32_bits(axis, at):
    origin = [0, 0, 0]
    origin[axis] = at
    active = np.ones((12, 12, 12), bool)
    with pytest.raises(ValueError, match="32 bits"):
        from_dense(active.astype(np.float32), name="g", active=active, origin=tuple(origin))


@pytest.mark.parametrize("at", [-(2**31), 2**31 - 8])
def test_the_last_voxels_of_32_bits(tmp_path, at):
    active = np.ones((8, 8, 8), bool)
    write_vdb(tmp_path / "a.vdb", [from_dense(active.astype(np.float32), name="g", active=active, origin=(at, 0, 0))])
    assert VdbReader(tmp_path / "a.vdb").outline(0).active_bbox == ((at, 0, 0), (at + 7, 7, 7))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.vdb")
    with pytest.raises(InputError, match="a pipe, device or socket"):
        VdbReader(tmp_path / "pipe.vdb")
