"""What encoding needs: each kernel gives what the package's own NumPy and C++ give, at odd sizes and at the limits."""

import numpy as np
import pytest
import torch

from neuralvdb.archive import _rans, rans
from neuralvdb.archive.rans import Tables, normalise
from neuralvdb.kernels import zigzag
from neuralvdb.kernels.bricks import Destination, Predictions, Targets
from neuralvdb.kernels.pack import pack
from neuralvdb.kernels.quantise import quantise
from neuralvdb.kernels.rans import Plan, encode
from neuralvdb.values import chunk_sections
from neuralvdb.values.device import symbol_buffer, writer
from neuralvdb.values.lattice import residual
from neuralvdb.values.lattice.constants import LAYERS

IMPLEMENTATIONS = ("reference", "triton")


def to(device: str, array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)


def tables() -> Tables:
    """64 classes from nearly certain to nearly flat; some symbols of some classes have no frequency."""
    decay = np.exp(-np.geomspace(0.02, 4, 64))[:, None]
    counts = (decay ** np.arange(64) * (1 << 24)).astype(np.int64) >> 8
    counts[:, residual.ESCAPE] += 1
    return Tables(normalise(counts))


def residuals(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Residuals (n,) int64 and their classes (n,) uint8; some are far out."""
    classes = rng.integers(0, 64, n).astype(np.uint8)
    scale = 2.0 ** np.maximum(classes / 4 - 4, -3) * rng.choice([1, 1, 1, 30], n)
    most = residual.MAX_RESIDUAL
    return np.rint(rng.laplace(0, 1, n) * scale).astype(np.int64).clip(-most, most), classes


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("zones", [False, True])
@pytest.mark.parametrize(("kind", "largest"), [(np.float64, 1 << 10), (np.float64, 1 << 30), (np.float32, 1 << 27)])
@pytest.mark.parametrize("n", [0, 1, 511, 513])
def test_residuals(device, implementation, zones, kind, largest, n):
    """The rules of sample.encode() and mean.encode(); halves are among the errors."""
    rng, step = np.random.default_rng(n), 11
    exact = (rng.uniform(-largest, largest, 600) * rng.choice([1, 0], 600)).astype(kind)
    predictions = rng.integers(-largest, largest + 1, n)
    classes, targets = rng.integers(0, 64, n).astype(np.uint8), rng.permutation(600)[:n].astype(np.int32)
    halves = slice(0, n, 3)
    predictions[halves] = predictions[halves] // 16
    exact[targets[halves]] = predictions[halves] + step * (rng.integers(-5, 6, len(targets[halves])) + 0.5)
    error = (exact[targets] - predictions.astype(np.int32)) / step
    zones_of_classes = rng.uniform(0, 0.45, 64) * rng.choice([0, 1], 64)
    if zones:
        q = np.sign(error) * np.floor(np.abs(error) + 0.5 - zones_of_classes[classes]).clip(0, residual.MAX_RESIDUAL)
    else:
        q = np.clip(np.rint(error), -residual.MAX_RESIDUAL, residual.MAX_RESIDUAL)
    values, decoded = to(device, np.full(600, -7, np.int32)), to(device, np.full(600, 9, np.uint8))
    points = Targets(points=to(device, targets), starts=torch.tensor([0, n], device=device))
    quantised = quantise(
        to(device, exact),
        Predictions(values=to(device, predictions), scale_classes=to(device, classes)),
        Destination(targets=points, values=values, known=decoded),
        step,
        dead_zone=to(device, zones_of_classes) if zones else None,
        implementation=implementation,
    )
    np.testing.assert_array_equal(quantised.cpu(), q)
    expected, marks = np.full(600, -7), np.full(600, 9)
    expected[targets] = np.clip(predictions + q.astype(np.int64) * step, -(1 << 28), 1 << 28)
    marks[targets] = 1
    np.testing.assert_array_equal(values.cpu(), expected)
    np.testing.assert_array_equal(decoded.cpu(), marks)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("m", [0, 1, 700])
def test_bits_are_packed_as_on_the_cpu(device, implementation, m):
    rng = np.random.default_rng(m)
    widths = rng.integers(0, 25, m).astype(np.uint8)
    values = (rng.integers(0, 1 << 24, m) >> (24 - widths)).astype(np.uint32)
    ends = np.cumsum(widths, dtype=np.int64)
    words = torch.zeros(int(ends[-1] if m else 0) // 32 + 1, dtype=torch.int32, device=device)
    order = rng.permutation(m)
    at = ends - widths + 5
    shifted = _rans.pack_bits(np.append(np.uint32(0), values), np.append(np.uint8(5), widths))
    pack(to(device, values.astype(np.int32)[order]), to(device, at[order]), words, implementation=implementation)
    packed = words.cpu().numpy().view(np.uint8)
    np.testing.assert_array_equal(packed[: len(shifted)], shifted)
    assert not packed[len(shifted) :].any()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("lanes", "segments"), [(1, 1), (2, 3), (8, 1), (16, 5), (32, 1), (32, 4)])
def test_symbols_are_coded_as_on_the_cpu(device, implementation, lanes, segments):
    """Two streams, the second in one segment, of batches of odd sizes, some of them empty."""
    rng, freq = np.random.default_rng(lanes + segments), tables()
    sizes = [[0, 1, 100, 33, 0, 7], [64, 0, 3]]
    bounds = np.cumsum([0, *sizes[0], *sizes[1]])
    classes = rng.integers(0, 64, bounds[-1]).astype(np.uint8)
    symbols = np.array([rng.choice(64, p=freq.freq[c] / 4096) for c in classes], np.uint8)
    shapes, first, expected, rooms = [(segments, lanes), (1, 4)], 0, [], []
    for counts, shape in zip(sizes, shapes, strict=True):
        span = slice(first, first + sum(counts))
        cuts = np.cumsum(counts, dtype=np.int64)
        expected.append(_rans.encode(freq.freq, classes[span], symbols[span], cuts, *shape, 1))
        rooms += [sum((g + 1) * n // shape[0] - g * n // shape[0] for n in counts) for g in range(shape[0])]
        first = span.stop
    whose = np.repeat([0, 1], [segments, 1]).astype(np.int32)
    count, lane = (np.array([shape[i] for shape in shapes], np.int32)[whose] for i in (0, 1))
    plan = Plan(
        batches=to(device, np.stack([bounds[:-1], bounds[1:]], 1)),
        begins=to(device, np.array([0, 6, 9])),
        stream=to(device, whose),
        number=to(device, np.array([*range(segments), 0], np.int32)),
        count=to(device, count),
        lanes=to(device, lane),
        ends=to(device, np.cumsum(rooms)),
    )
    codes, given = to(device, freq.codes.view(np.int32)), to(device, symbols)
    coded = encode(codes, to(device, classes), given, plan, implementation=implementation)
    states, words, counts = (tensor.cpu().numpy() for tensor in (coded.states, coded.words, coded.sizes))
    np.testing.assert_array_equal(counts, np.concatenate([stream[1] for stream in expected]))
    assert words.astype("<i2").tobytes() == b"".join(stream[2].tobytes() for stream in expected)
    for of_payload, stream in zip((slice(0, segments), slice(segments, None)), expected, strict=True):
        np.testing.assert_array_equal(states[of_payload, : stream[0].shape[1]].view(np.uint32), stream[0])


@pytest.mark.parametrize("n", [0, 1, 3000])
def test_symbols_are_those_of_the_definition(device, n):
    rng, freq = np.random.default_rng(n), tables()
    q, classes = residuals(rng, n)
    q, coded = q.astype(np.int32), freq.freq > 0
    given = to(device, q), to(device, classes)
    expected = residual.split_residuals(q, classes, np.array([len(q)]), np.ones_like(coded), "reference").symbols
    np.testing.assert_array_equal(zigzag.symbols(*given).cpu(), expected)
    expected = residual.split_residuals(q, classes, np.array([len(q)]), coded, "reference").symbols
    np.testing.assert_array_equal(zigzag.symbols(*given, to(device, coded)).cpu(), expected)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    "sizes",
    [[[0, 0]], [[1], [0]], [[5, 0, 300], [64, 1, 33], [0, 0, 0]], [[25, 500], [125, 100]]],
    ids=["nothing", "one symbol", "three chunks", "several segments"],
)
def test_symbol_buffers_become_the_same_sections(device, implementation, sizes, monkeypatch):
    """Batches by chunk and pass, each pass a layer further, of two components; segments are short."""
    monkeypatch.setattr(rans, "_SEGMENT", 1 << 7)
    rng, freq = np.random.default_rng(1), tables()
    doubled = sizes * 2  # one component after the other
    buffer = symbol_buffer.SymbolBuffer(len(doubled))
    streams = [[residual.SymbolBuffer() for _ in range(LAYERS)] for _ in doubled]
    for layer, counts in enumerate(zip(*doubled, strict=True)):
        of_layer = [residuals(rng, n) for n in counts]
        for stream, pair in zip(streams, of_layer, strict=True):
            stream[layer].put(*pair)
            stream[layer].end()
        q, classes = (np.concatenate(pair) for pair in zip(*of_layer, strict=True))
        starts = np.cumsum([0, *counts])
        buffer.put(to(device, q.astype(np.int32)), to(device, classes), to(device, starts), layer)
    buffer.end()
    np.testing.assert_array_equal(buffer.counts, sum(r.counts for stream in streams for r in stream))
    written = [[r.written(freq) for r in stream] for stream in streams]
    theirs = [written[d :: len(sizes)] for d in range(len(sizes))]
    expected = [[payload for _, payload in chunk_sections.pack(coders, b"", 1)] for coders in theirs]
    made = writer.write(buffer, 2, freq, torch.device(device), implementation)
    assert [[chunk_sections.section(*pair, b"") for pair in chunk] for chunk in made] == expected
