"""Some domains of a grid on a device: their boxes, masks and values, and what of these is known before decoding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from neuralvdb.kernels.neighbours import neighbours
from neuralvdb.kernels.predict import Around
from neuralvdb.values.device.boxes import Boxes
from neuralvdb.values.lattice.chunks import Chunk, Quantiser
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.levels import EDGE, LIMIT
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.volume.grid import Tree, leaf_origins

SLOTS = EDGE**3


@dataclass
class Batch:
    """boxes: those of level 0, rows are the leaves of all domains and then the constants; active, coded: (R, 512)
    uint8; leaves: (B, 512, C), the tree's values; constants: (K, C); implementation: of kernels."""

    parts: Sequence[Chunk]
    boxes: Boxes
    active: torch.Tensor
    coded: torch.Tensor
    leaves: torch.Tensor
    constants: np.ndarray
    implementation: str

    @property
    def device(self) -> torch.device:
        """Where it is."""
        return self.active.device

    def around(self, boxes: Boxes) -> Around:
        """Where the bricks of boxes look."""
        places = boxes.table, boxes.shapes, boxes.cells
        return Around(*neighbours(*places, implementation=self.implementation))

    def known(self, component: int, lattice: Quantiser) -> torch.Tensor:
        """Quantiser values (R, 512) int32 of a component before decoding."""
        found = torch.empty(self.active.shape, dtype=torch.int32, device=self.device)
        found[: self.boxes.bricks] = nearest(self.leaves[..., component], lattice)
        constants = lattice.nearest(self.constants[:, component, None])
        found[self.boxes.bricks :] = torch.from_numpy(constants).to(self.device)
        return found.masked_fill_(self.coded != 0, 0)


def load(tree: Tree, parts: Sequence[Chunk], device: torch.device, implementation: str) -> Batch:
    """A batch of domains of a tree; its active leaf values are 0 where they are to be decoded."""
    leaves = np.concatenate([part.leaves for part in parts])
    counts, constants = ([len(getattr(part, name)) for part in parts] for name in ("leaves", "constants"))
    row, other = np.cumsum([0, *counts]), len(leaves) + np.cumsum([0, *constants])
    tables, cells = [], []
    origins = leaf_origins(tree).astype(np.int64)
    for d, part in enumerate(parts):
        table = part.table.reshape(-1)
        tables.append(np.where(table < counts[d], table + row[d], table - counts[d] + other[d]).astype(np.int32))
        cell = origins[part.leaves] // EDGE - part.low
        cells.append(np.concatenate([np.full((len(cell), 1), d), cell], 1).astype(np.int32))
    to = lambda array: torch.from_numpy(array).to(device)  # noqa: E731
    sizes = np.array([part.table.shape for part in parts], np.int64)
    boxes = Boxes(sizes, to(np.concatenate(tables)), to(np.concatenate(cells)), to(row))
    coded = torch.zeros((int(other[-1]), SLOTS), dtype=torch.uint8, device=device)
    coded[: len(leaves)] = unpacked(to(tree.leaf.active[leaves]))
    active = coded.clone()
    active[len(leaves) :] = to(np.concatenate([part.constants_active for part in parts]).astype(np.uint8))[:, None]
    values = to(by_component(tree.leaf)[leaves])
    fixed = np.concatenate([part.constants for part in parts])
    return Batch(parts, boxes, active, coded, values, fixed, implementation)


def unpacked(masks: torch.Tensor) -> torch.Tensor:
    """(N, 512) uint8, 0 or 1, of bits (N, 64) uint8, lowest first."""
    shifts = torch.arange(8, dtype=torch.uint8, device=masks.device)
    return (masks[..., None] >> shifts & 1).reshape(len(masks), SLOTS)


def nearest(values: torch.Tensor, lattice: Quantiser) -> torch.Tensor:
    """int32 lattice values as lattice.nearest() has them."""
    return finite(exact(values, lattice).round_()).to(torch.int32)


def exact(values: torch.Tensor, lattice: Quantiser) -> torch.Tensor:
    """float64 lattice values as lattice.exact() has them."""
    x = values.double()
    return compand(x / like(lattice.unit, x), lattice.knee)


def finite(values: torch.Tensor) -> torch.Tensor:
    """Values within the lattice's limits, NaN 0; in place."""
    return values.nan_to_num_(nan=0.0, posinf=LIMIT, neginf=-LIMIT).clamp_(-LIMIT, LIMIT)


def compand(x: torch.Tensor, knee: int) -> torch.Tensor:
    """Companded values of lattice values as compand.compand() has them, floats of the same type."""
    if not knee:
        return x
    size, one = x.abs(), like(knee, x)
    octave = torch.frexp(torch.where(x.isfinite(), size / one, 0.0))[1].long().sub_(1).clamp_(min=0)
    shifted = size.double() * power(-(octave // 2)) * power(octave // 2 - octave)
    return x.sign() * (one * octave.to(x.dtype) + shifted.to(x.dtype))


def like(number: float, tensor: torch.Tensor) -> torch.Tensor:
    """A number () of a tensor's type beside it: by numbers elsewhere, torch divides inexactly on a GPU."""
    return torch.tensor(number, dtype=tensor.dtype, device=tensor.device)


def expanded(lattice: Quantiser, found: torch.Tensor) -> torch.Tensor:
    """float64 values of lattice values as lattice.values() has them."""
    if not lattice.knee:
        return found.double() * lattice.unit
    size = found.long().abs()
    octave = (size // lattice.knee - 1).clamp_(0, 62)
    size = (size - lattice.knee * octave).double() * power(octave)
    return found.sign().double() * size * lattice.unit


def values_of(promise: Promise, found: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The grid's values of lattice values as promise.values() has them."""
    lattice = promise.quantiser
    values = (
        found.double() * lattice.unit if promise.mode.lattice is LatticeKind.MEAN else expanded(lattice, found)
    ).to(dtype)
    return values.float().half().to(dtype) if promise.mode.half else values


def kept(promise: Promise, true: torch.Tensor, decoded: torch.Tensor) -> torch.Tensor:
    """bool of the shape of the arrays: where the promise holds, as promise.kept() has it."""
    x, y = true.double(), decoded.double()
    error, size = (y - x).abs(), x.abs()
    near = error.isfinite() & (error <= (promise.bound.ratio * size).clamp(min=promise.bound.max_error))
    if promise.mode.lattice is LatticeKind.MEAN:
        near &= size <= LIMIT * promise.quantiser.unit
    return near | (y == x)


def power(exponent: torch.Tensor) -> torch.Tensor:
    """2 to integers from -1022 to 1023, float64, exact."""
    return (exponent + 1023 << 52).view(torch.float64)
