"""README.md says what the code does: its Python runs; commands, options, tree and links exist."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from neuralvdb.cli.main import COMMANDS
from neuralvdb.presets import presets

tomllib = pytest.importorskip("tomllib")  # Python 3.11

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
TEXTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "neuralvdb").rglob("*.md")),
    *sorted((ROOT / "kernels").rglob("*.md")),
]
COLUMNS = 140
NOT_OURS = {"--break-system-packages"}


def code_blocks(text: str) -> list[str]:
    """The Python between fences."""
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """What stands under a heading of the README."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def help_text(command: str) -> str:
    """What `nvdb COMMAND --help` prints."""
    code = f"from neuralvdb.cli.main import main; main([{command!r}, '--help'])"
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True).stdout


def source_tree() -> list[str]:
    """Folders that the README's tree of the source names, in its order."""
    return re.findall(r"^    (\S+) {2,}\S", section("The source"), re.MULTILINE)


@pytest.mark.slow
def test_the_python_runs(tmp_path, monkeypatch, sample):
    """Every block, one after the other, where smoke.vdb is the project's sample."""
    pytest.importorskip("torch")
    shutil.copy(sample, tmp_path / "smoke.vdb")
    monkeypatch.chdir(tmp_path)
    blocks = code_blocks(README)
    assert len(blocks) >= 3
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert names["report"].ratio > 1
    assert {path.name for path in tmp_path.iterdir()} >= {"smoke.neuralvdb", "again.vdb", "preview.vdb", "corner.vdb"}


def test_the_commands_are_those_of_nvdb():
    rows = re.findall(r"^\| `nvdb (\w+) ", section("Commands"), re.MULTILINE)
    assert sorted(rows) == sorted(COMMANDS)


@pytest.mark.slow
def test_the_qualities_promise_what_the_presets_say():
    table = [line.split(" | ") for line in README.splitlines() if re.match(r"\| .*`--quality ", line)]
    promised = {cells[1].partition("`--quality ")[2].rstrip("`"): cells[2] for cells in table}
    assert promised.keys() == presets().keys() - {"lossless"}
    for name, text in promised.items():
        preset = presets()[name]
        numbers = [float(number) for number in re.findall(r"[\d.]+", text)]
        assert numbers == [preset.fog.picture, pytest.approx(100 * preset.velocity), preset.levelset]


def test_every_option_exists():
    """Those written as code; other programs' stand in lines that name the program."""
    helps = " ".join(map(help_text, COMMANDS))
    options = set(re.findall(r"--[a-z][a-z-]+", helps))
    commands = "\n".join(line for line in README.splitlines() if "pip install" not in line)
    assert {option for option in re.findall(r"--[a-z][a-z-]+", commands) if option not in options | NOT_OURS} == set()


def test_the_tree_is_that_of_the_project():
    packages = {f"neuralvdb/{path.parent.name}" for path in (ROOT / "neuralvdb").glob("*/__init__.py")}
    top = {"kernels", "configs", "data", "tests"}
    assert sorted(source_tree()) == sorted(packages | top)


def test_the_tree_is_in_the_order_of_imports():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    order = [name.replace(".", "/") for layer in layers for name in layer.split(" : ")]
    named = [name for name in source_tree() if name.startswith("neuralvdb/")]
    assert named == [name for name in order if name in named]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_lines_are_short(path):
    lines = enumerate(path.read_text().splitlines(), 1)
    assert [number for number, line in lines if len(line) > COLUMNS and "|" not in line[:1]] == []
    if path.name == "README.md" and path.parent == ROOT:
        assert max(map(len, README.splitlines())) <= COLUMNS


def test_the_first_screen_says_what_it_is_and_shows_a_picture():
    first = "\n".join(README.splitlines()[:16])
    assert "![" in first and "nvdb compress" in first and "nvdb decompress" in first
