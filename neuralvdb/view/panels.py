"""Panels: flat images with a scale and words, and rows of them, called strips. Plain arrays; nothing is drawn yet."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass

AMPLIFIED = 8  # times, in pictures of differences

# Colours from the low to the high end of a scale, interpolated: black body, grey, and blue over white to red.
_COLOURS = {
    "heat": ((0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99), (212, 72, 66), (245, 125, 21), (252, 255, 164)),
    "grey": ((0, 0, 0), (255, 255, 255)),
    "signed": ((33, 60, 150), (110, 160, 220), (245, 245, 245), (230, 140, 100), (160, 20, 40)),
}


@dataclass(frozen=True)
class Scale:
    """From `low` to `high`, in the colours of that name."""

    low: float
    high: float
    colours: str = "grey"

    def shares(self, values: np.ndarray) -> np.ndarray:
        """0 at `low` and below, 1 at `high` and above; NaN stays."""
        with np.errstate(invalid="ignore", over="ignore"):
            shares: np.ndarray = ((values - self.low) / (self.high - self.low)).clip(0, 1)
        return shares

    def rgb(self, values: np.ndarray, nothing: tuple[int, int, int]) -> np.ndarray:
        """(..., 3) uint8 for values of any shape; nothing: the colour of NaN."""
        table = np.array(_COLOURS[self.colours], np.float64)
        shares = self.shares(values)
        at = np.nan_to_num(shares) * (len(table) - 1)
        channels = [np.interp(at, np.arange(len(table)), table[:, channel]) for channel in range(3)]
        coloured = np.rint(np.stack(channels, axis=-1))
        return np.where(np.isnan(shares)[..., None], nothing, coloured).astype(np.uint8)


@dataclass(frozen=True)
class Panel:
    """values: (height, width) float64, NaN where there is nothing to see; aspect: height of a pixel over its width."""

    caption: str
    values: np.ndarray
    scale: Scale
    aspect: float = 1.0

    def named(self, prefix: str) -> Panel:
        """The same with a caption that begins so."""
        return replace(self, caption=f"{prefix}: {self.caption}")


@dataclass(frozen=True)
class Strip:
    """Panels side by side under a title."""

    title: str
    panels: tuple[Panel, ...]


def difference(original: Panel, decoded: Panel) -> Panel:
    """decoded minus original, AMPLIFIED: mid grey where they are equal. What only one of them shows counts as 0."""
    a, b = np.nan_to_num(original.values), np.nan_to_num(decoded.values)
    half = (original.scale.high - original.scale.low) / AMPLIFIED / 2
    return replace(original, caption=f"difference x{AMPLIFIED}", values=b - a, scale=Scale(-half, half))
