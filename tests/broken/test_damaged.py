"""Damaged, missing and unreadable files, and machines without room: an exit code, one line, nothing left behind."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import zstandard

import neuralvdb
from neuralvdb import CompressSettings
from neuralvdb.archive import ArchiveWriter, FieldWriter, SectionLabel
from neuralvdb.archive.container import MAGIC
from neuralvdb.codec.frame import FrameReader

PROGRAM = "import sys; from neuralvdb.cli import main; sys.exit(main())"


@pytest.fixture
def run(warm_nvdb, tmp_path: Path):
    """Runs `nvdb` in a folder that it may fill and gives stderr; a failure must be one line and leave nothing.

    prepare: called in the process before it loads anything, as for limits.
    """
    folder = tmp_path / "work"
    folder.mkdir()

    def call(*args: object, code: int, prepare=None) -> str:
        before = sorted(os.listdir(folder))
        if prepare is None:
            done = warm_nvdb.run(args, folder, 60)
        else:
            command = [sys.executable, "-P", "-c", PROGRAM, *map(str, args)]
            done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=60, preexec_fn=prepare)
        assert done.returncode == code, done.stderr
        if code not in (0, 10):
            assert done.stderr.startswith("nvdb: ") and done.stderr.count("\n") == 1, done.stderr
            assert sorted(os.listdir(folder)) == before
        return done.stderr

    call.folder = folder
    return call


@pytest.fixture(scope="module")
def made_archive(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive of one small grid."""
    target = tmp_path_factory.mktemp("made") / "cloud.neuralvdb"
    neuralvdb.compress(sample.with_name("cloud.vdb"), target, CompressSettings(quality="lossless"))
    return target.read_bytes()


@pytest.fixture
def archive(made_archive: bytes, tmp_path: Path) -> Path:
    """A copy of it outside the folder that `run` watches."""
    target = tmp_path / "cloud.neuralvdb"
    target.write_bytes(made_archive)
    return target


def test_damaged_vdb(run, damaged_vdb: Path):
    if damaged_vdb.name.startswith("bitflip") and damaged_vdb.stem.endswith("_1"):  # one value is another, no more
        run("compress", damaged_vdb, "-o", "x.neuralvdb", "--lossless", code=0)
        run("decompress", "x.neuralvdb", "-o", "x.vdb", code=0)
        run("diff", damaged_vdb, "x.vdb", code=0)
        return
    for command in (
        ("compress", damaged_vdb, "-o", "x.neuralvdb"),
        ("info", damaged_vdb),
        ("diff", damaged_vdb, damaged_vdb),
    ):
        if command[0] == "compress" or "bitflip" not in damaged_vdb.name:
            assert "damaged or not a VDB file" in run(*command, code=4)


@pytest.mark.parametrize("keep", [0.999, 0.5, 0.01])
@pytest.mark.parametrize("name", ["smoke", "cloud", "levelset"])
def test_truncated_vdb(run, sample: Path, name: str, keep: float):
    data = sample.with_name(f"{name}.vdb").read_bytes()
    cut = run.folder / "cut.vdb"
    cut.write_bytes(data[: int(len(data) * keep)])
    assert "it ends early" in run("compress", cut, code=4)


def test_truncated_uncompressed_vdb(run, data: Path):
    cut = run.folder / "cut.vdb"
    cut.write_bytes((data / "openvdb-models" / "smoke.vdb").read_bytes()[:-1])  # OpenVDB reads this without a word
    assert "it ends early" in run("compress", cut, code=4)


@pytest.mark.parametrize("content", [b"", b"\0", b"neither one nor the other " * 100, MAGIC, MAGIC + b"\1" + bytes(99)])
@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify"])
def test_neither_vdb_nor_archive(run, command: str, content: bytes):
    (run.folder / "strange").write_bytes(content)
    assert "damaged or not" in run(command, "strange", code=4)


@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify"])
def test_folder_as_input(run, command: str):
    (run.folder / "folder.vdb").mkdir()
    assert "folder.vdb" in run(command, "folder.vdb", code=3)


@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify"])
def test_missing_input(run, command: str):
    assert "No such file" in run(command, "nothing.vdb", code=3)


