"""Metadata read without OpenVDB says what OpenVDB says."""

import struct

import pytest

from neuralvdb.errors import DamagedFile
from neuralvdb.vdb import VdbReader, _bridge, describe_metadata
from neuralvdb.volume.metadata import string_value


def test_strings_of_real_files(real_vdb):
    for grid in VdbReader(real_vdb):
        for name, (kind, text) in describe_metadata(grid.metadata).items():
            assert string_value(grid.metadata, name) == (text if kind == "string" else None)
        assert string_value(grid.metadata, "no such name") is None


def test_other_types_are_no_strings():
    metadata = _bridge.make_metadata({"class": 3, "name": "dünn", "half": True})
    assert [string_value(metadata, name) for name in ("class", "name", "half")] == [None, "dünn", None]


def test_the_last_of_two_counts():
    entries = [struct.pack("<I5sI6sI1s", 5, b"class", 6, b"string", 1, text) for text in (b"a", b"b")]
    metadata = struct.pack("<I", 2) + b"".join(entries)
    assert string_value(metadata, "class") == "b" == describe_metadata(metadata)["class"][1]


@pytest.mark.parametrize("cut", range(1, 20))
def test_damage_is_named(cut):
    metadata = _bridge.make_metadata({"class": "fog volume"})
    with pytest.raises(DamagedFile, match="metadata cannot be read"):
        string_value(metadata[:-cut], "class")
