"""By how much a decoded grid differs from its original: for pictures, tables of trials and pages of sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from neuralvdb.api.source import GridSource, select
from neuralvdb.api.tree_errors import errors_between
from neuralvdb.dataclass import dataclass
from neuralvdb.picture import t_psnr, value_errors
from neuralvdb.view import active_range
from neuralvdb.volume import VolumeGrid
from neuralvdb.volume.field_kind import FieldKind, field_kind


@dataclass(frozen=True, kw_only=True)
class GridLoss:
    """What became of a grid. Shares are of the original's active range (of vectors: of its largest magnitude)."""

    name: str
    max_error: float
    """The largest error of a voxel, in the grid's values."""
    max_share: float
    """The same as a share."""
    mean_share: float | None
    """The largest error of a mean over 4x4x4 voxels, as a share; None for vectors, or where other voxels are active."""
    psnr: float | None
    """In dB; None where nothing differs."""
    t_psnr: float | None
    """In dB; None for other grids than fog, and where nothing differs or is seen."""

    @property
    def words(self) -> str:
        """The loss in one line."""
        if self.max_error == 0:
            return "every active value is the same"
        picture = "" if self.t_psnr is None else f"   T-PSNR {self.t_psnr:.1f} dB"
        psnr = "" if self.psnr is None else f"   PSNR {self.psnr:.1f} dB"
        return f"max error {self.max_error:.4g} ({self.max_share:.2%} of the range){psnr}{picture}"


def grid_loss(original: VolumeGrid, decoded: VolumeGrid) -> GridLoss:
    """GridLoss of two grids that have trees of one type. Raises DamagedFile."""
    a, b = original.tree, decoded.tree
    assert a is not None and b is not None
    errors = errors_between(a, b).summary()
    low, high, _ = active_range(a)
    span = high if a.leaf.values.ndim == 3 else high - low
    scalar = a.leaf.values.ndim == 2
    equal = np.array_equal(a.leaf.active, b.leaf.active)
    return GridLoss(
        name=original.name,
        max_error=errors.maximum,
        max_share=_share(errors.maximum, span),
        mean_share=_share(value_errors(a.leaf, b.leaf).mean, span) if scalar and equal else None,
        psnr=errors.psnr,
        t_psnr=t_psnr(a, b) if errors.maximum and field_kind(original) is FieldKind.FOG else None,
    )


def common_grids(
    a: GridSource, sources: Sequence[GridSource], names: Sequence[str]
) -> Iterator[tuple[VolumeGrid, list[VolumeGrid]]]:
    """The grids of `a` called one of `names`, all where there are none, that all `sources` have with trees of one
    type, each with those of the sources. Raises NoSuchGrid and what reading raises."""
    indices = [{b.grids[i].unique_name: i for i in reversed(range(len(b.grids)))} for b in sources]
    selected = select(a.grids, names, a.path)
    in_all = {a.grids[index].unique_name for index in selected}.intersection(*indices)
    selected = [index for index in selected if a.grids[index].unique_name in in_all]
    a.prepare(selected)
    for b, of_file in zip(sources, indices, strict=True):
        b.prepare([of_file[name] for name in in_all])
    for index in selected:
        original = a.read(index)
        decoded = [b.read(of_file[original.unique_name]) for b, of_file in zip(sources, indices, strict=True)]
        kinds = {grid.grid_type for grid in (original, *decoded)}
        if len(kinds) == 1 and all(grid.tree is not None for grid in (original, *decoded)):
            yield original, decoded


def _share(error: float, span: float) -> float:
    return error / span if span > 0 else float(error > 0)
