"""Which output belongs to which input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from neuralvdb.cli.frames import Input, expand, is_pattern, name_for
from neuralvdb.errors import UsageError


@dataclass(frozen=True)
class Step:
    """A file to read and the one to write."""

    source: str
    target: Path


def expand_all(names: Sequence[str], frames: str | None) -> list[Input]:
    """The files that names and patterns stand for. Raises what expand() raises."""
    return [item for name in names for item in expand(name, frames)]


def plan(inputs: Sequence[Input], output: str | None, suffix: str) -> list[Step]:
    """Every input with its output: in the place that `output` names, beside the input where it is None.

    Raises UsageError where an output would be an input, or one output would belong to two inputs.
    """
    steps = [Step(item.path, _target(item, output, suffix, len(inputs))) for item in inputs]
    sources = {Path(item.path).resolve() for item in inputs if Path(item.path).is_file()}
    source_of: dict[Path, str] = {}
    for step in steps:
        if step.target.resolve() in sources:
            raise UsageError(f"{step.target} is an input; give another output with -o")
        first = source_of.setdefault(step.target, step.source)
        if first != step.source:
            raise UsageError(f"{step.source} and {first} would both become {step.target}; use -o with another folder")
    return steps


def _target(item: Input, output: str | None, suffix: str, count: int) -> Path:
    """The output of one of `count` inputs."""
    name = Path(item.path).with_suffix(suffix)
    if output is None:
        return name
    if output.endswith("/") or Path(output).is_dir():
        return Path(output) / name.name
    if is_pattern(output):
        if item.frame is None:
            raise UsageError(f"-o {output} is a pattern, but {item.path} names no frame")
        return Path(name_for(output, item.frame))
    if count > 1:
        raise UsageError(f"-o {output} is one file, but there are {count} inputs; give a folder or a pattern")
    return Path(output)
