"""The one door: compress, decompress, info, verify, diff."""

from neuralvdb.api.compress import CompressReport, compress
from neuralvdb.api.decompress import DecompressReport, decompress
from neuralvdb.api.diff import DiffReport, diff
from neuralvdb.api.info import FileInfo, info
from neuralvdb.api.tensors import GridTensors
from neuralvdb.api.verify import VerifyReport, verify

__all__ = [
    "CompressReport",
    "DecompressReport",
    "DiffReport",
    "FileInfo",
    "GridTensors",
    "VerifyReport",
    "compress",
    "decompress",
    "diff",
    "info",
    "verify",
]
