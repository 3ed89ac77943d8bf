"""Frames that are coded from the frame before, in groups that need no other frame."""

import shutil
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.api.shot import FrameSource, ShotSoFar, compressing_frames
from neuralvdb.archive import NO_GRID, ArchiveReader, SequenceWriter
from neuralvdb.archive.formats import is_readable
from neuralvdb.cli.jobs import Result
from neuralvdb.cli.main import COMMANDS, main
from neuralvdb.codec.frame import FrameReader, OpenFrames
from neuralvdb.codec.grid_reference import GridAt
from neuralvdb.codec.group_tables import BaseTables
from neuralvdb.errors import DamagedFile, UsageError
from neuralvdb.sequence.pack import frames_in, in_order, join
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values import ValuesDecoder
from neuralvdb.vdb import VdbReader, from_dense, write_vdb

COUNT = 4
SETTINGS = CompressSettings(bounds=(Bound(value=0.01, relative=True),), threads=1, force=True)


def code(sources: list[FrameSource], target: Path, chunk: int = COUNT, settings: CompressSettings = SETTINGS) -> list:
    """What became of each frame."""
    shot = ShotSoFar(chunk)
    with compressing_frames(sources, str(target), settings, shot) as task:
        return task.work()


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[FrameSource]:
    """A cloud in a wind of half a voxel a frame, whose index space jumps by 3 voxels at the third frame, and noise."""
    folder, rng = tmp_path_factory.mktemp("shot"), np.random.default_rng(8)
    noise = rng.normal(size=(48, 24, 24))
    smooth = np.fft.irfftn(np.fft.rfftn(noise) * _low(noise.shape), noise.shape, axes=(0, 1, 2))
    smooth /= smooth.std()
    ball = (np.indices((24, 24, 24)) - 11.5).__pow__(2).sum(0) < 130
    wind = np.zeros((24, 24, 24, 3), "f4")
    wind[..., 0] = 5 + rng.normal(0, 0.2, (24, 24, 24))
    files = []
    for number in range(COUNT):
        at = 12 - 0.5 * number - 3 * (number > 1)
        moved = np.fft.irfftn(np.fft.rfftn(smooth) * _shift(smooth.shape, at), smooth.shape, axes=(0, 1, 2))[:24]
        grids = {"velocity": wind, "density": moved, "noise": rng.normal(size=ball.shape)}
        path = folder / f"s.{number:04}.vdb"
        cut = {name: np.where(ball if v.ndim == 3 else ball[..., None], v, 0) for name, v in grids.items()}
        write_vdb(path, [from_dense(v.astype("f4"), name=name, active=ball) for name, v in cut.items()])
        files.append(FrameSource(str(path), number))
    return files


def _low(shape: tuple[int, ...]) -> np.ndarray:
    """A filter that leaves waves of some voxels."""
    x, y, z = np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2])
    return np.exp(-30 * (x[:, None, None] ** 2 + y[:, None] ** 2 + z**2))


def _shift(shape: tuple[int, ...], voxels: float) -> np.ndarray:
    """A filter that moves everything so far down the first axis."""
    return np.exp(2j * np.pi * voxels * np.fft.fftfreq(shape[0]))[:, None, None]


@pytest.fixture(scope="module")
def shot(sources) -> Path:
    """The archive of all."""
    path = Path(sources[0].path).with_name("shot.neuralvdb")
    code(sources, path)
    return path


def test_frames_are_coded_from_the_one_before(sources, shot):
    """Moved along velocities, and shifted with their domain; what resembles nothing is coded alone."""
    reports = code(sources, shot.with_name("alone.neuralvdb"), chunk=1)
    with ArchiveReader(shot, is_readable) as archive:
        frames = OpenFrames(archive)
        labels = [archive.directory.entry(i).label for i in range(COUNT)]
        assert [(label.behind, label.back) for label in labels] == [(0, (0, 0)), (1, (1, 0)), (2, (1, 0)), (3, (1, 0))]
        references = [frames.at(i).index.references for i in range(COUNT)]
        sizes = [sum(frames.at(i).index.sizes(1).values()) for i in range(COUNT)]
    assert not references[0] and all(2 not in of_frame for of_frame in references)
    for of_frame in references[1:]:
        assert of_frame[1].moved[0].source == GridAt(1, frame=1)
    motions = [of_frame[1].moved[0].motion for of_frame in references[1:]]
    assert motions[0].shift[0] == 0 and motions[1].shift[0] == 3
    assert 0.07 < motions[0].factor < 0.13  # voxels by which a velocity of 1 moves: 0.1
    assert sizes[1] < 0.6 * sizes[0] and sizes[2] < 0.8 * sizes[0]
    assert shot.stat().st_size < 0.92 * sum(report.archive_size for report in reports)


