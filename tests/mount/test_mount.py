"""`nvdb mount`: frames of archives are ordinary files, whatever becomes of those who read them or serve them."""

import contextlib
import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

import neuralvdb

FRAMES = ["ball.0007.vdb", "ball.0008.vdb", "ball.0009.vdb"]


def test_frames_are_what_decompress_writes(mount, shot, decompressed, nvdb):
    """Their sizes are told before anything is read; a second mount of another copy decodes nothing again."""
    mounted = mount(shot)
    names = sorted(os.listdir(mounted.folder))
    assert names == FRAMES
    for name in names:
        path = mounted.folder / name
        assert path.stat().st_size == len(decompressed[name])
        assert path.read_bytes() == decompressed[name]
        assert not os.access(path, os.X_OK)
    with pytest.raises(OSError) as refused:
        (mounted.folder / "new.vdb").write_bytes(b"x")
    assert refused.value.errno == errno.EROFS
    cached = mounted.cached()
    copy = Path(shutil.copy(shot, mounted.cache / "copy.neuralvdb"))
    assert {p.name: p.read_bytes() for p in mount(copy).folder.iterdir()} == decompressed
    assert mounted.cached() == cached and len(cached) == 3
    assert mounted.logged() == []
    assert nvdb("unmount", mounted.folder, "--cache", mounted.cache).returncode == 0
    assert list(mounted.folder.iterdir()) == []


def test_vdb_print_says_the_same(mount, shot, decompressed, tmp_path):
    if shutil.which("vdb_print") is None:
        pytest.skip("vdb_print is not installed: apt-get install libopenvdb-tools")
    mounted = mount(shot)
    for name, data in decompressed.items():
        (tmp_path / name).write_bytes(data)
    from_mount, from_files = (
        subprocess.run(["vdb_print", "-l", *names], cwd=folder, capture_output=True, text=True, check=True).stdout
        for folder, names in ((mounted.folder, FRAMES), (tmp_path, FRAMES))
    )
    assert from_mount == from_files and "ball" in from_mount


def test_eight_readers_at_once(mount, shot, decompressed):
    """Each reads all frames, in its own order, and gets the right bytes; each frame is decoded once."""
    mounted = mount(shot)

    def read(reader: int) -> dict[str, bytes]:
        names = FRAMES[reader % 3 :] + FRAMES[: reader % 3]
        return {name: (mounted.folder / name).read_bytes() for name in names}

    with ThreadPoolExecutor(8) as pool:
        assert all(frames == decompressed for frames in pool.map(read, range(8)))
    assert len((mounted.cache / "sizes").read_text().splitlines()) == 3


def test_a_damaged_frame_is_an_error_of_that_frame(mount, shot, decompressed, tmp_path):
    """One line in the log says what is wrong, however often it is asked for; other frames are as before."""
    data = bytearray(shot.read_bytes())
    with neuralvdb.open(shot) as archive:
        at = archive._reader.directory.entry(1).extent.begin
    data[at + 4] ^= 0xFF
    path = tmp_path / "damaged.neuralvdb"
    path.write_bytes(data)
    mounted = mount(path)

    def refused(_: int) -> int:
        with pytest.raises(OSError) as error:
            (mounted.folder / FRAMES[1]).read_bytes()
        return error.value.errno

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(refused, range(8))) == {errno.EIO}
    assert (mounted.folder / FRAMES[2]).read_bytes() == decompressed[FRAMES[2]]
    (line,) = mounted.logged()
    assert f"{path}" in line and "checksum" in line


def test_the_next_frame_is_decoded_ahead(mount, shot, wait_until):
    """Where frames are opened in order, and backwards."""
    for order in (FRAMES, FRAMES[::-1]):
        mounted = mount(shot, "--cache", shot.parent / order[0])
        for name in order[:2]:
            (mounted.folder / name).read_bytes()
        wait_until(lambda mounted=mounted: len(mounted.cached()) == 3)


def test_the_limit_of_the_cache_holds(mount, shot, decompressed):
    """What was used longest ago goes; a file that is open stays readable."""
    sizes = [len(data) for data in decompressed.values()]
    mounted = mount(shot, "--cache-size", sum(sizes) - 1)
    with open(mounted.folder / FRAMES[0], "rb") as kept_open:
        for _ in range(2):
            for name in FRAMES:
                assert (mounted.folder / name).read_bytes() == decompressed[name]
                taken = sum(path.stat().st_size for path in (mounted.cache / "frames").iterdir())
                assert taken < sum(sizes)
        assert kept_open.read() == decompressed[FRAMES[0]]


