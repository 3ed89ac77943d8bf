"""Whole components coded by the compiled module with arguments that do not go together: an error, nothing worse."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from native_arguments import REFUSED, i64, u8, zeros

from neuralvdb.values import _lattice
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.native import native_lattice, native_passes
from neuralvdb.values.lattice.pass_order import all_passes
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.priors import shipped

PREDICTOR = Predictor(shipped().families["fog-mean"].networks)
PASSES = native_lattice(LatticeKind.MEAN, Quantiser(1.0), PREDICTOR, "native").passes
CHUNK = (zeros("i4", 16, 16, 16), i64(0), zeros("u1", 1, 64), zeros("f4", 1, 512), zeros("i4", 1), zeros("u1", 1))
STATES = np.full((1, 4), 1 << 16, np.uint32)
STREAM = (STATES, u8(128), i64(0), i64(0), i64(0), u8(64))
STREAMS = (u8(64, 4096), np.zeros((64, 64), np.uint32), [STREAM], zeros("i8", 1, 2), [0, 0, 0, 0])


def with_item(items: tuple, at: int, item: object) -> tuple:
    """A tuple with another item."""
    return (*items[:at], item, *items[at + 1 :])


BROKEN_CHUNKS = [
    *((0, table) for table in (zeros("i4", 16, 16, 8), zeros("i4", 0, 16, 16), zeros("i4", 16, 16, 16) - 1)),
    *((0, table) for table in (zeros("i4", 16, 16, 16) + np.int32(2), zeros("i8", 16, 16, 16))),
    *((1, leaves) for leaves in (i64(1), i64(-1), zeros("i4", 1))),
    *((2, masks) for masks in (zeros("u1", 0, 64), zeros("u1", 1, 63))),
    *((3, values) for values in (zeros("f4", 2, 512), zeros("f4", 1, 511), zeros("i4", 1, 512))),
    *((4, constants) for constants in (zeros("i4", 2), zeros("i8", 1))),
]


GAINS, SHIFTS = (16,) * 12, (0, -32, 32, 1, 2)
FAR = 1 << 23  # no bias of a network is farther from 0
NETWORK = (
    np.full((24, 23), -128, np.int8),
    np.full(24, FAR, np.int32),
    zeros("i1", 4, 24),
    zeros("i4", 4),
    [0, 24, 0, 24, 0],
)
BROKEN_NETWORKS = [
    *((0, w1) for w1 in (zeros("i1", 23, 24), zeros("i1", 23, 24).T, zeros("u1", 24, 23), zeros("i1", 552), None)),
    *((1, b1) for b1 in (zeros("i4", 23), zeros("i8", 24), *(np.full(24, -b, np.int32) for b in (FAR + 1, 1 << 31)))),
    *((2, w2) for w2 in (zeros("i1", 3, 24), zeros("i1", 4, 25), zeros("f4", 4, 24), zeros("i1", 0, 24))),
    *((3, b2) for b2 in (zeros("i4", 5), zeros("f4", 4), np.full(4, FAR + 1, np.int32))),
    *((4, shifts) for shifts in ([0] * 4, [0] * 6, [25, 0, 0, 0, 0], [0, 0, 0, 0, -1], [0, 0, 1 << 31, 0, 0])),
]
BROKEN_REFERENCES = [
    *((CHUNK, with_item(NETWORK, at, item)) for at, item in BROKEN_NETWORKS),
    (CHUNK, NETWORK[:4]),
    (CHUNK, None),
    (with_item(CHUNK, 0, CHUNK[0].copy()), NETWORK),
    (CHUNK, GAINS),
    (CHUNK, GAINS[1:], SHIFTS),
    (CHUNK, (17, *GAINS[1:]), SHIFTS),
    (CHUNK, GAINS, (33, *SHIFTS[1:])),
    (CHUNK, GAINS, SHIFTS[1:]),
    (CHUNK[:5], GAINS, SHIFTS),
    (with_item(CHUNK, 0, CHUNK[0].copy()), GAINS, SHIFTS),
    (with_item(CHUNK, 3, zeros("f4", 0, 512)), GAINS, SHIFTS),
]


@pytest.mark.parametrize("reference", BROKEN_REFERENCES)
def test_references(reference):
    rules, zones = (1.0, 0, False), np.zeros(64)
    calls = [
        lambda reference: _lattice.decode(CHUNK, PASSES, rules, STREAMS, 0, 1, reference),
        lambda reference: _lattice.encode(CHUNK, PASSES, rules, zones, 1, reference),
        lambda reference: _lattice.compare(CHUNK, PASSES, rules, 1, reference),
    ]
    for call in calls:
        call((CHUNK, GAINS, SHIFTS))
        call((CHUNK, NETWORK))
        with pytest.raises((*REFUSED, RuntimeError)):  # nanobind's, where items are of another type
            call(reference)
    with pytest.raises(REFUSED):
        _lattice.compare(CHUNK, PASSES, rules, 1, None)


@pytest.mark.parametrize(("at", "item"), BROKEN_CHUNKS)
def test_chunks(at, item):
    rules, zones, values, to = (1.0, 0, False), np.zeros(64), zeros("i4", 1, 512), zeros("f4", 1, 512)
    filling = (1.0, 0, True, False, 0.0, 1.0)
    calls = [
        lambda chunk: _lattice.decode(chunk, PASSES, rules, STREAMS, 0, 1, None),
        lambda chunk: _lattice.encode(chunk, PASSES, rules, zones, 1, None),
        lambda chunk: _lattice.fill(chunk, values, filling, to, 1),
        lambda chunk: _lattice.broken(chunk, (1.0, 0.0, 1.0), to, 1),
    ]
    for call in calls:
        call(CHUNK)
        for chunk in (with_item(CHUNK, at, item), CHUNK[:5]):
            with pytest.raises(REFUSED):
                call(chunk)


@pytest.mark.parametrize(
    ("rules", "streams", "lod"),
    [
        ((1.0, -1, False), STREAMS, 0),
        ((1.0, 1 << 62, False), STREAMS, 0),
        ((1.0, 0), STREAMS, 0),
        ((1.0, 0, False), STREAMS, 4),
        ((1.0, 0, False), STREAMS, -1),
        ((1.0, 0, False), STREAMS, 1),
        ((1.0, 0, False), with_item(STREAMS, 0, u8(63, 4096)), 0),
        ((1.0, 0, False), with_item(STREAMS, 0, u8(64, 4096) + np.uint8(64)), 0),
        ((1.0, 0, False), with_item(STREAMS, 1, np.zeros((64, 63), np.uint32)), 0),
        ((1.0, 0, False), with_item(STREAMS, 3, zeros("i8", 2, 2)), 0),
        ((1.0, 0, False), with_item(STREAMS, 3, i64(-1, 0).reshape(1, 2)), 0),
        ((1.0, 0, False), with_item(STREAMS, 3, i64(0, 512).reshape(1, 2)), 0),
        ((1.0, 0, False), with_item(STREAMS, 4, [0, 0, 0, 1]), 0),
        *(
            ((1.0, 0, False), with_item(STREAMS, 2, [with_item(STREAM, at, item)]), 0)
            for at, item in (
                (0, STATES[:, :3].copy()),
                (1, u8(100)),
                (2, i64(-1)),
                (3, i64(1)),
                (4, i64(0, 0)),
                (5, u8(3)),
            )
        ),
        ((1.0, 0, False), with_item(STREAMS, 2, [STREAM[:5]]), 0),
    ],
)
def test_streams_of_components(rules, streams, lod):
    with pytest.raises(REFUSED):
        _lattice.decode(CHUNK, PASSES, rules, streams, lod, 1, None)


def test_places_for_values_of_leaves():
    filling = (1.0, 0, True, False, 0.0, 1.0)
    for values, rules, to in (
        (zeros("i4", 0, 512), filling, zeros("f4", 1, 512)),
        (zeros("i4", 1, 512), filling[:5], zeros("f4", 1, 512)),
        (zeros("i4", 1, 512), (1.0, -1, *filling[2:]), zeros("f4", 1, 512)),
        (zeros("i4", 1, 512), filling, zeros("f4", 0, 512)),
        (zeros("i4", 1, 512), filling, zeros("f8", 1, 512)),
    ):
        with pytest.raises(REFUSED):
            _lattice.fill(CHUNK, values, rules, to, 1)


def test_passes_in_another_order():
    coded = native_passes(LatticeKind.MEAN, [PREDICTOR.native[each.network] for each in all_passes(LatticeKind.MEAN)])
    _lattice.Passes(2, (11, 44), coded)
    for rule, top, passes in (
        (3, (11, 44), coded),
        (0, (11, 44), coded),
        (2, (0, 44), coded),
        (2, (11, 64), coded),
        (2, (11,), coded),
        (2, (11, 44), coded[:-1]),
        (2, (11, 44), coded[::-1]),
        (2, (11, 44), [with_item(coded[0], 2, 4), *coded[1:]]),
        (2, (11, 44), [with_item(coded[0], 4, np.array([512], np.int16)), *coded[1:]]),
        (2, (11, 44), [with_item(coded[0], 6, coded[1][6]), *coded[1:]]),
        (2, (11, 44), [coded[0][:6], *coded[1:]]),
    ):
        with pytest.raises(REFUSED):
            _lattice.Passes(rule, top, passes)
