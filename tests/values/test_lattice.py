"""The lattice: the fast path is the definition's twin, decoding is encoding's opposite, the promise holds."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralvdb.values import encoder
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice import chunks, compand, network, priors, sample_inputs
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.coding import Phase
from neuralvdb.values.lattice.constants import LAYERS, SAMPLE_LEVELS
from neuralvdb.values.lattice.inputs import gather
from neuralvdb.values.lattice.kind import SAMPLE_FAMILIES
from neuralvdb.values.lattice.pass_order import PASSES, sample_pass
from neuralvdb.values.lattice.points import list_points, nonzero_points
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.values.lattice.sample import SampleLattice, TruePoints
from neuralvdb.values.lattice.sample_inputs import SampleView
from neuralvdb.values.promise import Promise, mean_promise, sample_promise
from neuralvdb.vdb import from_dense
from neuralvdb.volume import leaf_origins
from neuralvdb.volume.grid import Tree, unpack


def blob(size: int, seed: int, components: int = 1) -> np.ndarray:
    """(size, size, size[, 3]) float32: a few smooth waves, rough enough to leave residuals."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*[np.linspace(0, 3, size)] * 3, indexing="ij")
    sines = []
    for _ in range(components):
        waves = sum(np.sin(sum(a * w for a, w in zip(axes, rng.normal(0, 2, 3), strict=True))) for _ in range(5))
        sines.append(waves + rng.normal(0, 0.02, waves.shape))
    return np.stack(sines, -1).astype(np.float32) if components > 1 else sines[0].astype(np.float32)


def grid_of(values: np.ndarray, active: np.ndarray, origin=(-37, 5, 120)):
    return from_dense(values, name="g", active=active, origin=origin)


def decoded(coded: CodedValues, **options) -> Tree:
    return ValuesDecoder(ValuesSource.of(coded, "test"), DecodeOptions(**options)).decode()


def assert_kept(grid, promise: Promise, **options) -> tuple[bytes, ...]:
    """Encodes and decodes; every active value within the bound (or the same bits), every other one the same."""
    coded = encoder.encode(grid.tree, promise, EncodeOptions(**options))
    tree = decoded(coded, **options)
    assert tree.leaf.values.tobytes() == coded.tree.leaf.values.tobytes()
    on = unpack(grid.tree.leaf.active)
    x, y = grid.tree.leaf.values, tree.leaf.values
    assert x[~on].tobytes() == y[~on].tobytes()
    with np.errstate(invalid="ignore"):
        allowed = np.maximum(promise.bound.max_error, promise.bound.ratio * np.abs(x[on].astype(np.float64)))
        near = np.abs(x[on].astype(np.float64) - y[on].astype(np.float64)) <= allowed
    assert (near | (x[on].view(np.uint32) == y[on].view(np.uint32))).all()
    return coded.payload, *(bytes([number]) + section for number, section in coded.chunks.items())


def sample_lattice(unit: float) -> SampleLattice:
    return SampleLattice(quantiser=Quantiser(unit), predictor=Predictor(priors.load("fog").networks))


def component_of(grid) -> ChunkComponent:
    """The first component of a grid of one chunk."""
    (chunk,) = chunks.chunks_of(grid.tree)
    return ChunkComponent.of(grid.tree, chunk, 0)


MODEL_SETS = (priors.shipped, priors.fast)


@pytest.mark.parametrize("bricks", [0, 1, 300])
@pytest.mark.parametrize("share", [0, 0.3, 1])
def test_native_points_are_the_definitions(bricks, share):
    rng = np.random.default_rng(bricks)
    coded, keep = (rng.random((bricks, 512)) < share).astype(np.uint8), rng.random(512) < 0.3
    native, reference = (list_points(coded, keep, i) for i in ("native", "reference"))
    for fast, slow in zip(native.index, reference.index, strict=True):
        assert fast.dtype == slow.dtype
        np.testing.assert_array_equal(fast, slow)


@pytest.mark.parametrize("model_set", MODEL_SETS)
@pytest.mark.parametrize("family", SAMPLE_FAMILIES)
@pytest.mark.parametrize("largest", [1 << 22, 1 << 14, 1 << 28])
@pytest.mark.parametrize("axis,phase", [(a, p) for a in range(3) for p in (0, 1)])
@pytest.mark.parametrize("active_only", [False, True])
def test_native_predictions_are_the_definitions(active_only, model_set, family, axis, phase, largest):
    grid = grid_of(blob(40, 1), np.random.default_rng(2).random((40, 40, 40)) < 0.9)
    quiet = model_set().families[family].networks
    both = quiet, {n: replace(net, w1=np.where(net.w1 < 0, -127, 127).astype(np.int8)) for n, net in quiet.items()}
    for k, level in enumerate(sample_lattice(0.01).blank_pyramid(component_of(grid))[:4]):
        size, middle = largest >> 2 * k, 70000 * (k % 2)  # numbers of 16 bits, of 32, and others
        level.values[:] = np.random.default_rng(k).integers(middle - size, middle + size, level.values.shape)
        view, points = SampleView(level, active_only), sample_inputs.targets(level, axis, phase)
        *fast, slow = (
            Predictor(both[k % 2], threads=t, implementation=i)(view, points, sample_pass(k, axis, phase))
            for t, i in ((3, "native"), (1, "avx2"), (1, "pairs"), (1, "reference"))
        )
        for predictions in fast:
            np.testing.assert_array_equal(predictions.values, slow.values)
            np.testing.assert_array_equal(predictions.scale_classes, slow.scale_classes)


