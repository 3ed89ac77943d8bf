"""Archives of many frames on the command line: made, read by frame, joined, split, gone on with."""

import shutil
import time
from pathlib import Path

import pytest

import neuralvdb
from neuralvdb.api.frames import sequence_info
from neuralvdb.archive import ArchiveReader, FrameLabel, container
from neuralvdb.archive.formats import is_readable
from neuralvdb.platform import read_at
from neuralvdb.sequence.pack import PackedFrame, join

ALL = "smoke.####.vdb"


@pytest.fixture
def shot(run, frames: Path) -> Path:
    """An archive of frames 1, 2, 3 and 5, made by three processes."""
    run("compress", ALL, "--lossless", "-o", "shot.neuralvdb", "--jobs", "3")
    assert sorted(path.name for path in frames.glob("*.neuralvdb*")) == ["shot.neuralvdb"]
    return frames / "shot.neuralvdb"


def test_frames_come_back_under_their_names(run, run_json, shot, small, archive, check_json):
    (info,) = run_json("info", shot)["results"]
    check_json(info, "info of many frames")
    assert [check_json(frame, "frame of many")["number"] for frame in info["frames"]] == ["1", "2", "3", "5"]
    assert "4 frames" in (text := run("info", shot).stdout) and "frames: 1-3, 5\n" in text
    assert shot.stat().st_size < 2 * archive.stat().st_size  # they are all the same
    results = run_json("decompress", shot, "-o", "out/", "--frames", "2-5", "--missing", "skip")["results"]
    assert [check_json(result, "decompress")["frame"] for result in results] == ["2", "3", "5"]
    assert sorted(path.name for path in Path(shot.parent, "out").iterdir()) == [
        f"smoke.{number:04}.vdb" for number in (2, 3, 5)
    ]
    run("decompress", shot, "-o", "again.%03d.vdb", "--frames", "5")
    assert neuralvdb.diff(shot.parent / "again.005.vdb", small).same
    assert "has no frame 4" in run("decompress", shot, "--frames", "4", "-o", "x.vdb", code=3).stderr
    assert "holds" not in run("decompress", shot, "--frames", "1", "-o", "x.vdb").stderr


def test_frames_are_compared_by_their_numbers(run, run_json, shot):
    results = run_json("verify", shot, ALL)["results"]
    assert [(r["frame"], r["original"][-8:], r["differences"]) for r in results] == [
        (str(n), f"{n:04}.vdb", []) for n in (1, 2, 3, 5)
    ]
    shutil.copy(shot, shot.with_name("b.neuralvdb"))
    assert [r["frame"] for r in run_json("diff", shot, "b.neuralvdb", "--frames", "3,5")["results"]] == ["3", "5"]
    assert run("diff", shot, ALL).stdout.count("same") == 4


def test_frames_are_drawn(run_json, shot, check_json):
    pytest.importorskip("PIL")
    results = run_json("view", shot, "--frames", "2,5", "-o", "seen.%03d.png")["results"]
    assert [(check_json(r, "view")["target"], r["frame"]) for r in results] == [
        ("seen.002.png", "2"),
        ("seen.005.png", "5"),
    ]
    assert [Path(shot.parent, r["target"]).read_bytes()[:4] for r in results] == [b"\x89PNG"] * 2
    (page,) = run_json("report", shot, "--originals", ".", "--frames", "1-5", "--missing", "skip")["results"]
    assert [frame["name"] for frame in page["frames"]] == [f"smoke.{number:04}.vdb" for number in (1, 2, 3, 5)]
    assert all(loss["max_error"] == 0 for frame in page["frames"] for loss in frame["losses"])
    text = shot.with_name("report.html").read_text()
    assert "4 frames" in text and text.count("data:image/png") == 3  # of the first frame, the middle and the last one


def test_a_run_that_failed_goes_on(run, run_json, frames, small, shot, check_json):
    """And ends with the bytes of one that did not."""
    expected = shot.read_bytes()
    shot.unlink()
    (frames / "smoke.0003.vdb").write_bytes(b"broken")
    done = run("compress", ALL, "--lossless", "-o", "shot.neuralvdb", code=4)
    failed = "1 of 4 frames failed, or are in a chunk with one that did; the others are in shot.neuralvdb.frames"
    assert failed in done.stderr
    assert not shot.exists()
    (frames / "shot.neuralvdb.frames/.smoke.0003.neuralvdb.k1ll3d.part").touch()  # as SIGKILL leaves it
    shutil.copy(small, frames / "smoke.0003.vdb")
    report = run_json("compress", ALL, "--lossless", "-o", "shot.neuralvdb", "--skip-existing")
    assert [result.get("skipped") for result in report["results"]] == [True, True, False, True, False]
    assert (report["total"]["done"], report["total"]["skipped"], report["total"]["failed"]) == (1, 3, 0)
    check_json(report["results"][0], "compress")
    check_json(report["results"][-1], "pack")
    assert shot.read_bytes() == expected and not (frames / "shot.neuralvdb.frames").exists()
    before = shot.stat().st_mtime_ns
    report = run_json("compress", ALL, "--lossless", "-o", "shot.neuralvdb", "--skip-existing")
    assert report["total"]["skipped"] == 4 and shot.stat().st_mtime_ns == before
    assert "exists already" in run("compress", ALL, "-o", "shot.neuralvdb", code=6).stderr


