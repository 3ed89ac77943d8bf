"""A box of a grid as OpenVDB 10 gives it: python3 dense_pyopenvdb.py FILE GRID OUT.npz X Y Z SIZE SIZE SIZE.

OUT holds `values` (from copyToArray) and `active`. Prints the count of active voxels of the whole grid.
"""

import itertools
import sys

import numpy
import pyopenvdb


def main(path: str, name: str, out: str, *box: str) -> None:
    """Writes OUT."""
    grid = pyopenvdb.read(path, name)
    low, size = tuple(map(int, box[:3])), tuple(map(int, box[3:]))
    tail = (3,) if grid.valueTypeName == "vec3s" else ()
    values = numpy.empty((*size, *tail), numpy.float32)
    grid.copyToArray(values, ijk=low)
    accessor = grid.getConstAccessor()
    points = itertools.product(*(range(a, a + n) for a, n in zip(low, size)))  # noqa: B905
    active = numpy.fromiter((accessor.isValueOn(at) for at in points), bool).reshape(size)
    numpy.savez(out, values=values, active=active)
    print(grid.activeVoxelCount())


main(*sys.argv[1:])
