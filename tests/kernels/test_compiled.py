"""Every kernel compiles to machine code for the GPUs it is meant for, and spills next to no registers there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import neuralvdb

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).with_name("compiled.py")


@pytest.fixture(scope="module")
def rows() -> list[list]:
    """What compiled.py prints; in a process of its own, because here kernels may be interpreted."""
    env = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-P", "-W", "ignore", str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=500)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_every_kernel_is_compiled(rows):
    """A kernel is a function with a program index; what it calls is compiled with it."""
    folder = Path(neuralvdb.__file__).parent / "kernels"
    kernels = set()
    for path in folder.glob("*/gpu.py"):
        for text in path.read_text().split("@triton.jit")[1:]:
            name, _, body = text.partition("def ")[2].partition("(")
            if "tl.program_id" in body.partition("\n\n\n")[0]:
                kernels.add(f"{path.parent.name}.{name}")
    assert {entry[0] for entry in rows} == kernels


@pytest.mark.parametrize("capability", [80, 89, 90])
def test_registers_suffice(rows, capability):
    of_capability = [entry for entry in rows if entry[2] == capability]
    assert of_capability
    assert [entry for entry in of_capability if entry[3] == 0 or entry[6] > 16] == []
