"""Residuals as symbols and raw bits: C++ is the definition's twin, and what is split is joined again."""

import tracemalloc

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from neuralvdb.archive.rans import Tables, normalise
from neuralvdb.values.lattice.constants import SCALE_CLASSES
from neuralvdb.values.lattice.residual import (
    ESCAPE,
    MAX_RESIDUAL,
    SymbolBuffer,
    count_symbols,
    join_residuals,
    raw_width,
    split_residuals,
)


@given(
    seed=st.integers(0, 1 << 32),
    count=st.sampled_from([0, 1, 7, 1000, 100_000]),
    largest=st.sampled_from([1, 40, 3000, MAX_RESIDUAL]),
)
def test_native_is_the_definition_and_joins_what_it_splits(seed, count, largest):
    random = np.random.default_rng(seed)
    residuals = random.integers(-largest, largest, count, endpoint=True).astype(np.int32)
    classes = random.integers(0, SCALE_CLASSES, count).astype(np.uint8)
    coded = random.random((SCALE_CLASSES, ESCAPE + 1)) < 0.8
    arrays = [(residuals[piece], classes[piece]) for piece in (slice(count // 2), slice(count // 2, count))]
    slow_counts = np.ones(coded.shape, np.int64)
    slow_joined = count_symbols(arrays, slow_counts, implementation="reference")
    for threads in (1, 2):
        counts = np.ones(coded.shape, np.int64)
        joined = count_symbols(arrays, counts, threads)
        np.testing.assert_array_equal(counts, slow_counts)
        for array, slow in zip(joined, slow_joined, strict=True):
            assert array.dtype == slow.dtype
            np.testing.assert_array_equal(array, slow)
    for ends in ([count // 3, count // 3, count], [count]):
        args = classes, np.array(ends), coded
        slow = split_residuals(residuals, *args, "reference")
        for threads, of_type in ((1, residuals), (2, residuals), (2, joined[0])):
            fast = split_residuals(of_type, *args, threads=threads)
            for name, array in vars(slow).items():
                assert getattr(fast, name).dtype == array.dtype
                np.testing.assert_array_equal(getattr(fast, name), array)
    low, rare = np.zeros(count, np.int32), np.count_nonzero(fast.symbols == ESCAPE)
    low[raw_width(classes) > 0] = fast.values[: len(fast.values) - 2 * rare]
    escaped = fast.values[len(fast.values) - rare :].astype(np.int64) - 1
    for implementation in ("native", "reference"):
        joined = low.copy()
        join_residuals(fast.symbols, classes, escaped, joined, implementation)
        np.testing.assert_array_equal(joined, residuals)


def test_a_buffer_knows_what_it_will_take():
    random = np.random.default_rng(3)
    counts = random.integers(0, 3, (SCALE_CLASSES, ESCAPE + 1)) * (random.random((SCALE_CLASSES, ESCAPE + 1)) < 0.5)
    counts[:, ESCAPE] = 1
    tables = Tables(normalise(counts))
    for largest in (0, 20, 5000, MAX_RESIDUAL):
        buffer, packed = SymbolBuffer(), SymbolBuffer(packs=True)
        for count in (300, 0, 1000):
            residuals = random.integers(-largest, largest, count, endpoint=True)
            classes = random.integers(0, SCALE_CLASSES, count).astype(np.uint8)
            for each in (buffer, packed):
                each.put(residuals, classes)
                each.end()
        assert buffer.size(tables) == packed.size(tables)
        written = buffer.written(tables)
        assert written.size == packed.size(tables) > 0
        assert written.finish(1) == packed.written(tables).finish(1)


def test_packed_residuals_take_less_memory():
    count = 1 << 20
    residuals, scale_classes = np.zeros(count, np.int32), np.zeros(count, np.uint8)
    tracemalloc.start()
    buffer = SymbolBuffer(packs=True)
    before = tracemalloc.get_traced_memory()[0]
    buffer.put(residuals, scale_classes)
    kept = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert kept < count / 8


def test_any_stream_is_joined_alike():
    """Damaged streams hold values that no encoder writes: results wrap around in both."""
    escaped = np.array([-1, (1 << 24) - 2, 5], np.int64)
    symbols, classes = np.full(3, ESCAPE, np.uint8), np.array([63, 63, 0], np.uint8)
    results = []
    for implementation in ("native", "reference"):
        results.append(np.array([0, 1023, 0], np.int32))
        join_residuals(symbols, classes, escaped, results[-1], implementation)
    np.testing.assert_array_equal(*results)
