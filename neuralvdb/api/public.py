"""The functions of `neuralvdb`: choices by keyword, errors in words that suit Python."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, ParamSpec, TypeVar, overload

from neuralvdb.api.choices import settings_from
from neuralvdb.api.jobs import Note, Progress, ignore
from neuralvdb.errors import NeuralVdbError
from neuralvdb.settings import (
    CompressSettings,
    DecompressSettings,
    DiffSettings,
    Settings,
    TrainSettings,
    VerifySettings,
)

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from neuralvdb.api.archive import Archive
    from neuralvdb.api.choices import (
        CompressChoices,
        DecompressChoices,
        DiffChoices,
        SharedChoices,
        TrainChoices,
        VerifyChoices,
    )
    from neuralvdb.api.compress import CompressReport
    from neuralvdb.api.decompress import DecompressReport
    from neuralvdb.api.diff import DiffReport
    from neuralvdb.api.info import FileInfo
    from neuralvdb.api.tensors import GridTensors
    from neuralvdb.api.train import TrainReport
    from neuralvdb.api.verify import VerifyReport
    from neuralvdb.frame_number import FrameNumber
    from neuralvdb.volume import VolumeGrid

P = ParamSpec("P")
R = TypeVar("R")

_OPTION = re.compile(r"(?<!\S)--(?:(device) ([\w:]+)|([a-z-]+))")


def _in_python_words(function: Callable[P, R]) -> Callable[P, R]:
    """Makes errors that speak of options speak of keywords."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except NeuralVdbError as error:
            error.args = (_OPTION.sub(_keyword, str(error)),)
            raise

    return call


def _keyword(option: re.Match[str]) -> str:
    if option[1]:
        return f"device='{option[2]}'"
    name = option[3].replace("-", "_")
    return "force=True" if name == "force" else f"the keyword {name}"


@_in_python_words
def compress(
    source: str | os.PathLike[str] | VolumeGrid | GridTensors | Iterable[VolumeGrid | GridTensors],
    target: str | os.PathLike[str],
    settings: CompressSettings | None = None,
    *,
    progress: Progress = ignore,
    **choices: Unpack[CompressChoices],
) -> CompressReport:
    """Writes a .vdb file, or grids that are arrays or tensors, to the archive `target`.

    settings: many choices at once, in place of keywords. progress: is told of bytes of the source as they are done,
    twice with `verify`. Environment variables and project files are not read. Raises TypeError for keywords that are
    none, UsageError for such as make no sense, NoSuchDevice, InputError, DamagedFile, Unsupported, NoSuchGrid,
    OutputExists, OutputError, PromiseBroken, OutOfMemory; then `target` is as before.
    """
    from neuralvdb.api.compress import compress as work

    settings = settings_from(CompressSettings, settings, choices)
    if isinstance(source, str | os.PathLike):
        return work(source, target, settings, progress=progress)
    from neuralvdb.api.tensors import in_memory

    return work(in_memory(source), target, settings, progress=progress)


@overload
def decompress(
    source: str | os.PathLike[str],
    target: None = None,
    settings: DecompressSettings | None = None,
    *,
    progress: Progress = ...,
    note: Note = ...,
    **choices: Unpack[DecompressChoices],
) -> dict[str, GridTensors]: ...


@overload
def decompress(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    settings: DecompressSettings | None = None,
    *,
    progress: Progress = ...,
    note: Note = ...,
    **choices: Unpack[DecompressChoices],
) -> DecompressReport: ...


