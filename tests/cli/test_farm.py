"""The job template of farms, run by Open Job Description's own program: a task fails and is run again."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture
def farm(tmp_path: Path):
    """Runs the template over frames 1, 2, 3 and 5, two of them a task, and gives the exit code."""
    openjd = shutil.which("openjd", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if openjd is None:
        pytest.skip("openjd is not installed; see the extra [test] in pyproject.toml")
    nvdb = tmp_path / "bin" / "nvdb"
    nvdb.parent.mkdir()
    nvdb.write_text(f'#!/bin/sh\nexec {sys.executable} -P -c "from neuralvdb.cli import main; exit(main())" "$@"\n')
    nvdb.chmod(0o755)
    template = ROOT / "neuralvdb/integrations/farm/openjd.yaml"
    values = {"Files": f"{tmp_path}/smoke.####.vdb", "Frames": "1-3,5", "Archive": f"{tmp_path}/shot.neuralvdb"}
    values |= {"Quality": "lossless", "Chunk": "2"}
    command = [openjd, "run", template, "--extensions", "TASK_CHUNKING"]
    command += [word for name, value in values.items() for word in ("-p", f"{name}={value}")]

    def run() -> int:
        environment = {**os.environ, "PATH": f"{nvdb.parent}:{os.environ['PATH']}"}
        return subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path).returncode

    return run


def test_a_task_that_failed_is_run_again(farm, frames, small, run):
    """The archive is byte for byte that of one machine."""
    (frames / "smoke.0003.vdb").write_bytes(b"half of a fi")
    assert farm() != 0
    assert not (frames / "shot.neuralvdb").exists()
    shutil.copy(small, frames / "smoke.0003.vdb")
    assert farm() == 0
    assert sorted(path.name for path in (frames / "shot.neuralvdb.chunks").iterdir()) == [
        "1,2.neuralvdb",
        "3,5.neuralvdb",
    ]
    run("compress", "smoke.####.vdb", "--lossless", "-o", "single.neuralvdb")
    assert (frames / "shot.neuralvdb").read_bytes() == (frames / "single.neuralvdb").read_bytes()
