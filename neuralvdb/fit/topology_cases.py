"""Topologies of files to learn from: every tree as it is, with tiles for full leaves, and fog thinned."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.topology.masks import Topology
from neuralvdb.topology.similarity import resembles
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import Tree
from neuralvdb.volume.field_kind import FieldKind, field_kind
from neuralvdb.volume.grid import unpack

_SMALLEST = 3000  # active voxels of a fog worth thinning
_FEW_VALUES = 50  # that differ, among the first ones: what has fewer is a mask, not a fog
_THIN = (0.02, 0.7)  # quantiles of the active values that fog is thinned to


@dataclass(frozen=True)
class Case:
    """A topology to learn from, and one that it resembles, from which it is coded."""

    topology: Topology
    reference: Topology | None = None


def cases_of(paths: Iterable[str | os.PathLike[str]], rng: np.random.Generator, thin: int) -> Iterator[Case]:
    """The different topologies of .vdb files, also with tiles for full leaves and beside the one before in the file;
    fog `thin` times without its lower values, also beside another time. Raises InputError, DamagedFile.
    """
    done = set()
    for path in paths:
        before = None
        for grid in VdbReader(path):
            if grid.tree is None or not len(grid.tree.leaf):
                continue
            topology = Topology.of(grid.tree)
            key = b"".join(mask.tobytes() for mask in topology.masks)
            if key not in done:
                done.add(key)
                yield Case(topology)
                yield Case(_tiled(topology))
                if before is not None and resembles(topology, before):
                    yield Case(topology, before)
                before = topology
            if field_kind(grid) is FieldKind.FOG:
                yield from _thinned_cases(grid.tree, rng, thin)


def reoriented(topology: Topology, axes: list[int], mirrored: list[bool]) -> Topology:
    """The topology with its axes permuted and mirrored."""

    def turn(cubes: np.ndarray) -> np.ndarray:
        edge = round(cubes.shape[1] ** (1 / 3))
        cubes = cubes.reshape(-1, edge, edge, edge).transpose(0, *(1 + a for a in axes))
        return np.flip(cubes, tuple(1 + a for a in range(3) if mirrored[a])).reshape(-1, edge**3)

    def move(origins: np.ndarray) -> np.ndarray:
        return np.where(mirrored, -4096 - origins[:, axes], origins[:, axes]).astype(np.int32)

    masks, order = [], np.arange(len(topology.child_origins))
    for child, active in (
        (topology.upper_child, topology.upper_active),
        (topology.lower_child, topology.lower_active),
    ):
        bits = unpack(child)
        masks += [_pack(turn(bits[order])), _pack(turn(unpack(active)[order]))]
        number = np.full(bits.shape, -1)
        number[bits] = np.arange(bits.sum())
        number = turn(number[order])
        order = number[number >= 0]
    upper_child, upper_active, lower_child, lower_active = masks
    return Topology(
        child_origins=move(topology.child_origins),
        tile_origins=move(topology.tile_origins),
        tile_active=topology.tile_active,
        upper_child=upper_child,
        upper_active=upper_active,
        lower_child=lower_child,
        lower_active=lower_active,
        leaf_active=_pack(turn(unpack(topology.leaf_active)[order])),
    )


def _thinned_cases(tree: Tree, rng: np.random.Generator, thin: int) -> Iterator[Case]:
    """Each thinned fog alone, and beside the one before, in either order."""
    before = Topology.of(tree)
    for thinned in _thinned(tree, rng, thin):
        yield Case(thinned)
        yield Case(thinned, before) if rng.random() < 0.5 else Case(before, thinned)
        before = thinned


def _thinned(tree: Tree, rng: np.random.Generator, thin: int) -> Iterator[Topology]:
    """Less and less of a fog."""
    topology, values = Topology.of(tree), tree.leaf.values
    active = unpack(topology.leaf_active)
    finite = values[active]
    finite = finite[np.isfinite(finite)]
    if len(finite) < _SMALLEST or len(np.unique(finite[:_SMALLEST])) < _FEW_VALUES:
        return
    for share in np.sort(rng.uniform(*_THIN, thin)):
        kept = active & (values > np.quantile(finite, share))
        child = unpack(topology.lower_child)
        child[child] = kept.any(1)
        yield replace(topology, lower_child=_pack(child), leaf_active=_pack(kept[kept.any(1)]))


def _tiled(topology: Topology) -> Topology:
    """The topology with active tiles where leaves are full."""
    full = (topology.leaf_active == 255).all(1)
    child, active = unpack(topology.lower_child), unpack(topology.lower_active)
    active[child] = full
    return replace(
        topology,
        lower_child=_pack(child & ~active),
        lower_active=topology.lower_active | _pack(active),
        leaf_active=topology.leaf_active[~full],
    )


def _pack(mask: np.ndarray) -> np.ndarray:
    return np.packbits(mask, axis=1, bitorder="little")
