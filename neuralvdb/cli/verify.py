"""nvdb verify"""

from __future__ import annotations

import argparse
import functools
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Report, Result
from neuralvdb.cli.loss import error_text, measured_text
from neuralvdb.cli.options import add_common, add_device, add_pairs, add_priors, settings_of, wanted
from neuralvdb.cli.output import shown
from neuralvdb.cli.pairs import Pair, pair_all
from neuralvdb.cli.targets import expand_frames
from neuralvdb.settings import ARCHIVE_SUFFIX, VDB_SUFFIX, VerifySettings

if TYPE_CHECKING:
    from neuralvdb.api.verify import Loss, VerifyReport

HELP = "check an archive, alone or against the file it was made from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's options."""
    parser.add_argument("archive", metavar="ARCHIVE", help="the archive to check, a pattern or a folder")
    parser.add_argument("original", metavar="VDB", nargs="?", help="what it was made from, by frame or by name if many")
    add_pairs(parser)
    add_priors(parser)
    add_device(parser)
    add_common(parser)


def run(args: argparse.Namespace, report: Report) -> None:
    """Verifies every archive."""
    from neuralvdb.api.memory import likely_memory
    from neuralvdb.api.preload import preload_decoder

    settings = settings_of(args, VerifySettings)
    archives = expand_frames([args.archive], wanted(args, ARCHIVE_SUFFIX), report)
    if args.original is None:
        pairs = [Pair(item, None) for item in archives]
    else:
        pairs = pair_all(archives, expand_frames([args.original], wanted(args, VDB_SUFFIX), report), report)
    needs = [likely_memory(pair.first.path, pair.first.size) for pair in pairs]
    at_once = jobs_at_once(args.jobs, needs, settings.threads, settings.device)
    settings = replace(settings, threads=max(settings.threads // at_once, 1))
    if len(pairs) > 1:
        preload_decoder()
    run_batch([_job(pair, settings, single=len(pairs) == 1 or args.verbose) for pair in pairs], at_once, report)


def _job(pair: Pair, settings: VerifySettings, *, single: bool) -> FileJob[VerifyReport]:
    """single: all is said of the file, and no row of a table."""
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.memory import memory_needed, most_memory
    from neuralvdb.api.verify import verify

    path, original = pair.first.path, None if pair.second is None else pair.second.path
    inputs = [path for path in (path, original) if path]
    settings = replace(settings, frame=pair.first.selects)
    needed = functools.cache(functools.partial(memory_needed, path, number=settings.frame))

    def finish(report: VerifyReport, _: float) -> Result:
        named = shown(replace(report, path=pair.first.words))
        return Result(
            json={**report.as_dict(), **pair.first.json},
            text=_text(named) if single else "\n".join(_differences(named)),
            table_row=None if single else _table_row(named),
            different=bool(report.differences),
        )

    return FileJob(
        path=path,
        runner=IsolatedRunner(
            inputs=inputs, memory=lambda: 4 * needed() + sum(map(most_memory, inputs[1:])), device=settings.device
        ),
        begin=lambda progress: nullcontext(
            Task(functools.partial(verify, path, original, settings, progress=progress))
        ),
        total=needed,
        finish=finish,
    )


def _table_row(report: VerifyReport) -> dict[str, str]:
    """The archive among others: the least PSNR of its grids, and whether it is what was promised."""
    psnr = min((loss.psnr for loss in report.losses.values() if loss.psnr is not None), default=None)
    state = "BROKEN" if report.differences else "lossy, as promised" if report.losses else "same"
    return {
        "archive": report.path,
        "grids": str(report.grids),
        "least PSNR": "-" if psnr is None else f"{psnr:.2f} dB",
        "state": state if report.original or report.differences else "whole",
    }


def _differences(report: VerifyReport) -> list[str]:
    return [f"{report.path}: {line}" for line in report.differences]


def _text(report: VerifyReport) -> str:
    """One line, one for each difference, and one for each grid that is not lossless."""
    lines = _differences(report)
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
    measured = "" if loss.measured is None else f"{measured_text(loss.measured)}, "
    differing = f"max error {loss.max_error:.4g}, RMSE {loss.rmse:.4g}{psnr}{pruned}"
    return f"{measured}{differing}; promised: {error_text(loss.promise)}: {'kept' if loss.kept else 'BROKEN'}"
