"""Inactive values by OpenVDB's own observation: a node rarely holds more than two distinct ones.

A node's inactive slots are those neither active nor a child. Its kind says which values they hold: `+` is the grid's
background, `-` the background with its sign flipped, `a` and `b` are stored. Values are told apart by their bits, so -0
is not 0 and NaNs keep their payload.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from neuralvdb.dataclass import dataclass
from neuralvdb.threads import on_threads
from neuralvdb.values import _lattice
from neuralvdb.volume.grid import unpack

SlotsOf: TypeAlias = Callable[[np.ndarray], np.ndarray]

# The values of each kind; the second one stands where the node's selection mask is set.
KINDS: tuple[tuple[str, ...], ...] = (("+",), ("-",), ("a",), ("+", "-"), ("+", "a"), ("-", "a"), ("a", "b"), ())
ALL = len(KINDS) - 1  # every inactive value of the node is stored
_NUMBER = {values: number for number, values in enumerate(KINDS)}
_CHUNK = 1 << 21  # slots classified together; bounds the memory for temporaries
_NODES = 1 << 12  # nodes restored together, likewise


@functools.cache
def kinds_with(*values: str) -> np.ndarray:
    """(len(KINDS),) bool: which kinds hold all of `values`."""
    return np.array([set(values) <= set(kind) for kind in KINDS])


@functools.cache
def two_valued() -> np.ndarray:
    """(len(KINDS),) bool: which kinds come with a selection mask."""
    return np.array([len(kind) == 2 for kind in KINDS])


@dataclass
class Inactive:
    """Inactive values of one level, each array in node order.

    kinds: (nodes,) uint8, index of KINDS.
    a: (nodes that hold one, C).
    b: (nodes that hold one, C).
    selection: (nodes with two values, S/8) uint8.
    stored: (inactive values of all nodes of kind ALL, C).
    """

    kinds: np.ndarray
    a: np.ndarray
    b: np.ndarray
    selection: np.ndarray
    stored: np.ndarray

    def of(self, nodes: np.ndarray, inactive: np.ndarray) -> Inactive:
        """The same of some nodes (nodes,) bool; inactive: (n,) how many inactive slots each node of kind ALL has."""
        all_stored = self.kinds == ALL
        return Inactive(
            self.kinds[nodes],
            self.a[nodes[kinds_with("a")[self.kinds]]],
            self.b[nodes[kinds_with("b")[self.kinds]]],
            self.selection[nodes[two_valued()[self.kinds]]],
            self.stored[np.repeat(nodes[all_stored], inactive)],
        )


def classify(
    bits: np.ndarray,
    inactive: SlotsOf,
    plus: np.ndarray,
    minus: np.ndarray,
    *,
    uniform: np.ndarray | None = None,
    threads: int = 1,
) -> Inactive:
    """The inactive values of a level. bits: (nodes, S, C) unsigned; inactive: (n, S) bool of nodes (n,) int64, which of
    their slots are inactive; plus, minus: (C,) bits of the background and of its negative; uniform: (nodes,) bool,
    those that are known to hold the background alone."""
    step = max(1, _CHUNK // (bits.shape[1] * bits.shape[2]))
    nodes = np.arange(len(bits)) if uniform is None else np.flatnonzero(~uniform)
    batches = [nodes[i : i + step] for i in range(0, max(1, len(nodes)), step)]

    def piece(node: np.ndarray) -> Inactive:
        return _classify(bits[node], inactive(node), plus, minus)

    classified = list(on_threads(piece, batches, threads))
    kinds, *values = (np.concatenate([getattr(p, name) for p in classified]) for name in Inactive.__dataclass_fields__)
    of_all = np.full(len(bits), _NUMBER["+",], np.uint8)
    of_all[nodes] = kinds
    return Inactive(of_all, *values)


def hold_only(
    bits: np.ndarray, masks: np.ndarray, value: np.ndarray, threads: int = 1, implementation: str = "native"
) -> np.ndarray:
    """(nodes,) bool: those all of whose slots that are not in their mask have one value. bits: (nodes, S) of one
    component; masks: (nodes, S/8) uint8."""
    if implementation == "native":
        only = np.empty(len(bits), np.uint8)
        _lattice.hold_only(bits, masks, int(value), threads, only)
        return only.view(bool)
    only_value: np.ndarray = ((bits == value) | unpack(masks)).all(1)
    return only_value


def restore(
    level: Inactive,
    inactive: SlotsOf,
    plus: np.ndarray,
    minus: np.ndarray,
    out: np.ndarray,
    slots: np.ndarray | slice = slice(None),
) -> None:
    """Writes the inactive slots of `out` (nodes, S, C), the opposite of classify(); other slots become anything.

    inactive: (n, S) bool of nodes (n,) int64, which of their slots are inactive. slots: (M,) those of nodes that `out`
    (nodes, M, C) holds.
    """
    first, second = pairs_of(level, plus, minus)
    out[...] = first[:, None, :]
    nodes = np.nonzero(two_valued()[level.kinds])[0]
    for i in range(0, len(nodes), _NODES):
        node = nodes[i : i + _NODES]
        select = np.unpackbits(level.selection[i : i + _NODES], axis=1, bitorder="little").view(bool)[:, slots]
        out[node] = np.where(select[..., None], second[node, None], first[node, None])
    nodes, begin = np.nonzero(level.kinds == ALL)[0], 0
    for i in range(0, len(nodes), _NODES):
        node = nodes[i : i + _NODES]
        is_stored = inactive(node)
        values = np.zeros((*is_stored.shape, out.shape[2]), out.dtype)
        end = begin + int(is_stored.sum())
        values[is_stored] = level.stored[begin:end]
        out[node], begin = values[:, slots], end


def pairs_of(level: Inactive, plus: np.ndarray, minus: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two values of each node (nodes, C), the second one where selections are set; 0 where there is none."""
    of_background = {"+": plus, "-": minus}
    of_kinds = np.zeros((2, len(KINDS), len(plus)), plus.dtype)
    for number, values in enumerate(KINDS):
        for rank, value in enumerate(values):
            if value in of_background:
                of_kinds[rank, number] = of_background[value]
    first, second = of_kinds[:, level.kinds]
    holds_a, holds_b = kinds_with("a")[level.kinds], kinds_with("b")[level.kinds]
    is_second = holds_a & two_valued()[level.kinds] & ~holds_b
    first[holds_a & ~is_second] = level.a[~is_second[holds_a]]
    second[is_second] = level.a[is_second[holds_a]]
    second[holds_b] = level.b
    return first, second


