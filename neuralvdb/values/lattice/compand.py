"""A lattice whose steps grow with the value: linear below a knee, then twice as wide in every segment (as in mu-law).

In lattice units, with a knee of K: c(x) = x up to K, and K (1 + i) + (x - K 2**i) / 2**i in segment i, which goes from
K 2**i to K 2**(i+1); negative values are mirrored. A knee of 0 is no companding at all.
"""

from __future__ import annotations

import numpy as np

_SEGMENTS = 62  # beyond, integers of 64 bits would not hold the value
_WHOLE_SEGMENTS = 31


def knee_of(ratio: float) -> int:
    """The knee in lattice units of an eighth of the absolute bound, so that errors stay within ratio |v| above it."""
    return int(np.ceil(8 / ratio)) if ratio > 0 else 0


def compand(x: np.ndarray, knee: int) -> np.ndarray:
    """Companded values of lattice values, floats of the same type."""
    if not knee:
        return x
    size = np.abs(x)
    segment = np.maximum(np.frexp(size / knee)[1] - 1, 0)
    with np.errstate(invalid="ignore", over="ignore"):
        return np.sign(x) * (knee * segment.astype(x.dtype) + np.ldexp(size, -segment))


def compand_whole(x: np.ndarray, knee: int) -> np.ndarray:
    """int64 companded values of integer lattice values, rounded towards 0."""
    size = np.abs(x.astype(np.int64))
    if not knee:
        return x.astype(np.int64)
    segment = np.maximum(np.frexp((size // knee).astype(np.float64))[1].astype(np.int64) - 1, 0)
    return np.sign(x) * (knee * segment + (size >> segment))


def expand_whole(c: np.ndarray, knee: int) -> np.ndarray:
    """int64 lattice values of integer companded ones below 2**29, the exact inverse; at most 31 segments."""
    size = np.abs(c.astype(np.int64))
    if not knee:
        return c.astype(np.int64)
    segment = np.clip(size // knee - 1, 0, _WHOLE_SEGMENTS)
    return np.sign(c) * ((size - knee * segment) << segment)


def expand(c: np.ndarray, knee: int) -> np.ndarray:
    """float64 lattice values of integer companded ones, the exact inverse."""
    if not knee:
        return c.astype(np.float64)
    size = np.abs(c.astype(np.int64))
    segment = np.clip(size // knee - 1, 0, _SEGMENTS)
    return np.sign(c) * np.ldexp((size - knee * segment).astype(np.float64), segment)
