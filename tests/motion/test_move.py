"""Grids moved along velocities."""

import numpy as np
import pytest

from neuralvdb.motion import Leaves, Motion, Velocities, Voxels, move
from neuralvdb.motion.move import CUBIC, LINEAR
from neuralvdb.vdb import from_dense
from neuralvdb.volume.grid import unpack

RNG = np.random.default_rng(7)


def leaves_of(values: np.ndarray, origin=(0, 0, 0), background=0.0) -> Leaves:
    """Leaves of a grid whose voxels are all active."""
    active = np.ones(values.shape[:3], bool)
    return Leaves.of(from_dense(values, name="grid", active=active, origin=origin, background=background).tree)


def all_voxels(leaves: Leaves) -> Voxels:
    return Voxels(leaves.origins, np.full((len(leaves.origins), 64), 255, np.uint8))


def dense(leaves: Leaves, values: np.ndarray) -> np.ndarray:
    """Values (N, 512, C) of leaves as an array; the lowest leaf begins it."""
    low = leaves.origins.min(0)
    out = np.zeros((*(leaves.origins.max(0) + 8 - low), values.shape[2]), values.dtype)
    for origin, leaf in zip(leaves.origins - low, values, strict=True):
        x, y, z = origin
        out[x : x + 8, y : y + 8, z : z + 8] = leaf.reshape(8, 8, 8, -1)
    return out


@pytest.mark.parametrize("taps", [LINEAR, CUBIC], ids=["linear", "cubic"])
def test_weights_are_a_whole_and_meet_voxels(taps):
    assert (taps.weights.sum(1) == 1 << taps.bits).all()
    assert taps.weights[0, -taps.first] == 1 << taps.bits
    assert taps.weights[128, -taps.first] == taps.weights[128, 1 - taps.first]


def test_a_shift_of_whole_voxels_is_exact():
    source = leaves_of(RNG.integers(-99, 99, (24, 16, 16)).astype("f4"), background=7.0)
    values = dense(source, move(source, all_voxels(source), Motion(unit=1.0)))
    moved = dense(source, move(source, all_voxels(source), Motion(unit=1.0, shift=(2, -3, 1), cubic=True)))
    assert np.array_equal(moved[2:, :-3, 1:], values[:-2, 3:, :-1])
    assert (moved[:2] == 7).all()


def test_things_go_where_velocities_carry_them():
    x = np.arange(32.0)
    hill = np.exp(-((x[:, None, None] - 14) ** 2 + (x[:16, None] - 8) ** 2 + (x[:16] - 8) ** 2) / 20).astype("f4")
    source = leaves_of(hill)
    wind = np.zeros((*hill.shape, 3), "f4")
    wind[..., 0] = 2.5
    velocity = leaves_of(wind)
    motion = Motion(unit=1e-6, factor=1.0, cubic=True)
    moved = dense(source, move(source, all_voxels(source), motion, Velocities(velocity, velocity)))[..., 0] * 1e-6
    carried = np.exp(-((x[:, None, None] - 16.5) ** 2 + (x[:16, None] - 8) ** 2 + (x[:16] - 8) ** 2) / 20)
    assert np.abs(moved - carried)[4:-4, 4:-4, 4:-4].max() < 0.01
    assert np.abs(hill - carried).max() > 0.3


@pytest.mark.parametrize("seed", range(4))
def test_native_code_gives_the_numbers_of_the_definition(seed):
    rng = np.random.default_rng(seed)
    components, low = (1, 3)[seed % 2], ((0, 0, 0), (-(1 << 31), 8, -16))[seed // 2]
    shape = (8, 16, 8) if components == 1 else (8, 16, 8, components)
    field = rng.normal(size=shape).astype("f8" if seed == 3 else "f4")
    source = leaves_of(field, low, background=np.ones(components, field.dtype).squeeze()[()])
    winds = [leaves_of(rng.normal(size=(8, 8, 8, 3)).astype("f4"), low) for _ in range(2)]
    few = Voxels(source.origins, rng.integers(0, 256, (len(source.origins), 64)).astype(np.uint8) & np.uint8(0x82))
    few.active[0] = 0
    source.values.reshape(-1)[:3] = np.nan, np.inf, -np.inf
    for motion, velocities in (
        (Motion(unit=1e-3, factor=3.0, cubic=bool(seed % 3), staggered=True, shift=(1, -9, 12)), Velocities(*winds)),
        (Motion(unit=1e-9, factor=-0.4, cubic=not seed, staggered=seed > 1), Velocities(winds[0], winds[0])),
        (Motion(unit=0.1, shift=(-127, 0, 0)), None),
    ):
        for wanted in (all_voxels(source), few):
            moved = [
                move(source, wanted, motion, velocities, threads=2, implementation=way)
                for way in ("native", "reference")
            ]
            assert np.array_equal(*moved)
        assert not moved[0][~unpack(few.active)].any() and moved[0].any()


def test_impossible_motions_are_told():
    assert Motion(unit=1.0).valid()
    assert not Motion(unit=0.0).valid()
    assert not Motion(unit=np.nan).valid()
    assert not Motion(unit=1.0, factor=np.inf).valid()
    assert not Motion(unit=1.0, shift=(128, 0, 0)).valid()
