"""The bridge to the OpenVDB library: .vdb files in and out. The only package that needs libopenvdb."""

from neuralvdb.errors import Unsupported

try:
    from neuralvdb.vdb import _bridge  # noqa: F401
except ImportError as error:
    raise Unsupported(
        f"the OpenVDB library cannot be loaded ({error}); install it (Debian 12: apt-get install libopenvdb10.0), "
        "or a wheel of neuralvdb that holds it"
    ) from error

from neuralvdb.vdb.dense import GridProperties, from_dense
from neuralvdb.vdb.files import (
    COMPRESSIONS,
    FILE_VERSION,
    Entry,
    Outline,
    VdbReader,
    VdbWriter,
    describe_metadata,
    describe_transform,
    hash_file,
    set_threads,
    write_vdb,
)
from neuralvdb.vdb.in_memory import GridFile, GridsInMemory

__all__ = [
    "COMPRESSIONS",
    "FILE_VERSION",
    "Entry",
    "GridFile",
    "GridProperties",
    "GridsInMemory",
    "Outline",
    "VdbReader",
    "VdbWriter",
    "describe_metadata",
    "describe_transform",
    "from_dense",
    "hash_file",
    "set_threads",
    "write_vdb",
]
