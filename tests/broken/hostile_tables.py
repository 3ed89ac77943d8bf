"""Tables of frames that lie, in archives whose checksums are right: numbers, names, instances, metadata, transforms."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import replace

from mutations import damage, huge_or_tiny

from neuralvdb.codec.frame_table import MAX_TABLE, FrameTable, GridHead
from neuralvdb.volume import Storage

_NAMES = (b"", b"\x1b[31;1mred\x1b]0;title\x07", b"a\r\nnvdb: all is well\n", b"../../x", b"\xff\xfe", b"x" * 70_000)
_LARGEST = MAX_TABLE  # bytes of a table; with more it is refused before it is read
_NUMBERS = (float("nan"), float("inf"), 0.0, -1.0, 1e-320, 1e308)


def forged(rng: random.Random, table: FrameTable) -> FrameTable:
    """The table with one to three lies."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        if not table.grids:
            break
        table = rng.choice(_LIES)(rng, table)
    return table


def _with_head(rng: random.Random, table: FrameTable, **changes: object) -> FrameTable:
    grids = list(table.grids)
    number = rng.randrange(len(grids))
    grids[number] = replace(grids[number], **changes)
    return replace(table, grids=tuple(grids))


def _name(rng: random.Random, table: FrameTable) -> FrameTable:
    other = rng.choice(table.grids).unique_name
    return _with_head(rng, table, unique_name=rng.choice((*_NAMES, other)))


def _kind(rng: random.Random, table: FrameTable) -> FrameTable:
    kinds = (
        "Tree_vec3d_5_4_3",
        "Tree_bool_5_4_3",
        "PointDataGrid",
        "Tree_ptidx32_5_4_3",
        "\x1b[2J",
        "Tree_float_3_3_2",
    )
    return _with_head(rng, table, grid_type=rng.choice(kinds), half=rng.random() < 0.5)


def _instance(rng: random.Random, table: FrameTable) -> FrameTable:
    """Grids share the tree of themselves, of each other, of none, by the thousand."""
    parent = rng.choice((b"nobody", rng.choice(table.grids).unique_name))
    if rng.random() < 0.5:
        return _with_head(rng, table, storage=rng.choice(list(Storage)), parent=parent)
    first = table.grids[0]
    count = min(rng.choice((*[10] * 20, 1000, 1000, 30_000)), _LARGEST // _size(first))
    more = [
        replace(first, unique_name=b"%d" % i, storage=Storage.INSTANCE, parent=rng.choice((parent, first.unique_name)))
        for i in range(count)
    ]
    return replace(table, grids=(*more, *table.grids) if rng.random() < 0.5 else (*table.grids, *more))


def _count(rng: random.Random, table: FrameTable) -> FrameTable:
    """The grids stand there several times."""
    count = min(rng.choice((*[2] * 12, 100, 100, 5000)), _LARGEST // sum(map(_size, table.grids)))
    return replace(table, grids=table.grids * max(1, count))


def _size(head: GridHead) -> int:
    return 100 + len(head.unique_name) + len(head.metadata) + len(head.transform)


def _numbers(rng: random.Random, table: FrameTable) -> FrameTable:
    names = ("block_offset", "source_size", "topology_of", "leaves", "active_tiles", "active_voxels", "pruned")
    return _with_head(rng, table, **{rng.choice(names): huge_or_tiny(rng, rng.choice((1, 4, 7)))})


def _metadata(rng: random.Random, table: FrameTable) -> FrameTable:
    """Of a grid or the file: damaged, or long."""
    old = table.metadata if rng.random() < 0.3 else rng.choice(table.grids).metadata
    text = bytes(rng.choice((*[1 << 10] * 8, 1 << 20, 12 << 20)))
    long = struct.pack("<I", 1) + struct.pack("<I", 1) + b"a" + struct.pack("<I", 6) + b"string"
    new = damage(rng, old)[1] if rng.random() < 0.6 else long + struct.pack("<I", len(text)) + text
    return replace(table, metadata=new) if rng.random() < 0.4 else _with_head(rng, table, metadata=new)


def _transform(rng: random.Random, table: FrameTable) -> FrameTable:
    """Damaged, or a number in it is one that no voxel size is."""
    old = rng.choice(table.grids).transform
    if rng.random() < 0.4 or len(old) < 32:
        return _with_head(rng, table, transform=damage(rng, old)[1])
    at = len(old) - 8 * rng.randint(1, min(15, len(old) // 8))
    return _with_head(rng, table, transform=old[:at] + struct.pack("<d", rng.choice(_NUMBERS)) + old[at + 8 :])


def _content(rng: random.Random, table: FrameTable) -> FrameTable:
    return _with_head(rng, table, content=rng.choice((bytes(16), rng.randbytes(16))))


def _left_out(rng: random.Random, table: FrameTable) -> FrameTable:
    """Grids are missing that never were, their names no text."""
    return replace(table, left_out=(rng.randbytes(rng.randint(0, 9)),) * rng.choice((*[1] * 12, 100, 100, 1 << 16)))


_LIES: tuple[Callable[[random.Random, FrameTable], FrameTable], ...] = (
    *(_name, _kind, _instance, _count, _numbers, _metadata, _transform, _content, _left_out),
)
