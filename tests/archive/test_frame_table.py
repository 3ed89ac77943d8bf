"""The table of a frame: how many grids it may have, and what every grid of it needs."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash

from neuralvdb import DecompressSettings, decompress
from neuralvdb.archive import ArchiveWriter, FieldWriter, SectionLabel, pack_table
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.frame_table import MAX_GRIDS, FrameTable, GridHead
from neuralvdb.errors import DamagedFile, Unsupported
from neuralvdb.volume import Storage


def table_of_zeros(count: int) -> tuple[bytes, int]:
    """Payload and size of a table of so many grids of zeros, which are valid entries."""
    out = FieldWriter()
    out.put("u32", 224, 10, 0)
    out.put_bytes(b"0" * 36)
    out.put_bytes(b"")
    out.put("u8", 0, 1)
    out.put("u32", count)
    table = out.getvalue() + bytes(15 * count)
    return pack_table(table), len(table)


def instance(name: bytes, parent: bytes, head: GridHead) -> GridHead:
    return replace(head, unique_name=name, parent=parent, storage=Storage.INSTANCE, content=xxhash.xxh3_128_digest(b""))


@pytest.fixture
def rewrite(made_archive, tmp_path):
    """Writes the archive of one grid anew, with other grids in its table and without some sections."""

    def rewritten(grids, left_out: tuple[str, ...] = (), **changes) -> Path:
        path = tmp_path / "x.neuralvdb"
        with FrameReader(made_archive) as frame, open(path, "wb") as stream:
            writer = ArchiveWriter(stream)
            for s in frame.archive.sections:
                payload, raw_size = frame.archive.read(s), s.raw_size
                if s.kind == "FRAM":
                    payload, raw_size = replace(frame.table, grids=tuple(grids(frame.grids[0])), **changes).pack()
                if s.kind not in left_out:
                    label = SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid)
                    writer.add(label, payload, raw_size=raw_size)
            writer.close()
        return path

    return rewritten


def test_a_table_of_as_many_grids_as_there_may_be_is_read_soon():
    payload, size = table_of_zeros(MAX_GRIDS)
    begin = time.process_time()
    assert len(FrameTable.unpack(payload, size, "here", version=2).grids) == MAX_GRIDS
    assert time.process_time() - begin < 5  # 1 s on an idle machine


def test_more_grids_are_refused_at_their_number():
    payload, size = table_of_zeros(1_000_000)
    begin = time.process_time()
    with pytest.raises(DamagedFile, match="1000000 grids are declared, 65536 are possible"):
        FrameTable.unpack(payload, size, "here", version=2)
    assert time.process_time() - begin < 0.5


def test_a_hash_of_another_length_is_refused(made_archive):
    with FrameReader(made_archive) as frame:
        payload, size = replace(frame.table, settings_hash=b"short").pack()
    with pytest.raises(DamagedFile, match="a hash of 5 bytes"):
        FrameTable.unpack(payload, size, "here", version=3)


def test_no_table_is_written_that_is_not_read(made_archive):
    with FrameReader(made_archive) as frame:
        table = frame.table
    with pytest.raises(Unsupported, match="65537 grids"):
        replace(table, grids=table.grids * (MAX_GRIDS + 1)).pack()
    with pytest.raises(Unsupported, match="too many for an archive"):
        replace(table, metadata=bytes(1 << 24)).pack()


@pytest.mark.parametrize("kind", ["VALS", "TOPO"])
def test_a_grid_without_sections_is_refused_when_the_frame_is_opened(rewrite, kind):
    with pytest.raises(DamagedFile, match=f"section {kind} of grid 'ball' is missing"):
        FrameReader(rewrite(lambda grid: [grid], (kind,)))


def test_a_grid_of_bytes_without_bytes_is_refused_when_the_frame_is_opened(rewrite):
    with pytest.raises(DamagedFile, match="section BLOB of grid 'ball' is missing"):
        FrameReader(rewrite(lambda grid: [replace(grid, storage=Storage.SERIAL)]))


@pytest.mark.parametrize("parent", [b"nothing", b"itself"])
def test_an_instance_of_no_tree_is_refused_when_the_frame_is_opened(rewrite, parent):
    """There is no grid of that name, or it is an instance too."""
    path = rewrite(lambda grid: [grid, instance(b"itself", parent, grid)])
    with pytest.raises(DamagedFile, match="grid 'itself' shares the tree of a grid that"):
        FrameReader(path)


@pytest.mark.parametrize("way", [Storage.TREE, Storage.SERIAL, Storage.INSTANCE])
def test_a_grid_has_a_tree_or_shares_one(rewrite, way):
    """Written, it would be neither or both, and the file unreadable. An empty name is no name of a parent."""
    parent = b"" if way is Storage.INSTANCE else b"ball"
    path = rewrite(lambda grid: [grid, replace(grid, unique_name=b"", storage=way, parent=parent)])
    with pytest.raises(DamagedFile, match="grid '' has a tree and shares one, or neither"):
        FrameReader(path)


@pytest.mark.parametrize("settings", [DecompressSettings(), DecompressSettings(topology_only=True)])
def test_metadata_of_a_file_that_no_one_could_read_is_not_written(rewrite, tmp_path, settings):
    path = rewrite(lambda grid: [grid], metadata=b"\1\0\0\0\xff\0\0\0a")
    with pytest.raises(DamagedFile, match="metadata of the file cannot be read"):
        decompress(path, tmp_path / "x.vdb", settings)
    assert os.listdir(tmp_path) == [path.name]


def test_parents_of_many_instances_are_known_at_once(rewrite):
    """The first grid of the name is meant, also where it comes last."""
    path = rewrite(lambda grid: [grid, *(instance(b"%d" % i, b"ball", grid) for i in range(30_000))])
    begin = time.process_time()
    with FrameReader(path) as frame:
        assert {frame.index.source(number) for number in range(30_001)} == {0}
    assert time.process_time() - begin < 5


def test_names_of_grids_left_out_are_kept(made_archive, spec_reader, tmp_path):
    names = (b"flags", b"density\x1e1")
    path = tmp_path / "x.neuralvdb"
    with FrameReader(made_archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            payload, raw_size = frame.archive.read(s), s.raw_size
            if s.kind == "FRAM":
                payload, raw_size = replace(frame.table, left_out=names).pack()
            writer.add(SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid), payload, raw_size=raw_size)
        writer.close()
    with FrameReader(path) as frame:
        assert frame.table.left_out == names
        with pytest.raises(Unsupported):
            replace(frame.table, left_out=names * MAX_GRIDS).pack()
    (theirs,) = spec_reader.read_archive(path)
    assert tuple(theirs.left_out) == names