@pytest.mark.parametrize("model_set", MODEL_SETS)
@pytest.mark.parametrize("family", priors.FAMILIES)
def test_no_sum_of_a_network_reaches_the_limit_of_float32(model_set, family):
    for net in model_set().families[family].networks.values():
        for weights, bias, largest in ((net.w1, net.b1, 127), (net.w2, net.b2, 255), (net.w3, net.b3, 255)):
            sums = np.abs(weights.astype(np.int64)).sum(1) * largest + np.abs(bias.astype(np.int64))
            assert sums.max() < 1 << 24
        assert (np.abs(net.linear.astype(np.int64)).sum(1) * 127).max() < 1 << 24


@settings(max_examples=15, deadline=None)
@given(
    volume=st.tuples(st.integers(1, 24), st.integers(0, 99), st.sampled_from([1, 3])),
    share=st.floats(0.01, 1),
    bound=st.floats(1e-4, 0.5),
    family=st.sampled_from(SAMPLE_FAMILIES),
    half=st.booleans(),
    ratio=st.sampled_from([0.0, 0.003, 0.1, 0.9]),
)
def test_promise_holds(volume, share, bound, family, half, ratio):
    size, seed, components = volume
    active = np.random.default_rng(seed).random((size,) * 3) <= share
    active[0, 0, 0] = True
    values = blob(size, seed, components)
    if half:
        values = values.astype(np.float16).astype(np.float32)
    assert_kept(grid_of(values, active), sample_promise(family, max_error=bound, ratio=ratio, half=half))


BOUNDED = {
    "sample": sample_promise("fog", max_error=0.01),
    "means": mean_promise(max_error=0.01, step=0.01, knee=0.02),
}


@pytest.mark.parametrize("lattice", BOUNDED)
@pytest.mark.parametrize("value", [1e30, -np.inf, np.nan, 1e-40])
def test_odd_values_stay_within_the_promise(value, lattice):
    values = blob(20, 3)
    values[4, 5, 6] = values[7, 7, 7] = value
    assert_kept(grid_of(values, np.ones((20, 20, 20), bool)), BOUNDED[lattice])


@pytest.mark.parametrize("lattice", BOUNDED)
@pytest.mark.parametrize("name", ["single voxel", "constant", "checkerboard", "shell", "all NaN"])
def test_odd_shapes_stay_within_the_promise(name, lattice):
    values = np.zeros((18, 18, 18), np.float32)
    active = np.ones(values.shape, bool)
    x, y, z = np.indices(values.shape)
    if name == "single voxel":
        active[:] = False
        active[3, 3, 3] = True
    elif name == "constant":
        values += 5
    elif name == "checkerboard":
        values[(x + y + z) % 2 == 0] = 1
    elif name == "shell":
        active = np.abs(np.sqrt((x - 9) ** 2 + (y - 9) ** 2 + (z - 9) ** 2) - 7) < 0.5
        values += (x * 0.1).astype(np.float32)
    else:
        values[:] = np.nan
    assert_kept(grid_of(values, active), BOUNDED[lattice])


def test_bytes_do_not_depend_on_threads_or_implementation():
    grid = grid_of(blob(30, 4), np.ones((30, 30, 30), bool))
    promise = sample_promise("fog", max_error=0.01)
    payloads = {
        assert_kept(grid, promise, threads=threads, implementation=implementation)
        for threads, implementation in ((1, "native"), (2, "native"), (1, "reference"))
    }
    assert len(payloads) == 1


def two_ends(length: int, factor: float = 1.0):
    """A grid of a rod of 20 x 20 voxels, active at both of its ends, its values at the far end times `factor`."""
    active = np.zeros((length, 20, 20), bool)
    active[:12], active[-12:] = True, True
    values = np.broadcast_to(blob(20, 5)[:1], active.shape).copy()
    values[-12:] *= np.float32(factor)
    values[-1, 0, :2] = -99, 99  # the range is the same for every factor
    return grid_of(values, active, origin=(-150, 0, 0))


