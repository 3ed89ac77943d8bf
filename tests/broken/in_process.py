"""Feeds damaged files to the Python API, in processes that live on: ten times as many as over the command line.

    python in_process.py --runs 1000000 --seed 0 --workers 2
    python in_process.py vdb --runs 20000 --seed 0

Its cases are those of fuzz.py. A run must end with a NeuralVdbError or a result, within 5 s of CPU time and 1 GiB; a
truncated archive must be refused, what a region or a whole file decodes to must be what it was, as fuzz.py says it, and
each file written must be one that OpenVDB reads. vdb_use.py says what a .vdb file must.
A process does at most 4,000 runs; where it crashes or hangs, that is a finding, and another one goes on behind it. Of
.vdb files it is none where the command line, which expects that of OpenVDB, calls the file damaged.
"""

from __future__ import annotations

import argparse
import functools
import gc
import multiprocessing.util
import os
import select
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fuzz import BYTES, FORK, SECONDS, Bench, Case, make_seeds
from seeds import OPTIONS, Seed
from tqdm import tqdm
from vdb_use import use_vdb

from neuralvdb import CompressSettings, DecompressSettings, decompress, info, platform, verify
from neuralvdb.api.preload import preload_encoder
from neuralvdb.errors import DamagedFile, NeuralVdbError
from neuralvdb.settings import VerifySettings
from neuralvdb.vdb import VdbReader

_BLOCK = 4000  # runs of a process
_BROKEN = 99  # exit code of a process in which not a run failed but what tells of it
_HANGS = 120.0  # seconds without an answer
_KINDS, _WRITES = 16, 9  # kinds of use, and the first of them that writes a file
_WHOLE: tuple[str, ...] = ()
_CHECK = VerifySettings(threads=1)
_MASKS = DecompressSettings(threads=1, force=True, topology_only=True)
_SETTINGS = {options: replace(meaning, threads=1, force=True) for options, meaning in OPTIONS.items()}


@dataclass(frozen=True)
class End:
    """How a run ended: in a word, seconds of CPU time, and what is wrong with that."""

    number: int
    end: str
    seconds: float = 0.0
    problem: str = ""


