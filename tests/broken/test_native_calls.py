"""Compiled modules of the codecs called with arrays that do not go together: ValueError or TypeError, nothing worse."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from native_arguments import REFUSED, i64, u8, zeros

from neuralvdb.archive import _rans
from neuralvdb.nets.packing import pack_for_native
from neuralvdb.topology import _topology
from neuralvdb.topology import priors as topology_priors
from neuralvdb.topology.inputs import TILES, VOXELS, offsets
from neuralvdb.values import _lattice
from neuralvdb.values.lattice.pass_order import NetworkKey
from neuralvdb.values.lattice.predictor import native_layout
from neuralvdb.values.lattice.priors import shipped

FREQ = np.full((1, 2), 2048, np.uint16)
CODED = {
    "freq": FREQ,
    "classes": u8(100),
    "symbols": u8(100),
    "ends": i64(40, 100),
    "segments": 1,
    "lanes": 4,
    "threads": 1,
}


def encode(**changes: object) -> None:
    _rans.encode(*(CODED | changes).values())


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": u8(99)},
        {"symbols": u8(1)},
        {"classes": u8(100) + np.uint8(1)},
        {"symbols": u8(100) + np.uint8(2)},
        {"ends": i64(1 << 26)},
        {"ends": i64(-5, 100)},
        {"ends": i64(60, 40, 100)},
        {"ends": i64()},
        *({"lanes": lanes} for lanes in (-1, 0, 3, 33, 64)),
        *({"segments": segments} for segments in (-1, 4097)),
    ],
)
def test_encoding(changes):
    encode()
    with pytest.raises(REFUSED):
        encode(**changes)


DECODED = {
    "symbols": u8(1, 4096),
    "codes": np.full((1, 1), 4095, np.uint32),
    "classes": u8(1000),
    "states": np.full((2, 1), 1 << 16, np.uint32),
    "words": u8(2000),
    "at": i64(0, 100),
    "ends": i64(100, 200),
    "taken": i64(0, 0),
    "out": u8(1000),
    "threads": 1,
}


def decode(**changes: object) -> None:
    _rans.decode(*(DECODED | {"at": i64(0, 100), "taken": i64(0, 0)} | changes).values())


@pytest.mark.parametrize(
    "changes",
    [
        {"symbols": u8(1, 16)},
        {"symbols": u8(2, 4096)},
        {"symbols": u8(1, 4096) + np.uint8(1)},
        {"codes": np.full((0, 1), 4095, np.uint32)},
        {"classes": u8(1 << 20)},
        {"classes": u8(1000) + np.uint8(1)},
        {"states": np.full((0, 1), 1 << 16, np.uint32)},
        {"states": np.full((2, 3), 1 << 16, np.uint32)},
        {"states": np.full((4096, 1), 1 << 16, np.uint32)},
        {"words": u8(399)},
        *({"at": at} for at in (i64(0), i64(-(1 << 40), 0), i64(0, 1 << 40))),
        *({"ends": ends} for ends in (i64(100), i64(100, -(1 << 40)), i64(100, 1 << 40))),
        *({"taken": taken} for taken in (i64(0), i64(0, -1), np.zeros(2, np.int32))),
        *({"out": out} for out in (u8(1), u8(1001), np.zeros(1000, np.int64))),
    ],
)
def test_decoding(changes):
    decode()
    with pytest.raises(REFUSED):
        decode(**changes)


def test_counting():
    for classes, symbols in ((u8(1 << 24), u8(1)), (u8(4) + np.uint8(2), u8(4)), (u8(4), u8(4) + np.uint8(2))):
        with pytest.raises(REFUSED):
            _rans.count(classes, symbols, np.zeros((2, 2), np.int64))


def test_raw_bits():
    _rans.unpack_bits(u8(16), 0, u8(10) + np.uint8(9), np.zeros(10, np.uint32))
    for data, at, width, out in (
        (16, 1 << 45, 0, 10),
        (16, -1, 0, 10),
        (16, 7, 9, 10),
        (99, 0, 1, 9),
        (999, 0, 25, 10),
    ):
        with pytest.raises(REFUSED):
            _rans.unpack_bits(u8(data), at, u8(10) + np.uint8(width), np.zeros(out, np.uint32))
    with pytest.raises(REFUSED):
        _rans.pack_bits(np.zeros(1 << 22, np.uint32), u8(1))


STENCIL = offsets(VOXELS, 1)
WEIGHTS = pack_for_native(topology_priors.load().networks["voxels", 1])
TOPOLOGY_NET = (WEIGHTS, *STENCIL, [0])
NETWORKS = _topology.Networks([TOPOLOGY_NET] * 8)
TILES_NET = (pack_for_native(topology_priors.load().networks["tiles", 1]), *offsets(TILES, 1), [0, 1, 2, 3])
REFERENCED = _topology.Networks([TILES_NET] * 8)


@pytest.mark.parametrize(
    "net",
    [
        (WEIGHTS, STENCIL[0] * np.int8(3), *STENCIL[1:], [0]),
        (WEIGHTS, STENCIL[0], STENCIL[1] * np.int8(3), STENCIL[2], [0]),
        (WEIGHTS, *STENCIL, []),
        (WEIGHTS, *STENCIL),
        ((*WEIGHTS[:7], [99] * 6), *STENCIL, [0]),
        ((*WEIGHTS[:7], [-1] * 6), *STENCIL, [0]),
    ],
)
def test_networks_of_masks(net):
    with pytest.raises(REFUSED):
        _topology.Networks([net])


BRICKS = {"near": np.full((2, 27), 2, np.int32), "octants": u8(2), "reference": None, "skip": False}
PAYLOAD = {
    "states": np.full((1, 4), 1 << 16, np.uint32),
    "words": u8(128),
    "at": i64(0),
    "ends": i64(0),
    "taken": i64(0),
}
CODES = topology_priors.load().tables.codes


def code_masks(networks=NETWORKS, families=(0, 0, 0, 0), truth=u8(2, 64), codes=CODES, **changes: object) -> None:
    """Both ways."""
    bricks = _topology.Bricks(*(changes.get(name, value) for name, value in BRICKS.items()))
    _topology.encode_mask(networks, families, bricks, truth, 1)
    payload = _topology.Payload(*(changes.get(name, value) for name, value in PAYLOAD.items()))
    _topology.decode_mask(networks, families, bricks, codes, payload, 1)


@pytest.mark.parametrize(
    "changes",
    [
        *({"near": np.full((2, 27), number, np.int32)} for number in (-1, 5)),
        {"near": np.zeros((3, 27), np.int32)},
        {"octants": u8(2) + np.uint8(8)},
        {"octants": u8(3)},
        {"reference": u8(1, 64)},
        {"networks": REFERENCED},
        *({"families": families} for families in ((0, 0, 0), (0, 0, 0, 1), (-1, 0, 0, 0))),
        {"truth": u8(3, 64)},
        {"codes": CODES[:63]},
        {"words": u8(60)},
        *({"at": at} for at in (i64(-1), i64(65), i64(0, 0))),
        {"ends": i64(-1)},
        {"taken": i64(-1)},
        {"states": np.full((1, 3), 1 << 16, np.uint32)},
    ],
)
def test_masks(changes):
    code_masks()
    with pytest.raises(REFUSED):
        code_masks(**changes)


NETWORK = (*pack_for_native(shipped().families["fog"].networks[NetworkKey(0, 0, 0)], np.int32), 0)
PREDICTED = {
    "table": zeros("i4", 1, 1, 1),
    "cells": zeros("i4", 1, 3),
    "values": zeros("i4", 1, 512),
    "active": zeros("u1", 1, 512),
    "share": None,
    "axis": 0,
    "step": 16,
    "network": NETWORK,
    "brick": zeros("i4", 4),
    "offset": zeros("i2", 4),
    "predictions": zeros("i4", 4),
    "classes": zeros("u1", 4),
}


def predict(**changes: object) -> None:
    x = PREDICTED | changes
    view = (x["table"], x["cells"], [(x["values"], x["active"])], x["share"])
    coding = (0, x["axis"], x["step"], native_layout(False, 0, 0))
    _lattice.predict(
        view, coding, _lattice.Network(x["network"]), (x["brick"], x["offset"]), 1, (x["predictions"], x["classes"])
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"table": zeros("i4", 0, 0, 0)},
        {"table": zeros("i8", 1, 1, 1)},
        {"cells": zeros("i4", 0, 3)},
        *({"values": zeros(kind, count, 512)} for kind, count in (("i4", 0), ("i4", 2), ("f4", 1))),
        {"share": zeros("u1", 1, 512)},
        *({"axis": axis} for axis in (-100, 7)),
        *({"step": step} for step in (-1, 0, 1 << 60)),
        *({"network": (*NETWORK[:7], [shift] * 6, 0)} for shift in (-1, 99)),
        *({"brick": np.full(4, brick, np.int32)} for brick in (1, 1 << 30, -1)),
        *({"offset": np.full(4, offset, np.int16)} for offset in (512, 32767, -1)),
        {"offset": zeros("i2", 3)},
        *({"predictions": array} for array in (zeros("i4", 3), zeros("i8", 4), zeros("f4", 4))),
        *({"classes": array} for array in (zeros("u1", 3), zeros("i8", 4))),
    ],
)
def test_predictions(changes):
    predict()
    with pytest.raises(REFUSED):
        predict(**changes)


def test_points_of_bricks():
    flags, offset = np.ones((1, 512), np.uint8), zeros("i2", 4)
    _lattice.points(flags, offset, zeros("i4", 4), zeros("i2", 4))
    for changes in (
        (flags, np.full(4, 32767, np.int16), zeros("i4", 4), zeros("i2", 4)),
        (flags, offset, zeros("i4", 3), zeros("i2", 3)),
        (flags, offset, zeros("i8", 4), zeros("i2", 4)),
    ):
        with pytest.raises(REFUSED):
            _lattice.points(*changes)


@pytest.mark.parametrize("counts", [zeros("u1", 2, 512), zeros("u2", 2, 512)])
def test_halves_of_cells(counts):
    pairs, means, flags = np.array([[0, 1]], np.int32), zeros("i4", 1, 512), zeros("u1", 1, 512)
    below, far = zeros("i4", 2, 512), np.array([[0, 2]], np.int32)
    _lattice.shares(pairs, counts, 0, flags, flags)
    _lattice.split(pairs, counts, means, means, (0, 0, False), below)
    for changes in (
        (far, counts, 0, flags, flags),
        (-far, counts, 0, flags, flags),
        (pairs, counts, 9, flags, flags),
        (pairs, counts, -1, flags, flags),
        (pairs, counts, 0, zeros("u1", 2, 512), flags),
        (pairs, counts, 0, zeros("i8", 1, 512), flags),
    ):
        with pytest.raises(REFUSED):
            _lattice.shares(*changes)
    for changes in (
        (far, counts, means, means, (0, 0, False), below),
        (pairs[:0], counts, means, means, (0, 0, False), below),
        (pairs, counts, means, means[:0], (0, 0, False), below),
        (pairs, counts, means, means, (3, 0, False), below),
        (pairs, counts, means, means, (0, 1 << 62, False), below),
        (pairs, counts, means, means, (0, 0, False), below[:1]),
        (pairs, counts, means, means, (0, 0, False), below.astype(np.int64)),
    ):
        with pytest.raises(REFUSED):
            _lattice.split(*changes)
    for knee, out in ((1 << 62, means), (-1, means), (1, below), (1, means.astype(np.int64))):
        with pytest.raises(REFUSED):
            _lattice.compand(means, knee, out)


def test_batches_of_residuals():
    values, coded = (zeros("i4", 4), u8(4)), u8(64, 64)
    _lattice.split_residuals(*values, i64(2, 4), coded, u8(4), 2)
    for classes, ends, symbols in (
        (u8(3), i64(4), u8(4)),
        (u8(4) + np.uint8(64), i64(4), u8(4)),
        (u8(4), i64(3), u8(4)),
        (u8(4), i64(), u8(4)),
        (u8(4), i64(-1, 4), u8(4)),
        (u8(4), i64(4, 3, 4), u8(4)),
        (u8(4), i64(4), u8(3)),
    ):
        with pytest.raises(REFUSED):
            _lattice.split_residuals(values[0], classes, ends, coded, symbols, 1)
    counts = np.zeros((64, 64), np.int64)
    _lattice.count_symbols([values, values], counts, 2)
    for arrays, to in (
        ([(values[0], u8(3))], counts),
        ([(values[0], u8(4) + np.uint8(64))], counts),
        ([(values[0].astype(np.int64), values[1])], counts),
        ([(*values, u8(4))], counts),
        ([values], counts[:63]),
        ([values], counts.astype(np.int32)),
    ):
        with pytest.raises(REFUSED):
            _lattice.count_symbols(arrays, to, 1)


def test_nodes_of_one_value():
    bits, masks = np.zeros((2, 512), np.uint32), u8(2, 64)
    _lattice.hold_only(bits, masks, 0, 2, u8(2))
    for changes in (
        (bits[:, :511], masks, 0, 1, u8(2)),
        (bits.astype(np.uint16), masks, 0, 1, u8(2)),
        (bits, masks[:1], 0, 1, u8(2)),
        (bits, masks, -1, 1, u8(2)),
        (bits, masks, 0, 1, u8(1)),
    ):
        with pytest.raises(REFUSED):
            _lattice.hold_only(*changes)


def test_coordinates_are_found_wherever_their_bytes_lie():
    coords = np.arange(30, dtype=np.int32).reshape(10, 3)
    shifted = np.frombuffer(b"!" + coords.tobytes(), np.int32, 30, offset=1).reshape(10, 3)
    assert not shifted.flags.aligned
    assert _topology.find(shifted, coords).tolist() == list(range(10))
    assert _topology.find(coords, shifted).tolist() == list(range(10))
