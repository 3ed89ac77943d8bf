"""The HTML page of a sequence: sizes, grids, quality and pictures over its frames."""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from neuralvdb.api.info import info
from neuralvdb.api.jobs import Progress, ignore, outcomes_of
from neuralvdb.api.losses import GridLoss, common_grids, grid_loss
from neuralvdb.api.pictures import views_of
from neuralvdb.api.promises import PromiseDescription
from neuralvdb.api.source import OpenFiles
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, naming
from neuralvdb.frame_number import FrameNumber
from neuralvdb.new_file import new_file
from neuralvdb.settings import ReportSettings
from neuralvdb.units import size_text
from neuralvdb.view import Strip, difference_strips, draw_sheet
from neuralvdb.view.html import Chart, figure, heading, page, paragraph, table

MOST_LINES = 8  # of grids in a chart
_WHOLE = "whole file"
_MOST_STRIPS = 6  # in a picture
_STORED = {"t_psnr": "picture", "max_share": "voxel_error", "mean_share": "mean_error"}  # fields of MeasuredLoss


@dataclass(frozen=True, kw_only=True)
class FrameFacts:
    """One frame of the page."""

    path: str
    name: str
    """What the page calls it: the name of the file, or of that which a frame of an archive was."""
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

    def figures(self, field: str) -> dict[str, float | None]:
        """A field of GridLoss by grid: against the originals or, without them, as archives say it of fog."""
        if self.losses or field not in _STORED:
            return {loss.name: getattr(loss, field) for loss in self.losses}
        measured = {name: promise.measured for name, promise in self.promises.items() if promise.measured is not None}
        return {name: getattr(loss, _STORED[field]) for name, loss in measured.items()}

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        grids = {name: sum(sizes.values()) for name, sizes in self.grids.items()}
        losses = [vars(loss) for loss in self.losses]
        return {
            "path": self.path,
            "name": self.name,
            "size": self.size,
            "source_size": self.source_size,
            "grids": grids,
            "losses": losses,
        }


def original_of(name: str, settings: ReportSettings) -> str | None:
    """The file that a frame of this name was made from, as settings.originals says; None where that is empty."""
    return os.path.join(settings.originals, f"{Path(name).stem}.vdb") if settings.originals else None


@dataclass(frozen=True)
class FrameOfPage:
    """A frame of an archive, None where that has one. original: to compare it with. picture: whether to draw it."""

    number: FrameNumber | None = None
    original: str | None = None
    picture: bool = True


def facts_of_each(
    path: str,
    frames: Sequence[FrameOfPage],
    settings: ReportSettings = ReportSettings(),
    *,
    progress: Progress = ignore,
) -> list[FrameFacts | NeuralVdbError]:
    """FrameFacts of frames of an archive or of a .vdb file; what frames need of others is decoded once.

    progress: is told of 1 after each. Errors are InputError, DamagedFile, Unsupported (also without Pillow),
    NoSuchGrid, MissingPriors, OutOfMemory.
    """
    with OpenFiles(settings) as files:
        return outcomes_of(lambda frame: _facts(files, path, frame, settings.grids), frames, progress)


