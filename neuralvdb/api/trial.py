"""One file at every quality: what each costs and keeps. No archive stays."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from neuralvdb.api.compress import compress
from neuralvdb.api.jobs import Note, Progress, Runner, ignore, run_here
from neuralvdb.api.losses import GridLoss, common_grids, grid_loss
from neuralvdb.api.pictures import MOST_GRIDS, write_sheet
from neuralvdb.api.source import OpenFiles
from neuralvdb.dataclass import dataclass
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.presets import presets
from neuralvdb.settings import ARCHIVE_SUFFIX, CompressSettings, ViewSettings
from neuralvdb.view import Strip, comparison_strips, need_pillow


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One quality. losses: of the grids of float and vec3 values."""

    quality: str
    archive_size: int
    """Bytes."""
    ratio: float
    """Source size over archive size."""
    seconds: float
    """That compressing took, with the check of what was written."""
    losses: list[GridLoss]

    @property
    def t_psnr(self) -> float | None:
        """The least of all grids, in dB; None where none is seen to have changed."""
        return min((loss.t_psnr for loss in self.losses if loss.t_psnr is not None), default=None)

    @property
    def max_share(self) -> float:
        """The largest error of a voxel, as a share of its grid's range."""
        return max((loss.max_share for loss in self.losses), default=0.0)

    @property
    def mean_share(self) -> float:
        """The largest error of a mean over 4x4x4 voxels, as a share of its grid's range."""
        return max((loss.mean_share or 0.0 for loss in self.losses), default=0.0)


@dataclass(frozen=True, kw_only=True)
class TrialReport:
    """All qualities of one file."""

    source: str
    source_size: int
    """Bytes."""
    picture: str | None
    """The PNG file that was written."""
    trials: list[Trial]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def qualities(settings: CompressSettings) -> list[str]:
    """What there is to try: presets of the user's own first, then those of the package, the best first."""
    return list(reversed(presets(settings.presets_file)))


def trial(
    source: str | os.PathLike[str],
    picture: str | os.PathLike[str] | None = None,
    settings: CompressSettings = CompressSettings(),
    *,
    progress: Progress = ignore,
    note: Note = ignore,
    run: Runner = run_here,
) -> TrialReport:
    """Compresses a .vdb file with each of qualities(settings) and measures what it keeps.

    picture: a PNG file to draw them in. settings: of all archives; `force` is about the picture. progress, run: as in
    compress(), for one archive after the other. note: as there, once. Raises what compress() raises, and Unsupported
    for a picture without Pillow.
    """
    source = os.fspath(source)
    if picture is not None:
        need_pillow()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="nvdb-try-")))
        output = None
        if picture is not None:
            output = stack.enter_context(new_file(Path(picture), force=settings.force, sources=[source]))
        archives, seconds = list[Path](), list[float]()
        for quality in qualities(settings):
            began = time.perf_counter()
            archives.append(folder / f"{len(archives)}{ARCHIVE_SUFFIX}")
            of_quality = replace(settings, quality=quality)
            report = compress(source, archives[-1], of_quality, progress=progress, note=note, run=run)
            note = ignore
            seconds.append(round(time.perf_counter() - began, 3))
        comparison = _Comparison(source, archives, output, settings)
        losses = run(comparison.run, writes=[] if output is None else [output.temporary])
        sizes = [archive.stat().st_size for archive in archives]
    trials = [
        Trial(quality=name, archive_size=size, ratio=report.source_size / size, seconds=time_taken, losses=of_one)
        for name, size, time_taken, of_one in zip(qualities(settings), sizes, seconds, losses, strict=True)
    ]
    target = None if output is None else output.target
    return TrialReport(source=source, source_size=report.source_size, picture=target, trials=trials)


@dataclass(frozen=True)
class _Comparison:
    """A source and its archives, the best first, to measure and to draw."""

    source: str
    archives: Sequence[Path]
    output: NewFile | None
    settings: CompressSettings

    def run(self) -> list[list[GridLoss]]:
        """The losses of each archive."""
        reading = ViewSettings(threads=self.settings.threads, priors=self.settings.priors)
        strips, losses = list[Strip](), [list[GridLoss]() for _ in self.archives]
        with OpenFiles(reading) as files:
            original, decoded = files.source(self.source), list(map(files.source, self.archives))
            for grid, copies in common_grids(original, decoded, self.settings.grids):
                of_grid = [grid_loss(grid, other) for other in copies]
                for of_archive, loss in zip(losses, of_grid, strict=True):
                    of_archive.append(loss)
                if self.output is not None and len(strips) < MOST_GRIDS:
                    captions = [_caption(*pair) for pair in zip(qualities(self.settings), of_grid, strict=True)]
                    strips += comparison_strips(grid, list(zip(captions, copies, strict=True)))
        if self.output is not None:
            write_sheet(strips, self.output, self.source)
        return losses


def _caption(quality: str, loss: GridLoss) -> str:
    if loss.max_error == 0:
        return f"{quality}: the same"
    return f"{quality}: " + (f"within {loss.max_share:.2%}" if loss.t_psnr is None else f"T-PSNR {loss.t_psnr:.1f} dB")
