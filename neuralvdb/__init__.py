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
    from neuralvdb.api.compress import compress
    from neuralvdb.api.decompress import decompress
    from neuralvdb.api.diff import diff
    from neuralvdb.api.info import info
    from neuralvdb.api.train import train
    from neuralvdb.api.verify import verify

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
    if name in __all__:  # an operation: its module loads what it needs when it is first used
        return getattr(import_module(f"neuralvdb.api.{name}"), name)
    raise AttributeError(f"module 'neuralvdb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
