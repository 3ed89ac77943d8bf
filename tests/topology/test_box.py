"""Boxes of active voxels: section TOPO, codec 3."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neuralvdb import topology
from neuralvdb.archive import FieldWriter, put_array
from neuralvdb.errors import DamagedFile
from neuralvdb.topology import Topology
from neuralvdb.topology.payload import TopologyPayload
from neuralvdb.vdb import from_dense
from neuralvdb.volume.grid import InnerLevel, LeafLevel, Tree, unpack


def stored(payload: bytes, declared: int, codec: int = 1) -> TopologyPayload:
    return TopologyPayload(codec=codec, payload=payload, declared=declared, where="here")


def tree_of(shape: tuple[int, ...], low: tuple[int, ...], share: float, seed: int) -> Tree:
    """A box of ones, of whose leaves that are full a share, picked at random, are active tiles."""
    tree = from_dense(np.ones(shape, "f4"), name="box", active=np.ones(shape, bool), origin=low).tree
    tiles = unpack(tree.leaf.active).all(1) & (np.random.default_rng(seed).random(len(tree.leaf)) < share)
    tiles[0] = False
    child, active, values = unpack(tree.lower.child), unpack(tree.lower.active), tree.lower.values.copy()
    at = tuple(indices[tiles] for indices in np.nonzero(child))
    child[at], active[at], values[at] = False, True, 1
    pack = lambda mask: np.packbits(mask, axis=1, bitorder="little")  # noqa: E731
    leaf = LeafLevel(tree.leaf.active[~tiles], tree.leaf.values[~tiles])
    return replace(tree, lower=InnerLevel(pack(child), pack(active), values), leaf=leaf)


def back(original: Topology) -> tuple[int, Topology]:
    codec, payload = topology.encode(original)
    return codec, topology.decode(stored(payload, original.nbytes, codec))


def equal(first: Topology, second: Topology) -> bool:
    return all(np.array_equal(getattr(first, n), getattr(second, n)) for n in Topology.__dataclass_fields__)


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 60)] * 3),
    low=st.tuples(*[st.sampled_from([-(1 << 31), -4100, -130, -8, -3, 0, 5, 120, 4090, (1 << 31) - 60])] * 3),
    share=st.sampled_from([0, 0.5, 1]),
    seed=st.integers(0, 99),
)
def test_boxes_come_back_in_few_bytes(shape, low, share, seed):
    topology = Topology.of(tree_of(shape, low, share, seed))
    codec, other = back(topology)
    assert codec == 3 and equal(topology, other)


def test_what_is_nearly_a_box_is_none():
    tree = tree_of((30, 20, 40), (-5, 3, 100), 0.5, 1)
    for leaf in (0, len(tree.leaf) - 1, len(tree.leaf) // 2):
        bits = tree.leaf.active.copy()
        bits[leaf, np.flatnonzero(bits[leaf])[0]] ^= np.uint8(255)
        codec, other = back(Topology.of(replace(tree, leaf=replace(tree.leaf, active=bits))))
        assert codec != 3 and np.array_equal(other.leaf_active, bits)


@contextmanager
def peak_below(most: int) -> Iterator[None]:
    """Asserts that never so many bytes are taken."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()


def box_payload(steps: tuple[int, int, int], bits: np.ndarray) -> bytes:
    """A box of so many steps from the origin; bits: packed, which bricks are leaves."""
    out = FieldWriter()
    out.put("i32", 0, 0, 0)
    for size in steps:
        out.put_varint(size)
    put_array(out, bits)
    return out.getvalue()


@pytest.mark.parametrize(
    ("steps", "bits", "says"),
    [
        ((1 << 40, 0, 0), 1, "beyond 32 bits"),
        ((1 << 30, 1 << 30, 1 << 30), 1, "are declared"),
        ((9, 9, 9), 0, "out of the box"),
        ((9, 9, 9), 255, "are declared"),
        ((9, 9, 2), 31, "beyond the box"),
    ],
)
def test_damage(steps, bits, says):
    payload = box_payload(steps, np.array([bits], np.uint8))
    with pytest.raises(DamagedFile, match=says):
        topology.decode(stored(payload, 4096 if bits == 255 else 1 << 20, 3))


@pytest.mark.parametrize(
    ("steps", "byte"), [((1023,) * 3, 0), ((383,) * 3, 255), ((7, 7, (1 << 18) - 1), 255), ((127, 127, 8191), 0)]
)
def test_a_box_takes_little_more_memory_than_it_declares(steps, byte):
    """Of tiles, of leaves, and thin ones of many upper nodes."""
    bricks, nodes = (prod((size >> log2) + 1 for size in steps) for log2 in (3, 7))
    declared = (bricks * 64 if byte else 0) + nodes * 1024 + prod((size >> 12) + 1 for size in steps) * 8204
    payload = box_payload(steps, np.full(-(-bricks // 8), byte, np.uint8))
    with peak_below(6 * declared + (100 << 20)):
        assert topology.decode(stored(payload, declared, 3)).nbytes == declared


def test_a_box_of_more_leaves_than_are_declared_is_refused_before_they_are_made():
    payload = box_payload((2047,) * 3, np.full(1 << 21, 255, np.uint8))
    refused = pytest.raises(DamagedFile, match=r"masks need 1077[0-9]+ bytes but 1000000000 are declared")
    with peak_below(40 << 20), refused:
        topology.decode(stored(payload, 1_000_000_000, 3))
