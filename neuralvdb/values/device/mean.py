"""The mean lattice on a device: the twin of lattice.mean for all domains of a batch.

Twin of values/lattice/mean.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from neuralvdb.kernels.compand import companded, expanded
from neuralvdb.kernels.predict import Around, Stencil, predict
from neuralvdb.kernels.quantise import quantise
from neuralvdb.kernels.rans import decode as symbols_of
from neuralvdb.kernels.reconstruct import TOP, reconstruct
from neuralvdb.kernels.split import split
from neuralvdb.values.device.batch import SLOTS, Batch, compand, exact, finite, like
from neuralvdb.values.device.boxes import Boxes, halved
from neuralvdb.values.device.networks import Networks
from neuralvdb.values.device.sample import listing, root
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.device.symbol_buffer import SymbolBuffer
from neuralvdb.values.lattice.chunks import Quantiser
from neuralvdb.values.lattice.levels import EDGE
from neuralvdb.values.lattice.mean import ROOT_CLASS, STEPS
from neuralvdb.values.lattice.mean_pyramid import AXES, FLOORS, SHARES
from neuralvdb.values.lattice.schedule import mean_layer, network_key

Code = Callable[..., None]  # (floor, targets, starts, predictions, classes, gaps, known)


@dataclass
class Floor:
    """A floor of all domains. rows: (R, 2) int64, those of the floor below that each joins, none on floor 0; active:
    (R, 512) uint8; counts: (R, 512) int32, coded voxels; share: (R, 512) uint8, the first half's part of them;
    targets, starts, ends: as a sample.Level has them, of cells both of whose halves are coded, by phase; on the top
    floor of all coded cells."""

    boxes: Boxes
    rows: torch.Tensor
    active: torch.Tensor
    counts: torch.Tensor
    share: torch.Tensor
    around: Around
    targets: torch.Tensor
    starts: list[torch.Tensor]
    ends: list[int]
    top: tuple[torch.Tensor, torch.Tensor] | None = None


def floors_of(batch: Batch) -> list[Floor]:
    """All floors, from voxels up."""
    none = torch.empty((0, 2), dtype=torch.int64, device=batch.device)
    counts = batch.coded.to(torch.int32)
    found = [Floor(batch.boxes, none, batch.active, counts, batch.coded, None, none, [], [])]
    place = torch.arange(SLOTS)
    phases = ((place >> 6) + (place >> 3) + place).bitwise_and_(1).to(torch.uint8)
    for j in range(FLOORS):
        below, axis = found[-1], AXES[j % 3]
        boxes, rows = halved(below.boxes, (below.counts > 0).any(1), axis)
        first, second = halves(below.counts, rows, axis)
        counts = first + second
        share = torch.div(SHARES * first, counts.clamp(min=1), rounding_mode="floor").to(torch.uint8)
        active = torch.maximum(*halves(below.active, rows, axis)).masked_fill_(counts > 0, 1)
        both = ((first > 0) & (second > 0)).to(torch.uint8)
        listed = listing(batch, boxes, both, phases, 2)
        found.append(Floor(boxes, rows, active, counts, share, batch.around(boxes), *listed))
    coded = (found[-1].counts > 0).to(torch.uint8)
    targets, starts, _ = listing(batch, found[-1].boxes, coded, torch.zeros(SLOTS, dtype=torch.uint8), 1)
    found[-1].top = targets, starts[0]
    return found


def encode(
    batch: Batch,
    floors: list[Floor],
    component: int,
    lattice: Quantiser,
    networks: Networks,
    dead: torch.Tensor,
    record: SymbolBuffer,
) -> torch.Tensor:
    """Appends a component to a record and gives its means (R, 512) int32 of floor 0 as they decode.

    dead: (64,) float64, by how much residuals of each class are rounded towards zero.
    """
    true = _TrueMeans(batch, floors, component, lattice)
    targets, starts = floors[-1].top
    top = true.companded(FLOORS).view(-1)[targets.long()]
    whole = (top / like(STEPS[-1], top)).round_().to(torch.int32)
    record.put_root(whole, starts, ROOT_CLASS)
    wanted: dict[int, torch.Tensor] = {}

    def code(j: int, targets: torch.Tensor, starts: torch.Tensor, *found: torch.Tensor) -> None:
        predictions, classes, gaps, known = found
        if j not in wanted:
            wanted.clear()
            wanted[j] = true.gaps(j)
        place = wanted[j], predictions, classes, targets, STEPS[j], gaps
        residuals = quantise(*place, dead=dead, known=known, implementation=batch.implementation)
        record.put(residuals, classes, starts, mean_layer(j))

    return _descend(batch, floors, component, lattice, whole.long(), networks, code, 0)


def decode(
    batch: Batch,
    floors: list[Floor],
    component: int,
    lattice: Quantiser,
    networks: Networks,
    streams: Streams,
    lod: int,
) -> torch.Tensor:
    """Means (R, 512) int32 of floor 3 lod. What is damaged shows in streams.finish()."""
    targets, starts = floors[-1].top
    whole = root(batch, networks, streams, len(targets), starts, ROOT_CLASS)
    options = {"implementation": batch.implementation}

    def code(j: int, targets: torch.Tensor, starts: torch.Tensor, *found: torch.Tensor) -> None:
        predictions, classes, gaps, known = found
        segments, bits = streams.octave(mean_layer(j))
        symbols = symbols_of(networks.slots, classes, starts, segments, **options)
        reconstruct(symbols, classes, predictions, targets, starts, bits, STEPS[j], gaps, known, **options)

    return _descend(batch, floors, component, lattice, whole, networks, code, 3 * lod)


def _descend(
    batch: Batch,
    floors: list[Floor],
    component: int,
    lattice: Quantiser,
    whole: torch.Tensor,
    networks: Networks,
    code: Code,
    end: int,
) -> torch.Tensor:
    """Means of floor `end`, floor after floor; whole: (n,) int64, the companded means of the top in steps; code: puts
    the differences of a phase in their place."""
    means = _blank(batch, floors, component, lattice)
    found = (whole * STEPS[-1]).clamp(0 if lattice.positive else -TOP, TOP)
    means[-1].view(-1)[floors[-1].top[0].long()] = expanded(found, lattice.knee).clamp(-TOP, TOP).to(torch.int32)
    above = companded(means[-1], lattice.knee).to(torch.int32)
    for j in reversed(range(end, FLOORS)):
        gaps = _gaps(batch, floors[j + 1], above, j, networks, code)
        below = companded(means[j], lattice.knee).to(torch.int32)
        floor = floors[j + 1]
        places = means.pop(), above, gaps, floor.rows[: floor.boxes.bricks], floors[j].counts, AXES[j % 3]
        companding = lattice.knee, lattice.positive
        split(*places, *companding, means[j], below, implementation=batch.implementation)
        above = below
    return means[end]


def _gaps(batch: Batch, floor: Floor, values: torch.Tensor, j: int, networks: Networks, code: Code) -> torch.Tensor:
    """(R, 512) int32: differences of the halves of a floor's cells; values: (R, 512) int32, companded means."""
    gaps, known = torch.zeros_like(values), torch.zeros_like(floor.active)
    axis, options = AXES[j % 3], {"implementation": batch.implementation}
    begin = 0
    for phase in (0, 1):
        targets, starts = floor.targets[begin : floor.ends[phase]], floor.starts[phase] - begin
        begin = floor.ends[phase]
        net = networks[network_key(j // 3, axis, phase)]
        places = values, floor.active, floor.around, targets, Stencil(axis, phase, mean=True), net, STEPS[j]
        predictions, classes = predict(*places, gaps=gaps, known=known, share=floor.share, **options)
        code(j, targets, starts, predictions, classes, gaps, known)
    return gaps


class _TrueMeans:
    """The twin of lattice.means.TrueMeans: sums (R, 512) float32 of every floor; one is forgotten when a lower one is
    asked for."""

    def __init__(self, batch: Batch, floors: list[Floor], component: int, lattice: Quantiser) -> None:
        self._floors, self._knee = floors, lattice.knee
        bricks = batch.boxes.bricks
        true = finite(exact(batch.leaves[..., component], Quantiser(lattice.unit))).float()
        sums = true.new_zeros(batch.active.shape)
        sums[:bricks] = true.masked_fill_(batch.coded[:bricks] == 0, 0.0)
        self._sums = [sums]
        for j, floor in enumerate(floors[1:]):
            even, odd = halves(self._sums[-1], floor.rows, AXES[j % 3])
            self._sums.append(even + odd)

    def companded(self, j: int) -> torch.Tensor:
        """(R, 512) float32: companded means of the cells of floor j that are coded."""
        del self._sums[j + 1 :]
        return compand(self._sums[j] / self._floors[j].counts.clamp(min=1).float(), self._knee)

    def gaps(self, j: int) -> torch.Tensor:
        """(R, 512) float32: of cells of floor j + 1, both of whose halves are coded, the companded mean of the first
        half less that of the second."""
        first, second = halves(self.companded(j), self._floors[j + 1].rows, AXES[j % 3])
        return first - second


def _blank(batch: Batch, floors: list[Floor], component: int, lattice: Quantiser) -> list[torch.Tensor]:
    """Means (R, 512) int32 of every floor before decoding; those of coded cells are 0."""
    values = batch.known(component, Quantiser(lattice.unit))
    found = [values.masked_fill_((batch.coded != 0) | (batch.active == 0), 0)]
    for j, floor in enumerate(floors[1:]):
        first, second = halves(found[-1], floor.rows, AXES[j % 3])
        found.append(((first + second) >> 1).masked_fill_(floor.counts > 0, 0))
    return found


def halves(fine: torch.Tensor, rows: torch.Tensor, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
    """First and second halves (R, 512) of the cells of each pair of rows (R, 2) of fine (R', 512)."""
    bricks = fine.view(-1, EDGE, EDGE, EDGE)
    both = torch.cat([bricks[rows[:, 0]], bricks[rows[:, 1]]], 1 + axis)
    return tuple(both[(slice(None),) * (1 + axis) + (slice(half, None, 2),)].reshape(-1, SLOTS) for half in (0, 1))
