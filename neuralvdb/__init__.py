"""neuralvdb: a neural compressor for OpenVDB volumes.

    import neuralvdb
    neuralvdb.compress("smoke.vdb", "smoke.neuralvdb")
    neuralvdb.decompress("smoke.neuralvdb", "again.vdb")

Importing this loads nothing else until something is used, so that `nvdb` can be interrupted from its first moment.
"""

from __future__ import annotations

TYPE_CHECKING = False  # type checkers take it for true, as they do typing's, which would load for long
if TYPE_CHECKING:
    from neuralvdb import errors
    from neuralvdb.api.public import compress, decompress, diff, info, open, train, verify
    from neuralvdb.api.tensors import GridTensors, from_tensor
    from neuralvdb.settings import (
        Bound,
        Box,
        CompressSettings,
        DecompressSettings,
        DiffSettings,
        TrainSettings,
        VerifySettings,
    )
    from neuralvdb.vdb import GridProperties, VdbReader, from_dense, write_vdb

__version__ = "0.1.0"

_SETTINGS = (
    "Bound",
    "Box",
    "CompressSettings",
    "DecompressSettings",
    "DiffSettings",
    "TrainSettings",
    "VerifySettings",
)
_MODULES = {
    **dict.fromkeys(_SETTINGS, "neuralvdb.settings"),
    **dict.fromkeys(("compress", "decompress", "diff", "info", "open", "train", "verify"), "neuralvdb.api.public"),
    **dict.fromkeys(("GridTensors", "from_tensor"), "neuralvdb.api.tensors"),
    **dict.fromkeys(("GridProperties", "VdbReader", "from_dense", "write_vdb"), "neuralvdb.vdb"),
}  # what is loaded when it is first used

__all__ = [
    "Bound",
    "Box",
    "CompressSettings",
    "DecompressSettings",
    "DiffSettings",
    "GridProperties",
    "GridTensors",
    "TrainSettings",
    "VdbReader",
    "VerifySettings",
    "__version__",
    "compress",
    "decompress",
    "diff",
    "errors",
    "from_dense",
    "from_tensor",
    "info",
    "open",
    "train",
    "verify",
    "write_vdb",
]


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name == "errors":
        return import_module("neuralvdb.errors")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module 'neuralvdb' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
