"""Pruned topology: the error holds over every voxel that is active before or after, and nothing else changes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import neuralvdb
from neuralvdb import CompressSettings
from neuralvdb.api.compress import CompressReport
from neuralvdb.codec.frame import FrameReader
from neuralvdb.errors import UsageError
from neuralvdb.settings import Bound
from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb
from neuralvdb.volume.grid import LOWER_LOG2, UPPER_LOG2, Tree, child_origins, leaf_origins, unpack
from neuralvdb.volume.lookup import bricks_at

slow = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


def pruned(source: Path, target: Path, bound: float, **options: object) -> CompressReport:
    bounds = (Bound(value=bound, relative=False),)
    return neuralvdb.compress(source, target, CompressSettings(bounds=bounds, topology="pruned", force=True, **options))


def union(source: Path, archive: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Values and active flags of the first grid before and after, in every brick where anything is active."""
    before = VdbReader(source).read(0).tree
    with FrameReader(archive) as frame:
        after = frame.read(0).tree
    origins = np.unique(np.concatenate([active_bricks(before), active_bricks(after)]), axis=0)
    return (*bricks_at(before, origins), *bricks_at(after, origins))


def active_bricks(tree: Tree) -> np.ndarray:
    """Origins (M, 3) int32 of the 8x8x8 bricks where something may be active, root tiles aside (voxels)."""
    upper = tree.root.child_origins
    lower = child_origins(upper, tree.upper.child, UPPER_LOG2, 128)
    blocks = child_origins(upper, tree.upper.active, UPPER_LOG2, 128)
    every = np.full((len(blocks), 4096 // 8), 255, np.uint8)
    tiles = (child_origins(lower, tree.lower.active, LOWER_LOG2, 8), child_origins(blocks, every, LOWER_LOG2, 8))
    return np.concatenate([leaf_origins(tree), *tiles])


def check(source: Path, archive: Path, bound: float) -> int:
    """Asserts that the bound holds over the union of both masks; gives how many voxels changed."""
    x, x_on, y, y_on = union(source, archive)
    either = x_on | y_on
    assert (np.abs(x[either].astype(np.float64) - y[either]) <= bound).all()
    assert neuralvdb.verify(archive, source).differences == []
    return int((x_on != y_on).sum())


@pytest.fixture
def haze(tmp_path) -> Path:
    """A ball of fog in a faint haze, all of it active."""
    radius = np.linalg.norm(np.indices((48, 40, 44)) - 20, axis=0)
    noise = np.random.default_rng(1).random(radius.shape)
    values = np.where(radius < 12, 1 - radius / 12, 0) + 0.004 * noise * (radius < 19)
    write_vdb(tmp_path / "haze.vdb", [from_dense(values.astype("f4"), name="density", active=radius < 19)])
    return tmp_path / "haze.vdb"


def test_haze_goes(haze, tmp_path):
    report = pruned(haze, tmp_path / "p.neuralvdb", 0.01)
    assert report.pruned == {"density": check(haze, tmp_path / "p.neuralvdb", 0.01)}
    assert report.pruned["density"] > 5000
    neuralvdb.compress(haze, tmp_path / "e.neuralvdb", CompressSettings(bounds=(Bound(value=0.01, relative=False),)))
    sizes = [(tmp_path / f"{name}.neuralvdb").stat().st_size for name in "pe"]
    assert sizes[0] < 0.9 * sizes[1]


def test_info_says_how_many(haze, tmp_path, nvdb):
    archive = tmp_path / "p.neuralvdb"
    done = nvdb("compress", haze, "-o", archive, "--max-error", "0.01", "--topology", "pruned")
    (count,) = [grid.pruned for grid in neuralvdb.info(archive).grids]
    assert done.returncode == 0 and f"topology pruned, changed: density {count} voxels" in done.stdout
    assert f"topology pruned, changed: density {count} voxels" in nvdb("info", archive).stdout
    assert "exact topology" in nvdb("compress", haze, "-v", "-o", "e.neuralvdb", "--max-error", "0.01").stdout


def test_decompressed_and_compared(haze, tmp_path):
    pruned(haze, tmp_path / "p.neuralvdb", 0.01)
    neuralvdb.decompress(tmp_path / "p.neuralvdb", tmp_path / "back.vdb")
    (grid,) = neuralvdb.diff(haze, tmp_path / "back.vdb").grids
    assert not grid.topology_equal and grid.max_error <= 0.01
    assert neuralvdb.diff(tmp_path / "p.neuralvdb", tmp_path / "back.vdb").same


def test_threads_change_nothing(haze, tmp_path):
    for threads in (1, 2):
        pruned(haze, tmp_path / f"{threads}.neuralvdb", 0.01, threads=threads)
    assert (tmp_path / "1.neuralvdb").read_bytes() == (tmp_path / "2.neuralvdb").read_bytes()


@pytest.mark.slow
@given(
    values=arrays("f4", (10, 9, 17), elements=st.sampled_from([0, 0.001, -0.004, 0.02, 0.4, 1, np.inf, np.nan, -0.0])),
    active=arrays(bool, (10, 9, 17)),
    background=st.sampled_from([0.0, 0.3, 1.0]),
    outside=st.sampled_from([None, 0.5]),
    half=st.booleans(),
)
@slow
def test_the_bound_holds_over_both_masks(values, active, background, outside, half, tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    grid = from_dense(values, name="g", active=active, background=background, properties=GridProperties(half=half))
    if outside is not None and len(grid.tree.leaf):  # inactive values that are not the background
        grid.tree.leaf.values[~unpack(grid.tree.leaf.active)] = outside
    write_vdb(folder / "a.vdb", [grid])
    pruned(folder / "a.vdb", folder / "a.neuralvdb", 0.01)
    x, x_on, y, y_on = union(folder / "a.vdb", folder / "a.neuralvdb")
    either = x_on | y_on
    with np.errstate(invalid="ignore"):
        x, y = x[either].astype(np.float64), y[either].astype(np.float64)
        assert ((np.abs(x - y) <= 0.01) | (x == y) | (np.isnan(x) & np.isnan(y))).all()
    assert neuralvdb.verify(folder / "a.neuralvdb", folder / "a.vdb").differences == []


def test_verify_sees_a_value_beyond_the_bound(haze, tmp_path):
    pruned(haze, tmp_path / "p.neuralvdb", 0.01)
    (grid,) = VdbReader(haze)
    on = unpack(grid.tree.leaf.active)
    grid.tree.leaf.values[on] += np.float32(0.03)
    write_vdb(tmp_path / "other.vdb", [grid])
    assert neuralvdb.verify(tmp_path / "p.neuralvdb", tmp_path / "other.vdb").differences


@pytest.mark.parametrize(
    "options",
    [{"quality": "lossless"}, {"quality": "preview"}, {"bounds": (Bound(value=40, relative=False, decibels=True),)}],
)
def test_without_a_maximum_error_it_is_refused(haze, tmp_path, options):
    with pytest.raises(UsageError, match="--rel-error"):
        neuralvdb.compress(haze, tmp_path / "x.neuralvdb", CompressSettings(topology="pruned", **options))
    assert not (tmp_path / "x.neuralvdb").exists()


@pytest.mark.slow
def test_smoke_is_a_fifth_smaller(data, tmp_path):
    source, sizes = data / "openvdb-models" / "smoke.vdb", {}
    for kind in ("exact", "pruned"):
        options = CompressSettings(bounds=(Bound(value=0.01, relative=True),), topology=kind)
        neuralvdb.compress(source, tmp_path / f"{kind}.neuralvdb", options)
        sizes[kind] = (tmp_path / f"{kind}.neuralvdb").stat().st_size
    with FrameReader(tmp_path / "pruned.neuralvdb") as frame:
        max_error = frame.promise(0).bound.max_error
        assert check(source, tmp_path / "pruned.neuralvdb", max_error) == frame.grids[0].pruned
    assert sizes["pruned"] < 0.8 * sizes["exact"]
    assert source.stat().st_size > 26 * sizes["pruned"]
