"""What differs between two files, grid by grid."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np

from neuralvdb.api.source import Volume, select
from neuralvdb.codec.decode import models_for
from neuralvdb.metrics import ErrorSums
from neuralvdb.settings import DiffSettings
from neuralvdb.vdb import describe_metadata, describe_transform
from neuralvdb.volume import Tree, VolumeGrid
from neuralvdb.volume.grid import LEAF_SLOTS, LOWER_SLOTS, display_name, unpack
from neuralvdb.volume.lookup import active_bricks, bricks_at

_CHUNK = 4096  # bricks compared together
_SLOT_VOXELS = (LOWER_SLOTS * LEAF_SLOTS, LEAF_SLOTS, 1)  # of upper nodes, lower nodes and leaves


@dataclass
class GridDiff:
    """One grid of both files. max_error and rmse in the grid's values over voxels active in either file, those under
    tiles of the root aside where the topologies differ; psnr in dB, its peak the active range of the first file, None
    where nothing differs. same: no bit of the grid differs. changes: one line each."""

    name: str
    same: bool
    topology_equal: bool | None = None
    active_voxels: tuple[int, int] | None = None
    max_error: float | None = None
    rmse: float | None = None
    psnr: float | None = None
    changes: list[str] = field(default_factory=list)


@dataclass
class DiffReport:
    """Two files. same: nothing differs in any grid, file-level metadata or their order."""

    first: str
    second: str
    same: bool
    changes: list[str]
    grids: list[GridDiff]

    def as_dict(self) -> dict[str, object]:
        """For JSON; infinities and NaN as text."""
        report = asdict(self)
        for grid in report["grids"]:
            grid.update({k: str(v) for k, v in grid.items() if isinstance(v, float) and not math.isfinite(v)})
        return report


def diff(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    settings: DiffSettings = DiffSettings(),
    *,
    progress: Callable[[int], None] = lambda _: None,
) -> DiffReport:
    """Compares two files, each a .vdb or an archive. `progress` is called with 1 after each grid.

    Raises InputError, DamagedFile, Unsupported, NoSuchGrid, MissingPriors.
    """
    library = models_for(settings)
    a, b = Volume(first, library), Volume(second, library)
    chosen = tuple(select(volume.grids, settings.grids, volume.path) for volume in (a, b))
    names = [[v.grids[i].unique_name for i in c] for v, c in zip((a, b), chosen, strict=True)]
    changes = [] if a.metadata == b.metadata else ["file-level metadata differs"]
    if names[0] != names[1] and sorted(names[0]) == sorted(names[1]):
        changes.append("the grids stand in another order")
    changes += [f"grid '{display_name(n)}' is only in the first file" for n in names[0] if n not in names[1]]
    changes += [f"grid '{display_name(n)}' is only in the second file" for n in names[1] if n not in names[0]]
    found = []
    for name, index in zip(names[0], chosen[0], strict=True):
        if name in names[1]:
            found.append(
                diff_grids(a.read(index, settings.threads), b.read(chosen[1][names[1].index(name)], settings.threads))
            )
            progress(1)
    same = not changes and all(grid.same for grid in found)
    return DiffReport(os.fspath(first), os.fspath(second), same, changes, found)


def diff_grids(a: VolumeGrid, b: VolumeGrid) -> GridDiff:
    """GridDiff of two grids."""
    result = GridDiff(a.name, same=True, changes=_changes(a, b))
    if a.tree is not None and b.tree is not None and a.grid_type == b.grid_type:
        _compare_trees(a.tree, b.tree, result)
    elif a.storage is not b.storage or a.blob != b.blob:
        result.changes.append("content differs")
    result.same = not result.changes
    return result


def _changes(a: VolumeGrid, b: VolumeGrid) -> list[str]:
    changes = [
        f"{what}: {x} / {y}" for what, x, y in (("type", a.grid_type, b.grid_type), ("half", a.half, b.half)) if x != y
    ]
    if a.parent != b.parent:
        changes.append("they share trees with different grids")
    if a.metadata != b.metadata:
        ours, theirs = describe_metadata(a.metadata), describe_metadata(b.metadata)
        for name in sorted(ours.keys() | theirs.keys()):
            x, y = ours.get(name, ("", "nothing")), theirs.get(name, ("", "nothing"))
            if x != y:
                changes.append(f"metadata {name}: {x[1]} / {y[1]}")
        if ours == theirs:
            changes.append("metadata differs in its bytes")
    if a.transform != b.transform:
        changes.append(f"transform: {_line(a.transform)} / {_line(b.transform)}")
    return changes


def _line(transform: bytes) -> str:
    found = describe_transform(transform) if transform else {"type": "none", "text": ""}
    return " ".join(f"{found['type']} {found['text']}".split())


def _compare_trees(a: Tree, b: Tree, result: GridDiff) -> None:
    result.topology_equal = _topology_equal(a, b)
    if not result.topology_equal:
        result.changes.append("topology differs")
    if a.root.background.tobytes() != b.root.background.tobytes():
        result.changes.append(f"background: {a.root.background} / {b.root.background}")
    total = ErrorSums()
    if result.topology_equal:
        for x, y, voxels in zip(a.levels, b.levels, _SLOT_VOXELS, strict=True):
            total.add(x.values, y.values, unpack(x.active), unpack(y.active), voxels)
        if any(x.values.tobytes() != y.values.tobytes() for x, y in zip(a.levels, b.levels, strict=True)):
            result.changes.append("values differ")
        if a.root.tile_values.tobytes() != b.root.tile_values.tobytes():
            result.changes.append("root tiles differ")
    else:
        origins = np.unique(np.concatenate([active_bricks(a), active_bricks(b)]), axis=0)
        for i in range(0, len(origins), _CHUNK):
            (x, x_on), (y, y_on) = (bricks_at(tree, origins[i : i + _CHUNK]) for tree in (a, b))
            total.add(x, y, x_on, y_on, 1)
    result.active_voxels = total.active[0], total.active[1]
    errors = total.summary()
    result.max_error, result.rmse, result.psnr = errors.maximum, errors.rmse, errors.psnr


def _topology_equal(a: Tree, b: Tree) -> bool:
    pairs = [(getattr(a.root, n), getattr(b.root, n)) for n in ("child_origins", "tile_origins", "tile_active")]
    for x, y in zip(a.levels, b.levels, strict=True):
        pairs += [(x.active, y.active)] + ([(x.child, y.child)] if x.child is not None else [])
    return all(np.array_equal(x, y) for x, y in pairs)
