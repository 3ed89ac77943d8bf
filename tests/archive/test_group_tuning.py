"""Networks that are fine-tuned once to a grid of all frames of a group."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from neuralvdb.api.shot import FrameSource, ShotSoFar, compressing_frames
from neuralvdb.archive import ArchiveReader
from neuralvdb.archive.formats import is_readable
from neuralvdb.cli.main import main
from neuralvdb.codec.frame import FrameReader, OpenFrames
from neuralvdb.fit import fine_tune_group
from neuralvdb.settings import Bound, CompressSettings
from neuralvdb.values.lattice.network_changes import INTERPOLATION_ONLY, NetworkChange
from neuralvdb.values.lattice.pass_order import KEYS
from neuralvdb.vdb import VdbReader, from_dense, write_vdb

COUNT, SIZE = 3, 32
BASELINE = CompressSettings(bounds=(Bound(value=0.01, relative=True),), threads=1, force=True)
TUNED = replace(BASELINE, effort=4)


def code(sources: list[FrameSource], target: Path, settings: CompressSettings = TUNED) -> list:
    """What became of each frame."""
    with compressing_frames(sources, str(target), settings, ShotSoFar(COUNT)) as task:
        return task.work()


def a_frame(path: Path, seed: int) -> FrameSource:
    """A fog that no network was trained on, elsewhere in every frame, whose voxels are thinner in every other layer."""
    rng = np.random.default_rng(seed)
    x, y, z = np.indices((SIZE,) * 3) / 8 + rng.uniform(0, 40, (3, 1, 1, 1))
    layers = 0.3 * (np.indices((SIZE,) * 3)[2] % 2)
    values = 2 + np.sin(x) * np.cos(y) + 0.3 * np.sin(z + x) + layers + rng.normal(0, 0.02, x.shape)
    write_vdb(path, [from_dense(values.astype("f4"), name="odd", active=np.ones(x.shape, bool))])
    return FrameSource(str(path), seed)


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> list[FrameSource]:
    folder = tmp_path_factory.mktemp("odd")
    return [a_frame(folder / f"odd.{number:04}.vdb", number) for number in range(COUNT)]


@pytest.fixture(scope="module")
def shot(sources) -> Path:
    """The archive of all, fine-tuned."""
    path = Path(sources[0].path).with_name("shot.neuralvdb")
    code(sources, path)
    return path


def values_sizes(path: Path) -> list[int]:
    """Bytes of the section VALS of each frame."""
    with ArchiveReader(path, is_readable) as archive:
        assert archive.directory is not None
        positions = range(len(archive.directory))
        return [s.size for position in positions for s in archive.sections_of(position) if s.kind == "VALS"]


def test_networks_are_tuned_to_all_frames_and_stored_once(sources, shot, tmp_path):
    code(sources, tmp_path / "baseline.neuralvdb", BASELINE)
    assert shot.stat().st_size < 0.8 * (tmp_path / "baseline.neuralvdb").stat().st_size
    with ArchiveReader(shot, is_readable) as archive:
        frames = OpenFrames(archive)
        assert all(frames.at(position).head(0).fine_tuned for position in range(COUNT))
    first, *later = values_sizes(shot)
    assert first > 200 and max(later) < first / 3


def test_every_frame_keeps_its_promise(sources, shot):
    for source in sources:
        values = VdbReader(source.path).read(0).tree.leaf.values.astype(float)
        with FrameReader(shot, source.number) as frame:
            decoded = frame.read(0).tree.leaf.values
        assert np.abs(decoded - values).max() <= 0.01 * np.ptp(values) * (1 + 1e-6)


@pytest.mark.slow
def test_the_same_bytes_again_and_by_several_threads(sources, shot, tmp_path):
    code(sources, tmp_path / "again.neuralvdb", replace(TUNED, threads=2))
    assert (tmp_path / "again.neuralvdb").read_bytes() == shot.read_bytes()


@pytest.mark.slow
def test_a_farm_makes_the_same_archive(sources, tmp_path):
    """Each task sees the frames of its chunk and no others."""
    folder, options = str(Path(sources[0].path).parent), ["--rel-error", "1%", "--effort", "4", "-q", "--chunk", "2"]
    assert main(["compress", f"{folder}/odd.####.vdb", "-o", str(tmp_path / "all.neuralvdb"), *options]) == 0
    for frames in ("2", "0-1"):
        task = tmp_path / f"task.{frames}.neuralvdb"
        assert main(["compress", f"{folder}/odd.####.vdb", "-o", str(task), "--frames", frames, *options]) == 0
    tasks = sorted(str(path) for path in tmp_path.glob("task.*"))
    assert main(["pack", *tasks, "-o", str(tmp_path / "packed.neuralvdb"), "-q"]) == 0
    assert (tmp_path / "packed.neuralvdb").read_bytes() == (tmp_path / "all.neuralvdb").read_bytes()


def test_where_nothing_pays_nothing_is_stored(sources, tmp_path, monkeypatch):
    code(sources, tmp_path / "baseline.neuralvdb", BASELINE)
    size = (tmp_path / "baseline.neuralvdb").stat().st_size
    monkeypatch.setattr(fine_tune_group, "fine_tune_grid", lambda *_, **__: {})
    code(sources, tmp_path / "none.neuralvdb")
    assert (tmp_path / "none.neuralvdb").stat().st_size == size


def test_changes_that_make_a_shot_larger_are_undone(sources, tmp_path, monkeypatch):
    """Here by networks of zeros, which the first frame takes for the others."""
    code(sources, tmp_path / "baseline.neuralvdb", BASELINE)
    worse = {key: NetworkChange(INTERPOLATION_ONLY - 1, {}, {}, {}) for key in KEYS}
    monkeypatch.setattr(fine_tune_group, "fine_tune_grid", lambda *_, **__: worse)
    code(sources, tmp_path / "undone.neuralvdb")
    assert (tmp_path / "undone.neuralvdb").stat().st_size == (tmp_path / "baseline.neuralvdb").stat().st_size


def test_frames_are_taken_over_only_with_all_that_they_were_tuned_with(sources, shot, tmp_path):
    again = replace(TUNED, skip_existing=True)
    shutil.copy(shot, tmp_path / "shot.neuralvdb")
    assert all(report.skipped for report in code(sources, tmp_path / "shot.neuralvdb", again))
    with compressing_frames(
        sources[:2],
        str(tmp_path / "two.neuralvdb"),
        again,
        ShotSoFar(COUNT, earlier=str(shot)),
    ) as task:
        assert not any(report.skipped for report in task.work())
