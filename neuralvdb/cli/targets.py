"""Which output belongs to which input."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from neuralvdb.cli.frames import Input, Wanted, expand, has_frames, numbers_of, pattern_of
from neuralvdb.cli.jobs import Failure, Report
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError, NeuralVdbError, OutputError, UsageError
from neuralvdb.frame_number import number_of, text_of
from neuralvdb.new_folder import make_folder

T = TypeVar("T")

DIRECTORY_MEMORY = 1 << 30  # bytes that as many frames take as there may be
UNKNOWN_TOKEN = re.compile(r"\$\{?F\w*\}?|<\w+>|%\d*[a-z]")


@dataclass(frozen=True)
class Step:
    """What to read and the file to write. force: whatever is there goes."""

    item: Input
    target: Path
    force: bool = False

    @property
    def source(self) -> str:
        """The file to read."""
        return self.item.path


def expand_all(names: Sequence[str], wanted: Wanted, report: Report) -> list[Input]:
    """The files that names, patterns and folders stand for; `report` hears of names of none. Raises UsageError."""
    inputs = []
    for name in names:
        try:
            inputs += expand(name, wanted)
        except InputError as error:
            report.failure(Failure(name, error))
    return inputs


def expand_frames(names: Sequence[str], wanted: Wanted, report: Report) -> list[Input]:
    """As expand_all(), but archives of many frames stand for their frames, or for those that are wanted."""
    inputs = list[Input]()
    for item in expand_all(names, wanted, report):
        if not has_frames(item.path):
            inputs.append(item)
            continue
        try:
            # Frames that a pattern named are files, not what is in them.
            inputs += _in_archive(item.path, wanted if item.frame is None else replace(wanted, frames=None), report)
        except NeuralVdbError as error:
            if isinstance(error, UsageError):
                raise
            report.failure(Failure(item.path, error))
    return inputs


def _in_archive(path: str, wanted: Wanted, report: Report) -> list[Input]:
    """Frames of an archive of many, which a child reads. Raises UsageError, and what frames_of() raises."""
    from neuralvdb.api.frames import frames_of
    from neuralvdb.cli.isolate import IsolatedRunner

    run = IsolatedRunner(inputs=[path], memory=lambda: DIRECTORY_MEMORY)
    frames = {number_of(frame.number): frame for frame in run(functools.partial(frames_of, path))}
    numbers = list(frames)
    if wanted.frames is not None:
        numbers = numbers_of(wanted.frames, f"--frames '{wanted.frames}'")
        for number in () if wanted.skip_missing else [number for number in numbers if number not in frames]:
            report.failure(Failure(path, InputError(f"{path}: has no frame {text_of(number)}; `nvdb info` lists them")))
    return [
        Input(path, number, within=frames[number].name, size=frames[number].size, group=frames[number].group)
        for number in numbers
        if number in frames
    ]


def plan(inputs: Sequence[Input], output: str | None, suffix: str) -> list[Step]:
    """Every input with its output: in the place that `output` names, beside the input where it is None.

    Makes the folder that `output` names with a slash at its end. Raises OutputError where that cannot be, UsageError
    where an output would be an input, or one output would belong to two inputs.
    """
    steps = [Step(item, _target(item, output, suffix, len(inputs))) for item in inputs]
    sources = {os.path.realpath(item.path) for item in inputs if os.path.isfile(item.path)}
    source_of: dict[str, str] = {}
    for step in steps:
        path = os.path.realpath(step.target)
        if path in sources:
            raise UsageError(f"{step.target} is an input; give another output with -o")
        first = source_of.setdefault(path, step.item.name)
        if first != step.item.name:
            raise UsageError(
                f"{step.item.name} and {first} would both become {step.target}; use -o with another folder"
            )
    if steps and output is not None and output.endswith("/"):
        _make_folder(output)
    return steps


def in_groups(work: Sequence[T], input_of: Callable[[T], Input]) -> list[list[T]]:
    """The same work; that on frames of an archive that may be decoded from each other is together."""
    groups: list[list[T]] = []
    for piece in work:
        item = input_of(piece)
        last = input_of(groups[-1][-1]) if groups else item
        if groups and item.group and (last.path, last.group) == (item.path, item.group):
            groups[-1].append(piece)
        else:
            groups.append([piece])
    return groups


def _make_folder(name: str) -> None:
    """Makes a folder, and those that it is in, where they are not there. Raises OutputError."""
    try:
        make_folder(name)
    except OSError as error:
        raise OutputError(f"{name}: the folder cannot be made: {error.strerror}") from error


def _target(item: Input, output: str | None, suffix: str, count: int) -> Path:
    """The output of one of `count` inputs."""
    if output is None:
        return _beside(item, suffix)
    if output == "-":
        raise UsageError("-o -: files are written under a name, not to stdout; for a file called - give ./-")
    if output.endswith("/") or os.path.isdir(output):
        return Path(output) / _beside(item, suffix).name
    if not Path(output).name:
        raise UsageError(f"-o '{output}' names no file")
    pattern = pattern_of(output)
    if pattern is not None and item.frame is not None:
        return Path(pattern.name(item.frame))
    if pattern is not None and not pattern.weak:
        raise UsageError(f"-o {output} is a pattern, but {item.path} names no frame")
    if count > 1:
        raise UsageError(f"-o {output} is one file, but there are {count} inputs; give a folder or a pattern")
    unknown = UNKNOWN_TOKEN.search(Path(output).name)
    if unknown is not None and item.frame is not None:
        raise UsageError(f"-o {output}: {unknown[0]} is no token for a frame; use ####, %04d, $F4 or <frame>")
    return Path(output)


def _beside(item: Input, suffix: str) -> Path:
    """The input's name with another suffix; the number of a frame is none."""
    path = Path(item.name)
    if item.frame is not None and re.fullmatch(r"\.-?\d+", path.suffix):
        return path.with_name(path.name + suffix)
    return path.with_suffix(suffix)
