"""Many inputs to one archive: chunks of them become archives in a folder beside it, and these are joined at last.

So a run that was stopped goes on with --skip-existing where it was, and `nvdb pack` makes the same of that folder.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import run_batch
from neuralvdb.cli.frames import Input, has_frames, pattern_of
from neuralvdb.cli.jobs import Failure, Report, Result
from neuralvdb.cli.pack import pack_job
from neuralvdb.cli.targets import UNKNOWN_TOKEN
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import OutputError, OutputExists
from neuralvdb.new_folder import make_folder
from neuralvdb.settings import ARCHIVE_SUFFIX

if TYPE_CHECKING:
    from neuralvdb.api.compress import CompressReport, GridInFile
    from neuralvdb.api.shot import FrameSource, ShotSoFar

_MOST_REUSABLE = 1 << 12  # grids
_FOLDER = ".frames"


@dataclass(frozen=True)
class Chunk:
    """Frames that are coded together, and the archive that they are until all are done. size: how many such frames
    are, but for the last chunk of a shot."""

    frames: tuple[FrameSource, ...]
    target: Path
    size: int

    @property
    def paths(self) -> list[str]:
        """The .vdb files."""
        return [frame.path for frame in self.frames]


@dataclass(frozen=True)
class Many:
    """Inputs that become one archive.

    target: the archive. frames: in the order of their numbers. has_earlier: whether an archive of many frames is there
    already. reusable: grids of frames that are done, by key.
    """

    target: str
    frames: list[FrameSource]
    has_earlier: bool
    reusable: dict[str, GridInFile]

    @classmethod
    def of(cls, inputs: Sequence[Input], output: str | None) -> Many | None:
        """What becomes the archive that `output` names, where that is one and the inputs are frames.

        Raises UsageError where frames have no numbers, or two have the same.
        """
        if output is None or not output.endswith(ARCHIVE_SUFFIX) or os.path.isdir(output):
            return None
        if UNKNOWN_TOKEN.search(Path(output).name):
            return None
        pattern = pattern_of(output)
        if (pattern is not None and not pattern.weak) or not inputs:
            return None
        if len(inputs) == 1 and inputs[0].frame is None:
            return None
        from neuralvdb.api.pack import Source, check_frames
        from neuralvdb.api.shot import FrameSource

        labels = check_frames([Source(item.path, item.frame) for item in inputs])
        frames = [FrameSource(item.path, label.number) for item, label in zip(inputs, labels, strict=True)]
        frames.sort(key=lambda frame: frame.number)
        return cls(output, frames, has_frames(output), {})

    def cut(self, size: int) -> list[Chunk]:
        """All frames in chunks of that size, the last one perhaps smaller."""
        chunks = []
        for first in range(0, len(self.frames), size):
            frames = tuple(self.frames[first : first + size])
            target = self.folder / f"{Path(frames[0].path).stem}{ARCHIVE_SUFFIX}"
            chunks.append(Chunk(frames, target, size))
        return chunks

    @property
    def folder(self) -> Path:
        """Where the frames are until all are done."""
        return Path(self.target + _FOLDER)

    def so_far(self, chunk: Chunk) -> ShotSoFar:
        """What is there before a chunk is coded; `reusable` grows as others are done."""
        from neuralvdb.api.shot import ShotSoFar

        return ShotSoFar(chunk.size, self.target if self.has_earlier else "", self.reusable)

    def keep(self, chunk: Chunk, reports: Sequence[CompressReport]) -> None:
        """Makes the grids of frames reusable, of which there are only so many at a time."""
        from neuralvdb.api.compress import GridInFile

        for frame, report in zip(chunk.frames, reports, strict=True):
            for number, key in enumerate(report.keys):
                if key:
                    self.reusable.pop(key, None)
                    self.reusable[key] = GridInFile(str(chunk.target), frame.number, number)
        while len(self.reusable) > _MOST_REUSABLE:
            del self.reusable[next(iter(self.reusable))]

    def begin(self, args: argparse.Namespace) -> None:
        """Makes the folder. Raises OutputExists where the archive is there and may not be replaced, OutputError."""
        if not (args.force or args.skip_existing) and os.path.lexists(self.target):
            raise OutputExists(f"{self.target}: exists already; use --force to overwrite it")
        try:
            make_folder(self.folder)
        except OSError as error:
            raise OutputError(f"{self.folder}: the folder cannot be made: {error.strerror}") from error

    def finish(self, chunks: Sequence[Chunk], frames: OfFrames, report: Report) -> None:
        """Joins the frames, which then go, where all are there; else says what to do."""
        from neuralvdb.api.pack import Source

        count = len(self.frames)
        if frames.done < count:
            failed = f"{count - frames.done} of {count} frames failed, or are in a chunk with one that did"
            what = f"not written, for {failed}" + f"; the others are in {self.folder}" * bool(frames.done)
            advice = "mend these and go on with --skip-existing"
            report.failure(Failure(self.target, OutputError(f"{self.target}: {what}; {advice}")), count)
            return
        sources = [Source(str(chunk.target)) for chunk in chunks]
        total = AsTotal(report, count)
        run_batch([pack_job(sources, self.target, force=True, counted=frames.bytes_out)], 1, total)
        if total.done:
            with contextlib.suppress(OSError):  # somebody put something else there
                of_killed_runs = self.folder.glob(".*.part")
                for path in (*(chunk.target for chunk in chunks), *of_killed_runs):
                    path.unlink()
                self.folder.rmdir()


class OfFrames:
    """A Report of the frames of an archive, which it passes on and counts."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self.done = self.bytes_out = 0

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown."""
        return self._report.shows_progress

    def begin(self, files: int, /) -> None:
        """Passes it on."""
        self._report.begin(files)

    def progress(self, share: float, ahead: int = 0, /) -> None:
        """Passes it on."""
        self._report.progress(share, ahead)

    def ahead(self, result: Result, number: int, /) -> None:
        """Passes it on."""
        self._report.ahead(result, number)

    def result(self, result: Result, number: int = 0, /) -> None:
        """Passes it on."""
        self.done += 1
        self.bytes_out += result.sizes.after if result.sizes else 0
        self._report.result(result, number)

    def failure(self, failure: Failure, number: int = 0, /) -> None:
        """Passes it on."""
        self._report.failure(failure, number)


class AsTotal:
    """A Report of what is about all inputs together; number: how many they are."""

    def __init__(self, report: Report, number: int) -> None:
        self._report, self._number = report, number
        self.done = False

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown."""
        return False

    def begin(self, _: int, /) -> None:
        """It is no input."""

    def progress(self, _share: float, _ahead: int = 0, /) -> None:
        """The inputs are done."""

    def ahead(self, _result: Result, _number: int, /) -> None:
        """It is no input."""

    def result(self, result: Result, _: int = 0, /) -> None:
        """Passes it on, not to be counted."""
        self.done = True
        self._report.result(replace(result, is_total=True), self._number)

    def failure(self, failure: Failure, _: int = 0, /) -> None:
        """Passes it on."""
        self._report.failure(failure, self._number)
