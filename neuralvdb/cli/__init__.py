"""The command `nvdb`: one module per command, each with add_arguments(), run() and text()."""

from neuralvdb.cli.main import main

__all__ = ["main"]
