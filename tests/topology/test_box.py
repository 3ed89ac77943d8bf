"""Boxes of active voxels: section TOPO, codec 3."""

from dataclasses import replace

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
    out = FieldWriter()
    out.put("i32", 0, 0, 0)
    for size in steps:
        out.put_varint(size)
    put_array(out, np.array([bits], np.uint8))
    with pytest.raises(DamagedFile, match=says):
        topology.decode(stored(out.getvalue(), 4096 if bits == 255 else 1 << 20, 3))
