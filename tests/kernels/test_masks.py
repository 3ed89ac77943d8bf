"""Phases of masks: the package's NumPy definition = the reference = the kernels, at every level and family; whole
topologies and archives decoded by kernels are those of the CPU."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

import neuralvdb
from neuralvdb import CompressSettings, DecompressSettings, VerifySettings, devices
from neuralvdb.archive import rans
from neuralvdb.archive.device import segments_of
from neuralvdb.archive.rans import Decoder, Encoder
from neuralvdb.errors import OutOfMemory
from neuralvdb.kernels.classify_masks import Cells, MaskLevel, classify, decode
from neuralvdb.topology import Topology, inputs, neural, priors
from neuralvdb.topology import device as on_device
from neuralvdb.topology.device import phase_on, slots_on
from neuralvdb.topology.inputs import CELLS, NODES, ORDER, REFERENCED, TILES, VOXELS, Family, View
from neuralvdb.topology.network import logit_classes
from neuralvdb.topology.payload import Reference, TopologyPayload
from neuralvdb.vdb import VdbReader, from_dense, write_vdb
from neuralvdb.volume import VolumeGrid

IMPLEMENTATIONS = ("reference", "triton")
ROWS = 7


def stored(payload: bytes, declared: int, codec: int = 1) -> TopologyPayload:
    return TopologyPayload(codec=codec, payload=payload, declared=declared, where="x")


def states(rng: np.random.Generator, cells: int) -> np.ndarray:
    return rng.integers(-1, 2, (ROWS, cells), dtype=np.int8)


def view_of(rng: np.random.Generator, k: int, family: Family) -> View:
    """Seven bricks of random states, five of them with random neighbours."""
    cells = 8 ** (3 - k)
    other = states(rng, cells) if family.reference else None
    near = rng.integers(0, ROWS, (ROWS - 2, 27), dtype=np.int32)
    return View(k, states(rng, cells), states(rng, max(1, cells // 8)), other, near)


def cells_of(parents: np.ndarray, k: int, octant: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and places of the cells of an octant, from their parents, row * m^3 + place."""
    n, m = 8 >> k, max(1, 4 >> k)
    brick, *at = np.unravel_index(parents, (ROWS, m, m, m))
    parity = (octant >> 2, octant >> 1 & 1, octant & 1)
    at = at if n == 1 else [2 * a + o for a, o in zip(at, parity, strict=True)]
    return brick, np.ravel_multi_index(at, (n, n, n))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    "case",
    [
        (VOXELS, 0, 0, 33),
        (VOXELS, 0, 7, 131),
        (CELLS, 1, 3, 32),
        (CELLS, 2, 6, 5),
        (CELLS, 3, 7, 4),
        (NODES, 0, 1, 65),
        (NODES, 3, 2, 1),
        (TILES, 1, 4, 31),
        (REFERENCED, 0, 5, 70),
        (REFERENCED, 2, 7, 0),
    ],
)
def test_phases(device, implementation, case, monkeypatch):
    """Of three streams, the middle one without cells; and classes of the cells that are decoded then."""
    family, k, number, count = case
    monkeypatch.setattr(rans, "_SEGMENT", 8)  # bytes
    rng, prior = np.random.default_rng(count), priors.load()
    view, octant = view_of(rng, k, family), ORDER[number]
    parents = np.sort(rng.permutation((ROWS - 2) * view.above.shape[1])[:count])
    brick, cell = cells_of(parents, k, octant)
    classes = logit_classes(
        prior.networks[family.name, number], inputs.inputs(view, family, number, brick.astype(np.int64), cell)
    )
    random_bits, every = (rng.integers(0, 2, count, dtype=np.uint8) for _ in range(2))
    starts, coders = np.array([0, count > 0, count > 0, count]), []
    for begin, end in pairwise(starts):
        coder, any_set = Encoder(prior.tables), random_bits[begin:end] > 0
        coder.put(classes[begin:end, 0], random_bits[begin:end])
        if k:
            coder.put(classes[begin:end, 1][any_set], every[begin:end][any_set])
        coders.append(Decoder(coder.finish(), prior.tables, "test"))
    expected = view.states.copy()
    expected[brick, cell] = np.where(random_bits > 0, every.astype(np.int8) if k else 1, -1)
    level, other = (
        MaskLevel(
            states=torch.from_numpy(view.states).to(device, copy=True),
            above=torch.from_numpy(view.above).to(device),
            reference=None if view.reference is None else torch.from_numpy(view.reference).to(device),
            near=torch.from_numpy(view.near).to(device),
        )
        for _ in range(2)
    )
    segments, _ = segments_of(coders, [0, 1, 2], device)
    given = Cells(
        parents=torch.from_numpy(parents.astype(np.int32)).to(device), starts=torch.from_numpy(starts).to(device)
    )
    phase = phase_on(family, number, k, device)
    decode(level, given, phase, slots_on(device), segments, implementation=implementation)
    np.testing.assert_array_equal(level.states.cpu(), expected)
    assert segments.ended().all()
    assert len(segments.stream) > 2 or count < 64
    exact = torch.from_numpy(expected).to(device)
    classified = classify(other, given, phase, exact, implementation=implementation)
    np.testing.assert_array_equal(other.states.cpu(), expected)
    np.testing.assert_array_equal(classified.states.cpu(), expected[brick, cell])
    np.testing.assert_array_equal(classified.classes[: 1 + (k > 0)].cpu(), classes.T[: 1 + (k > 0)])


