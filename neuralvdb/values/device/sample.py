"""The sample lattice on a device: the twin of lattice.sample for all domains of a batch.

Twin of values/lattice/sample.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from neuralvdb.kernels.compact import NONE, compact
from neuralvdb.kernels.predict import Around, Stencil, predict
from neuralvdb.kernels.quantise import quantise
from neuralvdb.kernels.rans import decode as symbols_of
from neuralvdb.kernels.reconstruct import TOP, reconstruct
from neuralvdb.values.device.batch import SLOTS, Batch, exact, finite, like
from neuralvdb.values.device.boxes import Boxes, flat, halved
from neuralvdb.values.device.networks import Networks
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.levels import EDGE, LEVELS
from neuralvdb.values.lattice.sample import ROOT_CLASS
from neuralvdb.values.lattice.schedule import PASSES, network_key, sample_layer, sample_levels
from neuralvdb.values.lattice.steps import STEPS

Code = Callable[..., None]  # (level, targets, starts, predictions, classes)


@dataclass
class Level:
    """A level of all domains. rows: (R, 8) int64, those of the finer level that each joins, none on level 0; active:
    (R, 512) uint8; targets: (n,) int32, pass after pass; starts: of each pass (D + 1,) int64, where each domain begins
    there; ends: where each pass ends, on the host."""

    boxes: Boxes
    rows: torch.Tensor
    active: torch.Tensor
    around: Around
    targets: torch.Tensor
    starts: list[torch.Tensor]
    ends: list[int]

    def batch(self, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Targets (m,) of a pass and where each domain begins there (D + 1,)."""
        begin = self.ends[number - 1] if number else 0
        return self.targets[begin : self.ends[number]], self.starts[number] - begin


def levels_of(batch: Batch) -> list[Level]:
    """All levels, from voxels up."""
    boxes, rows = batch.boxes, torch.empty((0, 8), dtype=torch.int64, device=batch.device)
    active, coded, found = batch.active, batch.coded, []
    for k in range(LEVELS):
        if k:
            boxes, rows = halved(boxes, (every_second(coded) != 0).any(1), None)
            active, coded = joined(active, rows), joined(coded, rows)
        passes = torch.zeros(SLOTS, dtype=torch.uint8) if k == LEVELS - 1 else _passes()
        count = 1 if k == LEVELS - 1 else len(PASSES)
        listed = listing(batch, boxes, coded, passes, count)
        found.append(Level(boxes, rows, active, batch.around(boxes), *listed))
    return found


def encode(
    batch: Batch, levels: list[Level], component: int, lattice: Quantiser, networks: Networks, record: SymbolBuffer
) -> torch.Tensor:
    """Appends a component to a record and gives its lattice values (R, 512) int32 as they decode."""
    true = batch.leaves.new_zeros(batch.active.shape, dtype=torch.float64)
    true[: batch.boxes.bricks] = finite(exact(batch.leaves[..., component], lattice))
    values, wanted = [batch.known(component, lattice)], [true]
    for level in levels[1:]:
        values.append(joined(values[-1], level.rows))
        wanted.append(joined(wanted[-1], level.rows))
    targets, starts = levels[-1].batch(0)
    top = wanted[-1].view(-1)[targets.long()]
    whole = (top / like(STEPS[-1], top)).round_().to(torch.int32)
    record.put_root(whole, starts, ROOT_CLASS)
    values[-1].view(-1)[targets.long()] = whole * STEPS[-1]

    def code(k: int, targets: torch.Tensor, starts: torch.Tensor, *found: torch.Tensor) -> None:
        place = wanted[k], *found, targets, STEPS[k], values[k]
        record.put(quantise(*place, implementation=batch.implementation), found[1], starts, sample_layer(k))

    return _descend(batch, levels, values, lattice, networks, code, 0)


def decode(
    batch: Batch,
    levels: list[Level],
    component: int,
    lattice: Quantiser,
    networks: Networks,
    streams: Streams,
    lod: int,
) -> torch.Tensor:
    """Quantiser values (R, 512) int32 of level `lod`. What is damaged shows in streams.finish()."""
    values = [batch.known(component, lattice)]
    for level in levels[1:]:
        values.append(joined(values[-1], level.rows))
    targets, starts = levels[-1].batch(0)
    sums = root(batch, networks, streams, len(targets), starts, ROOT_CLASS)
    values[-1].view(-1)[targets.long()] = (sums * STEPS[-1]).clamp(-TOP, TOP).to(torch.int32)
    options = {"implementation": batch.implementation}

    def code(k: int, targets: torch.Tensor, starts: torch.Tensor, *found: torch.Tensor) -> None:
        predictions, classes = found
        segments, bits = streams.octave(sample_layer(k))
        symbols = symbols_of(networks.slots, classes, starts, segments, **options)
        reconstruct(symbols, classes, predictions, targets, starts, bits, STEPS[k], values[k], **options)

    return _descend(batch, levels, values, lattice, networks, code, lod)


