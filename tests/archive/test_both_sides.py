"""Frames of slow shots, which are coded from both sides: in another order than that of their numbers."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.api import shot as shots
from neuralvdb.api.frames import frames_of
from neuralvdb.api.shot import FrameSource, ShotSoFar, compressing_frames
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.cli.main import main
from neuralvdb.codec.frame import FrameReader, OpenFrames
from neuralvdb.codec.slow_motion import is_slow
from neuralvdb.errors import DamagedFile
from neuralvdb.sequence.order import both_sides, still_needed
from neuralvdb.sequence.pack import frames_in, in_order, join
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import ValuesDecoder
from neuralvdb.vdb import VdbReader, from_dense, write_vdb

COUNT, EDGE = 11, 20
SETTINGS = CompressSettings(bounds=(Bound(value=0.02, relative=True),), threads=1, force=True)
ORDER = [0, 8, 4, 2, 1, 3, 6, 5, 7, 10, 9]


def write_frames(folder: Path, speed: float, count: int = COUNT) -> list[FrameSource]:
    """A cloud that drifts by so many voxels a frame and slowly becomes another one, and the wind."""
    rng, files = np.random.default_rng(8), []
    shape = (64, EDGE, EDGE)
    x, y, z = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])
    low = np.exp(-30 * (x[:, None, None] ** 2 + y[:, None] ** 2 + z**2))
    clouds = [np.fft.rfftn(rng.normal(size=shape)) * low for _ in range(2)]
    ball = (np.indices((EDGE,) * 3) - (EDGE - 1) / 2).__pow__(2).sum(0) < (EDGE / 2 - 1) ** 2
    wind = np.where(ball[..., None], (24 * speed, 0, 0), 0)
    for number in range(count):
        drift = np.exp(-2j * np.pi * speed * number * x)[:, None, None]
        values = np.fft.irfftn((clouds[0] + 0.1 * speed * number * clouds[1]) * drift, shape, axes=(0, 1, 2))
        density = np.where(ball, 3 + values[:EDGE] / values.std(), 0)
        path = folder / f"s.{number:04}.vdb"
        grids = {"velocity": wind, "density": density}
        write_vdb(path, [from_dense(v.astype("f4"), name=name, active=ball) for name, v in grids.items()])
        files.append(FrameSource(str(path), number))
    return files


def code(sources: list[FrameSource], target: Path, settings: CompressSettings = SETTINGS) -> list:
    """What became of each frame."""
    with compressing_frames(sources, str(target), settings, ShotSoFar(12)) as task:
        return task.work()


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[FrameSource]:
    return write_frames(tmp_path_factory.mktemp("slow"), 0.04)


@pytest.fixture(scope="module")
def shot(sources) -> Path:
    """The archive of all."""
    path = Path(sources[0].path).with_name("shot.neuralvdb")
    code(sources, path)
    return path


@pytest.mark.parametrize("count", range(1, 33))
def test_orders_have_each_frame_once_behind_those_it_is_coded_from(count):
    order = both_sides(count)
    assert sorted(frame.at for frame in order) == list(range(count))
    for position, frame in enumerate(order):
        assert {*frame.sources} <= {before.at for before in order[:position]}
        coded = {before.at for before in order[:position]}
        assert len(still_needed(order[position:]) & coded) <= 4


def test_slow_shots_take_fewer_bytes_so(sources, shot, monkeypatch):
    """The same frames in a row, and as they are coded; numbers come back in order."""
    with ArchiveReader(shot, is_readable) as archive:
        directory = archive.directory
        assert [directory.number(position) for position in range(COUNT)] == ORDER
        assert directory.numbers == list(range(COUNT))
        labels = [directory.entry(position).label for position in range(COUNT)]
        assert [label.behind for label in labels] == list(range(COUNT))
        assert directory.waiting(0) == 5
        references = [OpenFrames(archive).at(p).index.references.get(1) for p in range(COUNT)]
        assert sum(reference is not None and len(reference.moved) == 2 for reference in references) >= 4
    assert [frame.number for frame in frames_of(shot)] == [str(number) for number in range(COUNT)]
    assert frames_of(shot)[3].needs == ["0", "8", "4", "2"]
    monkeypatch.setattr(shots, "is_slow", lambda *_: False)
    chained = shot.with_name("chained.neuralvdb")
    code(sources, chained)
    with ArchiveReader(chained, is_readable) as archive:
        assert [archive.directory.number(position) for position in range(COUNT)] == list(range(COUNT))
    assert shot.stat().st_size < 0.97 * chained.stat().st_size


def test_each_frame_alone_is_what_it_is_in_order(sources, shot):
    with neuralvdb.open(shot) as archive:
        assert [frame.number for frame in archive] == list(range(COUNT))
        in_order = [{name: frame[name].tree for name in frame} for frame in archive]
    for source in sources:
        with FrameReader(shot, source.number) as frame:
            for index, head in enumerate(frame.grids):
                alone = frame.read(index).tree
                np.testing.assert_array_equal(alone.leaf.values, in_order[int(source.number)][head.name].leaf.values)
        report = neuralvdb.verify(shot, source.path, frame=source.number)
        assert report.differences == [] and all(loss.kept for loss in report.losses.values())


def test_frames_decode_what_they_need_and_each_once(shot, monkeypatch):
    decoded, decode = [], ValuesDecoder.decode
    monkeypatch.setattr(ValuesDecoder, "decode", lambda self: decoded.append(self) or decode(self))
    for number in range(COUNT):
        with FrameReader(shot, number) as frame:
            decoded.clear()
            frame.read(1)
            assert len(decoded) <= 2 * 5  # of a velocity that moves a density, each
    decoded.clear()
    with contextlib.closing(OpenFrames(ArchiveReader(shot, is_readable))) as frames:
        for number in range(COUNT):
            frame = frames.at(frames.archive.directory.find(number))
            for index in range(2):
                frame.read(index)
            assert len(frames._open) <= 5
    assert len(decoded) == len({*map(id, decoded)}) <= 2 * COUNT


@pytest.mark.parametrize("command", ["decompress", "verify"])
def test_commands_read_them_in_order(shot, tmp_path, command, capsys):
    options = ["-o", f"{tmp_path}/"] if command == "decompress" else []
    main([command, str(shot), *options, "--frames", "7-9"])
    text = capsys.readouterr().out
    assert text.index("frame 7") < text.index("frame 8") < text.index("frame 9")


def test_they_are_joined_and_split_as_they_lie(shot, tmp_path):
    again = tmp_path / "again.neuralvdb"
    with again.open("wb") as stream:
        list(join(in_order(reversed(frames_in(str(shot))))[0], stream))
    assert again.read_bytes() == shot.read_bytes()
    main(["unpack", str(shot), "-o", f"{tmp_path}/split/", "-q"])
    (packed,) = (tmp_path / "split").iterdir()
    main(["pack", str(packed), "-o", str(tmp_path / "packed.neuralvdb"), "-q"])
    assert (tmp_path / "packed.neuralvdb").read_bytes() == shot.read_bytes()


def test_what_is_there_is_taken_as_it_is(sources, shot):
    before = shot.read_bytes()
    reports = code(sources, shot, replace(SETTINGS, skip_existing=True))
    assert all(report.skipped for report in reports) and shot.read_bytes() == before
    assert [report.source for report in reports] == [source.path for source in sources]


def test_a_farm_writes_what_one_machine_writes(sources, tmp_path):
    """Two chunks of nine frames and fewer, of which the second one is in a row."""
    pattern = str(Path(sources[0].path).with_name("s.####.vdb"))
    options = ["--rel-error", "2%", "--chunk", "9", "--threads", "1", "-q"]
    main(["compress", pattern, "-o", str(tmp_path / "whole.neuralvdb"), *options])
    for name, frames in (("a", "0-8"), ("b", "9-10")):
        main(["compress", pattern, "--frames", frames, "-o", str(tmp_path / f"{name}.neuralvdb"), *options])
    main(["pack", str(tmp_path / "a.neuralvdb"), str(tmp_path / "b.neuralvdb"), "-o", str(tmp_path / "p.neuralvdb")])
    whole = (tmp_path / "whole.neuralvdb").read_bytes()
    assert (tmp_path / "p.neuralvdb").read_bytes() == whole
    main(["compress", pattern, "-o", str(tmp_path / "whole.neuralvdb"), "--skip-existing", *options])
    assert (tmp_path / "whole.neuralvdb").read_bytes() == whole
    with ArchiveReader(tmp_path / "p.neuralvdb", is_readable) as archive:
        assert [archive.directory.number(p) for p in range(COUNT)] == [0, 8, 4, 2, 1, 3, 6, 5, 7, 9, 10]


@pytest.mark.slow
def test_networks_are_fine_tuned_to_all_of_them(sources, tmp_path):
    code(sources, tmp_path / "tuned.neuralvdb", replace(SETTINGS, effort=2))
    for source in sources:
        report = neuralvdb.verify(tmp_path / "tuned.neuralvdb", source.path, frame=source.number)
        assert report.differences == []


@pytest.mark.parametrize(("damaged", "lost"), [(3, {3}), (2, {1, 2, 3}), (10, {9, 10}), (8, {*range(1, COUNT)})])
def test_what_needs_no_damaged_frame_comes_back(shot, tmp_path, damaged, lost):
    path = tmp_path / "damaged.neuralvdb"
    data = bytearray(shot.read_bytes())
    with ArchiveReader(shot, is_readable) as archive:
        sections = archive.sections_of(archive.directory.find(damaged))
        tile = next(section for section in sections if section.kind == "TILE" and section.grid == 1)
    data[tile.offset] ^= 1
    path.write_bytes(data)
    for number in range(COUNT):
        with FrameReader(path, number) as frame:
            if number in lost:
                with pytest.raises(DamagedFile, match="checksum"):
                    frame.read(1)
            else:
                frame.read(1)


def test_fast_shots_are_not_slow(sources, tmp_path):
    """Nor those that do not move at all, whose frames are stored once."""
    slow, fast = ([list(VdbReader(of[at].path)) for at in (0, 8)] for of in (sources, write_frames(tmp_path, 2.0, 9)))
    assert is_slow(*slow, SETTINGS)
    assert not is_slow(*fast, SETTINGS)
    assert not is_slow(slow[0], slow[0], SETTINGS)
    assert not is_slow(slow[0], [], SETTINGS)
