"""neuralvdb.open(): frames by their numbers, grids by their names, few of them kept."""

from decimal import Decimal
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import neuralvdb
from neuralvdb.codec.frame import Frame
from neuralvdb.errors import UsageError
from neuralvdb.frame_number import text_of
from neuralvdb.sequence.pack import frames_in, in_order, join

NUMBERS = (-1, 1, Decimal("1.5"), 1001)


@pytest.fixture(scope="module")
def shot(tmp_path_factory) -> Path:
    """Frames of two grids, `density` having the value of the frame's position."""
    folder, pieces = tmp_path_factory.mktemp("open"), []
    for position, number in enumerate(NUMBERS):
        grids = [
            neuralvdb.from_dense(np.full((8, 8, 8), value, np.float32), name=name)
            for name, value in (("density", 1 + position), ("flame", 0.5))
        ]
        pieces.append(folder / f"s.{text_of(number)}.neuralvdb")
        neuralvdb.compress(grids, pieces[-1], quality="lossless", verify=False)
    ordered, _ = in_order(
        frame for piece, number in zip(pieces, NUMBERS, strict=True) for frame in frames_in(str(piece), number)
    )
    with open(folder / "shot.neuralvdb", "wb") as stream:
        assert len(list(join(ordered, stream))) == len(NUMBERS)
    return folder / "shot.neuralvdb"


def value(grid) -> float:
    return float(grid.tree.leaf.values.max())


def test_frames_and_grids(shot):
    with neuralvdb.open(shot) as archive:
        assert (archive.frames, len(archive)) == (NUMBERS, 4)
        assert 1.5 in archive and 7 not in archive
        assert [value(frame["density"]) for frame in archive] == [1, 2, 3, 4]
        frame = archive[Decimal("1.5")]
        assert (frame.number, frame.name, list(frame)) == (Decimal("1.5"), "s.1.5.vdb", ["density", "flame"])
        coarse = frame.read("density", lod=1)
        assert value(coarse) == 3 and coarse.transform != frame["density"].transform
        with pytest.raises(KeyError, match="7"):
            archive[7]
        with pytest.raises(KeyError, match="has no grid 'smoke'"):
            frame["smoke"]


def test_few_frames_are_kept(shot):
    """Played forward, each grid is decoded once; of frames long ago nothing is kept."""
    with (
        neuralvdb.open(shot, keep=2) as archive,
        mock.patch.object(Frame, "read", autospec=True, side_effect=Frame.read) as read,
    ):
        for frame in archive:
            assert frame["density"] is frame["density"]
            assert archive[frame.number]["density"] is frame["density"]
        assert read.call_count == 4
        assert value(archive[1001]["density"]) == 4 and read.call_count == 4
        assert value(archive[-1]["density"]) == 1 and read.call_count == 5


@pytest.mark.parametrize("keep", [-1, 1.5, "2", True, None])
def test_what_cannot_be_kept_is_refused(shot, keep):
    with pytest.raises(UsageError, match="cannot be kept"):
        neuralvdb.open(shot, keep=keep)


def test_an_archive_of_one_frame_opens_too(shot):
    with neuralvdb.open(shot.with_name("s.1001.neuralvdb")) as archive:
        assert archive.frames == (1001,)
        assert value(archive[1001]["density"]) == 4
    with pytest.raises(TypeError, match="there is no 'thread'"):
        neuralvdb.open(shot, thread=1)
