"""What the commands share: options, jobs over many files, isolation."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import TypeVar

from neuralvdb import devices
from neuralvdb.cli.frames import Input, expand, is_pattern, name_for
from neuralvdb.cli.isolate import run_isolated
from neuralvdb.errors import InputError, NeuralVdbError, UsageError
from neuralvdb.settings import CompressSettings, Settings, TrainSettings

# What a .vdb file can take in memory: an upper node of vec3d is 8.2 kB on disk when compressed and 0.8 MB in memory.
MEMORY_PER_BYTE = 128

S = TypeVar("S", bound=Settings | TrainSettings)
Errors = list[tuple[str, NeuralVdbError]]


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every command."""
    parser.add_argument("--json", action="store_true", help="print results as JSON on stdout")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    amount.add_argument("-v", "--verbose", action="store_true", help="print more")
    parser.add_argument(
        "--threads",
        type=_positive,
        default=CompressSettings().threads,
        metavar="N",
        help="threads to use (default: all)",
    )


def add_device(
    parser: argparse.ArgumentParser,
    text: str = "where grids are decoded; cuda: all GPUs; auto: GPUs where there are some (default)",
) -> None:
    """The option that says where grids are decoded, or what `text` says."""
    parser.add_argument("--device", default=CompressSettings().device, metavar="auto|cpu|cuda[:N]", help=text)


def device_memory(device: str) -> int:
    """Bytes that working on a device adds to what a job may take of the CPU's memory."""
    return devices.MEMORY if device != "cpu" and devices.seems_there() else 0


def add_grids(parser: argparse.ArgumentParser) -> None:
    """The option that selects grids."""
    parser.add_argument("--grids", type=_names, default=(), metavar="A,B", help="only these grids (default: all)")


def add_priors(parser: argparse.ArgumentParser) -> None:
    """The option that names networks other than those shipped."""
    parser.add_argument("--priors", metavar="FILE", default="", help="networks from nvdb train, where they are needed")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Options that name inputs."""
    parser.add_argument(
        "inputs", nargs="+", metavar="IN", help="files, or patterns like smoke.####.vdb, %%04d, $F4, <frame>, 1-100x5#"
    )
    parser.add_argument(
        "--frames", metavar="RANGE", help="frames of a pattern, such as 1-10 or 1-100x5 (default: all on disk)"
    )


def add_output(parser: argparse.ArgumentParser, suffix: str) -> None:
    """Options of commands that write files."""
    add_inputs(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT|DIR",
        help=f"output file, pattern or folder (default: beside the input, {suffix})",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def plan(args: argparse.Namespace, suffix: str) -> list[tuple[Input, Path]]:
    """Inputs with their outputs. Raises InputError, and UsageError where outputs make no sense."""
    inputs = [item for name in args.inputs for item in expand(name, args.frames)]
    pairs = [(item, _target(item, args.output, suffix, len(inputs))) for item in inputs]
    targets: dict[Path, str] = {}
    sources = {Path(item.path).resolve() for item in inputs if Path(item.path).is_file()}
    for item, target in pairs:
        if target.resolve() in sources:
            raise UsageError(f"{target} is an input; give another output with -o")
        if targets.setdefault(target, item.path) != item.path:
            raise UsageError(
                f"{item.path} and {targets[target]} would both become {target}; use -o with another folder"
            )
    return pairs


def for_each(pairs: list[tuple[Input, Path]], work: Callable[[str, Path], dict]) -> tuple[list[dict], Errors]:
    """work(input, output) for all; an error of one file does not keep the others from being done."""
    results: list[dict] = []
    errors: Errors = []
    for item, target in pairs:
        try:
            results.append(work(item.path, target))
        except NeuralVdbError as error:
            errors.append((item.path, error))
    return results, errors


def isolated(path: str, memory: int | None = None) -> Callable[..., object]:
    """Runs a job over `path` in a child process; memory in bytes (default: what a .vdb of its size can need)."""
    return functools.partial(
        run_isolated, path=path, memory=MEMORY_PER_BYTE * file_size(path) if memory is None else memory
    )


def archive_memory(path: str, grids: tuple[str, ...] = ()) -> int:
    """Bytes that decoded grids of an archive take. Raises InputError, DamagedFile, Unsupported, NoSuchGrid."""
    from neuralvdb.api.source import select
    from neuralvdb.codec.decode import FrameReader

    with FrameReader(path) as frame:
        return sum(frame.memory(i) for i in select(frame.table.grids, grids, path))


def file_size(path: str) -> int:
    """Bytes. Raises InputError."""
    try:
        return os.stat(path).st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def settings_of(args: argparse.Namespace, kind: type[S]) -> S:
    """Settings of a kind from a command's options, which have the names of its fields."""
    options = {field.name: getattr(args, field.name) for field in fields(kind)}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in options.items()})


def _target(item: Input, output: str | None, suffix: str, count: int) -> Path:
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


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of 1 or more")
    return int(text)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if not names:
        raise argparse.ArgumentTypeError("names no grid")
    return names
