"""Grids that are corrected by a reference, coded by kernels: the bytes and values of the CPU, of grids made here and of
real sequences, and what that takes of a device."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest import mock

import numpy as np
import pytest

from neuralvdb.codec.grid_reference import GridAt, MovedGrid
from neuralvdb.errors import DamagedFile
from neuralvdb.motion import Motion
from neuralvdb.settings import Box
from neuralvdb.values import encoder
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.device import scheduler
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice import correction_network
from neuralvdb.values.lattice.reference import Correction, ReferenceValues
from neuralvdb.values.promise import Promise, mean_promise, sample_promise
from neuralvdb.vdb import VdbReader, from_dense
from neuralvdb.volume import Tree
from neuralvdb.volume.regions import keep_leaves

PROMISES = {
    "sample": sample_promise("fog", max_error=0.02),
    "active only": sample_promise("fog", max_error=0.02, active_only=True),
    "tolerance, half": sample_promise("fog", max_error=0.01, ratio=0.1, half=True),
    "velocity": sample_promise("velocity", max_error=0.02),
    "level set": sample_promise("levelset", max_error=0.02),
    "mean": mean_promise(step=0.03, knee=0.1, nonnegative=True),
    "mean, bounded": mean_promise(max_error=0.05, step=0.05),
}
GAINS = Correction(gains=(*range(5, 16), 0), shifts=(-3, -1, 0, 4, 9))
CORRECTIONS = {
    "gains": lambda promise: GAINS,
    "network": lambda promise: correction_network.shipped(promise.mode.family),
}


@pytest.fixture(scope="module", autouse=True)
def several_chunks():
    """A chunk holds no more leaves than a cluster has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuralvdb.topology.chunks.LEAVES", 8)
        yield


@dataclass(frozen=True)
class Case:
    """A tree, what a reference says of it, and how it is coded on the CPU."""

    tree: Tree
    promise: Promise
    reference: ReferenceValues
    coded: CodedValues

    @classmethod
    def of(cls, tree: Tree, said: np.ndarray, promise: Promise, correction) -> "Case":
        reference = ReferenceValues.over(tree, said, correction)
        return cls(tree, promise, reference, encoder.encode(tree, promise, EncodeOptions(reference=reference)))

    def opened(self, **options) -> ValuesDecoder:
        """The reference's leaves are those that are decoded, which come last."""
        said = self.reference.values.astype(np.float64)
        refer = lambda tree: said[-len(tree.leaf) :]  # noqa: E731
        return ValuesDecoder(ValuesSource.of(self.coded, "test"), DecodeOptions(refer=refer, **options))


def clusters(components: int, corners: list[tuple[int, int, int]], size: tuple[int, int, int]) -> Tree:
    """Smooth values in boxes with holes, far from each other; a NaN among them."""
    rng, shape = np.random.default_rng(3), (corners[-1][0] + 24, 24, 24)
    tail = (components,) if components > 1 else ()
    values, active = np.zeros((*shape, *tail), np.float32), np.zeros(shape, bool)
    for corner in corners:
        box = tuple(slice(begin, begin + edge) for begin, edge in zip(corner, size, strict=True))
        values[box] = np.abs(rng.normal(0, 0.2, (*size, *tail)).cumsum(0))
        active[box] = rng.random(size) < 0.9
    values[3, 3, 3], active[3, 3, 3] = np.nan, True
    return from_dense(values, name="g", active=active, background=0).tree


def said_of(tree: Tree) -> np.ndarray:
    noise = np.random.default_rng(1).normal(0, 0.05, tree.leaf.values.shape)
    return tree.leaf.values.astype(np.float64) + noise


@pytest.fixture(scope="module", params=[(p, c) for p in PROMISES for c in CORRECTIONS], ids=", ".join)
def case(request) -> Case:
    """Two clusters."""
    promise, correction = PROMISES[request.param[0]], CORRECTIONS[request.param[1]]
    corners = [(0, 0, 0), (600, 2, 1)]
    tree = clusters(3 if promise.mode.family == "velocity" else 1, corners, (12, 11, 14))
    return Case.of(tree, said_of(tree), promise, correction(promise))


def options(device: str, implementation: str = "") -> dict:
    """Kernels on a GPU; on a CPU their references, where nothing else is asked for."""
    of_device = "auto" if device == "cuda" else "reference"
    return {"implementation": implementation or of_device, "devices": [device]}


def test_bytes_are_those_of_the_cpu(case, device):
    coded = encoder.encode(case.tree, case.promise, EncodeOptions(reference=case.reference, **options(device)))
    assert len(coded.chunks) > 1
    assert (coded.payload, coded.chunks) == (case.coded.payload, case.coded.chunks)
    assert coded.tree.leaf.values.tobytes() == case.coded.tree.leaf.values.tobytes()
    assert coded.size < encoder.encode(case.tree, case.promise).size


@pytest.mark.parametrize("chunks_at_once", ["all", "one"])
def test_values_are_those_of_the_cpu(case, device, chunks_at_once, monkeypatch):
    if chunks_at_once == "one":
        monkeypatch.setattr(scheduler, "_room", lambda _: 1)
    expected = case.coded.tree.leaf.values
    assert case.opened().decode().leaf.values.tobytes() == expected.tobytes()
    assert case.opened(**options(device)).decode().leaf.values.tobytes() == expected.tobytes()
    assert case.opened(**options(device)).tensor().cpu().numpy().tobytes() == expected.tobytes()


def test_a_box_is_that_of_the_cpu(case, device):
    box = Box((590, 0, 0), (700, 9, 30))
    expected = case.opened(box=box).decode().leaf.values
    assert 0 < len(expected) < len(case.tree.leaf)
    assert case.opened(box=box, **options(device)).decode().leaf.values.tobytes() == expected.tobytes()


