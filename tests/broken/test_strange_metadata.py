"""Metadata and transforms that OpenVDB did not write: errors say in which file and grid they are."""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.archive import ArchiveWriter, SectionLabel
from neuralvdb.cli.output import print_json
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.frame_table import MAX_TABLE
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import from_dense, write_vdb

sys.path.insert(0, str(Path(__file__).resolve().parent))
from vdb_bytes import GridBytes, vdb_file

CHANGES = {"transform": b"\x09\0\0\0AffineMap", "metadata": b"\1\0\0\0\4\0\0\0name"}
COMMANDS = {
    "info": ["info", "bad.neuralvdb"],
    "decompress": ["decompress", "bad.neuralvdb", "-o", "b.vdb"],
    "decompress --lod": ["decompress", "bad.neuralvdb", "-o", "b.vdb", "--lod", "1"],
    "decompress --bbox": ["decompress", "bad.neuralvdb", "-o", "b.vdb", "--bbox", "0,0,0,3,3,3"],
    "decompress --topology-only": ["decompress", "bad.neuralvdb", "-o", "b.vdb", "--topology-only"],
    "diff": ["diff", "a.vdb", "bad.neuralvdb"],
}


@pytest.fixture
def bad_archive(tmp_path: Path):
    """Makes bad.neuralvdb, whose only grid `g` has another transform or other metadata than the grid of a.vdb."""

    def make(field: str) -> None:
        active = np.ones((8, 8, 8), bool)
        write_vdb(tmp_path / "a.vdb", [from_dense(active.astype(np.float32), name="g", active=active)])
        neuralvdb.compress(tmp_path / "a.vdb", tmp_path / "a.neuralvdb", CompressSettings(quality="lossless"))
        with FrameReader(tmp_path / "a.neuralvdb") as frame, open(tmp_path / "bad.neuralvdb", "wb") as stream:
            head = replace(frame.grids[0], **{field: CHANGES[field]})
            table = replace(frame.table, grids=(head,)).pack()
            writer = ArchiveWriter(stream)
            for s in frame.archive.sections:
                payload, raw_size = table if s.kind == "FRAM" else (frame.archive.read(s), s.raw_size)
                label = SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid)
                writer.add(label, payload, raw_size=raw_size)
            writer.close()

    return make


@pytest.mark.parametrize("field", CHANGES)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_error_names_file_and_grid(bad_archive, within_limits, tmp_path, field, command):
    bad_archive(field)
    message = within_limits(*COMMANDS[command], codes={4})
    assert message.startswith("nvdb: a.vdb or bad" if command == "diff" else "nvdb: bad.neuralvdb: ")
    assert command == "diff" or "grid 'g'" in message
    assert "get another copy" in message
    assert not (tmp_path / "b.vdb").exists()


@pytest.mark.slow
def test_more_metadata_than_an_archive_holds(within_limits, tmp_path):
    """What info and decompress would refuse, compress refuses."""
    (tmp_path / "a.vdb").write_bytes(vdb_file(GridBytes(name=b"g", metadata={b"note": bytes(MAX_TABLE)})))
    assert "nvdb: a.vdb: " in within_limits("compress", "a.vdb", codes={5})
    assert not (tmp_path / "a.neuralvdb").exists()
    within_limits("info", "a.vdb", codes={0})


@pytest.mark.slow
def test_as_much_metadata_as_an_archive_holds(within_limits, tmp_path):
    (tmp_path / "a.vdb").write_bytes(vdb_file(GridBytes(name=b"g", metadata={b"note": b"x" * (MAX_TABLE - 1000)})))
    within_limits("compress", "a.vdb", codes={0})
    for command in ("info", "decompress"):
        within_limits(command, "a.neuralvdb", "--force" if command == "decompress" else "-q", codes={0})


def test_many_entries_of_metadata(tmp_path, capsys):
    """As JSON, of which much stands on one line; NaN in it is text."""
    entries = {b"%d" % number: b"x" for number in range(50_000)}
    (tmp_path / "a.vdb").write_bytes(vdb_file(GridBytes(name=b"g", metadata=entries)))
    began = time.process_time()
    print_json(neuralvdb.info(tmp_path / "a.vdb").as_dict() | {"seconds": float("nan")})
    assert time.process_time() - began < 2.5  # a quarter of that on an idle machine
    (line,) = capsys.readouterr().out.splitlines()
    told = json.loads(line)
    assert len(told["grids"][0]["metadata"]) == len(entries)
    assert told["seconds"] == "nan"


def test_metadata_that_unpacks_to_far_more(within_limits, hostile):
    for command in ("info", "decompress"):
        within_limits(command, hostile("11-metadata-200MB.neuralvdb"), codes={4})
