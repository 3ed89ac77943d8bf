"""nvdb train"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from neuralvdb.cli import common
from neuralvdb.cli.output import Progress, size_text
from neuralvdb.settings import TrainSettings

HELP = "tune the networks to your own files, for compress --priors"
_TORCH_MEMORY = 8 << 30  # bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    common.add_inputs(parser)
    parser.add_argument(
        "-o", "--output", metavar="OUT", required=True, help="file of priors to write, such as my.priors"
    )
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.add_argument(
        "--steps",
        dest="iterations",
        type=int,
        default=TrainSettings().iterations,
        metavar="N",
        help="of each network (default: 800)",
    )
    parser.add_argument("--fast", action="store_true", help="tune the networks of compress --fast")
    common.add_device(
        parser, "where networks are trained; cuda: the first GPU; auto: a GPU where there is one (default)"
    )
    common.add_common(parser)


def run(args: argparse.Namespace) -> tuple[list[dict], common.Errors]:
    """Trains on all inputs together."""
    inputs = [item.path for name in args.inputs for item in common.expand(name, args.frames)]
    return common.for_each([(common.Input(inputs[0]), Path(args.output))], lambda _, target: _one(inputs, target, args))


def _one(inputs: list[str], target: Path, args: argparse.Namespace) -> dict:
    from neuralvdb.api.train import NETWORKS, train

    began = time.perf_counter()
    bar = Progress(NETWORKS, target.name, shown=not (args.quiet or args.json), unit="network")
    memory = _TORCH_MEMORY + common.device_memory(args.device)
    memory += sum(common.MEMORY_PER_BYTE * common.file_size(path) for path in inputs)
    run = common.isolated(inputs[0] if len(inputs) == 1 else f"{inputs[0]} or another input", memory)
    report = train(inputs, target, common.settings_of(args, TrainSettings), progress=bar, run=run)
    return {**report.as_dict(), "seconds": round(time.perf_counter() - began, 3)}


def text(result: dict, _: argparse.Namespace) -> str:
    """The summary line."""
    fields = ", ".join(f"{count} fields for {family}" for family, count in result["fields"].items())
    what = f"{len(result['sources'])} files -> {result['target']}  {size_text(result['size'])}  {fields}"
    what += f"  {result['seconds']:.2f} s on {result['device']}"
    return f"{what}\npriors {result['priors']}; compress with --priors {result['target']}"
