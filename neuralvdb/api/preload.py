"""Loads what the work on files needs before it is divided among copies of this process, which then share it."""

from __future__ import annotations

from importlib import import_module

from neuralvdb import topology, values
from neuralvdb.settings import CompressSettings


def preload_decoder() -> None:
    """Loads what decoding takes when it is first used: shipped networks, the coder of symbols."""
    values.shipped_models()
    topology.load_networks()
    import_module("neuralvdb.archive._rans")


def preload_encoder(settings: CompressSettings) -> None:
    """Loads what compress() with these settings takes when it is first used."""
    preload_decoder()
    values.shipped_models(fast=settings.fast)
    import_module("neuralvdb.values.select.strategy")
    if settings.lossy and settings.fine_tuning.output_rounds:
        import_module("neuralvdb.fit.fine_tune_grid")


def preload_pictures() -> None:
    """Loads what drawing takes when it is first used. Raises Unsupported without Pillow."""
    from neuralvdb.view import need_pillow

    need_pillow()
