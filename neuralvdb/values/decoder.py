"""Lossy values from their sections: all of a grid, what lies in a box, or a coarser grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neuralvdb.archive import FieldReader, open_table
from neuralvdb.platform import return_memory
from neuralvdb.settings import Box
from neuralvdb.topology import Topology
from neuralvdb.values import outliers
from neuralvdb.values.chunk_sections import TileReader
from neuralvdb.values.encoder import store
from neuralvdb.values.head import ValuesHead, take_head
from neuralvdb.values.lattice import chunks, network_changes, tables
from neuralvdb.values.lattice.chunks import ChunkComponent
from neuralvdb.values.lattice.coding import LatticeCells
from neuralvdb.values.lattice.constants import EDGE, LAYERS
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.network import Network
from neuralvdb.values.lattice.predictor import Predictor
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.schedule import NetworkKey
from neuralvdb.values.lossless import by_component, take_shell
from neuralvdb.values.model_file import find_models
from neuralvdb.values.outliers import Outliers
from neuralvdb.volume.grid import Tree, leaf_origins, unpack
from neuralvdb.volume.regions import sampled, touched

if TYPE_CHECKING:
    import torch

    from neuralvdb.values.device.decoder import DeviceDecoder


class Reader:
    """The values of a grid; `tree` has everything but the active values of leaves.

    sections: TILE payloads by their number, read on access. box: only the domains that meet it are read and decoded,
    and `tree` has no other leaves. library_of: as find_library(). devices: to decode on, such as "cuda:0", none for the
    CPU by `implementation`. Raises DamagedFile where payloads break the format or the values do not take `declared`
    bytes, and MissingPriors.
    """

    def __init__(
        self,
        payload: bytes,
        sections: Mapping[int, bytes],
        topology: Topology,
        dtype: np.dtype,
        components: int,
        declared: int,
        where: str,
        *,
        box: Box | None = None,
        threads: int = 1,
        library_of: Callable[[bytes, str], ModelSet] = find_models,
        implementation: str = "native",
        devices: Sequence[str] = (),
    ) -> None:
        source = open_table(payload, where)
        head = take_head(source)
        found, self.promise = library_of(head.models, where), head.promise
        self._networks = _networks(source, where, head, found)
        self._tables = tables.tables_of(head.table_rows, found.freq)
        origins = topology.leaf_origins()
        self._groups = dict(enumerate(chunks.group_leaves(origins)))
        if any(section >= LAYERS * len(self._groups) for section in sections):
            raise source.damaged("it has sections for domains that there are not")
        keep = None if box is None else self._keep(touched(origins, box))
        self.tree = take_shell(source, topology, dtype, components, declared, keep)
        source.finish()
        by_component(self.tree.leaf)[unpack(self.tree.leaf.active)] = 0
        self._sections, self._where, self._components, self._threads = sections, where, components, threads
        self._implementation, self._devices = implementation, devices
        if devices:
            return
        self._lattice = lattice_of(self.promise.mode.lattice)(
            quantiser=self.promise.quantiser,
            predictor=Predictor(self._networks, threads=threads, implementation=implementation),
            implementation=implementation,
        )

    def voxels(self) -> Tree:
        """The tree with all values."""
        values = by_component(self.tree.leaf)
        parts = list(self._domains()) if self._devices else self._domains()
        if self._devices:
            self._on_devices().fill(values, parts)
        for part, streams in parts:
            if not self._devices:
                self._store(part, streams, values)
            for component, found in enumerate(self._exceptions(part, streams)):
                at = part.leaves[found.leaf], found.voxel, component
                values[at] = found.values(values[at])
        return self.tree

    def _store(self, part: chunks.Chunk, streams: TileReader, values: np.ndarray) -> None:
        """Puts what a domain decodes to, on the CPU, into values (N, 512, C)."""
        for component in range(self._components):
            found = self._decode(part, component, streams, 0).values
            return_memory()
            store(found, self.tree, part, component, self.promise, values)
            del found

    def tensor(self) -> torch.Tensor:
        """The values (N, 512, C) of all leaves on the first of `devices`; `tree` stays as it is."""
        from torch import from_numpy

        parts = list(self._domains())
        values = self._on_devices().values(parts)
        for part, streams in parts:
            for component, found in enumerate(self._exceptions(part, streams)):
                place = (from_numpy(a).to(values.device) for a in (part.leaves[found.leaf], found.voxel))
                at = (*place, component)
                values[at] = from_numpy(found.values(values[at].cpu().numpy())).to(values.device)
        return values

    def cells(self, lod: int) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, M, C) and active (N, M) bool of the leaves' cells of 2**lod voxels; finer octaves are not read.

        The mean lattice has the means of a cell's active voxels, the sample lattice its first voxel, which also stands
        where a cell is not active.
        """
        values, active = (array.copy() for array in sampled(self.tree, lod))
        origins = leaf_origins(self.tree)
        for part, streams, component, level in self._decoded(lod):
            place = origins[part.leaves] // EDGE - part.low
            found, on = _cells_of(level, place, lod)
            kept = values[part.leaves, :, component]
            values[part.leaves, :, component] = np.where(on, self.promise.values(found, values.dtype), kept)
            active[part.leaves] = on
            if component < self._components - 1:
                continue
            missed = self._exceptions(part, streams)
            if self.promise.mode.lattice is LatticeKind.SAMPLE:
                for c, found in enumerate(missed):
                    cell, first = _cell_of(found.voxel, lod)
                    leaf = part.leaves[found.leaf]
                    exact = found.values(values[leaf, cell, c])
                    values[leaf[first], cell[first], c] = exact[first]
        return values, active

    def _decoded(self, lod: int) -> Iterator[tuple[chunks.Chunk, TileReader, int, LatticeCells]]:
        """Cells of 2**lod voxels of every domain and component; the last component of a domain comes last."""
        if self._devices:
            yield from self._on_devices().cells(list(self._domains()), lod)
            return
        for part, streams in self._domains():
            for component in range(self._components):
                yield part, streams, component, self._decode(part, component, streams, lod)

    def _on_devices(self) -> DeviceDecoder:
        from neuralvdb.values.device.decoder import DeviceDecoder

        options = {"implementation": self._implementation} if self._implementation != "native" else {}
        return DeviceDecoder(
            tree=self.tree,
            promise=self.promise,
            networks=self._networks,
            tables=self._tables,
            components=self._components,
            devices=self._devices,
            **options,
        )

    def _keep(self, near: np.ndarray) -> np.ndarray:
        """(leaves,) bool: those of domains with a leaf that is `near`; the other domains are forgotten."""
        self._groups = {number: group for number, group in self._groups.items() if near[group.leaves].any()}
        keep = np.zeros(len(near), bool)
        for group in self._groups.values():
            keep[group.leaves] = True
        place = np.cumsum(keep) - 1
        self._groups = {n: replace(group, leaves=place[group.leaves]) for n, group in self._groups.items()}
        return keep

    def _domains(self) -> Iterator[tuple[chunks.Chunk, TileReader]]:
        parts = chunks.chunks_of(self.tree, list(self._groups.values()))
        for number, part in zip(self._groups, parts, strict=True):
            yield part, TileReader(self._sections, number, self._components, self._tables, self._where, self._threads)

    def _decode(self, part: chunks.Chunk, component: int, streams: TileReader, lod: int) -> LatticeCells:
        """Cells of 2**lod voxels of a domain."""
        source = streams.component(component)
        cells = self._lattice.decode(ChunkComponent.of(self.tree, part, component), source, lod)
        source.finish()
        return cells

    def _exceptions(self, part: chunks.Chunk, streams: TileReader) -> list[Outliers]:
        """Those of each component; their leaves are numbers in the domain."""
        source, dtype = streams.exceptions, self.tree.leaf.values.dtype
        on = unpack(self.tree.leaf.active[part.leaves]).reshape(-1)
        found = [outliers.take(source, self.promise, on, dtype) for _ in range(self._components)]
        source.finish()
        return found