def test_frames_that_have_nothing_in_common_take_no_more_in_a_chunk(tmp_path):
    """New noise in every frame: at most 0.2 % more than all frames alone."""
    rng, files = np.random.default_rng(2), []
    ball = (np.indices((24, 24, 24)) - 11.5).__pow__(2).sum(0) < 130
    for number in range(COUNT):
        grids = {"velocity": rng.normal(0, 20, (*ball.shape, 3)), "density": rng.normal(size=ball.shape).cumsum(0)}
        path = tmp_path / f"n.{number}.vdb"
        cut = {name: np.where(ball if v.ndim == 3 else ball[..., None], v, 0) for name, v in grids.items()}
        write_vdb(path, [from_dense(v.astype("f4"), name=name, active=ball) for name, v in cut.items()])
        files.append(FrameSource(str(path), number))
    archives = [tmp_path / name for name in ("chunk.neuralvdb", "alone.neuralvdb")]
    for settings in (SETTINGS, CompressSettings(quality="production", threads=1, force=True)):
        for archive, chunk in zip(archives, (COUNT, 1), strict=True):
            code(files, archive, chunk, settings)
        chunk, alone = (archive.stat().st_size for archive in archives)
        assert chunk <= 1.002 * alone


@pytest.mark.slow
def test_a_cloud_without_velocities_is_moved_by_blocks(tmp_path):
    """Its ends drift towards each other."""
    rng, files = np.random.default_rng(9), []
    noise = rng.normal(size=(40, 24, 24))
    waves = np.fft.irfftn(np.fft.rfftn(noise) * _low(noise.shape), noise.shape, axes=(0, 1, 2))
    ball = (((np.indices(noise.shape).T - (19.5, 11.5, 11.5)) / (18, 11, 11)) ** 2).sum(-1).T < 1
    for number in range(3):
        at = np.interp(np.arange(40) - number * np.linspace(0.6, -0.5, 40), np.arange(40), np.arange(40))
        low, weight = np.floor(at).astype(int), (at % 1)[:, None, None]
        moved = waves[low] * (1 - weight) + waves[np.minimum(low + 1, 39)] * weight
        cut = np.where(ball, moved + moved.std(), 0).astype("f4")
        write_vdb(tmp_path / f"c.{number}.vdb", [from_dense(cut, name="density", active=ball)])
        files.append(FrameSource(str(tmp_path / f"c.{number}.vdb"), number))
    code(files, tmp_path / "c.neuralvdb")
    with ArchiveReader(tmp_path / "c.neuralvdb", is_readable) as archive:
        frames = OpenFrames(archive)
        sizes = [sum(frames.at(i).index.sizes(0).values()) for i in range(3)]
        blocks = [frames.at(i).index.references[0].moved[0].motion.blocks for i in (1, 2)]
    assert max(sizes[1:]) < 0.5 * sizes[0]
    for of_frame in blocks:
        along_x = of_frame.array[..., 0].mean((1, 2))
        assert along_x[0] > 0 > along_x[-1]
    for source in files:
        assert neuralvdb.verify(tmp_path / "c.neuralvdb", source.path, frame=source.number).differences == []


def test_each_frame_alone_is_what_it_is_in_order(sources, shot):
    with neuralvdb.open(shot) as archive:
        in_order = [{name: frame[name].tree for name in frame} for frame in archive]
    for number in (2, 0, 3):
        with FrameReader(shot, number) as frame:
            for index, head in enumerate(frame.grids):
                alone = frame.read(index).tree
                np.testing.assert_array_equal(alone.leaf.values, in_order[number][head.name].leaf.values)
    for number, source in enumerate(sources):
        report = neuralvdb.verify(shot, source.path, frame=number)
        assert report.differences == [] and all(loss.kept for loss in report.losses.values())