def _facts(files: OpenFiles, path: str, frame: FrameOfPage, names: Sequence[str]) -> FrameFacts:
    described = info(path, frame.number)
    losses, strips = list[GridLoss](), list[Strip]()
    if frame.original is not None:
        a, b = files.source(frame.original), files.source(path, frame.number)
        with naming(a.path, b.path):
            for grid, (decoded,) in common_grids(a, [b], names):
                losses.append(grid_loss(grid, decoded))
                if frame.picture and len(strips) < _MOST_STRIPS:
                    strips += difference_strips(grid, decoded, losses[-1].words)[:1]
    elif frame.picture:
        _, strips, _ = views_of(files.source(path, frame.number), names, _MOST_STRIPS)
    return FrameFacts(
        path=path,
        name=Path(path).name,
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
    paths = [frame.path for frame in frames]
    with new_file(Path(target), force=settings.force, sources=paths) as output, output.writing() as stream:
        stream.write(html_of(frames).encode("utf-8", "backslashreplace"))


def html_of(frames: Sequence[FrameFacts]) -> str:
    """The page."""
    labels = [frame.name for frame in frames]
    sources = [frame.source_size for frame in frames]
    total, total_source = sum(frame.size for frame in frames), sum(size or 0 for size in sources)
    title = labels[0] + (f" to {labels[-1]}, {len(frames)} frames" if len(frames) > 1 else "")
    summary = size_text(total)
    if all(sources):
        summary = f"{size_text(total_source)} of .vdb in {summary}: {total_source / total:.2f} times smaller"
    ratios = {"ratio": [size and size / frame.size for size, frame in zip(sources, frames, strict=True)]}
    grids = _bytes_by_grid(frames)
    sizes = _lines(frames, [*list(grids)[:MOST_LINES], _WHOLE], _sizes)
    blocks = [
        paragraph(summary),
        Chart("Size", labels, sizes, size_text, from_zero=True).html,
        Chart("Times smaller", labels, ratios, "{:.1f}".format, from_zero=True).html,
        heading("Grids by bytes"),
        _grid_table(grids, total),
        *_measured(frames, list(grids)[:MOST_LINES], labels),
        heading("Promised"),
        table(("grid", "of active values"), [(name, _promise_words(name, frames)) for name in grids]),
    ]
    if pictures := [figure(frame.picture, frame.name) for frame in frames if frame.picture]:
        blocks += [heading("Pictures"), *pictures]
    return page(title, [*blocks, heading("Frames"), _frame_table(frames)])


def _bytes_by_grid(frames: Sequence[FrameFacts]) -> dict[str, dict[str, int]]:
    """Bytes of all frames by grid and kind of data, the largest grid first."""
    sums: dict[str, dict[str, int]] = {}
    for frame in frames:
        for name, sizes in frame.grids.items():
            of_grid = sums.setdefault(name, {})
            for kind, size in sizes.items():
                of_grid[kind] = of_grid.get(kind, 0) + size
    return dict(sorted(sums.items(), key=lambda item: -sum(item[1].values())))


def _lines(
    frames: Sequence[FrameFacts], names: Sequence[str], numbers_of: Callable[[FrameFacts], Mapping[str, float | None]]
) -> dict[str, list[float | None]]:
    """The numbers of these names, frame by frame."""
    numbers = [numbers_of(frame) for frame in frames]
    return {name: [of_frame.get(name) for of_frame in numbers] for name in names}


def _sizes(frame: FrameFacts) -> dict[str, int]:
    """Bytes of the frame and of its grids."""
    return {**{name: sum(sizes.values()) for name, sizes in frame.grids.items()}, _WHOLE: frame.size}


def _grid_table(grids: Mapping[str, Mapping[str, int]], total: int) -> str:
    kinds = sorted({kind for sizes in grids.values() for kind in sizes})
    rows, shares = [], []
    for name, sizes in grids.items():
        size = sum(sizes.values())
        shares.append(size / total)
        rows.append([name, size_text(size), f"{size / total:.1%}", *(size_text(sizes.get(kind, 0)) for kind in kinds)])
    return table(["grid", "size", "share of all", *kinds], rows, shares)


def _measured(frames: Sequence[FrameFacts], names: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Charts of what was measured."""
    return [
        Chart(title, labels, _lines(frames, names, operator.methodcaller("figures", field)), text.format).html
        for title, field, text in (
            ("Picture: T-PSNR in dB", "t_psnr", "{:.1f}"),
            ("PSNR in dB", "psnr", "{:.1f}"),
            ("Largest error of a voxel, share of the range", "max_share", "{:.2%}"),
            ("Largest error of means over 4x4x4 voxels, share of the range", "mean_share", "{:.2%}"),
        )
    ]


def _promise_words(name: str, frames: Sequence[FrameFacts]) -> str:
    """What is promised of a grid in all frames."""
    promises = [frame.promises.get(name) for frame in frames if name in frame.grids]
    bounds = [promise.max_error for promise in promises if promise is not None and promise.max_error is not None]
    psnrs = [promise.psnr for promise in promises if promise is not None and promise.psnr]
    words = [f"max error {_span(min(bounds), max(bounds))}"] if bounds else []
    words += [f"PSNR of at least {min(psnrs):.4g} dB"] if psnrs else []
    if any(promise is not None and promise.max_error is None and not promise.psnr for promise in promises):
        words.append("no max error")
    if exact := promises.count(None):
        words.append("every bit" if exact == len(promises) else f"every bit in {exact} of {len(promises)} frames")
    return "; ".join(words)


def _span(low: float, high: float) -> str:
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def _frame_table(frames: Sequence[FrameFacts]) -> str:
    rows = []
    for frame in frames:
        pictures = [picture for picture in frame.figures("t_psnr").values() if picture is not None]
        errors = [error for error in frame.figures("max_share").values() if error is not None]
        rows.append(
            [
                frame.name,
                size_text(frame.size),
                f"{frame.source_size / frame.size:.2f}x" if frame.source_size else "-",
                f"{min(pictures):.1f} dB" if pictures else "-",
                f"{max(errors):.2%}" if errors else "-",
            ]
        )
    return table(("frame", "size", "ratio", "T-PSNR", "voxels within"), rows)
