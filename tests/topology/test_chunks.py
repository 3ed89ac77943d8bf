"""How leaves are dealt to chunks: C++ cuts as the definition does, and no chunk wastes space or holds too much."""

import numpy as np
import pytest

from neuralvdb.topology import _topology, chunks


def scattered(rng: np.random.Generator, count: int, reach: int) -> np.ndarray:
    return np.unique(rng.integers(-reach, reach, (count, 3)) * 8, axis=0).astype(np.int32)


@pytest.mark.parametrize(("count", "reach", "most"), [(1, 1 << 20, 9), (300, 1 << 20, 9), (900, 60, 40), (900, 400, 5)])
def test_native_cuts_are_the_definition(monkeypatch, count, reach, most):
    monkeypatch.setattr(chunks, "LEAVES", most)
    rng = np.random.default_rng(count)
    origins = np.concatenate([scattered(rng, count, reach), scattered(rng, count // 3, 1 + reach // 50) + 80_000])
    expected = chunks.cut_leaves(origins)
    pieces = chunks.Pieces(*_topology.cut_leaves(origins, most, chunks.SPARSE))
    for name in vars(pieces):
        np.testing.assert_array_equal(getattr(pieces, name), getattr(expected, name))
    groups = chunks.group_leaves(origins)
    assert sorted(np.concatenate([group.leaves for group in groups])) == list(range(len(origins)))
    for group in groups:
        of_group = origins[group.leaves]
        assert (np.diff(group.leaves) > 0).all() and len(group.low) == group.box.max() + 1
        assert ((of_group >= group.low[group.box]) & (of_group < group.high[group.box])).all()
        assert (len(group.low) > 1) == (group.edge > 0)
        if group.edge:
            assert len(of_group) <= most and len(group.low) * group.edge**3 <= 64 * 16**3


def test_far_leaves_share_a_chunk():
    """A leaf alone takes a cube of 4 bricks, so that 2048 of them are a chunk; large boxes keep one of their own."""
    origins = np.random.default_rng(0).permutation(6000)[:, None].astype(np.int32) * 8000 * np.ones(3, np.int32)
    groups = chunks.group_leaves(origins)
    assert [len(group.leaves) for group in groups] == [2048, 2048, 1904] and {group.edge for group in groups} == {4}
    cube = np.stack(np.unravel_index(np.arange(16**3), (16,) * 3), 1)
    (first, second) = chunks.group_leaves(np.concatenate([cube * 8, cube * 8 + 80_000]).astype(np.int32))
    assert len(first.leaves) == len(second.leaves) == 16**3 and first.edge == second.edge == 0


def test_no_leaves_are_no_chunks():
    assert chunks.group_leaves(np.zeros((0, 3), np.int32)) == []