def test_frames_decode_what_they_need_and_no_more(shot, monkeypatch):
    decoded, decode = [], ValuesDecoder.decode
    monkeypatch.setattr(ValuesDecoder, "decode", lambda self: decoded.append(self) or decode(self))
    with FrameReader(shot, 3) as frame:
        frame.read(2)
        assert len(decoded) == 1
        frame.read(1)
        assert 1 + 4 <= len(decoded) <= 1 + 4 + 4  # densities of all frames up to it, and velocities that move them
    decoded.clear()
    with neuralvdb.open(shot) as archive:
        assert sum(frame[name] is not None for frame in archive for name in frame) == 3 * COUNT
    assert len(decoded) == 3 * COUNT


@pytest.mark.parametrize("command", ["cache", "decompress", "diff", "report", "report --originals", "verify", "view"])
def test_commands_decode_each_frame_once(sources, shot, tmp_path, monkeypatch, command):
    """Though it is needed again for the one behind it: all of a chunk are read in one process."""
    monkeypatch.chdir(tmp_path)
    name, *options = command.split()
    options += {"diff": [str(shot.with_name("s.####.vdb"))], "report": [str(shot.parent)] * len(options)}.get(name, [])
    options += {"cache": ["out"], "decompress": ["-o", "out/"], "view": ["-o", "out/"]}.get(name, [])
    decoded, decode, finished, told = [], ValuesDecoder.decode, [], []
    monkeypatch.setattr(ValuesDecoder, "decode", lambda self: decoded.append(self) or decode(self))

    def run_here(jobs, at_once, report):
        for job in jobs:
            with job.begin(told.append) as task:
                outcomes = task.work()
            finished.extend(job.finish(outcomes, 0.0))

    monkeypatch.setattr(COMMANDS[name], "run_batch", run_here)
    main([name, str(shot), *options, "-q"])
    assert len(finished) == COUNT and all(isinstance(outcome, Result) for outcome in finished)
    assert name not in ("diff", "report", "view") or told == [1] * COUNT
    assert len(decoded) == 3 * COUNT - (command == "report")  # noise of the frame without a picture


def test_a_chunk_stays_together(shot, tmp_path):
    frames = frames_in(str(shot))
    with pytest.raises(UsageError, match=r"frame 3 needs frames of its chunk beside it; give all of that"):
        in_order([frame for frame in frames if frame.label.number != 2])
    with pytest.raises(UsageError, match=r"frame 2 needs frames of its chunk beside it"):
        with (tmp_path / "between.neuralvdb").open("wb") as stream:
            list(
                join([replace(frames[0], label=replace(frames[0].label, number=Decimal("1.5"), name=b"x.vdb"))], stream)
            )
        in_order([*frames, *frames_in(str(tmp_path / "between.neuralvdb"))])
    with (tmp_path / "again.neuralvdb").open("wb") as stream:
        list(join(in_order(frames[::-1])[0], stream))
    assert (tmp_path / "again.neuralvdb").read_bytes() == shot.read_bytes()


def test_what_is_there_is_taken_as_it_is(sources, shot):
    before = shot.read_bytes()
    reports = code(sources, shot, settings=replace(SETTINGS, skip_existing=True))
    assert all(report.skipped for report in reports) and shot.read_bytes() == before
    other = shot.with_name("other.neuralvdb")
    shutil.copy(shot, other)
    assert not any(r.skipped for r in code(sources, other, chunk=3, settings=replace(SETTINGS, skip_existing=True)))


def test_the_same_bytes_by_several_threads(sources, shot):
    code(sources, shot.with_name("two.neuralvdb"), settings=replace(SETTINGS, threads=2))
    assert shot.with_name("two.neuralvdb").read_bytes() == shot.read_bytes()


def test_a_frame_before_that_is_another_is_damage(sources, shot, tmp_path):
    """Another frame, in the place of the one that a frame was coded from."""
    path = tmp_path / "mixed.neuralvdb"
    other = tmp_path / "s.0009.vdb"
    write_vdb(other, [grid for grid in VdbReader(sources[0].path) if grid.name == "noise"])
    code([FrameSource(str(other), -1)], tmp_path / "first.neuralvdb")
    first, (_, second, *_) = frames_in(str(tmp_path / "first.neuralvdb")), frames_in(str(shot))
    with path.open("wb") as stream:
        list(join([*first, second], stream))
    with pytest.raises(DamagedFile, match=r"frame 1: its table: .*the archive is damaged"):
        FrameReader(path, 1)


