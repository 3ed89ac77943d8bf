"""nvdb train"""

from __future__ import annotations

import argparse
import tempfile
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, run_batch
from neuralvdb.cli.frames import expand
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result
from neuralvdb.cli.options import add_common, add_device, add_inputs, settings_of, wanted
from neuralvdb.cli.output import shown, size_text
from neuralvdb.settings import VDB_SUFFIX, TrainSettings

if TYPE_CHECKING:
    from neuralvdb.api.train import TrainReport

HELP = "fine-tune the networks to your own files, for compress --priors"
_TORCH_MEMORY = 8 << 30  # bytes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    add_inputs(parser)
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
        help="optimisation steps for each network (default: 800)",
    )
    parser.add_argument("--fast", action="store_true", help="fine-tune the networks of compress --fast")
    add_device(parser, "where networks are fine-tuned; cuda: the first GPU; auto: a GPU where there is one (default)")
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Fine-tunes to all inputs together."""
    settings = settings_of(args, TrainSettings)
    inputs = [item.path for name in args.inputs for item in expand(name, wanted(args, VDB_SUFFIX))]
    tempfile.gettempdir()  # found by writing, which the child may not; PyTorch asks for it
    run_batch([_job(inputs, args.output, settings)], 1, report)


def _job(inputs: list[str], target: str, settings: TrainSettings) -> FileJob[TrainReport]:
    from neuralvdb.api.memory import most_memory
    from neuralvdb.api.train import NETWORKS, training

    def finish(report: TrainReport, seconds: float) -> Result:
        return Result(json={**report.as_dict(), "seconds": seconds}, text=_text(shown(report), seconds))

    return FileJob(
        path=inputs[0],
        runner=IsolatedRunner(
            inputs=inputs, memory=lambda: _TORCH_MEMORY + sum(map(most_memory, inputs)), device=settings.device
        ),
        begin=lambda progress: training(inputs, target, settings, progress=progress),
        total=lambda: NETWORKS,
        finish=finish,
    )


def _text(report: TrainReport, seconds: float) -> str:
    """The summary, and how to use what was written."""
    fields = ", ".join(f"{count} fields for {family}" for family, count in report.fields.items())
    summary = f"{len(report.sources)} files -> {report.target}  {size_text(report.size)}  {fields}"
    summary += f"  {seconds:.2f} s on {report.device}"
    return f"{summary}\npriors {report.priors}; compress with --priors {report.target}"
