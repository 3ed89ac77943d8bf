"""What becomes of each grid where only a box or a coarser level of detail is asked for."""

from __future__ import annotations

from neuralvdb.codec.frame import Frame
from neuralvdb.errors import Unsupported
from neuralvdb.settings import Box
from neuralvdb.volume import Storage

_POINTS = "ptdataidx"  # in the type of every grid of points


def plan(frame: Frame, selected: list[int], box: Box | None, lod: int) -> tuple[list[int], list[str]]:
    """Which of the selected grids there will be, and a line on each that is not cut or made coarser as others are.

    Raises DamagedFile, and Unsupported where none is left.
    """
    kept, notes = [], []
    for index in selected:
        head = frame.grids[index]
        owner = frame.grids[frame.index.parent(index)] if head.storage is Storage.INSTANCE else head
        what = f"grid '{head.name}' ({head.grid_type})"
        if lod and owner.storage is not Storage.TREE:
            notes.append(f"{what} is left out: such grids have no levels of detail")
            continue
        kept.append(index)
        if box is None or head.storage in (Storage.TREE, Storage.INSTANCE):
            continue
        if head.storage is Storage.RAW:
            notes.append(f"{what} is kept whole: its type is unknown to OpenVDB and cannot be cut")
        elif _POINTS in head.grid_type:
            notes.append(f"{what} keeps all points of leaves of 8 voxels that meet the box")
    if selected and not kept:
        raise Unsupported(f"{frame.path}: none of the grids has levels of detail; use decompress without --lod")
    return kept, notes
