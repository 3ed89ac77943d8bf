"""`nvdb diff` finds errors that were put there, and gives the figures that this test computes for itself."""

import math

import numpy as np
import pytest

from neuralvdb.vdb import GridProperties, from_dense, write_vdb

SHAPE = (20, 17, 33)


@pytest.fixture
def volumes(tmp_path):
    """Writes two grids from dense arrays (values, active) and gives the paths."""

    def written(*volumes: tuple[np.ndarray, np.ndarray]):
        paths = []
        for i, (values, active) in enumerate(volumes):
            paths.append(tmp_path / f"{i}.vdb")
            write_vdb(paths[-1], [from_dense(values, name="density", active=active)])
        return paths

    return written


@pytest.fixture
def compare(run_json):
    """The diff of two files and of the grid in it."""

    def compared(first, second, code=10) -> tuple[dict, dict]:
        (result,) = run_json("diff", first, second, code=code)["results"]
        return result, result["grids"][0]

    return compared


def noise(seed: int, components: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tail = (components,) if components else ()
    return rng.normal(2, 1, (*SHAPE, *tail)).astype(np.float32), rng.random(SHAPE) < 0.4


def figures(a: np.ndarray, b: np.ndarray, active: np.ndarray) -> tuple[float, float, float]:
    """Maximum, RMSE and PSNR over active voxels, the peak being the active range of `a`."""
    x, y = a[active].astype(np.float64), b[active].astype(np.float64)
    rmse = math.sqrt(np.mean((x - y) ** 2))
    return float(np.abs(x - y).max()), rmse, 20 * math.log10((x.max() - x.min()) / rmse)


@pytest.mark.parametrize("components", [0, 3])
def test_a_known_error_is_measured(volumes, compare, components):
    values, active = noise(1, components)
    other = values.copy()
    other[active] += np.random.default_rng(2).normal(0, 0.01, other[active].shape).astype(np.float32)
    first, second = volumes((values, active), (other, active))
    result, grid = compare(first, second)
    assert not result["same"] and not grid["same"] and grid["topology_equal"]
    assert grid["active_voxels"] == [int(active.sum())] * 2
    measured = grid["max_error"], grid["rmse"], grid["psnr"]
    assert measured == pytest.approx(figures(values, other, active), rel=1e-9)
    assert grid["changes"] == ["values differ"]


def test_one_voxel_is_found(volumes, compare):
    values, active = noise(3)
    other = values.copy()
    position = tuple(np.argwhere(active)[17])
    other[position] += 0.5
    _, grid = compare(*volumes((values, active), (other, active)))
    assert grid["max_error"] == pytest.approx(0.5, rel=1e-6)
    assert grid["rmse"] == pytest.approx(0.5 / math.sqrt(active.sum()), rel=1e-6)


def test_an_inactive_value_differs_but_is_no_error(volumes, compare):
    values, active = noise(4)
    other = values.copy()
    other[tuple(np.argwhere(~active)[17])] += 0.5
    result, grid = compare(*volumes((values, active), (other, active)))
    assert not result["same"]
    assert (grid["max_error"], grid["rmse"], grid["psnr"]) == (0, 0, None)


def test_the_same_values_are_the_same(volumes, compare, run):
    first, second = volumes(noise(5), noise(5))
    result, grid = compare(first, second, code=0)
    assert result["same"] and grid["same"]
    assert run("diff", first, second).stdout.startswith(f"{first} and {second} are the same, bit for bit\n")


def test_nan_and_infinity_are_text_in_json(volumes, compare):
    values, active = noise(6)
    other = values.copy()
    other[tuple(np.argwhere(active)[5])] = np.nan
    _, grid = compare(*volumes((values, active), (other, active)))
    assert (grid["max_error"], grid["rmse"], grid["psnr"]) == ("inf", "inf", "-inf")


def test_another_topology_counts_voxels_active_in_either(volumes, compare):
    """A voxel that only one file has counts with the other's inactive value, here the background 0 everywhere."""
    values, active = noise(7)
    more = active.copy()
    extra = tuple(np.argwhere(~active)[9])
    more[extra] = True
    first, second = np.where(active, values, 0).astype("f4"), np.where(more, values, 0).astype("f4")
    _, grid = compare(*volumes((first, active), (second, more)))
    assert grid["topology_equal"] is False
    assert "topology differs" in grid["changes"]
    assert grid["active_voxels"] == [int(active.sum()), int(more.sum())]
    error = abs(float(values[extra]))
    assert grid["max_error"] == pytest.approx(error, rel=1e-9)
    assert grid["rmse"] == pytest.approx(error / math.sqrt(more.sum()), rel=1e-9)


def test_the_peak_of_psnr_is_the_active_range_of_the_first_file(volumes, compare):
    """Values that are inactive in the first file do not widen its range."""
    active = np.zeros(SHAPE, bool)
    active[2:6, 2:6, 2:6] = True
    more = active.copy()
    more[10, 10, 10] = True
    values = np.where(active, np.random.default_rng(8).uniform(5, 6, SHAPE), 0).astype("f4")
    other = np.where(more & ~active, 0.25, values).astype("f4")
    _, grid = compare(*volumes((values, active), (other, more)))
    peak = float(values[active].max()) - float(values[active].min())
    assert grid["psnr"] == pytest.approx(20 * math.log10(peak / (0.25 / math.sqrt(more.sum()))), rel=1e-6)


def test_other_properties_are_named(volumes, tmp_path, run):
    values, active = noise(9)
    for i, properties in enumerate(
        (GridProperties(voxel_size=1.0, grid_class="fog volume"), GridProperties(voxel_size=0.5, half=True))
    ):
        write_vdb(tmp_path / f"{i}.vdb", [from_dense(values, name="density", active=active, properties=properties)])
    text = run("diff", "0.vdb", "1.vdb", code=10).stdout
    for line in (
        "density: half: False / True",
        "density: metadata class: fog volume / unknown",
        "density: metadata is_saved_as_half_float: nothing / true",
        "density: transform: ",
    ):
        assert line in text


def test_the_table_lines_up(volumes, run):
    values, active = noise(10)
    lines = run("diff", *volumes((values, active), (values + np.float32(0.5), active)), code=10).stdout.splitlines()
    header, line = lines[1:3]
    assert header.split("  ") and len(header) <= len(line)
    assert header.index("topology") + len("topology") == line.index("equal") + len("equal")
    assert line.endswith(" dB")


@pytest.mark.parametrize("which", ["clouds/wdas_cloud_sixteenth.vdb"])
def test_a_cloud_saved_as_half_differs_from_itself(data, compare, which):
    """Half floats round: the error is there, and below half a unit in the last of eleven places."""
    half = data / "variants" / "wdas_cloud_sixteenth.blosc_activemask_half.vdb"
    _, grid = compare(data / which, half)
    assert grid["topology_equal"] is True
    assert 0 < grid["max_error"] < 2**-11
