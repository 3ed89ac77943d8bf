"""Feeds damaged files to `nvdb` and judges what happens; every run follows from --seed and its number.

    python fuzz.py archives --runs 200000 --seed 0
    python fuzz.py vdb --runs 2000 --seed 0

Each run is one call of the command line, which isolates its work in a child process. It must end within
5 s of CPU time and 1 GiB, with an exit code from the table in neuralvdb/errors.py that damage can explain, with one
line on stderr where that is not 0, and without a file or process left over. An archive must be refused
or decode to exactly what it held, unless the table of its frame was forged together with all checksums; what
is cut out of it, or made coarser, must be what it was unless any checksum was forged.
A .vdb file that is accepted must come back from its archive without any difference, and a truncated one
must be refused.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import multiprocessing.util
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # no thread may exist before a fork

import hostile
import mutations
from hostile_frames import attack_frames
from meter import Meter, Usage
from seeds import OPTIONS, Seed, archive_seeds, vdb_seeds
from tqdm import tqdm

SECONDS, BYTES = 5.0, 1 << 30
_EXPLAINED = {0, 4, 5, 8, 9, 12}  # done, damaged, unsupported, promise broken, out of memory, priors missing
_NO_FRAME = (2, 3)  # it is no archive of many frames, or has not the one that is asked for
_DIFFERENT = 10
_REGIONS = [options for options in OPTIONS if options]
FORK = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Case:
    """One damaged file. exact: it may be accepted only with the seed's own content; refuse: not at all."""

    number: int
    seed: Seed
    name: str
    data: bytes
    exact: bool = False
    refuse: bool = False


@dataclass
class Outcome:
    """What a run did. seconds and memory (bytes) of its most expensive command; problems: none if all is well."""

    number: int
    name: str
    code: int | str = 0
    seconds: float = 0.0
    memory: int = 0
    message: str = ""
    problems: list[str] = field(default_factory=list)


