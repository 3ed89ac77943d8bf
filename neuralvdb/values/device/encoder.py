"""Leaf values of a grid encoded on devices, some domains at a time: the bytes that values/encoder.py makes on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from neuralvdb.archive import FieldWriter
from neuralvdb.archive.rans import Tables
from neuralvdb.kernels import zigzag
from neuralvdb.values import chunk_sections, outliers
from neuralvdb.values.device import mean, sample
from neuralvdb.values.device.batch import SLOTS, Batch, kept, load, values_of
from neuralvdb.values.device.networks import Networks
from neuralvdb.values.device.scheduler import deal
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.device.writer import write
from neuralvdb.values.lattice import chunks
from neuralvdb.values.lattice.chunks import Chunk
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.levels import LAYERS
from neuralvdb.values.lattice.network import CLASSES, Network
from neuralvdb.values.lattice.schedule import NetworkKey
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import Tree


@dataclass
class _Coded:
    """Some domains: their numbers and leaves, a record of each component, exceptions of each domain."""

    numbers: list[int]
    leaves: int
    records: list[SymbolBuffer] = field(default_factory=list)
    exceptions: list[bytes] = field(default_factory=list)


class DeviceEncoder:
    """Codes a tree. networks: as refined; dead: (64,) float64, by how much residuals of each class are rounded towards
    zero on the mean lattice; devices: to deal domains out to, such as "cuda:0"; "cpu" is for kernels that are
    interpreted."""

    def __init__(
        self,
        tree: Tree,
        promise: Promise,
        networks: dict[NetworkKey, Network],
        dead: np.ndarray,
        devices: Sequence[str],
        implementation: str = "triton",
    ) -> None:
        self._tree, self._promise, self._implementation, self._devices = tree, promise, implementation, devices
        self._networks = {
            d: Networks(networks, None, torch.device(d), mean=promise.mode.lattice is LatticeKind.MEAN) for d in devices
        }
        self._dead = {device: torch.from_numpy(dead).to(device) for device in devices}
        self._components = by_component(tree.leaf).shape[2]
        self._coded: list[_Coded] = []

    def encode(self) -> tuple[np.ndarray, np.ndarray]:
        """Values (N, 512, C) of all leaves as they decode, and how often each symbol of each class occurs, (64, 64)
        int64. Raises OutOfMemory."""
        values = np.empty_like(by_component(self._tree.leaf))
        parts = list(enumerate(chunks.chunks_of(self._tree)))
        work = lambda some, device: self._batch(some, device, values)  # noqa: E731
        self._coded = list(deal(parts, lambda item: len(item[1].leaves) * self._components, self._devices, work))
        counts = np.zeros((CLASSES, zigzag.ESCAPE + 1), np.int64)
        return values, sum((record.counts for coded in self._coded for record in coded.records), counts)

    def sections(self, tables: Tables) -> dict[int, bytes]:
        """Payloads of TILE by number, once what was encoded has got its tables; it is forgotten. Raises OutOfMemory."""
        found: dict[int, bytes] = {}
        work = lambda some, device: [self._written(coded, tables, device) for coded in some]  # noqa: E731
        for parts in deal(self._coded, lambda coded: coded.leaves, self._devices, work):
            for part in parts:
                found |= part
        self._coded = []
        return dict(sorted(found.items()))

    def _batch(self, some: list[tuple[int, Chunk]], device: str, values: np.ndarray) -> _Coded:
        """Some domains coded; their leaves are put into `values`."""
        parts = [part for _, part in some]
        batch = load(self._tree, parts, torch.device(device), self._implementation)
        tower = mean.floors_of(batch) if self._promise.mode.lattice is LatticeKind.MEAN else sample.levels_of(batch)
        leaves = np.concatenate([part.leaves for part in parts])
        coded, outs = _Coded([n for n, _ in some], len(leaves) * self._components), [FieldWriter() for _ in some]
        for component in range(self._components):
            record = SymbolBuffer(len(some))
            place = batch, tower, component, self._promise.quantiser, self._networks[device]
            if self._promise.mode.lattice is LatticeKind.MEAN:
                found = mean.encode(*place, self._dead[device], record)
            else:
                found = sample.encode(*place, record)
            record.end()
            coded.records.append(record)
            decoded, missed = self._decoded(batch, component, found[: batch.boxes.bricks])
            values[leaves, :, component] = decoded.cpu().numpy()
            for part, place, out in zip(parts, missed, outs, strict=True):
                at = part.leaves[place // SLOTS], place % SLOTS, component
                values[at] = outliers.put(out, self._promise, place, by_component(self._tree.leaf)[at], values[at])
        coded.exceptions = [out.getvalue() for out in outs]
        return coded

    def _decoded(self, batch: Batch, component: int, found: torch.Tensor) -> tuple[torch.Tensor, list[np.ndarray]]:
        """Values (B, 512) of lattice values, and for each domain which of its voxels do not keep the promise."""
        true, on = batch.leaves[..., component], batch.coded[: len(found)] != 0
        values = torch.where(on, values_of(self._promise, found, true.dtype), true)
        off = on & ~kept(self._promise, true, values)
        missed = torch.nonzero(off.view(-1))[:, 0].cpu().numpy()
        firsts = batch.boxes.starts.cpu().numpy() * SLOTS
        parts = np.split(missed, np.searchsorted(missed, firsts[1:-1]))
        return values, [part - first for part, first in zip(parts, firsts, strict=False)]

    def _written(self, coded: _Coded, tables: Tables, device: str) -> dict[int, bytes]:
        domains = write(coded.records, tables, torch.device(device), self._implementation)
        found = {}
        for number, sections, rest in zip(coded.numbers, domains, coded.exceptions, strict=True):
            for octaves, payloads in sections:
                found[LAYERS * number + octaves[0]] = chunk_sections.section(octaves, payloads, rest)
        return found
