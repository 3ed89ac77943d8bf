"""`--threads` holds for all threads, those of NumPy's BLAS too."""

import contextlib
import os
import subprocess
import sys
import time

import psutil
import pytest

LOSSY = ["--rel-error", "1%", "--effort", "2", "--device", "cpu"]
IN_PROCESS = """
import sys, threading, time
import numpy
import neuralvdb
from threadpoolctl import threadpool_info
most, seen, done = max(pool["num_threads"] for pool in threadpool_info()), [], threading.Event()

def watch():
    while not done.is_set():
        seen.append(max(pool["num_threads"] for pool in threadpool_info()))
        time.sleep(0.01)

watcher = threading.Thread(target=watch)
watcher.start()
neuralvdb.compress(sys.argv[1], sys.argv[2], rel_error=0.01, effort=2, threads=1, device="cpu")
done.set()
watcher.join()
print(most, min(seen), max(pool["num_threads"] for pool in threadpool_info()))
"""


@pytest.fixture
def many_blas_threads() -> dict[str, str]:
    """An environment that asks NumPy's BLAS for four threads."""
    return {**os.environ, "OPENBLAS_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 3])
def test_a_command_has_no_more_threads_than_asked_for(nvdb_command, many_blas_threads, sample, tmp_path, threads):
    files = [sample.with_name("cloud.vdb"), "-o", tmp_path / "a"]
    command = [*nvdb_command, "compress", *files, *LOSSY, "--threads", threads]
    process = psutil.Popen(list(map(str, command)), env=many_blas_threads)
    counts = {0}
    while process.poll() is None:
        for child in process.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                counts.add(child.num_threads())
        time.sleep(0.005)
    assert process.returncode == 0
    assert max(counts) <= (1 if threads == 1 else 1 + 2 * threads)  # one waits for others


@pytest.mark.slow
def test_from_python_blas_has_one_thread_while_it_works(many_blas_threads, sample, tmp_path):
    command = [sys.executable, "-P", "-c", IN_PROCESS, sample.with_name("cloud.vdb"), tmp_path / "a"]
    done = subprocess.run(list(map(str, command)), env=many_blas_threads, capture_output=True, text=True, check=True)
    before, least, after = map(int, done.stdout.split())
    assert least == 1
    assert before == after
