"""Files, functions and classes are short enough to be read at once."""

import ast
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

CODE = {".py", ".pyi", ".cc", ".h", ".cpp", ".cu", ".md", ".sh"}
FOLDERS = ["neuralvdb", "kernels", "data", "tests"]
FILE_LINES = 400
FUNCTION_LINES = 45
KERNEL_LINES = 100  # of a function that Triton compiles
METHODS = 15
Function = ast.FunctionDef | ast.AsyncFunctionDef


def code(folder: Path) -> list[Path]:
    """Files of code and text; results, which are written by programs, aside."""
    return [path for path in folder.rglob("*") if path.suffix in CODE and path.parent.name != "results"]


@cache
def parsed(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text())


def too_large(root: Path, folder: str, measure: Callable[[ast.AST], int]) -> Iterator[tuple[str, int]]:
    """Name and excess of everything in the folder's Python that is larger than its limit by `measure`."""
    for path in (root / folder).rglob("*.py"):
        for node in ast.walk(parsed(path)):
            name = f"{path.relative_to(root)} {getattr(node, 'name', '')}"
            if (excess := measure(node)) > 0:
                yield name, excess


def excess_lines(node: ast.AST) -> int:
    """Lines of a function above the limit."""
    if not isinstance(node, Function):
        return 0
    jitted = any("jit" in ast.unparse(decorator) for decorator in node.decorator_list)
    return node.end_lineno - node.lineno + 1 - (KERNEL_LINES if jitted else FUNCTION_LINES)


def excess_methods(node: ast.AST) -> int:
    """Methods of a class above the limit."""
    return sum(isinstance(child, Function) for child in node.body) - METHODS if isinstance(node, ast.ClassDef) else 0


@pytest.mark.parametrize("folder", FOLDERS)
def test_files_are_short(root, folder):
    files = code(root / folder)
    assert files
    long = {str(p.relative_to(root)): n for p in files if (n := len(p.read_text().splitlines())) >= FILE_LINES}
    assert long == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_functions_are_short(root, folder):
    assert dict(too_large(root, folder, excess_lines)) == {}


@pytest.mark.parametrize("folder", FOLDERS)
def test_classes_have_few_methods(root, folder):
    assert dict(too_large(root, folder, excess_methods)) == {}
