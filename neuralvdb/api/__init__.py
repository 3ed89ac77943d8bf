"""The one door: compress, decompress, info, verify, diff, train."""

from neuralvdb.api.compress import CompressReport, compress
from neuralvdb.api.decompress import DecompressReport, decompress
from neuralvdb.api.diff import DiffReport, diff
from neuralvdb.api.info import FileInfo, info
from neuralvdb.api.tensors import GridTensors
from neuralvdb.api.train import TrainReport, train
from neuralvdb.api.verify import VerifyReport, verify

__all__ = [
    "CompressReport",
    "DecompressReport",
    "DiffReport",
    "FileInfo",
    "GridTensors",
    "TrainReport",
    "VerifyReport",
    "compress",
    "decompress",
    "diff",
    "info",
    "train",
    "verify",
]
