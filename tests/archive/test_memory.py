"""What decoding is declared to take is compared with the memory there is, before anything is decoded."""

from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.archive import ArchiveWriter, SectionLabel
from neuralvdb.codec import store
from neuralvdb.codec.frame import FrameReader
from neuralvdb.devices import Devices
from neuralvdb.errors import OutOfMemory
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import from_dense, write_vdb


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """Four grids that take about 0.4 MB each."""
    folder = tmp_path_factory.mktemp("memory")
    rng = np.random.default_rng(0)
    values = rng.random((4, 24, 24, 24)).astype("f4")
    grids = [from_dense(each, name=f"g{i}", active=each > 0) for i, each in enumerate(values)]
    write_vdb(folder / "four.vdb", grids)
    neuralvdb.compress(folder / "four.vdb", folder / "four.neuralvdb", CompressSettings(quality="lossless"))
    return folder / "four.neuralvdb"


def declared(archive: Path, path: Path, size: int) -> Path:
    """The archive with another size in memory of its topologies."""
    with FrameReader(archive) as frame, open(path, "wb") as stream:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            label = SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid, part=s.part)
            writer.add(label, frame.archive.read(s), raw_size=size if s.kind == "TOPO" else s.raw_size)
        writer.close()
    return path


def test_a_topology_alone_is_compared_with_the_memory_there_is(archive, tmp_path):
    """As --topology-only asks for it."""
    with FrameReader(declared(archive, tmp_path / "x.neuralvdb", 1 << 45)) as frame:
        for decode in (frame.mask, frame.read):
            with pytest.raises(OutOfMemory, match=r"takes 35184[0-9]+ bytes of memory; this machine has"):
                decode(0)


@pytest.mark.parametrize(("grids", "at_once"), [(0.5, 1), (1.5, 1), (2.5, 2), (9, 3)])
def test_grids_that_are_decoded_at_once_fit_in_memory_together(archive, monkeypatch, grids, at_once):
    """As many as fit, and never more than threads."""
    with FrameReader(archive) as frame:
        size = frame.index.memory(0)
        monkeypatch.setattr(store, "usable_memory", lambda: int(grids * size))
        assert store.DecodedStore(frame.index, Devices()).at_once([0, 1, 2, 3], 3) == at_once


def test_grids_are_the_same_however_many_fit(archive, monkeypatch):
    decoded = []
    for grids in (9, 1.5):
        with FrameReader(archive) as frame:
            size = frame.index.memory(0)
        monkeypatch.setattr(store, "usable_memory", lambda size=size, grids=grids: int(grids * size))
        with FrameReader(archive) as frame:
            decoded.append([grid.tree.leaf.values.tobytes() for grid in frame.read_in_order([0, 1, 2, 3], threads=3)])
    assert decoded[0] == decoded[1]
