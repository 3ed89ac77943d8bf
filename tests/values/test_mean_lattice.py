"""The mean lattice: fast path = definition, decoding undoes encoding, means survive."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralvdb.archive.rans import TOTAL, Decoder, Tables
from neuralvdb.values.lattice import chunks, compand, levels, mean, mean_inputs, mean_pyramid
from neuralvdb.values.lattice.network import CLASSES, HIDDEN, OUTPUTS, Network, linear
from neuralvdb.values.lattice.predictor import MeanPredictor
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.vdb import from_dense

FLAT = Tables(np.full((CLASSES, CLASSES), TOTAL // CLASSES))


def random_networks(seed: int) -> dict[tuple[int, int, int], Network]:
    """Networks that say something: nothing here depends on their being good."""
    rng = np.random.default_rng(seed)
    first, second = HIDDEN
    found = {}
    for key in np.ndindex(3, 3, 2):
        shapes = ((first, mean_inputs.inputs_of(key[2])), (first,), (second, first), (second,), (OUTPUTS, second))
        shapes += ((OUTPUTS,), (OUTPUTS, mean_inputs.inputs_of(key[2])))
        arrays = [rng.integers(-20, 21, s).astype(np.int8 if len(s) > 1 else np.int32) for s in shapes]
        found[key] = Network(*arrays, np.array([6, 6, 7, 7, 7, 9], np.int8))
    return found


LATTICES = {
    "linear": chunks.Quantiser(1e-3),
    "fine": chunks.Quantiser(1e-8),
    "companded": chunks.Quantiser(1e-3, 100),
    "positive": chunks.Quantiser(1e-3, 100, positive=True),
    "no knee to speak of": chunks.Quantiser(1e-3, 1, positive=True),
}


def floors_of(
    share: float, lattice: chunks.Quantiser = LATTICES["linear"]
) -> tuple[list[mean_pyramid.MeanLevel], mean_pyramid.TrueMeans]:
    """Floors as a decoder begins with them, and true means of every floor, of a block with random holes."""
    rng = np.random.default_rng(0)
    active = rng.random((40, 30, 50)) < share
    active[3, 4, 5] = True
    values = (rng.normal(0, 1, active.shape).cumsum(0) / 5).astype(np.float32)
    values = values**4 if lattice.positive else values
    grid = from_dense(values, name="g", active=active, origin=(-20, 7, 100))
    (part,) = chunks.chunks_of(grid.tree)
    true, floors = mean.floors_of(grid.tree, part, 0, lattice)
    return floors, true


def exact_means(floors: list[mean_pyramid.MeanLevel], true: mean_pyramid.TrueMeans) -> list[np.ndarray]:
    """The true means of every floor's coded cells, voxels first."""
    return [true.means(j, *np.nonzero(floors[j].counts)) for j in reversed(range(len(floors)))][::-1]


