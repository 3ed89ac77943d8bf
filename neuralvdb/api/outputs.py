"""Files that frames of an archive become: each whole or not there, whatever becomes of the others."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from neuralvdb.api.jobs import Progress, ignore
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError
from neuralvdb.frame_number import FrameNumber
from neuralvdb.new_file import NewFile, new_file

T = TypeVar("T")


@dataclass(frozen=True)
class FrameTarget:
    """A frame of an archive, None where that has one, and the file that it becomes. force: whatever is there goes."""

    number: FrameNumber | None
    target: Path
    force: bool = False


Output = NewFile | NeuralVdbError


@contextlib.contextmanager
def new_files(frames: Sequence[FrameTarget], source: str | os.PathLike[str]) -> Iterator[list[Output]]:
    """The new file of each frame, as new_file() gives it for the block, or the error that it raises."""
    with contextlib.ExitStack() as stack:
        outputs: list[Output] = []
        for frame in frames:
            try:
                outputs.append(stack.enter_context(new_file(frame.target, force=frame.force, sources=[source])))
            except NeuralVdbError as error:
                outputs.append(error)
        yield outputs


def temporary_names(outputs: Sequence[Output]) -> list[str]:
    """Of the files that are being written."""
    return [output.temporary for output in outputs if isinstance(output, NewFile)]


def write_each(
    frames: Sequence[FrameTarget],
    outputs: Sequence[Output],
    write: Callable[[FrameTarget, NewFile], T],
    progress: Progress = ignore,
) -> list[T | NeuralVdbError]:
    """What write() gives for each frame and its output, or its error; then nothing gets that output's name.

    progress: is told of 1 after each.
    """
    outcomes: list[T | NeuralVdbError] = []
    for frame, output in zip(frames, outputs, strict=True):
        if not isinstance(output, NewFile):
            outcomes.append(output)
            continue
        try:
            outcomes.append(write(frame, output))
        except NeuralVdbError as error:
            with contextlib.suppress(OSError):
                os.truncate(output.temporary, 0)
            outcomes.append(output.named(error))
        progress(1)
    return outcomes
