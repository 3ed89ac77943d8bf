"""The job template of farms, run by Open Job Description's own program: a task fails and is run again."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
PROGRAM = """
import os, sys, time
from neuralvdb.cli import main
import neuralvdb.api.compress
module = sys.modules["neuralvdb.api.compress"]
encode_frame = module.encode_frame

def waiting(writer, source, *args):
    while "0003" in source.path and os.path.exists("{hold}"):
        time.sleep(0.05)
    return encode_frame(writer, source, *args)

module.encode_frame = waiting
sys.exit(main())
"""
"""Of `nvdb`: frame 3 waits for as long as there is a file `hold`."""


@pytest.fixture
def farm(tmp_path: Path):
    """Begins to run the template over frames 1, 2, 3 and 5, two of them a task; gives the process."""
    openjd = shutil.which("openjd", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if openjd is None:
        pytest.skip("openjd is not installed; see the extra [test] in pyproject.toml")
    nvdb = tmp_path / "bin" / "nvdb"
    nvdb.parent.mkdir()
    program = tmp_path / "bin" / "program.py"
    program.write_text(PROGRAM.format(hold=tmp_path / "hold"))
    nvdb.write_text(f'#!/bin/sh\necho $$ > {tmp_path}/pid\nexec {sys.executable} -P {program} "$@"\n')
    nvdb.chmod(0o755)
    template = ROOT / "neuralvdb/integrations/farm/openjd.yaml"
    values = {"Files": f"{tmp_path}/smoke.####.vdb", "Frames": "1-3,5", "Archive": f"{tmp_path}/shot.neuralvdb"}

    def begin(quality: str = "lossless") -> subprocess.Popen:
        told = values | {"Quality": quality, "Chunk": "2"}
        command = [openjd, "run", template, "--extensions", "TASK_CHUNKING"]
        command += [word for name, value in told.items() for word in ("-p", f"{name}={value}")]
        environment = {**os.environ, "PATH": f"{nvdb.parent}:{os.environ['PATH']}"}
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT, env=environment, cwd=tmp_path
        )

    return begin


@pytest.fixture
def single(frames: Path, run) -> bytes:
    """The archive that one machine makes of all frames."""
    run("compress", "smoke.####.vdb", "--lossless", "-o", "single.neuralvdb")
    return (frames / "single.neuralvdb").read_bytes()


def test_a_task_that_failed_is_run_again(farm, frames, small, run):
    """The archive is byte for byte that of one machine, whose chunks are the tasks."""
    run("compress", "smoke.####.vdb", "--quality", "production", "--chunk", "2", "-o", "single.neuralvdb")
    (frames / "smoke.0003.vdb").write_bytes(b"half of a fi")
    assert farm("production").wait() != 0
    assert not (frames / "shot.neuralvdb").exists()
    shutil.copy(small, frames / "smoke.0003.vdb")
    assert farm("production").wait() == 0
    assert sorted(path.name for path in (frames / "shot.neuralvdb.chunks").iterdir()) == [
        "1,2.neuralvdb",
        "3,5.neuralvdb",
    ]
    assert (frames / "shot.neuralvdb").read_bytes() == (frames / "single.neuralvdb").read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_a_task_that_was_killed_is_run_again(farm, frames, single, number):
    """It ends in the middle of its chunk, one frame of which is done; the archive is that of one machine."""
    (frames / "hold").touch()
    chunk = frames / "shot.neuralvdb.chunks" / "3,5.neuralvdb"
    done = Path(f"{chunk}.frames") / "smoke.0005.neuralvdb"
    job = farm()
    while not done.exists():
        assert job.poll() is None
        time.sleep(0.05)
    before = done.stat().st_mtime_ns
    os.kill(int((frames / "pid").read_text()), number)
    assert job.wait() != 0 and not chunk.exists() and not (frames / "shot.neuralvdb").exists()
    assert done.stat().st_mtime_ns == before
    (frames / "hold").unlink()
    assert farm().wait() == 0
    assert (frames / "shot.neuralvdb").read_bytes() == single
    if number == signal.SIGTERM:
        assert sorted(os.listdir(chunk.parent)) == ["1,2.neuralvdb", "3,5.neuralvdb"]
