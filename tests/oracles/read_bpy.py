"""What Blender's OpenVDB 12 sees of .vdb files: python read_bpy.py FILE... with a Python that has bpy 4.5."""

import importlib.util
import pathlib
import sys

import openvdb_digest


def find_openvdb():
    """The module `openvdb` out of the bpy wheel; bpy itself is not loaded."""
    bpy = importlib.util.find_spec("bpy")
    if bpy is None:
        raise ModuleNotFoundError("No module named 'bpy'")
    (folder,) = pathlib.Path(bpy.origin).parent.glob("*/python/lib/python3.*/site-packages")
    sys.path.append(str(folder))
    import openvdb

    return openvdb


if __name__ == "__main__":
    openvdb_digest.main(find_openvdb(), sys.argv[1:])