ALONE = "neuralvdb.topology.chunks.CROWD", 1  # boxes of few leaves share no chunk


def test_chunks_side_by_side_give_the_same_bytes(monkeypatch):
    monkeypatch.setattr(*ALONE)
    assert chunks.ChunkThreads.of(1 << 16, 6) == chunks.ChunkThreads(4, 2)
    grid, promise = two_ends(8000), sample_promise("fog", max_error=0.01)
    in_turn = assert_kept(grid, promise, threads=2)
    monkeypatch.setattr(chunks, "_MANY", 1)
    assert chunks.ChunkThreads.of(len(grid.tree.leaf), 2) == chunks.ChunkThreads(2, 1)
    assert assert_kept(grid, promise, threads=2) == in_turn


def test_several_chunks_are_independent_boxes(monkeypatch):
    monkeypatch.setattr(*ALONE)
    trees = []
    for factor in (1.0, 2.0):
        grid = two_ends(8000, factor)
        near, far = chunks.chunks_of(grid.tree)
        assert_kept(grid, sample_promise("fog", max_error=0.01))
        trees.append(encoder.encode(grid.tree, sample_promise("fog", max_error=0.01)).tree.leaf.values)
    assert np.array_equal(trees[0][near.leaves], trees[1][near.leaves])
    assert not np.array_equal(trees[0][far.leaves], trees[1][far.leaves])


def test_few_leaves_share_a_chunk():
    grid = two_ends(300)
    (chunk,) = chunks.chunks_of(grid.tree)
    assert len(chunk.leaves) == len(grid.tree.leaf)
    assert_kept(grid, sample_promise("fog", max_error=0.01))


def test_scattered_leaves_share_a_box_where_that_is_no_waste_of_space(monkeypatch):
    """Two leaves at the ends of a cube of 1024 stay apart; leaves in an eighth of the blocks of a box do not."""
    monkeypatch.setattr(*ALONE)
    assert len(chunks.value_groups(np.array([[0, 0, 0], [1016, 1016, 1016]]))) == 2
    line = np.stack(np.unravel_index(np.arange(64), (1, 1, 64)), 1) * 128
    ends = np.r_[0:4, 60:64]
    (joined,) = chunks.value_groups(line[ends])
    assert len(joined.leaves) == 8
    assert [len(group.leaves) for group in chunks.value_groups(line[ends[1:]])] == [3, 4]


