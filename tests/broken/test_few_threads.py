"""Native code that gets no thread or no memory gives the right result or a MemoryError; it does not abort."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("few_threads.py")
ONE_CORE = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # NumPy's own threads would take from the limit


@pytest.mark.parametrize("module", ["rans", "topology", "values", "vdb"])
def test_threads_that_cannot_start_do_not_abort(module):
    command = [sys.executable, "-P", str(SCRIPT), module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **ONE_CORE})
    assert done.returncode == 0, done.stderr
    outcomes = [line.split()[1] for line in done.stdout.splitlines()]
    assert len(outcomes) == 16 and set(outcomes) <= {"right", "MemoryError"}, done.stdout
    assert outcomes[-1] == "right", done.stdout  # where there is room for all threads
