"""Signals that stop a command: the first one raises KeyboardInterrupt where nothing can lose it.

Python calls handlers between any two steps of a program, also where it drops what they raise: in callbacks of weak
references, of which each import makes some, in __del__, and where code in C asks for something. So an interrupt waits
while modules are loaded, which may do with errors what they like, and is raised again until something handles it.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from neuralvdb.platform import INTERRUPTS, RETRY

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_IMPORT = "<frozen importlib._bootstrap>"  # the file whose functions load modules
_SOON = 0.02  # seconds


@contextlib.contextmanager
def interruptible(caller: CodeType) -> Iterator[Callable[[], None]]:
    """The first signal that interrupts raises KeyboardInterrupt, those after it wait until the block has ended.

    Gives what is to be called where that is handled for good, after which none is raised any more.

    caller: whose block it is; what loaded that may still be at it.
    """
    heard = [number for number in INTERRUPTS if signal.getsignal(number) is not signal.SIG_IGN]  # ignored by nohup, &
    hook, retry, has_ended = sys.unraisablehook, signal.getsignal(RETRY), False

    def interrupt(_: int, frame: FrameType | None) -> None:
        if has_ended:
            return
        signal.signal(RETRY, interrupt)
        signal.setitimer(signal.ITIMER_REAL, _SOON)  # what is raised now may be dropped
        if _is_handled() or _loads_modules(frame, caller):
            return
        for number in heard:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    def say_nothing_of_it(dropped: UnraisableHookArgs) -> None:
        if dropped.exc_type is not KeyboardInterrupt:
            hook(dropped)

    def end() -> None:
        nonlocal has_ended
        has_ended = True
        if signal.getsignal(RETRY) is interrupt:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(RETRY, retry)

    before = [signal.signal(number, interrupt) for number in heard]
    sys.unraisablehook = say_nothing_of_it
    try:
        yield end
    finally:
        end()
        sys.unraisablehook = hook
        for number, handler in zip(heard, before, strict=True):
            signal.signal(number, handler)


def _is_handled() -> bool:
    """Whether code that handles a KeyboardInterrupt is being run."""
    error = sys.exc_info()[1]
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _loads_modules(frame: FrameType | None, caller: CodeType) -> bool:
    """Whether a module is being loaded in `frame`, for what `caller` does."""
    while frame is not None and frame.f_code is not caller:
        if frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False
