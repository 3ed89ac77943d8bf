"""Numbers as people read them."""

from __future__ import annotations

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(count: float) -> str:
    """`2.51 MB` for a number of bytes; units are powers of 1000."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{count:.0f} B" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"
