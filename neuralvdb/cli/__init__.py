"""The command `nvdb`: one module per command, each with add_arguments() and run()."""

import atexit
import gc
import os
import signal

gc.set_threshold(100_000)  # what modules make as they load is no garbage
atexit.register(gc.freeze)  # nor need any be looked for at the end

_before = signal.getsignal(signal.SIGINT)
if _before is signal.default_int_handler:  # while modules load, an interrupt ends the process without a traceback
    signal.signal(signal.SIGINT, signal.SIG_DFL)
try:
    from neuralvdb.cli import numpy_typing
    from neuralvdb.platform import BLAS

    for _blas in BLAS:  # none is needed
        os.environ[f"{_blas}_NUM_THREADS"] = "1"
    numpy_typing.postpone()
    from neuralvdb.cli.main import main
finally:
    signal.signal(signal.SIGINT, _before)

__all__ = ["main"]
