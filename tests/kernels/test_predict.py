"""Predictions: the package's NumPy definition = the reference = the kernel, at every edge of a box."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neuralvdb.kernels.bricks import Bricks, Differences, Neighbours
from neuralvdb.kernels.neighbours import find_neighbours
from neuralvdb.kernels.network import Weights, forward, pack
from neuralvdb.kernels.predict import Stencil, StencilNetwork, predict
from neuralvdb.values.lattice import mean_inputs, network, priors, sample_inputs
from neuralvdb.values.lattice.levels import LatticeLevel
from neuralvdb.values.lattice.mean_inputs import MeanView
from neuralvdb.values.lattice.pass_order import mean_pass, sample_pass
from neuralvdb.values.lattice.points import Points
from neuralvdb.values.lattice.sample_inputs import SampleView

IMPLEMENTATIONS = ("reference", "triton")
MODEL_SETS = (priors.shipped, priors.fast)
PHASES = [(axis, phase) for axis in range(3) for phase in (0, 1)]
SAMPLES = [Stencil(*pair, active_only=active_only) for pair in PHASES for active_only in (False, True)]
MEANS = [Stencil(*pair, mean=True) for pair in PHASES]


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


def neighbours_of(at: LatticeLevel, device: str, implementation: str) -> Neighbours:
    cells = np.concatenate([np.zeros((at.bricks, 1)), at.cells], 1).astype(np.int32)
    table, boxes, cells = tensors(device, at.table.reshape(-1), np.array([[0, *at.table.shape]]), cells)
    return find_neighbours(table, boxes, cells, implementation=implementation)


def bricks_of(at: LatticeLevel, device: str, implementation: str) -> Bricks:
    values, active = tensors(device, at.values, at.active)
    return Bricks(values=values, active=active, neighbours=neighbours_of(at, device, implementation))


def differences_of(at: LatticeLevel, share: np.ndarray, device: str) -> Differences:
    values, active, share = tensors(device, at.values, at.active, share)
    return Differences(values=values, known=active, share=share)


def flat(points: Points, device: str) -> torch.Tensor:
    return torch.from_numpy((points.brick * 512 + points.offset).astype(np.int32)).to(device)


def thinned(points: Points, device: str, implementation: str) -> Points:
    """Every seventh point, from anywhere in each brick, where a kernel is interpreted; else all of them."""
    return points[::7] if (device, implementation) == ("cpu", "triton") else points


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("model_set", MODEL_SETS)
@pytest.mark.parametrize("n", [0, 1, 63, 64, 130])
def test_networks(device, packed, implementation, model_set, n):
    rng = np.random.default_rng(n)
    net, columns = model_set().families["levelset"].networks[0, 1, 1], Stencil(1, 1).columns()
    x = rng.integers(-127, 128, (n, len(columns))).astype(np.int16)
    net_on_device = packed(net, columns)
    inputs = torch.zeros((n, net_on_device.inputs), dtype=torch.int8, device=device)
    inputs[:, columns] = torch.from_numpy(x.astype(np.int8)).to(device)
    outputs = forward(inputs, net_on_device, implementation=implementation)
    np.testing.assert_array_equal(outputs.cpu(), network.forward(net, x))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("inputs", [126, 192, 250])
def test_sums_at_their_limits_are_exact(device, implementation, inputs):
    """All weights and inputs as large as they get; networks of two, three and four tiles."""
    ones = [torch.full(shape, 127, dtype=torch.int8) for shape in ((62, inputs), (32, 62), (2, 32), (2, inputs))]
    zeros = [torch.zeros(size, dtype=torch.int32) for size in (62, 32, 2)]
    shifts = torch.zeros(6, dtype=torch.int8)
    weights = Weights(
        w1=ones[0], b1=zeros[0], w2=ones[1], b2=zeros[1], w3=ones[2], b3=zeros[2], linear=ones[3], shifts=shifts
    )
    net = pack(weights, range(inputs)).to(device)
    assert net.inputs == -(-inputs // 64) * 64
    columns = torch.full((3, net.inputs), 127, dtype=torch.int8, device=device)
    columns[:, inputs:] = 0
    outputs = forward(columns, net, implementation=implementation)
    assert outputs.tolist() == [[127 * 255 * 32 + 127 * 127 * inputs] * 2] * 3


def test_networks_of_today_take_two_tiles(packed):
    """So that kernels need not become slower for those to come."""
    for family in priors.shipped().families.values():
        mean = any(len(net.w1[0]) == mean_inputs.inputs_of(phase) for (_, _, phase), net in family.networks.items())
        for (_, axis, phase), net in family.networks.items():
            assert packed(net, Stencil(axis, phase, mean).columns()).inputs == 128


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
    found = find_neighbours(*arrays, implementation=implementation)
    rows, edges = found.bricks.cpu().numpy(), found.edges.cpu().numpy()
    for (d, *cell), neighbours, edge in zip(cells, rows, edges, strict=True):
        x, y, z = cell
        wide = np.pad(tables[d].reshape(shapes[d]), 1, mode="edge")
        np.testing.assert_array_equal(neighbours.reshape(3, 3, 3), wide[x : x + 3, y : y + 3, z : z + 3])
        expected = [c == 0 for c in cell] + [c == n - 1 for c, n in zip(cell, shapes[d], strict=True)]
        assert [bool(edge >> bit & 1) for bit in range(6)] == expected


@pytest.mark.parametrize("mean", [False, True])
@pytest.mark.parametrize("axis,phase", PHASES)
def test_stencils_are_the_definitions(mean, axis, phase):
    stencil = Stencil(axis, phase, mean)
    expected = (mean_inputs if mean else sample_inputs).layout(axis, phase)
    np.testing.assert_array_equal(stencil.offsets(), np.concatenate([group.offsets for group in expected.groups]))
    assert len(stencil.columns()) == expected.count


def scattered(stencil: Stencil, width: int) -> list[int]:
    """Columns of a layout that nobody uses: inputs anywhere among `width`, the last column among them."""
    order = np.random.default_rng(4).permutation(width - 1)[: len(stencil.columns()) - 1]
    return [*order.tolist(), width - 1]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("model_set", "largest"), [*zip(MODEL_SETS, [1000, 1 << 28], strict=True)])
@pytest.mark.parametrize("stencil", SAMPLES, ids=str)
def test_sample_lattice(device, packed, implementation, model_set, largest, stencil):
    at = level(stencil.axis + 3 * stencil.phase, largest)
    net = model_set().families["fog"].networks[2, stencil.axis, stencil.phase]
    check_samples(device, implementation, at, stencil, net, packed(net, stencil.columns()))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("model_set", "largest"), [*zip(MODEL_SETS, [1000, 1 << 28], strict=True)])
@pytest.mark.parametrize("stencil", MEANS, ids=str)
def test_mean_lattice(device, packed, implementation, model_set, largest, stencil):
    at, differences = level(stencil.axis + 3 * stencil.phase, largest), level(9, largest)
    net = model_set().families["fog-mean"].networks[1, stencil.axis, stencil.phase]
    check_means(device, implementation, (at, differences), stencil, net, packed(net, stencil.columns()))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("width", [192, 256])
@pytest.mark.parametrize("phase", [0, 1])
def test_a_layout_of_more_columns(device, packed, implementation, width, phase):
    """Where inputs go is data: an invented layout predicts as the package's own does."""
    stencil = Stencil(1, phase)
    net = priors.shipped().families["fog"].networks[2, 1, phase]
    wide = packed(net, scattered(stencil, width))
    assert wide.inputs == width
    check_samples(device, implementation, level(phase, 1000), stencil, net, wide)
    stencil = Stencil(1, phase, mean=True)
    net = priors.shipped().families["fog-mean"].networks[1, 1, phase]
    wide = packed(net, scattered(stencil, width))
    check_means(device, implementation, (level(phase, 1000), level(9, 1000)), stencil, net, wide)


