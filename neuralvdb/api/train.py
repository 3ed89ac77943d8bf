"""From .vdb files to priors of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from neuralvdb import devices
from neuralvdb.api.files import new_file
from neuralvdb.errors import InputError, Unsupported
from neuralvdb.settings import TrainSettings
from neuralvdb.values.lattice import priors
from neuralvdb.values.model_file import write_models

NETWORKS = 72  # that progress is told of
Runner = Callable[..., object]


@dataclass
class TrainReport:
    """What train() did. priors: the name by which archives ask for them; fields: components of grids that each family
    was tuned to; size in bytes; device: where."""

    sources: list[str]
    target: str
    priors: str
    fields: dict[str, int]
    size: int
    device: str

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def train(
    sources: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    settings: TrainSettings = TrainSettings(),
    *,
    progress: Callable[[int], None] = lambda _: None,
    run: Runner = lambda job, *args: job(*args),
) -> TrainReport:
    """Tunes the shipped priors to .vdb files and writes them to `target`, for `priors` of other settings.

    `progress` is called with 1 for each of NETWORKS networks; `run` as in compress(). The same files give the same
    priors with the same build of PyTorch on the same device. Raises InputError, DamagedFile, OutputExists, OutputError,
    OutOfMemory, NoSuchDevice, and Unsupported where PyTorch is not installed; then `target` is as before.
    """
    names = [os.fspath(source) for source in sources]
    with new_file(Path(target), force=settings.force) as temporary:
        name, fields, place = run(_train, names, temporary, settings, progress)
        size = os.path.getsize(temporary)
    return TrainReport(names, os.fspath(target), name, fields, size, place)


def _train(
    sources: list[str], target: str, settings: TrainSettings, progress: Callable[[int], None]
) -> tuple[str, dict[str, int], str]:
    """The name of the priors written, fields of each family, and the device."""
    places = devices.resolve(settings.device)[:1]
    try:
        from neuralvdb.fit.fine_tune_files import tune
    except ModuleNotFoundError as error:
        raise Unsupported("training needs PyTorch; install it: pip install torch, or neuralvdb[train]") from error
    library = priors.fast() if settings.fast else priors.shipped()
    place, tell = (*places, "cpu")[0], lambda _: progress(1)
    tuned, fields = tune(sources, library, steps=settings.iterations, device=place, progress=tell)
    if not fields:
        raise InputError(f"{sources[0]}: has no grid to learn from; 2000 active voxels of float or vec3 are needed")
    write_models(target, tuned)
    return tuned.identity.hex(), fields, devices.described(places)
