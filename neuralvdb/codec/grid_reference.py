"""Grids that are coded with another grid in view, which may be of an earlier frame and may be moved (section REFS)."""

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

_SHIFT, _NUMBER = struct.Struct("<3b"), struct.Struct("<d")
UNIT_BYTES, BYTES = 4, 3  # upper bytes that are stored of units, of gains and factors
_CUBIC, _STAGGERED, _SHIFTED, _VELOCITY = 1, 2, 4, 8  # flags; that of each velocity
_MOST_GAIN = 1e30
_BLOCKS = 3  # in place of the number of velocities, where vectors of blocks are


@dataclass(frozen=True)
class GridAt:
    """A grid: its number, and whether it is one of the frame before the one that names it."""

    number: int
    before: bool = False


@dataclass(frozen=True, kw_only=True)
class GridReference:
    """What a grid's values resemble.

    source: the grid that it resembles, an earlier one of the frame or one of the frame before.
    velocities: grids of velocities that move the source: at the time of the grid, then at that of the source; one for
    both, or none where nothing moves.
    motion: how the source is moved.
    gain: what the moved source is multiplied by.
    """

    source: GridAt
    velocities: tuple[GridAt, ...] = ()
    motion: Motion
    gain: float

    @property
    def sources(self) -> tuple[GridAt, ...]:
        """The grids that decoding needs."""
        return (self.source, *self.velocities)

    def predict(self, tree: Tree, tree_of: Callable[[GridAt], Tree], threads: int = 1) -> np.ndarray:
        """What the reference says of active voxels of a tree's leaves: float64 of their values' shape.

        tree_of: decodes a grid.
        """
        fields = [Leaves.of(tree_of(velocity)) for velocity in self.velocities]
        velocities = Velocities(fields[0], fields[-1]) if fields else None
        source = Leaves.of(tree_of(self.source))
        moved = move(source, Voxels.of(tree), self.motion, velocities, threads=threads)
        with np.errstate(over="ignore"):
            said: np.ndarray = moved.reshape(tree.leaf.values.shape) * (self.motion.unit * self.gain)
        return said


def pack_references(references: Mapping[int, GridReference]) -> bytes:
    """The payload of a section REFS: references of grids by their numbers."""
    out = FieldWriter()
    out.put_varint(len(references))
    for number, reference in sorted(references.items()):
        motion = reference.motion
        out.put_varint(number)
        flags = motion.cubic * _CUBIC | motion.staggered * _STAGGERED | any(motion.shift) * _SHIFTED
        moves = len(reference.velocities) if motion.blocks is None else _BLOCKS
        out.put("u8", flags + moves * _VELOCITY)
        for source in reference.sources:
            out.put_varint(2 * source.number + source.before)
        if any(motion.shift):
            out.put_raw(_SHIFT.pack(*motion.shift))
        _put_number(out, motion.unit, UNIT_BYTES)
        _put_number(out, reference.gain)
        if reference.velocities:
            _put_number(out, motion.factor)
        if motion.blocks is not None:
            put_blocks(out, motion.blocks)
    return out.getvalue()


def read_references(payload: bytes, path: str, table: FrameTable, *, alone: bool) -> dict[int, GridReference]:
    """The references of a frame. alone: it has none before it in its group. Raises DamagedFile, naming `path`, where
    one is of or to a grid that it cannot be."""
    references = unpack_references(payload, f"{path}: its references")
    for number, reference in references.items():
        far = alone and any(source.before for source in reference.sources)
        if far or not fits(table, None, number, reference) or depth_of(references, number) > DEEPEST:
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
    return [] if reference is None else [source.number for source in reference.sources if not source.before]


def fits(table: FrameTable, before: FrameTable | None, number: int, reference: GridReference) -> bool:
    """Whether a reference is of a grid of such a type, and to such. before: of the frame before; None: it is not looked
    at."""

    def components(grid: GridAt) -> int | None:
        of = before if grid.before else table
        return None if of is None else _components(of, grid.number)

    count = _components(table, number)
    sources, moves = components(reference.source), map(components, reference.velocities)
    return count > 0 and sources in (None, count) and all(velocity in (None, 3) for velocity in moves)


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
    moves, flags = divmod(source.take("u8"), _VELOCITY)
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
    if not sensible or any(not grid.before and grid.number >= number for grid in grids):
        raise source.damaged(f"the reference of grid {number} makes no sense")
    return GridReference(source=grids[0], velocities=tuple(grids[1:]), motion=motion, gain=gain)


def _take_grid(source: FieldReader) -> GridAt:
    number, before = divmod(source.take_varint(), 2)
    return GridAt(number, bool(before))


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
