"""NumPy without its own types, which it loads to annotate results of linear algebra, and without the documentation of
what it has in C: for a third and a tenth of the time it takes.

Whoever wants more types than numpy.linalg does gets them all.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

_NAME = "numpy._typing"
_DOCUMENTATION = ("numpy._core._add_newdocs", "numpy._core._add_newdocs_scalars")  # modules that do nothing else


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
    """Lets NumPy load its types when they are needed, and no documentation; called before NumPy is loaded."""
    sys.modules.setdefault(_NAME, _Later(_NAME))
    for name in _DOCUMENTATION:
        sys.modules.setdefault(name, ModuleType(name))
