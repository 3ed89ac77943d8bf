"""Grids that are coded with others in view, which may be of other frames and may be moved (section REFS)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.codec.earlier import DEEPEST
from neuralvdb.codec.frame_table import MAX_GRIDS, FrameTable
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile
from neuralvdb.motion import Leaves, Motion, Velocities, Voxels, move, put_blocks, take_blocks
from neuralvdb.volume import Storage, Tree
from neuralvdb.volume.grid import TREE_TYPES

REFERENCES = 1  # codec of REFS
_SHIFT, _NUMBER = struct.Struct("<3b"), struct.Struct("<d")
UNIT_BYTES, BYTES = 4, 3  # upper bytes that are stored of units, of gains and factors
_CUBIC, _STAGGERED, _SHIFTED, _VELOCITY, _MORE = 1, 2, 4, 8, 32  # flags; that of each velocity
_FRAMES = 3  # a frame and the two that it may be coded from
_MOST_GAIN = 1e30
_BLOCKS = 3  # in place of the number of velocities, where vectors of blocks are


@dataclass(frozen=True)
class GridAt:
    """A grid: its number, and which frame it is one of: 0, the one that names it; 1 or 2, the first or the second one
    that this is coded from."""

    number: int
    frame: int = 0


@dataclass(frozen=True, kw_only=True)
class MovedGrid:
    """A grid that is moved.

    source: an earlier grid of the frame, or one of the frames that it is coded from.
    velocities: grids of velocities that move the source: at the time of what it becomes, then at its own; one for both,
    or none where nothing moves.
    motion: how the source is moved.
    gain: what the moved source is multiplied by.
    """

    source: GridAt
    velocities: tuple[GridAt, ...] = ()
    motion: Motion
    gain: float

    def predict(self, tree: Tree, tree_of: Callable[[GridAt], Tree], threads: int) -> np.ndarray:
        """What it says of a tree, as GridReference.predict() has it."""
        fields = [Leaves.of(tree_of(velocity)) for velocity in self.velocities]
        velocities = Velocities(fields[0], fields[-1]) if fields else None
        source = Leaves.of(tree_of(self.source))
        moved = move(source, Voxels.of(tree), self.motion, velocities, threads=threads)
        said: np.ndarray = moved.reshape(tree.leaf.values.shape) * (self.motion.unit * self.gain)
        return said


@dataclass(frozen=True)
class GridReference:
    """What a grid's values resemble: one moved grid, or the mean of two."""

    moved: tuple[MovedGrid, ...]

    @property
    def sources(self) -> tuple[GridAt, ...]:
        """The grids that decoding needs."""
        return tuple(grid for moved in self.moved for grid in (moved.source, *moved.velocities))

    def predict(self, tree: Tree, tree_of: Callable[[GridAt], Tree], threads: int = 1) -> np.ndarray:
        """What the reference says of active voxels of a tree's leaves: float64 of their values' shape.

        tree_of: decodes a grid.
        """
        said = [moved.predict(tree, tree_of, threads) for moved in self.moved]
        return said[0] if len(said) == 1 else (said[0] + said[1]) * 0.5


def pack_references(references: Mapping[int, GridReference]) -> bytes:
    """The payload of a section REFS: references of grids by their numbers."""
    out = FieldWriter()
    out.put_varint(len(references))
    for number, reference in sorted(references.items()):
        out.put_varint(number)
        for left, moved in zip(reversed(range(len(reference.moved))), reference.moved, strict=True):
            _put_moved(out, moved, more=left > 0)
    return out.getvalue()


def _put_moved(out: FieldWriter, moved: MovedGrid, *, more: bool) -> None:
    motion = moved.motion
    flags = motion.cubic * _CUBIC | motion.staggered * _STAGGERED | any(motion.shift) * _SHIFTED | more * _MORE
    moves = len(moved.velocities) if motion.blocks is None else _BLOCKS
    out.put("u8", flags + moves * _VELOCITY)
    for grid in (moved.source, *moved.velocities):
        out.put_varint(_FRAMES * grid.number + grid.frame)
    if any(motion.shift):
        out.put_raw(_SHIFT.pack(*motion.shift))
    _put_number(out, motion.unit, UNIT_BYTES)
    _put_number(out, moved.gain)
    if moved.velocities:
        _put_number(out, motion.factor)
    if motion.blocks is not None:
        put_blocks(out, motion.blocks)


def read_references(payload: bytes, path: str, table: FrameTable, back: tuple[int, int]) -> dict[int, GridReference]:
    """The references of a frame. back: as FrameLabel has it. Raises DamagedFile, naming `path`, where one is of or to a
    grid that it cannot be."""
    references = unpack_references(payload, f"{path}: its references")
    for number, reference in references.items():
        far = any(source.frame and not back[source.frame - 1] for source in reference.sources)
        if far or not fits({0: table}, number, reference) or depth_of(references, number) > DEEPEST:
            text = f"grid {number} is coded from a grid that it cannot be coded from"
            raise DamagedFile(f"{path}: {text}; the archive is damaged, get another copy")
    return references


