"""info, verify and diff of many files: one table, a row for each, counterparts by frame or by name."""

import shutil

import pytest

import neuralvdb


@pytest.fixture
def archived(frames, archive):
    """Frames 1, 2, 3 and 5, archives of 1, 2 and 3 called `a.1.neuralvdb`, in folders `in` and `out`."""
    for folder in ("in", "out"):
        (frames / folder).mkdir()
    for number in (1, 2, 3, 5):
        (frames / f"smoke.{number:04d}.vdb").rename(frames / f"in/smoke.{number:04d}.vdb")
    for number in (1, 2, 3):
        shutil.copy(archive, frames / f"out/smoke.{number:04d}.neuralvdb")
    return frames


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_info(run, archived):
    table = cells(run("info", "out", "in/smoke.0005.vdb").stdout)
    assert [line[0] for line in table] == [
        "file",
        *(f"out/smoke.000{n}.neuralvdb" for n in (1, 2, 3)),
        "in/smoke.0005.vdb",
        "4",
    ]
    size, source = (
        (archived / "out/smoke.0001.neuralvdb").stat().st_size,
        (archived / "in/smoke.0005.vdb").stat().st_size,
    )
    assert table[1][5] == f"{source / size:.2f}x"
    assert table[1][6:] == ["1", "912", "0"]
    assert len(run("info", "out", "-v").stdout.splitlines()) > 15


def test_verify(run, run_json, archived):
    done = run("verify", "out/smoke.####.neuralvdb", "in/smoke.####.vdb", code=3)
    assert done.stderr == "nvdb: in/smoke.0005.vdb: there is no file to compare it with\n"
    table = cells(done.stdout)
    assert [line[0] for line in table] == ["archive", *(f"out/smoke.000{n}.neuralvdb" for n in (1, 2, 3)), "3"]
    assert [line[-1] for line in table[1:4]] == ["same"] * 3
    whole = run("verify", "out", "--jobs", "2").stdout
    assert [line[-1] for line in cells(whole)[1:4]] == ["whole"] * 3
    neuralvdb.compress(
        archived / "in/smoke.0002.vdb", archived / "out/smoke.0002.neuralvdb", rel_error=0.01, force=True
    )
    data = bytearray((archived / "out/smoke.0001.neuralvdb").read_bytes())
    data[len(data) // 2] ^= 1
    (archived / "out/smoke.0001.neuralvdb").write_bytes(data)
    report = run_json("verify", "out", "in", "--frames", "1", code=4)
    assert [error["path"] for error in report["errors"]] == ["out/smoke.0001.neuralvdb"]
    report = run_json("verify", "out/smoke.0002.neuralvdb", "in/smoke.0002.vdb", "--frames", "1", code=2)
    assert "is no pattern" in report["errors"][0]["message"]
    done = run("verify", "out/smoke.####.neuralvdb", "in/smoke.####.vdb", "--frames", "1-3", code=4)
    states = {line[0]: " ".join(line[4:] or line[3:]) for line in cells(done.stdout)[1:-1]}
    assert states == {"out/smoke.0002.neuralvdb": "lossy, as promised", "out/smoke.0003.neuralvdb": "same"}
    assert "out/smoke.0001.neuralvdb: " in done.stderr


def test_diff(run, run_json, archived):
    (archived / "in/smoke.0005.vdb").unlink()
    table = cells(run("diff", "in", "out").stdout)
    assert [(line[0], line[1], line[-1]) for line in table[1:4]] == [
        (f"in/smoke.000{n}.vdb", f"out/smoke.000{n}.neuralvdb", "same") for n in (1, 2, 3)
    ]
    neuralvdb.compress(
        archived / "in/smoke.0002.vdb", archived / "out/smoke.0002.neuralvdb", rel_error=0.01, force=True
    )
    done = run("diff", "in/smoke.####.vdb", "out/smoke.<frame>.neuralvdb", code=10)
    assert [line[-1] for line in cells(done.stdout)[1:4]] == ["same", "different", "same"]
    assert done.stdout.splitlines()[-1].startswith("3 files, 1 different  ")
    report = run_json("diff", "in", "out", code=10)
    assert [result["same"] for result in report["results"]] == [True, False, True]
    assert "draws one pair" in run("diff", "in", "out", "--image", "x.png", code=2).stderr
