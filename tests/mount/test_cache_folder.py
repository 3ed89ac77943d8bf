"""`nvdb cache`: a folder of frames for those who cannot mount. Nothing here needs FUSE."""

import os
from pathlib import Path

import pytest

FRAMES = ["ball.0007.vdb", "ball.0008.vdb", "ball.0009.vdb"]


def shown(folder: Path) -> list[str]:
    """The names of the frames in a folder, in order."""
    return sorted(path.name for path in folder.glob("*.vdb"))


def test_a_folder_is_filled_and_its_limit_holds(nvdb, shot, decompressed, tmp_path):
    """Frames that are there are left as they are, those of other runs go first, files of others stay."""
    folder = tmp_path / "filled"
    limit = sum(map(len, decompressed.values())) - 1
    assert nvdb("cache", shot, folder, "--frames", "7-8", "--cache-size", limit).returncode == 0
    first = os.stat(folder / FRAMES[1])
    (folder / "mine.vdb").write_bytes(b"x" * limit)
    done = nvdb("cache", shot, folder, "--frames", "8-9", "--cache-size", limit)
    assert done.returncode == 0 and "1 skipped" in done.stdout
    assert shown(folder) == [*FRAMES[1:], "mine.vdb"]
    assert os.stat(folder / FRAMES[1]).st_ino == first.st_ino
    assert all((folder / name).read_bytes() == decompressed[name] for name in FRAMES[1:])
    done = nvdb("cache", shot, folder, "--jobs", 1, "--cache-size", limit)
    assert done.returncode == 7 and "raise --cache-size" in done.stderr
    assert shown(folder) == [*FRAMES[1:], "mine.vdb"]


def test_a_file_of_others_is_overwritten_only_if_asked(nvdb, shot, decompressed, tmp_path):
    (tmp_path / FRAMES[0]).write_bytes(b"an original")
    assert nvdb("cache", shot, tmp_path, "--frames", 7).returncode == 6
    assert (tmp_path / FRAMES[0]).read_bytes() == b"an original"
    assert nvdb("cache", shot, tmp_path, "--frames", 7, "--force").returncode == 0
    assert (tmp_path / FRAMES[0]).read_bytes() == decompressed[FRAMES[0]]


@pytest.mark.slow
def test_a_folder_of_archives_becomes_what_a_mount_shows(nvdb, frame_archives, shot, decompressed, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for path in (*frame_archives.iterdir(), shot):
        os.link(path, source / path.name)
    assert nvdb("cache", source, tmp_path / "filled").returncode == 0
    for folder in (tmp_path / "filled", tmp_path / "filled" / "ball"):
        assert {path.name: path.read_bytes() for path in folder.glob("*.vdb")} == decompressed
