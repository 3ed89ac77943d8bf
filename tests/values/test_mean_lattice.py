"""The mean lattice: fast path = definition, decoding undoes encoding, means survive."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralvdb.archive.rans import TOTAL, Decoder, Tables
from neuralvdb.values.lattice import compand, domain, levels, mean, mean_context, means
from neuralvdb.values.lattice.network import CLASSES, HIDDEN, OUTPUTS, Network
from neuralvdb.values.lattice.predict import MeanPredictor
from neuralvdb.values.lattice.residual import Record
from neuralvdb.volume import from_dense

FLAT = Tables(np.full((CLASSES, CLASSES), TOTAL // CLASSES))


def random_networks(seed: int) -> dict[tuple[int, int, int], Network]:
    """Networks that say something: nothing here depends on their being good."""
    rng = np.random.default_rng(seed)
    first, second = HIDDEN
    found = {}
    for key in np.ndindex(3, 3, 2):
        shapes = ((first, mean_context.inputs_of(key[2])), (first,), (second, first), (second,), (OUTPUTS, second))
        shapes += ((OUTPUTS,), (OUTPUTS, mean_context.inputs_of(key[2])))
        arrays = [rng.integers(-20, 21, s).astype(np.int8 if len(s) > 1 else np.int32) for s in shapes]
        found[key] = Network(*arrays, np.array([6, 6, 7, 7, 7, 9], np.int8))
    return found


LATTICES = {
    "linear": domain.Lattice(1e-3),
    "fine": domain.Lattice(1e-8),
    "companded": domain.Lattice(1e-3, 100),
    "positive": domain.Lattice(1e-3, 100, positive=True),
    "no knee to speak of": domain.Lattice(1e-3, 1, positive=True),
}


def floors_of(share: float, lattice: domain.Lattice = LATTICES["linear"]) -> tuple[list[means.Floor], list[np.ndarray]]:
    """Floors as a decoder begins with them, and exact means of every floor, of a block with random holes."""
    rng = np.random.default_rng(0)
    active = rng.random((40, 30, 50)) < share
    active[3, 4, 5] = True
    values = (rng.normal(0, 1, active.shape).cumsum(0) / 5).astype(np.float32)
    values = values**4 if lattice.positive else values
    grid = from_dense(values, name="g", active=active, origin=(-20, 7, 100))
    (part,) = domain.domains(grid.tree)
    exact, floors = mean.floors_of(grid.tree, part, 0, lattice)
    return floors, exact


def coded(floors, exact, lattice, networks, threads: int = 1, implementation: str = "native") -> bytes:
    record = Record()
    predictor = MeanPredictor(networks, threads=threads, implementation=implementation)
    mean.encode(exact, floors, lattice, predictor, np.full(CLASSES, 0.1), [record] * levels.OCTAVES, implementation)
    return record.written(FLAT).finish()


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_native_reference_and_threads_give_the_same_bytes(share, lattice):
    networks = random_networks(1)
    options = ({"threads": 1}, {"threads": 2}, {"implementation": "reference"})
    assert len({coded(*floors_of(share, lattice), lattice, networks, **o) for o in options}) == 1


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_decoding_gives_what_the_encoder_saw(share, lattice):
    floors, exact = floors_of(share, lattice)
    payload = coded(floors, exact, lattice, random_networks(2))
    for implementation in ("native", "reference"):
        again, _ = floors_of(share, lattice)
        coder = Decoder(payload, FLAT, "test")
        predictor = MeanPredictor(random_networks(2), implementation=implementation)
        mean.decode(again, lattice, predictor, lambda _, coder=coder: coder, 0, implementation)
        coder.finish()
        for name in ("means", "level.values"):
            for ours, theirs in zip(again, floors, strict=True):
                get = operator.attrgetter(name)
                np.testing.assert_array_equal(get(ours), get(theirs))


@pytest.mark.parametrize("name", ["linear", "companded", "positive"])
def test_means_of_large_cells_are_kept_better_than_voxels(name):
    lattice = LATTICES[name]
    floors, true = floors_of(1.0, lattice)
    coded(floors, true, lattice, random_networks(3))
    decoded = means.true_means(floors, floors[0].means.astype(float))
    error = [np.abs(t - d)[f.level.coded != 0].mean() for t, d, f in zip(true, decoded, floors, strict=True)]
    assert error[0] > 10
    assert error[9] < error[0] / 8


@pytest.mark.parametrize("lattice", LATTICES.values(), ids=LATTICES)
def test_halves_have_the_mean_of_their_cell(lattice):
    floors, exact = floors_of(0.5, lattice)
    coded(floors, exact, lattice, random_networks(4))
    for j, floor in enumerate(floors[1:]):
        first, second = means.halves(
            (floors[j].means * floors[j].counts.astype(np.int64)), floor.pairs, means.AXES[j % 3]
        )
        lost = floor.means * floor.counts.astype(np.int64) - (first + second)
        on = floor.level.coded != 0
        assert (lost[on] >= 0).all()
        assert (lost[on] < floor.counts[on]).all()  # rounding, below one lattice unit a voxel


def test_positive_stays_positive():
    lattice = LATTICES["positive"]
    floors, exact = floors_of(0.5, lattice)
    coded(floors, exact, lattice, random_networks(5))
    assert min(floor.means.min() for floor in floors) == 0


def test_a_floor_counts_every_coded_voxel_once():
    floors, _ = floors_of(0.3)
    total = int((floors[0].level.coded != 0).sum())
    assert [int(f.counts[: f.level.bricks].sum()) for f in floors] == [total] * (means.FLOORS + 1)


@given(st.integers(-(1 << 27), 1 << 27), st.integers(0, 10**6))
def test_whole_companding_undoes_itself(x, knee):
    (c,) = compand.compand_whole(np.array([x]), knee)
    (back,) = compand.expand_whole(np.array([c]), knee)
    assert abs(back) <= abs(x)
    assert knee == 0 or abs(x) < knee or abs(x - back) * knee <= abs(x)
    assert compand.compand_whole(np.array([back]), knee) == c
