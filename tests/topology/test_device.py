"""Topologies decoded by kernels: those of the CPU, whatever the tree, and the same error where they are damaged."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from neuralvdb.archive import FieldWriter  # noqa: E402
from neuralvdb.archive.rans import Encoder  # noqa: E402
from neuralvdb.errors import DamagedFile  # noqa: E402
from neuralvdb.topology import Topology, neural, priors  # noqa: E402
from neuralvdb.topology.payload import Reference, TopologyPayload  # noqa: E402
from neuralvdb.topology.root import put_root  # noqa: E402
from neuralvdb.vdb import VdbReader  # noqa: E402

# On a machine without a GPU the kernels' reference; tests/kernels has the kernels themselves, interpreted.
GPU = torch.cuda.is_available()
WHERE = {"device": "cuda"} if GPU else {"device": "cpu", "implementation": "reference"}
LEAVES = 1 << 20 if GPU else 60  # of what is decoded
few = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))


def stored(payload: bytes, declared: int, codec: int = 1) -> TopologyPayload:
    return TopologyPayload(codec=codec, payload=payload, declared=declared, where="x")


def assert_same(one: Topology, two: Topology) -> None:
    for name, array in vars(one).items():
        found = getattr(two, name)
        assert (array.dtype, array.shape, array.tobytes()) == (found.dtype, found.shape, found.tobytes()), name


def small(path: Path) -> list[Topology]:
    trees = [Topology.of(grid.tree) for grid in VdbReader(path) if grid.tree is not None]
    return [one for one in trees if len(one.leaf_active) <= LEAVES]


def test_real_files(real_vdb):
    for one in small(real_vdb)[:2]:
        assert_same(
            one,
            neural.decode(stored(neural.encode(one), one.nbytes), **WHERE),
        )


@pytest.mark.slow
@given(st.data())
@few
def test_every_tree(drawn, data):
    one, base = data.draw(drawn), data.draw(drawn)
    assert_same(
        one,
        neural.decode(stored(neural.encode(one), one.nbytes), **WHERE),
    )
    found = neural.decode(
        stored(neural.encode(one, Reference(7, base)), one.nbytes, 2),
        Reference(7, base),
        **WHERE,
    )
    assert_same(one, found)


def test_nothing_at_all():
    empty = [np.zeros((0, size), np.uint8) for size in (4096, 4096, 512, 512, 64)]
    one = Topology(*np.zeros((2, 0, 3), np.int32), np.zeros(0, np.uint8), *empty)
    assert_same(one, neural.decode(stored(neural.encode(one), 0), **WHERE))


def outcome(payload: bytes, declared: int, **options: str) -> object:
    try:
        return [mask.tobytes() for mask in neural.decode(stored(payload, declared), **options).masks]
    except DamagedFile as error:
        return str(error)


def test_a_stream_without_symbols_is_damaged(sample):
    one, out = Topology.of(VdbReader(sample).read(0).tree), FieldWriter()
    put_root(out, one)
    out.put_bytes(priors.load().identity)
    out.put("u8", 0)
    out.put_bytes(Encoder(priors.load().tables).finish())
    found = outcome(out.getvalue(), one.nbytes, **WHERE)
    assert found == outcome(out.getvalue(), one.nbytes)
    assert "missing" in found


@given(st.data())
@few
def test_damage_is_met_as_on_the_cpu(drawn, data):
    """Cut, flipped, too little declared: the same masks or the same words."""
    one = data.draw(drawn)
    payload = bytearray(neural.encode(one))
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32)))
    for place in rng.integers(0 if rng.integers(2) else len(payload) // 2, len(payload), 2):
        payload[place] ^= 1 << rng.integers(8)
    cut = len(payload) - int(rng.integers(0, len(payload))) // 2 * int(rng.integers(2))
    declared = one.nbytes - int(rng.integers(2))
    assert outcome(bytes(payload[:cut]), declared, **WHERE) == outcome(bytes(payload[:cut]), declared)
