"""How far .vdb files are from one in the eyes of Blender's OpenVDB 12: errors_bpy.py A B ALLOWED [B ALLOWED ...].

ALLOWED is JSON, {name: [bound, ratio]} of grids. Prints [[name, excess], ...] for each B: of grids of floats and
vectors whose box is not huge, the largest |a - b| less max(bound, ratio |a|) over the box of all leaves, active or
not; what is equal or both NaN is no error. Grids that are not named may not differ; null stands for those that cannot
be looked at.
"""

import json
import sys

import numpy
import openvdb_digest
from read_bpy import find_openvdb

_LARGEST = 1 << 26  # voxels of a box
_DTYPES = {"float": (numpy.float32, ()), "double": (numpy.float64, ()), "vec3s": (numpy.float32, (3,))}


def excess(a, b, bound: float, ratio: float):
    """The largest error beyond what is allowed, None where the grids cannot be looked at."""
    if a.valueTypeName not in _DTYPES or not a.leafCount():
        return None
    corners = [grid.evalLeafBoundingBox() for grid in (a, b) if grid.leafCount()]
    low = numpy.min([c[0] for c in corners], 0)
    shape = numpy.max([c[1] for c in corners], 0) + 1 - low
    if numpy.prod(shape.astype(float)) > _LARGEST:
        return None
    dtype, tail = _DTYPES[a.valueTypeName]
    x, y = (numpy.zeros((*shape, *tail), dtype) for _ in range(2))
    for grid, array in ((a, x), (b, y)):
        grid.copyToArray(array, ijk=tuple(int(c) for c in low))
    x, y = x.astype(numpy.float64), y.astype(numpy.float64)
    same = (x == y) | (numpy.isnan(x) & numpy.isnan(y))
    with numpy.errstate(invalid="ignore"):
        beyond = numpy.where(same, -numpy.inf, numpy.abs(x - y) - numpy.maximum(bound, ratio * numpy.abs(x)))
    beyond[numpy.isnan(beyond)] = numpy.inf
    worst = float(beyond.max())
    return worst if numpy.isfinite(worst) else -1e300 if worst < 0 else 1e300


def main(vdb, first: str, judged: list[str]) -> None:
    """Prints a JSON list. judged: a file and what is allowed of it, and so on."""
    true, errors = openvdb_digest.read(vdb, first)[0], []
    for path, text in zip(judged[::2], judged[1::2], strict=True):
        pairs, allowed = zip(true, openvdb_digest.read(vdb, path)[0], strict=True), json.loads(text)
        errors.append([[a.name, excess(a, b, *allowed.get(a.name, (0.0, 0.0)))] for a, b in pairs])
    print(json.dumps(errors))


if __name__ == "__main__":
    main(find_openvdb(), sys.argv[1], sys.argv[2:]) if len(sys.argv) > 3 else find_openvdb()