def test_tables_are_those_of_the_group(shot, tmp_path):
    """Behind the first frame they are coded from its tables, which the frame does not have without it."""
    with ArchiveReader(shot, is_readable) as archive:
        codecs = [{s.kind: s.codec for s in archive.sections_of(i) if s.grid in (0, NO_GRID)} for i in range(COUNT)]
        assert [(of["FRAM"], of["VALS"]) for of in codecs] == [(0, 1), *[(1, 2)] * (COUNT - 1)]
        whole = [len(OpenFrames(archive).at(i).table.pack()[0]) for i in range(COUNT)]
        sizes = [sum(s.size for s in archive.sections_of(i) if s.kind == "FRAM") for i in range(COUNT)]
    assert all(2 * size < alone for size, alone in zip(sizes[1:], whole[1:], strict=True))
    second = frames_in(str(shot))[1]
    with (tmp_path / "lost.neuralvdb").open("wb") as stream:
        list(join([replace(second, label=replace(second.label, behind=0, back=(0, 0)))], stream))
    with pytest.raises(DamagedFile, match="its table is coded from a frame that is not there"):
        FrameReader(tmp_path / "lost.neuralvdb")


@pytest.mark.parametrize(
    ("kind", "what"),
    [
        ("FRAM", "coded from the table of another frame"),
        ("VALS", "a section VALS that is not there"),
    ],
)
def test_tables_of_other_frames_are_refused(shot, tmp_path, kind, what):
    """The first frame of the group has another file version than it had, or sections of other codecs."""
    path = tmp_path / "other.neuralvdb"
    with path.open("wb") as stream, ArchiveReader(shot, is_readable) as archive:
        writer = SequenceWriter(stream)
        for position in range(2):
            for section in archive.sections_of(position):
                label, payload = section.label, archive.read(section)
                if position == 0 and section.kind == kind == "FRAM":
                    payload = replace(OpenFrames(archive).at(0).table, version=223).pack()[0]
                if position == 0 and section.kind == kind == "VALS":
                    label = replace(label, codec=0, version=1)
                writer.add(label, payload, raw_size=section.raw_size)
            writer.end_frame(archive.directory.entry(position).label)
        writer.close()
    with ArchiveReader(path, is_readable) as archive, pytest.raises(DamagedFile, match=what):
        OpenFrames(archive).at(1).head(0)


def test_topologies_are_those_of_the_group(tmp_path):
    """A ball that moves by a voxel a frame: what stands before its masks is what it was in the first frame."""
    rng, files = np.random.default_rng(5), []
    cloud = rng.normal(size=(28, 24, 24)).cumsum(0).cumsum(1).cumsum(2)
    cloud[((np.indices(cloud.shape).T - (12, 12, 12)) ** 2).sum(-1).T > 90] = 0
    for number in range(3):
        moved = np.roll(cloud, number, axis=0).astype("f4")
        write_vdb(tmp_path / f"b.{number}.vdb", [from_dense(moved, name="density", active=moved != 0)])
        files.append(FrameSource(str(tmp_path / f"b.{number}.vdb"), number))
    code(files, tmp_path / "b.neuralvdb")
    with ArchiveReader(tmp_path / "b.neuralvdb", is_readable) as archive:
        (first,), (second,), (third,) = ([s for s in archive.sections_of(i) if s.kind == "TOPO"] for i in range(3))
        assert [first.codec, second.codec, third.codec] == [1, 4, 4]
        assert archive.read(first) != archive.read(second) and second.size < first.size - 15
        payload = archive.read(third)
        tables = BaseTables(archive, 0)
        assert tables.section(third, payload, "here").codec == 1
        for lie in (bytes([payload[0] + 2]), bytes([payload[0] + 4])):  # of codec 3, and of a grid that is not there
            with pytest.raises(DamagedFile, match=r"here: .*(cannot be of codec 3|TOPO that is not there)"):
                tables.section(third, lie + payload[1:], "here")
    for source in files:
        assert neuralvdb.verify(tmp_path / "b.neuralvdb", source.path, frame=source.number).differences == []
