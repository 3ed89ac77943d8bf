"""The mean lattice: fast path = definition, decoding undoes encoding, means survive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralvdb.archive.rans import Decoder, Tables
from neuralvdb.archive.rans_engine import TOTAL
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice import chunks, compand, mean_inputs, mean_pyramid
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.constants import HIDDEN, LAYERS, MEAN_LEVELS, OUTPUTS, SCALE_CLASSES
from neuralvdb.values.lattice.mean import MeanLattice
from neuralvdb.values.lattice.mean_pyramid import Cells, MeanLevel, TrueMeans, halves
from neuralvdb.values.lattice.network import linear
from neuralvdb.values.lattice.pass_order import KEYS, split_axis
from neuralvdb.values.lattice.points import Points, nonzero_points
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.vdb import from_dense

FLAT = Tables(np.full((SCALE_CLASSES, SCALE_CLASSES), TOTAL // SCALE_CLASSES))


def random_networks(seed: int) -> dict[tuple[int, int, int], Network]:
    """Networks that say something: nothing here depends on their being good."""
    rng = np.random.default_rng(seed)
    first, second = HIDDEN
    networks = {}
    for key in KEYS:
        shapes = ((first, mean_inputs.inputs_of(key[2])), (first,), (second, first), (second,), (OUTPUTS, second))
        shapes += ((OUTPUTS,), (OUTPUTS, mean_inputs.inputs_of(key[2])))
        arrays = [rng.integers(-20, 21, s).astype(np.int8 if len(s) > 1 else np.int32) for s in shapes]
        networks[key] = Network(*arrays, np.array([6, 6, 7, 7, 7, 9], np.int8))
    return networks


LATTICES = {
    "linear": Quantiser(1e-3),
    "fine": Quantiser(1e-8),
    "companded": Quantiser(1e-3, 100),
    "positive": Quantiser(1e-3, 100, nonnegative=True),
    "no knee to speak of": Quantiser(1e-3, 1, nonnegative=True),
}


def blank(share: float, quantiser: Quantiser = LATTICES["linear"]) -> tuple[list[MeanLevel], TrueMeans]:
    """Levels as a decoder begins with them, and true means of every level, of a block with random holes."""
    rng = np.random.default_rng(0)
    active = rng.random((40, 30, 50)) < share
    active[3, 4, 5] = True
    values = (rng.normal(0, 1, active.shape).cumsum(0) / 5).astype(np.float32)
    values = values**4 if quantiser.nonnegative else values
    grid = from_dense(values, name="g", active=active, origin=(-20, 7, 100))
    (chunk,) = chunks.chunks_of(grid.tree)
    component = ChunkComponent.of(grid.tree, chunk, 0)
    pyramid = mean_pyramid.mean_pyramid(component, quantiser)
    return pyramid, TrueMeans(component, pyramid, quantiser)


def exact_means(pyramid: list[MeanLevel], true: TrueMeans) -> list[np.ndarray]:
    """The true means of every level's coded cells, voxels first."""
    return [true.means(j, nonzero_points(pyramid[j].counts)) for j in reversed(range(len(pyramid)))][::-1]


def voxels_of(level: MeanLevel, points: Points) -> np.ndarray:
    """(3, n) coordinates of cells of a level, in cells from the box's corner."""
    corner = np.zeros((level.bricks, 3), int)
    at = np.argwhere(level.table < level.bricks)
    corner[level.table[tuple(at.T)]] = 8 * at
    return corner[points.brick].T + np.array(np.unravel_index(points.offset, (8, 8, 8)))


def lattice_with(quantiser, networks, threads: int = 1, implementation: str = "native") -> MeanLattice:
    """A lattice that rounds a little towards zero."""
    return MeanLattice(
        quantiser=quantiser,
        predictor=Predictor(networks, threads=threads, implementation=implementation),
        dead_zones=np.full(SCALE_CLASSES, 0.1),
        implementation="reference" if implementation == "reference" else "native",
    )


def coded(share: float, quantiser, networks, **options) -> tuple[bytes, list[Cells]]:
    """Bytes, and every level as it decodes, voxels first."""
    (pyramid, true), buffer = blank(share, quantiser), SymbolBuffer()
    levels = list(lattice_with(quantiser, networks, **options).encode_levels(true, pyramid, [buffer] * LAYERS))
    return buffer.written(FLAT).finish(), levels[::-1]


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
@pytest.mark.parametrize("hidden", [True, False])
def test_native_reference_and_threads_give_the_same_bytes(hidden, share, lattice):
    networks = random_networks(1)
    if not hidden:
        networks = {key: linear(net.b3, net.linear, net.shifts) for key, net in networks.items()}
    options = (
        {"threads": 1},
        {"threads": 2},
        {"implementation": "avx2"},
        {"implementation": "pairs"},
        {"implementation": "reference"},
    )
    assert len({coded(share, lattice, networks, **o)[0] for o in options}) == 1


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_decoding_gives_what_the_encoder_saw(share, lattice):
    payload, levels = coded(share, lattice, random_networks(2))
    assert len(levels) == MEAN_LEVELS
    for implementation in ("native", "reference"):
        pyramid, _ = blank(share, lattice)
        coder = Decoder(payload, FLAT, "test")
        decoder = lattice_with(lattice, random_networks(2), implementation=implementation)
        decoded = list(decoder.decode_levels(pyramid, lambda _, coder=coder: coder))[::-1]
        coder.finish()
        for level, expected in zip(decoded, levels, strict=True):
            np.testing.assert_array_equal(level.means, expected.means)
            native, reference = level.lattice_level(lattice.knee), expected.lattice_level(lattice.knee, "reference")
            np.testing.assert_array_equal(native.values, reference.values)


