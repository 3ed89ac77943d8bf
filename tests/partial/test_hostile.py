"""Sections of chunks that are missing, too many, or in the wrong place are one clear error."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb import CompressSettings, DecompressSettings
from neuralvdb.api.tensors import tensors
from neuralvdb.archive import FieldWriter, Section, put_array
from neuralvdb.codec.frame import FrameReader
from neuralvdb.errors import DamagedFile
from neuralvdb.settings import Bound, Box
from neuralvdb.vdb import from_dense, write_vdb

Sections = list[tuple[Section, bytes]]


@pytest.fixture(scope="module")
def archive(rod, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile")
    write_vdb(folder / "in.vdb", [rod()])
    neuralvdb.compress(
        folder / "in.vdb", folder / "a.neuralvdb", CompressSettings(bounds=(Bound(value=1e-4, relative=True),))
    )
    with FrameReader(folder / "a.neuralvdb") as frame:
        assert {s.part for s in frame.archive.sections if s.kind == "TILE"} == {0, 3, 4, 7}
    return folder / "a.neuralvdb"


def moved(number: int, to: int):
    def change(section: Section, payload: bytes) -> Sections:
        return [(replace(section, part=to) if section.kind == "TILE" and section.part == number else section, payload)]

    return change


def dropped(number: int):
    return lambda section, payload: [] if section.kind == "TILE" and section.part == number else [(section, payload)]


def doubled(number: int):
    def change(section: Section, payload: bytes) -> Sections:
        return [(section, payload)] * (1 + (section.kind == "TILE" and section.part == number))

    return change


def resized(number: int, by: int):
    def change(section: Section, payload: bytes) -> Sections:
        hit = section.kind == "TILE" and section.part == number
        return [(section, (payload + b"\0" * by if by > 0 else payload[:by]) if hit else payload)]

    return change


CHANGES = {
    "no first section of a chunk": dropped(4),
    "no first section of all": dropped(0),
    "no finest layer": dropped(3),
    "a chunk too many": moved(7, 8),
    "part numbers of 32 bits": moved(7, 0xFFFFFFFF),
    "a layer that begins elsewhere": moved(3, 1),
    "a layer of another chunk": moved(7, 3),
    "twice": doubled(3),
    "too long": resized(3, 5),
    "too short": resized(3, -5),
    "outliers too long": resized(0, 5),
    "outliers too short": resized(0, -1),
    "part number of another kind": lambda s, p: [(replace(s, part=1) if s.kind == "TOPO" else s, p)],
    "values without chunks": lambda s, p: [(s, p)] if s.kind != "TILE" else [],
    "lossless values with chunks": lambda s, p: [(replace(s, codec=0, version=1) if s.kind == "VALS" else s, p)],
    "chunks of no grid": lambda s, p: [(s, p)] + ([(replace(s, grid=1), p)] if s.kind == "TILE" else []),
}


@pytest.mark.parametrize("name", CHANGES)
def test_hostile_sections(archive, forge, tmp_path, name):
    bad = forge(archive, CHANGES[name])
    if name == "chunks of no grid":  # nobody asks for them
        neuralvdb.decompress(bad, tmp_path / "b.vdb")
        return
    with pytest.raises(DamagedFile):
        neuralvdb.decompress(bad, tmp_path / "b.vdb")
    assert not (tmp_path / "b.vdb").exists()


@pytest.mark.parametrize("number", [8, 0xFFFFFFFF])
def test_chunks_that_there_are_not_are_seen_in_a_box_too(archive, forge, tmp_path, number):
    bad = forge(archive, moved(7, number))
    with pytest.raises(DamagedFile, match="chunks that it does not have"):
        neuralvdb.decompress(bad, tmp_path / "b.vdb", DecompressSettings(box=Box((0, 0, 0), (1, 1, 1))))


OUTLIERS = np.array([1, 1, 1, 4092], np.uint64)  # each place less the one before
WRAPPED = {
    "and so do their differences": np.diff([1, (1 << 62) + 1, -(1 << 62) - 5, 4095], prepend=0).astype(np.uint64),
    "to a place before": np.array([1, 2, (1 << 64) - 1, 5], np.uint64),
    "to the same place": np.array([1, 1 << 63, 1 << 63, 5], np.uint64),
}


def stream_of(steps: np.ndarray) -> bytes:
    out = FieldWriter()
    put_array(out, steps)
    return out.getvalue()


@pytest.fixture(scope="module")
def four_outliers(tmp_path_factory) -> Path:
    """An archive of one chunk with OUTLIERS."""
    folder = tmp_path_factory.mktemp("outliers")
    values = np.random.default_rng(2).random((16, 16, 16), np.float32)
    values[0, 0, 1:4] = values[-1, -1, -1] = np.nan
    write_vdb(folder / "in.vdb", [from_dense(values, name="g", active=np.ones(values.shape, bool))])
    settings = CompressSettings(bounds=(Bound(value=0.01, relative=True),))
    neuralvdb.compress(folder / "in.vdb", folder / "a.neuralvdb", settings)
    return folder / "a.neuralvdb"


@pytest.mark.parametrize("steps", WRAPPED.values(), ids=WRAPPED)
def test_outliers_whose_places_wrap_around_are_damage(four_outliers, forge, tmp_path, steps):
    def change(section: Section, payload: bytes) -> Sections:
        assert payload.count(stream_of(OUTLIERS)) == (section.kind == "TILE")
        return [(section, payload.replace(stream_of(OUTLIERS), stream_of(steps)))]

    bad = forge(four_outliers, change)
    for options in (DecompressSettings(), DecompressSettings(lod=1), DecompressSettings(box=Box((0, 0, 0), (1, 1, 1)))):
        with pytest.raises(DamagedFile, match="exception"):
            neuralvdb.decompress(bad, tmp_path / "b.vdb", options)
    with pytest.raises(DamagedFile, match="exception"):
        tensors(bad, DecompressSettings(device="cpu"))


def test_outliers_beyond_the_chunk(forge, tmp_path):
    values = np.random.default_rng(2).random((16, 16, 16), np.float32)
    values[3, 3, 3] = np.nan
    write_vdb(tmp_path / "in.vdb", [from_dense(values, name="g", active=np.ones(values.shape, bool))])
    neuralvdb.compress(
        tmp_path / "in.vdb", tmp_path / "a.neuralvdb", CompressSettings(bounds=(Bound(value=0.01, relative=True),))
    )
    with FrameReader(tmp_path / "a.neuralvdb") as frame:
        (tile,) = [frame.archive.read(s) for s in frame.archive.sections if s.kind == "TILE"]
    number = (3 * 64 + 3 * 8 + 3).to_bytes(8, "little")
    assert tile.count(number) == 1
    for other in (512 * 8, 1 << 40, (1 << 64) - 1):
        forged = tile.replace(number, other.to_bytes(8, "little"))
        bad = forge(tmp_path / "a.neuralvdb", lambda s, p, new=forged: [(s, new if s.kind == "TILE" else p)])
        for options in (
            DecompressSettings(),
            DecompressSettings(lod=1),
            DecompressSettings(box=Box((0, 0, 0), (1, 1, 1))),
        ):
            with pytest.raises(DamagedFile, match="exception"):
                neuralvdb.decompress(bad, tmp_path / "b.vdb", options)