def use(case: Case, archive: Path, back: Path) -> tuple[str, ...] | None:
    """Asks for a check, what is in an archive, its masks, a region or all of it; of the last two it gives the options
    of `nvdb` that mean the same."""
    kind, frame = case.number % _KINDS, case.seed.frame
    if kind < _WRITES - 1:
        verify(archive, settings=replace(_CHECK, frame=frame))
    elif kind == _WRITES - 1:
        info(archive, frame)
    elif kind == _WRITES:
        decompress(archive, back, replace(_MASKS, frame=frame))
    else:
        whole = kind > _KINDS - 3 or frame is not None
        options = _WHOLE if whole else list(OPTIONS)[1 + case.number // _KINDS % (len(OPTIONS) - 1)]
        decompress(archive, back, replace(_SETTINGS[options], frame=frame))
        return options
    return None


def use_archive(case: Case, folder: Path) -> str:
    """Uses a case and gives what is wrong with accepting it, if anything; raises NeuralVdbError where it is refused."""
    archive, back = folder / "in.neuralvdb", folder / "back.vdb"
    archive.write_bytes(case.data)
    return _wrong(case, use(case, archive, back), back)


_USES = {"archives": use_archive, "vdb": use_vdb}


def run(bench: Bench, number: int) -> End:
    """How the case of a number ends."""
    case = bench.case(number)
    began, problem = time.process_time(), ""
    try:
        problem = _USES[bench.kind](case, bench.folder)
        end = "done"
    except NeuralVdbError as error:
        end = f"exit code {error.exit_code}"
    except MemoryError:
        end = "exit code 9"
    except Exception as error:
        end, problem = "exception", repr(error)
    return End(number, end, time.process_time() - began, problem and f"{_described(case)}: {problem}")


def _described(case: Case) -> str:
    return f"{case.seed.name} {case.name}"


def _wrong(case: Case, options: tuple[str, ...] | None, back: Path) -> str:
    """What is wrong with accepting a case, if anything."""
    if case.refuse:
        return "a truncated file was accepted"
    hashed = case.exact and not (options and case.name.startswith("hostile"))  # the table has no hashes of parts
    if options is not None and hashed and back.read_bytes() != case.seed.decoded[options]:
        return "decoded to something else without a word"
    try:
        reader = VdbReader(back) if case.number % _KINDS >= _WRITES else None
        for index in range(min(len(reader.entries), 20) if reader else 0):
            reader.outline(index)
    except NeuralVdbError as error:
        return f"what was written cannot be read: {error}"
    return ""


def _work(bench: Bench, numbers: range, unlimited: bool, pipe: int) -> None:
    """Writes a line to the pipe for each run."""
    if not unlimited:
        platform.limit_memory(platform.data_in_use() + BYTES)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libraries write there
    gc.freeze()
    for number in numbers:
        try:
            end = run(bench, number)
        except BaseException as error:  # of the case itself, or what must not leave a library
            end = End(number, "exception", 0.0, f"{type(error).__name__}: {error}")
        late = f" took {end.seconds:.1f} s" if end.seconds > SECONDS and not unlimited else ""
        os.write(pipe, f"{end.end}\t{end.seconds}\t{ascii(end.problem + late)[1:-1][:1000]}\n".encode())


def _child(bench: Bench, numbers: range, unlimited: bool) -> tuple[int, int]:
    """A process that does these runs: its number, and the pipe that it writes to."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        status = _BROKEN
        try:
            _work(bench, numbers, unlimited, send)
            status = 0
        finally:
            os._exit(status)
    os.close(send)
    return child, receive


def _ends(bench: Bench, numbers: range, unlimited: bool) -> Iterator[End]:
    """How these runs end: all of them, or those up to one that ends the process."""
    child, pipe = _child(bench, numbers, unlimited)
    text, left = b"", list(numbers)
    while left:
        if not select.select([pipe], [], [], _HANGS)[0]:
            os.kill(child, signal.SIGKILL)
        if not (read := os.read(pipe, 1 << 16)):
            break
        *lines, text = (text + read).split(b"\n")
        for line in lines:
            end, seconds, problem = line.decode().split("\t")
            yield End(left.pop(0), end, float(seconds), problem)
    os.close(pipe)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if left:
        yield _crash(bench, bench.case(left[0]), status)


def _crash(bench: Bench, case: Case, status: int) -> End:
    """The end of a run that ended its process. OpenVDB may crash on a damaged file, where `nvdb` says that it did."""
    if bench.kind == "vdb" and (outcome := bench.run(case)).code == DamagedFile.exit_code and not outcome.problems:
        return End(case.number, "crash of OpenVDB")
    return End(case.number, "crash", 0.0, f"{_described(case)}: the process ended with {status}")


_bench: Bench | None = None


def _start(kind: str, seed: int, seeds: list[Seed]) -> None:
    global _bench
    _bench = Bench(kind, seed, seeds)
    preload_encoder(CompressSettings())
    multiprocessing.util.Finalize(None, _bench.close, exitpriority=1)


def _block(numbers: range, unlimited: bool) -> list[End]:
    """How all these runs end, whatever they do to their processes."""
    ends: list[End] = []
    while len(ends) < len(numbers):
        ends += _ends(_bench, numbers[len(ends) :], unlimited)
    return ends


def all_ends(kind: str, numbers: range, seed: int, workers: int, unlimited: bool = False) -> Iterator[End]:
    """How the runs of these numbers with files of a kind, "archives" or "vdb", end, in order."""
    blocks = [numbers[at : at + _BLOCK] for at in range(0, len(numbers), _BLOCK)]
    with ProcessPoolExecutor(workers, FORK, _start, (kind, seed, make_seeds(kind))) as pool:
        for ends in pool.map(functools.partial(_block, unlimited=unlimited), blocks):
            yield from ends


def main() -> int:
    """Exit code: 0 where no run has a problem, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", nargs="?", choices=tuple(_USES), default="archives")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that run cases side by side")
    parser.add_argument("--unlimited", action="store_true", help="judge neither time nor memory: sanitizers take more")
    args = parser.parse_args()
    counts, problems, seconds, slowest = Counter[str](), 0, 0.0, End(0, "")
    numbers = range(args.first, args.first + args.runs)
    ends = all_ends(args.kind, numbers, args.seed, args.workers, args.unlimited)
    for end in tqdm(ends, total=args.runs, mininterval=10):
        counts[end.end] += 1
        seconds += end.seconds
        slowest = max(slowest, end, key=lambda end: end.seconds)
        if end.problem:
            problems += 1
            print(f"run {end.number}: {end.problem}", flush=True)
    print(f"{args.runs} damaged {args.kind}: " + ", ".join(f"{count} {end}" for end, count in counts.most_common()))
    print(f"CPU time: {seconds / args.runs:.4f} s on average, {slowest.seconds:.2f} s at most, by run {slowest.number}")
    print(f"runs with a problem: {problems}")
    return int(problems > 0)


if __name__ == "__main__":
    sys.exit(main())
