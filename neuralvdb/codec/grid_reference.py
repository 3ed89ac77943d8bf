"""Grids that are coded with another grid of the frame in view, which may be moved (section REFS)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.codec.earlier import DEEPEST
from neuralvdb.codec.frame_table import MAX_GRIDS, FrameTable
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import DamagedFile
from neuralvdb.motion import Leaves, Motion, Velocities, move
from neuralvdb.volume import Storage, Tree
from neuralvdb.volume.grid import TREE_TYPES

_NUMBERS = struct.Struct("<3b3d")  # shift; unit, factor, gain
_CUBIC, _STAGGERED = 1, 2  # flags
_MOST_GAIN = 1e30


@dataclass(frozen=True, kw_only=True)
class GridReference:
    """What a grid's values resemble.

    source: number of the grid that it resembles, an earlier one of the frame.
    velocity: number of the grid of velocities that moves the source, another earlier one; None where nothing moves.
    motion: how the source is moved.
    gain: what the moved source is multiplied by.
    """

    source: int
    velocity: int | None
    motion: Motion
    gain: float

    @property
    def sources(self) -> tuple[int, ...]:
        """Numbers of the grids that decoding needs."""
        return (self.source,) if self.velocity is None else (self.source, self.velocity)

    def predict(self, tree: Tree, tree_of: Callable[[int], Tree], threads: int = 1) -> np.ndarray:
        """What the reference says of a tree's leaves: float64 of their values' shape.

        tree_of: decodes the grid of a number.
        """
        velocities = None
        if self.velocity is not None:
            velocities = Velocities(*2 * [Leaves.of(tree_of(self.velocity))])
        source = Leaves.of(tree_of(self.source))
        moved = move(source, tree.leaf_origins, self.motion, velocities, threads=threads)
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
        out.put_varint(reference.source)
        out.put_varint(0 if reference.velocity is None else 1 + reference.velocity)
        out.put("u8", motion.cubic * _CUBIC | motion.staggered * _STAGGERED)
        out.put_bytes(_NUMBERS.pack(*motion.shift, motion.unit, motion.factor, reference.gain))
    return out.getvalue()


def read_references(payload: bytes, path: str, table: FrameTable) -> dict[int, GridReference]:
    """The references of a frame. Raises DamagedFile, naming `path`, where one is of or to a grid that it cannot be."""
    references = unpack_references(payload, f"{path}: its references")
    for number, reference in references.items():
        if not _fits(table, number, reference) or depth_of(references, number) > DEEPEST:
            text = f"grid {number} is coded from a grid that it cannot be coded from"
            raise DamagedFile(f"{path}: {text}; the archive is damaged, get another copy")
    return references


def depth_of(references: Mapping[int, GridReference], number: int) -> int:
    """How many references are between a grid and one that has none, as far as it matters."""
    level, depth = {number}, 0
    while depth <= DEEPEST and (level := {s for n in level if n in references for s in references[n].sources}):
        depth += 1
    return depth


def _fits(table: FrameTable, number: int, reference: GridReference) -> bool:
    """Whether a reference is of and to grids of such types."""
    numbers = (number, *reference.sources)
    if number >= len(table.grids) or any(table.grids[n].storage is not Storage.TREE for n in numbers):
        return False
    components = [TREE_TYPES.get(table.grids[n].grid_type, (None, 0))[1] for n in numbers]
    return components[0] == components[1] > 0 and components[2:] in ([], [3])


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
    of, velocity, flags = source.take_varint(), source.take_varint() - 1, source.take("u8")
    fixed = bytes(source.take_bytes())
    if flags > 3 or len(fixed) != _NUMBERS.size:
        raise source.damaged("a reference has numbers of another size, or flags that do not exist")
    *shift, unit, factor, gain = _NUMBERS.unpack(fixed)
    motion = Motion(
        unit=unit,
        shift=(shift[0], shift[1], shift[2]),
        factor=factor,
        cubic=bool(flags & _CUBIC),
        staggered=bool(flags & _STAGGERED),
    )
    sensible = motion.valid() and abs(gain) < _MOST_GAIN and (motion.factor == 0) == (velocity < 0)
    if not sensible or max(of, velocity) >= number:
        raise source.damaged(f"the reference of grid {number} makes no sense")
    return GridReference(source=of, velocity=None if velocity < 0 else velocity, motion=motion, gain=gain)
