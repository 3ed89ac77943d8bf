"""What a command reports while it works: text and errors at once, JSON at the end, and the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TextIO

from neuralvdb import errors
from neuralvdb.cli import output
from neuralvdb.cli.jobs import Failure, Outcome, Result
from neuralvdb.errors import NeuralVdbError, OutputError


class Reporter:
    """A Report that prints. as_json: results and errors as one JSON object, by finish(); quiet: errors only."""

    def __init__(self, *, as_json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self._as_json, self._quiet, self._verbose = as_json, quiet, verbose
        self._outcome = Outcome([], [])
        self._lost: NeuralVdbError | None = None  # why not all could be printed

    def result(self, result: Result, /) -> None:
        """Prints what became of a file."""
        self._outcome.results.append(result)
        if not (self._as_json or self._quiet):
            self._print(lambda: print(result.text), sys.stdout)

    def failure(self, failure: Failure, /) -> None:
        """Prints an error; with `verbose` where in the code an unexpected one came from."""
        self._outcome.failures.append(failure)
        self._print(lambda: output.print_error(failure.error), sys.stderr)
        if self._verbose and failure.error.__cause__ is not None:
            self._print(lambda: output.print_calls(failure.error), sys.stderr)

    def finish(self) -> None:
        """Prints JSON if that was asked for."""
        if self._as_json:
            self._print(lambda: output.print_json(self._outcome), sys.stdout)

    @property
    def exit_code(self) -> int:
        """The code of the first error, else whether something differs."""
        if self._outcome.failures:
            return self._outcome.failures[0].error.exit_code
        if self._lost is not None:
            return self._lost.exit_code
        return errors.DIFFERENT if any(result.different for result in self._outcome.results) else 0

    def _print(self, write: Callable[[], None], stream: TextIO) -> None:
        """Calls write(); a stream that cannot be written to, but for a closed pipe, ends no work."""
        try:
            write()
            stream.flush()
        except BrokenPipeError:
            _silence(stream)
            raise
        except OSError as error:
            _silence(stream)
            if self._lost is None:
                name = "stdout" if stream is sys.stdout else "stderr"
                lost = OutputError(f"{name}: cannot be written: {error.strerror}; files are as they should be")
                self._lost = lost
                self._print(lambda: output.print_error(lost), sys.stderr)


def _silence(stream: TextIO) -> None:
    """What is printed to a stream, now or at the end of the process, gets lost from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