def voxels_of(floor: mean_pyramid.MeanLevel, row: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(3, n) coordinates of cells of a floor, in cells from the box's corner."""
    corner = np.zeros((floor.bricks, 3), int)
    at = np.argwhere(floor.table < floor.bricks)
    corner[floor.table[tuple(at.T)]] = 8 * at
    return corner[row].T + np.array(np.unravel_index(place, (8, 8, 8)))


def coded(floors, true, lattice, networks, threads: int = 1, implementation: str = "native"):
    """Bytes, and every floor as it decodes, voxels first."""
    record = SymbolBuffer()
    predictor = MeanPredictor(networks, threads=threads, implementation=implementation)
    implementation = "reference" if implementation == "reference" else "native"  # of all else
    dead, out = np.full(CLASSES, 0.1), [record] * levels.LAYERS
    found = list(mean.encode(true, floors, lattice, predictor, dead, out, implementation))
    return record.written(FLAT).finish(), found[::-1]


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
@pytest.mark.parametrize("hidden", [True, False])
def test_native_reference_and_threads_give_the_same_bytes(hidden, share, lattice):
    networks = random_networks(1)
    if not hidden:
        networks = {key: linear(net.b3, net.linear, net.shifts) for key, net in networks.items()}
    options = ({"threads": 1}, {"threads": 2}, {"implementation": "floats"}, {"implementation": "reference"})
    assert len({coded(*floors_of(share, lattice), lattice, networks, **o)[0] for o in options}) == 1


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_decoding_gives_what_the_encoder_saw(share, lattice):
    payload, floors = coded(*floors_of(share, lattice), lattice, random_networks(2))
    assert len(floors) == mean_pyramid.FLOORS + 1
    for implementation in ("native", "reference"):
        again, _ = floors_of(share, lattice)
        coder = Decoder(payload, FLAT, "test")
        predictor = MeanPredictor(random_networks(2), implementation=implementation)
        found = list(mean.decode(again, lattice, predictor, lambda _, coder=coder: coder, 0, implementation))[::-1]
        coder.finish()
        for ours, theirs in zip(found, floors, strict=True):
            np.testing.assert_array_equal(ours.means, theirs.means)
            values = (cells.level(lattice.knee, i).values for cells, i in ((ours, "native"), (theirs, "reference")))
            np.testing.assert_array_equal(*values)


@pytest.mark.parametrize("name", ["linear", "companded", "positive"])
def test_means_of_large_cells_are_kept_better_than_voxels(name):
    lattice = LATTICES[name]
    true = exact_means(*floors_of(1.0, lattice))
    _, floors = coded(*floors_of(1.0, lattice), lattice, random_networks(3))
    sums = [floors[0].means.astype(float)]
    for j, cells in enumerate(floors[1:]):
        sums.append(sum(mean_pyramid.halves(sums[-1], cells.floor.pairs, mean_pyramid.AXES[j % 3])))
    error = []
    for wanted, total, cells in zip(true, sums, floors, strict=True):
        at = np.nonzero(cells.coded)
        error.append(np.abs(wanted - total[at] / cells.coded[at]).mean())
    assert error[0] > 10
    assert error[9] < error[0] / 8


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_halves_have_the_mean_of_their_cell(lattice):
    _, floors = coded(*floors_of(0.5, lattice), lattice, random_networks(4))
    for j, cells in enumerate(floors[1:]):
        below, above = (c.means * c.floor.counts.astype(np.int64) for c in (floors[j], cells))
        lost = above - sum(mean_pyramid.halves(below, cells.floor.pairs, mean_pyramid.AXES[j % 3]))
        counts = cells.floor.counts
        on = counts > 0
        assert (lost[on] >= 0).all()
        assert (lost[on] < counts[on]).all()  # rounding, below one lattice unit a voxel


@pytest.mark.slow
@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_true_means_are_those_of_the_voxels(lattice):
    """Against sums over a dense box."""
    floors, true = floors_of(0.5, lattice)
    rows, places = np.nonzero(floors[0].counts)
    dense = np.zeros(np.array(floors[0].table.shape) * 8)
    at = tuple(voxels_of(floors[0], rows, places))
    dense[at] = true.means(0, rows, places)
    floors, true = floors_of(0.5, lattice)
    on = np.zeros(dense.shape)
    on[at] = 1
    sums, counts = [dense], [on]
    for j in range(mean_pyramid.FLOORS):
        for parts in (sums, counts):
            lines = np.moveaxis(parts[-1], mean_pyramid.AXES[j % 3], 0)
            parts.append(np.moveaxis(lines[::2] + lines[1::2], 0, mean_pyramid.AXES[j % 3]))
    for j in reversed(range(mean_pyramid.FLOORS + 1)):
        floor = floors[j]
        at = np.nonzero(floor.counts[: floor.bricks])
        cells = tuple(voxels_of(floor, *at))
        np.testing.assert_array_equal(floor.counts[at], counts[j][cells])
        assert np.abs(true.means(j, *at) - sums[j][cells] / counts[j][cells]).max() <= 1e-6 * np.abs(dense).max()


def test_positive_stays_positive():
    lattice = LATTICES["positive"]
    _, floors = coded(*floors_of(0.5, lattice), lattice, random_networks(5))
    assert min(cells.means.min() for cells in floors) == 0


def test_a_floor_counts_every_coded_voxel_once():
    floors, _ = floors_of(0.3)
    total = int(np.count_nonzero(floors[0].counts))
    assert [int(f.counts[: f.bricks].sum()) for f in floors] == [total] * (mean_pyramid.FLOORS + 1)


@given(st.integers(-(1 << 27), 1 << 27), st.integers(0, 10**6))
def test_whole_companding_undoes_itself(x, knee):
    (c,) = compand.compand_whole(np.array([x]), knee)
    (back,) = compand.expand_whole(np.array([c]), knee)
    assert abs(back) <= abs(x)
    assert knee == 0 or abs(x) < knee or abs(x - back) * knee <= abs(x)
    assert compand.compand_whole(np.array([back]), knee) == c
