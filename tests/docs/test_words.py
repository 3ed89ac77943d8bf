"""Names hold no word that neuralvdb/GLOSSARY.md bans. The words and what to use instead stand there."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GLOSSARY = (ROOT / "neuralvdb/GLOSSARY.md").read_text()
PROSE = ("domain", "octave", "tower", "refinement")  # what comments and docstrings of the package may not hold either
SEARCHES = re.compile(r"find|search|match|index|lookup|bisect|locate")
NAMES_KEPT = {  # (file, name): reason
    ("neuralvdb/api/decompress.py", "parts"): "a key of --json",
    ("neuralvdb/api/promises.py", "refined"): "a key of --json",
    ("neuralvdb/archive/section.py", "part"): "a field of SPEC.md's index",
    ("tests/oracles/spec_container.py", "part"): "a field of SPEC.md's index",
    ("neuralvdb/cli/output.py", "row"): "of a printed table",
    ("neuralvdb/vdb/files.py", "known"): "a key of what the bridge gives",
    ("kernels/predict/gpu.py", "_floor_log2"): "rounding down",
}
# where points are decoded in an order
KNOWN_POINTS = ("kernels/bricks.py", "kernels/predict/", "neuralvdb/topology/", "neuralvdb/values/")


def table(title: str) -> list[list[str]]:
    """Cells of the table under a heading of the glossary, without its head."""
    lines = [
        line for line in GLOSSARY.partition(f"## {title}\n")[2].partition("\n## ")[0].splitlines() if line[:1] == "|"
    ]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def banned() -> tuple[set[str], set[str]]:
    """Words banned anywhere in a name, and as whole names."""
    words: dict[str, set[str]] = {"part": set(), "whole": set()}
    for names, ban, _ in table("Words that names may not hold"):
        words[ban] |= set(names.split(", "))
    return words["part"], words["whole"]


PARTS, WHOLES = banned()


def words_of(name: str) -> list[str]:
    """`LatticeLevel` and `lattice_level` are lattice, level. Plurals lose their s."""
    words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return words + [word[:-1] for word in words if word.endswith("s")]


def is_search(value: ast.AST | None) -> bool:
    """Whether an expression is a call of something that searches."""
    calls = [node for node in ast.walk(value) if isinstance(node, ast.Call)] if value is not None else []
    return any(SEARCHES.search(ast.unparse(call.func)) for call in calls)


def searched_names(tree: ast.AST) -> set[int]:
    """ids of the names that are given what a search returns."""
    ids = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign | ast.NamedExpr | ast.AnnAssign) and is_search(node.value):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            ids |= {id(name) for target in targets for name in ast.walk(target)}
    return ids


def names(tree: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Everything that the file gives a name to."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node
            case ast.arg():
                yield node.arg, node
            case ast.Name(ctx=ast.Store()):
                yield node.id, node
            case ast.Attribute(ctx=ast.Store()):
                yield node.attr, node
            case ast.alias(asname=str()):
                yield node.asname, node


def banned_word(name: str) -> str | None:
    """The banned word that a name holds."""
    if name.strip("_") in WHOLES:
        return name.strip("_")
    return next((word for word in words_of(name) if word in PARTS), None)


def violations(path: Path) -> Iterator[tuple[str, str]]:
    """Banned word, and where it is."""
    file = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text())
    searched = searched_names(tree)
    if (word := banned_word(path.stem)) is not None:
        yield word, f"{file}: the file's name"
    for name, node in names(tree):
        word = banned_word(name)
        if word is None or (file, name) in NAMES_KEPT or (word == "found" and id(node) in searched):
            continue
        if word == "known" and file.startswith(KNOWN_POINTS):
            continue
        yield word, f"{file}:{getattr(node, 'lineno', 0)}: {name}"


def in_folders(*folders: str) -> list[tuple[str, str]]:
    """All violations of the Python files below."""
    files = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [violation for path in files for violation in violations(path)]


@pytest.mark.parametrize("folders", [("neuralvdb", "kernels"), ("data",), ("tests",)], ids="-".join)
def test_no_name_holds_a_banned_word(folders):
    broken = in_folders(*folders)
    assert not broken, "\n".join(f"{word}: {where}" for word, where in broken)


def comments(path: Path) -> Iterator[str]:
    """Comments and docstrings of a file of Python or C++."""
    text = path.read_text()
    marks = r'"""(?:.|\n)*?"""|#.*' if path.suffix == ".py" else r"//.*|/\*(?:.|\n)*?\*/"
    return (match[0] for match in re.finditer(marks, text))


def test_comments_hold_the_words_of_the_glossary():
    files = [
        p
        for folder in ("neuralvdb", "kernels")
        for p in sorted((ROOT / folder).rglob("*"))
        if p.suffix in (".py", ".h", ".cc")
    ]
    pattern = re.compile(rf"\b({'|'.join(PROSE)})s?\b", re.IGNORECASE)
    broken = [f"{p.relative_to(ROOT)}: {m[0]}" for p in files for text in comments(p) for m in pattern.finditer(text)]
    assert not broken, "\n".join(broken)


def test_each_word_stands_once():
    words = [word for cells in table("Words") if not cells[0].startswith("**") for word in re.split(r", ", cells[0])]
    assert len(words) > 50
    assert [word for word, count in Counter(words).items() if count > 1] == []
    assert [word for word in words if word in PARTS | WHOLES] == []


def test_every_exception_is_needed():
    """A file or name that is gone takes its exception with it."""
    for file, name in NAMES_KEPT:
        assert name in {held for held, _ in names(ast.parse((ROOT / file).read_text()))}, (file, name)
