"""The mean lattice: fast path = definition, decoding undoes encoding, means survive."""

import numpy as np
import pytest

from neuralvdb.archive.rans import TOTAL, Decoder, Tables
from neuralvdb.values.lattice import domain, levels, mean, mean_context, means
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


def floors_of(share: float, seed: int = 0, unit: float = 0.3 / 256) -> tuple[list[means.Floor], np.ndarray]:
    """Floors as a decoder begins with them, and exact values of floor 0, of a block with random holes."""
    rng = np.random.default_rng(seed)
    active = rng.random((40, 30, 50)) < share
    active[3, 4, 5] = True
    values = (rng.normal(0, 1, active.shape).cumsum(0) / 5).astype(np.float32)
    grid = from_dense(values, name="g", active=active, origin=(-20, 7, 100))
    (part,) = domain.domains(grid.tree)
    lattice = domain.Lattice(unit)
    values, on, coded = domain.rows_of(grid.tree, part, 0, lattice)
    exact = np.concatenate([domain.exact_of(grid.tree, part, 0, lattice), values[len(part.leaves) :].astype(float)])
    return means.tower(levels.Level(part.low, part.table, values, on, coded, len(part.leaves))), exact


def coded(floors: list[means.Floor], exact: np.ndarray, networks, **options) -> bytes:
    record, implementation = Record(), options.get("implementation", "native")
    octaves = [record] * levels.OCTAVES
    predictor = MeanPredictor(networks, **options)
    mean.encode(means.exact_means(floors, exact), floors, predictor, octaves, implementation)
    return record.written(FLAT).finish()


@pytest.mark.parametrize("unit", [1e-3, 1e-8])
@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_native_reference_and_threads_give_the_same_bytes(share, unit):
    networks = random_networks(1)
    options = ({"threads": 1}, {"threads": 2}, {"implementation": "reference"})
    assert len({coded(*floors_of(share, unit=unit), networks, **o) for o in options}) == 1


@pytest.mark.parametrize("share", [0.001, 0.3, 1.0])
def test_decoding_gives_what_the_encoder_saw(share):
    floors, exact = floors_of(share)
    payload = coded(floors, exact, random_networks(2))
    again, _ = floors_of(share)
    coder = Decoder(payload, FLAT, "test")
    mean.decode(again, MeanPredictor(random_networks(2)), lambda _: coder)
    coder.finish()
    np.testing.assert_array_equal(again[0].level.values, floors[0].level.values)
    known = again[0].level.coded == 0
    np.testing.assert_array_equal(again[0].level.values[known], floors_of(share)[0][0].level.values[known])


def test_means_of_large_cells_are_kept_better_than_voxels():
    floors, exact = floors_of(1.0)
    coded(floors, exact, random_networks(3))
    true = means.exact_means(floors_of(1.0)[0], exact)
    decoded = means.exact_means(floors_of(1.0)[0], floors[0].level.values.astype(float))
    error = [np.abs(t - d)[f.level.coded != 0].mean() for t, d, f in zip(true, decoded, floors, strict=True)]
    assert error[0] > 10
    assert error[9] < error[0] / 8


def test_a_floor_counts_every_coded_voxel_once():
    floors, _ = floors_of(0.3)
    total = int((floors[0].level.coded != 0).sum())
    assert [int(f.counts[: f.level.bricks].sum()) for f in floors] == [total] * (means.FLOORS + 1)
