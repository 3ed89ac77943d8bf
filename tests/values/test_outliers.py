"""What a lattice misses: halves beside the right one cost a place, anything else its bits too."""

import numpy as np
import pytest

from neuralvdb.archive import FieldReader, FieldWriter, put_array
from neuralvdb.errors import DamagedFile
from neuralvdb.values import encoder, outliers
from neuralvdb.values.decoder import ValuesDecoder, ValuesSource
from neuralvdb.values.promise import sample_promise
from neuralvdb.vdb import from_dense

BOUND = 0.00317  # is no multiple of the spacing of halves


def listed(half: bool, true: np.ndarray, decoded: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Exceptions at every second voxel as bytes, and what they are said to become."""
    out, index = FieldWriter(), 2 * np.arange(len(true), dtype=np.int64)
    corrected = outliers.put(out, sample_promise("fog", max_error=BOUND, half=half), index, true, decoded)
    return out.getvalue(), corrected


@pytest.mark.parametrize("half", [False, True])
def test_there_and_back(half):
    halves = np.linspace(1, 4, 900).astype(np.float16)
    true, rng = halves.astype(np.float32), np.random.default_rng(0)
    near = np.abs(halves.view(np.uint16).astype(int) + rng.integers(-6, 7, len(true))).astype(np.uint16)
    decoded = near.view(np.float16).astype(np.float32)
    decoded[::100], true[50] = 100, np.nan
    data, corrected = listed(half, true, decoded)
    promise, on = sample_promise("fog", max_error=BOUND, half=half), np.ones(2 * len(true), bool)
    taken = outliers.take(FieldReader(data, "test"), promise, on, np.dtype(np.float32))
    index = taken.leaf * 512 + taken.voxel
    assert sorted(index) == list(range(0, 2 * len(true), 2))
    np.testing.assert_array_equal(taken.values(decoded[index // 2]), corrected[index // 2])
    assert (promise.kept(true, corrected) | np.isnan(true)).all()
    assert (taken.up > 100 and taken.down > 100) if half else taken.up == taken.down == 0


def test_a_moved_half_takes_no_value():
    true = np.linspace(1, 2, 600).astype(np.float16).astype(np.float32)
    decoded = np.nextafter(true.astype(np.float16), np.float16(9)).astype(np.float32)
    assert len(listed(True, true, decoded)[0]) < len(listed(False, true, decoded)[0]) / 3


def test_no_place_is_believed_that_is_not_active():
    true = np.full(3, 1.0, np.float32)
    data, _ = listed(True, true, true + np.float32(2.0**-8))
    for on in (np.zeros(9, bool), np.ones(4, bool)):
        with pytest.raises(DamagedFile, match="exception"):
            outliers.take(FieldReader(data, "test"), sample_promise("fog", max_error=BOUND, half=True), on, true.dtype)


@pytest.mark.parametrize("steps", [[1, 1 << 63, (1 << 63) + 1], [1, (1 << 64) - 1, 2], [1, 0, 2], [0, 9]])
def test_no_step_between_places_is_believed_that_wraps_around_or_stands_still(steps):
    out = FieldWriter()
    out.put_varint(len(steps))
    put_array(out, np.array(steps, np.uint64))
    out.put_bytes(b"")
    with pytest.raises(DamagedFile, match="exception"):
        outliers.take(
            FieldReader(out.getvalue(), "test"),
            sample_promise("fog", max_error=BOUND),
            np.ones(9, bool),
            np.dtype(np.float32),
        )


def test_rough_halves_keep_the_bound():
    values = (1 + 3 * np.random.default_rng(1).random((16, 16, 16))).astype(np.float16).astype(np.float32)
    tree = from_dense(values, name="g", active=np.ones(values.shape, bool)).tree
    promise = sample_promise("fog", max_error=BOUND, half=True)
    coded = encoder.encode(tree, promise)
    decoded = ValuesDecoder(ValuesSource.of(coded, "test")).decode().leaf.values
    assert promise.kept(tree.leaf.values, decoded).all()
    np.testing.assert_array_equal(decoded, coded.tree.leaf.values)
