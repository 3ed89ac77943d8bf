"""The HTML page of a sequence: sizes, grids, quality and pictures over its frames."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuralvdb.api.files import new_file
from neuralvdb.api.info import info
from neuralvdb.api.losses import GridLoss, common_grids, grid_loss
from neuralvdb.api.pictures import views_of
from neuralvdb.api.promises import PromiseDescription
from neuralvdb.api.source import GridSource
from neuralvdb.errors import OutputError, naming
from neuralvdb.settings import ReportSettings
from neuralvdb.view import Strip, difference_strips, draw_sheet
from neuralvdb.view.html import Chart, figure, page, table

MOST_LINES = 8  # in a chart
_MOST_STRIPS = 6  # in a picture


@dataclass(frozen=True, kw_only=True)
class FrameFacts:
    """One frame of the page."""

    path: str
    size: int
    """Bytes."""
    source_size: int | None
    """Bytes of the .vdb file that an archive was made from."""
    grids: dict[str, dict[str, int]]
    """Bytes on disk by grid and kind of data."""
    promises: dict[str, PromiseDescription]
    """What is promised of the grids that are not lossless."""
    losses: list[GridLoss]
    """What became of each grid; none without an original."""
    picture: bytes
    """A PNG file; empty where none was asked for, or nothing is to be seen."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        grids = {name: sum(sizes.values()) for name, sizes in self.grids.items()}
        losses = [vars(loss) for loss in self.losses]
        return {"path": self.path, "size": self.size, "source_size": self.source_size, "grids": grids, "losses": losses}


def original_of(path: str, settings: ReportSettings) -> str | None:
    """The file that a frame was made from, as settings.originals says; None where that is empty."""
    return os.path.join(settings.originals, f"{Path(path).stem}.vdb") if settings.originals else None


def frame_facts(path: str, settings: ReportSettings = ReportSettings(), *, picture: bool = True) -> FrameFacts:
    """FrameFacts of an archive or a .vdb file. picture: whether to draw it.

    Raises InputError, DamagedFile, Unsupported (also without Pillow), NoSuchGrid, MissingPriors, OutOfMemory.
    """
    described = info(path)
    original = original_of(path, settings)
    losses, strips = list[GridLoss](), list[Strip]()
    if original is not None:
        with GridSource(original, settings) as a, GridSource(path, settings) as b, naming(original, path):
            for grid, (decoded,) in common_grids(a, [b], settings.grids):
                losses.append(grid_loss(grid, decoded))
                if picture and len(strips) < _MOST_STRIPS:
                    strips += difference_strips(grid, decoded, losses[-1].words)[:1]
    elif picture:
        strips = views_of(path, settings)[1][:_MOST_STRIPS]
    return FrameFacts(
        path=path,
        size=described.size,
        source_size=described.source_size,
        grids={grid.name: grid.bytes for grid in described.grids},
        promises={grid.name: grid.promise for grid in described.grids if grid.promise is not None},
        losses=losses,
        picture=draw_sheet(strips)[0] if strips else b"",
    )


