"""The report of gpu.py: every line is on the screen and in the file as soon as it is known, whatever comes after."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import torch


class Different(Exception):
    """A kernel does not make what its reference makes."""


def same(what: str, expected: torch.Tensor, made: torch.Tensor) -> None:
    """Raises Different, which says how many values of `what` differ and the first of them."""
    if expected.shape != made.shape:
        raise Different(f"{what}: {tuple(made.shape)} in place of {tuple(expected.shape)}")
    wrong = (expected != made).reshape(-1).nonzero()
    if len(wrong):
        first = int(wrong[0])
        values = f"{made.reshape(-1)[first].item()}, not {expected.reshape(-1)[first].item()}"
        raise Different(f"{what}: {len(wrong)} of {expected.numel()} differ, the first is number {first}: {values}")


class Report:
    """failed: whether a stage did not end."""

    def __init__(self, path: Path | None) -> None:
        self._path, self.failed = path, False
        if path:
            path.write_text("")

    def line(self, text: str) -> None:
        """Prints a line and appends it to the file."""
        print(text, flush=True)
        if self._path:
            with self._path.open("a") as file:
                file.write(text + "\n")

    def stage(self, name: str, job: Callable[[], Iterable[str]]) -> None:
        """Writes the lines of a job; where it fails what is wrong, and the next stage can begin."""
        try:
            for line in job():
                self.line(line)
        except Exception as error:
            self.failed = True
            self.line(f"FAILED: {name}: {error}")
            traceback.print_exc()
