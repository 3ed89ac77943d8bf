"""Runs native code with more threads than memory for their stacks: few_threads.py rans|topology|values|vdb.

Prints a line per limit: the bytes that it adds to what the process has (a stack takes 1 MiB), and the result: right,
wrong, MemoryError, or the exit code of the child, which is -n where signal n ended it.
"""

import os
import resource
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

THREADS = 24
STACK = 1 << 20
NEAR_THREE = range(3 * STACK, 3 * STACK + (3 << 16) + 1, 1 << 14)  # somewhere there a thread has no byte more
LIMITS = (STACK // 2, *NEAR_THREE, 12 * STACK, 4 * THREADS * STACK)


def rans(threads: int) -> bytes:
    """A payload coded and decoded; enough symbols for every thread."""
    from neuralvdb.archive.rans import Decoder, Encoder, Tables

    tables = Tables(np.full((1, 64), 64, np.uint16))
    symbols = np.random.default_rng(1).integers(0, 64, THREADS << 16).astype(np.uint8)
    coder = Encoder(tables)
    coder.put(np.zeros_like(symbols), symbols)
    payload = coder.finish(threads)
    return payload + Decoder(payload, tables, "here", threads).take(np.zeros_like(symbols)).tobytes()


def topology(threads: int) -> bytes:
    """The payload of a tree with a random mask in each of 384 leaves."""
    from neuralvdb.topology import Topology, neural

    rng = np.random.default_rng(1)
    none = np.zeros((0, 3), np.int32)
    upper_child, lower_child = np.zeros((1, 4096), np.uint8), np.full((1, 512), 255, np.uint8)
    upper_child[0, 0] = 1
    lower_child[:, 48:] = 0
    leaf = rng.integers(0, 256, (8 * 48, 64)).astype(np.uint8)
    masks = (upper_child, np.zeros_like(upper_child), lower_child, np.zeros_like(lower_child), leaf)
    return neural.encode(Topology(np.zeros((1, 3), np.int32), none, np.zeros(0, np.uint8), *masks), threads=threads)


def values(threads: int) -> bytes:
    """Predictions and scale classes of a level of 1024 bricks, 256 points in each."""
    from neuralvdb.values.lattice import priors
    from neuralvdb.values.lattice.levels import LatticeLevel
    from neuralvdb.values.lattice.pass_order import sample_pass
    from neuralvdb.values.lattice.points import Points
    from neuralvdb.values.lattice.predictor import Predictor
    from neuralvdb.values.lattice.sample_inputs import SampleView

    table = np.arange(1024, dtype=np.int32).reshape(16, 8, 8)
    rows = np.random.default_rng(1).integers(-99, 99, (1026, 512)).astype(np.int32)
    active = np.ones((1026, 512), np.uint8)
    level = LatticeLevel(np.zeros(3, np.int64), table, rows, active, active[:1024])
    brick, offset = np.divmod(np.arange(0, 1024 * 512, 2), 512)
    points = Points(brick.astype(np.int32), offset.astype(np.int16))
    predictor = Predictor(priors.shipped().families["levelset"].networks, threads=threads)
    predictions = predictor(SampleView(level), points, sample_pass(0, 2, 1))
    return predictions.values.tobytes() + predictions.scale_classes.tobytes()


def vdb(threads: int) -> bytes:
    """The values of a sample, read with OpenVDB's threads."""
    from neuralvdb.vdb import VdbReader, set_threads

    set_threads(threads)
    grids = list(VdbReader(Path(__file__).resolve().parents[2] / "data" / "sample" / "smoke.vdb"))
    return b"".join(grid.tree.leaf.values.tobytes() for grid in grids)


def outcome(job: Callable[[int], bytes], limit: int, right: bytes) -> str:
    """What becomes of job(THREADS) in a child that may take `limit` bytes more than this process has."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with open("/proc/self/statm") as counts:
                data = int(counts.read().split()[5]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_DATA, (data + limit,) * 2)
            code = 0 if job(THREADS) == right else 2
        except MemoryError:
            code = 3
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {0: "right", 2: "wrong", 3: "MemoryError"}.get(code, str(code))


if __name__ == "__main__":
    run = {"rans": rans, "topology": topology, "values": values, "vdb": vdb}[sys.argv[1]]
    result = run(1)
    if run is not vdb and run(2) != result:  # and this process has a thread that its children have not
        sys.exit("two threads give something else")
    for limit in LIMITS:
        print(limit, outcome(run, limit, result))
