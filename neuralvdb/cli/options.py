"""Options that several commands have, and settings made from options."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from typing import Any, TypeVar

from neuralvdb.cli.frames import Wanted
from neuralvdb.cli.progress import WAYS
from neuralvdb.settings import MAX_LOD, SIMULATION_STATES, CompressSettings, Settings, TrainSettings

S = TypeVar("S", bound=Settings | TrainSettings)

_OF_INPUTS = ("frame",)  # fields of settings that each input has for itself


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options of every command."""
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print results as one JSON object on stdout")
    form.add_argument("--json-lines", action="store_true", help="print each result as it is done, as a line of JSON")
    parser.add_argument(
        "--progress",
        choices=WAYS,
        help="tell how far the work is: plain or json lines on stderr, openjd lines on stdout (default: a bar on"
        " terminals)",
    )
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    amount.add_argument("-v", "--verbose", action="store_true", help="print more")
    parser.add_argument("--threads", type=_count, metavar="N", help="threads to use (default: all)")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """The option that says how many files are worked on at once."""
    parser.add_argument(
        "--jobs",
        type=_count,
        metavar="N",
        help="files to work on at once, which share the threads (default: what cores and memory allow; with GPUs 1)",
    )


def add_device(
    parser: argparse.ArgumentParser,
    text: str = "where grids are decoded; cuda: all GPUs; auto: GPUs for large grids (default)",
) -> None:
    """The option that says where the work is done; text: its help."""
    parser.add_argument("--device", default=CompressSettings.device, metavar="auto|cpu|cuda[:N]", help=text)


def add_grids(parser: argparse.ArgumentParser) -> None:
    """The option that selects grids."""
    parser.add_argument(
        "--grids",
        type=_names,
        default=(),
        metavar="A,B",
        help="only these grids (default: all); \\, is a comma in a name",
    )


def add_leave_out(parser: argparse.ArgumentParser) -> None:
    """Options that leave grids out."""
    parser.add_argument(
        "--leave-out",
        type=_names,
        metavar="A,B",
        help="not these grids, if they are there; patterns such as *_previous",
    )
    parser.add_argument(
        "--simulation-state",
        choices=SIMULATION_STATES,
        help="drop: not the grids that only a simulation needs to go on, such as flags (default: keep)",
    )


def add_priors(
    parser: argparse.ArgumentParser, text: str = "a file of networks from nvdb train, for archives that need it"
) -> None:
    """The option that names networks other than those shipped; text: its help."""
    parser.add_argument("--priors", metavar="FILE", help=text)


def add_lod(parser: argparse.ArgumentParser, text: str) -> None:
    """The option that asks for coarser grids; text: its help."""
    parser.add_argument("--lod", type=int, choices=range(1, MAX_LOD + 1), default=0, help=text)


def add_cache_size(parser: argparse.ArgumentParser) -> None:
    """The option that says how many decoded frames are kept."""
    parser.add_argument(
        "--cache-size",
        type=_size,
        metavar="SIZE",
        help="bytes that decoded frames may take, such as 500M or 2T (default: 10G); what was used longest ago goes",
    )


def add_cache_folder(parser: argparse.ArgumentParser) -> None:
    """The option that says where decoded frames are kept."""
    parser.add_argument("--cache", metavar="FOLDER", help="where decoded frames are kept (default: ~/.cache/neuralvdb)")


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Options that name inputs."""
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="IN",
        help="files, folders, archives of many frames, or patterns like smoke.####.vdb, %%04d, $F4, <frame>, 1-100x5#",
    )
    add_frames(parser)


def add_frames(parser: argparse.ArgumentParser) -> None:
    """Options that select frames of patterns."""
    parser.add_argument(
        "--frames",
        metavar="RANGE",
        help="frames of a pattern, a folder or an archive, such as 57 or 1-100x5 (default: all)",
    )
    parser.add_argument(
        "--missing",
        choices=("error", "skip"),
        default="error",
        help="what frames of a range are that are not there (default: an error each)",
    )


def add_pairs(parser: argparse.ArgumentParser) -> None:
    """Options of commands that compare files with others."""
    add_frames(parser)
    add_jobs(parser)


def wanted(args: argparse.Namespace, *suffixes: str) -> Wanted:
    """Which files the inputs stand for; suffixes: of those in a folder."""
    return Wanted(suffixes=suffixes, frames=args.frames, skip_missing=args.missing == "skip")


def add_output(parser: argparse.ArgumentParser, suffix: str) -> None:
    """Options of commands that write a file for each input."""
    add_inputs(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT|DIR",
        help=f"output file, pattern or folder; DIR/ is made (default: beside the input, {suffix})",
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def add_skip_existing(parser: argparse.ArgumentParser, text: str) -> None:
    """The option that leaves outputs that are done as they are; text: its help."""
    parser.add_argument("--skip-existing", action="store_true", help=text)


def settings_of(args: argparse.Namespace, kind: type[S]) -> S:
    """Settings of a kind, each field from the option of its name, or the default where that is None.

    Raises UsageError and what the settings raise.
    """
    options = {field.name: getattr(args, field.name) for field in fields(kind) if field.name not in _OF_INPUTS}
    return kind(**{name: _value(option) for name, option in options.items() if option is not None})


def split_names(text: str) -> list[str]:
    """What commas separate; a backslash before a comma makes it part of a name."""
    return [item.replace("\\,", ",") for item in re.split(r"(?<!\\),", text)]


def _value(option: Any) -> Any:
    return tuple(option) if isinstance(option, list) else option


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no whole number of 1 or more")
    return int(text)


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKMGT]?)B?", text, re.ASCII)
    if match is None:
        raise argparse.ArgumentTypeError(f"'{text}' is no size such as 500M or 10G")
    return int(float(match[1]) * 1000 ** " KMGT".index(match[2].upper() or " "))


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name for name in split_names(text) if name)
    if not names:
        raise argparse.ArgumentTypeError("names no grid")
    return names
