"""Both lattices behind one protocol; `lattice_on` is the one place that chooses."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Protocol

import torch

from neuralvdb.dataclass import dataclass
from neuralvdb.kernels.network import moved
from neuralvdb.kernels.predict import Stencil, StencilNetwork, prepare
from neuralvdb.nets.network import Network
from neuralvdb.values.device.batch import Batch
from neuralvdb.values.device.boxes import Boxes
from neuralvdb.values.device.mean import MeanLattice
from neuralvdb.values.device.models import DeviceModels, packed
from neuralvdb.values.device.quantiser import scalar_as
from neuralvdb.values.device.sample import SampleLattice
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.promise import Promise


class Lattice(Protocol):
    """All levels of a batch, all components of which are coded at once."""

    def encode(self, models: DeviceModels, buffer: SymbolBuffer) -> torch.Tensor:
        """Lattice values (R, 512) int32 of level 0 as they decode; appends the batch to a buffer."""

    def decode(self, models: DeviceModels, streams: Streams, lod: int) -> torch.Tensor:
        """Lattice values (R, 512) int32 of cells of 2**lod voxels. Damage shows in streams.finish()."""

    def cells(self, lod: int) -> tuple[Boxes, torch.Tensor]:
        """Boxes of cells of 2**lod voxels, and which cells are coded, (R, 512) uint8."""

    def values(self, lattice_values: torch.Tensor) -> torch.Tensor:
        """The grid's values of lattice values, float64, before they are rounded as they will be saved."""

    def holds(self, true: torch.Tensor) -> torch.Tensor:
        """bool of the shape of true, float64: whether the lattice can hold a value."""


_LATTICES: dict[LatticeKind, type[SampleLattice] | type[MeanLattice]] = {
    LatticeKind.SAMPLE: SampleLattice,
    LatticeKind.MEAN: MeanLattice,
}


def lattice_on(batch: Batch, promise: Promise) -> Lattice:
    """The lattice of a batch under a promise."""
    return _LATTICES[promise.mode.lattice](batch, promise.quantiser)


def stencil_of(promise: Promise, key: NetworkKey) -> Stencil:
    """What the network of a key, (level, axis, phase), sees."""
    mean = promise.mode.lattice is LatticeKind.MEAN
    return Stencil(key.axis, key.phase, mean=mean, active_only=promise.mode.active_only)


def predictors_on(
    promise: Promise, networks: Mapping[NetworkKey, Network], device: torch.device
) -> dict[NetworkKey, StencilNetwork]:
    """All networks of a promise, ready to predict there; those used last are kept, because most grids share them."""
    stencils = tuple(stencil_of(promise, key) for key in networks)
    return _predictors(tuple(_Named(key, net) for key, net in networks.items()), stencils, device)


@dataclass(frozen=True)
class _Named:
    """A network and its key; two are equal where they name the same network, not an equal one."""

    key: NetworkKey
    network: Network

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Named) and other.key == self.key and other.network is self.network

    def __hash__(self) -> int:
        return hash((self.key, id(self.network)))


@functools.lru_cache(maxsize=8)
def _predictors(
    networks: tuple[_Named, ...], stencils: tuple[Stencil, ...], device: torch.device
) -> dict[NetworkKey, StencilNetwork]:
    pairs = list(zip(networks, stencils, strict=True))
    nets = moved([packed(named.network, stencil) for named, stencil in pairs], device)
    predictors = {
        named.key: StencilNetwork(stencil=stencil, network=net)
        for (named, stencil), net in zip(pairs, nets, strict=True)
    }
    prepare(predictors.values(), device)
    return predictors


def rounded(promise: Promise, values: torch.Tensor, dtype: torch.dtype, component: int) -> torch.Tensor:
    """Values of a component as they decode, from what Lattice.values() gives. Twin of values/promise.py
    (Promise.decoded)."""
    values, ends = values.to(dtype), promise.ranges[component]
    if promise.mode.half:
        values = values.float().half().to(dtype)
    low, high = scalar_as(ends.low, values), scalar_as(ends.high, values)
    return torch.where(values < low, low, torch.where(values > high, high, values))


def kept(promise: Promise, lattice: Lattice, true: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
    """bool of the shape of the tensors: where the promise holds. Twin of values/promise.py (Promise.kept)."""
    x, y = true.double(), decoded.double()
    error = (y - x).abs()
    near = error.isfinite() & (error <= (promise.bound.ratio * x.abs()).clamp(min=promise.bound.max_error))
    return near & lattice.holds(x) | (y == x)
