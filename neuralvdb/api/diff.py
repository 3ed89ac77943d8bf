"""What differs between two files, grid by grid."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from neuralvdb.api.jobs import Progress, ignore, only, outcomes_of
from neuralvdb.api.source import GridSource, OpenFiles, select
from neuralvdb.api.tree_errors import errors_between
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, naming
from neuralvdb.frame_number import FrameNumber
from neuralvdb.settings import DiffSettings
from neuralvdb.vdb import describe_metadata, describe_transform
from neuralvdb.volume import Tree, TreeLevel, VolumeGrid
from neuralvdb.volume.grid import display_name


@dataclass(frozen=True, kw_only=True)
class GridDiff:
    """One grid of both files. Numbers are None where there is no tree of one type in both."""

    name: str
    same: bool
    """No bit of the grid differs."""
    topology_equal: bool | None = None
    active_voxels: tuple[int, int] | None = None
    """Of the first file and of the second."""
    max_error: float | None = None
    """In the grid's values, over voxels active in either file."""
    rmse: float | None = None
    """In the grid's values, over the same voxels."""
    psnr: float | None = None
    """In dB, its peak the active range of the first file; None where nothing differs too."""
    changes: list[str]
    """One line each."""


@dataclass(frozen=True, kw_only=True)
class DiffReport:
    """What diff() found."""

    first: str
    second: str
    same: bool
    """Nothing differs in any grid, in file-level metadata or in the order of grids."""
    changes: list[str]
    """One line for each difference outside the grids."""
    grids: list[GridDiff]
    """Of each grid that is in both files."""

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def diff(
    first: str | os.PathLike[str],
    second: str | os.PathLike[str],
    settings: DiffSettings = DiffSettings(),
    *,
    progress: Progress = ignore,
) -> DiffReport:
    """Compares two files, each a .vdb or an archive.

    progress: is told of 1 after each grid. Raises InputError, DamagedFile, Unsupported, NoSuchGrid, MissingPriors,
    OutOfMemory, PromiseBroken.
    """
    pair = FilePair(os.fspath(first), os.fspath(second), settings.frame)
    return only(diff_each([pair], settings, of_grids=progress))


@dataclass(frozen=True)
class FilePair:
    """Two files to compare, and the frame of those that are archives of many."""

    first: str
    second: str
    frame: FrameNumber | None


def diff_each(
    pairs: Sequence[FilePair], settings: DiffSettings, *, of_grids: Progress = ignore, of_files: Progress = ignore
) -> list[DiffReport | NeuralVdbError]:
    """What diff() says of each; what frames need of others is decoded once.

    of_grids, of_files: are told of 1 after each grid, and after each pair of files.
    """
    with OpenFiles(settings) as files:

        def work(pair: FilePair) -> DiffReport:
            a, b = (files.source(path, pair.frame) for path in (pair.first, pair.second))
            with naming(a.path, b.path):
                return _diff(a, b, settings.grids, of_grids)

        return outcomes_of(work, pairs, of_files)


def _diff(a: GridSource, b: GridSource, names: Sequence[str], progress: Progress) -> DiffReport:
    selected_a, selected_b = (select(source.grids, names, source.path) for source in (a, b))
    names_a, names_b = [a.grids[i].unique_name for i in selected_a], [b.grids[i].unique_name for i in selected_b]
    in_a, in_b = set(names_a), dict(zip(reversed(names_b), reversed(selected_b), strict=True))
    changes = [] if a.metadata == b.metadata else ["file-level metadata differs"]
    if names_a != names_b and sorted(names_a) == sorted(names_b):
        changes.append("the grids stand in another order")
    changes += [f"grid '{display_name(name)}' is only in the first file" for name in names_a if name not in in_b]
    changes += [f"grid '{display_name(name)}' is only in the second file" for name in names_b if name not in in_a]
    common = [(index, in_b[name]) for name, index in zip(names_a, selected_a, strict=True) if name in in_b]
    a.prepare([index for index, _ in common])
    b.prepare([index for _, index in common])
    grids = []
    for index_a, index_b in common:
        grids.append(diff_grids(a.read(index_a), b.read(index_b)))
        progress(1)
    same = not changes and all(grid.same for grid in grids)
    return DiffReport(first=a.path, second=b.path, same=same, changes=changes, grids=grids)


def diff_grids(a: VolumeGrid, b: VolumeGrid) -> GridDiff:
    """GridDiff of two grids."""
    changes = _changes(a, b)
    if a.tree is not None and b.tree is not None and a.grid_type == b.grid_type:
        return _diff_trees(a.name, a.tree, b.tree, changes)
    if a.storage is not b.storage or a.blob != b.blob:
        changes.append("content differs")
    return GridDiff(name=a.name, same=not changes, changes=changes)


def _changes(a: VolumeGrid, b: VolumeGrid) -> list[str]:
    changes = [
        f"{what}: {x} / {y}" for what, x, y in (("type", a.grid_type, b.grid_type), ("half", a.half, b.half)) if x != y
    ]
    if a.parent != b.parent:
        changes.append("they share trees with different grids")
    if a.metadata != b.metadata:
        items_a, items_b = describe_metadata(a.metadata), describe_metadata(b.metadata)
        for name in sorted(items_a.keys() | items_b.keys()):
            x, y = items_a.get(name, ("", "nothing")), items_b.get(name, ("", "nothing"))
            if x != y:
                changes.append(f"metadata {name}: {x[1]} / {y[1]}")
        if items_a == items_b:
            changes.append("metadata differs in its bytes")
    if a.transform != b.transform:
        changes.append(f"transform: {_line(a.transform)} / {_line(b.transform)}")
    return changes


def _line(transform: bytes) -> str:
    if not transform:
        return "none"
    described = describe_transform(transform)
    return " ".join(f"{described.type} {described.text}".split())


def _diff_trees(name: str, a: Tree, b: Tree, changes: list[str]) -> GridDiff:
    """GridDiff of two trees of one type; `changes` is what differs beside them."""
    equal = _topology_equal(a, b)
    changes = changes + ["topology differs"] * (not equal)
    if a.root.background.tobytes() != b.root.background.tobytes():
        changes.append(f"background: {a.root.background} / {b.root.background}")
    if equal:
        if any(x.values.tobytes() != y.values.tobytes() for x, y in _level_pairs(a, b)):
            changes.append("values differ")
        if a.root.tile_values.tobytes() != b.root.tile_values.tobytes():
            changes.append("root tiles differ")
    sums = errors_between(a, b)
    errors = sums.summary()
    return GridDiff(
        name=name,
        same=not changes,
        topology_equal=equal,
        active_voxels=(sums.active[0], sums.active[1]),
        max_error=errors.maximum,
        rmse=errors.rmse,
        psnr=errors.psnr,
        changes=changes,
    )


def _level_pairs(a: Tree, b: Tree) -> list[tuple[TreeLevel, TreeLevel]]:
    """Upper, lower and leaf level of both."""
    return [(a.upper, b.upper), (a.lower, b.lower), (a.leaf, b.leaf)]


def _topology_equal(a: Tree, b: Tree) -> bool:
    pairs = [(getattr(a.root, n), getattr(b.root, n)) for n in ("child_origins", "tile_origins", "tile_active")]
    pairs += [(x.active, y.active) for x, y in _level_pairs(a, b)]
    pairs += [(a.upper.child, b.upper.child), (a.lower.child, b.lower.child)]
    return all(np.array_equal(x, y) for x, y in pairs)
