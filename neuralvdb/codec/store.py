"""What grids of a frame share once it is decoded: topologies, heads of values and trees, each decoded once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar

from neuralvdb import topology, values
from neuralvdb.archive import Section
from neuralvdb.codec.grid_sections import GridSections
from neuralvdb.dataclass import dataclass
from neuralvdb.devices import Devices
from neuralvdb.errors import DamagedFile, OutOfMemory
from neuralvdb.platform import usable_memory
from neuralvdb.topology import Reference, Topology, TopologyPayload
from neuralvdb.volume import Tree

if TYPE_CHECKING:
    from neuralvdb.values import ValuesHead

_SHARE = 16  # one part in so many of the machine's memory is for topologies that no grid may need any more
_LEAF_VALUES = 32  # bytes of float values that leaves have for each byte of their masks
_FROM_ANOTHER = 2  # codec of a topology that is decoded from another one

Value = TypeVar("Value")


@dataclass(frozen=True)
class SharedTree:
    """A tree that grids may share, so nobody changes it, and the content_hash() of such grids."""

    tree: Tree
    content: bytes


class DecodedStore:
    """Topologies, heads of values and trees of a frame. Each is decoded by the first thread that asks for it; threads
    that ask meanwhile wait for it.

    devices: the first is where networks decode topologies. budget: bytes of topologies that are
    kept, at most, and as many of trees; those used last go last, and the very last one is always kept (default: a
    sixteenth of what may be used).
    """

    def __init__(self, index: GridSections, devices: Devices, budget: int | None = None) -> None:
        self._index, self._devices = index, devices
        self._memory = usable_memory()
        kept = self._memory // _SHARE if budget is None else budget
        self._topologies, self._derived = _Cache[Topology](kept), _Cache[Topology](kept)
        self._trees = _Cache[SharedTree](kept)
        self._heads: _Cache[ValuesHead] = _Cache(None)

    def topology(self, grid: int, threads: int = 1) -> Topology:
        """The topology of a grid that travels as arrays, before it is pruned. Raises DamagedFile, and OutOfMemory
        before anything is decoded where it is declared to take more than this machine has."""
        topology = self.nodes(grid, threads)
        topology.need()
        return topology

    def nodes(self, grid: int, threads: int = 1) -> Topology:
        """The topology as topology() has it, but that masks of leaves may not be there before they are needed."""
        section = self._index.section("TOPO", self._index.table.grids[grid].topology_of)
        return self._topology(section, self._index.where(grid, "topology"), threads)

    def derived(self, grid: int, derive: Callable[[], Topology]) -> Topology:
        """The topology of a grid after it is pruned, which `derive` gives once. Raises what that raises."""
        section = self._index.section("TOPO", self._index.table.grids[grid].topology_of)
        return self._derived.get(grid, derive, section.raw_size)

    def tree(self, grid: int, decode: Callable[[], SharedTree]) -> SharedTree:
        """The tree of a grid, which `decode` gives once where other grids need it. Raises what that raises."""
        first = self._index.first(grid)
        if first == grid and not self._index.is_needed_again(grid):
            return decode()
        return self._trees.get(first, decode, self._index.memory(grid))

    def head(self, grid: int) -> ValuesHead | None:
        """How the values of a grid are coded, None where every bit is kept. Raises DamagedFile."""
        section = self._index.find("VALS", grid)
        if section is None or section.codec == 0:
            return None

        def read() -> ValuesHead:
            return values.read_head(self._index.read(section, "values").payload, self._index.where(grid, "values"))

        return self._heads.get(grid, read)

    def check_memory(self, size: int, what: str) -> None:
        """Raises OutOfMemory where so many bytes are more than this machine has; what: takes them."""
        if size > self._memory:
            raise OutOfMemory(
                f"{self._index.path}: {what} takes {size} bytes of memory; this machine has {self._memory} for it"
            )

    def at_once(self, grids: list[int], threads: int) -> int:
        """How many of these grids may be decoded at a time, 1 to `threads`: so many that any of them fit in memory."""
        sizes = sorted((self._index.memory(grid) for grid in grids), reverse=True)
        count, size = 1, sum(sizes[:1])
        while count < min(threads, len(sizes)) and size + sizes[count] <= self._memory:
            size += sizes[count]
            count += 1
        return count

    def _topology(self, section: Section, where: str, threads: int) -> Topology:
        def decode() -> Topology:
            self.check_memory(section.raw_size, f"topology {section.grid}")
            coded = self._index.read(section, "topology")
            source = TopologyPayload(codec=coded.codec, payload=coded.payload, declared=section.raw_size, where=where)
            grid = topology.reference_of(source)
            reference = None if grid is None else Reference(grid, self._base(section, grid, threads))
            device = next(iter(self._devices.of(_LEAF_VALUES * section.raw_size)), None)
            return topology.begin(source, reference, threads=threads, device=device)

        return self._topologies.get(section.grid, decode, section.raw_size)

    def _base(self, section: Section, number: int, threads: int) -> Topology:
        """The topology of grid `number`, from which that in `section` is decoded."""
        base = self._index.find("TOPO", number)
        if base is None or number >= section.grid or self._index.read(base, "topology").codec == _FROM_ANOTHER:
            raise DamagedFile(f"{self._index.path}: a topology builds on one that is not there; get another copy")
        self.check_memory(base.raw_size + section.raw_size, "a topology and the one that it builds on")
        return self._topology(base, self._index.where(number, "topology"), threads)


class _Slot(Generic[Value]):
    """A value once it is made, and its bytes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.values: list[Value] = []  # one, or none yet
        self.size = 0


class _Cache(Generic[Value]):
    """Values by number, each made once. budget: bytes that are kept, at most; None: everything is kept."""

    def __init__(self, budget: int | None) -> None:
        self._budget, self._lock = budget, threading.Lock()
        self._slots: dict[int, _Slot[Value]] = {}  # in the order of their last use

    def get(self, number: int, make: Callable[[], Value], size: int = 0) -> Value:
        """The value of a number, of so many bytes. Raises what make() raises; then the next one to ask tries again."""
        with self._lock:
            slot = self._slots.pop(number, None) or _Slot()
            self._slots[number] = slot
        with slot.lock:
            if not slot.values:
                slot.values.append(make())
                slot.size = size
            value = slot.values[0]
        self._forget()
        return value

    def _forget(self) -> None:
        """Drops the values used longest ago until the others keep to the budget."""
        if self._budget is None:
            return
        with self._lock:
            total = sum(slot.size for slot in self._slots.values())
            for number, slot in list(self._slots.items())[:-1]:
                if total <= self._budget:
                    break
                if slot.size:  # else it is being made
                    total -= slot.size
                    del self._slots[number]
