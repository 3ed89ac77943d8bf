"""The tree keeps its own rules: imports go down, lint is clean, files are short, the top level is as agreed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED = {"pyproject.toml", "README.md", "LICENSE", "neuralvdb", "kernels", "tests", "data", "configs"}
CODE = {".py", ".cc", ".h", ".cpp", ".cu", ".md", ".sh"}
LIMIT = 400


def tool(name: str) -> str:
    """The path of a tool installed beside this Python, or on PATH; skips without it."""
    path = shutil.which(name, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if path is None:
        pytest.skip(f"{name} is not installed; see the extra [test] in pyproject.toml")
    return path


def test_import_contracts_hold(root, tmp_path):
    """On the installed package, where neuralvdb.kernels is in its place."""
    command = [tool("lint-imports"), "--config", str(root / "pyproject.toml"), "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_ruff_is_content(root):
    done = subprocess.run([tool("ruff"), "check", "--no-cache", str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("folder", ["neuralvdb", "kernels", "data"])
def test_files_are_short(root, folder):
    files = [path for path in (root / folder).rglob("*") if path.suffix in CODE]
    assert files
    long = {str(p.relative_to(root)): n for p in files if (n := len(p.read_text().splitlines())) >= LIMIT}
    assert long == {}


def test_the_top_level_holds_nothing_else(root):
    if not (root / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git repository here, so what belongs to the project cannot be told from what does not")
    command = ["git", "-C", str(root), "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    top = {line.partition("/")[0] for line in listed}
    visible = {name for name in top if not name.startswith(".")}
    assert visible <= ALLOWED
    assert {"pyproject.toml", "neuralvdb", "tests"} <= visible
