"""The smallest and the largest active value: the native twin against the definition."""

import numpy as np
import pytest

from neuralvdb.volume import _leaves
from neuralvdb.volume.value_ends import ValueEnds, ends_of


def leaves(dtype, components: int, count: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Values of both signs and all sizes, some repeated, some not finite; a third is active."""
    random = np.random.default_rng(components)
    values = (random.standard_normal((count, 512, components)) * np.exp(random.normal(0, 20, (count, 512, 1)))).astype(
        dtype
    )
    values[0, :8] = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e-42, 1])[:, None]
    values[1:6] = values[1, :1]
    masks = random.integers(0, 256, (count, 64), np.uint8) & random.integers(0, 256, (count, 64), np.uint8)
    return values, masks


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("components", [1, 3])
@pytest.mark.parametrize("outliers", [0.0, 1e-4, 0.01, 0.2, 0.5])
def test_ends_are_those_of_the_definition(dtype, components, outliers):
    values, masks = leaves(dtype, components)
    assert ends_of(values, masks, outliers) == ends_of(values, masks, outliers, "reference")
    first = values[..., :1]
    assert ends_of(first, masks, outliers) == ends_of(first, masks, outliers, "reference")


@pytest.mark.parametrize("components", [1, 3])
def test_threads_find_the_ends_that_one_finds(components):
    values, masks = leaves(np.float64, components, count=3072)
    for outliers in (0.0, 1e-4, 0.3):
        ends = ends_of(values, masks, outliers)
        assert [ends_of(values, masks, outliers, threads=threads) for threads in (2, 3)] == [ends, ends]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_where_nothing_counts_there_are_no_ends(dtype):
    values, masks = leaves(dtype, 1, count=8)
    nothing = ValueEnds()
    assert ends_of(values, np.zeros_like(masks)) == nothing == ends_of(values[:0], masks[:0])
    assert ends_of(np.full_like(values, np.nan), masks, 0.1) == nothing
    zeros = ends_of(np.full_like(values, -0.0), masks)
    assert (str(zeros.low), str(zeros.high)) == ("0.0", "0.0") and zeros.count > 0


def test_masks_of_other_leaves_and_shares_beyond_a_half_are_refused():
    values, masks = leaves(np.float32, 1)
    for wrong in ((values, masks[1:], 0.0, 1), (values, masks, 0.6, 1), (values, masks, -0.1, 1)):
        with pytest.raises(ValueError):
            _leaves.ends(*wrong)
