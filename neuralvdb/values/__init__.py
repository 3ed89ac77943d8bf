"""Value codecs: what the tiles and voxels of a known topology hold. The one door to them.

    codec 0, bit for bit    encode(), decode()
    codecs 1 and 3, lossy   encode_lossy(), ValuesDecoder; a Promise says what is kept of the values
    either                  choose_values() takes the smaller one; prepare_values() begins with what needs no other grid
    networks                a ModelSet, shipped, in a file or carried by an archive

Everything is loaded when it is first used: lossless archives need no networks, decoders nothing of encoders.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neuralvdb.values.coded import SCATTERED, CodedValues, exact
    from neuralvdb.values.context import EncodeContext, shipped_models
    from neuralvdb.values.decoder import DecodeOptions, LeafCells, ValuesDecoder, ValuesSource
    from neuralvdb.values.head import ValuesHead, read_head
    from neuralvdb.values.lattice.kind import FAMILIES, LatticeKind
    from neuralvdb.values.lattice.priors import ModelSet
    from neuralvdb.values.lossless import by_component, decode, encode, raw_size
    from neuralvdb.values.model_file import find_models, models_in, put_models, read_models, write_models
    from neuralvdb.values.processor import products
    from neuralvdb.values.promise import CodingMode, ErrorBound, Promise, mean_promise, sample_promise
    from neuralvdb.values.select.candidate import Tuning
    from neuralvdb.values.select.strategy import PreparedValues, choose_values, encode_lossy, prepare_values

_MODULES = {
    **dict.fromkeys(("SCATTERED", "CodedValues", "exact"), "coded"),
    **dict.fromkeys(("EncodeContext", "shipped_models"), "context"),
    **dict.fromkeys(("DecodeOptions", "LeafCells", "ValuesDecoder", "ValuesSource"), "decoder"),
    **dict.fromkeys(("ValuesHead", "read_head"), "head"),
    **dict.fromkeys(("FAMILIES", "LatticeKind"), "lattice.kind"),
    **dict.fromkeys(("ModelSet",), "lattice.priors"),
    **dict.fromkeys(("by_component", "decode", "encode", "raw_size"), "lossless"),
    **dict.fromkeys(("find_models", "models_in", "put_models", "read_models", "write_models"), "model_file"),
    **dict.fromkeys(("products",), "processor"),
    **dict.fromkeys(("CodingMode", "ErrorBound", "Promise", "mean_promise", "sample_promise"), "promise"),
    **dict.fromkeys(("Tuning",), "select.candidate"),
    **dict.fromkeys(("PreparedValues", "choose_values", "encode_lossy", "prepare_values"), "select.strategy"),
}

__all__ = [
    "FAMILIES",
    "SCATTERED",
    "CodedValues",
    "CodingMode",
    "DecodeOptions",
    "EncodeContext",
    "ErrorBound",
    "LatticeKind",
    "LeafCells",
    "ModelSet",
    "PreparedValues",
    "Promise",
    "Tuning",
    "ValuesDecoder",
    "ValuesHead",
    "ValuesSource",
    "by_component",
    "choose_values",
    "decode",
    "encode",
    "encode_lossy",
    "exact",
    "find_models",
    "mean_promise",
    "models_in",
    "prepare_values",
    "products",
    "put_models",
    "raw_size",
    "read_head",
    "read_models",
    "sample_promise",
    "shipped_models",
    "write_models",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'neuralvdb.values' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"neuralvdb.values.{_MODULES[name]}"), name)
    return value
