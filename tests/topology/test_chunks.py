"""How leaves are dealt to chunks: C++ cuts as the definition does, and no chunk wastes space or holds too much."""

from pathlib import Path

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


def mixed(rng: np.random.Generator) -> np.ndarray:
    """A dense ball, spray around it, pairs far apart and a line of single leaves."""
    cube = np.stack(np.unravel_index(np.arange(30**3), (30,) * 3), 1) - 15
    ball = cube[(cube**2).sum(1) < 150]
    pairs = np.repeat(rng.integers(-3000, 3000, (200, 3)), 2, axis=0)
    pairs[1::2] += rng.integers(-20, 20, (200, 3))
    line = np.arange(40)[:, None] * [0, 0, 96] + 2000
    return np.concatenate([ball, rng.integers(-400, 400, (900, 3)), pairs, line])


@pytest.mark.parametrize("case", ["mixed", "spray", "far", "near"])
def test_scattered_leaves_are_cut_as_the_specification_says(case, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "oracles"))
    from spec_chunks import chunks_of

    rng = np.random.default_rng(7)
    leaves = {
        "mixed": mixed(rng),
        "spray": rng.integers(0, 36 * 16, (2000, 3)),
        "far": rng.integers(-500, 500, (700, 3)),
        "near": rng.integers(-16, 16, (90, 3)),
    }[case]
    origins = rng.permutation(np.unique(leaves, axis=0) * 8).astype(np.int32)
    assert chunks.is_scattered(origins) == (case != "near")
    for scattered in (False, True):
        groups = chunks.group_leaves(origins, scattered=scattered)
        expected = chunks_of([tuple(map(int, origin)) for origin in origins], scattered)
        assert [group.leaves.tolist() for group in groups] == expected
        for group in groups:
            of_group = origins[group.leaves]
            assert ((of_group >= group.low[group.box]) & (of_group < group.high[group.box])).all()
            assert (len(group.low) > 1) == (group.edge > 0)


def test_no_chunk_of_scattered_leaves_has_much_more_space_than_leaves():
    """Before they were cut into blocks, 7000 leaves in 36^3 blocks were one box of 200 million bricks."""
    rng = np.random.default_rng(1)
    origins = np.unique(rng.integers(0, 36 * 16, (7000, 3)), axis=0).astype(np.int32) * 8
    (group,) = chunks.group_leaves(origins)
    assert group.edge == 0
    groups = chunks.value_groups(origins)
    assert all(len(group.low) * group.edge**3 <= 64 * 16**3 and group.edge for group in groups)
    assert len(groups) < 150


def test_grids_that_are_not_scattered_keep_their_chunks():
    """A small fire across the origin, and a large surface."""
    fire = np.stack(np.unravel_index(np.arange(216), (6, 6, 6)), 1) * 8 - 24
    cube = np.stack(np.unravel_index(np.arange(80**3), (80,) * 3), 1) - 40
    surface = cube[np.abs(np.sqrt((cube**2).sum(1)) - 35) < 1] * 8
    for origins in (fire, surface):
        assert not chunks.is_scattered(origins.astype(np.int32))
