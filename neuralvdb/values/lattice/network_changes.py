"""Networks fine-tuned to a grid: which they begin with, and how they differ from those (layout in archive/SPEC.md).

A network changes in four groups: its first and its second layer, and what makes each of its two outputs, the last layer
and the linear path. A change is a number of quanta, coded like a residual of the class that suits the group; a bias,
being the weight of an input of 1.0, changes in quanta 16 times as large. Beside those of the families there are
interpolation-only networks to begin with, all zeros but for how narrow scales are: fields far smoother than their error
are best left as they are interpolated.
"""

from __future__ import annotations

import numpy as np

from neuralvdb.archive import FieldReader, FieldWriter, put_array, take_array
from neuralvdb.archive.rans import Decoder
from neuralvdb.dataclass import dataclass
from neuralvdb.nets.network import Network, check
from neuralvdb.values.lattice import network, priors, residual
from neuralvdb.values.lattice.constants import ONE, OUTPUTS
from neuralvdb.values.lattice.kind import kind_of
from neuralvdb.values.lattice.pass_order import KEYS, NetworkKey
from neuralvdb.values.lattice.priors import ModelSet

FIRST, SECOND, OFFSET, SCALE = GROUPS = range(4)
QUANTA = (1, 4, 16, 64)
INTERPOLATION_ONLY = 64  # such networks, numbered by how many scale classes narrower they make scales
_FIRST_INTERPOLATION_ONLY = 128  # their numbers begin there, behind those of families
_CLASS_BITS = 6
_BYTE = np.dtype(np.uint8)


@dataclass(frozen=True)
class NetworkChange:
    """How fine tuning changes a network. Groups that stay as they are have no entries.

    donor: the family whose network it begins with, or the number of an interpolation-only one
    scale_classes: by group, the class of residuals that its deltas are coded as
    quanta: by group, which of QUANTA
    deltas: by group, (n,) int64 in quanta: weights, then biases (last layer and linear path: weights, bias, weights)
    """

    donor: str | int
    scale_classes: dict[int, int]
    quanta: dict[int, int]
    deltas: dict[int, np.ndarray]


NetworkChanges = dict[NetworkKey, NetworkChange]


def changed(net: Network, change: NetworkChange) -> Network:
    """The network after a change. Raises ValueError where its sums might not be exact."""
    wide = Network(*(getattr(net, name).astype(np.int64) for name in priors.PARTS))
    for group, deltas in change.deltas.items():
        begin = 0
        for array, unit in _arrays(wide, group):
            array_deltas = deltas[begin : begin + array.size].reshape(array.shape)
            array += array_deltas * (unit * QUANTA[change.quanta[group]])
            begin += array.size
    check(wide)
    return Network(*(getattr(wide, name).astype(getattr(net, name).dtype) for name in priors.PARTS))


def interpolation_only(inputs: int, number: int = 0) -> Network:
    """The network that leaves interpolation as it is and makes scales narrower by so many classes."""
    bias, path = np.array([0, -4 * number], np.int32), np.zeros((OUTPUTS, inputs), np.int8)
    return network.linear(bias, path, np.zeros(3 * OUTPUTS, np.int8))


def beginning(donor: str | int, family: str, models: ModelSet, key: NetworkKey) -> Network:
    """What a network of a family begins with."""
    if isinstance(donor, int):
        return interpolation_only(models.families[family].networks[key].linear.shape[1], donor)
    return models.families[donor].networks[key]


def networks(family: str, models: ModelSet, changes: NetworkChanges) -> dict[NetworkKey, Network]:
    """The networks of a family after changes. Raises ValueError as changed() does."""
    return models.families[family].networks | {
        key: changed(beginning(change.donor, family, models, key), change) for key, change in changes.items()
    }


def sizes(net: Network) -> list[int]:
    """How many weights and biases each group has."""
    return [sum(array.size for array, _ in _arrays(net, group)) for group in GROUPS]


def flat(net: Network, group: int) -> np.ndarray:
    """(n,) float64 weights of a group in the order of its deltas, biases in units that are worth ONE."""
    return np.concatenate([array.reshape(-1) / float(unit) for array, unit in _arrays(net, group)])


def put(out: FieldWriter, family: str, models: ModelSet, changes: NetworkChanges) -> None:
    """Appends changes to the networks of a family."""
    head = np.zeros((len(KEYS), 1 + len(GROUPS)), np.uint8)
    buffer = residual.SymbolBuffer()
    for codes, key in zip(head, KEYS, strict=True):
        if key not in changes:
            continue
        change = changes[key]
        codes[0] = (_number(change.donor) - _number(family)) % 256
        for group in sorted(change.deltas):
            deltas, scale_class = change.deltas[group], change.scale_classes[group]
            codes[1 + group] = scale_class | change.quanta[group] << _CLASS_BITS
            buffer.put(deltas, np.full(len(deltas), scale_class, np.uint8))
            buffer.end()
    put_array(out, head.reshape(-1))
    out.put_bytes(buffer.written(models.families[family].tables).finish())


def take(source: FieldReader, where: str, family: str, models: ModelSet) -> dict[NetworkKey, Network]:
    """The networks of a family with the changes that put() wrote. Raises DamagedFile."""
    head = take_array(source, _BYTE, len(KEYS) * (1 + len(GROUPS))).reshape(len(KEYS), -1)
    decoder = Decoder(source.take_bytes(), models.families[family].tables, where)
    result = dict(models.families[family].networks)
    for codes_of_key, key in zip(head.tolist(), KEYS, strict=True):
        donor = _donor((codes_of_key[0] + _number(family)) % 256)
        if isinstance(donor, str) and (donor not in models.families or kind_of(donor) != kind_of(family)):
            raise source.damaged("a network begins with one that is not there")
        net = beginning(donor, family, models, key)
        codes = {group: code for group, code in zip(GROUPS, codes_of_key[1:], strict=True) if code}
        scale_classes = {group: code & (1 << _CLASS_BITS) - 1 for group, code in codes.items()}
        deltas = {g: residual.take(decoder, np.full(sizes(net)[g], c, np.uint8)) for g, c in scale_classes.items()}
        quanta = {group: code >> _CLASS_BITS for group, code in codes.items()}
        try:
            result[key] = changed(net, NetworkChange(donor, scale_classes, quanta, deltas))
        except ValueError as error:
            raise source.damaged(str(error)) from error
    decoder.finish()
    return result


def _number(donor: str | int) -> int:
    """The number that stands for a donor."""
    return _FIRST_INTERPOLATION_ONLY + donor if isinstance(donor, int) else priors.FAMILIES.index(donor)


def _donor(number: int) -> str | int:
    """The donor of a number; a name that no family has where it stands for none."""
    if _FIRST_INTERPOLATION_ONLY <= number < _FIRST_INTERPOLATION_ONLY + INTERPOLATION_ONLY:
        return number - _FIRST_INTERPOLATION_ONLY
    return priors.FAMILIES[number] if number < len(priors.FAMILIES) else ""


def _arrays(net: Network, group: int) -> list[tuple[np.ndarray, int]]:
    """Views of a group's weights and biases, in the order of its deltas, and how much a quantum of each is."""
    if group in (FIRST, SECOND):
        weights, biases = ((net.w1, net.b1), (net.w2, net.b2))[group]
        return [(weights, 1), (biases, ONE)]
    output = group - OFFSET
    return [(net.w3[output], 1), (net.b3[output : output + 1], ONE), (net.linear[output], 1)]