def test_a_frame_that_does_not_fit_says_so(mount, shot):
    mounted = mount(shot, "--cache-size", "1k", "--sizes", "source")
    path = mounted.folder / FRAMES[0]
    assert path.stat().st_size > 1000
    with pytest.raises(OSError) as refused:
        path.read_bytes()
    assert refused.value.errno == errno.EIO
    assert "raise --cache-size" in mounted.logged()[0]
    assert mounted.cached() == {}


def test_sizes_of_sources_become_those_of_frames(mount, shot, decompressed):
    """Telling them decodes nothing; from a frame's first open on its own size is told."""
    mounted = mount(shot, "--sizes", "source")
    path = mounted.folder / FRAMES[0]
    assert path.stat().st_size > 0 and mounted.cached() == {}
    with open(path, "rb") as file:
        assert os.fstat(file.fileno()).st_size == len(decompressed[FRAMES[0]])
        assert file.read() == decompressed[FRAMES[0]]
    assert path.stat().st_size == len(decompressed[FRAMES[0]])


def test_views_are_those_of_decompress(mount, shot, tmp_path):
    mounted = mount(shot, "--lod", "1", "--grids", "other")
    neuralvdb.decompress(shot, tmp_path / "x.vdb", frame=7, lod=1, grids="other")
    assert (mounted.folder / FRAMES[0]).read_bytes() == (tmp_path / "x.vdb").read_bytes()


def test_a_killed_reader_leaves_all_as_it_was(mount, shot, decompressed):
    mounted = mount(shot)
    code = f"import time; file = open({str(mounted.folder / FRAMES[0])!r}); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as reader:
        reader.stdout.readline()
        reader.kill()
    assert {path.name: path.read_bytes() for path in mounted.folder.iterdir()} == decompressed


def test_a_worker_that_crashed_is_replaced(mount, shot, decompressed, wait_until):
    mounted = mount(shot)
    (mounted.folder / FRAMES[0]).read_bytes()
    _, worker = mounted.children()
    os.kill(worker, signal.SIGSEGV)
    wait_until(lambda: not Path(f"/proc/{worker}").exists())
    assert (mounted.folder / FRAMES[1]).read_bytes() == decompressed[FRAMES[1]]


@contextlib.contextmanager
def waiting_for(worker: int, frame: Path) -> Iterator[Future[bytes]]:
    """Somebody who reads a frame, for which the worker, which is stopped, does nothing."""
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(frame.read_bytes)
        with pytest.raises(TimeoutError):
            reading.result(0.3)
        yield reading


def test_a_crash_while_a_frame_is_decoded_is_an_error_of_that_frame(mount, shot, decompressed):
    """And one line in the log."""
    mounted = mount(shot)
    _, worker = mounted.children()
    with waiting_for(worker, mounted.folder / FRAMES[0]) as reading:
        os.kill(worker, signal.SIGSEGV)
        os.kill(worker, signal.SIGCONT)
        with pytest.raises(OSError) as refused:
            reading.result(20)
    assert refused.value.errno == errno.EIO
    (line,) = mounted.logged()
    assert "SIGSEGV" in line
    assert (mounted.folder / FRAMES[1]).read_bytes() == decompressed[FRAMES[1]]


def test_a_signal_ends_the_mount_while_a_frame_is_decoded(mount, shot, wait_until):
    """Who waits for the frame hears so."""
    mounted = mount(shot)
    _, worker = mounted.children()
    with waiting_for(worker, mounted.folder / FRAMES[0]) as reading:
        os.kill(mounted.process, signal.SIGTERM)
        wait_until(lambda: not mounted.is_served())
        with pytest.raises(OSError):
            reading.result(20)
    assert not Path(f"/proc/{worker}").exists() and os.listdir(mounted.folder) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_mount(mount, shot, number, nvdb, wait_until):
    """One that can be heard unmounts, though a file is open; after SIGKILL `nvdb unmount` leaves nothing behind."""
    mounted = mount(shot)
    children = mounted.children()
    assert children
    with contextlib.suppress(OSError), open(mounted.folder / FRAMES[0], "rb"):  # it cannot be closed as others are
        os.kill(mounted.process, number)
        wait_until(lambda: not mounted.is_served())
    wait_until(lambda: not any(Path(f"/proc/{child}/cmdline").exists() for child in children))
    if number == signal.SIGKILL:
        with pytest.raises(OSError):
            os.listdir(mounted.folder)
        assert nvdb("unmount", mounted.folder, "--cache", mounted.cache).returncode == 0
    assert os.listdir(mounted.folder) == []
    assert mounted.left_in_cache() == []


