"""neuralvdb: a neural compressor for OpenVDB volumes.

    import neuralvdb
    neuralvdb.compress("smoke.vdb", "smoke.neuralvdb")
    neuralvdb.decompress("smoke.neuralvdb", "again.vdb")

Importing this loads neither torch nor triton, nor OpenVDB until something is called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from neuralvdb import errors
from neuralvdb.settings import CompressSettings, DecompressSettings, DiffSettings, TrainSettings, VerifySettings

if TYPE_CHECKING:
    from neuralvdb.api import compress, decompress, diff, info, train, verify

__version__ = "0.1.0"

__all__ = [
    "CompressSettings",
    "DecompressSettings",
    "DiffSettings",
    "TrainSettings",
    "VerifySettings",
    "__version__",
    "compress",
    "decompress",
    "diff",
    "errors",
    "info",
    "train",
    "verify",
]


def __getattr__(name: str) -> object:
    if name in __all__:  # the functions of the API, which load what they need when they are first used
        return getattr(import_module("neuralvdb.api"), name)
    raise AttributeError(f"module 'neuralvdb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
