"""from_dense() makes the grid that OpenVDB sees voxel by voxel."""

from pathlib import Path

import numpy as np
import pytest

from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb

SHAPE, ORIGIN, GROUND = (20, 9, 30), (-5, 4090, -131), 0.25
MARGIN = 3  # voxels around the array that are looked at as well


def example(tail: tuple, kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    active = rng.random(SHAPE) < 0.3
    active[8:] = False  # so that whole leaves stay empty
    active[19, 8, 29] = True
    return rng.normal(size=(*SHAPE, *tail)).astype(kind), active


def expected(values: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values and active of the box with its margin: the array's where a leaf is, else the background."""
    size = [n + 2 * MARGIN for n in SHAPE]
    out, on = np.full((*size, *values.shape[3:]), GROUND, values.dtype), np.zeros(size, bool)
    points = np.stack(np.meshgrid(*map(np.arange, SHAPE), indexing="ij"), axis=-1)
    leaf = (points + ORIGIN) // 8
    used = {tuple(at) for at in leaf[active]}
    for at in np.ndindex(*SHAPE):
        if tuple(leaf[at]) in used:
            to = tuple(i + MARGIN for i in at)
            out[to], on[to] = values[at], active[at]
    return out, on


@pytest.mark.parametrize("tail", [(), (3,)])
def test_pyopenvdb_sees_the_array(tail: tuple, dense, tmp_path: Path) -> None:
    values, active = example(tail, "f4")
    properties = GridProperties(voxel_size=0.5)
    grid = from_dense(values, name="g", active=active, background=GROUND, origin=ORIGIN, properties=properties)
    write_vdb(tmp_path / "a.vdb", [grid])
    low, size = [o - MARGIN for o in ORIGIN], [n + 2 * MARGIN for n in SHAPE]
    count = dense.run(tmp_path / "a.vdb", "g", tmp_path / "out.npz", *low, *size)
    arrays = np.load(tmp_path / "out.npz")
    want_values, want_active = expected(values, active)
    assert count == active.sum()
    assert (arrays["active"] == want_active).all()
    assert arrays["values"].tobytes() == want_values.tobytes()


@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("tail", [(), (3,)])
def test_grid_comes_back_from_a_file(tail: tuple, kind: str, tmp_path: Path) -> None:
    values, active = example(tail, kind)
    grid = from_dense(values, name="g", active=active, origin=ORIGIN)
    write_vdb(tmp_path / "a.vdb", [grid])
    (read,) = VdbReader(tmp_path / "a.vdb")
    for level, read_level in zip(grid.tree.levels, read.tree.levels, strict=True):
        assert level.values.tobytes() == read_level.values.tobytes()
        assert level.active.tobytes() == read_level.active.tobytes()


def test_nothing_active_is_an_empty_tree() -> None:
    tree = from_dense(np.ones((4, 4, 4), np.float32), name="g", active=np.zeros((4, 4, 4), bool)).tree
    assert [len(level) for level in tree.levels] == [0, 0, 0]


@pytest.mark.parametrize("bad", [np.zeros((2, 2), np.float32), np.zeros((2, 2, 2), np.int32)])
def test_other_arrays_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="make no grid"):
        from_dense(bad, name="g", active=np.zeros((2, 2, 2), bool))
