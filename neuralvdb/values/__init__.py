"""Value codecs: what the tiles and voxels of a known topology hold. The one door to them.

    codec 0, bit for bit    encode(), decode()
    codec 1, lossy          encode_lossy(), ValuesDecoder; a Promise says what is kept of the values
    either                  choose_values() takes the smaller one
    networks                a ModelSet, shipped, in a file or carried by an archive

What only encoders need is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from neuralvdb.values.coded import CodedValues
from neuralvdb.values.context import EncodeContext, shipped_models
from neuralvdb.values.decoder import DecodeOptions, LeafCells, ValuesDecoder, ValuesSource
from neuralvdb.values.head import ValuesHead, read_head
from neuralvdb.values.lattice.kind import FAMILIES, LatticeKind
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lossless import by_component, decode, encode, raw_size
from neuralvdb.values.model_file import find_models, models_in, put_models, read_models, write_models
from neuralvdb.values.promise import CodingMode, ErrorBound, Promise, mean_promise, sample_promise

if TYPE_CHECKING:
    from neuralvdb.values.select.strategy import choose_values, encode_lossy

_ENCODERS = ("choose_values", "encode_lossy")

__all__ = [
    "FAMILIES",
    "CodedValues",
    "CodingMode",
    "DecodeOptions",
    "EncodeContext",
    "ErrorBound",
    "LatticeKind",
    "LeafCells",
    "ModelSet",
    "Promise",
    "ValuesDecoder",
    "ValuesHead",
    "ValuesSource",
    "by_component",
    "choose_values",
    "decode",
    "encode",
    "encode_lossy",
    "find_models",
    "mean_promise",
    "models_in",
    "put_models",
    "raw_size",
    "read_head",
    "read_models",
    "sample_promise",
    "shipped_models",
    "write_models",
]


def __getattr__(name: str) -> object:
    if name in _ENCODERS:
        return getattr(import_module("neuralvdb.values.select.strategy"), name)
    raise AttributeError(f"module 'neuralvdb.values' has no attribute {name!r}")
