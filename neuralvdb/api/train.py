"""From .vdb files to priors of their own."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from neuralvdb import devices
from neuralvdb.api.jobs import Progress, Runner, Task, ignore, run_here
from neuralvdb.api.readable import check_readable
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import InputError, Unsupported
from neuralvdb.new_file import NewFile, new_file
from neuralvdb.settings import TrainSettings
from neuralvdb.values import shipped_models, write_models

NETWORKS = 72  # that progress is told of


@dataclass(frozen=True, kw_only=True)
class TrainReport:
    """What train() did."""

    sources: list[str]
    target: str
    priors: str
    """The name by which archives ask for them."""
    fields: dict[str, int]
    """Components of grids that each family of networks was fine-tuned to."""
    size: int
    """Bytes."""
    device: str
    """Where networks were fine-tuned."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def train(
    sources: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    settings: TrainSettings = TrainSettings(),
    *,
    progress: Progress = ignore,
    run: Runner = run_here,
) -> TrainReport:
    """Fine-tunes the shipped priors to .vdb files and writes them to `target`, for `priors` of other settings.

    progress: is told of 1 for each of NETWORKS networks. run: as in compress(). The same files give the same priors
    with the same build of PyTorch on the same device. Raises InputError, DamagedFile, OutputExists, OutputError,
    OutOfMemory, NoSuchDevice, and Unsupported where PyTorch is not installed; then `target` is as before.
    """
    with training(sources, target, settings, progress=progress) as task:
        return run(task.work, writes=task.writes)


@contextlib.contextmanager
def training(
    sources: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    settings: TrainSettings,
    *,
    progress: Progress = ignore,
) -> Iterator[Task[TrainReport]]:
    """The work of train(), for any process to do within the block: `target` is there when that ends well."""
    for source in sources:
        check_readable(source)
    with new_file(Path(target), force=settings.force, sources=sources) as output:
        job = _Job([os.fspath(source) for source in sources], output, settings)
        yield Task(functools.partial(job.run, progress), writes=[output.temporary])


@dataclass(frozen=True)
class _Job:
    """A file of priors to write."""

    sources: list[str]
    output: NewFile
    settings: TrainSettings

    def run(self, progress: Progress) -> TrainReport:
        """Fine-tunes, writes and reports."""
        gpus = devices.resolve(self.settings.device)[:1]
        try:
            from neuralvdb.fit.fine_tune_files import fine_tune_files
        except ModuleNotFoundError as error:
            raise Unsupported("training needs PyTorch; install it: pip install torch, or neuralvdb[train]") from error
        models = shipped_models(fast=self.settings.fast)
        tuned = fine_tune_files(
            self.sources,
            models,
            iterations=self.settings.iterations,
            device=gpus[0] if gpus else "cpu",
            progress=lambda _: progress(1),
        )
        if not tuned.fields:
            needed = "2000 active voxels of float or vec3 are needed"
            raise InputError(f"{self.sources[0]}: has no grid to learn from; {needed}")
        with self.output.open() as stream:
            write_models(stream, tuned.models)
        return TrainReport(
            sources=self.sources,
            target=self.output.target,
            priors=tuned.models.identity.hex(),
            fields=tuned.fields,
            size=self.output.size(),
            device=devices.described(gpus),
        )
