"""What `nvdb` prints: results on stdout as text or JSON, everything for people to watch on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from tqdm import tqdm

from neuralvdb.errors import NeuralVdbError

_UNITS = ("B", "kB", "MB", "GB", "TB")


class Progress:
    """A progress bar that appears on a terminal when a job takes over a second; call it with amounts done."""

    def __init__(self, total: int, what: str, *, shown: bool, unit: str = "B") -> None:
        self._options = {"total": total, "desc": what, "unit": unit, "unit_scale": unit == "B"}
        self._shown = shown and sys.stderr.isatty()
        self._bar: tqdm | None = None

    def __call__(self, amount: int) -> None:
        """Adds `amount` to what is done."""
        if self._bar is None:
            self._bar = tqdm(**self._options, delay=1, leave=False, disable=not self._shown)
        self._bar.update(amount)


def size_text(count: int) -> str:
    """`2.51 MB` for a number of bytes; units are powers of 1000."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.3g} {_UNITS[unit]}"


def voxel_size_text(size: tuple[float, float, float] | None) -> str:
    """`0.1`, or `0.1 0.1 0.2` where edges differ (world units)."""
    if size is None:
        return "-"
    return f"{size[0]:.4g}" if len(set(size)) == 1 else " ".join(f"{edge:.4g}" for edge in size)


def promise_text(promises: dict[str, dict]) -> str:
    """`lossless`, or what is promised of the first grids that are not, by which lattice, and if by fast networks."""
    if not promises:
        return "lossless"
    shown = [
        f"{name}: {_error_text(promise)}, {promise['lattice']} lattice" + ", fast" * bool(promise["fast"])
        for name, promise in promises.items()
    ]
    return "; ".join(shown[:3]) + ("; ..." if len(shown) > 3 else "")


def topology_text(pruned: dict[str, int]) -> str:
    """`exact topology`, or in how many voxels of the first grids that are pruned the active state is another one."""
    if not pruned:
        return "exact topology"
    shown = [f"{name} {count} voxels" for name, count in pruned.items()]
    return f"topology pruned, changed: {', '.join(shown[:3])}" + (", ..." if len(shown) > 3 else "")


def _error_text(promise: dict) -> str:
    if promise["psnr"]:
        return f"PSNR {promise['psnr']:.4g} dB"
    if promise["max_error"] is None:
        return "no max error"
    return f"max error {promise['max_error']:.4g}" + (f" or {promise['ratio']:.3g} |v|" if promise["ratio"] else "")


def table_text(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in columns; the first column is aligned left, the others right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def print_error(error: Exception) -> None:
    """One line on stderr."""
    print(f"nvdb: {' '.join(str(error).split())}", file=sys.stderr)


def print_note(text: str) -> None:
    """One line for people on stderr."""
    print(f"nvdb: {text}", file=sys.stderr)


def print_json(results: Sequence[dict], errors: Sequence[tuple[str, NeuralVdbError]]) -> None:
    """One JSON object on stdout: `results` and `errors`."""
    failed = [{"path": path, "message": str(error), "exit_code": error.exit_code} for path, error in errors]
    print(json.dumps({"results": list(results), "errors": failed}, indent=2, ensure_ascii=True, allow_nan=False))