def _networks(source: FieldReader, where: str, head: ValuesHead, found: ModelSet) -> dict[NetworkKey, Network]:
    """The networks of a grid, refined where a refinement follows its head."""
    if head.promise.mode.family not in found.families:
        raise source.damaged("it carries priors without those of its family")
    if head.fine_tuned:
        return network_changes.take(source, where, head.promise.mode.family, found)
    return found.families[head.promise.mode.family].networks


def _cells_of(cells: LatticeCells, place: np.ndarray, lod: int) -> tuple[np.ndarray, np.ndarray]:
    """Lattice values and coded (B, M) of the cells of leaves at `place` (B, 3), in leaves from the box's corner."""
    edge = EDGE >> lod
    rows = cells.table[tuple((place >> lod).T)]
    inside = np.stack(np.unravel_index(np.arange(edge**3), (edge,) * 3), 1)
    at = (place % (1 << lod) * edge)[:, None] + inside
    index = at[..., 0] * EDGE**2 + at[..., 1] * EDGE + at[..., 2]
    on, real = np.zeros(index.shape, bool), rows < len(cells.coded)
    on[real] = cells.coded[rows[real][:, None], index[real]] != 0
    return cells.values[rows[:, None], index], on


def _cell_of(voxel: np.ndarray, lod: int) -> tuple[np.ndarray, np.ndarray]:
    """The cells (n,) that voxels (n,) of leaves are in, and whether they are the first ones there."""
    x, y, z = np.unravel_index(voxel, (EDGE,) * 3)
    edge, rest = EDGE >> lod, (1 << lod) - 1
    return (x >> lod) * edge**2 + (y >> lod) * edge + (z >> lod), ((x | y | z) & rest) == 0
