"""Topologies of every shape."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import strategies as st

from neuralvdb.topology import Topology

HABITS: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "empty": lambda rng, edge: np.zeros((edge,) * 3, bool),
    "full": lambda rng, edge: np.ones((edge,) * 3, bool),
    "one": lambda rng, edge: np.arange(edge**3).reshape((edge,) * 3) == rng.integers(edge**3),
    "all but one": lambda rng, edge: np.arange(edge**3).reshape((edge,) * 3) != rng.integers(edge**3),
    "checkerboard": lambda rng, edge: np.indices((edge,) * 3).sum(0) % 2 == 0,
    "coarse checkerboard": lambda rng, edge: (np.indices((edge,) * 3) // 2).sum(0) % 2 == 0,
    "noise": lambda rng, edge: rng.random((edge,) * 3) < rng.random(),
    "half": lambda rng, edge: np.tensordot(rng.normal(size=3), np.indices((edge,) * 3) - edge / 2, 1) > 0,
}


def masks(rng: np.random.Generator, habits: list[str], nodes: int, edge: int) -> np.ndarray:
    """(nodes, edge^3) bool."""
    made = [HABITS[habits[rng.integers(len(habits))]](rng, edge).reshape(-1) for _ in range(nodes)]
    return np.array(made, bool).reshape(nodes, edge**3)


def children(rng: np.random.Generator, nodes: int, edge: int, count: int, together: bool) -> np.ndarray:
    """(nodes, edge^3) bool with up to `count` children in each node, in a clump or anywhere."""
    child = np.zeros((nodes, edge**3), bool)
    for node in child:
        if together:
            at = rng.integers(0, edge, 3)
            box = (np.abs(np.indices((edge,) * 3) - at[:, None, None, None]) < count ** (1 / 3) / 2 + 0.5).all(0)
            node |= box.reshape(-1) & (np.cumsum(box) <= count)
        else:
            node[rng.choice(edge**3, count, replace=False)] = True
    return child


def build(p: dict) -> Topology:
    """The topology that the parameters describe."""
    rng = np.random.default_rng(p["seed"])
    reach = 1 << 19 if p["far"] else 2  # of the root table, in its entries
    origins = np.unique(rng.integers(-reach, reach, (p["uppers"] + p["tiles"], 3)), axis=0) * 4096
    is_tile = rng.permutation(len(origins)) < p["tiles"]
    uppers, tiles = (np.ascontiguousarray(origins[pick], np.int32) for pick in (~is_tile, is_tile))
    pack = lambda mask: np.packbits(mask, axis=1, bitorder="little")  # noqa: E731
    masks_of_level, nodes = [], len(uppers)
    for edge, count in ((32, p["lowers"]), (16, p["leaves"])):
        child = children(rng, nodes, edge, count, p["together"])
        masks_of_level += [pack(child), pack(masks(rng, p["tile_habits"], nodes, edge) & ~child)]
        nodes = int(child.sum())
    leaf = pack(masks(rng, p["habits"], nodes, 8))
    return Topology(uppers, tiles, rng.integers(0, 2, len(tiles), np.uint8), *masks_of_level, leaf)


topologies = st.fixed_dictionaries(
    {
        "uppers": st.integers(0, 2),
        "tiles": st.integers(0, 2),
        "lowers": st.integers(0, 3),
        "leaves": st.integers(0, 30),
        "together": st.booleans(),
        "far": st.booleans(),
        "habits": st.lists(st.sampled_from(sorted(HABITS)), min_size=1, max_size=3),
        "tile_habits": st.lists(st.sampled_from(["empty", "full", "one", "checkerboard", "noise", "half"]), min_size=1),
        "seed": st.integers(0, 2**32),
    }
).map(build)


@pytest.fixture(scope="session")
def drawn() -> st.SearchStrategy[Topology]:
    """Topologies, for given(st.data())."""
    return topologies