class Bench:
    """Runs cases of one kind, "archives" or "vdb", in a folder of its own that close() removes."""

    def __init__(self, kind: str, seed: int, seeds: list[Seed]) -> None:
        self.kind, self.seed, self.seeds = kind, seed, seeds
        self.folder = _new_folder()
        self._meter = Meter()

    def case(self, number: int) -> Case:
        """The case of that number."""
        rng = random.Random(f"{self.kind} {self.seed} {number}")
        seed = rng.choice(self.seeds)
        if seed.pieces and rng.random() < 0.6:
            name, data, changed = hostile.attack(rng, seed.pieces)
            return Case(number, seed, f"hostile {name}", data, exact=not changed)
        if seed.frame and rng.random() < 0.6:
            name, data = attack_frames(rng, seed.data)
            return Case(number, seed, f"hostile {name}", data)
        name, data = mutations.damage(rng, seed.data, seed.hot)
        if rng.random() < 0.15 and data:
            name, data = mutations.damage(rng, data)
        cut = seed.data.startswith(data)
        return Case(number, seed, name, data, exact=self.kind == "archives", refuse=cut and data != seed.data)

    def run(self, case: Case) -> Outcome:
        """Outcome of a case."""
        outcome = Outcome(case.number, f"{case.seed.name} {case.name}")
        out = self.folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        damaged = self.folder / ("in.neuralvdb" if self.kind == "archives" else "in.vdb")
        damaged.write_bytes(case.data)
        (self._run_archive if self.kind == "archives" else self._run_vdb)(case, damaged, out, outcome)
        return outcome

    def _run_archive(self, case: Case, damaged: Path, out: Path, outcome: Outcome) -> None:
        command = ("decompress", "decompress", "decompress", "decompress", "info", "verify")[case.number % 6]
        region = _REGIONS[case.number // 6 % len(_REGIONS)] if case.number % 6 == 3 and not case.seed.frame else ()
        back = out / "back.vdb"
        options = ["-o", back, "-q", *region] if command == "decompress" else []
        frame = ["--frames", str(case.seed.frame)] if case.seed.frame else []
        code = outcome.code = self._command(outcome, command, damaged, *options, *frame)
        self._explained(outcome, code, _NO_FRAME if frame else ())
        self._left(outcome, out, {back.name} if options and code == 0 else set())
        if code == 0 and case.refuse:
            outcome.problems.append("a truncated file was accepted")
        exact = case.exact and not (region and case.name.startswith("hostile"))  # the table has no hashes of parts
        if options and code == 0 and exact and back.read_bytes() != case.seed.decoded[region]:
            outcome.problems.append("decoded to something else without a word")

    def _run_vdb(self, case: Case, damaged: Path, out: Path, outcome: Outcome) -> None:
        archive, back = out / "x.neuralvdb", out / "x.vdb"
        code = outcome.code = self._command(outcome, "compress", "--lossless", damaged, "-o", archive)
        self._explained(outcome, code)
        self._left(outcome, out, {archive.name} if code == 0 else set())
        self._explained(outcome, self._command(outcome, "info", damaged))
        if code != 0:
            return
        if case.refuse:
            outcome.problems.append("a truncated file was accepted")
        for command in (("decompress", archive, "-o", back), ("diff", damaged, back), ("verify", archive, damaged)):
            code = self._command(outcome, *command)
            if code != 0:
                outcome.problems.append(f"{command[0]} of what was accepted gives {code}: {outcome.message}")
                return
        self._left(outcome, out, {archive.name, back.name})

    @staticmethod
    def _explained(outcome: Outcome, code: int | str, also: Sequence[int] = ()) -> None:
        if code not in (*_EXPLAINED, *also):
            outcome.problems.append(f"exit code {code}: {outcome.message}")

    @staticmethod
    def _left(outcome: Outcome, out: Path, expected: set[str]) -> None:
        if set(os.listdir(out)) != expected:
            outcome.problems.append(f"files {sorted(os.listdir(out))} where {sorted(expected)} belong")

    def _command(self, outcome: Outcome, *args: object) -> int | str:
        """Exit code of `nvdb` with `args`; its time, memory and way of speaking are noted and judged."""
        usage = self._meter.run([*map(str, args), *([] if args[0] in ("info", "diff") else ["--threads", "1"])])
        outcome.seconds, outcome.memory = max(outcome.seconds, usage.seconds), max(outcome.memory, usage.memory)
        outcome.message = usage.message
        outcome.problems += [f"{args[0]}: {text}" for text in _judge(usage)]
        return usage.code

    def close(self) -> None:
        """Removes the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _judge(usage: Usage) -> list[str]:
    problems = []
    if usage.seconds > SECONDS:
        problems.append(f"took {usage.seconds:.1f} s of CPU time")
    if usage.memory > BYTES:
        problems.append(f"took {usage.memory >> 20} MiB")
    lines = usage.message.splitlines()
    if len(lines) != (usage.code not in (0, _DIFFERENT)) or not all(line.startswith("nvdb: ") for line in lines):
        problems.append(f"exit code {usage.code} with {len(lines)} lines on stderr: {usage.message[-500:]}")
    if usage.left_running:
        problems.append("a process was left running")
    return problems


_bench: Bench | None = None


def _start(kind: str, seed: int, seeds: list[Seed]) -> None:
    global _bench
    _bench = Bench(kind, seed, seeds)
    multiprocessing.util.Finalize(None, _bench.close, exitpriority=1)


def _run(number: int) -> Outcome:
    return _bench.run(_bench.case(number))


@functools.cache
def make_seeds(kind: str) -> list[Seed]:
    """The seeds, made once and in a child: OpenVDB starts threads, and with these no process can fork safely."""
    folder = _new_folder()
    try:
        with ProcessPoolExecutor(1, FORK) as pool:
            return pool.submit(archive_seeds if kind == "archives" else vdb_seeds, folder).result()
    finally:
        shutil.rmtree(folder)


def fuzz(kind: str, numbers: range, seed: int, workers: int, keep: Path | None, quiet: bool = False) -> list[Outcome]:
    """The outcomes of all `numbers`; inputs of runs with problems are stored in `keep`."""
    outcomes = []
    seeds = make_seeds(kind)
    with ProcessPoolExecutor(workers, FORK, _start, (kind, seed, seeds)) as pool:
        done = pool.map(_run, numbers, chunksize=max(1, min(20, len(numbers) // workers)))
        for outcome in tqdm(done, total=len(numbers), unit="run", disable=quiet):
            outcomes.append(outcome)
            if outcome.problems:
                tqdm.write(f"run {outcome.number} ({outcome.name}): {'; '.join(outcome.problems)}")
                if keep:
                    _keep(Bench(kind, seed, seeds), outcome, keep)
    return outcomes


def _keep(bench: Bench, outcome: Outcome, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "neuralvdb" if bench.kind == "archives" else "vdb"
    (folder / f"{outcome.number}.{suffix}").write_bytes(bench.case(outcome.number).data)
    (folder / f"{outcome.number}.txt").write_text("\n".join([outcome.name, *outcome.problems]) + "\n")
    bench.close()


def _new_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))


def table(outcomes: list[Outcome]) -> str:
    """Exit codes with how often, how long and how much memory at most."""
    lines = [f"{'exit code':>9}  {'runs':>7}  {'slowest':>8}  {'highest memory':>14}"]
    for code, count in sorted(Counter(outcome.code for outcome in outcomes).items(), key=str):
        these = [outcome for outcome in outcomes if outcome.code == code]
        slowest, highest = max(o.seconds for o in these), max(o.memory for o in these) / (1 << 20)
        lines.append(f"{code:>9}  {count:>7}  {slowest:>6.2f} s  {highest:>10.0f} MiB")
    slowest, highest = (max(outcomes, key=lambda o: getattr(o, name)) for name in ("seconds", "memory"))
    lines.append(f"slowest run: {slowest.number}, {slowest.seconds:.2f} s ({slowest.name})")
    lines.append(f"highest memory of a run: {highest.number}, {highest.memory >> 20} MiB ({highest.name})")
    lines.append(f"runs with a problem: {sum(bool(o.problems) for o in outcomes)} of {len(outcomes)}")
    return "\n".join(lines)


def main() -> int:
    """Exit code: 0 where no run has a problem, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("archives", "vdb"))
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="number of the first run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that run cases side by side")
    parser.add_argument("--keep", type=Path, help="folder for inputs that cause problems")
    args = parser.parse_args()
    numbers = range(args.first, args.first + args.runs)
    outcomes = fuzz(args.kind, numbers, args.seed, args.workers, args.keep)
    print(table(outcomes))
    return int(any(outcome.problems for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
