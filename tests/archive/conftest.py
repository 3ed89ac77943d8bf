"""The reader made from SPEC.md, and archives with fields of their own."""

import struct
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import xxhash

ORACLES = Path(__file__).resolve().parent.parent / "oracles"


@pytest.fixture(scope="session")
def spec_reader() -> ModuleType:
    """tests/oracles/spec_reader.py."""
    sys.path.insert(0, str(ORACLES))
    import spec_reader

    return spec_reader


@pytest.fixture
def reseal():
    """A function that puts right the checksum of a header and index that were changed."""

    def sealed(data: bytes) -> bytes:
        (index_at,) = struct.unpack_from("<Q", data, 28)
        checksum = xxhash.xxh3_64_intdigest(data[:44] + data[index_at:])
        return data[:44] + struct.pack("<Q", checksum) + data[52:]

    return sealed


@pytest.fixture(scope="session")
def bits_equal():
    """A function that tells whether two arrays hold the same bytes in the same number."""

    def equal(a: np.ndarray, b: np.ndarray) -> bool:
        return np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()

    return equal


@pytest.fixture(scope="session")
def made_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of one float grid: a ball of radius 6 voxels."""
    import neuralvdb
    from neuralvdb.settings import CompressSettings
    from neuralvdb.vdb import from_dense, write_vdb

    folder = tmp_path_factory.mktemp("made")
    distance = np.linalg.norm(np.indices((16, 16, 16)) - 7.5, axis=0).astype(np.float32)
    write_vdb(folder / "ball.vdb", [from_dense(6 - distance, name="ball", active=distance < 6)])
    neuralvdb.compress(folder / "ball.vdb", folder / "ball.neuralvdb", CompressSettings(quality="lossless"))
    return folder / "ball.neuralvdb"
