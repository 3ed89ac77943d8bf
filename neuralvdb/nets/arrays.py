"""Arrays of a file that comes with the package, as np.savez() wrote it: what np.load() gives, sooner."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_HEAD = re.compile(rb"'descr': '([^']+)', 'fortran_order': False, 'shape': \(([0-9, ]*)\)")
_MAGIC = b"\x93NUMPY\x01\x00"


def read_arrays(path: Path, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays whose names begin with `prefix`, by the rest of their names."""
    return read_groups(path, [prefix])[0]


def read_groups(path: Path, prefixes: Iterable[str]) -> list[dict[str, np.ndarray]]:
    """What read_arrays() gives for each prefix, of a file that is opened once."""
    with zipfile.ZipFile(path) as file:
        names = file.namelist()
        return [
            {
                name.removeprefix(prefix).removesuffix(".npy"): _array(file.read(name))
                for name in names
                if name.startswith(prefix)
            }
            for prefix in prefixes
        ]


def _array(data: bytes) -> np.ndarray:
    """The array of a .npy file."""
    begin = len(_MAGIC) + 2 + int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 2], "little")
    head = _HEAD.search(data, 0, begin)
    assert data.startswith(_MAGIC) and head is not None  # np.savez() wrote it
    dtype, shape = head[1].decode(), [int(size) for size in head[2].replace(b" ", b"").split(b",") if size]
    return np.frombuffer(data, dtype, offset=begin).reshape(shape)
