"""Many inputs to one archive: each becomes an archive of its own in a folder beside it, and these are joined at last.

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
from neuralvdb.cli.targets import UNKNOWN_TOKEN, Step
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import OutputError, OutputExists
from neuralvdb.frame_number import FrameNumber
from neuralvdb.settings import ARCHIVE_SUFFIX

if TYPE_CHECKING:
    from neuralvdb.api.compress import CompressReport, GridInFile, SequenceSoFar

_MOST_REUSABLE = 1 << 12  # grids
_FOLDER = ".frames"


@dataclass(frozen=True)
class Many:
    """Inputs that become one archive.

    target: the archive. frames: each input, as the archive that it is until all are done, with its number.
    has_earlier: whether an archive of many frames is there already. reusable: grids of frames that are done, by key.
    """

    target: str
    frames: dict[Step, FrameNumber]
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

        labels = check_frames([Source(item.path, item.frame) for item in inputs])
        folder = Path(output + _FOLDER)
        steps = [Step(item, folder / f"{Path(item.path).stem}{ARCHIVE_SUFFIX}") for item in inputs]
        numbers = [label.number for label in labels]
        return cls(output, dict(zip(steps, numbers, strict=True)), has_frames(output), {})

    @property
    def folder(self) -> Path:
        """Where the frames are until all are done."""
        return Path(self.target + _FOLDER)

    def so_far(self, step: Step) -> SequenceSoFar:
        """What is there before a frame is coded; `reusable` grows as others are done."""
        from neuralvdb.api.compress import FrameInFile, SequenceSoFar

        earlier = FrameInFile(self.target, self.frames[step]) if self.has_earlier else None
        return SequenceSoFar(earlier, self.reusable)

    def keep(self, step: Step, report: CompressReport) -> None:
        """Makes the grids of a frame reusable, of which there are only so many at a time."""
        from neuralvdb.api.compress import GridInFile

        for number, key in enumerate(report.keys):
            if key:
                self.reusable.pop(key, None)
                self.reusable[key] = GridInFile(str(step.target), number)
        while len(self.reusable) > _MOST_REUSABLE:
            del self.reusable[next(iter(self.reusable))]

    def begin(self, args: argparse.Namespace) -> None:
        """Makes the folder. Raises OutputExists where the archive is there and may not be replaced, OutputError."""
        if not (args.force or args.skip_existing) and os.path.lexists(self.target):
            raise OutputExists(f"{self.target}: exists already; use --force to overwrite it")
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder}: the folder cannot be made: {error.strerror}") from error

    def finish(self, frames: OfFrames, report: Report) -> None:
        """Joins the frames, which then go, where all are there; else says what to do."""
        from neuralvdb.api.pack import Source

        count = len(self.frames)
        if frames.done < count:
            what = f"not written, for {count - frames.done} of {count} frames failed"
            advice = f"the others are in {self.folder}; mend these and go on with --skip-existing"
            report.failure(Failure(self.target, OutputError(f"{self.target}: {what}; {advice}")), count)
            return
        sources = [Source(str(step.target), number) for step, number in self.frames.items()]
        total = AsTotal(report, count)
        run_batch([pack_job(sources, self.target, force=True, counted=frames.bytes_out)], 1, total)
        if total.done:
            with contextlib.suppress(OSError):  # somebody put something else there
                for step in self.frames:
                    step.target.unlink()
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

    def progress(self, share: float, /) -> None:
        """Passes it on."""
        self._report.progress(share)

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

    def progress(self, _: float, /) -> None:
        """The inputs are done."""

    def result(self, result: Result, _: int = 0, /) -> None:
        """Passes it on, not to be counted."""
        self.done = True
        self._report.result(replace(result, is_total=True), self._number)

    def failure(self, failure: Failure, _: int = 0, /) -> None:
        """Passes it on."""
        self._report.failure(failure, self._number)
