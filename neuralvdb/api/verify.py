"""Is an archive whole, and is it the file it came from?"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import asdict

from neuralvdb import devices
from neuralvdb.api.decoding import decode_all
from neuralvdb.api.jobs import Progress, ignore, only, outcomes_of
from neuralvdb.api.promises import PromiseDescription, promise_of
from neuralvdb.api.source import open_frames
from neuralvdb.api.tree_errors import errors_between
from neuralvdb.codec.frame import Frame, OpenFrames, position_of
from neuralvdb.codec.frame_table import content_hash
from neuralvdb.codec.guarantee import is_kept
from neuralvdb.codec.loss import MeasuredLoss, measure
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError
from neuralvdb.frame_number import FrameNumber
from neuralvdb.settings import VerifySettings
from neuralvdb.vdb import VdbReader
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.field_kind import FieldKind, field_kind


@dataclass(frozen=True, kw_only=True)
class Loss:
    """By how much a grid that is not lossless differs from the original."""

    promise: PromiseDescription
    kept: bool
    """Whether what was promised holds, and nothing else differs."""
    max_error: float
    """In the grid's values, over voxels active in either."""
    rmse: float
    """In the grid's values, over the same voxels."""
    psnr: float | None
    """In dB, its peak the active range of the original; None where nothing differs."""
    pruned: int | None
    """Voxels whose active state changed; None where the topology is exact."""
    measured: MeasuredLoss | None
    """Of fog whose topology is exact."""


@dataclass(frozen=True, kw_only=True)
class VerifyReport:
    """What verify() found."""

    path: str
    original: str | None
    grids: int
    """How many decoded to what was stored."""
    differences: list[str]
    """One line each of what was not promised to differ, against the original where it was given."""
    losses: dict[str, Loss]
    """Of each grid that is not lossless, by name; empty without an original."""
    device: str
    """Where topologies and lossy values were decoded."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def verify(
    path: str | os.PathLike[str],
    original: str | os.PathLike[str] | None = None,
    settings: VerifySettings = VerifySettings(),
    *,
    progress: Progress = ignore,
) -> VerifyReport:
    """Checks every checksum, decodes every grid, and compares with the .vdb file `original` where given.

    progress: is told of bytes of the source as they are done. Raises InputError, DamagedFile, Unsupported,
    PromiseBroken, OutOfMemory, NoSuchDevice, MissingPriors.
    """
    name = None if original is None else os.fspath(original)
    return only(verify_frames(os.fspath(path), [FrameToVerify(settings.frame, name)], settings, progress))


@dataclass(frozen=True)
class FrameToVerify:
    """A frame of an archive, None where that has one, and the .vdb file to compare it with, if any."""

    number: FrameNumber | None
    original: str | None


def verify_frames(
    path: str, frames: Sequence[FrameToVerify], settings: VerifySettings, progress: Progress
) -> list[VerifyReport | NeuralVdbError]:
    """What verify() says of each; what frames need of others is decoded once. Raises what open_frames()
    raises."""
    with contextlib.closing(open_frames(path, settings)) as opened:
        return outcomes_of(lambda frame: _verify(opened, frame, settings, progress), frames)


def _verify(opened: OpenFrames, wanted: FrameToVerify, settings: VerifySettings, progress: Progress) -> VerifyReport:
    frame = opened.at(position_of(opened.archive, wanted.number))
    frame.archive.check(frame.position)
    decode_all(frame, settings.threads, progress)
    comparison = _Comparison(frame)
    if wanted.original is not None:
        comparison.compare(VdbReader(wanted.original))
    return VerifyReport(
        path=opened.archive.path,
        original=wanted.original,
        grids=len(frame.grids),
        differences=comparison.differences,
        losses=comparison.losses,
        device=devices.described(opened.devices.used),
    )


class _Comparison:
    """An archive against the .vdb file that it was made from."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self.differences: list[str] = []
        self.losses: dict[str, Loss] = {}

    def compare(self, original: VdbReader) -> None:
        """Notes all that differs."""
        table = self._frame.table
        if table.metadata != original.metadata:
            self.differences.append("file-level metadata differs")
        by_name = {head.unique_name: number for number, head in enumerate(table.grids)}
        for index, entry in enumerate(original.entries):
            number = by_name.pop(entry.unique_name, None)
            if number is None:
                self.differences.append(f"grid '{entry.name}' is not in the archive")
            else:
                differing = self._differing(number, original.read(index))
                self.differences += [f"grid '{entry.name}': {what} differs" for what in differing]
        self.differences += [f"grid '{table.grids[number].name}' is not in the original" for number in by_name.values()]

    def _differing(self, number: int, original: VolumeGrid) -> list[str]:
        """What of the grid number `number` is not as in the original, or not as promised."""
        head, promise = self._frame.grids[number], promise_of(self._frame, number)
        same = {
            "type": head.grid_type == original.grid_type,
            "saved-as-half flag": head.half == original.half,
            "shared tree": head.parent == original.parent,
            "metadata": head.metadata == original.metadata,
            "transform": head.transform == original.transform,
        }
        differing = [what for what, is_same in same.items() if not is_same]
        if promise is None:
            return differing + ["content"] * (not head.is_of(content_hash(original)))
        loss = self._loss(number, original, promise)
        if loss is not None:
            self.losses[head.name] = loss
        return ["what was promised"] * (loss is None or not loss.kept) + differing

    def _loss(self, number: int, original: VolumeGrid, described: PromiseDescription) -> Loss | None:
        """How much was lost; None where the grids cannot be compared voxel by voxel."""
        head, promise, decoded = self._frame.grids[number], self._frame.promise(number), self._frame.read(number)
        if promise is None or original.tree is None or decoded.tree is None or original.grid_type != decoded.grid_type:
            return None
        errors = errors_between(original.tree, decoded.tree).summary()
        same_leaves = original.tree.leaf.values.shape == decoded.tree.leaf.values.shape
        is_fog = field_kind(original) is FieldKind.FOG and head.pruned is None and same_leaves
        return Loss(
            promise=described,
            kept=is_kept(promise, original, decoded, pruned=head.pruned is not None),
            max_error=errors.maximum,
            rmse=errors.rmse,
            psnr=errors.psnr,
            pruned=head.pruned,
            measured=measure(original.tree, decoded.tree, promise) if is_fog else None,
        )
