"""Pictures of grids: trees to flat panels, and panels to PNG, for which alone Pillow is needed."""

from neuralvdb.view.grids import GridView, active_range, comparison_strips, difference_strips, grid_strip
from neuralvdb.view.panels import Panel, Scale, Strip
from neuralvdb.view.sheet import draw_sheet, need_pillow

__all__ = [
    "GridView",
    "Panel",
    "Scale",
    "Strip",
    "active_range",
    "comparison_strips",
    "difference_strips",
    "draw_sheet",
    "grid_strip",
    "need_pillow",
]
