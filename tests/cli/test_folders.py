"""A folder stands for the files in it; -o with a slash makes one; frames that are not there may be skipped."""

import os
import shutil

import pytest

import neuralvdb


def test_a_folder_there_and_back(run, run_json, frames):
    """Only what belongs to the command, in the order of numbers, and nothing hidden."""
    (frames / "in" / "sub.vdb").mkdir(parents=True)
    for name, number in (("s10.vdb", 1), ("s9.vdb", 2), (".s1.vdb", 3), ("s.txt", 5)):
        shutil.copy(frames / f"smoke.{number:04d}.vdb", frames / "in" / name)
    os.rmdir(frames / "in/sub.vdb")
    report = run_json("compress", "in", "-o", "a/b/", "--lossless", "--no-verify")
    assert [result["target"] for result in report["results"]] == ["a/b/s9.neuralvdb", "a/b/s10.neuralvdb"]
    run("decompress", "a/b/", "-o", "back/")
    assert sorted(os.listdir(frames / "back")) == ["s10.vdb", "s9.vdb"]
    assert neuralvdb.diff(frames / "back/s9.vdb", frames / "in/s9.vdb").same
    shutil.copy(frames / "a/b/s9.neuralvdb", frames / "in")
    assert [result["path"] for result in run_json("info", "in")["results"]] == [
        "in/s9.neuralvdb",
        "in/s9.vdb",
        "in/s10.vdb",
    ]


def test_frames_of_a_folder(run, run_json, frames):
    """By the numbers in names; an archive of many in it may hold them."""
    run("compress", ".", "--lossless", "-o", "a/", "--frames", "2-5", "--missing", "skip")
    assert sorted(os.listdir(frames / "a")) == [f"smoke.{number:04}.neuralvdb" for number in (2, 3, 5)]
    results = run_json("verify", "a", ".", "--frames", "5,3")["results"]
    assert [result["path"] for result in results] == ["a/smoke.0005.neuralvdb", "a/smoke.0003.neuralvdb"]
    assert "a: this folder holds no file of frame 4; leave it out" in run("info", "a", "--frames", "3-5", code=3).stderr
    (frames / "shot").mkdir()
    run("pack", "a", "-o", "shot/shot.neuralvdb")
    assert [result["frame"] for result in run_json("diff", "shot", ".", "--frames", "2,3")["results"]] == ["2", "3"]


@pytest.mark.parametrize("command", ["compress", "decompress", "info"])
def test_a_folder_without_files_of_the_kind(run, tmp_path, command):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("")
    assert "in: this folder holds no ." in run(command, "in", code=3).stderr


def test_a_folder_that_cannot_be_made_is_one_error(run_unprivileged, frames):
    (frames / "closed").mkdir(mode=0)
    done = run_unprivileged("compress", "smoke.####.vdb", "-o", "closed/x/", "--lossless", code=7)
    assert done.stderr == "nvdb: closed/x/: the folder cannot be made: Permission denied\n"


def test_no_folder_is_made_for_nothing(run, tmp_path):
    run("compress", "none.####.vdb", "-o", "x/", code=3)
    assert os.listdir(tmp_path) == []


def test_missing_frames_may_be_skipped(run_json, run, frames):
    report = run_json("info", "smoke.####.vdb", "--frames", "3-6", "--missing", "skip")
    assert [result["path"] for result in report["results"]] == ["smoke.0003.vdb", "smoke.0005.vdb"]
    assert run("info", "smoke.####.vdb", "--frames", "7-9", "--missing", "skip").stdout == ""
    run("info", "smoke.####.vdb", "--frames", "3-6", "--missing", "error", code=3)
    assert "no file matches" in run("info", "fire.####.vdb", "--frames", "3-6", "--missing", "skip", code=3).stderr
