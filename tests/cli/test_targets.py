"""What may be written where, and what is left where writing fails."""

import os
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import pytest

import neuralvdb
from neuralvdb.api.compress import compressing
from neuralvdb.api.decompress import decompressing
from neuralvdb.api.outputs import FrameTarget
from neuralvdb.api.pack import unpacking
from neuralvdb.api.pictures import view
from neuralvdb.errors import OutputError, OutputExists
from neuralvdb.new_file import new_file
from neuralvdb.platform import rename_new
from neuralvdb.settings import CompressSettings, DecompressSettings, ViewSettings


def put_fifo(path: Path) -> None:
    os.mkfifo(path)


def put_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(path))


def put_device(path: Path) -> None:
    try:
        os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("only root makes devices")


def put_link_to_device(path: Path) -> None:
    path.symlink_to("/dev/null")


@pytest.mark.parametrize("put", [put_fifo, put_socket, put_device, put_link_to_device])
@pytest.mark.parametrize("force", [(), ("--force",)], ids=["", "force"])
def test_a_device_pipe_or_socket_is_never_replaced(run, small, tmp_path, put, force):
    put(tmp_path / "x")
    before = os.lstat(tmp_path / "x")[:2]
    done = run("compress", small, "-o", "x", *force, code=6)
    assert done.stderr == "nvdb: x: is a device, pipe or socket, which is never replaced; give another name\n"
    assert os.lstat(tmp_path / "x")[:2] == before
    assert os.listdir(tmp_path) == ["x"]


@pytest.mark.parametrize(
    "words",
    [
        ["compress", "bad.0001.vdb", "-o", "new/"],
        ["compress", "bad.####.vdb", "-o", "shot.neuralvdb"],
        ["decompress", "ball.neuralvdb", "--grids", "none", "-o", "new/within/"],
        ["unpack", "bad.neuralvdb", "-o", "new/"],
        ["view", "bad.0001.vdb", "-o", "new/"],
        ["cache", "bad.neuralvdb", "new"],
        ["mount", "cut.neuralvdb", "new"],
    ],
    ids=lambda words: words[0],
)
def test_a_folder_in_which_nothing_was_written_is_not_left(run, small, archive, tmp_path, words):
    """And one that was there stays."""
    if words[0] == "view":
        pytest.importorskip("PIL")
    if words[0] == "mount":
        pytest.importorskip("mfusepy")
    shutil.copy(archive, tmp_path / "ball.neuralvdb")
    (tmp_path / "bad.0001.vdb").write_bytes(small.read_bytes()[:500])
    data = bytearray(archive.read_bytes())
    data[60] ^= 1  # its frame table, so that it opens
    (tmp_path / "bad.neuralvdb").write_bytes(data)
    (tmp_path / "cut.neuralvdb").write_bytes(data[:500])
    before = sorted(os.listdir(tmp_path))
    code = 11 if "none" in words else 4
    run(*words, code=code)
    assert sorted(os.listdir(tmp_path)) == before
    (tmp_path / "new").mkdir()
    run(*words, code=code)
    assert sorted(os.listdir(tmp_path)) == sorted([*before, "new"]) and not os.listdir(tmp_path / "new")


@pytest.mark.parametrize("name", ["", "link"])
def test_what_is_read_is_never_replaced(small, archive, tmp_path, name):
    before = small.read_bytes(), archive.read_bytes()
    for source, call in (
        (small, neuralvdb.compress),
        (archive, neuralvdb.decompress),
        (small, lambda source, target, **options: neuralvdb.train([small, source], target, **options)),
        (archive, lambda source, target, **options: view(source, target, ViewSettings(**options))),
        (archive, lambda source, target, **options: unpacking(str(source), None, target, **options).__enter__()),
    ):
        target = source if not name else tmp_path / f"{name}{source.suffix}"
        if name and not target.exists():
            target.symlink_to(source)
        with pytest.raises(OutputExists, match="is what is read"):
            call(source, target, force=True)
    assert (small.read_bytes(), archive.read_bytes()) == before


def test_of_two_writers_without_force_the_second_one_loses(tmp_path):
    target = tmp_path / "x"
    with pytest.raises(OutputExists, match="x: exists already"), new_file(target, force=False) as second:
        Path(second.temporary).write_text("second")
        with new_file(target, force=False) as first:
            Path(first.temporary).write_text("first")
    assert target.read_text() == "first"
    assert os.listdir(tmp_path) == ["x"]


def test_renaming_to_a_name_that_is_taken_fails(tmp_path):
    """Also where only the renaming itself can see that it is."""
    for name in "ab":
        (tmp_path / name).write_text(name)
    with pytest.raises(FileExistsError):
        rename_new(tmp_path / "a", tmp_path / "b")
    assert [(tmp_path / name).read_text() for name in "ab"] == ["a", "b"]
    rename_new(tmp_path / "a", tmp_path / "c")
    assert sorted(os.listdir(tmp_path)) == ["b", "c"]


@pytest.mark.parametrize("mode", [0o600, 0o444, 0o664])
def test_force_keeps_the_permissions_of_the_old_file(run, small, tmp_path, mode):
    (tmp_path / "x").write_text("old")
    (tmp_path / "x").chmod(mode)
    run("compress", small, "-o", "x", "--force")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == mode
    assert (tmp_path / "x").read_bytes() != b"old"