def test_other_shapes_are_refused(device):
    states, above = (torch.zeros((9, n), dtype=torch.int8) for n in (64, 8))
    level = MaskLevel(states=states, above=above, reference=None, near=torch.zeros((7, 27)).int())
    phase, parents = phase_on(CELLS, 0, 1, "cpu"), torch.zeros(3, dtype=torch.int32)
    with pytest.raises(ValueError, match="parents"):
        Cells(parents=parents.long(), starts=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="slots"):
        decode(level, Cells(parents=parents, starts=torch.tensor([0, 3])), phase, slots_on("cpu")[:3], None)
    with pytest.raises(ValueError, match="above"):
        replace(level, above=level.states)
    with pytest.raises(ValueError, match="points"):
        replace(phase, points=phase.points[:3])


def ball(size: int, radius: float) -> VolumeGrid:
    at = np.indices((size, size - 3, size - 6)) - 5.3
    values = (radius - np.sqrt((at**2).sum(0))).clip(0).astype(np.float32)
    return from_dense(values, name="density", active=values > 0, background=0)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_topology_with_tiles_and_a_base(device, implementation):
    """Few leaves, a tile, and another topology that it resembles: all families."""
    topology = Topology.of(ball(11, 4.2).tree)
    active = np.zeros_like(topology.lower_active)
    active[0, 40] = 3
    tiled = replace(topology, lower_active=active & ~topology.lower_child)
    options = {"device": device} | ({} if implementation == "triton" else {"implementation": implementation})
    payload = neural.encode(tiled, Reference(0, topology))
    assert neural.encode(tiled, Reference(0, topology), **options) == payload
    decoded = neural.decode(stored(payload, tiled.nbytes, 2), Reference(0, topology), **options)
    for name, array in vars(tiled).items():
        np.testing.assert_array_equal(getattr(decoded, name), array, name)


@pytest.fixture
def decoded_by_kernels(device, monkeypatch) -> list[str]:
    """Devices are there; where each topology is decoded is noted. The reference stands in where there is no GPU."""
    devices_used, options = [], {} if device == "cuda" else {"implementation": "reference"}
    make = on_device.DeviceMasks
    monkeypatch.setattr(devices, "resolve", lambda _: (f"{device}:0",) if device == "cuda" else ("cpu",))
    monkeypatch.setattr(devices, "described", ", ".join)

    def noted(*, device: str, implementation: str) -> on_device.DeviceMasks:
        devices_used.append(device)
        return make(**{"device": device, "implementation": implementation} | options)

    monkeypatch.setattr(on_device, "DeviceMasks", noted)
    return devices_used


@pytest.mark.slow
def test_archives(decoded_by_kernels, tmp_path):
    """Two grids, the second one's topology from the first: to a file, to tensors, to masks, and verified."""
    first = ball(23, 9)
    two = replace(ball(23, 9.2), unique_name=b"other")
    write_vdb(tmp_path / "a.vdb", [first, two])
    neuralvdb.compress(tmp_path / "a.vdb", tmp_path / "a.neuralvdb", CompressSettings(quality="lossless", verify=False))
    neuralvdb.decompress(tmp_path / "a.neuralvdb", tmp_path / "b.vdb", DecompressSettings(device="cuda"))
    assert len(decoded_by_kernels) >= 2
    assert neuralvdb.diff(tmp_path / "a.vdb", tmp_path / "b.vdb").same
    tensors = neuralvdb.decompress(tmp_path / "a.neuralvdb", settings=DecompressSettings(device="cuda"))
    for grid in VdbReader(tmp_path / "a.vdb"):
        np.testing.assert_array_equal(tensors[grid.name].masks.cpu(), grid.tree.leaf.active)
    before = len(decoded_by_kernels)
    assert neuralvdb.verify(tmp_path / "a.neuralvdb", settings=VerifySettings(device="cuda")).differences == []
    assert len(decoded_by_kernels) > before


def no_memory(*_, **__):
    raise torch.OutOfMemoryError


@pytest.mark.parametrize(("name", "limit"), [("MaskLevel", no_memory), ("BRICKS", 1)])
def test_what_does_not_fit_is_one_clear_error(device, monkeypatch, name, limit):
    topology = Topology.of(ball(11, 4.2).tree)
    payload = neural.encode(topology)
    monkeypatch.setattr(on_device, name, limit)
    with pytest.raises(OutOfMemory, match="--device cpu"):
        neural.decode(stored(payload, topology.nbytes), device=device)
    with pytest.raises(OutOfMemory, match="--device cpu"):
        neural.encode(topology, device=device)
