"""Volumes made to break a reader: each is one clear line, soon and without much memory."""

import struct
import sys
from pathlib import Path

import pytest

import neuralvdb

sys.path.insert(0, str(Path(__file__).resolve().parent))
from vdb_bytes import GridBytes, vdb_file


@pytest.mark.slow
def test_holes_of_a_file_hold_nothing_that_takes_memory(within_limits, tmp_path):
    """A file of 1 GiB that takes 4 kB on the disk, the rest upper nodes of zeros."""
    nodes = struct.pack("<ifii", 1, 0.0, 0, 1 << 20)
    size = 1 << 30
    with open(tmp_path / "sparse.vdb", "wb") as file:
        file.write(vdb_file(GridBytes(name=b"density", body=nodes, missing=size - 400)))
        file.truncate(size)
    within_limits("info", "sparse.vdb", codes={4, 9})


@pytest.mark.parametrize("parent", [b"nobody", b"second", b"third"])
def test_an_instance_shares_the_tree_of_a_grid_that_has_one(within_limits, tmp_path, parent):
    grids = (
        GridBytes(name=b"first"),
        GridBytes(name=b"second", parent=parent),
        GridBytes(name=b"third", parent=b"first"),
    )
    (tmp_path / "a.vdb").write_bytes(vdb_file(*grids))
    for command in ("compress", "info"):
        message = within_limits(command, "a.vdb", codes={4})
        assert "'second' shares the tree of" in message and parent.decode() in message


def test_an_instance_of_a_grid_with_a_tree_is_read(within_limits, tmp_path):
    (tmp_path / "a.vdb").write_bytes(vdb_file(GridBytes(name=b"second", parent=b"first"), GridBytes(name=b"first")))
    within_limits("compress", "a.vdb", codes={0})


@pytest.mark.slow
def test_thousands_of_instances_cost_what_their_number_costs(within_limits, tmp_path):
    instances = [GridBytes(name=b"%d" % number, parent=b"first") for number in range(4000)]
    (tmp_path / "a.vdb").write_bytes(vdb_file(GridBytes(name=b"first"), *instances))
    within_limits("compress", "a.vdb", codes={0})
    within_limits("diff", "a.vdb", "a.neuralvdb", codes={0})


@pytest.mark.parametrize("kind", [b"Tree_float_3_3_2", b"Tree_ptidx32_5_4_3", b"Tree_dragon"])
def test_a_type_that_cannot_be_skipped_is_named(within_limits, tmp_path, kind):
    """Streams have no positions by which a reader could go on behind the grid."""
    (tmp_path / "a.vdb").write_bytes(
        vdb_file(GridBytes(name=b"first"), GridBytes(name=b"odd", kind=kind), streamed=True)
    )
    for command in ("compress", "info"):
        message = within_limits(command, "a.vdb", codes={5})
        assert f"grid 'odd' has type {kind.decode()}" in message


def test_a_type_that_openvdb_cannot_read_travels_as_its_bytes(within_limits, tmp_path):
    """OpenVDB reads an index of points only where it need not load it at once."""
    (tmp_path / "a.vdb").write_bytes(vdb_file(GridBytes(name=b"index", kind=b"Tree_ptidx32_5_4_3", body=b"anything")))
    within_limits("compress", "a.vdb", codes={0})
    within_limits("decompress", "a.neuralvdb", "-o", "b.vdb", codes={0})
    within_limits("diff", "a.vdb", "b.vdb", codes={0})
    assert (tmp_path / "b.vdb").read_bytes().endswith(b"anything")


def test_an_index_of_points_comes_back(within_limits, data, tmp_path):
    source = data / "bugs" / "pointindex_and_fog.vdb"
    within_limits("compress", source, "--lossless", "-o", "a.neuralvdb", codes={0})
    within_limits("decompress", "a.neuralvdb", "-o", "b.vdb", codes={0})
    within_limits("diff", source, "b.vdb", codes={0})


def test_an_index_of_the_file_s_bytes_is_not_decompressed(tmp_path):
    """OpenVDB would not look at what its sizes say; it is dropped, as that of a whole file."""
    data = vdb_file(GridBytes(name=b"first", metadata={b"file_delayed_load": b"\xff" * 40}), streamed=True)
    kind, index = struct.pack("<I", 6) + b"string", struct.pack("<I", 13) + b"__delayedload"
    (tmp_path / "a.vdb").write_bytes(data.replace(kind, index))
    neuralvdb.compress(tmp_path / "a.vdb", tmp_path / "a.neuralvdb", quality="lossless")
    assert [neuralvdb.info(tmp_path / name).grids[0].metadata for name in ("a.vdb", "a.neuralvdb")] == [{}, {}]


def test_of_half_and_full_the_metadata_decide(tmp_path):
    """As in OpenVDB: the table of the file says something else."""
    source, archive, back = tmp_path / "a.vdb", tmp_path / "a.neuralvdb", tmp_path / "b.vdb"
    source.write_bytes(vdb_file(GridBytes(name=b"first", metadata={b"is_saved_as_half_float": b"yes"})))
    neuralvdb.compress(source, archive, quality="lossless")
    neuralvdb.decompress(archive, back)
    assert [neuralvdb.info(path).grids[0].half for path in (source, archive, back)] == [True] * 3
    assert neuralvdb.diff(source, back).same
