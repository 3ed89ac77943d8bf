"""The wheel holds exactly the files it should, and installs no name but neuralvdb."""

import re
import subprocess
import sys
import tarfile
from configparser import ConfigParser
from importlib import metadata
from pathlib import Path

import pytest

SUFFIXES = {".py", ".pyi", ".typed", ".npz", ".bin"}  # code, types, the mark of typed packages, fitted tables, bytes
EXTENSION = re.compile(r"\.(cpython-\d+-[\w-]+|abi3)\.so$")


def sources(folder: Path, name: str) -> set[str]:
    """Names in the wheel of the files of the package below `folder`, which is installed as `name`."""
    files = [p for p in folder.rglob("*") if p.suffix in SUFFIXES and "__pycache__" not in p.parts]
    return {f"{name}/{path.relative_to(folder)}" for path in files}


def extensions(package: Path) -> set[str]:
    """Names of the extension modules that the CMake files declare."""
    text = "\n".join(path.read_text() for path in package.rglob("CMakeLists.txt"))
    return set(re.findall(r"nanobind_add_module\(\s*(\w+)", text))


def test_the_wheel_holds_exactly_these_files(wheel, root):
    version = metadata.version("neuralvdb")
    info = f"neuralvdb-{version}.dist-info"
    expected = sources(root / "neuralvdb", "neuralvdb") | sources(root / "kernels", "neuralvdb/kernels")
    expected |= {
        "neuralvdb/archive/CHUNKS.md",
        "neuralvdb/archive/REFERENCES.md",
        "neuralvdb/archive/FRAMES.md",
        "neuralvdb/archive/SPEC.md",
        "neuralvdb/cli/JSON.md",
        "neuralvdb/mount/README.md",
    }
    farm = ("openjd.yaml", "mount.nvdb", "nvdb-mount.service")
    expected |= {f"neuralvdb/integrations/farm/{name}" for name in farm}
    expected |= {f"neuralvdb/configs/{p.name}" for p in (root / "configs").glob("*.toml")}
    expected |= {f"neuralvdb/kernels/{p.relative_to(root / 'kernels')}" for p in (root / "kernels").rglob("README.md")}
    expected |= {f"{info}/{n}" for n in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    held = {name for name in wheel.namelist() if not name.endswith("/")}
    compiled = {name for name in held if EXTENSION.search(name)}
    assert {Path(name).name.partition(".")[0] for name in compiled} == extensions(root / "neuralvdb")
    assert compiled and all(name.startswith("neuralvdb/") for name in compiled)
    assert held - compiled == expected


def test_the_list_is_not_empty(root):
    """What the wheel is compared with holds the files everybody knows."""
    expected = sources(root / "neuralvdb", "neuralvdb")
    assert {"neuralvdb/__init__.py", "neuralvdb/py.typed", "neuralvdb/cli/main.py"} <= expected


def test_no_source_of_the_bridge_and_no_folder_of_the_project_is_in_the_wheel(wheel):
    names = wheel.namelist()
    assert [n for n in names if Path(n).suffix in {".cc", ".h", ".cpp", ".hpp", ".txt"} and "dist-info" not in n] == []
    assert {n.partition("/")[0] for n in names if "dist-info" not in n} == {"neuralvdb"}


def test_the_entry_point_is_nvdb(wheel):
    (name,) = [n for n in wheel.namelist() if n.endswith("entry_points.txt")]
    points = ConfigParser()
    points.read_string(wheel.read(name).decode())
    assert dict(points["console_scripts"]) == {"nvdb": "neuralvdb.cli:main"}
    (installed,) = [p for p in metadata.entry_points(group="console_scripts") if p.name == "nvdb"]
    assert installed.load().__module__ == "neuralvdb.cli.main"


def is_importable(name: str, folder: Path) -> bool:
    """Whether a fresh Python in `folder` finds the module."""
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({name!r}) is None)"
    return subprocess.run([sys.executable, "-P", "-c", code], cwd=folder).returncode == 0


@pytest.mark.parametrize("name", ["kernels", "tests", "data", "configs"])
def test_a_folder_of_the_project_is_no_global_module(root, name):
    assert not is_importable(name, root)


@pytest.mark.parametrize("name", ["neuralvdb", "neuralvdb.kernels", "neuralvdb.vdb._bridge"])
def test_a_module_of_the_package_is_found(root, name):
    assert is_importable(name, root)


@pytest.mark.slow
def test_the_sdist_holds_all_that_a_wheel_is_built_from(root, tmp_path):
    pytest.importorskip("scikit_build_core")
    code = "import sys; from scikit_build_core.build import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run([sys.executable, "-P", "-c", code, tmp_path], cwd=root, check=True, capture_output=True)
    (sdist,) = tmp_path.glob("neuralvdb-*.tar.gz")
    folders = ("neuralvdb", "kernels", "configs", "tests/packaging/wheel")
    files = [path for folder in folders for path in (root / folder).rglob("*") if path.is_file()]
    files = [path for path in files if "__pycache__" not in path.parts] + [root / "pyproject.toml", root / "LICENSE"]
    with tarfile.open(sdist) as archive:
        held = {Path(*Path(name).parts[1:]) for name in archive.getnames()}
        assert {path.relative_to(root) for path in files} - held == set()
        top = Path(archive.getnames()[0]).parts[0]
        assert all(archive.extractfile(f"{top}/{p.relative_to(root)}").read() == p.read_bytes() for p in files)
