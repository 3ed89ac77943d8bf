"""Grids of a file share topologies, or build on each other's."""

from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.archive import ArchiveReader, ArchiveWriter
from neuralvdb.codec.frame import FrameReader
from neuralvdb.errors import DamagedFile
from neuralvdb.vdb import from_dense, write_vdb


@pytest.fixture(scope="module")
def alike(tmp_path_factory) -> Path:
    """Four fogs: two of one mask, one of almost that mask, one of another."""
    rng = np.random.default_rng(2)
    x = np.indices((60, 60, 60)) - 29.5
    rough = np.linalg.norm(x, axis=0) + rng.normal(0, 1, (60, 60, 60)) < 24
    nearly = rough ^ ((rng.random(rough.shape) < 0.02) & rough)
    other = rng.random(rough.shape) < 0.3
    path = tmp_path_factory.mktemp("alike") / "alike.vdb"
    masks = {"density": rough, "heat": rough, "temperature": nearly, "noise": other}
    write_vdb(path, [from_dense(np.ones(rough.shape, "f4"), name=n, active=mask) for n, mask in masks.items()])
    return path


@pytest.fixture(scope="module")
def archive(alike) -> Path:
    path = alike.with_suffix(".neuralvdb")
    neuralvdb.compress(alike, path)
    return path


def sections(path: Path) -> dict[int, tuple[int, int]]:
    """Codec and size of the topology of each grid that has one."""
    with ArchiveReader(path, lambda *_: True) as archive:
        return {s.grid: (s.codec, s.size) for s in archive.sections if s.kind == "TOPO"}


def test_equal_masks_are_stored_once_and_similar_ones_as_what_differs(archive):
    found = sections(archive)
    assert sorted(found) == [0, 2, 3]
    assert [found[grid][0] for grid in (0, 2)] == [1, 2]
    assert found[2][1] < 0.8 * found[0][1]
    with FrameReader(archive) as frame:
        assert [head.topology_of for head in frame.grids] == [0, 0, 2, 3]


def test_all_come_back(alike, archive, tmp_path):
    neuralvdb.decompress(archive, tmp_path / "back.vdb")
    assert neuralvdb.diff(alike, tmp_path / "back.vdb").same
    assert neuralvdb.verify(archive, alike).differences == []


@pytest.mark.parametrize("left_out", [0, 2])
def test_a_base_that_is_missing_is_damage(archive, tmp_path, left_out):
    """One that is not there at all, and one whose number is that of a later or no grid."""
    path = tmp_path / "x.neuralvdb"
    with FrameReader(archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            if (s.kind, s.grid) != ("TOPO", left_out):
                writer.add(
                    s.kind, frame.archive.read(s), raw_size=s.raw_size, codec=s.codec, version=s.version, grid=s.grid
                )
        writer.close()
    with FrameReader(path) as frame, pytest.raises(DamagedFile, match=r"builds on|is missing"):
        frame.read(2)


def test_a_chain_of_bases_is_damage(archive, tmp_path):
    path = tmp_path / "x.neuralvdb"
    with FrameReader(archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            codec = 2 if (s.kind, s.grid) == ("TOPO", 0) else s.codec
            writer.add(s.kind, frame.archive.read(s), raw_size=s.raw_size, codec=codec, grid=s.grid)
        writer.close()
    with FrameReader(path) as frame:
        for grid in (0, 2):
            with pytest.raises(DamagedFile):
                frame.read(grid)
