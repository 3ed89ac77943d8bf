"""Whole components in one compiled call: the same cells as the definition in NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from neuralvdb.archive.rans import Decoder, Tables
from neuralvdb.archive.rans_engine import TOTAL
from neuralvdb.errors import DamagedFile
from neuralvdb.nets.network import Network
from neuralvdb.values.lattice import chunks
from neuralvdb.values.lattice.chunks import ChunkComponent, Quantiser
from neuralvdb.values.lattice.coding import LatticeCells
from neuralvdb.values.lattice.constants import HIDDEN, LAYERS, OUTPUTS, SCALE_CLASSES
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import Lattice, lattice_of
from neuralvdb.values.lattice.pass_order import KEYS
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.residual import SymbolBuffer
from neuralvdb.values.leaf_values import LeafValues
from neuralvdb.values.promise import mean_promise, sample_promise
from neuralvdb.values.value_range import ValueRange
from neuralvdb.vdb import from_dense

FLAT = Tables(np.full((SCALE_CLASSES, SCALE_CLASSES), TOTAL // SCALE_CLASSES))
QUANTISERS = {
    "linear": Quantiser(1e-3),
    "fine": Quantiser(1e-8),
    "companded": Quantiser(1e-3, 100),
    "nonnegative": Quantiser(1e-3, 100, nonnegative=True),
    "active only": Quantiser(1e-3, active_only=True),
}
CASES = [
    *((LatticeKind.MEAN, name) for name in ("linear", "fine", "companded", "nonnegative")),
    *((LatticeKind.SAMPLE, name) for name in ("linear", "fine", "companded", "active only")),
]


def random_networks(kind: LatticeKind) -> dict[tuple[int, int, int], Network]:
    """Networks that say something: nothing here depends on their being good."""
    rng, (first, second) = np.random.default_rng(1), HIDDEN
    networks = {}
    for key in KEYS:
        inputs = lattice_of(kind).inputs_of(key.phase)
        shapes = (
            (first, inputs),
            (first,),
            (second, first),
            (second,),
            (OUTPUTS, second),
            (OUTPUTS,),
            (OUTPUTS, inputs),
        )
        arrays = [rng.integers(-20, 21, s).astype(np.int8 if len(s) > 1 else np.int32) for s in shapes]
        networks[key] = Network(*arrays, np.array([6, 6, 7, 7, 7, 9], np.int8))
    return networks


def lattice(kind: LatticeKind, quantiser: Quantiser, implementation: str, threads: int = 1) -> Lattice:
    """A lattice, which may round a little towards zero."""
    predictor = Predictor(random_networks(kind), threads=threads, implementation=implementation)
    dead_zones = np.full(SCALE_CLASSES, 0.1 if kind is LatticeKind.MEAN else 0.0)
    return lattice_of(kind)(
        quantiser=quantiser, predictor=predictor, dead_zones=dead_zones, implementation=implementation
    )


def component(quantiser: Quantiser, *, finite: bool = False) -> ChunkComponent:
    """Leaves with holes, one of them empty, beside an active tile and a background that is not 0."""
    rng = np.random.default_rng(0)
    active = rng.random((24, 12, 20)) < 0.3
    active[:8, :8, :8] = False
    active[8:10, 8, 8] = True
    values = (rng.normal(0, 1, active.shape).cumsum(0) / 5).astype(np.float32)
    values = values**4 if quantiser.nonnegative else values
    if not finite:
        values[8:10, 8, 8] = np.nan, np.inf
    grid = from_dense(values, name="g", active=active, origin=(-24, 8, 104), background=0.25)
    lower = grid.tree.lower
    slot = np.flatnonzero(np.unpackbits(lower.child[0], bitorder="little") == 0)[7]
    lower.values[0, slot], lower.active[0, slot // 8] = 3.0, 1 << slot % 8
    (chunk,) = chunks.chunks_of(grid.tree)
    assert chunk.constants_active.any()
    return ChunkComponent.of(grid.tree, chunk, 0)


def payload(coder: Lattice, of: ChunkComponent) -> tuple[bytes, np.ndarray]:
    """All layers in one stream, and the values as they decode."""
    buffer = SymbolBuffer()
    values = coder.encode(of, [buffer] * LAYERS)
    return buffer.written(FLAT).finish(), values


def cells_of(cells: LatticeCells) -> tuple[np.ndarray, np.ndarray]:
    """Values of all bricks of the box, and which are coded."""
    coded = np.zeros(cells.values.shape, bool)
    coded[: len(cells.coded)] = cells.coded != 0
    return cells.values[cells.table], coded[cells.table]


@pytest.mark.parametrize("finite", [False, True])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_component_decodes_as_the_definition_has_it(kind, name, finite):
    quantiser = QUANTISERS[name]
    of = component(quantiser, finite=finite)
    reference = lattice(kind, quantiser, "reference")
    data, values = payload(reference, of)
    for implementation, threads in (("native", 1), ("native", 2), ("avx2", 1), ("pairs", 1)):
        native_data, native_values = payload(lattice(kind, quantiser, implementation, threads), of)
        assert native_data == data
        np.testing.assert_array_equal(native_values, values)
    for lod in range(LAYERS):
        expected = cells_of(reference.decode(of, lambda _, coder=Decoder(data, FLAT, "test"): coder, lod))
        for threads in (1, 2):
            coder = Decoder(data, FLAT, "test")
            decoded = lattice(kind, quantiser, "native", threads).decode(of, lambda _, coder=coder: coder, lod)
            for array, other in zip(cells_of(decoded), expected, strict=True):
                np.testing.assert_array_equal(array, other)
            if lod == 0:
                coder.finish()
                np.testing.assert_array_equal(decoded.values[: len(of)], values[: len(of)])


@pytest.mark.parametrize("kind", list(dict.fromkeys(kind for kind, _ in CASES)))
def test_a_stream_that_ends_too_soon_is_damaged(kind):
    of, coder = component(QUANTISERS["linear"]), lattice(kind, QUANTISERS["linear"], "native")
    buffer = SymbolBuffer()
    buffer.put(np.arange(500) - 250, np.full(500, 30, np.uint8))
    buffer.end()
    for stream in (buffer.written(FLAT).finish(), SymbolBuffer().written(FLAT).finish()):
        with pytest.raises(DamagedFile):
            coder.decode(of, lambda _, source=Decoder(stream, FLAT, "test"): source)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("unit", [3e-10, 1e-3, 7e30])
def test_leaves_are_filled_as_the_definition_has_it(unit, dtype, half):
    rng = np.random.default_rng(2)
    values = rng.normal(size=(16, 16, 8, 3)).astype(dtype)
    values[::5], values[1::5], values[2::5] = np.nan, np.inf, 1e35
    grid = from_dense(values, name="g", active=rng.random((16, 16, 8)) < 0.5)
    (chunk,) = chunks.chunks_of(grid.tree)
    for promise in (
        sample_promise("fog", max_error=8 * unit, half=half),
        sample_promise("velocity", max_error=8 * unit, ratio=0.01, half=half),
        mean_promise(step=1024 * unit, knee=5e5 * unit, half=half),
    ):
        promise = replace(promise, ranges=(ValueRange(-1e30, 2e30), ValueRange(-1e-7, 0.5), ValueRange(0.0, 6e4)))
        bits = rng.integers(0, 28, (4, 512))
        lattice_values = (rng.integers(-(1 << 28), 1 << 28, (4, 512)) >> bits).astype(np.int32)
        for component_number in range(3):
            filled = [LeafValues(grid.tree, promise, np.zeros((4, 512, 3), dtype)) for _ in range(2)]
            for leaves, implementation in zip(filled, ("native", "reference"), strict=True):
                leaves.fill(chunk, component_number, lattice_values, implementation)
            assert filled[0].values.tobytes() == filled[1].values.tobytes()
            filled[0].values[:, ::3] = grid.tree.leaf.values.reshape(4, 512, 3)[:, ::3]
            slots = [filled[0].broken(chunk, component_number, name) for name in ("native", "reference")]
            assert slots[0].dtype == slots[1].dtype and np.array_equal(*slots)
