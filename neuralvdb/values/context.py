"""What all grids of a frame are encoded with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import xxhash

from neuralvdb.dataclass import dataclass
from neuralvdb.devices import Devices
from neuralvdb.settings import CompressSettings
from neuralvdb.values.lattice import priors
from neuralvdb.values.lattice.priors import ModelSet

_UNTOLD = {"threads", "force", "skip_existing", "device", "verify"}  # settings that change no byte of an archive
_TOLD_BY_CONTENT = {"priors", "presets_file", "quality", "leave_out", "simulation_state"}  # what they name counts


@dataclass(frozen=True, kw_only=True)
class EncodeContext:
    """What grids are encoded with."""

    settings: CompressSettings
    """What the user chose."""
    models: ModelSet
    """Those of settings.priors, else `shipped`."""
    devices: Devices
    """Where lossy values are encoded."""
    free_threads: Callable[[], int]
    """How many threads a grid may use from now on."""
    chunk: int = 1
    """How many frames of a shot, one after the other, may be coded from each other."""
    tuned_to: bytes = b""
    """What other groups of frames have otherwise to whose grids networks are fine-tuned; empty: to single grids."""

    @classmethod
    def of(
        cls,
        settings: CompressSettings,
        *,
        models: ModelSet | None = None,
        devices: Devices | None = None,
        chunk: int = 1,
    ) -> EncodeContext:
        """The context of settings; models: those of settings.priors, None for those shipped."""
        return cls(
            chunk=chunk if settings.lossy else 1,
            settings=settings,
            models=models or shipped_models(fast=settings.fast),
            devices=Devices() if devices is None else devices,
            free_threads=lambda: settings.threads,
        )

    @property
    def settings_hash(self) -> bytes:
        """16 bytes of XXH3-128 over all that decides an archive's bytes but the source."""
        names = {field.name for field in fields(self.settings)} - _UNTOLD - _TOLD_BY_CONTENT
        choices = [(name, getattr(self.settings, name)) for name in sorted(names)]
        chunk = (self.chunk,) if self.chunk > 1 else ()
        tuned_to = (self.tuned_to,) if self.tuned_to else ()
        told = (choices, self.settings.preset, self.settings.unwanted, self.models.identity, *chunk, *tuned_to)
        return xxhash.xxh3_128_digest(repr(told).encode())


def shipped_models(*, fast: bool = False) -> ModelSet:
    """The models that come with the package; fast: those without hidden layers."""
    return priors.fast() if fast else priors.shipped()
