"""Arrays of a file that comes with the package, as np.savez_compressed() wrote it: what np.load() gives, sooner."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np

_HEAD = re.compile(rb"'descr': '([^']+)', 'fortran_order': False, 'shape': \(([0-9, ]*)\)")
_MAGIC = b"\x93NUMPY\x01\x00"


def read_arrays(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays whose names begin with `prefix`, by the rest of their names."""
    with zipfile.ZipFile(path) as file:
        names = [name for name in file.namelist() if name.startswith(prefix)]
        return {name.removeprefix(prefix).removesuffix(".npy"): _array(file.read(name)) for name in names}


def _array(data: bytes) -> np.ndarray:
    """The array of a .npy file."""
    begin = len(_MAGIC) + 2 + int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 2], "little")
    head = _HEAD.search(data, 0, begin)
    assert data.startswith(_MAGIC) and head is not None  # np.savez_compressed() wrote it
    dtype, shape = head[1].decode(), [int(size) for size in head[2].replace(b" ", b"").split(b",") if size]
    return np.frombuffer(data, dtype, offset=begin).reshape(shape)
