"""What only Linux or some compilers have has its places: platform.py and confinement.py, and nets/native/simd.h."""

import re
from pathlib import Path

import pytest

from neuralvdb import platform

LINUX = re.compile(
    r"\bos\.(fork|pread|fchmod|sysconf|sched_\w+|wait\w*|kill\w*|umask|memfd_create)\b"
    r"|^\s*(import|from) (resource|fcntl|ctypes)\b|[\"'/]proc/|pthread_sigmask|malloc_trim",
    re.MULTILINE,
)
COMPILERS = re.compile(
    r"vector_size|target_clones|__attribute__\(\(target|__builtin_(cpu_supports|convertvector)|\basm\s*\(|immintrin"
)


def users(root, pattern: re.Pattern, suffixes: set[str]) -> set[str]:
    """Files of the package, by their paths from the project's folder, in which the pattern occurs."""
    files = [
        path for folder in ("neuralvdb", "kernels") for path in (root / folder).rglob("*") if path.suffix in suffixes
    ]
    return {str(path.relative_to(root)) for path in files if pattern.search(path.read_text())}


def test_only_platform_uses_what_only_linux_has(root):
    assert users(root, LINUX, {".py"}) == {"neuralvdb/platform.py", "neuralvdb/confinement.py"}
    headers = re.compile(r"<(malloc|unistd|fcntl|sys/\w+)\.h>")
    mapped_files, freed_memory = "neuralvdb/vdb/bridge/streams.cc", "neuralvdb/vdb/bridge/module.cc"
    assert users(root, headers, {".cc", ".h"}) == {mapped_files, freed_memory, "neuralvdb/nets/native/huge_pages.h"}


def test_only_simd_uses_what_only_some_compilers_have(root):
    assert users(root, COMPILERS, {".cc", ".h"}) == {"neuralvdb/nets/native/simd.h"}


def test_the_smallest_limit_of_memory_holds(monkeypatch, tmp_path):
    """Of the machine, of the groups around the process's own, and of the process; in files as Linux writes them."""
    monkeypatch.setattr(platform, "_GROUPS", tmp_path)
    memberships = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    assert platform.usable_memory() == platform.physical_memory()
    for _, kinds, path in memberships:
        if kinds in ("", "memory"):
            folder = tmp_path / kinds / path.lstrip("/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "memory.max").write_text("max\n")
            assert platform.usable_memory() == platform.physical_memory()
            (folder / "memory.max").unlink()
            (tmp_path / kinds / "memory.max").write_text(f"{3 << 20}\n")
            assert platform.usable_memory() == 3 << 20
            return
    pytest.skip("this process is in no control group")
