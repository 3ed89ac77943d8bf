"""nvdb verify"""

from __future__ import annotations

import argparse
import functools
from contextlib import nullcontext
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, run_batch
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result
from neuralvdb.cli.options import add_common, add_device, add_priors, settings_of
from neuralvdb.cli.output import error_text, shown
from neuralvdb.settings import VerifySettings

if TYPE_CHECKING:
    from neuralvdb.api.verify import Loss, VerifyReport

HELP = "check an archive, alone or against the file it was made from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("archive", metavar="ARCHIVE", help="the archive to check")
    parser.add_argument("original", metavar="VDB", nargs="?", help="the .vdb file it was made from")
    add_priors(parser)
    add_device(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Verifies the archive."""
    run_batch([_job(args.archive, args.original, settings_of(args, VerifySettings))], 1, report)


def _job(archive: str, original: str | None, settings: VerifySettings) -> FileJob[VerifyReport]:
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.memory import memory_needed, most_memory
    from neuralvdb.api.verify import verify

    inputs = [path for path in (archive, original) if path]
    needed = functools.cache(functools.partial(memory_needed, archive))

    def finish(report: VerifyReport, _: float) -> Result:
        return Result(json=report.as_dict(), text=_text(shown(report)), different=bool(report.differences))

    return FileJob(
        path=archive,
        runner=IsolatedRunner(
            inputs=inputs, memory=lambda: 4 * needed() + sum(map(most_memory, inputs[1:])), device=settings.device
        ),
        begin=lambda progress: nullcontext(
            Task(functools.partial(verify, archive, original, settings, progress=progress))
        ),
        total=needed,
        finish=finish,
    )


def _text(report: VerifyReport) -> str:
    """One line, one for each difference, and one for each grid that is not lossless."""
    lines = [f"{report.path}: {line}" for line in report.differences]
    if not report.differences:
        lines.append(f"{report.path}: all {report.grids} grids decode on {report.device} to what was stored")
        if report.losses:
            lines[0] += f"; LOSSY against {report.original}, as much as promised"
        elif report.original:
            lines[0] += f", the same as {report.original}"
    return "\n".join(lines + [f"{name}: {_loss_text(loss)}" for name, loss in report.losses.items()])


def _loss_text(loss: Loss) -> str:
    """What differs, by how much, and whether that was promised."""
    psnr = "" if loss.psnr is None else f", PSNR {loss.psnr:.2f} dB"
    pruned = "" if loss.pruned is None else f", {loss.pruned} voxels pruned"
    measured = f"max error {loss.max_error:.4g}, RMSE {loss.rmse:.4g}{psnr}{pruned}"
    return f"{measured}; promised: {error_text(loss.promise)}: {'kept' if loss.kept else 'BROKEN'}"
