"""Oddities of the file format come back: written by other makers' OpenVDB, judged by the same.

OpenVDB's Python modules make no mask and no string grids; those travel as the other types without arrays do.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuralvdb import compress, decompress
from neuralvdb.settings import CompressSettings, DecompressSettings
from neuralvdb.vdb import VdbReader, from_dense, write_vdb
from neuralvdb.volume import Storage, VolumeGrid

BOTH = ["instance", "frustum", "affine", "mask_of_bools", "names", "metadata", "empty", "hollow", "stream"]
CASES = [("pyopenvdb", kind) for kind in BOTH] + [("openvdb12", kind) for kind in [*BOTH, "types"]]


def make(maker: str, kind: str, makers: dict, folder: Path) -> Path:
    path = folder / "odd.vdb"
    makers[maker].run(kind, path)
    return path


def round_trip(source: Path, folder: Path, **options) -> Path:
    archive, result = folder / "a.neuralvdb", folder / "b.vdb"
    compress(source, archive, CompressSettings(quality="lossless"))
    decompress(archive, result, DecompressSettings(**options))
    return result


@pytest.mark.parametrize(("maker", "kind"), CASES)
def test_odd_file_comes_back(maker: str, kind: str, makers: dict, readers: dict, tmp_path: Path) -> None:
    source = make(maker, kind, makers, tmp_path)
    before, after = readers[maker].run(source, round_trip(source, tmp_path))
    if kind == "stream":
        assert before["bytes"].pop("grids") is None  # it has no table of grids; the result has
        assert len(after["bytes"].pop("grids")) == 1
    assert "error" not in before
    assert after == before


@pytest.mark.slow
@pytest.mark.parametrize("compression", ["zip", "none"])
def test_every_compression(compression: str, sample: Path, readers: dict, tmp_path: Path) -> None:
    result = round_trip(sample, tmp_path, compression=compression)
    for reader in readers.values():
        before, after = reader.run(sample, result)
        assert after == before


def test_instance_stays_an_instance(makers: dict, tmp_path: Path) -> None:
    source = make("pyopenvdb", "instance", makers, tmp_path)
    first, second = VdbReader(round_trip(source, tmp_path))
    assert (first.storage, second.storage, second.parent) == (Storage.TREE, Storage.INSTANCE, b"first")
    assert second.tree is None and second.transform != first.transform


def test_written_instance_is_read_by_others(readers: dict, tmp_path: Path) -> None:
    grid = one_leaf("first")
    other = replace(one_leaf("second"), storage=Storage.INSTANCE, parent=b"first", tree=None)
    write_vdb(tmp_path / "a.vdb", [grid, other])
    for reader in readers.values():
        (described,) = reader.run(tmp_path / "a.vdb")
        first, second = described["grids"]
        assert (first["name"], second["name"]) == ("first", "second")
        same = ("active_voxels", "leaves", "node_digest", "voxel_digest", "transform")
        assert [first[key] for key in same] == [second[key] for key in same]
        assert first["active_voxels"] == 1 and described["bytes"]["grids"][1]["parent"] == "first"


def test_names_and_order(makers: dict, tmp_path: Path) -> None:
    source = make("pyopenvdb", "names", makers, tmp_path)
    entries = VdbReader(source).entries
    assert [e.unique_name for e in VdbReader(round_trip(source, tmp_path)).entries] == [e.unique_name for e in entries]
    assert [e.name for e in entries] == ["z", "a[0]", "a[1]", "[0]", "m", "a[2]", "[1]", "größe"]


def test_order_of_grids_is_the_files(readers: dict, tmp_path: Path) -> None:
    """Not that of the alphabet, which OpenVDB's own list of grids has."""
    write_vdb(tmp_path / "odd.vdb", [one_leaf(name) for name in "zmaq"])
    result = round_trip(tmp_path / "odd.vdb", tmp_path)
    assert [e.name for e in VdbReader(result).entries] == list("zmaq")
    for reader in readers.values():
        (described,) = reader.run(result)
        assert [grid["unique_name"] for grid in described["bytes"]["grids"]] == list("zmaq")


@pytest.mark.parametrize("kind", ["types", "names", "instance", "metadata", "stream"])
def test_archive_of_the_result_is_the_same(kind: str, makers: dict, tmp_path: Path) -> None:
    """Compressing what was decompressed gives an archive of the same grids."""
    source = make("openvdb12", kind, makers, tmp_path)
    first, second = list(VdbReader(source)), list(VdbReader(round_trip(source, tmp_path)))
    assert [describe(grid) for grid in first] == [describe(grid) for grid in second]


def describe(grid: VolumeGrid) -> tuple:
    levels = () if grid.tree is None else tuple((x.active.tobytes(), x.values.tobytes()) for x in grid.tree.levels)
    return grid.unique_name, grid.grid_type, grid.storage, grid.parent, grid.metadata, grid.transform, grid.blob, levels


def one_leaf(name: str) -> VolumeGrid:
    return from_dense(np.ones((1, 1, 1), np.float32), name=name, active=np.ones((1, 1, 1), bool))
