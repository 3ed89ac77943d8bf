"""Inactive values are told apart by threads, and nodes that hold the background alone in C++, as by one of Python."""

from dataclasses import fields

import numpy as np
import pytest

from neuralvdb.values import inactive
from neuralvdb.values.inactive import KINDS, Inactive, classify, hold_only
from neuralvdb.volume.grid import unpack

BACKGROUND = 2.0
CHOICES = ([BACKGROUND], [-BACKGROUND], [5], [BACKGROUND, 5], [BACKGROUND, np.nan], [-0.0], [7, 8], [1, 2, 3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_nodes_of_one_value_are_told_as_the_definition_has_it(dtype, share):
    rng = np.random.default_rng(0)
    masks = np.packbits(rng.random((50, 512)) < share, axis=1, bitorder="little")
    values = np.stack([rng.choice(np.array(CHOICES[leaf % len(CHOICES)], dtype), 512) for leaf in range(50)])
    values[unpack(masks)] = rng.normal(size=int(unpack(masks).sum()))
    bits = values.view(f"u{values.itemsize}")
    plus, minus = (np.array([value], dtype).view(bits.dtype) for value in (BACKGROUND, -BACKGROUND))
    expected = hold_only(bits, masks, plus[0], implementation="reference")
    assert expected.any() and (expected.all() or share < 1)
    for threads in (1, 2):
        assert np.array_equal(hold_only(bits, masks, plus[0], threads), expected)
    without, told = (
        classify(bits[..., None], lambda nodes: ~unpack(masks[nodes]), plus, minus, uniform=uniform)
        for uniform in (None, expected)
    )
    assert (without.kinds[expected] == KINDS.index(("+",))).all()
    for field in fields(Inactive):
        assert np.array_equal(getattr(without, field.name), getattr(told, field.name)), field.name


def test_threads_tell_inactive_values_apart_as_one_does(monkeypatch):
    """In many pieces, with nodes of every kind."""
    random = np.random.default_rng(1)
    on = random.random((200, 512)) < 0.5
    palettes = random.integers(0, 5, (200, 3))
    palettes[::2, 2] = palettes[::2, 0]
    numbers = np.take_along_axis(palettes, random.integers(0, 3, on.shape), axis=1)
    bits = np.array([2, -2, 5, 7, 9], np.float32)[numbers][..., None].view(np.uint32)
    plus, minus = (np.array([value], np.float32).view(np.uint32) for value in (2, -2))
    whole = classify(bits, lambda nodes: ~on[nodes], plus, minus)
    assert len(np.unique(whole.kinds)) == len(KINDS)
    monkeypatch.setattr(inactive, "_CHUNK", 512 * 7)
    for threads in (1, 3):
        pieces = classify(bits, lambda nodes: ~on[nodes], plus, minus, threads=threads)
        for name, expected in vars(whole).items():
            np.testing.assert_array_equal(getattr(pieces, name), expected)
