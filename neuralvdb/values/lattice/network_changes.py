"""Networks refined to a grid: which they begin with, and how they differ from those (layout in archive/SPEC.md).

A network changes in four groups: its first and its second layer, and what makes each of its two outputs, the last layer
and the linear path. A change is a number of quanta, coded like a residual of the class that suits the group; a bias,
being the weight of an input of 1.0, changes in quanta 16 times as large. Beside those of the families there are plain
networks to begin with, which are all zeros but for how narrow scales are: fields far smoother than their error are
best left as they are interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.archive.rans import Decoder
from neuralvdb.values.lattice import network, priors, residual
from neuralvdb.values.lattice.kind import kind_of
from neuralvdb.values.lattice.network import Network
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.sample_inputs import ONE
from neuralvdb.values.lattice.schedule import KEYS, NetworkKey

FIRST, SECOND, OFFSET, SCALE = GROUPS = range(4)
QUANTA = (1, 4, 16, 64)
PLAIN = 64  # plain networks, numbered by how many classes narrower they make scales
_FIRST_PLAIN = 128  # their numbers begin there, behind those of families
_CLASS_BITS = 6
_BYTE = np.dtype(np.uint8)


@dataclass(frozen=True)
class NetworkChange:
    """What becomes of a network. donor: the family whose network it begins with, or the number of a plain one; quanta:
    which of QUANTA, and classes: that of the residuals, of every group that changes; steps: (n,) int64, weights, then
    biases, in quanta (of the last layer and the linear path: weights, bias, weights)."""

    donor: str | int
    classes: dict[int, int]
    quanta: dict[int, int]
    steps: dict[int, np.ndarray]


NetworkChanges = dict[NetworkKey, NetworkChange]


def changed(net: Network, change: NetworkChange) -> Network:
    """The network after a change. Raises ValueError where its sums might not be exact."""
    wide = Network(*(getattr(net, part).astype(np.int64) for part in priors.PARTS))
    for group, steps in change.steps.items():
        at = 0
        for array, unit in _arrays(wide, group):
            array += steps[at : at + array.size].reshape(array.shape) * (unit * QUANTA[change.quanta[group]])
            at += array.size
    network.check(wide)
    return Network(*(getattr(wide, part).astype(getattr(net, part).dtype) for part in priors.PARTS))


def plain(inputs: int, number: int) -> Network:
    """The plain network that makes scales narrower by so many classes."""
    return network.linear(np.array([0, -4 * number], np.int32), np.zeros((2, inputs), np.int8), np.zeros(6, np.int8))


def beginning(donor: str | int, family: str, library: ModelSet, key: NetworkKey) -> Network:
    """What a network of a family begins with."""
    if isinstance(donor, int):
        return plain(library.families[family].networks[key].linear.shape[1], donor)
    return library.families[donor].networks[key]


def networks(family: str, library: ModelSet, refinement: NetworkChanges) -> dict[NetworkKey, Network]:
    """The networks of a family, refined. Raises ValueError as changed() does."""
    found = library.families[family].networks
    return found | {
        key: changed(beginning(change.donor, family, library, key), change) for key, change in refinement.items()
    }


def sizes(net: Network) -> list[int]:
    """How many weights and biases each group has."""
    return [sum(array.size for array, _ in _arrays(net, group)) for group in GROUPS]


def flat(net: Network, group: int) -> np.ndarray:
    """(n,) float64 weights of a group in the order of its steps, biases in units that are worth ONE."""
    return np.concatenate([array.reshape(-1) / float(unit) for array, unit in _arrays(net, group)])


def put(out: FieldWriter, family: str, library: ModelSet, refinement: NetworkChanges) -> None:
    """Appends a refinement."""
    head = np.zeros((len(KEYS), 1 + len(GROUPS)), np.uint8)
    record = residual.SymbolBuffer()
    for row, key in zip(head, KEYS, strict=True):
        if key not in refinement:
            continue
        change = refinement[key]
        plain = isinstance(change.donor, int)
        number = _FIRST_PLAIN + change.donor if plain else priors.FAMILIES.index(change.donor)
        row[0] = (number - priors.FAMILIES.index(family)) % 256
        for group in sorted(change.steps):
            row[1 + group] = change.classes[group] | change.quanta[group] << _CLASS_BITS
            record.put(change.steps[group], np.full(len(change.steps[group]), change.classes[group], np.uint8))
            record.end()
    put_array(out, head.reshape(-1))
    out.put_bytes(record.written(library.families[family].tables).finish())


def take(source: FieldReader, where: str, family: str, library: ModelSet) -> dict[NetworkKey, Network]:
    """The networks of a family as put() has refined them. Raises DamagedFile."""
    head = take_array(source, _BYTE, len(KEYS) * (1 + len(GROUPS))).reshape(len(KEYS), -1)
    decoder = Decoder(source.take_bytes(), library.families[family].tables, where)
    found = dict(library.families[family].networks)
    for row, key in zip(head.tolist(), KEYS, strict=True):
        donor = _donor((row[0] + priors.FAMILIES.index(family)) % 256)
        if isinstance(donor, str) and (donor not in library.families or kind_of(donor) != kind_of(family)):
            raise source.damaged("a network begins with one that is not there")
        net = beginning(donor, family, library, key)
        codes = {group: code for group, code in zip(GROUPS, row[1:], strict=True) if code}
        classes = {group: code & (1 << _CLASS_BITS) - 1 for group, code in codes.items()}
        steps = {g: residual.take(decoder, np.full(sizes(net)[g], c, np.uint8)) for g, c in classes.items()}
        quanta = {group: code >> _CLASS_BITS for group, code in codes.items()}
        try:
            found[key] = changed(net, NetworkChange(donor, classes, quanta, steps))
        except ValueError as error:
            raise source.damaged(str(error)) from error
    decoder.finish()
    return found


def _donor(number: int) -> str | int:
    """A family, the number of a plain network, or a name that no family has."""
    if _FIRST_PLAIN <= number < _FIRST_PLAIN + PLAIN:
        return number - _FIRST_PLAIN
    return priors.FAMILIES[number] if number < len(priors.FAMILIES) else ""


def _arrays(net: Network, group: int) -> list[tuple[np.ndarray, int]]:
    """Views of a group's weights and biases, in the order of its steps, and how much a quantum of each is."""
    if group in (FIRST, SECOND):
        weights, biases = ((net.w1, net.b1), (net.w2, net.b2))[group]
        return [(weights, 1), (biases, ONE)]
    row = group - OFFSET
    return [(net.w3[row], 1), (net.b3[row : row + 1], ONE), (net.linear[row], 1)]
