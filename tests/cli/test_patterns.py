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
    run("compress", "smoke.%04d.vdb", "-o", "packed.%04d.neuralvdb", "--lossless")
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


def test_a_suffix_may_stand_behind_the_frame(run, small, tmp_path):
    for number in (1, 2):
        shutil.copy(small, tmp_path / f"s_{number:04d}_v2.vdb")
    run("compress", "s_####_v2.vdb", "-o", "o_%04d_v3.neuralvdb")
    assert made(tmp_path) == names(1, 2, form="o_{:04d}_v3.neuralvdb")
    run("compress", "s_$F4_v2.vdb", "--frames", "2", "-o", "o_<frame>_x.neuralvdb")
    assert made(tmp_path) == ["o_0001_v3.neuralvdb", "o_0002_v3.neuralvdb", "o_2_x.neuralvdb"]


@pytest.mark.parametrize("folder", ["shot#10", "user@farm", "%04d", "a$F4b", "take[2]", "<frame>"])
def test_folders_are_no_patterns(run, small, tmp_path, folder):
    (tmp_path / folder).mkdir()
    shutil.copy(small, tmp_path / folder / "s.0001.vdb")
    run("compress", f"{folder}/s.####.vdb", "-o", f"{folder}/o.####.neuralvdb")
    run("compress", f"{folder}/s.####.vdb", "--frames", "1")
    assert made(tmp_path) == [f"{folder}/o.0001.neuralvdb", f"{folder}/s.0001.neuralvdb"]


@pytest.mark.parametrize("name", ["small@2x.neuralvdb", "take#2.neuralvdb", "100%.neuralvdb"])
def test_an_output_may_have_an_ordinary_name_with_signs(run, small, tmp_path, name):
    run("compress", small, "-o", name)
    assert made(tmp_path) == [name]


def test_an_input_that_might_be_an_ordinary_name_is_one_where_no_frame_is(run, small, tmp_path):
    absent = "nvdb: small@2x.vdb: cannot be read: No such file or directory\n"
    assert run("compress", "small@2x.vdb", code=3).stderr == absent
    shutil.copy(small, tmp_path / "small72x.vdb")
    run("compress", "small@2x.vdb")
    assert made(tmp_path) == ["small72x.neuralvdb"]


def test_the_frame_is_said_once(run, frames):
    assert (
        "v##.####.neuralvdb: ## and #### both stand for the frame"
        in run("compress", "smoke.####.vdb", "-o", "v##.####.neuralvdb", code=2).stderr
    )
    run("compress", "smoke.####.vdb", "-o", "fx@2x.####.neuralvdb", "--frames", "1")
    assert made(frames) == ["fx@2x.0001.neuralvdb"]


@pytest.mark.parametrize("output", ["s.$FF.neuralvdb", "s.<UDIM>.neuralvdb", "s.%i.neuralvdb"])
def test_an_output_that_looks_like_a_pattern_but_is_none_is_refused(run, frames, output):
    """A farm that does a frame a task would write all of them to this one name."""
    done = run("compress", "smoke.####.vdb", "--frames", "1", "-o", output, "--force", code=2)
    assert "is no token for a frame; use ####" in done.stderr
    assert made(frames) == []


@pytest.mark.parametrize("output", ["o.${F4}.neuralvdb", "o.<f4>.neuralvdb", "o.#.neuralvdb", "o.@@@@.neuralvdb"])
def test_other_spellings_of_four_digits(run, frames, output):
    run("compress", "smoke.####.vdb", "--frames", "2", "-o", output)
    assert made(frames) == ["o.0002.neuralvdb"]


@pytest.mark.parametrize("spec", ["1-3x0.5", "1.0-3.0"])
def test_ranges_of_subframes_are_refused(run, frames, spec):
    assert "frames of a range are whole numbers" in run("compress", "smoke.####.vdb", "--frames", spec, code=2).stderr
    assert made(frames) == []


def test_subframes_on_disk_are_frames(run, frames, small):
    """Where the half before the point is the longer one: of others nobody knows what they are."""
    shutil.copy(small, frames / "smoke.0001.5.vdb")
    shutil.copy(small, frames / "smoke.0001.0005.vdb")
    run("compress", "smoke.####.vdb", "--frames", "1-2,1.5", "-o", "o.####.neuralvdb")
    assert made(frames) == ["o.0001.5.neuralvdb", "o.0001.neuralvdb", "o.0002.neuralvdb"]


