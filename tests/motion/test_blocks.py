"""Grids moved by vectors of blocks, and the search for these."""

from dataclasses import replace

import numpy as np
import pytest
import xxhash

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.errors import DamagedFile
from neuralvdb.motion import Blocks, Leaves, Motion, Voxels, move, put_blocks, take_blocks
from neuralvdb.motion.blocks import displacement
from neuralvdb.motion.search_blocks import Wanted, search_blocks
from neuralvdb.vdb import from_dense

WAYS = ("native", "reference")
BLOCKS = Blocks((-1, 0, 2), (1, 1, 2), bytes(np.array([4, -3, 0, 5, -3, 64], np.int8)))
GOLDEN = "01 01 00 01 04 02 04 05 7185120002"  # box; 4 bits of remainders; of 8, 5, 0, 2, 0 and 128, in bits


def packed(blocks: Blocks) -> bytes:
    out = FieldWriter()
    put_blocks(out, blocks)
    return out.getvalue()


def leaves_of(values: np.ndarray, low: tuple = (0, 0, 0)) -> Leaves:
    """Leaves of a grid whose voxels are all active."""
    return Leaves.of(from_dense(values, name="grid", active=np.ones(values.shape[:3], bool), origin=low).tree)


def all_voxels(leaves: Leaves) -> Voxels:
    return Voxels(leaves.origins, np.full((len(leaves.origins), 64), 255, np.uint8))


def random_blocks(rng: np.random.Generator, low: tuple, size: tuple) -> Blocks:
    return Blocks(low, size, rng.integers(-64, 65, (*size, 3)).astype(np.int8).tobytes())


def test_bytes():
    assert packed(BLOCKS).hex() == bytes.fromhex(GOLDEN).hex()
    for blocks in (BLOCKS, random_blocks(np.random.default_rng(1), (5, -(1 << 28), 0), (3, 2, 4))):
        source = FieldReader(packed(blocks), "here")
        assert take_blocks(source) == blocks and blocks.valid()
        source.finish()
    assert not replace(BLOCKS, vectors=bytes([65] * 6)).valid() and not replace(BLOCKS, low=(0, 0, 1 << 29)).valid()
    assert not Motion(unit=1.0, blocks=BLOCKS, staggered=True).valid()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (lambda b: b[:1] + b"\x00" + b[2:], "no vectors, or too many"),
        (lambda b: b[:1] + b"\xff\xff\xff\x7f" + b[2:], "no vectors, or too many"),
        (lambda b: b[:6] + b"\x08" + b[7:], "no vectors, or too many"),
        (lambda b: b[:8] + bytes(len(b) - 8), "vectors of blocks end too early"),
        (lambda b: b[:-1], "are declared"),
    ],
)
def test_damage_is_noticed(damage, what):
    with pytest.raises(DamagedFile, match=f"here: .*{what}"):
        take_blocks(FieldReader(damage(packed(BLOCKS)), "here"))


def test_displacements_change_evenly_between_middles():
    voxels = np.array([[-8, 0, 39], [-8, 0, 40], [-8, 0, 47], [-8, 0, 48], [-8, 0, 55], [-8, 0, 900]])
    along_x = displacement(BLOCKS, voxels)[:, 0]
    assert along_x.tolist() == [128, 129, 143, 145, 159, 160]  # 4/8 and 5/8 voxel


@pytest.mark.parametrize("seed", range(4))
def test_native_code_gives_the_numbers_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    low, components = ((0, 0, 0), (-40, 16, 8), (-(1 << 31), 8, -16), ((1 << 31) - 16, 0, 0))[seed], (1, 3)[seed % 2]
    field = rng.normal(size=(16, 8, 24, components)[: 3 + (components > 1)]).astype("f4")
    source = leaves_of(field, low)
    blocks = random_blocks(rng, (low[0] >> 4, low[1] >> 4, low[2] >> 4), (2, 1, 2))
    for cubic in (False, True):
        motion = Motion(unit=1e-3, cubic=cubic, shift=(1, -9, 12), blocks=blocks)
        assert np.array_equal(*(move(source, all_voxels(source), motion, implementation=way) for way in WAYS))
    if components == 1:
        counted = rng.random((len(source.origins), 512)) < 0.02
        wanted = Wanted(source.origins, rng.integers(-3000, 3000, counted.shape, np.int32), counted, 100 * seed)
        motion = Motion(unit=1e-3, shift=(1, -3, 2))
        found = [search_blocks(source, wanted, motion, implementation=way) for way in WAYS]
        assert found[0] == found[1] and any(found[0].vectors)


def test_all_machines_move_alike():
    """A row of conformance: numbers made of integers."""
    x, y, z = np.indices((16, 16, 32))
    source = leaves_of(((x * 73 + y * 179 + z * 283) ** 2 % 251).astype("f4"), (-16, 0, 32))
    for cubic, checksum in ((False, "5499acf4b1c57a83"), (True, "370b9cc11e7d4c9d")):
        moved = move(source, all_voxels(source), Motion(unit=1.0, cubic=cubic, blocks=BLOCKS))
        assert xxhash.xxh3_64_hexdigest(moved.astype("<i4").tobytes()) == checksum


def test_the_search_finds_how_parts_moved():
    """A cloud whose ends drift towards each other."""
    x, y, z = np.indices((48, 16, 16))

    def cloud(along_x: np.ndarray, along_y: np.ndarray) -> np.ndarray:
        waves = [np.sin(along_x / 3), np.cos(along_y / 2.5), np.sin((along_x + 2 * along_y + z) / 5)]
        return sum(waves).astype("f4")

    speed = np.interp(x, (7.5, 39.5), (1.5, -1))
    source, target = leaves_of(cloud(x, y)), leaves_of(cloud(x - speed, y + speed))
    unit = 1e-3
    inner = leaves_of((np.abs([x - 23.5, y - 7.5, z - 7.5]).T < (20, 5, 7)).all(-1).T.astype("f4")).values > 0
    wanted = Wanted(target.origins, np.rint(target.values / unit).astype(np.int32), inner, 0)
    blocks = search_blocks(source, wanted, Motion(unit=unit))
    ends = blocks.array[[0, -1], 0, 0].astype(int)
    assert np.abs(ends - [[12, -12, 0], [-8, 8, 0]]).max() <= 2
    missed = [
        np.abs(move(source, all_voxels(target), motion)[..., 0] * unit - target.values)[inner].mean()
        for motion in (Motion(unit=unit), Motion(unit=unit, blocks=blocks, cubic=True))
    ]
    assert missed[1] < 0.5 * missed[0]
    far = replace(wanted, origins=wanted.origins * 4096)
    assert search_blocks(source, far, Motion(unit=unit)) is None  # too many blocks