@pytest.mark.parametrize("lod", [1, 2, 3])
def test_levels_of_detail_are_those_of_the_cpu(case, device, lod):
    for cells, expected in zip(case.opened(**options(device)).cells(lod), case.opened().cells(lod), strict=True):
        assert cells.tobytes() == expected.tobytes()


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.99])
def test_damage_is_met_as_on_the_cpu(case, device, share):
    """A byte of the coarsest streams changed: the same error, or the same values where only raw bits were hit."""
    sections = case.coded.chunks
    first = min(sections)
    data = bytearray(sections[first])
    data[int(len(data) * share)] ^= 0xFF
    damaged = replace(case, coded=replace(case.coded, chunks=sections | {first: bytes(data)}))
    outcomes = []
    for where in ({}, options(device)):
        try:
            outcomes.append(damaged.opened(**where).decode().leaf.values.tobytes())
        except DamagedFile:
            outcomes.append("damaged")
    assert outcomes[0] == outcomes[1]


@contextmanager
def launches():
    """Counts launches of interpreted kernels by name."""
    from triton.runtime.interpreter import InterpretedFunction

    counts: Counter[str] = Counter()
    launcher_of = InterpretedFunction.__getitem__

    def launcher(kernel, grid):
        counts[kernel.fn.__name__] += 1
        return launcher_of(kernel, grid)

    with mock.patch.object(InterpretedFunction, "__getitem__", launcher):
        yield counts


PASSES = 24  # of a lattice, or fewer where some have no points
# of kernels that the reference's levels need, whatever the number of passes
SAMPLE_LAUNCHES = {"_join_bricks": 8, "_upsample": 4}
MEAN_LAUNCHES = {"_join_means": 12, "_join_sums": 12, "_split": 12}
INTERPRETED = [("sample", "network"), ("mean", "network"), ("mean", "gains"), ("active only", "gains")]


@pytest.mark.slow
@pytest.mark.parametrize("name", INTERPRETED, ids=", ".join)
def test_kernels_give_the_bits_of_the_cpu_in_few_launches(name, device):
    """One more prediction for each pass, of all chunks at once, and one or two more kernels."""
    promise = PROMISES[name[0]]
    tree = clusters(1, [(0, 0, 0), (600, 0, 0)], (8, 6, 8))
    case = Case.of(tree, said_of(tree), promise, CORRECTIONS[name[1]](promise))
    with launches() as counts:
        values = case.opened(**options(device, "triton")).decode().leaf.values
    assert values.tobytes() == case.coded.tree.leaf.values.tobytes()
    if device == "cpu":
        source = ValuesSource.of(encoder.encode(tree, promise), "test")
        with launches() as alone:
            ValuesDecoder(source, DecodeOptions(**options(device, "triton"))).decode()
        passes, more = alone["_predict"], counts - alone
        assert 10 < passes <= PASSES
        corrected = ("_by_network", "_add") if name[1] == "network" else ("_by_gain",)
        assert {kernel: more.pop(kernel) for kernel in ("_predict", "_innovations", *corrected)} == dict.fromkeys(
            ("_predict", "_innovations", *corrected), passes
        )
        assert more == (SAMPLE_LAUNCHES if name[0] != "mean" else MEAN_LAUNCHES)


@pytest.fixture(scope="module")
def moved(data) -> dict[str, tuple[Tree, np.ndarray]]:
    """Two leaves of grids of a real frame, by their names, and what the frame before says, moved along velocities."""
    before, now = (
        {grid.name: grid.tree for grid in VdbReader(data / "sequence-blender" / f"fluid_data_{n:04}.vdb")}
        for n in (24, 25)
    )
    moved = {}
    for name in ("density", "velocity"):
        full = popcounts(now[name].leaf.active) >= np.sort(popcounts(now[name].leaf.active))[-2]
        tree = keep_leaves(now[name], full & (np.cumsum(full) <= 2))
        motion = Motion(unit=2.0**-20, factor=0.5, cubic=True)
        reference = MovedGrid(source=GridAt(1, frame=1), velocities=(GridAt(0),), motion=motion, gain=1.0)
        trees = {GridAt(1, frame=1): before[name], GridAt(0): now["velocity"]}
        moved[name] = tree, reference.predict(tree, trees.__getitem__, threads=1)
    return moved


def popcounts(masks: np.ndarray) -> np.ndarray:
    """(N,): set bits of masks (N, 64) uint8."""
    return np.unpackbits(masks, axis=1).sum(1)


@pytest.mark.slow
def test_kernels_decode_real_vectors(moved, device):
    tree, said = moved["velocity"]
    error = 0.02 * float(np.abs(tree.leaf.values).max())
    promise = sample_promise("velocity", max_error=error)
    case = Case.of(tree, said, promise, correction_network.shipped("velocity"))
    assert case.coded.size < encoder.encode(tree, promise).size
    with launches() as counts:
        values = case.opened(**options(device, "triton")).decode().leaf.values
    if device == "cpu":  # all components at once
        assert 10 < counts["_innovations"] <= PASSES
        assert counts["_predict"] == 2 * counts["_innovations"]
    assert values.tobytes() == case.coded.tree.leaf.values.tobytes()


@pytest.mark.slow
def test_kernels_encode_real_means(moved, device):
    tree, said = moved["density"]
    promise = mean_promise(step=0.02, knee=0.1, nonnegative=True)
    case = Case.of(tree, said, promise, correction_network.shipped(promise.mode.family))
    of_kernels = EncodeOptions(reference=case.reference, **options(device, "triton"))
    coded = encoder.encode(tree, promise, of_kernels)
    assert (coded.payload, coded.chunks) == (case.coded.payload, case.coded.chunks)
