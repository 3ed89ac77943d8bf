"""Inactive values by OpenVDB's own observation: a node rarely holds more than two distinct ones.

A node's inactive slots are those neither active nor a child. Its class says which values they hold: `+`
is the grid's background, `-` the background with its sign flipped, `a` and `b` are stored. Values are
told apart by their bits, so -0 is not 0 and NaNs keep their payload.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# The values of each class; the second one stands where the node's selection mask is set.
CLASSES: tuple[tuple[str, ...], ...] = (("+",), ("-",), ("a",), ("+", "-"), ("+", "a"), ("-", "a"), ("a", "b"), ())
ALL = len(CLASSES) - 1  # every inactive value of the node is stored
_NUMBER = {values: number for number, values in enumerate(CLASSES)}
_CHUNK = 1 << 21  # slots classified together; bounds the memory for temporaries
_NODES = 1 << 12  # nodes restored together, likewise


def classes_with(*values: str) -> np.ndarray:
    """(len(CLASSES),) bool: which classes hold all of `values`."""
    return np.array([set(values) <= set(c) for c in CLASSES])


def two_valued() -> np.ndarray:
    """(len(CLASSES),) bool: which classes come with a selection mask."""
    return np.array([len(c) == 2 for c in CLASSES])


@dataclass
class Inactive:
    """Inactive values of one level, each array in node order.

    classes: (nodes,) uint8; a, b: (nodes that hold one, C); selection: (nodes with two values, S/8)
    uint8; rest: (inactive values of all nodes of class ALL, C).
    """

    classes: np.ndarray
    a: np.ndarray
    b: np.ndarray
    selection: np.ndarray
    rest: np.ndarray

    def of(self, nodes: np.ndarray, inactive: np.ndarray) -> Inactive:
        """The same of some nodes (nodes,) bool; inactive: (nodes,) how many inactive slots each node has."""
        own = self.classes == ALL
        return Inactive(
            self.classes[nodes],
            self.a[nodes[classes_with("a")[self.classes]]],
            self.b[nodes[classes_with("b")[self.classes]]],
            self.selection[nodes[two_valued()[self.classes]]],
            self.rest[np.repeat(nodes[own], inactive[own])],
        )


def classify(bits: np.ndarray, inactive: np.ndarray, plus: np.ndarray, minus: np.ndarray) -> Inactive:
    """The inactive values of a level. bits: (nodes, S, C) unsigned; inactive: (nodes, S) bool; plus, minus:
    (C,) bits of the background and of its negative."""
    step = max(1, _CHUNK // (bits.shape[1] * bits.shape[2]))
    starts = range(0, max(1, len(bits)), step)
    parts = [_classify(bits[i : i + step], inactive[i : i + step], plus, minus) for i in starts]
    return Inactive(*(np.concatenate([getattr(p, name) for p in parts]) for name in Inactive.__dataclass_fields__))


def restore(level: Inactive, inactive: np.ndarray, plus: np.ndarray, minus: np.ndarray, out: np.ndarray) -> None:
    """Writes the inactive slots of `out` (nodes, S, C), the opposite of classify(); other slots become anything."""
    known = {"+": plus, "-": minus}
    first, second = (np.zeros((len(out), out.shape[2]), out.dtype) for _ in range(2))
    for number, values in enumerate(CLASSES):
        nodes = level.classes == number
        for target, value in zip((first, second), values, strict=False):
            if value in known:
                target[nodes] = known[value]
    holds_a, holds_b = classes_with("a")[level.classes], classes_with("b")[level.classes]
    is_second = holds_a & two_valued()[level.classes] & ~holds_b
    first[holds_a & ~is_second] = level.a[~is_second[holds_a]]
    second[is_second] = level.a[is_second[holds_a]]
    second[holds_b] = level.b
    out[...] = first[:, None, :]
    nodes = np.nonzero(two_valued()[level.classes])[0]
    for i in range(0, len(nodes), _NODES):
        node = nodes[i : i + _NODES]
        select = np.unpackbits(level.selection[i : i + _NODES], axis=1, bitorder="little").view(bool)
        out[node] = np.where(select[..., None], second[node, None], first[node, None])
    place = inactive & (level.classes == ALL)[:, None]
    out[place] = level.rest


def _classify(bits: np.ndarray, inactive: np.ndarray, plus: np.ndarray, minus: np.ndarray) -> Inactive:
    is_plus = inactive & _same(bits, plus)
    is_minus = inactive & ~is_plus & _same(bits, minus)
    other = inactive & ~is_plus & ~is_minus
    has_plus, has_minus = is_plus.any(1), is_minus.any(1)
    classes = np.where(has_minus, np.where(has_plus, _NUMBER["+", "-"], _NUMBER["-",]), _NUMBER["+",]).astype(np.uint8)
    select = is_minus
    odd = np.nonzero(other.any(1))[0]
    first, rest = _first(bits[odd], other[odd])
    second, third = _first(bits[odd], rest)
    one, two = ~rest.any(1), rest.any(1) & ~third.any(1)
    plus_in, minus_in = has_plus[odd], has_minus[odd]
    classes[odd] = ALL
    classes[odd[one & ~plus_in & ~minus_in]] = _NUMBER["a",]
    classes[odd[one & plus_in & ~minus_in]] = _NUMBER["+", "a"]
    classes[odd[one & ~plus_in & minus_in]] = _NUMBER["-", "a"]
    classes[odd[two & ~plus_in & ~minus_in]] = _NUMBER["a", "b"]
    select[odd] = np.where(one[:, None], other[odd], rest)
    return Inactive(
        classes,
        first[classes_with("a")[classes[odd]]],
        second[classes_with("b")[classes[odd]]],
        np.packbits(select[two_valued()[classes]], axis=1, bitorder="little"),
        bits[inactive & (classes == ALL)[:, None]],
    )


def _first(bits: np.ndarray, where: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each node's first value (nodes, C) among the slots `where` (nodes, S), and where the others differ from it."""
    value = bits[np.arange(len(bits)), where.argmax(1)]
    return value, where & ~_same(bits, value[:, None])


def _same(bits: np.ndarray, value: np.ndarray) -> np.ndarray:
    equal = np.equal(bits, value)
    return equal.all(-1) if bits.shape[-1] > 1 else equal[..., 0]