@pytest.mark.parametrize("name", ["linear", "companded", "positive"])
def test_means_of_large_cells_are_kept_better_than_voxels(name):
    lattice = LATTICES[name]
    true = exact_means(*blank(1.0, lattice))
    _, levels = coded(1.0, lattice, random_networks(3))
    sums = [levels[0].means.astype(float)]
    for j, cells in enumerate(levels[1:]):
        sums.append(sum(halves(sums[-1], cells.level.pairs, split_axis(j))))
    error = []
    for wanted, total, cells in zip(true, sums, levels, strict=True):
        at = np.nonzero(cells.level.coded)
        error.append(np.abs(wanted - total[at] / cells.level.coded[at]).mean())
    assert error[0] > 10
    assert error[9] < error[0] / 8


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_halves_have_the_mean_of_their_cell(lattice):
    _, levels = coded(0.5, lattice, random_networks(4))
    for j, cells in enumerate(levels[1:]):
        below, above = (c.means * c.level.counts.astype(np.int64) for c in (levels[j], cells))
        lost = above - sum(halves(below, cells.level.pairs, split_axis(j)))
        counts = cells.level.counts
        on = counts > 0
        assert (lost[on] >= 0).all()
        assert (lost[on] < counts[on]).all()  # rounding, below one lattice unit a voxel


@pytest.mark.slow
@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_true_means_are_those_of_the_voxels(lattice):
    """Against sums over a dense box."""
    levels, true = blank(0.5, lattice)
    points = nonzero_points(levels[0].counts)
    dense = np.zeros(np.array(levels[0].table.shape) * 8)
    at = tuple(voxels_of(levels[0], points))
    dense[at] = true.means(0, points)
    levels, true = blank(0.5, lattice)
    on = np.zeros(dense.shape)
    on[at] = 1
    sums, counts = [dense], [on]
    for j in range(MEAN_LEVELS - 1):
        for by_component in (sums, counts):
            lines = np.moveaxis(by_component[-1], split_axis(j), 0)
            by_component.append(np.moveaxis(lines[::2] + lines[1::2], 0, split_axis(j)))
    for j in reversed(range(MEAN_LEVELS)):
        level = levels[j]
        points = nonzero_points(level.coded)
        cells = tuple(voxels_of(level, points))
        np.testing.assert_array_equal(level.counts[points.index], counts[j][cells])
        assert np.abs(true.means(j, points) - sums[j][cells] / counts[j][cells]).max() <= 1e-6 * np.abs(dense).max()


def test_positive_stays_positive():
    lattice = LATTICES["positive"]
    _, levels = coded(0.5, lattice, random_networks(5))
    assert min(cells.means.min() for cells in levels) == 0


def test_a_level_counts_every_coded_voxel_once():
    levels, _ = blank(0.3)
    total = int(np.count_nonzero(levels[0].counts))
    assert [int(level.coded.sum()) for level in levels] == [total] * (MEAN_LEVELS)


@given(st.integers(-(1 << 27), 1 << 27), st.integers(0, 10**6))
def test_whole_companding_undoes_itself(x, knee):
    (c,) = compand.compand_whole(np.array([x]), knee)
    (back,) = compand.expand_whole(np.array([c]), knee)
    assert abs(back) <= abs(x)
    assert knee == 0 or abs(x) < knee or abs(x - back) * knee <= abs(x)
    assert compand.compand_whole(np.array([back]), knee) == c


@pytest.mark.parametrize("quantiser", LATTICES.values(), ids=LATTICES)
def test_native_halves_are_those_of_the_definition(quantiser):
    """Of means and differences of all sizes, such as damaged archives have."""
    rng, (pyramid, _) = np.random.default_rng(1), blank(0.7, quantiser)
    for j in (0, 1, 5):
        fine, above = pyramid[j], pyramid[j + 1]
        means, differences = (
            rng.integers(-(1 << 28), 1 << 28, above.counts.shape, np.int32)
            >> rng.integers(0, 28, above.counts.shape, np.int32)
            for _ in range(2)
        )
        means = abs(means) if quantiser.nonnegative else means
        native, defined = (
            mean_pyramid.split(Cells(above, means), fine, split_axis(j), differences, quantiser, implementation)
            for implementation in ("native", "reference")
        )
        np.testing.assert_array_equal(native, defined)