def write_report(
    frames: Sequence[FrameFacts], target: str | os.PathLike[str], settings: ReportSettings = ReportSettings()
) -> None:
    """Writes the page of one frame or more. Raises OutputExists, OutputError; then `target` is as before."""
    with new_file(Path(target), force=settings.force) as output:
        try:
            with output.open() as stream:
                stream.write(html_of(frames).encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise OutputError(f"{output.target}: cannot be written: {error.strerror}") from error


def html_of(frames: Sequence[FrameFacts]) -> str:
    """The page."""
    labels = [Path(frame.path).name for frame in frames]
    sources = [frame.source_size for frame in frames]
    total, total_source = sum(frame.size for frame in frames), sum(size or 0 for size in sources)
    title = f"{labels[0]}" + (f" to {labels[-1]}, {len(frames)} frames" if len(frames) > 1 else "")
    summary = f"{_megabytes(total)} MB"
    if all(sources):
        summary = f"{_megabytes(total_source)} MB of .vdb in {summary}: {total_source / total:.2f} times smaller"
    ratios = {"ratio": [size and size / frame.size for size, frame in zip(sources, frames, strict=True)]}
    blocks = [
        f"<p>{summary}</p>",
        Chart("Size in MB", labels, _lines(frames, _sizes), _megabytes, from_zero=True).html,
        Chart("Times smaller", labels, ratios, "{:.1f}".format, from_zero=True).html,
        "<h2>Grids by bytes</h2>",
        _grid_table(frames, total),
        *_quality(frames, labels),
        *(f"<h2>Pictures</h2>{''.join(pictures)}" for pictures in [_pictures(frames)] if pictures),
        f"<h2>Frames</h2><details><summary>all {len(frames)}</summary>{_frame_table(frames)}</details>",
    ]
    return page(title, blocks)


def _megabytes(size: float) -> str:
    return f"{size / 1e6:.3g}"


def _sizes(frame: FrameFacts) -> dict[str, float | None]:
    """Bytes of the frame and of its grids."""
    return {"whole file": frame.size, **{name: sum(of_grid.values()) for name, of_grid in frame.grids.items()}}


def _lines(
    frames: Sequence[FrameFacts], numbers_of: Callable[[FrameFacts], dict[str, float | None]]
) -> dict[str, list[float | None]]:
    """Lines by name: those with the largest numbers, MOST_LINES of them."""
    numbers = [numbers_of(frame) for frame in frames]
    names = dict.fromkeys(name for of_frame in numbers for name in of_frame)
    lines = {name: [of_frame.get(name) for of_frame in numbers] for name in names}
    ordered = sorted(lines, key=lambda name: -max((n for n in lines[name] if n is not None), default=0.0))
    return {name: lines[name] for name in ordered[:MOST_LINES]}


def _grid_table(frames: Sequence[FrameFacts], total: int) -> str:
    kinds = dict.fromkeys(kind for frame in frames for sizes in frame.grids.values() for kind in sizes)
    sums: dict[str, dict[str, int]] = {}
    for frame in frames:
        for name, sizes in frame.grids.items():
            of_grid = sums.setdefault(name, dict.fromkeys(kinds, 0))
            for kind, size in sizes.items():
                of_grid[kind] += size
    rows, shares = [], []
    for name, of_grid in sorted(sums.items(), key=lambda item: -sum(item[1].values())):
        size = sum(of_grid.values())
        shares.append(size / total)
        rows.append([name, _megabytes(size), f"{size / total:.1%}", *(_megabytes(of_grid[kind]) for kind in kinds)])
    return table(["grid", "MB", "share", *(f"{kind}, MB" for kind in kinds)], rows, shares)


def _quality(frames: Sequence[FrameFacts], labels: Sequence[str]) -> list[str]:
    """Charts of what was measured, and a table of what is promised."""
    blocks = []
    for title, name, text in (
        ("Picture: T-PSNR in dB", "t_psnr", "{:.1f}"),
        ("PSNR in dB", "psnr", "{:.1f}"),
        ("Largest error of a voxel, share of the range", "max_share", "{:.2%}"),
        ("Largest error of means over 4x4x4 voxels, share of the range", "mean_share", "{:.2%}"),
    ):
        lines = _lines(frames, functools.partial(_measured, name))
        blocks.append(Chart(title, labels, lines, text.format).html)
    rows = dict.fromkeys(
        (name, _promise_words(promise)) for frame in frames for name, promise in frame.promises.items()
    )
    promised = table(("grid", "promise"), list(rows)) if rows else "<p>Every bit is kept.</p>"
    return [*blocks, "<h2>Promised</h2>", promised]


def _measured(name: str, frame: FrameFacts) -> dict[str, float | None]:
    """One figure of GridLoss by grid."""
    return {loss.name: getattr(loss, name) for loss in frame.losses}


def _promise_words(promise: PromiseDescription) -> str:
    if promise.psnr:
        return f"PSNR {promise.psnr:.4g} dB"
    if promise.max_error is None:
        return f"no max error, {promise.lattice} lattice"
    return f"max error {promise.max_error:.4g}" + (f" or {promise.ratio:.3g} |v|" if promise.ratio else "")


def _pictures(frames: Sequence[FrameFacts]) -> list[str]:
    return [figure(frame.picture, Path(frame.path).name) for frame in frames if frame.picture]


def _frame_table(frames: Sequence[FrameFacts]) -> str:
    rows = []
    for frame in frames:
        pictures = [loss.t_psnr for loss in frame.losses if loss.t_psnr is not None]
        errors = [loss.max_share for loss in frame.losses]
        rows.append(
            [
                frame.path,
                _megabytes(frame.size),
                f"{frame.source_size / frame.size:.2f}x" if frame.source_size else "-",
                f"{min(pictures):.1f} dB" if pictures else "-",
                f"{max(errors):.2%}" if errors else "-",
            ]
        )
    return table(("frame", "MB", "ratio", "T-PSNR", "voxels within"), rows)
