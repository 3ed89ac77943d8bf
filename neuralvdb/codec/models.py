"""The networks that an archive's values need: shipped, given by the user, or carried by the archive."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from neuralvdb import values
from neuralvdb.archive import Section, SectionReader
from neuralvdb.errors import MissingPriors
from neuralvdb.settings import Settings

if TYPE_CHECKING:
    from neuralvdb.values import ModelSet


class ModelStore:
    """Model sets by identity. sections: of the frame that needs them; given: those of the user, None for none."""

    def __init__(self, archive: SectionReader, sections: Sequence[Section], given: ModelSet | None) -> None:
        self._archive, self._sections, self._given = archive, sections, given
        self._lock = threading.Lock()

    def models_of(self, identity: bytes, where: str) -> ModelSet:
        """The models of that identity. Raises MissingPriors, naming `where`, and DamagedFile."""
        try:
            return values.find_models(identity, where, (self._given,))
        except MissingPriors:
            with self._lock:
                return values.find_models(identity, where, (self._carried,))

    @functools.cached_property
    def _carried(self) -> ModelSet | None:
        return values.models_in(self._archive, self._sections)


def models_for(settings: Settings) -> ModelSet | None:
    """The models of settings.priors, None where there are none. Raises InputError, DamagedFile, Unsupported."""
    return values.read_models(settings.priors) if settings.priors else None
