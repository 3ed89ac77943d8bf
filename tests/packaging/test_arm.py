"""Code for ARM compiles; tests/packaging/arm runs it."""

import shutil
import subprocess

import pytest

COMPILER = "aarch64-linux-gnu-g++"  # Debian: apt-get install g++-aarch64-linux-gnu


@pytest.mark.skipif(shutil.which(COMPILER) is None, reason=f"there is no {COMPILER}")
def test_predictions_compile_for_arm(root):
    source = root / "neuralvdb/values/native/portable.cc"
    options = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only"]
    done = subprocess.run([COMPILER, *options, str(source)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
