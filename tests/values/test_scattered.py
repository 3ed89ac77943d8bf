"""Leaves scattered over a large space: far ones share chunks, and no network is tried where it cannot save bytes."""

from unittest import mock

import numpy as np
import pytest

from neuralvdb import values
from neuralvdb.settings import Box, CompressSettings
from neuralvdb.values import EncodeContext, encoder, mean_promise, sample_promise
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice import chunks
from neuralvdb.values.select import strategy
from neuralvdb.vdb import from_dense
from neuralvdb.volume import Tree

CONTEXT = EncodeContext.of(CompressSettings(threads=1, effort=0))
MEANS = mean_promise(step=0.5)
PROMISE = sample_promise("fog", max_error=1.0)


def scattered(leaves: int, voxels: int) -> Tree:
    """Leaves in a row, 3000 voxels from each other, each with so many active voxels."""
    field = np.random.default_rng(0).random((1, 1, 3000 * leaves)).astype(np.float32) * 100
    active = np.arange(3000 * leaves) % 3000 < voxels
    return from_dense(np.where(active, field, 0), name="g", active=active.reshape(field.shape)).tree


@pytest.fixture
def alone(monkeypatch):
    """No chunk has several boxes."""
    monkeypatch.setattr("neuralvdb.topology.chunks.CROWD", 1)


def test_where_chunks_alone_take_more_bytes_no_network_is_tried(alone):
    tree = scattered(20, 1)
    assert len(list(chunks.chunks_of(tree))) == 20
    with mock.patch.object(strategy, "prepare_lossy", side_effect=AssertionError("it was tried")):
        coded = values.choose_values(tree, PROMISE, CONTEXT)
    assert coded.codec == 0
    assert values.encode_lossy(tree, PROMISE, CONTEXT).size > coded.size


@pytest.mark.parametrize("promise", [PROMISE, MEANS], ids=["sample", "mean"])
def test_leaves_of_several_boxes_come_back(promise):
    """Whole, coarser and in a box; every leaf sees tiles around it and no other leaf's values."""
    tree = scattered(20, 12)
    tree.lower.active[::2, 0] = tree.lower.values[::2, :8] = 3
    tree.lower.active &= ~tree.lower.child
    (chunk,) = chunks.chunks_of(tree)
    assert chunk.table.shape == (3 * 16, 16, 16) and len(np.unique(chunk.cells, axis=0)) == 40
    beside = chunk.cells[:, None] + np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, -1], [0, -1, 0], [-1, 0, 0]])
    neighbours = chunk.table[tuple(beside.reshape(-1, 3).T)].reshape(40, 6)
    own_pair = np.arange(40)[:, None] ^ 1
    assert ((neighbours == own_pair) | (neighbours >= 40)).all()
    coded = encoder.encode(tree, promise, EncodeOptions())
    decoder = ValuesDecoder(ValuesSource.of(coded, "test"), DecodeOptions())
    cells = decoder.cells(1)
    decoded = decoder.decode()
    assert decoded.leaf.values.tobytes() == coded.tree.leaf.values.tobytes()
    assert cells.active.any(1).all()
    box = Box((0, 0, 9000), (0, 0, 9005))
    near = ValuesDecoder(ValuesSource.of(coded, "test"), DecodeOptions(box=box)).decode()
    assert near.leaf.values.tobytes() == coded.tree.leaf.values.tobytes()


def test_a_single_leaf_is_tried():
    with mock.patch.object(strategy, "prepare_lossy", wraps=strategy.prepare_lossy) as tried:
        values.choose_values(scattered(1, 8), PROMISE, CONTEXT)
    assert tried.call_count == 1


@pytest.mark.parametrize("leaves", [2, 12])
def test_nodes_are_looked_at_once_and_not_for_every_chunk(alone, leaves):
    tree = scattered(leaves, 8)
    with mock.patch.object(chunks, "has_tiles", wraps=chunks.has_tiles) as looked:
        assert len(list(chunks.chunks_of(tree))) == leaves
    assert looked.call_count == 1
