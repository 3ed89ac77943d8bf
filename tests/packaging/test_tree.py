"""The tree keeps its own rules: imports go down, lint and types are clean, the top level is as agreed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TEXTS = {"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "LICENSE"}
ALLOWED = {"pyproject.toml", "neuralvdb", "kernels", "tests", "data", "configs"} | TEXTS
TYPE_ERRORS = 0  # at most; goes down to 0


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


def test_ruff_would_format_nothing(root):
    done = subprocess.run([tool("ruff"), "format", "--check", "--no-cache", str(root)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.slow
def test_mypy_is_content(root):
    """Strict where pyproject.toml says so, in its default mode elsewhere."""
    pytest.importorskip("mypy")
    command = [sys.executable, "-P", str(root / "tests/packaging/check_types.py"), "--no-error-summary"]
    done = subprocess.run(command, capture_output=True, text=True)
    errors = [line for line in done.stdout.splitlines() if ": error:" in line]
    print(len(errors), "errors of types")
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert len(errors) <= TYPE_ERRORS, "\n".join(errors)


def test_the_top_level_holds_nothing_else(root):
    if not (root / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git repository here, so what belongs to the project cannot be told from what does not")
    command = ["git", "-C", str(root), "-c", "safe.directory=*", "ls-files", "-co", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    top = {line.partition("/")[0] for line in listed}
    visible = {name for name in top if not name.startswith(".")}
    assert visible <= ALLOWED
    assert {"pyproject.toml", "neuralvdb", "tests"} <= visible