def test_new_files_have_the_permissions_of_any_new_file(tmp_path):
    old = os.umask(0o027)
    try:
        with new_file(tmp_path / "x", force=False) as file, file.open() as stream:
            stream.write(b"new")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_force_writes_the_file_that_a_link_names(run, small, archive, tmp_path):
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "x").write_text("old")
    (tmp_path / "link").symlink_to("store/x")
    assert "link: exists already" in run("compress", small, "-o", "link", code=6).stderr
    run("compress", small, "-o", "link", "--force", "--lossless")
    assert os.readlink(tmp_path / "link") == "store/x"
    assert (tmp_path / "store" / "x").read_bytes() == archive.read_bytes()
    assert os.listdir(tmp_path / "store") == ["x"]


def test_a_link_to_nothing_is_written_through_only_with_force(run, small, archive, tmp_path):
    (tmp_path / "link").symlink_to("store/x")
    assert "x, which is not there; use --force to write that" in run("compress", small, "-o", "link", code=6).stderr
    assert "link: cannot be written: No such file" in run("compress", small, "-o", "link", "--force", code=7).stderr
    (tmp_path / "store").mkdir()
    run("compress", small, "-o", "link", "--force", "--lossless")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "store" / "x").read_bytes() == archive.read_bytes()


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path):
    """In a folder that others may write to, they could have any file of the user's overwritten."""
    (tmp_path / "mine").write_text("precious")
    with pytest.raises(OutputError, match="x: cannot be written"), new_file(tmp_path / "x", force=False) as file:
        os.unlink(file.temporary)
        os.symlink(tmp_path / "mine", file.temporary)
        file.open()
    assert (tmp_path / "mine").read_text() == "precious"
    assert os.listdir(tmp_path) == ["mine"]


def test_a_temporary_file_that_is_gone_is_not_made_anew(tmp_path):
    gone = pytest.raises(OutputError, match="x: cannot be written: No such file")
    with gone, new_file(tmp_path / "x", force=False) as file:
        os.unlink(file.temporary)
        file.open()
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a" * 255, "霧" * 85, "x" * 243 + ".neuralvdb.v"])
def test_names_may_be_as_long_as_the_system_lets_them(run, small, tmp_path, name):
    run("compress", small, "-o", name)
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("name", ["a" * 256, "loop", "closed/x", "file/x"])
def test_outputs_that_cannot_be(run_unprivileged, small, tmp_path, name):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "file").write_text("")
    (tmp_path / "closed").mkdir(mode=0)
    for force in ([], ["--force"]):
        done = run_unprivileged("compress", small, "-o", name, *force, code=7)
        assert done.stderr.startswith(f"nvdb: {name}: cannot be written: ")
        assert done.stderr.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["closed", "file", "loop"]


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_the_output_s_folder_goes_meanwhile(small, archive, tmp_path, command):
    """While the input is read: the error is about the output, and names it."""
    folder = tmp_path / "out"
    folder.mkdir()
    if command == "compress":
        begun = compressing(small, folder / "x", CompressSettings())
    else:
        begun = decompressing(archive, [FrameTarget(None, folder / "x")], DecompressSettings())
    with pytest.raises(OutputError, match="out/x: cannot be written: No such file"), begun as task:
        shutil.rmtree(folder)
        outcome = task.work()
        if command == "decompress":
            raise outcome[0]


def test_the_output_s_folder_goes_before_the_check(small, tmp_path):
    """What was written cannot be read back, which is no fault of the input."""
    from neuralvdb import compress
    from neuralvdb.settings import CompressSettings

    settings = CompressSettings(quality="lossless")
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(OutputError, match=r"out/x: cannot be .*: No such file"):
        compress(small, folder / "x", settings, progress=lambda _: shutil.rmtree(folder, ignore_errors=True))


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_a_full_disk_is_told_of_the_target(nvdb_command, sample, tmp_path, command):
    """A limit of the size of files stands for the disk."""
    source, options = sample, ["--lossless"]
    if command == "decompress":
        source, options = tmp_path / "a", []
        subprocess.run([*nvdb_command, "compress", sample, "-o", source, "--lossless", "--no-verify"], check=True)
    before = os.listdir(tmp_path)
    limited = ["sh", "-c", 'trap "" XFSZ; ulimit -f 100; exec "$@"', "sh", *nvdb_command]
    done = subprocess.run(
        [*limited, command, source, *options, "-o", "x"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 7, done.stderr
    assert done.stderr == "nvdb: x: cannot be written: File too large\n"
    assert os.listdir(tmp_path) == before


def test_sizes_are_those_of_the_file_that_was_read(small, archive, tmp_path):
    """Not of one that took its place meanwhile; nor is work thrown away because the input is gone."""
    from neuralvdb import compress, decompress

    for job, original in ((compress, small), (decompress, archive)):
        source = Path(shutil.copy(original, tmp_path / "gone"))
        report = job(source, tmp_path / "x", progress=lambda _, source=source: source.unlink(missing_ok=True))
        sizes = vars(report)
        assert sizes["source_size" if job is compress else "archive_size"] == original.stat().st_size
        (tmp_path / "x").unlink()
