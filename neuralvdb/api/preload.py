"""Loads what the work on files needs before it is divided among copies of this process, which then share it."""

from __future__ import annotations

from importlib import import_module

from neuralvdb.settings import CompressSettings


def load_decoder() -> None:
    """Loads the modules that make .vdb files of archives."""
    import_module("numpy")  # not from deep inside of other modules, where each call may need new memory for its frame
    import_module("neuralvdb.api.write_vdb")


def preload_decoder() -> None:
    """Loads what decoding takes when it is first used, too: shipped networks, the coder of symbols."""
    from neuralvdb import topology, values

    load_decoder()
    values.shipped_models()
    topology.load_networks()
    import_module("neuralvdb.archive._rans")


def preload_encoder(settings: CompressSettings) -> None:
    """Loads what compress() with these settings takes when it is first used."""
    from neuralvdb import values

    preload_decoder()
    values.shipped_models(fast=settings.fast)
    import_module("neuralvdb.values.select.strategy")
    if settings.lossy and settings.fine_tuning.output_rounds:
        import_module("neuralvdb.fit.fine_tune_grid")


def preload_pictures() -> None:
    """Loads what drawing takes when it is first used. Raises Unsupported without Pillow."""
    from neuralvdb.view import need_pillow

    need_pillow()
