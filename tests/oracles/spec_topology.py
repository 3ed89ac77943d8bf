"""TOPO, codecs 1 to 3, as SPEC.md has it: one cell after the other, states in dictionaries. For spec_reader.py."""

from __future__ import annotations

import functools
import itertools
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash
from spec_blocks import Cursor, require
from spec_chunks import chunks_of
from spec_rans import Rans

ORDER = (0, 7, 3, 4, 5, 2, 6, 1)
STEPS = list(itertools.product((-2, -1, 0, 1, 2), repeat=3))
FAMILIES = {  # of levels and masks -> (levels, square of the reach, sizes of h1 and h2)
    "leaf bits": ((0,), 6, (30, 16)),
    "leaf cells": ((1, 2, 3), 6, (30, 16)),
    "child": ((0, 1, 2, 3), 3, (14, 8)),
    "active": ((0, 1, 2, 3), 3, (14, 8)),
    "other": ((0, 1, 2, 3), 3, (14, 8)),
}
EDGES = {"upper": (32, 128), "lower": (16, 8), "leaf": (8, 1)}  # bits per axis of a node's mask, voxels of a bit


def near(squares: int) -> list[tuple[int, int, int]]:
    return [d for d in STEPS if 0 < sum(x * x for x in d) <= squares]


def octant(cell: tuple[int, ...]) -> int:
    return cell[0] % 2 * 4 + cell[1] % 2 * 2 + cell[2] % 2


@functools.cache
def stencils(family: str, phase: int) -> tuple[list, list, list]:
    """Offsets of parents, cells and the child mask's cells, mirrored."""
    parity = [ORDER[phase] >> bit & 1 for bit in (2, 1, 0)]
    before = [d for d in near(FAMILIES[family][1]) if phase_of([o + x for o, x in zip(parity, d, strict=True)]) < phase]
    child = [d for d in STEPS if max(map(abs, d)) < 2] if family in ("active", "other") else []
    mirror = lambda d: tuple(-x if o else x for o, x in zip(parity, d, strict=True))  # noqa: E731
    return [mirror(d) for d in near(3)], [mirror(d) for d in before], [mirror(d) for d in child]


def phase_of(cell: list[int]) -> int:
    return ORDER.index(octant(tuple(cell)))


class Networks:
    """What topology/priors.npz holds."""

    def __init__(self) -> None:
        path = Path(find_spec("neuralvdb").submodule_search_locations[0]) / "topology" / "priors.npz"
        with np.load(path) as arrays:
            fields = {name: arrays[name] for name in ("weights", "biases", "shifts", "tables")}
        self.hash = xxhash.xxh3_64_digest(b"".join(array.tobytes() for array in fields.values()))
        self.tables = fields.pop("tables").tolist()
        left = {name: array.astype(np.int64) for name, array in fields.items()}

        def take(name: str, *shape: int) -> np.ndarray:
            size = int(np.prod(shape))
            taken, left[name] = left[name][:size], left[name][size:]
            return taken.reshape(shape)

        self.nets = {}
        for family, (levels, _, (first, second)) in FAMILIES.items():
            for phase in range(8):
                inputs = sum(map(len, stencils(family, phase))) + len(levels)
                weights = [(first, inputs), (second, first), (2, second), (2, inputs)]
                net = [take("weights", *shape) for shape in weights] + [take("biases", n) for n in (first, second, 2)]
                self.nets[family, phase] = (*net, take("shifts", 6))
        require(all(len(unused) == 0 for unused in left.values()), "weights are left over")

    def classes(self, family: str, phase: int, inputs: list[int]) -> tuple[int, int]:
        w1, w2, w3, line, b1, b2, b3, shifts = self.nets[family, phase]
        x = np.array(inputs, np.int64)
        h1 = np.clip((w1 @ x + b1) >> shifts[0], 0, 255)
        h2 = np.clip((w2 @ h1 + b2) >> shifts[1], 0, 255)
        out = ((w3 @ h2 + b3) >> shifts[2:4]) + ((line @ x) >> shifts[4:])
        return tuple(np.clip((out >> 2) + 32, 0, 63).tolist())


