"""What becomes of each grid where only a box or a coarser level of detail is asked for."""

from __future__ import annotations

from neuralvdb.codec.frame import Frame
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import Unsupported
from neuralvdb.settings import Box
from neuralvdb.volume import Storage

_POINTS = "ptdataidx"  # in the type of every grid of points


@dataclass(frozen=True)
class RegionPlan:
    """What a region will hold.

    numbers: of the selected grids that are in it.
    notes: a line on each selected grid that is left out, or not cut as others are.
    """

    numbers: list[int]
    notes: list[str]


def plan_region(frame: Frame, selected: list[int], box: Box | None, lod: int) -> RegionPlan:
    """What a box, or a coarser level of detail, of the selected grids will hold.

    Raises DamagedFile, and Unsupported where no grid is left.
    """
    plan = RegionPlan([], [])
    for number in selected:
        head, source = frame.grids[number], frame.grids[frame.index.source(number)]
        what = f"grid '{head.name}' ({head.grid_type})"
        if lod and source.storage is not Storage.TREE:
            plan.notes.append(f"{what} is left out: such grids have no levels of detail")
            continue
        plan.numbers.append(number)
        if box is not None and head.storage is Storage.RAW:
            plan.notes.append(f"{what} is kept whole: this OpenVDB cannot read its type, and so not cut it")
        elif box is not None and head.storage is Storage.SERIAL and _POINTS in head.grid_type:
            plan.notes.append(f"{what} keeps all points of leaves of 8 voxels that meet the box")
    if selected and not plan.numbers:
        raise Unsupported(f"{frame.path}: none of the grids has levels of detail; use decompress without --lod")
    return plan
