"""Writes a .vdb file with one oddity: python make_odd.py KIND FILE, where KIND is a function below.

Runs with pyopenvdb or with Blender's openvdb, whichever the Python has; `types` needs Blender's. Prints the number
of grids.
"""

import json
import sys

try:
    import pyopenvdb as vdb
except ModuleNotFoundError:
    import read_bpy

    vdb = read_bpy.find_openvdb()


def _grid(name: str, kind: str = "FloatGrid", value=1.0):
    """A few tiles, a full leaf and single voxels on both sides of the origin."""
    grid = getattr(vdb, kind)()
    grid.name = name
    grid.fill((0, 0, 0), (127, 127, 15), value, True)
    grid.fill((-9, -9, -9), (-1, -1, -1), value, False)
    accessor = grid.getAccessor()
    accessor.setValueOn((-4097, 5000, 3), value)
    accessor.setValueOff((4097, -5000, 3), value)
    return grid


def instance() -> tuple:
    first = _grid("first")
    second = first.copy()
    second.name = "second"
    second.transform = vdb.createLinearTransform(0.5)
    second["note"] = "shares its tree"
    return [first, second], {}


def frustum() -> tuple:
    grid = _grid("camera")
    grid.transform = vdb.createFrustumTransform((0, 0, 0), (10, 20, 30), 0.5, 10.0, 0.25)
    return [grid], {}


def affine() -> tuple:
    grid = _grid("turned")
    steps = {"rotate": (0.3, vdb.Axis.Y), "scale": ((1, 2, 3),), "shear": (0.5, vdb.Axis.X, vdb.Axis.Y)}
    for name, values in {**steps, "translate": ((1, 2, 3),)}.items():
        step = getattr(grid.transform, name, None) or getattr(grid.transform, f"post{name.title()}")
        step(*values)
    return [grid], {}


def types() -> tuple:
    values = {"Int32Grid": -7, "Int64Grid": 1 << 40, "BoolGrid": True, "Vec3IGrid": (1, -2, 3), "DoubleGrid": 1 / 3}
    grids = [_grid(kind, kind, value) for kind, value in values.items()]
    return [*grids, _grid("Vec3DGrid", "Vec3DGrid", (1 / 3, -0.0, 2.0)), vdb.Int32Grid()], {}


def mask_of_bools() -> tuple:
    return [_grid("inside", "BoolGrid", True), vdb.BoolGrid()], {}


def names() -> tuple:
    """Three grids of one name, two without any, one that is no ASCII, in no alphabetical order."""
    return [_grid(name) for name in ("z", "a", "a", "", "m", "a", "", "größe")], {}


def metadata() -> tuple:
    grid = _grid("density")
    for name, value in {"int": 5, "float": 0.1, "bool": True, "text": "ü\n", "vec": (1.0, 2.0, 3.0)}.items():
        grid[name] = value
    grid.gridClass, grid.creator = vdb.GridClass.FOG_VOLUME, "someone"
    return [grid], {"creator": "else", "frame": 12, "size": (1, 2, 3)}


def empty() -> tuple:
    return [], {"only": "metadata"}


def hollow() -> tuple:
    """A level set: its inside is inactive, and negative."""
    return [vdb.createLevelSetSphere(radius=30.0)], {}


def stream() -> tuple:
    """One grid as OpenVDB streams it: without the positions that let a reader skip grids."""
    return [_grid("density")], None


def main(kind: str, path: str) -> None:
    """Writes the file."""
    grids, items = globals()[kind]()
    if items is None:
        state = grids[0].__getstate__()
        with open(path, "wb") as file:
            file.write(next(item for item in state if isinstance(item, bytes)))
    else:
        vdb.write(path, grids=grids, metadata=items)
    print(json.dumps(len(grids)))


main(*sys.argv[1:])
