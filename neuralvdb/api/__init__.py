"""The one door: compress, decompress, info, verify, diff, train."""

from neuralvdb.api.compress import CompressReport, compress
from neuralvdb.api.decompress import DecompressReport, GridRegion, decompress
from neuralvdb.api.diff import DiffReport, GridDiff, diff
from neuralvdb.api.info import FileInfo, GridInfo, info
from neuralvdb.api.promises import PromiseDescription
from neuralvdb.api.tensors import GridTensors
from neuralvdb.api.train import TrainReport, train
from neuralvdb.api.verify import Loss, VerifyReport, verify

__all__ = [
    "CompressReport",
    "DecompressReport",
    "DiffReport",
    "FileInfo",
    "GridDiff",
    "GridInfo",
    "GridRegion",
    "GridTensors",
    "Loss",
    "PromiseDescription",
    "TrainReport",
    "VerifyReport",
    "compress",
    "decompress",
    "diff",
    "info",
    "train",
    "verify",
]
