"""What `nvdb` prints: results on stdout as text or JSON, everything for people to watch on stderr."""

from __future__ import annotations

import dataclasses
import math
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, TypeVar, cast

from neuralvdb.cli.progress import SCHEMA
from neuralvdb.units import size_text as size_text

if TYPE_CHECKING:
    from tqdm import tqdm


_LARGE_JSON = 1 << 20  # characters
S = TypeVar("S")


class ProgressBar:
    """A progress bar that appears on a terminal when a job takes over a second; call it with amounts done.

    total: gives the amount of all work; it is asked when the work has begun.
    """

    def __init__(self, total: Callable[[], int], label: str, *, shown: bool, unit: str = "B") -> None:
        self._total, self._label, self._unit = total, printable(label), unit
        self._shown = shown and sys.stderr.isatty()
        self._bar: tqdm[NoReturn] | None = None

    def __call__(self, amount: int, /) -> None:
        """Adds `amount` to what is done."""
        if not self._shown:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=self._total(),
                desc=self._label,
                unit=self._unit,
                unit_scale=self._unit == "B",
                delay=1,
                leave=False,
            )
        self._bar.update(amount)


def voxel_size_text(size: tuple[float, float, float] | None) -> str:
    """`0.1`, or `0.1 0.1 0.2` where edges differ (world units)."""
    if size is None:
        return "-"
    return f"{size[0]:.4g}" if len(set(size)) == 1 else " ".join(f"{edge:.4g}" for edge in size)


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in columns; the first column is aligned left, the others right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def printable(text: str) -> str:
    """The text with what no terminal should get, line ends too, escaped: names and metadata of files may hold it."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shown(value: S) -> S:
    """A report, or what is in one, with every text in it printable()."""
    if isinstance(value, str):
        return cast(S, printable(value))
    if isinstance(value, dict):
        return cast(S, {shown(key): shown(entry) for key, entry in value.items()})
    if isinstance(value, list | tuple):
        return cast(S, type(value)(map(shown, value)))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.replace(
            value, **{field.name: shown(getattr(value, field.name)) for field in dataclasses.fields(value)}
        )
    return value


def print_error(error: Exception) -> None:
    """One line on stderr."""
    print(f"nvdb: {printable(' '.join(str(error).split()))}", file=sys.stderr)


def print_calls(error: BaseException) -> None:
    """Where in the code an error came from, on stderr."""
    for line in "".join(traceback.format_exception(error)).splitlines():
        print(printable(line), file=sys.stderr)


def print_note(text: str, /) -> None:
    """One line for people on stderr."""
    print(f"nvdb: {printable(text)}", file=sys.stderr)


def print_json(value: dict[str, object], *, lines: bool = False) -> None:
    """A JSON object on stdout, with its version, on one line if `lines` or if large; NaN and infinities as text."""
    import json  # which takes time

    told: object = {"schema": SCHEMA, **value}
    try:
        text = json.dumps(told, allow_nan=False)
    except ValueError:
        told = _finite(told)
        text = json.dumps(told, allow_nan=False)
    print(text if lines or len(text) > _LARGE_JSON else json.dumps(told, indent=2))


def _finite(value: object) -> object:
    """The value with text such as `nan` for numbers that JSON cannot say."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
