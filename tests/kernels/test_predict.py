"""Predictions: the package's NumPy definition = the reference = the kernel, at every edge of a box."""

import numpy as np
import pytest
import torch

from neuralvdb.kernels.neighbours import neighbours
from neuralvdb.kernels.network import INPUTS, forward, pack
from neuralvdb.kernels.predict import Around, Stencil, predict
from neuralvdb.values.lattice import mean_inputs, network, priors, sample_inputs
from neuralvdb.values.lattice.levels import LatticeLevel

IMPLEMENTATIONS = ("reference", "triton")
LIBRARIES = (priors.shipped, priors.fast)
PHASES = [(axis, phase) for axis in range(3) for phase in (0, 1)]


def level(seed: int, largest: int, shape=(2, 3, 2)) -> LatticeLevel:
    """A box of bricks, some of them constant, with random values and masks."""
    rng = np.random.default_rng(seed)
    table = rng.permutation(np.prod(shape)).astype(np.int32).reshape(shape)
    rows = table.size
    values = rng.integers(-largest, largest + 1, (rows, 512)) >> rng.integers(0, 24, (rows, 1))
    active = rng.random((rows, 512)) < 0.8
    return LatticeLevel(
        np.zeros(3, np.int64),
        table,
        values.astype(np.int32),
        active.astype(np.uint8),
        active[: rows - 2].astype(np.uint8),
    )


def tensors(device: str, *arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays]


def around_of(at: LatticeLevel, device: str, implementation: str) -> Around:
    cells = np.concatenate([np.zeros((at.bricks, 1)), at.cells], 1).astype(np.int32)
    arrays = tensors(device, at.table.reshape(-1), np.array([[0, *at.table.shape]]), cells)
    return Around(*neighbours(*arrays, implementation=implementation))


def flat(row: np.ndarray, place: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy((row * 512 + place).astype(np.int32)).to(device)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 130])
def test_networks(device, packed, implementation, library, n):
    rng = np.random.default_rng(n)
    net, columns = library().families["levelset"].networks[0, 1, 1], Stencil(1, 1).columns()
    x = rng.integers(-127, 128, (n, len(columns))).astype(np.int16)
    inputs = torch.zeros((n, INPUTS), dtype=torch.int8, device=device)
    inputs[:, columns] = torch.from_numpy(x.astype(np.int8)).to(device)
    found = forward(inputs, packed(net, columns), implementation=implementation)
    np.testing.assert_array_equal(found.cpu(), network.forward(net, x))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_sums_at_their_limits_are_exact(device, implementation):
    """All weights and inputs as large as they get."""
    ones = [torch.full(shape, 127, dtype=torch.int8) for shape in ((62, 126), (32, 62), (2, 32), (2, 126))]
    zeros = [torch.zeros(size, dtype=torch.int32) for size in (62, 32, 2)]
    shifts = torch.zeros(6, dtype=torch.int8)
    net = pack(ones[0], zeros[0], ones[1], zeros[1], ones[2], zeros[2], ones[3], shifts, range(126)).to(device)
    inputs = torch.full((3, INPUTS), 127, dtype=torch.int8, device=device)
    inputs[:, 126:] = 0
    found = forward(inputs, net, implementation=implementation)
    assert found.tolist() == [[127 * 255 * 32 + 127 * 127 * 126] * 2] * 3


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("shapes", [[(1, 1, 1)], [(1, 2, 5), (4, 5, 6), (2, 1, 1)]], ids=str)
def test_neighbours(device, implementation, shapes):
    rng, sizes = np.random.default_rng(1), [int(np.prod(shape)) for shape in shapes]
    starts = np.cumsum([0, *sizes])[:-1]
    tables = np.split(rng.permutation(sum(sizes)).astype(np.int32), starts[1:])
    boxes = np.concatenate([starts[:, None], np.array(shapes)], 1)
    cells = np.array([(d, *cell) for d, shape in enumerate(shapes) for cell in np.ndindex(shape)], np.int32)[
        ::-1
    ].copy()
    arrays = tensors(device, np.concatenate(tables), boxes, cells)
    rows, edges = (x.cpu().numpy() for x in neighbours(*arrays, implementation=implementation))
    for (d, *cell), row, edge in zip(cells, rows, edges, strict=True):
        x, y, z = cell
        wide = np.pad(tables[d].reshape(shapes[d]), 1, mode="edge")
        np.testing.assert_array_equal(row.reshape(3, 3, 3), wide[x : x + 3, y : y + 3, z : z + 3])
        expected = [c == 0 for c in cell] + [c == n - 1 for c, n in zip(cell, shapes[d], strict=True)]
        assert [bool(edge >> bit & 1) for bit in range(6)] == expected


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("axis,phase", PHASES)
def test_stencils_are_the_definitions(mean, axis, phase):
    found = Stencil(axis, phase, mean)
    expected = mean_inputs.offsets(axis) if mean else (sample_inputs.offsets(axis, phase), np.zeros((0, 3), int))
    expected = np.concatenate(expected)[: found.points]
    np.testing.assert_array_equal(found.offsets(), expected)
    assert len(found.columns()) == (mean_inputs if mean else sample_inputs).inputs_of(phase)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("largest", [1000, 1 << 28])
@pytest.mark.parametrize("axis,phase", PHASES)
@pytest.mark.parametrize("inside", [False, True])
def test_sample_lattice(device, packed, inside, implementation, library, largest, axis, phase):
    at = level(axis + 3 * phase, largest)
    row, place = sample_inputs.targets(at, axis, phase)
    net = library().families["fog"].networks[2, axis, phase]
    expected = network.predict(net, sample_inputs.context(at, row, place, axis, phase, 11, inside))
    stencil = Stencil(axis, phase)
    found = predict(
        *tensors(device, at.values, at.active),
        around_of(at, device, implementation),
        flat(row, place, device),
        stencil,
        packed(net, stencil.columns()),
        11,
        inside=inside,
        implementation=implementation,
    )
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x.cpu(), y)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("largest", [1000, 1 << 28])
@pytest.mark.parametrize("axis,phase", PHASES)
def test_mean_lattice(device, packed, implementation, library, largest, axis, phase):
    at, gaps = level(axis + 3 * phase, largest), level(9, largest)
    share = np.random.default_rng(3).integers(0, 33, at.values.shape).astype(np.uint8)
    row, place = mean_inputs.targets(at.coded, phase)
    row, place = row[::3], place[::3]
    net = library().families["fog-mean"].networks[1, axis, phase]
    expected = network.predict(
        net,
        mean_inputs.context(
            at,
            LatticeLevel(at.low, at.table, gaps.values, gaps.active, at.coded),
            share,
            row,
            place,
            axis,
            phase,
            37,
        ),
    )
    stencil = Stencil(axis, phase, mean=True)
    values, active, gap, known, part = tensors(device, at.values, at.active, gaps.values, gaps.active, share)
    found = predict(
        values,
        active,
        around_of(at, device, implementation),
        flat(row, place, device),
        stencil,
        packed(net, stencil.columns()),
        37,
        gaps=gap,
        known=known,
        share=part,
        implementation=implementation,
    )
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_array_equal(x.cpu(), y)
