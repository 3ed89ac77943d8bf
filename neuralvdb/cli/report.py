"""What a command reports while it works: text and errors at once, JSON at once or at the end, and the exit code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

from neuralvdb import errors
from neuralvdb.cli import output
from neuralvdb.cli.jobs import Failure, Result, Sizes
from neuralvdb.cli.progress import Nothing, ProgressView, Stage
from neuralvdb.dataclass import dataclass
from neuralvdb.errors import NeuralVdbError, OutputError


@dataclass(frozen=True, kw_only=True)
class Style:
    """What is printed."""

    command: str = ""
    """Whose results they are."""
    as_json: bool = False
    """Results and errors as one JSON object, at the end."""
    json_lines: bool = False
    """Each as a JSON object on a line of its own, as it is known."""
    quiet: bool = False
    """Errors only."""
    verbose: bool = False
    """Also where in the code an unexpected error came from."""


class _Tally:
    """What became of all files. done: inputs."""

    def __init__(self) -> None:
        self.results: list[tuple[int, Result]] = []
        self.failures: list[tuple[int, Failure]] = []
        self.done = self.files = 0
        self.began, self.stopped = time.monotonic(), False

    def sizes(self) -> Sizes:
        """Before and after, together."""
        return sum((result.sizes for _, result in self.results if result.sizes is not None), Sizes(0, 0))

    def total(self) -> dict[str, object]:
        """What became of all files."""
        skipped = sum(result.skipped for _, result in self.results if not result.is_total)
        return {
            "files": max(self.files, self.done + len(self.failures)),
            "done": self.done - skipped,
            "skipped": skipped,
            "failed": len(self.failures),
            "stopped": self.stopped,
            "bytes_in": self.sizes().before,
            "bytes_out": self.sizes().after,
            "seconds": round(time.monotonic() - self.began, 3),
        }

    def total_text(self) -> str:
        """One line over all files."""
        total, sizes = self.total(), self.sizes()
        different = sum(result.different for _, result in self.results)
        counts = [f"{total[name]} {name}" for name in ("skipped", "failed") if total[name]]
        counts += [f"{different} different"] if different else []
        text = f"{total['done']} files" + "".join(f", {count}" for count in counts)
        if sizes.after:
            text += f"  {output.size_text(sizes.before)} -> {output.size_text(sizes.after)}"
        if sizes.before > sizes.after:
            text += f"  {sizes.before / sizes.after:.2f}x"
        return f"{text}  {total['seconds']:.2f} s"


class Reporter:
    """A Report that prints."""

    def __init__(self, style: Style, view: ProgressView | None = None) -> None:
        self._style, self._view = style, view or Nothing()
        self._tally = _Tally()
        self._ahead: set[int] = set()  # numbers of inputs that are done and printed, and have no names yet
        self._lost: NeuralVdbError | None = None  # why not all could be printed

    @property
    def shows_progress(self) -> bool:
        """Whether progress is shown."""
        return not isinstance(self._view, Nothing)

    def begin(self, files: int, /) -> None:
        """Counts files that are to be done."""
        self._tally.files += files
        self.progress(0.0)

    def progress(self, share: float, ahead: int = 0, /) -> None:
        """Shows how much of all work is done. ahead: files that wait, done, for others."""
        if not self.shows_progress:
            return
        stage = Stage(self._tally.done + ahead, self._tally.files, share, time.monotonic() - self._tally.began)
        self._print(lambda: self._view.show(stage), self._view.stream)

    def result(self, result: Result, number: int = 0, /) -> None:
        """Prints what became of a file."""
        self._tally.results.append((number, result))
        self._tally.done += not result.is_total
        if self._style.json_lines:
            self._tell({"result": result.json})
        elif number not in self._ahead:
            self._print_text(result)
        self._ahead.discard(number)

    def ahead(self, result: Result, number: int, /) -> None:
        """Prints, for people, what became of a file that has no name yet."""
        self._ahead.add(number)
        if not self._style.json_lines:
            self._print_text(result)

    def failure(self, failure: Failure, number: int = 0, /) -> None:
        """Prints an error; with `verbose` where in the code an unexpected one came from."""
        self._tally.failures.append((number, failure))
        self._view.hide()
        self._print(lambda: output.print_error(failure.error), sys.stderr)
        if self._style.verbose and failure.error.__cause__ is not None:
            self._print(lambda: output.print_calls(failure.error), sys.stderr)
        if self._style.json_lines:
            self._tell({"error": _described(failure)})

    def stop(self) -> None:
        """Says that an interrupt ended the work, and what was done before."""
        self._tally.stopped = True
        self._view.hide()
        what = f"stopped: {self._tally.done} of {self._tally.files} done" if self._tally.files > 1 else "interrupted"
        what += f", {len(self._ahead)} more coded in chunks that were not finished" * bool(self._ahead)
        self._print(lambda: output.print_note(f"{what}; nothing half-written was left"), sys.stderr)

    def finish(self) -> None:
        """Prints JSON if that was asked for, in the order of the inputs, else a total where there are several files."""
        self._view.hide()
        results = [result for _, result in sorted(self._tally.results, key=lambda entry: entry[0])]
        failures = [failure for _, failure in sorted(self._tally.failures, key=lambda entry: entry[0])]
        if self._style.json_lines:
            self._tell({"total": self._tally.total()})
        elif self._style.as_json:
            told: dict[str, object] = {
                "command": self._style.command,
                "results": [result.json for result in results],
                "errors": [_described(failure) for failure in failures],
                "total": self._tally.total(),
            }
            self._print(lambda: output.print_json(told), sys.stdout)
        elif not self._style.quiet:
            self._print(lambda: self._print_end(results), sys.stdout)

    @property
    def exit_code(self) -> int:
        """The code of the first input that failed, else whether something differs."""
        if self._tally.failures:
            return min(self._tally.failures, key=lambda entry: entry[0])[1].error.exit_code
        if self._lost is not None:
            return self._lost.exit_code
        return errors.DIFFERENT if any(result.different for _, result in self._tally.results) else 0

    def _print_text(self, result: Result) -> None:
        """Prints the line of a file, for people."""
        self._view.hide()
        if result.text and not (self._style.as_json or self._style.quiet):
            self._print(lambda: print(result.text), sys.stdout)

    def _tell(self, value: dict[str, object]) -> None:
        """Prints a line of JSON."""
        self._print(lambda: output.print_json({"command": self._style.command, **value}, lines=True), sys.stdout)

    def _print_end(self, results: list[Result]) -> None:
        """The table of many files, and one line over all of them."""
        rows = [output.shown(result.table_row) for result in results if result.table_row is not None]
        if rows:
            print(output.table_text(list(rows[0]), [list(cells.values()) for cells in rows]))
        if self._tally.files > 1:
            print(self._tally.total_text())

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


def _described(failure: Failure) -> dict[str, object]:
    """An error, for JSON."""
    return {"path": failure.path, "message": str(failure.error), "exit_code": failure.error.exit_code}


def _silence(stream: TextIO) -> None:
    """What is printed to a stream, now or at the end of the process, gets lost from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)
