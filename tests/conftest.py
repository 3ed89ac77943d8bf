"""Shared settings.

NEURALVDB_TEST_DATA names the folder of real volumes (default: ../shared/data of the checkout); HYPOTHESIS_PROFILE is
dev (the default: fewer examples) or ci (more examples, the same ones in every run).
"""

import functools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))  # -P leaves it out

from warm import WarmNvdb

try:
    from hypothesis import settings
except ModuleNotFoundError:  # on a machine that only runs kernels
    pass
else:
    settings.register_profile("dev", max_examples=30, deadline=None)
    settings.register_profile("ci", max_examples=100, deadline=None, derandomize=True, print_blob=True)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))

# A shell that starts the tests in the background has them ignore these; what they start and interrupt must not.
for _number in (signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.default_int_handler if _number == signal.SIGINT else signal.SIG_DFL)

os.environ.pop("NVDB_QUALITY", None)  # a test says which quality it wants

# Without a GPU, Triton's kernels are interpreted; Triton asks for this when it is imported.
if not any(map(os.path.exists, ("/proc/driver/nvidia/version", "/dev/nvidiactl"))):
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("NEURALVDB_TEST_DATA", ROOT.parent / "shared" / "data"))
SAMPLES = ROOT / "data" / "sample"
FAST_BYTES = 400_000  # of real files that are tested in the fast tier
MADE_TO_FAIL = {"malformed", "hostile", "bugs"}  # folders of files made to break a reader; tests name what they need


@functools.cache
def real_files() -> list[Path]:
    """Every .vdb of the data folder that ordinary programs write; empty where the folder is absent.

    Of a sequence, whose frames differ little, the first and the last one.
    """
    files = sorted(path for path in DATA.rglob("*.vdb") if not MADE_TO_FAIL & set(path.parts))
    frames: dict[Path, list[Path]] = {}
    for path in files:
        frames.setdefault(path.parent, []).append(path)
    sequences = [paths for folder, paths in frames.items() if folder.name.startswith("sequence")]
    left_out = {path for paths in sequences for path in set(paths) - {paths[0], paths[-1]}}
    return [path for path in files if path not in left_out]


@functools.cache
def files_with_other_grids() -> list[Path]:
    """Of real_files() one of each sequence, its last frame, and one of each cloud that was saved in several ways."""
    files = real_files()
    last = {path.parent: path for path in files}
    variants = [path for path in files if path.parent.name == "variants" and not path.stem.endswith("activemask_half")]
    frames = [path for path in files if path.parent.name.startswith("sequence") and path != last[path.parent]]
    return [path for path in files if path not in {*variants, *frames}]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `real_vdb` runs once per real file, with `real_grids` once for all that hold the same or
    nearly the same grids, with `damaged_vdb` once per damaged one.

    Those of all but the smallest file of each folder are slow, and those of files larger than FAST_BYTES.
    """
    damaged = sorted((DATA / "malformed").glob("*"))
    kinds = {"real_vdb": real_files(), "real_grids": files_with_other_grids(), "damaged_vdb": damaged}
    for name, files in kinds.items():
        if name in metafunc.fixturenames:
            absent = pytest.param(None, marks=pytest.mark.skip(reason=f"{DATA} is absent; set NEURALVDB_TEST_DATA"))
            fast = set(files) if name == "damaged_vdb" else smallest_of_each_folder(files)
            cases = [pytest.param(file, marks=[] if file in fast else pytest.mark.slow) for file in files]
            metafunc.parametrize(name, cases or [absent], ids=[str(f.relative_to(DATA)) for f in files] or ["absent"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`-m "not slow"` runs the first case of each test; the others are slow, and so is what needs the built wheel."""
    first: dict[str, pytest.Item] = {}
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if first.setdefault(item.nodeid.partition("[")[0], item) is not item and not {"real_vdb", "real_grids"} & set(
            fixtures
        ):
            item.add_marker(pytest.mark.slow)
        if "wheel" in fixtures:
            item.add_marker(pytest.mark.slow)


def smallest_of_each_folder(files: list[Path]) -> set[Path]:
    """Those of them that are not larger than FAST_BYTES."""
    small = [path for path in files if path.stat().st_size <= FAST_BYTES]
    by_size = sorted(small, key=lambda path: path.stat().st_size, reverse=True)
    return set({path.parent: path for path in by_size}.values())


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real volumes."""
    if not DATA.is_dir():
        pytest.skip(f"{DATA} is absent; set NEURALVDB_TEST_DATA")
    return DATA


@pytest.fixture(scope="session")
def sample() -> Path:
    """The smoke sample that comes with the project."""
    return SAMPLES / "smoke.vdb"


@pytest.fixture(scope="session")
def warm_nvdb() -> Iterator[WarmNvdb]:
    """The command `nvdb`, loaded once."""
    warm = WarmNvdb()
    yield warm
    warm.close()


@pytest.fixture
def nvdb(warm_nvdb: WarmNvdb, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess]:
    """Runs the command `nvdb` in a fresh folder and gives the finished process, its output as text."""
    return lambda *args: warm_nvdb.run(args, tmp_path)