def test_a_network_for_other_inputs_is_refused(packed):
    net = priors.shipped().families["fog"].networks[2, 0, 0]
    columns = Stencil(0, 0).columns()
    with pytest.raises(ValueError, match="does not fit"):
        packed(net, columns[1:])
    with pytest.raises(ValueError, match="inputs expected"):
        StencilNetwork(stencil=Stencil(0, 1), network=packed(net, columns))


def check_samples(device, implementation, at, stencil, net, packed_net) -> None:
    points = thinned(sample_inputs.targets(at, stencil.axis, stencil.phase), device, implementation)
    coding = replace(sample_pass(2, stencil.axis, stencil.phase), quant_step=11)
    expected = network.predict(net, SampleView(at, stencil.active_only).inputs(points, coding))
    predicted = predict(
        bricks_of(at, device, implementation),
        flat(points, device),
        StencilNetwork(stencil=stencil, network=packed_net),
        11,
        implementation=implementation,
    )
    for x, y in zip(
        (predicted.values, predicted.scale_classes), (expected.values, expected.scale_classes), strict=True
    ):
        np.testing.assert_array_equal(x.cpu(), y)


def check_means(device, implementation, levels, stencil, net, packed_net) -> None:
    at, split = levels
    share = np.random.default_rng(3).integers(0, 33, at.values.shape).astype(np.uint8)
    points = thinned(mean_inputs.targets(at.coded, stencil.phase)[::3], device, implementation)
    differences = LatticeLevel(at.low, at.table, split.values, split.active, at.coded)
    coding = replace(mean_pass(2 - stencil.axis, stencil.phase), quant_step=37)
    assert coding.axis == stencil.axis
    expected = network.predict(net, MeanView(at, differences, share).inputs(points, coding))
    predicted = predict(
        replace(bricks_of(at, device, implementation), differences=differences_of(split, share, device)),
        flat(points, device),
        StencilNetwork(stencil=stencil, network=packed_net),
        37,
        implementation=implementation,
    )
    for x, y in zip(
        (predicted.values, predicted.scale_classes), (expected.values, expected.scale_classes), strict=True
    ):
        np.testing.assert_array_equal(x.cpu(), y)
