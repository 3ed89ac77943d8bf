"""Grids of a file share topologies, or build on each other's; what they share is decoded once."""

from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import neuralvdb
from neuralvdb import CompressSettings, topology, values
from neuralvdb.archive import ArchiveReader, ArchiveWriter, SectionLabel
from neuralvdb.codec.frame import FrameReader
from neuralvdb.codec.store import DecodedStore
from neuralvdb.devices import Devices
from neuralvdb.errors import DamagedFile
from neuralvdb.settings import Bound
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
    neuralvdb.compress(alike, path, CompressSettings(quality="lossless"))
    return path


def sections(path: Path) -> dict[int, tuple[int, int]]:
    """Codec and size of the topology of each grid that has one."""
    with ArchiveReader(path, lambda *_: True) as archive:
        return {s.grid: (s.codec, s.size) for s in archive.sections if s.kind == "TOPO"}


def test_equal_masks_are_stored_once_and_similar_ones_as_what_differs(archive):
    stored = sections(archive)
    assert sorted(stored) == [0, 2, 3]
    assert [stored[grid][0] for grid in (0, 2)] == [1, 2]
    assert stored[2][1] < 0.8 * stored[0][1]
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
                    SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid),
                    frame.archive.read(s),
                    raw_size=s.raw_size,
                )
        writer.close()
    with pytest.raises(DamagedFile, match=r"builds on|is missing"), FrameReader(path) as frame:
        frame.read(2)


def test_a_chain_of_bases_is_damage(archive, tmp_path):
    path = tmp_path / "x.neuralvdb"
    with FrameReader(archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            codec = 2 if (s.kind, s.grid) == ("TOPO", 0) else s.codec
            writer.add(
                SectionLabel(s.kind, codec=codec, version=s.version, grid=s.grid),
                frame.archive.read(s),
                raw_size=s.raw_size,
            )
        writer.close()
    with FrameReader(path) as frame:
        for grid in (0, 2):
            with pytest.raises(DamagedFile):
                frame.read(grid)


def decodes():
    """Counts how often a topology is decoded."""
    return mock.patch.object(topology, "begin", wraps=topology.begin)


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    """An archive of twelve grids with one mask, under a bound."""
    rng = np.random.default_rng(3)
    shape = (24, 24, 24)
    active = rng.random(shape) < 0.7
    path = tmp_path_factory.mktemp("cache") / "cache.vdb"
    write_vdb(path, [from_dense(rng.random(shape).astype("f4"), name=f"g{i}", active=active) for i in range(12)])
    bounds = (Bound(value=0.05, relative=True),)
    neuralvdb.compress(path, path.with_suffix(".neuralvdb"), CompressSettings(bounds=bounds, effort=0, threads=2))
    return path.with_suffix(".neuralvdb")


@pytest.mark.parametrize("threads", [1, 4])
def test_a_shared_topology_is_decoded_once(cache, threads):
    with FrameReader(cache) as frame, decodes() as decode:
        assert len({head.topology_of for head in frame.grids}) == 1
        grids = list(frame.read_in_order(list(range(12)), threads=threads))
    assert decode.call_count == 1
    assert [grid.name for grid in grids] == [f"g{i}" for i in range(12)]


@pytest.mark.parametrize("threads", [1, 4])
def test_a_topology_that_others_build_on_is_decoded_once(archive, threads):
    with FrameReader(archive) as frame, decodes() as decode:
        list(frame.read_in_order([3, 2, 1, 0], threads=threads))
    assert decode.call_count == 3


def test_a_head_is_parsed_once(cache):
    with FrameReader(cache) as frame, mock.patch.object(values, "read_head", wraps=values.read_head) as read_head:
        for number in range(12):
            assert frame.head(number).promise == frame.promise(number)
            frame.head(number)
    assert read_head.call_count == 12


def test_topologies_beyond_the_budget_are_forgotten(archive):
    """The one used last is kept whatever it takes."""
    with FrameReader(archive) as frame:
        bounded = DecodedStore(frame.index, Devices(), budget=0)
        free = DecodedStore(frame.index, Devices(), budget=1 << 30)
        for kept, numbers, times in ((bounded, [0, 1, 3, 0], 3), (free, [0, 1, 3, 0], 2), (bounded, [1, 0], 0)):
            with decodes() as decode:
                for number in numbers:
                    kept.topology(number)
            assert decode.call_count == times


def test_damage_is_reported_to_everyone_who_asks(archive, tmp_path):
    """What failed once is tried again, not taken for decoded."""
    with FrameReader(archive) as frame:
        with mock.patch.object(topology, "begin", side_effect=DamagedFile("damaged")):
            for _ in range(2):
                with pytest.raises(DamagedFile):
                    frame.read(0)
        assert frame.read(0).tree is not None
