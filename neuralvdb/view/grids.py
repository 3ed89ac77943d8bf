"""Which panels a grid has: a middle slice, and what is seen from outside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.picture import extinction
from neuralvdb.vdb import describe_transform
from neuralvdb.view.panels import Panel, Scale, Strip, difference
from neuralvdb.view.project import largest_image, slice_image, sums_image, surface_image
from neuralvdb.view.window import AXES, Window, active_tiles, window_of
from neuralvdb.volume import Tree, VolumeGrid
from neuralvdb.volume.field_kind import FieldKind, field_kind
from neuralvdb.volume.grid import popcount, unpack

DEPTH = 1.0  # optical depth of the median ray in images of transmittance; deeper ones show edges only
_NOISE = 0.01  # values below 0 that are less than this share of the largest one are none to be shown
_DARKEST = 0.2  # of a surface that is seen edge-on
_LARGEST = 1e300  # of a scale, so that its length is a number


@dataclass(frozen=True, kw_only=True)
class GridView:
    """What a picture says of a grid in words."""

    name: str
    type: str
    """OpenVDB's type of values."""
    half: bool
    """Whether values are saved as half."""
    active_voxels: int
    low: float
    """Least finite active value; of vectors the least magnitude."""
    high: float
    """Largest finite active value; of vectors the largest magnitude."""
    voxel_size: tuple[float, float, float]
    """World units."""

    @property
    def title(self) -> str:
        """All of it in one line."""
        edges = self.voxel_size[:1] if len(set(self.voxel_size)) == 1 else self.voxel_size
        size = " x ".join(f"{edge:.4g}" for edge in edges)
        kind = self.type + " half" * self.half
        values = f"{'magnitudes' if self.type.startswith('vec') else 'values'} {self.low:.4g} to {self.high:.4g}"
        return f"{self.name}   {kind}   {self.active_voxels:,} active voxels   {values}   voxel size {size} world units"


@dataclass(frozen=True)
class _Look:
    """How a grid is shown, taken from the original for what is decoded too. absorption: per value and voxel, 0 where
    transmittance is not shown."""

    kind: FieldKind
    window: Window
    low: float
    high: float
    absorption: float
    aspect: float

    def panels(self, tree: Tree) -> tuple[Panel, Panel]:
        """The middle slice, and the grid from outside."""
        axis, up = AXES[self.window.axis], AXES[self.window.up]
        caption = f"slice {axis} = {self.window.middle}, x right, {up} up"
        cut = Panel(caption, slice_image(tree, self.window), self._scale(), self.aspect)
        return cut, self._outside(tree, axis)

    def _scale(self) -> Scale:
        if _is_signed(self.low, self.high):
            edge = max(-self.low, self.high)
            return Scale(-edge, edge, "signed")
        return Scale(0.0, self.high if self.high > 0 else 1.0, "heat")

    def _outside(self, tree: Tree, axis: str) -> Panel:
        if self.kind is FieldKind.LEVEL_SET:
            lit = _DARKEST + (1 - _DARKEST) * surface_image(tree, self.window)
            return Panel(f"surface along {axis}", lit, Scale(0.0, 1.0), self.aspect)
        if self.absorption:
            light = np.exp(-self.absorption * sums_image(tree, self.window))
            return Panel(f"transmittance along {axis}", light, Scale(0.0, 1.0), self.aspect)
        scale = Scale(0.0, max(-self.low, self.high) or 1.0, "heat")
        return Panel(f"largest magnitude along {axis}", largest_image(tree, self.window), scale, self.aspect)


@np.errstate(over="ignore", invalid="ignore")
def grid_strip(grid: VolumeGrid) -> tuple[GridView, Strip] | None:
    """The words and the strip of a grid; None where it has no tree or nothing is active. Raises DamagedFile."""
    if grid.tree is None:
        return None
    view = _view_of(grid, grid.tree)
    look = _look_at(grid, view, grid.tree)
    return None if look is None else (view, Strip(view.title, look.panels(grid.tree)))