@_in_python_words
def decompress(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    settings: DecompressSettings | None = None,
    *,
    progress: Progress = ignore,
    note: Note = ignore,
    **choices: Unpack[DecompressChoices],
) -> DecompressReport | dict[str, GridTensors]:
    """Writes the archive `source` to the .vdb file `target`; without a target it gives grids as torch tensors by name.

    Tensors may also come from a .vdb file. settings: many choices at once, in place of keywords. progress: is told of
    bytes of decoded memory as they are done. note: is told each of the report's notes before anything is written.
    Raises TypeError for keywords that are none, UsageError for such as make no sense, NoSuchDevice, InputError,
    DamagedFile, Unsupported, NoSuchGrid, MissingPriors, OutputExists, OutputError, PromiseBroken, OutOfMemory; then
    `target` is as before.
    """
    from neuralvdb.api.decompress import decompress as work
    from neuralvdb.api.tensors import tensors

    settings = settings_from(DecompressSettings, settings, choices)
    if target is None:
        return tensors(source, settings)
    return work(source, target, settings, progress=progress, note=note)


@_in_python_words
def info(path: str | os.PathLike[str], frame: FrameNumber | None = None) -> FileInfo:
    """What is in a .vdb file, an archive, or a frame of an archive of many; values are not decoded. Raises InputError,
    DamagedFile, Unsupported, UsageError."""
    from neuralvdb.api.info import info as work

    return work(path, frame)


@_in_python_words
def open(
    path: str | os.PathLike[str],
    settings: Settings | None = None,
    *,
    keep: int = 2,
    **choices: Unpack[SharedChoices],
) -> Archive:
    """An archive whose frames are read on demand: archive.frames are their numbers, archive[57] is one of them, and
    archive[57]["density"] a grid of NumPy arrays. Close it, or use it in a `with` block.

    settings: many choices at once, in place of keywords. keep: how many frames, those used last, keep their decoded
    grids. Raises TypeError for keywords that are none, UsageError, InputError, DamagedFile, Unsupported.
    """
    from neuralvdb.api.archive import Archive

    return Archive(path, settings_from(Settings, settings, choices), keep)


@_in_python_words
def verify(
    path: str | os.PathLike[str],
    original: str | os.PathLike[str] | None = None,
    settings: VerifySettings | None = None,
    *,
    progress: Progress = ignore,
    **choices: Unpack[VerifyChoices],
) -> VerifyReport:
    """Checks every checksum, decodes every grid, and compares with the .vdb file `original` where given.

    settings: many choices at once, in place of keywords. progress: is told of bytes of the source as they are done.
    Raises TypeError for keywords that are none, InputError, DamagedFile, Unsupported, PromiseBroken, OutOfMemory,
    NoSuchDevice, MissingPriors.
    """
    from neuralvdb.api.verify import verify as work

    return work(path, original, settings_from(VerifySettings, settings, choices), progress=progress)


@_in_python_words
def diff(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    settings: DiffSettings | None = None,
    *,
    progress: Progress = ignore,
    **choices: Unpack[DiffChoices],
) -> DiffReport:
    """Compares two files, each a .vdb or an archive.

    settings: many choices at once, in place of keywords. progress: is told of 1 after each grid. Raises TypeError for
    keywords that are none, InputError, DamagedFile, Unsupported, NoSuchGrid, MissingPriors, OutOfMemory,
    PromiseBroken.
    """
    from neuralvdb.api.diff import diff as work

    return work(first, second, settings_from(DiffSettings, settings, choices), progress=progress)


@_in_python_words
def train(
    sources: Iterable[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    settings: TrainSettings | None = None,
    *,
    progress: Progress = ignore,
    **choices: Unpack[TrainChoices],
) -> TrainReport:
    """Fine-tunes the shipped networks to .vdb files and writes them to `target`, for `priors` of other functions.

    settings: many choices at once, in place of keywords. progress: is told of 1 for each network. The same files give
    the same priors with the same build of PyTorch on the same device. Raises TypeError for keywords that are none,
    InputError, DamagedFile, OutputExists, OutputError, OutOfMemory, NoSuchDevice, and Unsupported where PyTorch is
    not installed; then `target` is as before.
    """
    from neuralvdb.api.train import train as work

    return work(list(sources), target, settings_from(TrainSettings, settings, choices), progress=progress)
