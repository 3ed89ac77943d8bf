"""The two kinds of lattice that values are coded on, and which families of networks predict on each."""

from __future__ import annotations

from enum import Enum


class LatticeKind(Enum):
    """sample: points, each coded under a promised maximum error; mean: cells, whose means are kept."""

    SAMPLE = "sample"
    MEAN = "mean"


_KINDS = {
    "fog": LatticeKind.SAMPLE,
    "velocity": LatticeKind.SAMPLE,
    "levelset": LatticeKind.SAMPLE,
    "fog-mean": LatticeKind.MEAN,
}
FAMILIES = tuple(_KINDS)  # in the order in which archives number them
SAMPLE_FAMILIES = tuple(family for family, kind in _KINDS.items() if kind is LatticeKind.SAMPLE)


def kind_of(family: str) -> LatticeKind:
    """The kind of lattice that one of FAMILIES predicts on. Raises KeyError where there is no such family."""
    return _KINDS[family]
