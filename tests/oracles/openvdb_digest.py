"""Everything an OpenVDB Python module sees of a .vdb file, as JSON; values by their bits.

Shared by read_pyopenvdb.py (OpenVDB 10) and read_bpy.py (Blender's OpenVDB 12), whose modules have one
interface. Per grid three digests, which cover each other's blind spots:

    state   the grid as the library itself serialises it: all masks, tiles, values, point attributes; its
            compression takes -0 for 0 and one NaN for another among inactive values
    nodes   the depth and state of every slot of every lower node, and of tiles above
    voxels  every value, active or not, inside those nodes and tiles, bit by bit (not for points)
"""

import hashlib
import itertools
import json
import struct

import numpy
import vdb_file

_DTYPES = {
    "float": ("f4", ()),
    "double": ("f8", ()),
    "int32": ("i4", ()),
    "int64": ("i8", ()),
    "bool": ("?", ()),
    "vec3s": ("f4", (3,)),
    "vec3d": ("f8", (3,)),
    "vec3i": ("i4", (3,)),
}
_UPPER, _LOWER, _LEAF = 4096, 128, 8  # edges of nodes in voxels
_HEADER = 57  # bytes before the metadata of a serialised grid: magic, versions, offsets flag, random uuid
_MOST_BLOCKS = 1 << 15  # root entries looked at; a box of more is too sparse for this walk


def main(vdb, paths: list) -> None:
    """Prints a JSON list with what `vdb` sees of each file, or {"error": ...}."""
    print(json.dumps([_described(vdb, path) for path in paths]))


def _described(vdb, path: str) -> dict:
    try:
        grids, metadata = read(vdb, path)
    except Exception as error:  # every module throws its own
        return {"error": str(error)}
    return {
        "library": list(vdb.LIBRARY_VERSION),
        "bytes": vdb_file.outline(path),
        "metadata": metadata,
        "grids": [_grid(grid) for grid in grids],
    }


def read(vdb, path: str) -> tuple:
    """All grids, and the metadata of the file: None where the module cannot show it.

    OpenVDB 12's module knows no matrices: readMetadata() raises over one and readAll() aborts the process.
    Then grids are read by their names, and the metadata is judged by its bytes alone (vdb_file.py).
    """
    try:
        metadata = _as_json(vdb.readMetadata(path))
    except RuntimeError as error:
        if "bad_cast" not in str(error):
            raise
        names = [grid["unique_name"] for grid in vdb_file.outline(path)["grids"]]
        return [vdb.read(path, name) for name in names], None
    return vdb.readAll(path)[0], metadata


def _grid(grid) -> dict:
    described = {
        "name": grid.name,
        "type": grid.valueTypeName,
        "class": str(grid.gridClass),
        "vector": str(grid.vectorType),
        "creator": grid.creator,
        "half": grid.saveFloatAsHalf,
        "background": _bits(grid, grid.background),
        "metadata": _as_json(grid.metadata),
        "transform": _state(grid.transform).hex(),
        "leaves": grid.leafCount(),
        "nodes": grid.nonLeafCount(),
        "active_voxels": grid.activeVoxelCount(),
        "active_leaf_voxels": grid.activeLeafVoxelCount(),
        "active_bbox": str(grid.evalActiveVoxelBoundingBox()),
        "leaf_bbox": str(grid.evalLeafBoundingBox()),
    }
    described["node_digest"], described["voxel_digest"] = _walked_digest(grid)
    grid.saveFloatAsHalf = False  # or the state would be rounded
    described["state"] = _hash(_state(grid)[_HEADER:]).hexdigest()
    return described


def _walked_digest(grid) -> tuple:
    """Digests of nodes and voxels, found by descending from the root wherever a leaf or an active voxel is."""
    nodes, voxels = _hash(), _hash()
    accessor = grid.getConstAccessor()
    for block in _blocks(grid):
        corners = _corners(block, _UPPER, _LOWER) if accessor.getValueDepth(block) > 0 else [block]
        _note_tiles(grid, accessor, corners, nodes, voxels)
        for corner in corners:
            if accessor.getValueDepth(corner) > 1:
                _note_tiles(grid, accessor, _corners(corner, _LOWER, _LEAF), nodes)
                _note_voxels(grid, corner, voxels)
    return nodes.hexdigest(), voxels.hexdigest()


def _note_tiles(grid, accessor, corners: list, nodes, voxels=None) -> None:
    """Adds depth, state and value of the tree at `corners`."""
    nodes.update(repr(corners[0]).encode())
    nodes.update(bytes(accessor.getValueDepth(c) + 1 for c in corners))
    nodes.update(bytes(accessor.isValueOn(c) for c in corners))
    if voxels is not None:
        voxels.update(_bits(grid, [accessor.getValue(c) for c in corners]).encode())


def _note_voxels(grid, corner: tuple, voxels) -> None:
    """Adds the values of all voxels of the lower node at `corner`."""
    if hasattr(grid, "copyToArray"):
        kind, tail = _DTYPES[grid.valueTypeName]
        values = numpy.empty((_LOWER, _LOWER, _LOWER, *tail), kind)
        grid.copyToArray(values, ijk=corner)
        voxels.update(values)


def _blocks(grid) -> list:
    """Corners of the root's entries that hold leaves or active voxels."""
    boxes = [grid.evalLeafBoundingBox()] if grid.leafCount() else []
    boxes += [grid.evalActiveVoxelBoundingBox()] if grid.activeVoxelCount() else []
    blocks = set()
    for low, high in boxes:
        ranges = [range(a // _UPPER * _UPPER, b + 1, _UPPER) for a, b in zip(low, high)]  # noqa: B905
        if numpy.prod([len(r) for r in ranges]) > _MOST_BLOCKS:
            raise ValueError(f"grid {grid.name} is too sparse to walk: {low} to {high}")
        blocks.update(itertools.product(*ranges))
    return sorted(blocks)


def _corners(origin: tuple, edge: int, step: int) -> list:
    return list(itertools.product(*(range(o, o + edge, step) for o in origin)))


def _bits(grid, value) -> str:
    """The bits of a value of the grid's type as hexadecimal; floats pass through double on their way."""
    if grid.valueTypeName not in _DTYPES:
        return repr(value)
    return numpy.array(value, _DTYPES[grid.valueTypeName][0]).tobytes().hex()


def _state(thing) -> bytes:
    """The library's own serialised form, out of what it gives to pickle."""
    return b"".join(thing_bytes for thing_bytes in _flat(thing.__getstate__()) if isinstance(thing_bytes, bytes))


def _flat(state) -> list:
    return [leaf for item in state for leaf in _flat(item)] if isinstance(state, (tuple, list)) else [state]


def _as_json(metadata: dict) -> dict:
    """{name: [Python type, text]}; without OpenVDB's index of the file's own bytes, see vdb_file.py."""
    kept = {name: value for name, value in metadata.items() if name != "file_delayed_load"}
    return {name: [type(value).__name__, _value_text(value)] for name, value in kept.items()}


def _value_text(value) -> str:
    if isinstance(value, float):
        return struct.pack("<d", value).hex()
    return repr(value) if isinstance(value, (str, bool, int, tuple, list)) else str(getattr(value, "type", type(value)))


def _hash(data: bytes = b""):
    return hashlib.blake2b(data, digest_size=16)
