"""Priors in a file of their own or in an archive: section PRIO (layout in archive/SPEC.md)."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from neuralvdb.archive import (
    ArchiveReader,
    ArchiveWriter,
    FieldReader,
    FieldWriter,
    Section,
    SectionLabel,
    SectionReader,
    SectionWriter,
    put_array,
    take_array,
)
from neuralvdb.archive.rans_engine import TOTAL
from neuralvdb.errors import InputError, MissingPriors
from neuralvdb.nets.network import check
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.constants import ESCAPE, HIDDEN, OUTPUTS, SCALE_CLASSES
from neuralvdb.values.lattice.kind import kind_of
from neuralvdb.values.lattice.lattice import lattice_of
from neuralvdb.values.lattice.pass_order import keys_of
from neuralvdb.values.lattice.priors import FAMILIES, ModelSet

KIND = "PRIO"


def write_models(stream: BinaryIO, models: ModelSet) -> None:
    """Writes a file of priors. Raises OutputError."""
    writer = ArchiveWriter(stream)
    put_models(writer, models)
    writer.close()


def put_models(writer: SectionWriter, models: ModelSet) -> None:
    """Writes the section of a model set. Raises OutputError."""
    payload, raw_size = _pack(models)
    writer.add(SectionLabel(KIND), payload, raw_size=raw_size)


def read_models(path: str | os.PathLike[str]) -> ModelSet:
    """The priors in a file of them or in an archive that carries some.

    Raises InputError where there are none, DamagedFile, Unsupported.
    """
    with ArchiveReader(path, lambda *_: True) as archive:
        models = models_in(archive, archive.sections_of(0))
    if models is None:
        raise InputError(f"{os.fspath(path)}: holds no priors; give a file that `nvdb train` wrote")
    return models


def models_in(archive: SectionReader, sections: Iterable[Section]) -> ModelSet | None:
    """The priors among the sections of a frame, None where there are none. Raises DamagedFile, Unsupported."""
    carried = next((section for section in sections if section.kind == KIND), None)
    return None if carried is None else _unpack(archive.read(carried), f"{archive.path}: priors")


def find_models(identity: bytes, where: str, model_sets: Iterable[ModelSet | None] = ()) -> ModelSet:
    """The model set of that identity: a shipped one or one of `model_sets`. Raises MissingPriors, naming `where`."""
    for candidate in (priors.known(identity), *model_sets):
        if candidate is not None and candidate.identity == identity:
            return candidate
    raise MissingPriors(f"{where}: needs the priors {identity.hex()}; give the file that has them with --priors")


def _pack(models: ModelSet) -> tuple[bytes, int]:
    """The payload of a PRIO section and its size in memory in bytes."""
    out = FieldWriter()
    out.put("u8", sum(1 << FAMILIES.index(family) for family in models.families))
    out.put_bytes(b"".join(models.digests))
    put_array(out, models.freq.reshape(-1))
    raw_size = models.freq.nbytes
    for family in FAMILIES:
        if family in models.families:
            arrays = priors.pack(models.families[family])
            for name in priors.names()[1:]:
                put_array(out, arrays[name].reshape(-1))
                raw_size += arrays[name].nbytes
    return out.getvalue(), raw_size


def _unpack(payload: bytes, where: str) -> ModelSet:
    """The model set of a PRIO section. Raises DamagedFile."""
    source = FieldReader(payload, where)
    held = source.take("u8")
    if held >= 1 << len(FAMILIES):
        raise source.damaged("a family of predictors that does not exist")
    joined = bytes(source.take_bytes())
    if len(joined) != 8 * len(FAMILIES):
        raise source.damaged("the families are named otherwise")
    digests = tuple(joined[at : at + 8] for at in range(0, len(joined), 8))
    freq = take_array(source, np.dtype("<u2"), len(FAMILIES) * SCALE_CLASSES * (ESCAPE + 1)).reshape(-1, ESCAPE + 1)
    if (freq.sum(1, dtype=np.int64) != TOTAL).any():
        raise source.damaged("frequencies that do not sum to what they should")
    families = {}
    for number, family in enumerate(FAMILIES):
        if held >> number & 1:
            arrays = {"tables": freq[number * SCALE_CLASSES : (number + 1) * SCALE_CLASSES]}
            for name in priors.names()[1:]:
                shape, dtype = _form(family, *name.split("."))
                arrays[name] = take_array(source, dtype, math.prod(shape)).reshape(shape)
            try:
                families[family] = priors.unpack(arrays)
                for net in families[family].networks.values():
                    check(net)
            except ValueError as error:
                raise source.damaged(str(error)) from error
            if families[family].identity != digests[number]:
                raise source.damaged(f"the {family} networks are not those that it names")
    source.finish()
    return ModelSet(families, digests, freq.astype(np.uint16))


def _form(family: str, phase: str, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array of a family."""
    inputs = lattice_of(kind_of(family)).inputs_of(int(phase))
    first, second = HIDDEN
    shape = {
        "w1": (first, inputs),
        "b1": (first,),
        "w2": (second, first),
        "b2": (second,),
        "w3": (OUTPUTS, second),
        "b3": (OUTPUTS,),
        "linear": (OUTPUTS, inputs),
        "shifts": (3 * OUTPUTS,),
    }[name]
    return (len(keys_of(int(phase))), *shape), np.dtype("<i4" if name.startswith("b") else np.int8)