def test_packed_is_as_if_made_in_one_run(run, run_json, frames, shot, check_json):
    """Of archives of one frame and of chunks, in any order; and unpacked again each is what it was."""
    run("compress", ALL, "--lossless", "-o", "./")
    run("compress", ALL, "--lossless", "--frames", "2-3", "-o", "chunk.neuralvdb")
    names = ["smoke.0005.neuralvdb", "chunk.neuralvdb", "smoke.0001.neuralvdb", "smoke.0002.neuralvdb"]
    done = run("pack", *names, "-o", "packed.neuralvdb")
    assert "there twice, and the same: 2" in done.stderr
    assert (frames / "packed.neuralvdb").read_bytes() == shot.read_bytes()
    (first, *_) = run_json("unpack", shot, "-o", "apart/")["results"]
    check_json(first, "unpack")
    for path in (frames / "apart").iterdir():
        assert path.read_bytes() == (frames / path.name).read_bytes()
    (frames / "apart/smoke.0002.neuralvdb").unlink()
    assert "missing" not in run("pack", "--check", "apart").stdout  # every second frame
    assert "missing: 2, 4\n" in run("pack", "--check", "apart", "--frames", "1-5", code=10).stdout
    report = run_json("pack", "--check", "apart", "chunk.neuralvdb", "--frames", "1-6", code=10)
    check_json(report["results"][-1], "pack --check")
    assert (report["results"][-1]["missing"], report["results"][-1]["twice"]) == (["4", "6"], ["3"])
    damaged = frames / "apart/smoke.0005.neuralvdb"
    damaged.write_bytes(damaged.read_bytes().replace(b"(\xb5/\xfd", b"(\xb5/\xfe"))
    assert "missing: 5" in run("pack", "--check", "apart", "--frames", "1-5x2", code=4).stdout


def test_what_cannot_be_one_archive(run, frames, small):
    for name in ("a.vdb", "b.0001.vdb", "c_1.vdb"):
        shutil.copy(small, frames / name)
    assert "its name says no frame" in run("compress", "a.vdb", "b.0001.vdb", "-o", "x.neuralvdb", code=2).stderr
    assert "are both frame 1" in run("compress", "c_1.vdb", "b.0001.vdb", "-o", "x.neuralvdb", code=2).stderr
    assert not list(frames.glob("x*"))


@pytest.fixture(scope="module")
def thousand(archive, tmp_path_factory) -> Path:
    """An archive of a thousand frames, all the same."""
    path = tmp_path_factory.mktemp("many") / "many.neuralvdb"
    with open(path, "wb") as stream:
        labels = (FrameLabel(number, b"s.%04d.vdb" % number, 1000) for number in range(1, 1001))
        assert sum(1 for _ in join((PackedFrame(str(archive), 0, label) for label in labels), stream)) == 1000
    return path


def test_little_is_read_of_a_thousand_frames(thousand, archive, small, tmp_path, monkeypatch):
    """The header, the directory, an index, and the sections of the frame."""
    reads = []
    monkeypatch.setattr(container, "read_at", lambda *args: reads.append(args[1:]) or read_at(*args))
    neuralvdb.decompress(thousand, tmp_path / "a.vdb", frame=57)
    touched = {offset for begin, size in reads for offset in range(begin, begin + size)}
    directory = 20_000
    assert len(touched) < 52 + directory + archive.stat().st_size
    assert neuralvdb.diff(tmp_path / "a.vdb", small).same
    with pytest.raises(neuralvdb.errors.InputError, match="has no frame 1001; it holds 1000 frames from 1 to 1000"):
        neuralvdb.info(thousand, 1001)


def test_a_thousand_frames_are_told_at_once(thousand):
    began = time.process_time()
    assert len(sequence_info(str(thousand)).frames) == 1000
    assert time.process_time() - began < 0.5


def test_a_damaged_frame_of_a_chunk_leaves_those_that_do_not_need_it(run, run_json, frames, small):
    """Frames of one chunk, the third of which is damaged: those before it are decoded and checked, the others fail."""
    run("compress", ALL, "--rel-error", "1%", "-o", "shot.neuralvdb")
    with ArchiveReader(frames / "shot.neuralvdb", is_readable) as archive:
        behind = [archive.directory.entry(position).label.behind for position in range(4)]
        extent = archive.directory.entry(2).extent
    assert behind == [0, 1, 2, 3]  # they are all the same
    data = bytearray((frames / "shot.neuralvdb").read_bytes())
    data[extent.at + 2] ^= 1
    (frames / "shot.neuralvdb").write_bytes(data)
    report = run_json("decompress", "shot.neuralvdb", "-o", "out/", code=4)
    assert [result["frame"] for result in report["results"]] == ["1", "2"]
    assert [len(report["errors"]), report["total"]["failed"]] == [2, 2]
    report = run_json("verify", "shot.neuralvdb", ALL, code=4)
    assert [result["frame"] for result in report["results"]] == ["1", "2"]
