"""Archives and volumes for the tests of the command line."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import neuralvdb
from neuralvdb.archive import ArchiveWriter, SectionLabel
from neuralvdb.codec.frame import FrameReader
from neuralvdb.settings import CompressSettings
from neuralvdb.vdb import from_dense, write_vdb

KINDS = {"text": str, "bool": bool, "list": list, "object": dict}


def table(heading: str) -> dict[str, str]:
    """{key: type} of the table below a heading of JSON.md."""
    page = (Path(__file__).resolve().parents[2] / "neuralvdb/cli/JSON.md").read_text()
    below = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", below, re.MULTILINE)
    assert len(rows) > 1 and len(dict(rows)) == len(rows), heading
    return dict(rows)


def fits(value: object, kind: str) -> bool:
    """Whether a value is of a type as the page says it."""
    kind, optional = kind.removesuffix(" or null"), kind.endswith(" or null")
    if value is None:
        return optional
    if kind == "number":
        return (isinstance(value, int | float) and not isinstance(value, bool)) or value in ("nan", "inf", "-inf")
    items = re.fullmatch(r"list of (text|\d)", kind)
    if items is None:
        return isinstance(value, KINDS[kind])
    if items[1] == "text":
        return all(isinstance(item, str) for item in value)
    return len(value) == int(items[1])


@pytest.fixture(scope="session")
def nvdb_command() -> list[str]:
    """What runs the installed `nvdb` with this Python."""
    return [sys.executable, "-P", "-c", "import sys; from neuralvdb.cli import main; sys.exit(main())"]


@pytest.fixture
def run(nvdb, tmp_path: Path):
    """Runs `nvdb` in a fresh folder, with nothing on stdin, and asserts its exit code; gives the finished process."""

    def checked(*args: object, code: int = 0) -> subprocess.CompletedProcess:
        done = nvdb(*args)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    return checked


@pytest.fixture
def run_json(run):
    """Runs `nvdb ... --json`, asserts its exit code and that it prints one JSON object; gives that."""

    def parsed(*args: object, code: int = 0) -> dict:
        done = run(*args, "--json", code=code)
        report = json.loads(done.stdout)
        assert set(report) == {"schema", "command", "results", "errors", "total"}
        return report

    return parsed


@pytest.fixture
def smoke(sample: Path, tmp_path: Path) -> Path:
    """A copy of the smoke sample in the folder where `nvdb` runs."""
    return Path(shutil.copy(sample, tmp_path / "smoke.vdb"))


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small .vdb file of one float grid `ball`, its values from 0 to 6."""
    path = tmp_path_factory.mktemp("small") / "ball.vdb"
    distance = np.linalg.norm(np.indices((16, 16, 16)) - 7.5, axis=0).astype(np.float32)
    write_vdb(path, [from_dense(6 - distance, name="ball", active=distance < 6)])
    return path


@pytest.fixture(scope="session")
def archive(small: Path) -> Path:
    """The archive of `small`."""
    path = small.with_suffix(".neuralvdb")
    neuralvdb.compress(small, path, CompressSettings(quality="lossless"))
    return path


@pytest.fixture
def frames(small: Path, tmp_path: Path) -> Path:
    """The folder where `nvdb` runs, with frames 1, 2, 3 and 5 of a sequence."""
    for number in (1, 2, 3, 5):
        shutil.copy(small, tmp_path / f"smoke.{number:04d}.vdb")
    return tmp_path


@pytest.fixture
def forge(archive: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the archive of `small` anew, after `change(kind, payload, raw_size)` gave other (payload, raw_size)."""

    def forged(change: Callable[[str, bytes, int], tuple[bytes, int]]) -> Path:
        path = tmp_path / "forged.neuralvdb"
        with FrameReader(archive) as frame, open(path, "wb") as stream:
            writer = ArchiveWriter(stream)
            for s in frame.archive.sections:
                payload, raw_size = change(s.kind, frame.archive.read(s), s.raw_size)
                writer.add(
                    SectionLabel(s.kind, codec=s.codec, version=s.version, grid=s.grid), payload, raw_size=raw_size
                )
            writer.close()
        return path

    return forged


@pytest.fixture
def run_unprivileged(nvdb_command: list[str], tmp_path: Path):
    """As `run`, but as somebody whom permissions of files bind."""
    prefix = []
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may do anything, and there is no setpriv")
        prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all"]

    def checked(*args: object, code: int = 0) -> subprocess.CompletedProcess:
        options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, "cwd": tmp_path, "timeout": 120}
        done = subprocess.run([*prefix, *nvdb_command, *map(str, args)], **options)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    yield checked
    for path in tmp_path.iterdir():
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o700)


@pytest.fixture(scope="session")
def check_json() -> Callable[[dict, str], dict]:
    """Asserts that an object is as JSON.md says below a heading; gives it."""

    def checked(value: dict, heading: str) -> dict:
        rows = table(heading)
        assert set(value) == set(rows), heading
        assert {key: value[key] for key, kind in rows.items() if not fits(value[key], kind)} == {}, heading
        return value

    return checked


@pytest.fixture(scope="session")
def in_force() -> list[str]:
    """What this kernel can confine: files, network."""
    code = "from neuralvdb.confinement import confine; done = confine([]); print(*['files'] * done.files, end=' ')"
    code += "; print(*['network'] * done.network)"
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.split()