def test_every_second_frame_as_open_job_description_says_it(run, frames):
    run("compress", "smoke.####.vdb", "--frames", "1-5:2")
    assert made(frames) == names(1, 3, 5)


@pytest.mark.parametrize("spec", ["1 2", " 1", "1-2 ", "1\n", "1;2"])
def test_nothing_but_a_range_is_a_range(run, frames, spec):
    assert "no range of frames" in run("compress", "smoke.####.vdb", "--frames", spec, code=2).stderr
    assert made(frames) == []


@pytest.mark.parametrize("padded", ["s.-0001.vdb", "s.-001.vdb"])
def test_frames_below_0(run, small, tmp_path, padded):
    """Blender and Maya do not count the minus as a digit, printf does."""
    shutil.copy(small, tmp_path / padded)
    shutil.copy(small, tmp_path / "s.0000.vdb")
    run("compress", "s.####.vdb", "-o", "all.####.neuralvdb")
    run("compress", "s.####.vdb", "--frames", "-1-0", "-o", "some.%04d.neuralvdb")
    assert made(tmp_path) == ["all.-0001.neuralvdb", "all.0000.neuralvdb", "some.-001.neuralvdb", "some.0000.neuralvdb"]


def test_any_padding_is_any_padding(run, small, tmp_path):
    for name in ("s.2.vdb", "s.0001.vdb", "s.0003.vdb"):
        shutil.copy(small, tmp_path / name)
    run("compress", "s.<frame>.vdb")
    assert made(tmp_path) == ["s.0001.neuralvdb", "s.0003.neuralvdb", "s.2.neuralvdb"]


def test_two_files_of_one_frame_are_not_written_to_one_output(run, small, tmp_path):
    for name in ("s.1.vdb", "s.0001.vdb"):
        shutil.copy(small, tmp_path / name)
    done = run("compress", "s.<frame>.vdb", "-o", "o.<frame>.neuralvdb", code=2)
    assert "s.1.vdb and s.0001.vdb would both become o.1.neuralvdb" in done.stderr
    assert made(tmp_path) == []


def test_numbers_in_front_of_the_frame_belong_to_the_name(run, small, tmp_path):
    shutil.copy(small, tmp_path / "v20001.vdb")
    shutil.copy(small, tmp_path / "v0002.vdb")
    run("compress", "v2####.vdb")
    assert made(tmp_path) == ["v20001.neuralvdb"]


def test_a_frame_at_the_end_of_the_name_is_kept(run, small, tmp_path):
    for number in (1, 2):
        shutil.copy(small, tmp_path / f"s.{number:04d}")
    run("compress", "s.####")
    assert made(tmp_path) == names(1, 2, form="s.{:04d}.neuralvdb")


@pytest.mark.parametrize("name", ["", ".", "/", "..", "x/"])
@pytest.mark.parametrize("command", ["compress", "decompress", "info"])
def test_names_of_no_file(run, tmp_path, command, name):
    done = run(command, name, code=3)
    assert done.stderr.startswith("nvdb: ")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("output", "hint"), [("-", "./-"), ("", "names no file")])
def test_outputs_of_no_name(run, small, tmp_path, output, hint):
    assert hint in run("compress", small, "-o", output, code=2).stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a" * 300, "loop", "closed/x", "closed/x.####.vdb", "a" * 300 + ".####.vdb"])
@pytest.mark.parametrize("command", ["compress", "decompress", "info"])
def test_inputs_that_cannot_be(run_unprivileged, tmp_path, command, name):
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "closed").mkdir(mode=0)
    done = run_unprivileged(command, name, code=3)
    assert done.stderr.startswith(f"nvdb: {name}: ")
    assert done.stderr.count("\n") == 1


def test_a_folder_that_cannot_be_listed_has_the_frames_that_are_asked_for(run_unprivileged, frames):
    frames.chmod(0o300)
    try:
        run_unprivileged("info", "smoke.####.vdb", code=3)
        run_unprivileged("compress", "smoke.####.vdb", "--frames", "1-2")
    finally:
        frames.chmod(0o700)
    assert made(frames) == names(1, 2)