def _classify(bits: np.ndarray, inactive: np.ndarray, plus: np.ndarray, minus: np.ndarray) -> Inactive:
    is_plus = inactive & _same(bits, plus)
    is_minus = inactive & ~is_plus & _same(bits, minus)
    other = inactive & ~is_plus & ~is_minus
    has_plus, has_minus = is_plus.any(1), is_minus.any(1)
    no_other = np.where(has_plus, _NUMBER["+", "-"], _NUMBER["-",])
    kinds = np.where(has_minus, no_other, _NUMBER["+",]).astype(np.uint8)
    select = is_minus
    with_other = np.nonzero(other.any(1))[0]
    first, further = _first(bits[with_other], other[with_other])
    second, third = _first(bits[with_other], further)
    is_one: np.ndarray = np.logical_not(further.any(1))
    is_two = ~is_one & ~third.any(1)
    holds_plus, holds_minus = has_plus[with_other], has_minus[with_other]
    kinds[with_other] = ALL
    kinds[with_other[is_one & ~holds_plus & ~holds_minus]] = _NUMBER["a",]
    kinds[with_other[is_one & holds_plus & ~holds_minus]] = _NUMBER["+", "a"]
    kinds[with_other[is_one & ~holds_plus & holds_minus]] = _NUMBER["-", "a"]
    kinds[with_other[is_two & ~holds_plus & ~holds_minus]] = _NUMBER["a", "b"]
    select[with_other] = np.where(is_one[:, None], other[with_other], further)
    return Inactive(
        kinds,
        first[kinds_with("a")[kinds[with_other]]],
        second[kinds_with("b")[kinds[with_other]]],
        np.packbits(select[two_valued()[kinds]], axis=1, bitorder="little"),
        bits[inactive & (kinds == ALL)[:, None]],
    )


def _first(bits: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each node's first value (nodes, C) among the slots `where` (nodes, S), and where the others differ from it."""
    value = bits[np.arange(len(bits)), where.argmax(1)]
    return value, where & ~_same(bits, value[:, None])


def _same(bits: np.ndarray, value: np.ndarray) -> np.ndarray:
    equal = np.equal(bits, value)
    return equal.all(-1) if bits.shape[-1] > 1 else equal[..., 0]
