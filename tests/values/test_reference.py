"""Predictions corrected by a reference: fewer bytes, and the same ones by C++ as by the definition."""

from dataclasses import replace

import numpy as np
import pytest

from neuralvdb.errors import DamagedFile
from neuralvdb.settings import Bound, Box, CompressSettings
from neuralvdb.values import (
    DecodeOptions,
    EncodeContext,
    ValuesDecoder,
    ValuesSource,
    choose_values,
    encoder,
    mean_promise,
    sample_promise,
)
from neuralvdb.values.lattice import correction_network
from neuralvdb.values.lattice.reference import GAINS, Correction, ReferenceValues, size_of
from neuralvdb.vdb import from_dense

PROMISES = {
    "sample": sample_promise("fog", max_error=0.02),
    "active-only": sample_promise("fog", max_error=0.02, active_only=True),
    "ratio": sample_promise("fog", max_error=0.01, ratio=0.1),
    "mean": mean_promise(step=0.03, knee=0.1, nonnegative=True),
}
CORRECTION = Correction(gains=(*range(5, 5 + GAINS - 1), 0), shifts=(-3, -1, 0, 4, 9))
CORRECTIONS = {
    "gains": lambda promise: CORRECTION,
    "network": lambda promise: correction_network.shipped(promise.mode.family),
}


def rough(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.2, (24, 24, 24, 1)).cumsum(0).squeeze(-1)


def tree_of(values: np.ndarray):
    ball = (np.indices(values.shape) - 11.5).__pow__(2).sum(0) < 140
    return from_dense((np.abs(values) * ball).astype("f4"), name="grid", active=ball).tree


TREE = tree_of(rough(0))
SAID = np.float64(TREE.leaf.values) + np.random.default_rng(1).normal(0, 0.05, TREE.leaf.values.shape)


def decoded(coded, refer, **options):
    source = ValuesSource.of(coded, "here")
    return ValuesDecoder(source, DecodeOptions(refer=refer, **options)).decode()


@pytest.mark.parametrize("correction", CORRECTIONS.values(), ids=CORRECTIONS)
@pytest.mark.parametrize("promise", PROMISES.values(), ids=PROMISES)
def test_native_code_gives_the_bytes_of_the_definition_and_they_decode(promise, correction):
    reference = ReferenceValues.over(TREE, SAID, correction(promise))
    ways = [("native", 1), ("native", 2), ("reference", 1)]
    all_coded = [
        encoder.encode(TREE, promise, encoder.EncodeOptions(reference=reference, threads=threads, implementation=way))
        for way, threads in ways
    ]
    coded = all_coded[0]
    assert all((other.payload, other.chunks) == (coded.payload, coded.chunks) for other in all_coded)
    assert coded.size < 0.9 * encoder.encode(TREE, promise).size
    for way in ("native", "reference"):
        tree = decoded(coded, lambda _: SAID, implementation=way)
        np.testing.assert_array_equal(tree.leaf.values, coded.tree.leaf.values)
    boxed = decoded(coded, lambda tree: SAID[-len(tree.leaf) :], box=Box((0, 0, 0), (23, 23, 23)))
    np.testing.assert_array_equal(boxed.leaf.values, coded.tree.leaf.values)
    levels = [
        ValuesDecoder(ValuesSource.of(coded, "here"), DecodeOptions(refer=lambda _: SAID, implementation=way)).cells(2)
        for way in ("native", "reference")
    ]
    np.testing.assert_array_equal(levels[0].values, levels[1].values)


def test_sizes_begin_where_they_should():
    assert size_of(np.array([0, 1, -2, 3, 8, -24, 1 << 30]), 4).tolist() == [0, 1, 1, 2, 3, 4, 4]


def test_a_reference_is_taken_where_it_helps_and_not_where_it_does_not():
    context = EncodeContext.of(CompressSettings(threads=1, bounds=(Bound(value=0.02, relative=False),)))
    rough_values = np.float64(tree_of(rough(9)).leaf.values)
    alone, helped, other = (
        choose_values(TREE, PROMISES["sample"], context, said)
        for said in ([], [rough_values, SAID, rough_values], [rough_values])
    )
    assert helped.head.correction is not None
    assert (alone.said, helped.said, other.said) == (None, 1, None)
    assert helped.size < 0.9 * alone.size
    assert other.head.correction is None
    assert other.payload == alone.payload


def test_a_correction_needs_a_reference_and_a_reference_a_correction():
    promise = PROMISES["mean"]
    reference = ReferenceValues.over(TREE, SAID, CORRECTION)
    coded = encoder.encode(TREE, promise, encoder.EncodeOptions(reference=reference))
    with pytest.raises(DamagedFile, match="correction"):
        decoded(coded, None)
    with pytest.raises(DamagedFile, match="correction"):
        decoded(encoder.encode(TREE, promise), lambda _: SAID)


@pytest.mark.parametrize("correction", [Correction(gains=(17,) * GAINS), Correction(shifts=(33, 0, 0, 0, 0))])
def test_impossible_corrections_are_damage(correction):
    assert not correction.valid()
    coded = encoder.encode(TREE, PROMISES["sample"])
    head = replace(coded.head, correction=correction)
    payload = encoder._payload(TREE, head, EncodeContext.of(CompressSettings()).models, encoder.EncodeOptions())
    with pytest.raises(DamagedFile, match="makes no sense"):
        decoded(replace(coded, payload=payload), lambda _: SAID)
