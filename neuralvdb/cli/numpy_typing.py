"""NumPy without its own types, which it loads to annotate results of linear algebra, for a third of the time it takes.

Whoever wants more of them than numpy.linalg does gets them all.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

_NAME = "numpy._typing"


class _Later(ModuleType):
    """Stands for the module until one of its names is asked for that is not here."""

    NDArray = list  # of arrays, in annotations alone

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(_NAME) is self:
            del sys.modules[_NAME]
        return getattr(import_module(_NAME), name)


def postpone() -> None:
    """Lets NumPy load its types when they are needed; called before NumPy is loaded."""
    sys.modules.setdefault(_NAME, _Later(_NAME))
