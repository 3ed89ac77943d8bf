"""What `nvdb mount` shows of a folder, and what it refuses."""

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture
def source(frame_archives, shot, tmp_path) -> Path:
    """A folder with archives of frames, a shot, other files, links, and a name that two files would have."""
    folder = tmp_path / "a, b" / "source"
    shutil.copytree(frame_archives, folder)
    (folder / "sub").mkdir()
    shutil.copy(shot, folder / "sub" / "ball.neuralvdb")
    (folder / "notes.txt").write_text("notes")
    (folder / "link").symlink_to("notes.txt")
    (folder / "loop").symlink_to(".")
    (folder / "ball.0009.vdb").write_bytes(b"an original")
    (folder / "broken.neuralvdb").write_bytes(b"no archive")
    return folder


def test_a_folder_is_shown_with_all_in_it(mount, source, decompressed):
    """Archives of one frame are its file, those of many a folder; all else is as it is, and goes before archives."""
    folder = mount(source).folder
    frames = {f"ball.{number:04d}.vdb" for number in (7, 8, 9)}
    assert set(os.listdir(folder)) == frames | {"sub", "notes.txt", "broken.vdb", "link", "loop"}
    assert os.listdir(folder / "sub") == ["ball"] and set(os.listdir(folder / "sub/ball")) == frames
    assert (folder / "notes.txt").read_text() == (folder / "link").read_text() == "notes"
    assert os.readlink(folder / "loop") == "."
    assert (folder / "ball.0009.vdb").read_bytes() == b"an original"
    for name in ("ball.0007.vdb", "ball.0008.vdb"):
        assert (folder / name).read_bytes() == (folder / "sub/ball" / name).read_bytes() == decompressed[name]
    with pytest.raises(OSError):
        (folder / "broken.vdb").read_bytes()
    assert not (folder / "ball.0007.neuralvdb").exists() and not (folder / "sub/ball/absent.vdb").exists()


def test_an_archive_that_is_replaced_is_shown_anew(mount, source, decompressed):
    folder = mount(source).folder
    path = folder / "ball.0007.vdb"
    assert path.read_bytes() == decompressed["ball.0007.vdb"]
    os.replace(source / "ball.0008.neuralvdb", source / "ball.0007.neuralvdb")
    with open(path, "rb") as file:
        assert file.read() != decompressed["ball.0007.vdb"]
    (source / "ball.0007.neuralvdb").unlink()
    with pytest.raises(OSError), open(path, "rb"):
        pass


def test_one_frame_is_a_folder_with_one_file(mount, frame_archives, decompressed):
    folder = mount(frame_archives / "ball.0008.neuralvdb").folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        "ball.0008.vdb": decompressed["ball.0008.vdb"]
    }


def test_what_cannot_be_mounted_is_one_line(need_fuse, nvdb, source, frame_archives, shot, tmp_path):
    """And nothing is mounted: the source is not there or damaged, the folder is in use or would show itself."""
    full = tmp_path / "full"
    full.mkdir()
    (full / "file").write_text("x")
    cases = [
        (3, "cannot be read", ("mount", tmp_path / "absent", tmp_path / "m")),
        (4, "not an archive", ("mount", source / "broken.neuralvdb", tmp_path / "m")),
        (6, "holds files", ("mount", shot, full)),
        (2, "would show itself", ("mount", source, source / "sub" / "m")),
        (2, "would hide", ("mount", source, source.parent)),
        (2, "no size", ("mount", shot, tmp_path / "m", "--cache-size", "much")),
        (7, "cannot be written", ("mount", shot, tmp_path / "m", "--cache", full / "file")),
        (7, "log cannot be written", ("mount", shot, tmp_path / "m", "--log", full)),
        (11, "no grid", ("mount", frame_archives / "ball.0007.neuralvdb", tmp_path / "m", "--grids", "none")),
        (3, "nothing is mounted", ("unmount", full)),
    ]
    for code, words, arguments in cases:
        cache = ["--cache", tmp_path / "cache"] if "--cache" not in arguments else []
        done = nvdb(*arguments, *cache)
        assert (done.returncode, words in done.stderr) == (code, True), (arguments, done.stderr)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_without_fuse_a_line_says_what_to_install(nvdb, shot, tmp_path, monkeypatch):
    pytest.importorskip("mfusepy")
    monkeypatch.setenv("FUSE_LIBRARY_NAME", "no-such-thing")
    done = nvdb("mount", shot, tmp_path / "m")
    assert done.returncode == 5
    assert "apt-get install fuse3" in done.stderr and "nvdb cache" in done.stderr
