"""Names that stand for many frames, and where the outputs go."""

import os
import shutil
from pathlib import Path

import pytest

import neuralvdb

PATTERNS = ("smoke.####.vdb", "smoke.%04d.vdb", "smoke.$F4.vdb", "smoke.<frame>.vdb")


def made(folder: Path) -> list[str]:
    """Archives in the folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*.neuralvdb"))


def names(*numbers: int, form: str = "smoke.{:04d}.neuralvdb") -> list[str]:
    return [form.format(number) for number in numbers]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_pattern_stands_for_the_frames_on_disk(run_json, frames, pattern):
    report = run_json("compress", pattern)
    assert [result["source"] for result in report["results"]] == [f"smoke.{n:04d}.vdb" for n in (1, 2, 3, 5)]
    assert made(frames) == names(1, 2, 3, 5)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_frames_selects(run, frames, pattern):
    run("compress", pattern, "--frames", "1-3", "--no-verify")
    assert made(frames) == names(1, 2, 3)


@pytest.mark.parametrize(("spec", "numbers"), [("1-5x2", (1, 3, 5)), ("2", (2,)), ("1,5", (1, 5))])
def test_ranges(run, frames, spec, numbers):
    run("compress", "smoke.%04d.vdb", "--frames", spec, "--no-verify")
    assert made(frames) == names(*numbers)


def test_a_range_within_the_name(run, frames):
    run("compress", "smoke.1-3#.vdb")
    assert made(frames) == names(1, 2, 3)


def test_a_missing_frame_is_named_and_the_others_are_done(run, frames):
    done = run("compress", "smoke.%04d.vdb", "--frames", "3-5", code=3)
    assert done.stderr == "nvdb: smoke.0004.vdb: cannot be read: No such file or directory\n"
    assert made(frames) == names(3, 5)


def test_nothing_matches(run, frames):
    done = run("compress", "fire.####.vdb", code=3)
    assert done.stderr == "nvdb: fire.####.vdb: no file matches this pattern; check name and padding\n"


@pytest.mark.parametrize("spec", ["all", "1-", "x2", ""])
def test_a_range_that_is_none(run, frames, spec):
    """Also an empty one: doing nothing and saying that all went well would mislead."""
    assert (
        "no range of frames such as 1-10 or 1-100x5"
        in run("compress", "smoke.%04d.vdb", "--frames", spec, code=2).stderr
    )
    assert made(frames) == []


def test_an_existing_file_stands_for_itself(run, small, tmp_path):
    shutil.copy(small, tmp_path / "take#2.vdb")
    run("compress", "take#2.vdb")
    assert made(tmp_path) == ["take#2.neuralvdb"]


def test_padding_tells_sequences_apart(run_json, frames, small):
    shutil.copy(small, frames / "smoke.7.vdb")
    sources = {result["source"] for result in run_json("compress", "smoke.%04d.vdb")["results"]}
    assert {f"smoke.{n:04d}.vdb" for n in (1, 2, 3, 5)} <= sources


def test_info_takes_patterns(run_json, frames):
    assert len(run_json("info", "smoke.%04d.vdb")["results"]) == 4


def test_a_sequence_there_and_back(run, frames):
    run("compress", "smoke.%04d.vdb", "-o", "packed.%04d.neuralvdb")
    run("decompress", "packed.%04d.neuralvdb", "-o", "back.%04d.vdb", "--frames", "1-3")
    assert [neuralvdb.diff(frames / f"smoke.000{n}.vdb", frames / f"back.000{n}.vdb").same for n in (1, 2, 3)] == [
        True
    ] * 3
    assert not (frames / "back.0005.vdb").exists()


@pytest.mark.parametrize("pattern", ["x/y.%04d.neuralvdb", "x/y.$F4.neuralvdb", "x/y.####.neuralvdb"])
def test_output_to_a_pattern(run, frames, pattern):
    (frames / "x").mkdir()
    run("compress", "smoke.%04d.vdb", "-o", pattern)
    assert made(frames) == names(1, 2, 3, 5, form="x/y.{:04d}.neuralvdb")


def test_output_to_a_folder(run, frames):
    (frames / "x").mkdir()
    run("compress", "smoke.%04d.vdb", "-o", "x")
    run("compress", "smoke.0001.vdb", "-o", "x/", code=6)
    assert made(frames) == names(1, 2, 3, 5, form="x/smoke.{:04d}.neuralvdb")


def test_output_to_a_file(run, frames):
    run("compress", "smoke.0001.vdb", "-o", "y")
    assert sorted(os.listdir(frames)) == [*(f"smoke.000{n}.vdb" for n in (1, 2, 3, 5)), "y"]


@pytest.mark.parametrize("args", [("smoke.0001.vdb", "smoke.0002.vdb"), ("smoke.%04d.vdb",)])
def test_several_inputs_into_one_file_are_refused(run, frames, args):
    assert "-o y is one file, but there are" in run("compress", *args, "-o", "y", code=2).stderr
    assert len(os.listdir(frames)) == 4


def test_an_output_pattern_needs_frames(run, frames):
    done = run("compress", "smoke.0001.vdb", "-o", "y.####.neuralvdb", code=2)
    assert "is a pattern, but smoke.0001.vdb names no frame" in done.stderr


def test_inputs_that_would_become_one_output_are_refused(run, small, tmp_path):
    """Before anything is written."""
    for folder in "ab":
        (tmp_path / folder).mkdir()
        shutil.copy(small, tmp_path / folder / "smoke.vdb")
    done = run("compress", "a/smoke.vdb", "b/smoke.vdb", "-o", ".", code=2)
    assert "b/smoke.vdb and a/smoke.vdb would both become smoke.neuralvdb" in done.stderr
    assert made(tmp_path) == []


def test_the_input_is_never_overwritten(run, frames):
    """Not even with --force: `-o` with the input's own name is a slip that would cost the original."""
    before = (frames / "smoke.0001.vdb").read_bytes()
    run("compress", "smoke.0001.vdb", "-o", "smoke.0001.vdb", "--force", code=2)
    assert (frames / "smoke.0001.vdb").read_bytes() == before


def test_force_overwrites_all(run, frames):
    run("compress", "smoke.%04d.vdb")
    assert len(run("compress", "smoke.%04d.vdb", code=6).stderr.splitlines()) == 4
    run("compress", "smoke.%04d.vdb", "--force")