def test_one_bad_file_does_not_stop_the_others(warm_nvdb, run, sample: Path):
    (run.folder.parent / "empty.vdb").touch()
    files = run.folder.parent / "empty.vdb", sample.with_name("cloud.vdb")
    done = warm_nvdb.run(["compress", *files, "-o", run.folder, "--lossless", "-q"], run.folder)
    assert (done.returncode, os.listdir(run.folder)) == (4, ["cloud.neuralvdb"])


def test_output_folder_missing(run, archive: Path):
    assert "No such file" in run("decompress", archive, "-o", "no/where.vdb", code=7)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_folder_not_writable(run, archive: Path):
    (run.folder / "locked").mkdir(mode=0o500)
    assert "Permission denied" in run("decompress", archive, "-o", "locked/x.vdb", code=7)


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_output_exists(run, archive: Path, sample: Path, command: str):
    (run.folder / "there").write_bytes(b"precious")
    source = sample if command == "compress" else archive
    assert "--force" in run(command, source, "-o", "there", code=6)
    assert (run.folder / "there").read_bytes() == b"precious"


def test_damaged_input_does_not_cost_the_old_output(run, archive: Path):
    (run.folder / "old.vdb").write_bytes(b"precious")
    bad = bytearray(archive.read_bytes())
    bad[len(bad) // 2] ^= 1
    archive.write_bytes(bad)
    assert "checksum" in run("decompress", archive, "-o", "old.vdb", "--force", code=4)
    assert (run.folder / "old.vdb").read_bytes() == b"precious"


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 1, 4096, 100_000])
@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_no_room_for_the_output(run, archive: Path, sample: Path, command: str, limit: int):
    def prepare() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    source = (sample, "--lossless") if command == "compress" else (archive,)
    assert "cannot be written" in run(command, *source, "-o", "out", code=7, prepare=prepare)