def test_it_ends_when_nothing_can_be_decoded_any_more(mount, shot, wait_until):
    mounted = mount(shot)
    os.kill(mounted.children()[0], signal.SIGKILL)
    wait_until(lambda: not mounted.is_served())
    assert os.listdir(mounted.folder) == []
    assert "mount it again" in mounted.logged()[0]


def test_in_the_foreground_it_tells_systemd_and_ends_well(need_fuse, shot, decompressed, tmp_path):
    """SIGTERM is how a service ends, and no error."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.settimeout(20)
        code = "import sys; from neuralvdb.cli import main; sys.exit(main())"
        command = [sys.executable, "-P", "-c", code, "mount", "--foreground", "--cache", tmp_path / "cache", shot]
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen([*command, tmp_path / "m"], env=environment, stdout=subprocess.PIPE) as server:
            try:
                assert channel.recv(100) == b"READY=1"
                assert (tmp_path / "m" / FRAMES[0]).read_bytes() == decompressed[FRAMES[0]]
                server.terminate()
                assert server.wait(20) == 0
                assert b"is mounted on" in server.stdout.read()
            finally:
                server.kill()
                subprocess.run(["fusermount3", "-u", "-z", tmp_path / "m"], capture_output=True)


def test_a_line_of_fstab_mounts(need_fuse, shot, tmp_path, monkeypatch):
    """By the helper that mount(8) calls for the type nvdb."""
    helper = Path(neuralvdb.__file__).parent / "integrations/farm/mount.nvdb"
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    options = f"rw,noauto,_netdev,lod=1,grids=ball:other,cache={tmp_path / 'cache'}"
    subprocess.run(["sh", helper, shot, tmp_path / "m", "-o", options], check=True, timeout=60)
    try:
        assert sorted(os.listdir(tmp_path / "m")) == FRAMES
    finally:
        subprocess.run(["fusermount3", "-u", tmp_path / "m"], check=True)


MOUNT_BY_FSTAB = """
for folder in sbin local/bin; do
    mount -t overlay -o lowerdir=$folder:/usr/$folder overlay /usr/$folder || exit 77
done
mount -T fstab "$PWD/m" && ls m && findmnt -n -o FSTYPE m && umount m
"""


@pytest.mark.slow
def test_mount_takes_a_line_of_fstab(need_fuse, shot, tmp_path):
    """mount(8) itself, with the helper and nvdb installed where it looks, which only it sees."""
    for name, program in (
        ("sbin/mount.nvdb", Path(neuralvdb.__file__).parent / "integrations/farm/mount.nvdb"),
        ("local/bin/nvdb", Path(sys.executable).with_name("nvdb")),
    ):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(program, tmp_path / name)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "m").mkdir()
    options = f"_netdev,noauto,allow_other,cache={tmp_path / 'cache'},cache-size=1G"
    (tmp_path / "fstab").write_text(f"{shot} {tmp_path / 'm'} nvdb {options} 0 0\n")
    command = ["unshare", "--mount", "sh", "-c", MOUNT_BY_FSTAB]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    if os.geteuid() or done.returncode == 77:
        pytest.skip("folders of the system cannot be overlaid here: that takes root")
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, [*FRAMES, "fuse.nvdb"], "")


@pytest.mark.slow
def test_systemd_takes_the_unit(tmp_path):
    """Filled in for this machine."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    unit = (Path(neuralvdb.__file__).parent / "integrations/farm/nvdb-mount.service").read_text()
    nvdb = str(Path(sys.executable).with_name("nvdb"))
    for word, real in (("RENDER", "root"), ("/SHOW/CACHES", str(tmp_path)), ("/usr/local/bin/nvdb", nvdb)):
        assert word in unit
        unit = unit.replace(word, real)
    (tmp_path / "nvdb-mount.service").write_text(unit)
    done = subprocess.run([analyze, "verify", tmp_path / "nvdb-mount.service"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
