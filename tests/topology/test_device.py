"""Topologies decoded by kernels: those of the CPU, whatever the tree, and the same error where they are damaged."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from neuralvdb.archive import FieldWriter, rans  # noqa: E402
from neuralvdb.archive.rans import Decoder, Encoder  # noqa: E402
from neuralvdb.errors import DamagedFile  # noqa: E402
from neuralvdb.topology import Topology, chunks, device, neural, priors  # noqa: E402
from neuralvdb.topology.payload import Reference, TopologyPayload  # noqa: E402
from neuralvdb.topology.root import put_root  # noqa: E402
from neuralvdb.vdb import VdbReader, from_dense  # noqa: E402

# On a machine without a GPU the kernels' reference; tests/kernels has the kernels themselves, interpreted.
GPU = torch.cuda.is_available()
WHERE = {"device": "cuda"} if GPU else {"device": "cpu", "implementation": "reference"}
LEAVES = 1 << 20 if GPU else 60  # of what is decoded
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def stored(payload: bytes, declared: int, codec: int = 1) -> TopologyPayload:
    return TopologyPayload(codec=codec, payload=payload, declared=declared, where="x")


def assert_same(first: Topology, second: Topology) -> None:
    for name, array in vars(first).items():
        array_of_second = getattr(second, name)
        assert (array.dtype, array.shape, array.tobytes()) == (
            array_of_second.dtype,
            array_of_second.shape,
            array_of_second.tobytes(),
        ), name


def small(path: Path) -> list[Topology]:
    trees = [Topology.of(grid.tree) for grid in VdbReader(path) if grid.tree is not None]
    return [topology for topology in trees if len(topology.leaf_active) <= LEAVES]


def test_real_files(real_grids):
    for topology in small(real_grids)[:2]:
        assert_same(
            topology,
            neural.decode(stored(neural.encode(topology), topology.nbytes), **WHERE),
        )


@pytest.mark.slow
@given(st.data())
@few
def test_every_tree(drawn, data):
    topology, base = data.draw(drawn), data.draw(drawn)
    assert_same(
        topology,
        neural.decode(stored(neural.encode(topology), topology.nbytes), **WHERE),
    )
    payload = neural.encode(topology, Reference(7, base))
    assert_same(topology, neural.decode(stored(payload, topology.nbytes, 2), Reference(7, base), **WHERE))
    assert neural.encode(topology, Reference(7, base), **WHERE) == payload


def in_six_blocks(monkeypatch) -> Topology:
    """Six leaves in each of six blocks, which are chunks from now on."""
    monkeypatch.setattr(chunks, "LEAVES", 7)
    monkeypatch.setattr(chunks, "CROWD", 1)
    active = np.zeros((6 * 128, 24, 16), bool)
    active.reshape(6, 128, 24, 16)[:, :8] = np.random.default_rng(0).random((6, 8, 24, 16)) < 0.2
    return Topology.of(from_dense(active.astype(np.float32), name="density", active=active).tree)


@pytest.mark.parametrize("most", [1 << 20, 6])
def test_chunks_come_back_alone_and_together(monkeypatch, most):
    """Chunks of six leaves, of which a device has room for all or for one: what is asked for is decoded."""
    monkeypatch.setattr(device, "BRICKS", most)
    topology = in_six_blocks(monkeypatch)
    groups = chunks.group_leaves(topology.leaf_origins())
    assert len(groups) == 6
    for reference, codec in ((None, 1), (Reference(7, topology), 2)):
        payload = neural.encode(topology, reference, threads=2)
        assert neural.encode(topology, reference, **WHERE) == payload
        source = stored(payload, topology.nbytes, codec)
        begun = neural.begin(source, reference, neural.Coding(**{"threads": 2} | WHERE))
        wanted = np.zeros(len(topology.leaf_active), bool)
        wanted[[*groups[0].leaves[:1], *groups[3].leaves[:1]]] = True
        begun.need(wanted)
        for number, group in enumerate(groups):
            expected = topology.leaf_active[group.leaves] * (number in (0, 3))
            np.testing.assert_array_equal(begun.leaf_active[group.leaves], expected)
        begun.need()
        np.testing.assert_array_equal(begun.leaf_active, topology.leaf_active)


def test_nothing_at_all():
    empty = [np.zeros((0, size), np.uint8) for size in (4096, 4096, 512, 512, 64)]
    topology = Topology(*np.zeros((2, 0, 3), np.int32), np.zeros(0, np.uint8), *empty)
    assert_same(topology, neural.decode(stored(neural.encode(topology), 0), **WHERE))


def outcome(payload: bytes, declared: int, **options: str) -> object:
    try:
        return [mask.tobytes() for mask in neural.decode(stored(payload, declared), **options).masks]
    except DamagedFile as error:
        return str(error)


def test_a_stream_without_symbols_is_damaged(sample):
    topology, out = Topology.of(VdbReader(sample).read(0).tree), FieldWriter()
    put_root(out, topology)
    out.put_bytes(priors.load().identity)
    out.put("u8", 0)
    out.put_bytes(Encoder(priors.load().tables).finish())
    result = outcome(out.getvalue(), topology.nbytes, **WHERE)
    assert result == outcome(out.getvalue(), topology.nbytes)
    assert "missing" in result


@pytest.fixture
def six_chunks(monkeypatch) -> tuple[Topology, bytes, list[bytes]]:
    """A topology, its payload up to its chunks, and their payloads of several segments each."""
    monkeypatch.setattr(rans, "_SEGMENT", 8)  # bytes
    topology = in_six_blocks(monkeypatch)
    payloads, finish = [], Encoder.finish
    with monkeypatch.context() as patch:
        patch.setattr(Encoder, "finish", lambda coder, *threads: payloads.append(finish(coder)) or payloads[-1])
        payload = neural.encode(topology)
    return topology, payload[: len(payload) - len(joined(payloads))], payloads


def joined(payloads: list[bytes]) -> bytes:
    out = FieldWriter()
    for payload in payloads:
        out.put_bytes(payload)
    return out.getvalue()


def cut(payload: bytes, words: int) -> bytes:
    """With so many words in each segment."""
    layout = Decoder(payload, priors.load().tables, "x").layout
    assert len(layout.states) > 2
    left = [layout.words[at : at + words] for at in layout.at]
    return rans.payload(b"", layout.states, [len(each) for each in left], np.concatenate(left).astype("<u2").tobytes())


@pytest.mark.parametrize("damaged", [{1: 2, 3: None}, {1: None, 3: 2}, {0: 1}, {4: 0, 5: 2}, {2: 5}])
def test_the_damage_that_comes_first_is_told(six_chunks, damaged):
    """Of chunks, and of the segments of one: None has no symbols at all, others so many words in each segment."""
    topology, head, payloads = six_chunks
    empty = Encoder(priors.load().tables).finish()
    broken = [
        payload if number not in damaged else empty if damaged[number] is None else cut(payload, damaged[number])
        for number, payload in enumerate(payloads)
    ]
    result = outcome(head + joined(broken), topology.nbytes)
    assert isinstance(result, str) and "damaged" in result
    assert outcome(head + joined(broken), topology.nbytes, **WHERE) == result


@pytest.mark.slow
@given(st.data())
@few
def test_damage_is_met_as_on_the_cpu(drawn, data):
    """Cut, flipped, too little declared: the same masks or the same words."""
    topology = data.draw(drawn)
    payload = bytearray(neural.encode(topology))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    for index in rng.integers(0 if rng.integers(2) else len(payload) // 2, len(payload), 2):
        payload[index] ^= 1 << rng.integers(8)
    cut = len(payload) - int(rng.integers(0, len(payload))) // 2 * int(rng.integers(2))
    declared = topology.nbytes - int(rng.integers(2))
    assert outcome(bytes(payload[:cut]), declared, **WHERE) == outcome(bytes(payload[:cut]), declared)
