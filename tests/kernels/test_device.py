"""Grids of many chunks coded by kernels: the bytes and values of the CPU, whatever the batches, devices and parts."""

import functools
import threading
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from neuralvdb.devices import ONE_AT_A_TIME
from neuralvdb.errors import DamagedFile, OutOfMemory
from neuralvdb.settings import Box
from neuralvdb.values import encoder
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.device import decoder, scheduler
from neuralvdb.values.device import encoder as device_encoder
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.lattice import chunks
from neuralvdb.values.promise import Promise, mean_promise, sample_promise
from neuralvdb.values.select.stand_in import stand_in
from neuralvdb.vdb import from_dense
from neuralvdb.volume import VolumeGrid

pytestmark = pytest.mark.slow

PROMISES = {
    "sample": sample_promise("fog", max_error=0.01),
    "tolerance, half": sample_promise("fog", max_error=0.01, ratio=0.1, half=True),
    "velocity": sample_promise("velocity", max_error=0.02),
    "inside": sample_promise("fog", max_error=0.01, active_only=True),
    "mean": mean_promise(max_error=0.05, step=0.05, knee=0.1),
}
PLACES = [(0, 0, 0), (300, 2, 1), (600, 0, 0), (1060, 1, 2)]  # of clusters, in different chunks


@pytest.fixture(scope="module", autouse=True)
def several_chunks():
    """A chunk holds no more leaves than a cluster has."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("neuralvdb.topology.chunks.LEAVES", 8)
        yield


@dataclass(frozen=True)
class Case:
    promise: Promise
    grid: VolumeGrid
    coded: CodedValues


@pytest.fixture(scope="module", params=PROMISES)
def coded(request):
    """Four clusters with holes and a NaN."""
    promise, rng = PROMISES[request.param], np.random.default_rng(1)
    shape = (1090, 24, 24)
    tail = (3,) if promise.mode.family == "velocity" else ()
    values = np.zeros((*shape, *tail), np.float32)
    active = np.zeros(shape, bool)
    for x, y, z in PLACES:
        box = slice(x, x + 12), slice(y, y + 11), slice(z, z + 14)
        values[box] = rng.normal(1, 0.3, (12, 11, 14, *tail))
        active[box] = rng.random((12, 11, 14)) < 0.8
    values[3, 3, 3], active[3, 3, 3] = np.nan, True
    grid = from_dense(values, name="g", active=active, background=0)
    return Case(promise, grid, encoder.encode(grid.tree, promise))


def opened(case: Case, *, sections: dict[int, bytes] | None = None, **options) -> ValuesDecoder:
    coded = case.coded if sections is None else replace(case.coded, chunks=sections)
    return ValuesDecoder(ValuesSource.of(coded, "test"), DecodeOptions(**options))


def implementation(device: str) -> str:
    """Kernels on a GPU; on a CPU their references, for the other tests here have the kernels interpreted."""
    return "auto" if device == "cuda" else "reference"


def on_device(coded: Case, device: str, count: int = 1, **options) -> ValuesDecoder:
    return opened(coded, implementation=implementation(device), devices=[device] * count, **options)


def test_the_grid_has_several_chunks(coded):
    assert len(list(chunks.chunks_of(coded.grid.tree))) > 2


def encoded(coded, devices: list[str]) -> np.ndarray:
    """The values as they decode, where the payload and the sections are those of the CPU."""
    options = EncodeOptions(implementation=implementation(devices[0]), devices=devices)
    result = encoder.encode(coded.grid.tree, coded.promise, options)
    assert (result.payload, result.chunks) == (coded.coded.payload, coded.coded.chunks)
    return result.tree.leaf.values


@pytest.mark.parametrize("count", [1, 2])
def test_bytes_are_those_of_the_cpu(coded, device, count, monkeypatch):
    if count > 1:
        monkeypatch.setattr(scheduler, "_room", lambda _: 1)  # every chunk is a batch
    values = encoded(coded, [device] * count)
    assert values.tobytes() == opened(coded).decode().leaf.values.tobytes()


def test_encoding_takes_smaller_batches_where_memory_is_scarce(coded, device, monkeypatch):
    sizes, load = [], device_encoder.load

    def scarce(tree, held, *options, **named):
        sizes.append(len(held))
        if len(held) > 1:
            raise torch.OutOfMemoryError
        return load(tree, held, *options, **named)

    monkeypatch.setattr(device_encoder, "load", scarce)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    encoded(coded, [device])
    assert sizes[0] > 1
    assert sizes.count(1) == len(list(chunks.chunks_of(coded.grid.tree)))


@pytest.mark.parametrize("count", [1, 2])
def test_values_are_those_of_the_cpu(coded, device, count, monkeypatch):
    if count > 1:
        monkeypatch.setattr(scheduler, "_room", lambda _: 1)  # every chunk is a batch
    expected = opened(coded).decode().leaf.values
    assert on_device(coded, device, count).decode().leaf.values.tobytes() == expected.tobytes()
    tensor = on_device(coded, device, count).tensor()
    assert tensor.device.type == device
    assert tensor.cpu().numpy().tobytes() == expected.tobytes()


def test_a_box_is_that_of_the_cpu(coded, device):
    box = Box((590, 0, 0), (700, 9, 30))
    expected = opened(coded, box=box).decode().leaf.values
    assert 0 < len(expected) < len(coded.grid.tree.leaf)
    assert on_device(coded, device, box=box).decode().leaf.values.tobytes() == expected.tobytes()


@pytest.mark.parametrize("lod", [1, 2, 3])
def test_levels_of_detail_are_those_of_the_cpu(coded, device, lod):
    for cells, expected in zip(on_device(coded, device).cells(lod), opened(coded).cells(lod), strict=True):
        assert cells.tobytes() == expected.tobytes()


def test_devices_are_free_again_where_who_takes_the_cells_fails(coded, device, monkeypatch):
    def fails(*_) -> None:
        raise MemoryError

    monkeypatch.setattr("neuralvdb.values.decoder.cells_of_leaves", fails)
    with pytest.raises(MemoryError) as kept:
        on_device(coded, device).cells(1)
    assert kept.value.__traceback__ is not None  # which holds all that was going on
    assert not ONE_AT_A_TIME.locked()


def test_the_next_batch_is_worked_on_while_results_are_taken(device, monkeypatch):
    begun = [threading.Event() for _ in range(3)]

    def work(items: list[int], device: str) -> int:
        begun[items[0]].set()
        return items[0]

    monkeypatch.setattr(scheduler, "_room", lambda _: 1)
    results = scheduler.schedule(range(3), [1, 1, 1], [device], work)
    assert next(results) == 0
    assert begun[1].wait(60)
    assert list(results) == [1, 2]


def test_less_memory_means_smaller_batches(coded, device, monkeypatch):
    sizes, load = [], decoder.load

    def scarce(tree, held, *options, **named):
        sizes.append(len(held))
        if len(held) > 1:
            raise torch.OutOfMemoryError
        return load(tree, held, *options, **named)

    monkeypatch.setattr(decoder, "load", scarce)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    values = on_device(coded, device).decode().leaf.values
    assert values.tobytes() == opened(coded).decode().leaf.values.tobytes()
    assert sizes[0] > 1
    assert 1 in sizes


def test_a_chunk_that_does_not_fit_is_one_clear_error(coded, device, monkeypatch):
    def none(*_, **__):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(decoder, "load", none)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    with pytest.raises(OutOfMemory, match="--device cpu"):
        on_device(coded, device).decode()


@pytest.mark.parametrize("share", [0.1, 0.4, 0.7, 0.99])
def test_damage_is_met_as_on_the_cpu(coded, device, share):
    """A byte of the coarsest streams changed: the same error, or the same values where only raw bits were hit."""
    sections = coded.coded.chunks
    first = min(sections)
    data = bytearray(sections[first])
    data[int(len(data) * share)] ^= 0xFF
    outcomes = []
    for make in (opened, lambda *args, **options: on_device(*args, device, **options)):
        try:
            outcomes.append(make(coded, sections=sections | {first: bytes(data)}).decode().leaf.values.tobytes())
        except DamagedFile:
            outcomes.append("damaged")
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("coded", ["mean"], indirect=True)
def test_some_leaves_stand_for_all_as_on_a_host(coded, device, monkeypatch):
    """The encoder of chunks that are some leaves of a grid."""
    of_device = functools.partial(device_encoder.DeviceEncoder, implementation=implementation(device))
    monkeypatch.setattr(device_encoder, "DeviceEncoder", of_device)
    tree, leaves = coded.grid.tree, np.arange(0, len(coded.grid.tree.leaf), 3)
    expected = stand_in(tree, coded.promise, leaves).values
    np.testing.assert_array_equal(stand_in(tree, coded.promise, leaves, [device]).values, expected)
    assert len(expected) == len(leaves)
