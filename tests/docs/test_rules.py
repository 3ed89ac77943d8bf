"""neuralvdb/RULES.md is true: its files are there, definitions can be imported, twins name their definitions."""

import ast
import importlib
import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]


class Rule(NamedTuple):
    """A row of the table."""

    name: str
    definition: str
    twins: list[str]
    tests: list[str]


def rules() -> list[Rule]:
    """The table's rows."""
    lines = (ROOT / "neuralvdb/RULES.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")][2:]
    return [
        Rule(name, definition.strip("`"), re.findall("`(.+?)`", twins), re.findall("`(.+?)`", tests))
        for name, definition, twins, tests in rows
    ]


RULES = rules()
FILES = sorted({file for rule in RULES for file in [rule.definition, *rule.twins]})
TWINS = sorted({(twin, rule.definition) for rule in RULES for twin in rule.twins})


def first_comment(path: Path) -> str:
    """The docstring of a module, or the comment that a file of C++ begins with."""
    text = path.read_text()
    if path.suffix == ".py":
        return ast.get_docstring(ast.parse(text)) or ""
    return "\n".join(re.match(r"(?://.*\n)*", text)[0].splitlines())


def test_rules_stand_once():
    assert len(RULES) > 15
    assert len({rule.name for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_file_is_there(rule):
    files = [rule.definition, *rule.twins, *rule.tests]
    assert [file for file in files if not (ROOT / file).is_file()] == []
    assert rule.tests


@pytest.mark.parametrize("file", [file for file in FILES if file.endswith(".py")])
def test_every_module_can_be_imported(file):
    if file.startswith("kernels/") or "/device" in file:
        pytest.importorskip("triton")
    path = file if file.startswith("neuralvdb/") else f"neuralvdb/{file}"
    assert importlib.import_module(path.removesuffix(".py").removesuffix("/__init__").replace("/", "."))


@pytest.mark.parametrize(("twin", "definition"), TWINS, ids=lambda file: file)
def test_a_twin_names_its_definition(twin, definition):
    """In its first comment, by name or by path."""
    assert re.search(rf"\b{re.escape(Path(definition).name)}", first_comment(ROOT / twin)), (
        f"{twin} names no {definition}"
    )


def test_every_kernel_and_native_file_is_a_twin_or_helps_one():
    """What runs on a GPU or natively and is no glue has a row."""
    kernels = {str(path.relative_to(ROOT)) for path in (ROOT / "kernels").glob("*/gpu.py")}
    assert kernels <= set(FILES)
