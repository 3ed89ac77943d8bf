"""Arrays and tensors straight to archives and back, and what GridTensors say of themselves."""

import numpy as np
import pytest

import neuralvdb
from neuralvdb.errors import UsageError
from neuralvdb.settings import Box
from neuralvdb.vdb import GridProperties, from_dense, write_vdb

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def values():
    """(20, 11, 9) fog that is zero at the border."""
    field = np.random.default_rng(3).random((20, 11, 9)).astype(np.float32)
    field[[0, -1]] = 0
    return field


def test_arrays_come_back_from_an_archive(values, tmp_path):
    grid = from_dense(values, name="fog", origin=(-5, 3, 0), properties=GridProperties(voxel_size=0.25))
    report = neuralvdb.compress([grid, from_dense(values, name="more")], tmp_path / "a", quality="lossless")
    assert (report.source, report.grids) == ("grids in memory", ["fog", "more"])
    back = neuralvdb.decompress(tmp_path / "a")["fog"]
    box = Box((-5, 3, 0), (14, 13, 8))
    assert torch.equal(back.dense(box)[..., 0], torch.from_numpy(values))
    assert back.bounding_box == Box((-4, 3, 0), (13, 13, 8))
    assert torch.equal(back.dense()[..., 0], torch.from_numpy(values[1:-1]))
    neuralvdb.decompress(tmp_path / "a", tmp_path / "a.vdb")
    write_vdb(tmp_path / "b.vdb", [grid])
    assert neuralvdb.diff(tmp_path / "a.vdb", tmp_path / "b.vdb", grids="fog").grids[0].same


def test_a_grid_in_memory_is_the_archive_of_its_file(values, tmp_path):
    grid = from_dense(values, name="fog")
    write_vdb(tmp_path / "a.vdb", [grid])
    neuralvdb.compress(tmp_path / "a.vdb", tmp_path / "file", rel_error=0.01)
    neuralvdb.compress(grid, tmp_path / "memory", rel_error=0.01)
    assert not neuralvdb.verify(tmp_path / "memory", tmp_path / "a.vdb").differences
    assert neuralvdb.diff(tmp_path / "file", tmp_path / "memory").grids[0].same


def test_tensors_make_the_same_grid_as_arrays(values):
    half = neuralvdb.from_tensor(torch.from_numpy(values).half(), name="fog")
    assert half.half
    assert np.array_equal(
        half.tree.leaf.values, from_dense(values.astype(np.float16).astype(np.float32), name="fog").tree.leaf.values
    )
    vectors = np.stack([values, -values, values], axis=-1)
    active = torch.from_numpy(values > 0.5)
    grid = neuralvdb.from_tensor(torch.from_numpy(vectors), name="vel", active=active)
    assert np.array_equal(grid.tree.leaf.active, from_dense(vectors, name="vel", active=values > 0.5).tree.leaf.active)


def test_tensors_of_a_file_are_those_of_its_archive(sample, tmp_path):
    neuralvdb.compress(sample, tmp_path / "a", quality="lossless")
    of_file, of_archive = neuralvdb.decompress(sample), neuralvdb.decompress(tmp_path / "a")
    assert list(of_file) == list(of_archive)
    for name, grid in of_archive.items():
        assert torch.equal(grid.values, of_file[name].values) and torch.equal(grid.masks, of_file[name].masks)
    neuralvdb.compress(of_file.values(), tmp_path / "b", quality="lossless")
    assert all(grid.same for grid in neuralvdb.diff(tmp_path / "b", sample).grids)


def test_the_matrix_takes_voxels_to_the_world(sample, tmp_path, values):
    grid = from_dense(values, name="fog", properties=GridProperties(voxel_size=0.25, grid_class="fog volume"))
    neuralvdb.compress(grid, tmp_path / "a", quality="lossless")
    back = neuralvdb.decompress(tmp_path / "a")["fog"]
    assert back.voxel_size == (0.25, 0.25, 0.25)
    assert back.grid_class == "fog volume"
    assert np.array_equal(back.matrix @ [4, 8, -4, 1], [1, 2, -1, 1])


def test_active_tiles_are_in_the_box_and_in_the_dense_array(tmp_path):
    values = np.full((1, 1, 1), 2.0, np.float32)
    grid = from_dense(values, name="tile", background=1.0)
    lower = grid.tree.lower
    lower.values[0, 1] = 7
    lower.active[0, 0] |= 2  # the brick (0, 0, 8)
    neuralvdb.compress(grid, tmp_path / "a", quality="lossless")
    back = neuralvdb.decompress(tmp_path / "a")["tile"]
    assert back.bounding_box == Box((0, 0, 0), (7, 7, 15))
    dense = back.dense()[..., 0]
    assert dense.shape == (8, 8, 16)
    assert (dense[..., 8:] == 7).all()
    assert dense[0, 0, 0] == 2 and (dense[1:, :, :8] == 1).all()


def test_nothing_active_has_no_box(tmp_path):
    grid = from_dense(np.zeros((2, 2, 2), np.float32), name="none")
    neuralvdb.compress(grid, tmp_path / "a", quality="lossless")
    back = neuralvdb.decompress(tmp_path / "a")["none"]
    assert back.bounding_box is None
    with pytest.raises(UsageError, match="give a box"):
        back.dense()
    assert back.dense(Box((0, 0, 0), (1, 2, 3))).shape == (2, 3, 4, 1)


def test_what_is_no_grid_is_refused(values, tmp_path):
    with pytest.raises(TypeError, match="a grid is a VolumeGrid"):
        neuralvdb.compress([values], tmp_path / "a")
    with pytest.raises(ValueError, match="have one name"):
        neuralvdb.compress([from_dense(values, name="fog")] * 2, tmp_path / "a")
    assert not list(tmp_path.iterdir())
