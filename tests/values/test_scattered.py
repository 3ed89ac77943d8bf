"""Leaves scattered over a large space are many chunks: that takes time only where it can save bytes."""

from unittest import mock

import numpy as np
import pytest

from neuralvdb import values
from neuralvdb.settings import CompressSettings
from neuralvdb.values import EncodeContext, sample_promise
from neuralvdb.values.lattice import chunks
from neuralvdb.values.select import strategy
from neuralvdb.vdb import from_dense
from neuralvdb.volume import Tree, lookup

CONTEXT = EncodeContext.of(CompressSettings(threads=1, effort=0))
PROMISE = sample_promise("fog", max_error=1.0)


def scattered(leaves: int, voxels: int) -> Tree:
    """Leaves in a row, 3000 voxels from each other, each with so many active voxels."""
    field = np.random.default_rng(0).random((1, 1, 3000 * leaves)).astype(np.float32) * 100
    active = np.arange(3000 * leaves) % 3000 < voxels
    return from_dense(np.where(active, field, 0), name="g", active=active.reshape(field.shape)).tree


def test_where_chunks_alone_take_more_bytes_no_network_is_tried():
    tree = scattered(20, 1)
    assert len(list(chunks.chunks_of(tree))) == 20
    with mock.patch.object(strategy, "encode_lossy", side_effect=AssertionError("it was tried")):
        coded = values.choose_values(tree, PROMISE, CONTEXT)
    assert coded.codec == 0
    assert values.encode_lossy(tree, PROMISE, CONTEXT).size > coded.size


def test_a_single_leaf_is_tried():
    with mock.patch.object(strategy, "encode_lossy", wraps=strategy.encode_lossy) as tried:
        values.choose_values(scattered(1, 8), PROMISE, CONTEXT)
    assert tried.call_count == 1


@pytest.mark.parametrize("leaves", [2, 12])
def test_nodes_are_listed_once_and_not_for_every_chunk(leaves):
    tree = scattered(leaves, 8)
    listing = mock.patch.object(chunks, "lower_origins", wraps=chunks.lower_origins)
    with listing as listed, mock.patch.object(lookup, "lower_origins", side_effect=AssertionError("again")):
        assert len(list(chunks.chunks_of(tree))) == leaves
    assert listed.call_count == 1
