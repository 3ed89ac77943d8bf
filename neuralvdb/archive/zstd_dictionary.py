"""The dictionary with which zstd compresses indexes and tables: what they are likely to hold.

Its bytes are part of the format (SPEC.md) and never change. They lie in zstd_dictionary.bin, which is read when it is
first needed; tests/archive/make_zstd_dictionary.py tells what they are.
"""

from __future__ import annotations

import functools
from pathlib import Path

import zstandard

_FILE = Path(__file__).with_suffix(".bin")


@functools.cache
def zstd_dictionary() -> zstandard.ZstdCompressionDict:
    """The dictionary, as raw content."""
    return zstandard.ZstdCompressionDict(_FILE.read_bytes(), dict_type=zstandard.DICT_TYPE_RAWCONTENT)
