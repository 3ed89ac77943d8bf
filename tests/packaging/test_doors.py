"""The value and topology codecs are entered by their doors: what is behind these is theirs to change."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

DOORS = ("neuralvdb.values", "neuralvdb.topology")
OUTSIDE = ("neuralvdb/api", "neuralvdb/cli", "neuralvdb/codec")


def imported(path: Path) -> Iterator[str]:
    """Full names of what a file imports: modules, and names from them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def behind(root: Path, name: str) -> bool:
    """Whether a full name is a module behind a door, or comes from one."""
    door = next((door for door in DOORS if name.startswith(f"{door}.")), None)
    if door is None:
        return False
    first = name.removeprefix(f"{door}.").split(".")[0]
    module = root.joinpath(*door.split("."), first)
    return module.is_dir() or module.with_suffix(".py").exists()


@pytest.mark.parametrize("folder", OUTSIDE)
def test_codecs_are_entered_by_their_doors(root, folder):
    files = sorted((root / folder).rglob("*.py"))
    assert files
    past = [f"{path.name}: {name}" for path in files for name in imported(path) if behind(root, name)]
    assert past == []


def test_the_doors_name_what_they_have():
    from neuralvdb import topology, values

    for door in (topology, values):
        assert [name for name in door.__all__ if not hasattr(door, name)] == []
