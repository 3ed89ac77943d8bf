"""A slice of the fuzzing in fuzz.py, small enough for every run of the tests."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import fuzz
import hostile
import in_process

pytestmark = pytest.mark.slow

# runs; those in a process that lives on meet the same code for a tenth of the time
ARCHIVES, VDB, IN_PROCESS, VDB_IN_PROCESS = 120, 60, 2000, 400


@pytest.mark.parametrize(("kind", "runs"), [("archives", ARCHIVES), ("vdb", VDB)])
def test_damage_never_surprises(kind: str, runs: int, tmp_path: Path):
    outcomes = fuzz.fuzz(kind, range(runs), seed=1, workers=2, keep=tmp_path, quiet=True)
    bad = [f"run {o.number} of --seed 1 ({o.name}): {'; '.join(o.problems)}" for o in outcomes if o.problems]
    assert not bad, "\n".join([*bad, f"inputs are in {tmp_path}"])
    assert {outcome.code for outcome in outcomes} >= {0, 4}, "the mutations are too mild or too wild to test anything"
    assert len(outcomes) == runs


@pytest.mark.parametrize(("kind", "runs"), [("archives", IN_PROCESS), ("vdb", VDB_IN_PROCESS)])
def test_damage_never_surprises_in_process(kind: str, runs: int):
    ends = list(in_process.all_ends(kind, range(runs), seed=1, workers=2))
    assert [f"run {end.number} of --seed 1: {end.problem}" for end in ends if end.problem] == []
    assert [end.number for end in ends] == list(range(runs))
    assert {end.end for end in ends} >= {"done", "exit code 4"}


def test_a_crash_is_a_finding_and_not_the_end(monkeypatch: pytest.MonkeyPatch):
    use = in_process.use

    def crashing(case: fuzz.Case, *args: object) -> object:
        return os.abort() if case.number == 3 else use(case, *args)

    monkeypatch.setattr(in_process, "use", crashing)
    ends = list(in_process.all_ends("archives", range(6), seed=1, workers=1))
    assert [end.number for end in ends] == list(range(6))
    assert [end.number for end in ends if end.problem] == [3]
    assert ends[3].problem.endswith("the process ended with -6")


def test_seeds_have_sections_of_every_kind():
    sections = [piece.section for seed in fuzz.make_seeds("archives") for piece in seed.pieces]
    kinds = {(section.kind, section.codec) for section in sections}
    assert {("TOPO", 0), ("TOPO", 1), ("TOPO", 2), ("VALS", 0), ("VALS", 1), ("BLOB", 0), ("LOSS", 0)} <= kinds
    rich = next(seed for seed in fuzz.make_seeds("archives") if seed.name == "rich preview")
    assert {("TILE", grid, layer) for grid in (0, 1) for layer in (0, 4)} <= {
        (piece.section.kind, piece.section.grid, piece.section.part) for piece in rich.pieces
    }


def test_hostile_archives_reach_the_decoders():
    seeds = fuzz.make_seeds("archives")
    for seed in {seed.name: seed for seed in seeds if seed.pieces}.values():
        whole = hostile.join(_Honest(), seed.pieces)
        bench = fuzz.Bench("archives", 0, seeds)
        outcome = bench.run(fuzz.Case(0, seed, "put together again", whole, exact=True))
        bench.close()
        assert (outcome.code, outcome.problems) == (0, []), outcome


def test_fuzzer_sees_silent_changes(monkeypatch: pytest.MonkeyPatch):
    from neuralvdb.codec import decode

    monkeypatch.setattr(decode, "content_hash", lambda grid: _Equal())
    seeds = fuzz.make_seeds("archives")
    bench = fuzz.Bench("archives", 0, seeds)
    problems = (problem.partition(":")[0] for n in range(0, 9000, 6) for problem in bench.run(bench.case(n)).problems)
    try:
        assert "decoded to something else without a word" in problems
    finally:
        bench.close()


class _Honest:
    """Stands for a random.Random that never makes join() lie."""

    @staticmethod
    def random() -> float:
        return 1.0


class _Equal:
    """Stands for a hash that begins as any other."""

    @staticmethod
    def startswith(_: object) -> bool:
        return True
