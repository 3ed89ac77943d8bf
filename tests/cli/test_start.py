"""`nvdb` starts without torch, asks nothing, and shows progress on stderr only."""

import os
import signal
import subprocess
import sys

import pytest

from neuralvdb.cli.output import size_text, table_text
from neuralvdb.cli.progress import Bar, Stage, view_of

TRAP = "raise ImportError('{name} was imported')"
HEAVY = ("torch", "triton", "numba", "scipy")


@pytest.fixture
def modules(tmp_path):
    """Runs code in a fresh Python where any import of HEAVY is an error; gives the names of the modules loaded."""
    for name in HEAVY:
        (tmp_path / "traps" / name).mkdir(parents=True)
        (tmp_path / "traps" / name / "__init__.py").write_text(TRAP.format(name=name))

    def loaded(code: str, *argv: object) -> set[str]:
        listed = "; import atexit" if not code else ""
        script = (
            "import atexit, os, sys\n"
            f"atexit.register(lambda: open({str(tmp_path / 'modules')!r}, 'w').write(' '.join(sys.modules)))\n"
            f"{code}{listed}"
        )
        path = os.pathsep.join([str(tmp_path / "traps"), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-P", "-c", script, *map(str, argv)]
        done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return set((tmp_path / "modules").read_text().split())

    return loaded


MAIN = "from neuralvdb.cli import main; sys.exit(main())"


@pytest.mark.parametrize("code", ["import neuralvdb", "from neuralvdb import CompressSettings; CompressSettings()"])
def test_import_loads_next_to_nothing(modules, code):
    assert not modules(code) & {*HEAVY, "numpy", "tqdm", "neuralvdb.vdb._bridge", "neuralvdb.volume"}


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("compress", "--help")])
def test_help_loads_neither_numpy_nor_openvdb(modules, args):
    assert not modules(MAIN, *args) & {*HEAVY, "numpy", "neuralvdb.vdb._bridge", "neuralvdb.api"}


def test_numpy_types_are_loaded_when_somebody_wants_them(modules):
    code = "import sys, neuralvdb.cli, numpy\nassert numpy.linalg.norm([3, 4]) == 5"
    assert "numpy._typing._array_like" not in modules(f"{code}\nassert numpy.random.default_rng(0).random() < 1")
    wanted = modules(f"{code}\nfrom numpy.typing import ArrayLike\nimport numpy.typing as t; assert t.DTypeLike")
    assert "numpy._typing._array_like" in wanted


def test_an_interrupt_while_modules_load_gives_no_traceback():
    """Whatever is loaded then; before, there is nothing but Python's own start."""
    code = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background has it ignored
class Interrupt:
    def find_spec(name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt)
for name in [name for name in sys.modules if name.partition(".")[0] in ("typing", "contextlib", "re", "enum")]:
    del sys.modules[name]
from neuralvdb.cli import main
"""
    for name in ("typing", "contextlib", "neuralvdb.errors", "neuralvdb.cli.progress", "neuralvdb.cli.main"):
        done = subprocess.run([sys.executable, "-P", "-c", code, name], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (-signal.SIGINT, ""), name


@pytest.mark.parametrize("what", ["small", "archive"])
def test_info_loads_no_torch(modules, request, what):
    imported = modules(MAIN, "info", request.getfixturevalue(what))
    assert "neuralvdb.api.info" in imported
    assert not imported & {*HEAVY, "neuralvdb.kernels", "neuralvdb.fit", "tomllib", "concurrent.futures"}


def test_decompressing_one_archive_leaves_to_the_child_what_only_that_needs(modules, archive, tmp_path):
    imported = modules(MAIN, "decompress", archive, "-o", tmp_path / "x.vdb")
    assert "neuralvdb.api.decompress" in imported and (tmp_path / "x.vdb").exists()
    assert not imported & {"numpy", "neuralvdb.vdb._bridge", "neuralvdb.api.write_vdb"}


def test_fitting_loads_no_torch(modules, small, tmp_path):
    code = "import neuralvdb, sys; neuralvdb.compress(sys.argv[1], sys.argv[2], rel_error=0.01, effort=9, threads=1)"
    imported = modules(code, small, tmp_path / "x")
    assert "neuralvdb.fit.fine_tune_grid" in imported
    assert not imported & {*HEAVY, "numpy.ma", "concurrent.futures.thread"}


def test_the_trap_works(modules):
    with pytest.raises(AssertionError, match="torch was imported"):
        modules("import torch")


@pytest.mark.parametrize("command", ["compress", "decompress", "info", "verify", "diff"])
def test_stdin_is_not_needed(nvdb_command, small, archive, tmp_path, command):
    """With stdin closed, not only empty: nothing is asked, whether the output exists or not."""
    args = {
        "compress": (small, "-o", "x"),
        "decompress": (archive, "-o", "x"),
        "info": (small,),
        "verify": (archive,),
        "diff": (small, archive),
    }[command]
    closed = ["sh", "-c", 'exec "$@" <&-', "sh", *nvdb_command, command, *map(str, args)]
    for code in (0, 6 if command.endswith("compress") else 0):
        done = subprocess.run(closed, cwd=tmp_path, capture_output=True, timeout=60)
        assert done.returncode == code, done.stderr


class Terminal:
    """A stderr that is a terminal and remembers."""

    def __init__(self) -> None:
        self.text = ""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.parametrize(("quiet", "tty"), [(False, True), (False, False), (True, True)])
def test_a_bar_is_on_stderr_only_and_only_for_people(monkeypatch, capsys, quiet, tty):
    terminal = Terminal()
    terminal.isatty = lambda: tty
    monkeypatch.setattr(sys, "stderr", terminal)
    view = view_of(None, "smoke.vdb", quiet=quiet)
    view.show(Stage(0, 1, 0.1, 0.5))
    assert "smoke.vdb" not in terminal.text
    if isinstance(view, Bar):
        view._bar.start_t -= 2  # as if two seconds had passed
        view._bar.last_print_t -= 2
        view.show(Stage(0, 1, 0.5, 2.5))
        assert " 50%|" in terminal.text
        view.hide()
        assert terminal.text.endswith(" \r")
    assert ("smoke.vdb" in terminal.text) == (tty and not quiet)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (2510000, "2.51 MB"), (999999, "1 MB"), (10**15, "1e+03 TB")],
)
def test_sizes_have_three_digits(count, text):
    assert size_text(count) == text


def test_tables_align_the_first_column_left_and_others_right():
    text = table_text(("grid", "n"), [("a", "1"), ("longer", "1000")])
    assert text == "grid       n\na          1\nlonger  1000"
