"""Reads an archive the slow and obvious way, from neuralvdb/archive/SPEC.md and nothing else of neuralvdb.

Values are kept as the unsigned integers whose bits they are, so no NaN or sign is lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xxhash
from spec_blocks import Cursor, require, widened  # noqa: F401 - widened is for tests
from spec_container import Section, read_frames, read_sections  # noqa: F401 - read_sections is for tests
from spec_topology import read_box, read_masks

FRAME_SECTION = 0xFFFFFFFF
KNOWN = {(kind, 0, 1) for kind in ("FRAM", "TOPO", "VALS", "BLOB")} | {("TOPO", 1, 2), ("TOPO", 2, 2), ("TOPO", 3, 1)}
KNOWN |= {("FRAM", 0, 2), ("FRAM", 0, 3), ("LOSS", 0, 1)}
TREE, SERIAL, RAW, INSTANCE = range(4)
COMPONENTS = {  # grid type -> (bytes of a component, components)
    "Tree_float_5_4_3": (4, 1),
    "Tree_double_5_4_3": (8, 1),
    "Tree_vec3s_5_4_3": (4, 3),
    "Tree_vec3d_5_4_3": (8, 3),
}
SLOTS = {"upper": 32768, "lower": 4096, "leaf": 512}


@dataclass
class Grid:
    """A grid's row of the table; `arrays` of a tree by the names of SPEC.md, `blob` of others."""

    unique_name: bytes
    type: str
    parent: bytes
    metadata: bytes
    transform: bytes
    content: bytes
    half: int
    way: int
    buffers_at: int
    source_size: int
    topology_of: int
    leaves: int
    active_tiles: int
    active_voxels: int
    pruned: int
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    blob: bytes = b""


@dataclass
class Frame:
    """What one .vdb file held."""

    version: int
    openvdb_version: tuple[int, int]
    uuid: bytes
    metadata: bytes
    source_size: int
    complete: int
    left_out: list[bytes]
    grids: list[Grid]


def read_archive(path: str | Path) -> list[Frame]:
    """The frames of an archive with all their grids decoded."""
    return [read_frame(stored.sections) for stored in read_frames(Path(path).read_bytes())]


def read_frame(sections: list[Section]) -> Frame:
    """A frame from its sections."""
    by_label = {}
    for s in sections:
        readable = (s.kind, s.codec, s.version) in KNOWN
        require(readable or not s.required, f"section {s.kind} is required but unknown")
        if readable:
            key = s.kind, s.grid, s.part
            require(key not in by_label, f"{key} occurs twice")
            by_label[key] = s
    section = by_label["FRAM", FRAME_SECTION, 0]
    frame = read_table(section)
    parents = {grid.unique_name: grid.parent for grid in reversed(frame.grids)}
    require(all(parents.get(grid.parent) == b"" for grid in frame.grids if grid.parent), "parents")
    require(all((g.way == INSTANCE) == bool(g.parent) for g in frame.grids if g.way != RAW), "who shares a tree")
    for index, grid in enumerate(frame.grids):
        if grid.way == TREE:
            topo, vals = by_label["TOPO", grid.topology_of, 0], by_label["VALS", index, 0]
            base_of = lambda base, of=grid.topology_of: read_base(by_label, base, of)  # noqa: E731
            grid.arrays = read_tree(topo, vals, *COMPONENTS[grid.type], base_of)
            content = b"".join(array.tobytes() for array in in_memory_order(grid.arrays))
        else:
            grid.blob = b"" if grid.way == INSTANCE else read_blob(by_label["BLOB", index, 0])
            content = grid.blob
        require(xxhash.xxh3_128_digest(content) == grid.content, f"content of grid {index}")
    return frame


def read_table(section: Section) -> Frame:
    outer = Cursor(section.payload)
    require(section.raw_size <= 16 << 20, "size of the table")
    table = Cursor(outer.stream("u1", section.raw_size).tobytes())
    outer.end()
    version, openvdb_version = table.u32(), (table.u32(), table.u32())
    uuid, metadata, size, complete = table.bytes(), table.bytes(), table.varint(), table.u8()
    require(len(uuid) == 36, "a uuid of another length")
    count = table.u32()
    require(count <= 65536, "number of grids")
    grids = [read_row(table) for _ in range(count)]
    left_out = []
    if section.version == 3:
        count = table.u32()
        require(count <= 65536, "number of grids that were left out")
        left_out = [table.bytes() for _ in range(count)]
        require({len(table.bytes()), len(table.bytes())} <= {0, 16}, "a hash of another length")
    table.end()
    return Frame(version, openvdb_version, uuid, metadata, size, complete, left_out, grids)


def read_row(table: Cursor) -> Grid:
    name, kind, parent = table.bytes(), table.bytes().decode(), table.bytes()
    metadata, transform, content = table.bytes(), table.bytes(), table.bytes()
    half, way = table.u8(), table.u8()
    return Grid(name, kind, parent, metadata, transform, content, half, way, *(table.varint() for _ in range(7)))


def read_losses(section: Section) -> dict[int, tuple[float, float | None, float, float]]:
    """Of each grid: T-PSNR promised and measured (dB), largest errors of means and of voxels (shares of the range)."""
    cursor = Cursor(section.payload)
    losses = {}
    for _ in range(cursor.varint()):
        number, promised, picture, mean, voxel = (cursor.varint() for _ in range(5))
        require(number not in losses, "a grid has two losses")
        losses[number] = promised / 100, (picture - 1) / 100 if picture else None, mean / 100000, voxel / 100000
    cursor.end()
    return losses


def read_blob(section: Section) -> bytes:
    cursor = Cursor(section.payload)
    blob = cursor.stream("u1", section.raw_size).tobytes()
    cursor.end()
    return blob