@np.errstate(over="ignore", invalid="ignore")
def comparison_strips(original: VolumeGrid, decoded: Sequence[tuple[str, VolumeGrid]]) -> list[Strip]:
    """The grid from outside: a strip of the original and of what became of it, and one of a slice and the differences.

    decoded: each with its caption. All have trees of one type; nothing where these have no active voxel. Raises
    DamagedFile.
    """
    trees = [_tree(grid) for grid in (original, *(grid for _, grid in decoded))]
    view = _view_of(original, trees[0])
    look = _look_at(original, view, *trees)
    if look is None:
        return []
    (cut, first), *panels = (look.panels(tree) for tree in trees)
    captions = [caption for caption, _ in decoded]
    images = [replace(panel, caption=caption) for caption, (_, panel) in zip(captions, panels, strict=True)]
    return [
        Strip(view.title, (first.named("original"), *images)),
        Strip("", (cut.named("original"), *(difference(first, panel) for _, panel in panels))),
    ]


@np.errstate(over="ignore", invalid="ignore")
def difference_strips(original: VolumeGrid, decoded: VolumeGrid, words: str) -> list[Strip]:
    """For the view from outside and for a slice a strip: original, decoded, difference. words: added to the title.

    Both have trees of one type; nothing where these have no active voxel. Raises DamagedFile.
    """
    a, b = _tree(original), _tree(decoded)
    view = _view_of(original, a)
    look = _look_at(original, view, a, b)
    if look is None:
        return []
    pairs = zip(look.panels(a), look.panels(b), strict=True)
    title = f"{view.name}   {words}"
    return [Strip(title, (x.named("original"), y.named("decoded"), difference(x, y))) for x, y in reversed(list(pairs))]


def _tree(grid: VolumeGrid) -> Tree:
    assert grid.tree is not None
    return grid.tree


def _view_of(grid: VolumeGrid, tree: Tree) -> GridView:
    low, high, voxels = active_range(tree)
    return GridView(
        name=grid.name,
        type=grid.grid_type.removeprefix("Tree_").partition("_")[0],
        half=grid.half,
        active_voxels=voxels,
        low=low,
        high=high,
        voxel_size=describe_transform(grid.transform).voxel_size,
    )


def _look_at(grid: VolumeGrid, view: GridView, *trees: Tree) -> _Look | None:
    """How to show the trees, of which the first is that of the grid."""
    window = window_of(*trees)
    if window is None:
        return None
    across, up = abs(view.voxel_size[0]), abs(view.voxel_size[window.up])
    kind, absorption = field_kind(grid), 0.0
    if kind is FieldKind.FOG and not _is_signed(view.low, view.high):
        absorption = extinction(sums_image(trees[0], window), DEPTH) or 1.0
    return _Look(
        kind=kind,
        window=window,
        low=max(view.low, -_LARGEST),
        high=min(view.high, _LARGEST),
        absorption=absorption,
        aspect=up / across if across > 0 and 0 < up < 100 * across and across < 100 * up else 1.0,
    )


def _is_signed(low: float, high: float) -> bool:
    """Whether values below 0 are more than noise."""
    return low < -_NOISE * abs(high)


@np.errstate(over="ignore", invalid="ignore")
def active_range(tree: Tree) -> tuple[float, float, int]:
    """Least and largest finite active value (of vectors: magnitude), and how many voxels are active."""
    low, high = np.inf, -np.inf
    voxels = popcount(tree.leaf.active)
    pieces = [(1, tree.leaf.values[unpack(tree.leaf.active)]), *((b.edge, b.values) for b in active_tiles(tree))]
    for edge, values in pieces:
        voxels += len(values) * edge**3 if edge > 1 else 0
        sizes = values if values.ndim == 1 else np.linalg.norm(values.astype(np.float64), axis=-1)
        finite = sizes[np.isfinite(sizes)]
        if len(finite):
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high, voxels) if low <= high else (0.0, 0.0, voxels)
