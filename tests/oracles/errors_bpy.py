"""How far .vdb files are from one in the eyes of Blender's OpenVDB 12: errors_bpy.py A B ALLOWED [B ALLOWED ...].

ALLOWED is JSON, {name: [bound, ratio, picture]} of grids. Prints [[name, excess, lacking], ...] for each B: of grids
of floats and vectors whose box is not huge, the largest |a - b| less max(bound, ratio |a|) over the box of all leaves,
active or not; what is equal or both NaN is no error. Grids that are not named may not differ. And where picture is not
0, how many dB it is above the PSNR of images exp(-k s), s the sums of the box along each axis, k such that the median
of the rays that count is 8 (those above a twentieth of the largest sum). null stands for what cannot be looked at.
"""

import json
import sys

import numpy
import openvdb_digest
from read_bpy import find_openvdb

_LARGEST = 1 << 26  # voxels of a box
_DTYPES = {"float": (numpy.float32, ()), "double": (numpy.float64, ()), "vec3s": (numpy.float32, (3,))}


def arrays(a, b):
    """What two grids are in the box of their leaves, as float64; None where they cannot be looked at."""
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
    return x.astype(numpy.float64), y.astype(numpy.float64)


def excess(x, y, bound: float, ratio: float) -> float:
    """The largest error beyond what is allowed."""
    same = (x == y) | (numpy.isnan(x) & numpy.isnan(y))
    with numpy.errstate(invalid="ignore"):
        beyond = numpy.where(same, -numpy.inf, numpy.abs(x - y) - numpy.maximum(bound, ratio * numpy.abs(x)))
    beyond[numpy.isnan(beyond)] = numpy.inf
    worst = float(beyond.max())
    return worst if numpy.isfinite(worst) else -1e300 if worst < 0 else 1e300


def lacking(x, y, picture: float) -> float:
    """How many dB a picture is worse than that. What is negative or no number is not seen."""
    error = rays = 0
    for axis in range(3):
        before, after = (numpy.where(array > 0, array, 0).sum(axis) for array in (x, y))
        k = 8 / numpy.median(before[before > before.max() / 20])
        error += ((numpy.exp(-k * before) - numpy.exp(-k * after)) ** 2).sum()
        rays += (before > 0).sum()
    return picture + 10 * numpy.log10(error / rays + 1e-12)


def judge(a, b, bound: float = 0.0, ratio: float = 0.0, picture: float = 0.0) -> list:
    """The name of a grid, and what is wrong with it."""
    both = arrays(a, b)
    if both is None:
        return [a.name, None, None]
    return [a.name, excess(*both, bound, ratio), lacking(*both, picture) if picture else None]


def main(vdb, first: str, judged: list[str]) -> None:
    """Prints a JSON list. judged: a file and what is allowed of it, and so on."""
    true, errors = openvdb_digest.read(vdb, first)[0], []
    for path, text in zip(judged[::2], judged[1::2], strict=True):
        pairs, allowed = zip(true, openvdb_digest.read(vdb, path)[0], strict=True), json.loads(text)
        errors.append([judge(a, b, *allowed.get(a.name, ())) for a, b in pairs])
    print(json.dumps(errors))


if __name__ == "__main__":
    main(find_openvdb(), sys.argv[1], sys.argv[2:]) if len(sys.argv) > 3 else find_openvdb()