def test_many_leaves_are_cut_between_blocks(monkeypatch):
    monkeypatch.setattr(*ALONE)
    monkeypatch.setattr("neuralvdb.topology.chunks.LEAVES", 20)
    active = np.random.default_rng(3).random((500, 300, 20)) < 0.001
    grid = grid_of(np.ones(active.shape, np.float32), active)
    origins = leaf_origins(grid.tree)
    groups = chunks.value_groups(origins)
    assert sorted(np.concatenate([group.leaves for group in groups])) == list(range(len(origins)))
    assert len(groups) > 6
    for group in groups:
        of_group = origins[group.leaves]
        assert len(of_group) <= 20 or (np.ptp(of_group // 128, axis=0) == 0).all()
        assert ((of_group >= group.low) & (of_group < group.high)).all()
        assert (np.diff(group.leaves) > 0).all()
    assert_kept(grid, sample_promise("fog", max_error=0.01))


def test_networks_are_used():
    """Zeroed networks must cost more: what is tested is not the interpolation alone."""
    grid = grid_of(blob(40, 6), np.ones((40, 40, 40), bool))
    level = sample_lattice(0.01).blank_pyramid(component_of(grid))[0]
    inputs = SampleView(level).inputs(sample_inputs.targets(level, 0, 0), sample_pass(0, 0, 0))
    out = network.forward(priors.load("fog").networks[0, 0, 0], inputs.inputs)
    assert out.any(axis=0).all()


@given(st.integers(-(1 << 40), 1 << 40), st.floats(1e-4, 0.99))
def test_companding_is_exactly_invertible(x, ratio):
    knee = compand.knee_of(ratio)
    c = compand.compand(np.array([float(x)]), knee)
    segment = max(abs(x) // knee, 1).bit_length() - 1
    assert abs(compand.expand(np.rint(c).astype(np.int64), knee)[0] - x) <= 2.0**segment
    whole = np.array([x % (40 * knee)])
    np.testing.assert_array_equal(compand.compand(compand.expand(whole, knee), knee), whole)


def test_a_tolerance_is_finer_where_values_are_small():
    values = np.exp(blob(30, 8)) * np.float32(0.02)
    grid = grid_of(values, np.ones(values.shape, bool))
    coded = encoder.encode(grid.tree, sample_promise("fog", max_error=0.001, ratio=0.1))
    error = np.abs(coded.tree.leaf.values - grid.tree.leaf.values)
    assert error[grid.tree.leaf.values < 0.01].max() <= 0.001
    assert error.max() > 0.002
    finer = encoder.encode(grid.tree, sample_promise("fog", max_error=0.001))
    assert sum(map(len, coded.chunks.values())) < sum(map(len, finer.chunks.values()))


def test_every_coded_voxel_is_coded_once():
    active = np.random.default_rng(9).random((40, 30, 50)) < 0.4
    grid = grid_of(blob(50, 9)[:40, :30], active)
    pyramid = sample_lattice(0.01).blank_pyramid(component_of(grid))
    coded = [sample_inputs.targets(pyramid[k], a, p) for k in range(SAMPLE_LEVELS - 1) for a, p in PASSES]
    assert sum(map(len, coded)) + int((pyramid[-1].coded != 0).sum()) == active.sum()


@pytest.mark.parametrize("knee", [0.0, 0.1])
@pytest.mark.parametrize("bound", [np.inf, 0.05])
def test_mean_lattice_keeps_means_and_the_promise(knee, bound):
    grid = grid_of(blob(40, 10) + 3, np.random.default_rng(10).random((40, 40, 40)) < 0.9)
    promise = mean_promise(max_error=bound, step=0.1, knee=knee)
    payloads = {assert_kept(grid, promise, implementation=i) for i in ("native", "reference")}
    assert len(payloads) == 1
    values = decoded(encoder.encode(grid.tree, promise)).leaf.values
    on = unpack(grid.tree.leaf.active)
    error = (values - grid.tree.leaf.values)[on]
    assert 0.001 < np.abs(error).mean() < 0.2
    if not knee:  # companded, it is the companded values whose mean is kept
        assert abs(error.mean()) < np.abs(error).mean() / 20


def test_a_mean_lattice_stores_what_is_not_finite():
    values = blob(20, 11)
    values[3, 3, 3], values[9, 9, 9] = np.nan, np.inf
    grid = grid_of(values, np.ones(values.shape, bool))
    decoded_values = decoded(encoder.encode(grid.tree, mean_promise(step=0.1))).leaf.values
    assert np.isnan(decoded_values).sum() == 1
    assert np.isinf(decoded_values).sum() == 1


def test_points_beyond_a_chunk_are_never_ones_yet_to_be_decoded(monkeypatch):
    """Eight chunks that meet in a corner; what is not decoded yet has a value that nothing else has."""
    monkeypatch.setattr(*ALONE)
    monkeypatch.setattr("neuralvdb.topology.chunks.LEAVES", 1)
    unknown = 1 << 28
    grid = grid_of(blob(24, 12), np.ones((24, 24, 24), bool), origin=(116, 116, 116))
    counts, lattice = [], sample_lattice(0.01)

    def observe(phase: Phase) -> None:
        for group in phase.view.layout(phase.coding).groups:
            values, _ = gather(phase.view.level, phase.points, group.offsets, phase.coding.axis)
            assert (values != unknown).all()
        counts.append(len(phase.points))

    all_chunks = list(chunks.chunks_of(grid.tree))
    assert len(all_chunks) == 8
    for chunk in all_chunks:
        component = ChunkComponent.of(grid.tree, chunk, 0)
        pyramid = lattice.blank_pyramid(component)
        for level in pyramid:
            level.values[np.nonzero(level.coded)] = unknown
        true = TruePoints(component, pyramid, lattice.quantiser)
        lattice.encode_pyramid(true, [SymbolBuffer()] * LAYERS, observe)
    assert sum(counts) > 0.9 * 24**3


def test_a_ramp_that_goes_on_beyond_a_chunk_costs_little_there(monkeypatch):
    monkeypatch.setattr(*ALONE)
    monkeypatch.setattr("neuralvdb.topology.chunks.LEAVES", 20)
    ramp = np.broadcast_to(np.arange(300, dtype=np.float32)[:, None, None], (300, 8, 8)).copy()
    grid = grid_of(ramp, np.ones(ramp.shape, bool), origin=(0, 0, 0))
    chunk, _, _ = chunks.chunks_of(grid.tree)
    component, lattice = ChunkComponent.of(grid.tree, chunk, 0), sample_lattice(1 / 16)
    pyramid = lattice.blank_pyramid(component)
    true = TruePoints(component, pyramid, lattice.quantiser)
    for k, level in enumerate(pyramid):
        points = nonzero_points(level.coded)
        level.values[points.index] = np.rint(true.values(k, points))
    points = sample_inputs.targets(pyramid[0], 0, 0)
    inputs = SampleView(pyramid[0]).inputs(points, sample_pass(0, 0, 0))
    last = pyramid[0].cells[points.brick, 0] * 8 + points.offset // 64 == 255
    assert last.any()
    assert np.abs(inputs.base - true.values(0, points))[last].max() <= 2 * 16
