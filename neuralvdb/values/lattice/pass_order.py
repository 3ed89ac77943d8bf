"""The order in which both lattices are coded, and which network and layer each pass belongs to.

Levels go from coarse to fine. On the sample lattice a level has six passes, along axis 0, 1 and 2, each in two phases;
a pass codes the points midway between two known ones along its axis. On the mean lattice a level has two, both along
the axis on which its cells are halves. The points or cells of a pass know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from neuralvdb.dataclass import dataclass
from neuralvdb.values.lattice.constants import (
    MEAN_AXES,
    MEAN_LEVELS,
    MEAN_STEPS,
    NETWORK_LEVELS,
    SAMPLE_LEVELS,
    SAMPLE_STEPS,
)
from neuralvdb.values.lattice.kind import LatticeKind

PHASES = (0, 1)  # points of a checkerboard's one colour, then those of the other
PASSES = tuple((axis, phase) for axis in range(3) for phase in PHASES)  # of a level of the sample lattice


class NetworkKey(NamedTuple):
    """Which network of a family: level up to NETWORK_LEVELS - 1, in cubes of 2**level voxels; axis; phase."""

    level: int
    axis: int
    phase: int


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One pass over a level.

    level: of the lattice, 0 for voxels
    axis: along which points lie between known ones, or cells are split
    phase: 0 or 1
    quant_step: quantisation step of the level's residuals, in lattice units
    network: key of the network that predicts
    layer: that codes the residuals, 0 for the coarsest
    """

    level: int
    axis: int
    phase: int
    quant_step: int
    network: NetworkKey
    layer: int


def network_key(level: int, axis: int, phase: int) -> NetworkKey:
    """The network for cubes of 2**level voxels: levels too coarse for one of their own share the last."""
    return NetworkKey(min(level, NETWORK_LEVELS - 1), axis, phase)


def keys_of(phase: int) -> list[NetworkKey]:
    """The networks of a phase, in order."""
    return [NetworkKey(level, axis, phase) for level in range(NETWORK_LEVELS) for axis in range(3)]


KEYS = (*keys_of(0), *keys_of(1))  # all networks of a family, in order


def sample_pass(level: int, axis: int, phase: int) -> Pass:
    """A pass over a level, 0 to SAMPLE_LEVELS - 2, of the sample lattice."""
    return Pass(
        level=level,
        axis=axis,
        phase=phase,
        quant_step=SAMPLE_STEPS[level],
        network=network_key(level, axis, phase),
        layer=sample_layer(level),
    )


def mean_pass(level: int, phase: int) -> Pass:
    """A pass that splits the cells of level + 1 of the mean lattice into those of `level`, 0 to MEAN_LEVELS - 2."""
    axis = split_axis(level)
    return Pass(
        level=level,
        axis=axis,
        phase=phase,
        quant_step=MEAN_STEPS[level],
        network=network_key(level // 3, axis, phase),
        layer=mean_layer(level),
    )


def sample_passes(level: int) -> tuple[Pass, ...]:
    """The six passes over a level of the sample lattice, in order."""
    return tuple(sample_pass(level, axis, phase) for axis, phase in PASSES)


def mean_passes(level: int) -> tuple[Pass, ...]:
    """The two passes that give a level of the mean lattice, in order."""
    return tuple(mean_pass(level, phase) for phase in PHASES)


def sample_levels(lod: int = 0) -> range:
    """The levels of the sample lattice that passes code, in order, down to points 2**lod voxels apart."""
    return range(SAMPLE_LEVELS - 2, lod - 1, -1)


def mean_levels(lod: int = 0) -> range:
    """The levels of the mean lattice that passes code, in order, down to cells of 2**lod voxels along each axis."""
    return range(MEAN_LEVELS - 2, 3 * lod - 1, -1)


def all_passes(kind: LatticeKind) -> Iterator[Pass]:
    """All passes of a lattice, in order."""
    mean = kind is LatticeKind.MEAN
    for level in mean_levels() if mean else sample_levels():
        yield from mean_passes(level) if mean else sample_passes(level)


def sample_layer(level: int) -> int:
    """The layer that codes a level of the sample lattice; the two coarsest levels share layer 0."""
    return max(SAMPLE_LEVELS - 2 - level, 0)


def mean_layer(level: int) -> int:
    """The layer that codes the differences on a level of the mean lattice; three levels share one."""
    return (MEAN_LEVELS - 2 - level) // 3


def split_axis(level: int) -> int:
    """The axis along which cells of level + 1 of the mean lattice are split into those of `level`."""
    return MEAN_AXES[level % 3]
