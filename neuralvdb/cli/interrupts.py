"""Signals that stop a command: the first one raises KeyboardInterrupt where nothing can lose it.

Python calls handlers between any two steps of a program, also where it drops what they raise: in callbacks of weak
references, of which each import makes some, and in __del__. So an interrupt waits while modules are loaded, which may
do with errors what they like, and is raised again where sys.unraisablehook hears that it was dropped.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from neuralvdb.platform import INTERRUPTS, RETRY

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_IMPORT = "<frozen importlib._bootstrap>"  # the file whose functions load modules
_SOON = 0.02  # seconds


@contextlib.contextmanager
def interruptible(caller: CodeType) -> Iterator[None]:
    """The first signal that interrupts raises KeyboardInterrupt, those after it wait until the block has ended.

    caller: whose block it is; what loaded that may still be at it.
    """
    heard = [number for number in INTERRUPTS if signal.getsignal(number) is not signal.SIG_IGN]  # ignored by nohup, &
    hook, retry = sys.unraisablehook, signal.getsignal(RETRY)

    def interrupt(_: int, frame: FrameType | None) -> None:
        if _loads_modules(frame, caller):
            later()
            return
        for number in heard:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    def later() -> None:
        signal.signal(RETRY, interrupt)
        signal.setitimer(signal.ITIMER_REAL, _SOON)

    def raise_again(lost: UnraisableHookArgs) -> None:
        if lost.exc_type is KeyboardInterrupt:
            later()
        else:
            hook(lost)

    before = [signal.signal(number, interrupt) for number in heard]
    sys.unraisablehook = raise_again
    try:
        yield
    finally:
        if signal.getsignal(RETRY) is interrupt:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(RETRY, retry)
        sys.unraisablehook = hook
        for number, handler in zip(heard, before, strict=True):
            signal.signal(number, handler)


def _loads_modules(frame: FrameType | None, caller: CodeType) -> bool:
    """Whether a module is being loaded in `frame`, for what `caller` does."""
    while frame is not None and frame.f_code is not caller:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