def depth_of(references: Mapping[int, GridReference], number: int) -> int:
    """How many references of the frame are between a grid and one that has none to its frame, as far as it matters."""
    level, depth = {number}, 0
    while depth <= DEEPEST and (level := {s for n in level for s in _in_frame(references.get(n))}):
        depth += 1
    return depth


def _in_frame(reference: GridReference | None) -> list[int]:
    """Numbers of the grids of its own frame that a reference needs."""
    return [] if reference is None else [source.number for source in reference.sources if not source.frame]


def fits(tables: Mapping[int, FrameTable], number: int, reference: GridReference) -> bool:
    """Whether a reference is of a grid of such a type, and to such. tables: of frames as GridAt has them, that itself
    among them; others are not looked at."""

    def is_of(grid: GridAt, count: int) -> bool:
        return grid.frame not in tables or _components(tables[grid.frame], grid.number) == count

    count = _components(tables[0], number)
    sources = all(is_of(moved.source, count) for moved in reference.moved)
    return count > 0 and sources and all(is_of(v, 3) for moved in reference.moved for v in moved.velocities)


def _components(table: FrameTable, number: int) -> int:
    """Of a value of a grid that travels as arrays; 0 of all other grids."""
    if number >= len(table.grids) or table.grids[number].storage is not Storage.TREE:
        return 0
    return TREE_TYPES.get(table.grids[number].grid_type, (None, 0))[1]


def unpack_references(payload: bytes, where: str) -> dict[int, GridReference]:
    """The references that pack_references() packed. Raises DamagedFile."""
    source = FieldReader(payload, where)
    count = source.take_varint()
    if count > MAX_GRIDS:
        raise source.damaged(f"{count} grids are declared, {MAX_GRIDS} are possible")
    references: dict[int, GridReference] = {}
    for _ in range(count):
        number = source.take_varint()
        if number in references:
            raise source.damaged(f"grid {number} has two references")
        references[number] = _take_reference(source, number)
    source.finish()
    return references


def _take_reference(source: FieldReader, number: int) -> GridReference:
    flags = source.take("u8")
    moved = [_take_moved(source, number, flags & ~_MORE)]
    if flags & _MORE:
        moved.append(_take_moved(source, number, source.take("u8")))
    return GridReference(tuple(moved))


def _take_moved(source: FieldReader, number: int, flags: int) -> MovedGrid:
    moves, flags = divmod(flags, _VELOCITY)
    if moves > _BLOCKS:
        raise source.damaged("a reference has flags that do not exist")
    grids = [_take_grid(source) for _ in range(1 + moves % _BLOCKS)]
    shift = _SHIFT.unpack(source.take_raw(_SHIFT.size)) if flags & _SHIFTED else (0, 0, 0)
    unit, gain = _take_number(source, UNIT_BYTES), _take_number(source)
    factor = _take_number(source) if moves % _BLOCKS else 0.0
    motion = Motion(
        unit=unit,
        shift=(shift[0], shift[1], shift[2]),
        factor=factor,
        cubic=bool(flags & _CUBIC),
        staggered=bool(flags & _STAGGERED),
        blocks=take_blocks(source) if moves == _BLOCKS else None,
    )
    sensible = motion.valid() and abs(gain) < _MOST_GAIN and (motion.factor == 0) == (len(grids) == 1)
    if not sensible or any(not grid.frame and grid.number >= number for grid in grids):
        raise source.damaged(f"the reference of grid {number} makes no sense")
    return MovedGrid(source=grids[0], velocities=tuple(grids[1:]), motion=motion, gain=gain)


def _take_grid(source: FieldReader) -> GridAt:
    return GridAt(*divmod(source.take_varint(), _FRAMES))


def shortened(value: float, count: int = BYTES) -> float:
    """The next number towards 0 that has no more than its upper bytes."""
    return float(_NUMBER.unpack(_NUMBER.pack(value)[-count:].rjust(_NUMBER.size, b"\0"))[0])


def _put_number(out: FieldWriter, value: float, count: int = BYTES) -> None:
    packed = _NUMBER.pack(value)
    if any(packed[:-count]):
        raise ValueError(f"{value} has more bits than a reference stores")
    out.put_raw(packed[-count:])


def _take_number(source: FieldReader, count: int = BYTES) -> float:
    return float(_NUMBER.unpack(bytes(source.take_raw(count)).rjust(_NUMBER.size, b"\0"))[0])