def _descend(
    batch: Batch,
    levels: list[Level],
    values: list[torch.Tensor],
    lattice: Quantiser,
    networks: Networks,
    code: Code,
    lod: int,
) -> torch.Tensor:
    """Values of level `lod`, pass after pass of all levels above it; code: puts the values of a pass in their place."""
    options = {"inside": lattice.inside, "implementation": batch.implementation}
    for k in sample_levels(lod):
        refine(levels[k + 1].boxes, values.pop(), levels[k].boxes, values[k])
        for number, (axis, phase) in enumerate(PASSES):
            targets, starts = levels[k].batch(number)
            stencil, net = Stencil(axis, phase), networks[network_key(k, axis, phase)]
            places = values[k], levels[k].active, levels[k].around, targets, stencil, net, STEPS[k]
            code(k, targets, starts, *predict(*places, **options))
    return values[lod]


def listing(
    batch: Batch, boxes: Boxes, flags: torch.Tensor, passes: torch.Tensor, count: int
) -> tuple[torch.Tensor, list[torch.Tensor], list[int]]:
    """Targets, starts and ends as a Level has them, of flags (R, 512) uint8 and passes (512,)."""
    bricks = boxes.bricks
    found = compact(flags[:bricks], passes.to(batch.device), count, implementation=batch.implementation)
    starts = [found[1][p * bricks + boxes.starts] for p in range(count)]
    return found[0], starts, found[1][bricks::bricks].tolist() if bricks else [0] * count


def root(batch: Batch, networks: Networks, streams: Streams, n: int, starts: torch.Tensor, kind: int) -> torch.Tensor:
    """(n,) int64: what the first residuals of all streams, of class `kind`, sum up to in each."""
    classes = torch.full((n,), kind, dtype=torch.uint8, device=batch.device)
    segments, bits = streams.octave(0)
    symbols = symbols_of(networks.slots, classes, starts, segments, implementation=batch.implementation)
    found = torch.empty(n, dtype=torch.int32, device=batch.device)
    targets = torch.arange(n, dtype=torch.int32, device=batch.device)
    zeros = torch.zeros(n, dtype=torch.int64, device=batch.device)
    reconstruct(symbols, classes, zeros, targets, starts, bits, 1, found, implementation=batch.implementation)
    sums = torch.cat([zeros[:1], found.cumsum(0)]) if n else zeros
    stream = torch.searchsorted(starts, targets.long(), right=True) - 1
    return sums[1:] - sums[starts[stream]]


def refine(coarse: Boxes, above: torch.Tensor, fine: Boxes, values: torch.Tensor) -> None:
    """Copies the points (R, 512) of a coarser level to the even points of values (R', 512)."""
    box, *cell = fine.cells.long().unbind(1)
    parent = coarse.table[flat(coarse.shapes, box, *(c // 2 for c in cell))].long()
    octant = (cell[0] % 2 * 2 + cell[1] % 2) * 2 + cell[2] % 2
    eighths = above.view(-1, 2, 4, 2, 4, 2, 4).permute(0, 1, 3, 5, 2, 4, 6).reshape(-1, 8, 4, 4, 4)
    values[: fine.bricks].view(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2] = eighths[parent, octant]


def every_second(points: torch.Tensor) -> torch.Tensor:
    """(R, 64): the even points of bricks (R, 512)."""
    return points.view(-1, EDGE, EDGE, EDGE)[:, ::2, ::2, ::2].reshape(-1, SLOTS // 8)


def joined(points: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """(R, 512): the even points of each group of eight bricks, rows (R, 8)."""
    parts = every_second(points)[rows].view(-1, 2, 2, 2, 4, 4, 4)
    return parts.permute(0, 1, 4, 2, 5, 3, 6).reshape(-1, SLOTS)


def _passes() -> torch.Tensor:
    """(512,) uint8: the number in PASSES of each place; even points have none."""
    place = np.stack(np.unravel_index(np.arange(SLOTS), (EDGE,) * 3), 1)
    found = np.full(SLOTS, NONE, np.uint8)
    for number, (axis, phase) in enumerate(PASSES):
        odd = (place[:, axis] % 2 == 1) & (place[:, axis + 1 :] % 2 == 0).all(1)
        halves = place // np.where(np.arange(3) < axis, 1, 2)
        found[odd & (halves.sum(1) % 2 == phase)] = number
    return torch.from_numpy(found)