class Mask:
    """A mask of bricks: states by level, {(brick's number, cell): state}, from what is known."""

    def __init__(self, bricks: list[tuple[int, int, int]], outside) -> None:
        self.bricks, self.outside = bricks, outside
        self.number = {brick: i for i, brick in enumerate(bricks)}
        self.states: list[dict] = [{}, {}, {}, {}]

    def state(self, k: int, brick: tuple, cell: tuple, d: tuple, states: dict) -> int:
        """The state at cell + d, clamped to the bricks around."""
        (i, j, k), at = moved(8 >> k, cell, d)
        other = brick[0] + i, brick[1] + j, brick[2] + k
        if other not in self.number:
            return self.outside(other)
        return states[self.number[other], at]


@functools.cache
def moved(n: int, cell: tuple, d: tuple) -> tuple[tuple, tuple]:
    """Steps to the brick in which cell + d lies, clamped to the bricks around, and the cell there."""
    to = [min(max(c + x, -n), 2 * n - 1) for c, x in zip(cell, d, strict=True)]
    return tuple(t // n for t in to), tuple(t % n for t in to)


def cells(k: int) -> list[tuple[int, int, int]]:
    return list(itertools.product(range(8 >> k), repeat=3))


def parent(cell: tuple) -> tuple:
    return tuple(c // 2 for c in cell)


def read_mask(rans: Rans, nets: Networks, kind: str, bricks: list, outside, reference: Mask | None) -> Mask:
    mask = Mask(bricks, outside)
    above = dict.fromkeys(((i, (0, 0, 0)) for i in range(len(bricks))), 0)
    for k in (3, 2, 1, 0):
        states = {(i, c): above[i, parent(c)] for i in range(len(bricks)) for c in cells(k)}
        todo = [(i, (0, 0, 0)) for i in range(len(bricks))]
        if k < 3:
            halves = list(itertools.product((0, 1), repeat=3))
            mixed = [cell for cell, state in above.items() if state == 0]
            todo = [(i, (2 * x + a, 2 * y + b, 2 * z + c)) for i, (x, y, z) in mixed for a, b, c in halves]
        if kind == "active":
            todo = [(i, c) for i, c in todo if reference.states[k][i, c] != 1]
        family = kind if kind in ("child", "active") else "leaf cells" if k else "leaf bits"
        if reference is not None and kind != "active":
            family = "other"
        for phase, o in enumerate(ORDER):
            now = [(i, c) for i, c in todo if octant(bricks[i] if k == 3 else c) == o]
            batch = Batch(mask, reference, family, phase, k)
            logit_classes = [classes(nets, batch, i, c, states, above) for i, c in now]
            first_bits = rans.batch([first for first, _ in logit_classes])
            every = iter(
                rans.batch([second for (_, second), bit in zip(logit_classes, first_bits, strict=True) if bit])
                if k
                else ()
            )
            for cell, bit in zip(now, first_bits, strict=True):
                states[cell] = -1 if not bit else 1 if not k else next(every)
        mask.states[k] = above = states
    return mask


class Batch(NamedTuple):
    """A phase of one level of a mask."""

    mask: Mask
    reference: Mask | None
    family: str
    phase: int
    level: int


def classes(nets: Networks, batch: Batch, i: int, cell: tuple, states: dict, above: dict) -> tuple[int, int]:
    mask, reference, family, phase, k = batch
    up, same, also = stencils(family, phase)
    brick = mask.bricks[i]
    high = min(k + 1, 3)
    inputs = [mask.state(high, brick, parent(cell), d, above) for d in up]
    inputs += [mask.state(k, brick, cell, d, states) for d in same]
    inputs += [mask.state(k, brick, cell, d, reference.states[k]) for d in also]
    return nets.classes(family, phase, [16 * s for s in inputs] + [16 * (k == level) for level in FAMILIES[family][0]])


def pyramid(bits: list[dict], bricks: list) -> Mask:
    """The states of a child mask, from its bits {cell: 0 or 1} of each brick."""
    mask = Mask(bricks, None)
    for k in range(4):
        for i in range(len(bricks)):
            for c in cells(k):
                below = [bits[i][b] for b in itertools.product(*(range(x << k, (x + 1) << k) for x in c))]
                mask.states[k][i, c] = 1 if all(below) else 0 if any(below) else -1
    return mask


def split(origins: list[tuple], level: str) -> list[tuple]:
    """Coordinates of the bricks of nodes."""
    edge, voxels = EDGES[level]
    steps = itertools.product(range(edge // 8), repeat=3)
    steps = list(steps)
    return [tuple(x // (8 * voxels) + s for x, s in zip(o, step, strict=True)) for o in origins for step in steps]


def joined(bits: list[dict], nodes: int, level: str) -> np.ndarray:
    """Packed masks (nodes, bytes) from the bits of the bricks."""
    edge = EDGES[level][0]
    b = edge // 8
    out = np.zeros((nodes, edge, edge, edge), np.uint8)
    for i, brick in enumerate(bits):
        n, (x, y, z) = i // b**3, (i % b**3 // b**2, i % b**2 // b, i % b)
        for (u, v, w), bit in brick.items():
            out[n, 8 * x + u, 8 * y + v, 8 * z + w] = bit
    return np.packbits(out.reshape(nodes, edge**3), axis=1, bitorder="little")


def tiles_of(arrays: dict[str, np.ndarray]) -> dict:
    """Active tiles of the root: {(voxels per axis, coordinates in that unit): 1}."""
    origins = zip(arrays["tile origins"].tolist(), arrays["tile active"], strict=True)
    return {(4096, tuple(x // 4096 for x in origin)): 1 for origin, on in origins if on}


def is_tile(tiles: dict, brick: tuple, size: int) -> bool:
    """Whether a tile covers the brick of `size` voxels per axis."""
    units = [unit for unit in (4096, 128, 8) if unit >= size]
    return any((unit, tuple(x * size // unit for x in brick)) in tiles for unit in units)


def add_tiles(tiles: dict, bricks: list, active: list[dict], voxels: int) -> None:
    for brick, bits in zip(bricks, active, strict=True):
        at = [cell for cell, on in bits.items() if on]
        tiles.update({(voxels, tuple(8 * b + c for b, c in zip(brick, cell, strict=True))): 1 for cell in at})


def cut(masks: np.ndarray, level: str) -> list[dict]:
    """Bits of the bricks of packed masks."""
    edge = EDGES[level][0]
    cubes = np.unpackbits(masks, axis=1, bitorder="little").reshape(-1, edge, edge, edge)
    steps = list(itertools.product(range(0, edge, 8), repeat=3))
    return [{(x, y, z): int(cube[i + x, j + y, k + z]) for x, y, z in cells(0)} for cube in cubes for i, j, k in steps]


def base_at(base: dict[str, np.ndarray]) -> dict[str, object]:
    """For each level a function that gives the base's bits in a brick."""
    origins, tiles, bits_at = [tuple(o) for o in base["child origins"].tolist()], tiles_of(base), {}
    for level, (edge, voxels) in EDGES.items():
        kind = "active" if level == "leaf" else "child"
        bits = dict(zip(split(origins, level), cut(base[f"{level} {kind}"], level), strict=True))

        def at(brick: tuple, bits: dict = bits, leaf: bool = level == "leaf") -> dict:
            return bits.get(brick) or dict.fromkeys(cells(0), int(leaf and is_tile(tiles, brick, 8)))

        bits_at[level] = at
        if level != "leaf":
            add_tiles(tiles, split(origins, level), cut(base[f"{level} active"], level), voxels)
            origins = children(base[f"{level} child"], origins, edge, voxels)
    return bits_at


def read_masks(cursor: Cursor, arrays: dict[str, np.ndarray], base_of) -> None:
    """Adds the masks to `arrays`, which has the root. base_of: for codec 2, gives the arrays of a grid's topology."""
    nets = Networks()
    require(cursor.bytes() == nets.hash, "other networks")
    flags = cursor.u8()
    base = None if base_of is None else base_at(base_of(cursor.varint()))
    rans = Rans(cursor.bytes(), nets.tables)
    tiles = tiles_of(arrays)
    origins = [tuple(o) for o in arrays["child origins"].tolist()]
    for level, (edge, voxels) in EDGES.items():
        bricks, size = split(origins, level), 8 * voxels
        outside = lambda brick, size=size: 1 if is_tile(tiles, brick, size) else -1  # noqa: E731
        if level == "leaf":
            arrays["leaf active"] = read_leaves(cursor, rans, nets, bricks, outside, base)
            break
        reference = None if base is None else pyramid([base[level](brick) for brick in bricks], bricks)
        child = bits_of(read_mask(rans, nets, "child", bricks, lambda _: -1, reference), None)
        active = [dict.fromkeys(cells(0), 0) for _ in bricks]
        if flags >> (level == "lower") & 1:
            active = bits_of(read_mask(rans, nets, "active", bricks, outside, pyramid(child, bricks)), child)
        arrays[f"{level} child"], arrays[f"{level} active"] = (joined(b, len(origins), level) for b in (child, active))
        add_tiles(tiles, bricks, active, voxels)
        origins = children(arrays[f"{level} child"], origins, edge, voxels)


def read_leaves(cursor: Cursor, rans: Rans, nets: Networks, bricks: list, outside, base) -> np.ndarray:
    """The masks of the leaves, chunk by chunk; `rans` has those of nodes, too."""
    masks, leaves = np.zeros((len(bricks), 64), np.uint8), set(bricks)
    for number, chunk in enumerate(chunks_of([tuple(8 * x for x in brick) for brick in bricks])):
        if number:
            rans = Rans(cursor.bytes(), nets.tables)
        here = [bricks[leaf] for leaf in chunk]
        reference = None if base is None else pyramid([base["leaf"](brick) for brick in here], here)
        unknown = lambda brick: 0 if brick in leaves else outside(brick)  # noqa: E731
        masks[chunk] = joined(bits_of(read_mask(rans, nets, "leaf", here, unknown, reference), None), len(here), "leaf")
        rans.end()
    if not bricks:
        rans.end()
    return masks


def bits_of(mask: Mask, child: list[dict] | None) -> list[dict]:
    bits_of_bricks = [{c: int(mask.states[0][i, c] > 0) for c in cells(0)} for i in range(len(mask.bricks))]
    for i, bits in enumerate(bits_of_bricks if child is not None else ()):
        bits.update({c: 0 for c, is_child in child[i].items() if is_child})
    return bits_of_bricks


def children(masks: np.ndarray, origins: list[tuple], edge: int, voxels: int) -> list[tuple]:
    origins_below = []
    for origin, mask in zip(origins, masks, strict=True):
        for slot in np.flatnonzero(np.unpackbits(mask, bitorder="little")).tolist():
            at = slot // edge**2, slot // edge % edge, slot % edge
            origins_below.append(tuple(o + voxels * a for o, a in zip(origin, at, strict=True)))
    return origins_below


def read_box(cursor: Cursor) -> dict[str, np.ndarray]:
    """Codec 3, one voxel and one node after the other."""
    low = [cursor.i32() for _ in range(3)]
    high = [a + cursor.varint() for a in low]
    bricks = list(itertools.product(*(range(a // 8, b // 8 + 1) for a, b in zip(low, high, strict=True))))
    stream = cursor.stream("uint8", -(-len(bricks) // 8))
    require(len(bricks) % 8 == 0 or stream[-1] >> len(bricks) % 8 == 0, "bits beyond the box")
    leaves = [brick for i, brick in enumerate(bricks) if stream[i // 8] >> i % 8 & 1]
    tiles = set(bricks) - set(leaves)
    origins = sorted({tuple(x // 512 * 4096 for x in brick) for brick in bricks})
    none = np.zeros((0, 3), np.int32)
    arrays = {"child origins": np.array(origins, np.int32), "tile origins": none, "tile active": np.zeros(0, np.uint8)}
    bricks_of_level = {"upper": {tuple(x // 16 for x in brick) for brick in bricks}, "lower": set(leaves)}
    for level, bricks_here in bricks_of_level.items():
        edge, voxels = EDGES[level]
        for kind, cells_there in (("child", bricks_here), ("active", tiles if level == "lower" else set())):
            masks = np.zeros((len(origins), edge**3), np.uint8)
            for mask, origin in zip(masks, origins, strict=True):
                for slot, at in enumerate(itertools.product(range(edge), repeat=3)):
                    mask[slot] = tuple(o // voxels + a for o, a in zip(origin, at, strict=True)) in cells_there
            arrays[f"{level} {kind}"] = np.packbits(masks, axis=1, bitorder="little")
        origins = children(arrays[f"{level} child"], origins, edge, voxels)
    is_in_box = lambda at: all(a <= x <= b for a, x, b in zip(low, at, high, strict=True))  # noqa: E731
    for tile in tiles:
        require(
            is_in_box([8 * x for x in tile]) and is_in_box([8 * x + 7 for x in tile]), "a tile reaches out of the box"
        )
    bits = [[is_in_box([o + s for o, s in zip(leaf, step, strict=True)]) for step in cells(0)] for leaf in origins]
    arrays["leaf active"] = np.packbits(np.array(bits, bool).reshape(-1, 512), axis=1, bitorder="little")
    return arrays
