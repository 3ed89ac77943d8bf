"""From .vdb files to priors of their own."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from neuralvdb.api.files import new_file
from neuralvdb.errors import InputError, Unsupported, UsageError
from neuralvdb.values.lattice import priors
from neuralvdb.values.library import write_library

NETWORKS = 72  # that progress is told of
Runner = Callable[..., object]


@dataclass
class TrainReport:
    """What train() did. priors: the name by which archives ask for them; fields: components of grids that each family
    was tuned to; size in bytes."""

    sources: list[str]
    target: str
    priors: str
    fields: dict[str, int]
    size: int

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def train(
    sources: Sequence[str | os.PathLike[str]],
    target: str | os.PathLike[str],
    *,
    steps: int = 800,
    fast: bool = False,
    force: bool = False,
    progress: Callable[[int], None] = lambda _: None,
    run: Runner = lambda job, *args: job(*args),
) -> TrainReport:
    """Tunes the shipped priors to .vdb files and writes them to `target`, for Settings.priors.

    steps: of each network; fast: those without hidden layers. `progress` is called with 1 for each of NETWORKS
    networks; `run` as in compress(). The same files give the same priors with the same build of PyTorch. Raises
    InputError, DamagedFile, OutputExists, OutputError, UsageError, and Unsupported where PyTorch is not installed; then
    `target` is as before.
    """
    if steps < 1:
        raise UsageError(f"{steps} steps train nothing; give 1 or more")
    names = [os.fspath(source) for source in sources]
    with new_file(Path(target), force=force) as temporary:
        name, fields = run(_train, names, temporary, steps, fast, progress)
        size = os.path.getsize(temporary)
    return TrainReport(names, os.fspath(target), name, fields, size)


def _train(
    sources: list[str], target: str, steps: int, fast: bool, progress: Callable[[int], None]
) -> tuple[str, dict[str, int]]:
    """The name of the priors written, and fields of each family."""
    try:
        from neuralvdb.fit.tune import tune
    except ModuleNotFoundError as error:
        raise Unsupported("training needs PyTorch; install it: pip install torch, or neuralvdb[train]") from error
    library = priors.fast() if fast else priors.shipped()
    tuned, fields = tune(sources, library, steps=steps, progress=lambda _: progress(1))
    if not fields:
        raise InputError(f"{sources[0]}: has no grid to learn from; 2000 active voxels of float or vec3 are needed")
    write_library(target, tuned)
    return tuned.identity.hex(), fields
