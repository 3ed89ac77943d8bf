"""A shot of three small frames, and mounts of it."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.api.pack import Source, packing
from neuralvdb.vdb import from_dense, write_vdb

NUMBERS = (7, 8, 9)


@pytest.fixture(scope="session")
def frame_archives(tmp_path_factory) -> Path:
    """A folder with the archive of each frame of the shot: two grids, a ball that grows."""
    folder = tmp_path_factory.mktemp("frames")
    for number in NUMBERS:
        distance = np.linalg.norm(np.indices((16, 16, 16)) - 7.5, axis=0).astype(np.float32)
        grids = [from_dense(number - distance, name=name, active=distance < number) for name in ("ball", "other")]
        path = folder / f"ball.{number:04d}.vdb"
        write_vdb(path, grids)
        neuralvdb.compress(path, path.with_suffix(".neuralvdb"), quality="lossless", verify=False)
        path.unlink()
    return folder


@pytest.fixture(scope="session")
def shot(frame_archives, tmp_path_factory) -> Path:
    """An archive of all three."""
    path = tmp_path_factory.mktemp("shot") / "ball.neuralvdb"
    with packing([Source(str(each)) for each in sorted(frame_archives.glob("*.neuralvdb"))], path, force=False) as task:
        task.work()
    return path


@pytest.fixture(scope="session")
def decompressed(shot, tmp_path_factory) -> dict[str, bytes]:
    """The bytes of each frame, as `nvdb decompress` writes it, by name."""
    folder = tmp_path_factory.mktemp("decompressed")
    for number in NUMBERS:
        neuralvdb.decompress(shot, folder / f"ball.{number:04d}.vdb", frame=number)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture
def need_fuse() -> None:
    """Skips where nothing can be mounted."""
    pytest.importorskip("mfusepy", reason="mfusepy is not installed; see the extra [mount] in pyproject.toml")
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("there is no /dev/fuse that this user may open")
    if shutil.which("fusermount3") is None:
        pytest.skip("fusermount3 is not installed: apt-get install fuse3")


class Mounted:
    """A mount: the folder, its cache, its log and the number of its process."""

    def __init__(self, report: dict) -> None:
        self.folder, self.cache, self.log = Path(report["target"]), Path(report["cache"]), Path(report["log"])
        self.process = int(report["process"])

    def cached(self) -> dict[str, int]:
        """The numbers of the files in the cache, by name."""
        return {path.name: path.stat().st_ino for path in (self.cache / "frames").iterdir()}

    def logged(self) -> list[str]:
        """The lines of the log."""
        return self.log.read_text().splitlines()

    def is_served(self) -> bool:
        """Whether its process is there, and does something."""
        try:
            return Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except FileNotFoundError:
            return False

    def children(self) -> list[int]:
        """Its processes, but for the one that serves."""
        processes = [self.process]
        for process in processes:
            done = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True)
            processes += map(int, done.stdout.split())
        return processes[1:]

    def left_in_cache(self) -> list[Path]:
        """What processes write, or have left behind."""
        return list((self.cache / "work").iterdir())


@pytest.fixture
def wait_until() -> Callable[[Callable[[], object]], None]:
    """Waits for something to become true, and fails where it does not."""

    def wait(true: Callable[[], object], seconds: float = 20) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end
            time.sleep(0.02)

    return wait


@pytest.fixture
def mount(need_fuse, nvdb, tmp_path) -> Iterator[Callable[..., Mounted]]:
    """Mounts a source on a folder, with options; all is unmounted at the end."""
    mounted = []

    def begin(source: Path, *options: object) -> Mounted:
        target = tmp_path / f"mount{len(mounted)}"
        done = nvdb("mount", source, target, "--cache", tmp_path / "cache", "--json", *options)
        assert done.returncode == 0, done.stderr
        (report,) = json.loads(done.stdout)["results"]
        mounted.append(Mounted(report))
        return mounted[-1]

    yield begin
    for each in mounted:  # whose process ends then
        subprocess.run(["fusermount3", "-u", "-z", each.folder], capture_output=True)