@pytest.fixture
def full_disk(tmp_path: Path):
    """A file system of 64 kB."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", mount], capture_output=True).returncode:
        pytest.skip("cannot mount a file system here")
    yield mount
    subprocess.run(["umount", mount], check=True)


@pytest.mark.parametrize("command", ["compress", "decompress"])
def test_disk_full(run, archive: Path, sample: Path, full_disk: Path, command: str):
    source = (sample, "--lossless") if command == "compress" else (archive,)
    assert "No space left" in run(command, *source, "-o", full_disk / "out", code=7)
    assert os.listdir(full_disk) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [0.0, 0.02, 0.1])
def test_interrupted(run, sample: Path, number: signal.Signals, delay: float):
    options = ["-o", "x.neuralvdb", "--threads", "1", "--rel-error", "0.1%"]  # lossy: work that outlasts the delays
    command = [sys.executable, "-P", "-c", PROGRAM, "compress", str(sample), *options]
    work = subprocess.Popen(command, cwd=run.folder, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 20
    while not any(path.stat().st_size for path in run.folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    os.killpg(work.pid, number) if number == signal.SIGINT else work.terminate()
    _, message = work.communicate(timeout=20)
    assert (work.returncode, message.count("\n"), os.listdir(run.folder)) == (130, 1, []), message
    with pytest.raises(ProcessLookupError):
        os.killpg(work.pid, 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_inside_of_fork_is_not_lost(run, sample: Path, number: signal.Signals):
    code = (
        "import os, sys; from neuralvdb.cli import main\n"
        f"os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), {number}))\n"
        f"sys.exit(main(['compress', {str(sample)!r}, '-o', 'x.neuralvdb']))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=run.folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n"), os.listdir(run.folder)) == (130, 1, []), done.stderr


def _crafted(folder: Path, *sections: tuple[str, bytes, int, bool], whole: bytes | None = None) -> Path:
    """An archive of the given sections (kind, payload, raw size, required), after those of the archive `whole`."""
    target, source = folder.parent / "crafted.neuralvdb", folder.parent / "source.neuralvdb"
    with target.open("wb") as stream:
        writer = ArchiveWriter(stream)
        if whole is not None:
            source.write_bytes(whole)
            with FrameReader(source) as frame:
                for s in frame.archive.sections:
                    writer.add(
                        SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid),
                        frame.archive.read(s),
                        raw_size=s.raw_size,
                    )
        for kind, payload, raw_size, required in sections:
            writer.add(SectionLabel(kind, required=required), payload, raw_size=raw_size)
        writer.close()
    return target


def test_unknown_required_section_is_named(run, archive: Path):
    crafted = _crafted(run.folder, ("DREM", b"123", 3, True), whole=archive.read_bytes())
    assert "section DREM" in run("decompress", crafted, "-o", "x.vdb", code=5)


def test_unknown_optional_section_is_skipped(run, archive: Path, sample: Path):
    crafted = _crafted(run.folder, ("DREM", b"123", 3, False), whole=archive.read_bytes())
    run("decompress", crafted, "-o", "x.vdb", code=0)
    run("diff", "x.vdb", sample.with_name("cloud.vdb"), code=0)


def test_newer_major_version_is_refused(run, archive: Path):
    data = bytearray(archive.read_bytes())
    data[len(MAGIC)] += 4
    archive.write_bytes(data)
    assert "upgrade neuralvdb" in run("decompress", archive, "-o", "x.vdb", code=5)


@pytest.mark.slow
def test_zstd_bomb_in_masks(run, archive: Path):
    """A topology that says it is small and unpacks to 2 GiB is refused before it is unpacked."""
    zeros = zstandard.ZstdCompressor(level=1).compressobj(size=1 << 31)
    bomb = b"".join(zeros.compress(bytes(1 << 24)) for _ in range(1 << 7)) + zeros.flush()
    topology = FieldWriter()
    topology.put("u32", 1 << 20, 0)  # upper nodes, tiles
    topology.put("u8", 1)  # zstd
    topology.put_varint(3 * 4 << 20)
    topology.put_bytes(bomb)
    for raw_size, code in ((100, 4), (1 << 34, 9)):  # or says that it is more than there is
        crafted = _replaced(run.folder, archive, "TOPO", topology.getvalue(), raw_size)
        run("decompress", crafted, "-o", "x.vdb", code=code, prepare=_only_one_gib)
        run("verify", crafted, code=code, prepare=_only_one_gib)


def _replaced(folder: Path, archive: Path, kind: str, payload: bytes, raw_size: int) -> Path:
    target = folder.parent / "crafted.neuralvdb"
    with target.open("wb") as stream, FrameReader(archive) as frame:
        writer = ArchiveWriter(stream)
        for s in frame.archive.sections:
            if s.kind == kind:
                writer.add(SectionLabel(kind, grid=s.grid), payload, raw_size=raw_size)
            else:
                writer.add(
                    SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid),
                    frame.archive.read(s),
                    raw_size=s.raw_size,
                )
        writer.close()
    return target


def _only_one_gib() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))  # half a GiB is libraries


def test_memory_lie_in_index(run, archive: Path):
    """A raw size that no machine has is no reason to take memory, nor a number too big for a limit."""
    with FrameReader(archive) as frame:
        values = next(frame.archive.read(s) for s in frame.archive.sections if s.kind == "VALS")
    for raw_size in (1 << 50, (1 << 64) - 1):
        crafted = _replaced(run.folder, archive, "VALS", values, raw_size)
        assert "bytes of memory" in run("decompress", crafted, "-o", "x.vdb", code=9)


def test_crash_of_openvdb_is_one_line(run, sample: Path):
    code = (
        "import os, signal, sys, neuralvdb.vdb.files as vdb; from neuralvdb.cli import main\n"
        "vdb.tree_of = lambda _: os.kill(os.getpid(), signal.SIGSEGV)\n"
        f"sys.exit(main(['compress', {str(sample)!r}, '-o', 'x.neuralvdb']))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=run.folder, capture_output=True, text=True)
    assert (done.returncode, os.listdir(run.folder), done.stderr.count("\n")) == (4, [], 1), done.stderr
    assert "SIGSEGV" in done.stderr


@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify"])
def test_errors_as_json(warm_nvdb, run, command: str):
    (run.folder / "empty").touch()
    done = warm_nvdb.run([command, "empty", "--json"], run.folder)
    report = json.loads(done.stdout)
    assert report["results"] == []
    assert [(e["path"], e["exit_code"]) for e in report["errors"]] == [("empty", 4)] and done.returncode == 4


def test_names_that_are_no_utf8(run, sample: Path):
    name = os.fsdecode(b"caf\xe9.vdb")
    (run.folder / name).write_bytes(sample.with_name("cloud.vdb").read_bytes())
    run("compress", name, "--lossless", "-q", code=0)
    run("decompress", name.replace(".vdb", ".neuralvdb"), "-o", name, "--force", "-q", code=0)
    (run.folder / name).write_bytes(b"")
    run("info", name, code=4)
