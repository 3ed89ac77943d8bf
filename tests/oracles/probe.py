"""What an OpenVDB Python module sees in a box: python probe.py FILE X0 Y0 Z0 X1 Y1 Z1, corners included.

Prints one JSON object per file: of each grid its type, metadata, count and box of active voxels, the world position of
every voxel of the box, and which of them are active with which values.
"""

import itertools
import json
import sys

try:
    import pyopenvdb as vdb
except ModuleNotFoundError:
    import read_bpy

    vdb = read_bpy.find_openvdb()


def _grid(grid, points: list) -> dict:
    accessor = grid.getConstAccessor() if hasattr(grid, "getConstAccessor") else None
    return {
        "type": grid.valueTypeName,
        "class": str(grid.gridClass),
        "half": grid.saveFloatAsHalf,
        "metadata": {name: repr(value) for name, value in grid.metadata.items()},
        "active_voxels": grid.activeVoxelCount(),
        "active_bbox": grid.evalActiveVoxelBoundingBox(),
        "world": [grid.transform.indexToWorld(at) for at in points],
        "active": [bool(accessor.isValueOn(at)) for at in points],
        "values": [accessor.getValue(at) for at in points],
    }


def main(path: str, *corners: str) -> None:
    """Prints the object, grids by name."""
    low, high = tuple(map(int, corners[:3])), tuple(map(int, corners[3:]))
    points = list(itertools.product(*(range(a, b + 1) for a, b in zip(low, high))))  # noqa: B905
    grids, _ = vdb.readAll(path)
    print(json.dumps({grid.name: _grid(grid, points) for grid in grids}))


main(*sys.argv[1:])