def read_tree(topo: Section, vals: Section, width: int, components: int, base_of) -> dict[str, np.ndarray]:
    """All arrays of a tree; masks as stored, values as unsigned integers (nodes, slots, components)."""
    arrays = read_topology(topo, base_of)
    cursor = Cursor(vals.payload)
    kind = f"<u{width}"
    (background,) = cursor.values(1, width, components)
    tiles = cursor.values(len(arrays["tile origins"]), width, components)
    arrays["background"] = np.array(background, kind)
    arrays["tile values"] = np.array(tiles, kind).reshape(len(tiles), components)
    for level, slots in SLOTS.items():
        active = arrays[f"{level} active"]
        child = arrays[f"{level} child"] if level != "leaf" else np.zeros_like(active)
        nodes = read_level(cursor, child, active, slots, background, width)
        arrays[f"{level} values"] = np.array(nodes, kind).reshape(len(active), slots, components)
    cursor.end()
    values = ("background", "tile values", "upper values", "lower values", "leaf values")
    require(vals.raw_size == sum(arrays[name].nbytes for name in values), "size of the values in memory")
    return arrays


def read_base(by_label: dict, base: int, of: int) -> dict[str, np.ndarray]:
    """The topology that grid `of` builds on."""
    section = by_label["TOPO", base, 0]
    require(base < of and section.codec != 2, "a base that is none")
    return read_topology(section, None)


def read_topology(section: Section, base_of) -> dict[str, np.ndarray]:
    cursor = Cursor(section.payload)
    arrays = read_box(cursor) if section.codec == 3 else read_root(cursor)
    if section.codec == 0:
        read_raw_masks(cursor, arrays)
    elif section.codec < 3:
        read_masks(cursor, arrays, base_of if section.codec == 2 else None)
    cursor.end()
    require(section.raw_size == sum(array.nbytes for array in arrays.values()), "size of the topology in memory")
    return arrays


def read_root(cursor: Cursor) -> dict[str, np.ndarray]:
    uppers, tiles = cursor.u32(), cursor.u32()
    arrays = {"child origins": cursor.stream("<i4", 3 * uppers).reshape(uppers, 3)}
    arrays["tile origins"] = cursor.stream("<i4", 3 * tiles).reshape(tiles, 3)
    arrays["tile active"] = cursor.stream("u1", tiles)
    return arrays


def read_raw_masks(cursor: Cursor, arrays: dict[str, np.ndarray]) -> None:
    nodes = len(arrays["child origins"])
    for level in ("upper", "lower"):
        size = SLOTS[level] // 8
        for what in ("child", "active"):
            arrays[f"{level} {what}"] = cursor.stream("u1", size * nodes).reshape(nodes, size)
        nodes = sum(int(byte).bit_count() for byte in arrays[f"{level} child"].reshape(-1))
    arrays["leaf active"] = cursor.stream("u1", 64 * nodes).reshape(nodes, 64)


def read_level(
    cursor: Cursor, child: np.ndarray, active: np.ndarray, slots: int, background: tuple, width: int
) -> list:
    """The values of all slots of a level's nodes, in one list."""
    negative = tuple(bits ^ (1 << (8 * width - 1)) for bits in background)
    count, components = len(active), len(background)
    classes = cursor.stream("u1", count).tolist()
    selecting = [c for c in classes if c in (3, 4, 5, 6)]
    masks = iter(cursor.stream("u1", len(selecting) * slots // 8).reshape(len(selecting), slots // 8))
    is_child, is_active = [bits(mask_bits) for mask_bits in child], [bits(mask_bits) for mask_bits in active]
    value_count = sum(
        not is_child[n][s] and not is_active[n][s] for n in range(count) if classes[n] == 7 for s in range(slots)
    )
    a = iter(cursor.values(sum(c in (2, 4, 5, 6) for c in classes), width, components))
    b = iter(cursor.values(classes.count(6), width, components))
    inactive_values = iter(cursor.values(value_count, width, components))
    active_values = iter(cursor.values(sum(map(sum, is_active)), width, components))
    zero, out = (0,) * components, []
    for n, number in enumerate(classes):
        require(number <= 7, "a class that does not exist")
        pair = pair_of(number, background, negative, a, b)
        select = bits(next(masks)) if number in (3, 4, 5, 6) else [0] * slots
        for s in range(slots):
            if is_child[n][s]:
                require(not is_active[n][s], "a slot with both bits")
                out.append(zero)
            elif is_active[n][s]:
                out.append(next(active_values))
            else:
                out.append(next(inactive_values) if number == 7 else pair[select[s]])
    return out


def pair_of(number: int, plus: tuple, minus: tuple, a: object, b: object) -> tuple:
    """First and second value of a node of class `number`, as SPEC.md's table has them."""
    if number == 6:
        return next(a), next(b)
    return {
        0: lambda: (plus, None),
        1: lambda: (minus, None),
        2: lambda: (next(a), None),
        3: lambda: (plus, minus),
        4: lambda: (plus, next(a)),
        5: lambda: (minus, next(a)),
        7: lambda: (None, None),
    }[number]()


def bits(mask: np.ndarray) -> list[int]:
    """Bit n of a mask at place n."""
    return [byte >> n & 1 for byte in mask.tolist() for n in range(8)]


def in_memory_order(arrays: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The arrays in the order in which `content` is the hash of them."""
    names = ["background", "child origins", "tile origins", "tile active", "tile values"]
    for level in SLOTS:
        names += [f"{level} {what}" for what in ("child", "active", "values")]
    return [arrays[name] for name in names if name in arrays]
