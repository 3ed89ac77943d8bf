"""Streams as the package's own encoder writes them come back, batch after batch, by both implementations."""

import numpy as np
import pytest
import torch

from neuralvdb.archive import rans
from neuralvdb.archive.rans import Decoder, Tables, normalise
from neuralvdb.errors import DamagedFile
from neuralvdb.kernels.bricks import Destination, Predictions, Targets
from neuralvdb.kernels.rans import decode
from neuralvdb.kernels.reconstruct import reconstruct
from neuralvdb.values.device.streams import Streams
from neuralvdb.values.lattice import residual
from neuralvdb.values.lattice.residual import SymbolBuffer

IMPLEMENTATIONS = ("reference", "triton")


def tables() -> Tables:
    """64 classes from nearly certain to nearly flat; some symbols of some classes have no frequency."""
    decay = np.exp(-np.geomspace(0.02, 4, 64))[:, None]
    counts = (decay ** np.arange(64) * (1 << 24)).astype(np.int64) >> 8
    counts[:, residual.ESCAPE] += 1
    return Tables(normalise(counts))


def streams(rng: np.random.Generator, freq: Tables, sizes: list[list[int]]) -> tuple[list[list[tuple]], list[bytes]]:
    """Batches of residuals and classes by stream, and what the package makes of each stream."""
    batches, payloads = [], []
    for counts in sizes:
        symbol_buffer, residual_batches = SymbolBuffer(), []
        for n in counts:
            classes = rng.integers(0, 64, n).astype(np.uint8)
            scale = 2.0 ** np.maximum(classes / 4 - 4, -3) * rng.choice([1, 1, 1, 30], n)
            residuals = np.rint(rng.laplace(0, 1, n) * scale).astype(np.int64).clip(-(1 << 22), 1 << 22)
            symbol_buffer.put(residuals, classes)
            symbol_buffer.end()
            residual_batches.append((residuals, classes))
        batches.append(residual_batches)
        payloads.append(symbol_buffer.written(freq).finish())
    return batches, payloads


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    "sizes",
    [[[1]], [[5, 0, 150], [64, 1, 33], [0, 0, 0]], [[330, 3]]],
    ids=["one symbol", "three streams", "several segments"],
)
def test_residuals_come_back(device, implementation, sizes, monkeypatch):
    """Segments are short, so that there are several."""
    monkeypatch.setattr(rans, "_SEGMENT", 1 << 7)
    rng, freq = np.random.default_rng(1), tables()
    batches, payloads = streams(rng, freq, sizes)
    taken = Streams([{0: Decoder(payload, freq, "test")} for payload in payloads], device)
    slots = torch.from_numpy(freq.slots.view(np.int32)).to(device)
    for number in range(len(sizes[0])):
        of_stream = [batch[number] for batch in batches]
        starts = torch.tensor(np.cumsum([0, *(len(arrays[0]) for arrays in of_stream)]), device=device)
        expected, classes = (np.concatenate([arrays[i] for arrays in of_stream]) for i in (0, 1))
        order = rng.permutation(len(expected)).astype(np.int32)
        base = rng.integers(-(1 << 29), 1 << 29, len(expected))
        segments, bits = taken.layer(number)
        classes = torch.from_numpy(classes).to(device)
        symbols = decode(slots, classes, starts, segments, implementation=implementation)
        values = torch.empty(len(order), dtype=torch.int32, device=device)
        decoded_flags = torch.zeros(len(order), dtype=torch.uint8, device=device)
        targets = Targets(points=torch.from_numpy(order).to(device), starts=starts)
        predictions = Predictions(values=torch.from_numpy(base).to(device), scale_classes=classes)
        destination = Destination(targets=targets, values=values, known=decoded_flags)
        reconstruct(symbols, predictions, destination, 7, bits, implementation=implementation)
        np.testing.assert_array_equal(values.cpu()[order], np.clip(base + 7 * expected, -(1 << 28), 1 << 28))
        assert decoded_flags.all()
    taken.layer(3)
    taken.finish()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("damage", ["words", "bits", "rest"])
def test_streams_that_end_too_early_or_too_late_are_damaged(device, implementation, damage):
    rng, freq = np.random.default_rng(2), tables()
    ((_, classes),), payload = (x[0] for x in streams(rng, freq, [[120]]))
    if damage == "rest":
        classes = classes[:-1]
    classes = np.where(classes < 24, np.uint8(63), classes) if damage == "bits" else classes
    if damage == "words":
        classes = np.full(360, 63, np.uint8)
    taken = Streams([{0: Decoder(payload, freq, "test")}], device)
    segments, bits = taken.layer(0)
    n, kinds = len(classes), torch.from_numpy(classes).to(device)
    starts, slots = torch.tensor([0, n], device=device), torch.from_numpy(freq.slots.view(np.int32)).to(device)
    symbols = decode(slots, kinds, starts, segments, implementation=implementation)
    numbers = torch.arange(n, device=device)
    targets = Targets(points=numbers.int(), starts=starts)
    predictions = Predictions(values=numbers, scale_classes=kinds)
    values = torch.empty(n, dtype=torch.int32, device=device)
    destination = Destination(targets=targets, values=values)
    reconstruct(symbols, predictions, destination, 1, bits, implementation=implementation)
    taken.layer(3)
    with pytest.raises(DamagedFile, match="damaged"):
        taken.finish()
