"""nvdb verify"""

from __future__ import annotations

import argparse
import functools
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from neuralvdb.cli.batch import FileJob, jobs_at_once, run_batch
from neuralvdb.cli.isolate import IsolatedRunner
from neuralvdb.cli.jobs import Failure, Report, Result
from neuralvdb.cli.loss import error_text, measured_text
from neuralvdb.cli.options import add_common, add_device, add_pairs, add_priors, settings_of, wanted
from neuralvdb.cli.output import shown
from neuralvdb.cli.pairs import Pair, pair_all
from neuralvdb.cli.targets import expand_frames, in_groups
from neuralvdb.errors import NeuralVdbError
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
    groups = in_groups(pairs, lambda pair: pair.first)
    needs = [max(likely_memory(pair.first.path, pair.first.size) for pair in group) for group in groups]
    at_once = jobs_at_once(args.jobs, needs, settings.threads, settings.device)
    settings = replace(settings, threads=max(settings.threads // at_once, 1))
    if len(pairs) > 1:
        preload_decoder()
    single = len(pairs) == 1 or args.verbose
    run_batch([_job(group, settings, single=single) for group in groups], at_once, report)


def _job(
    pairs: Sequence[Pair], settings: VerifySettings, *, single: bool
) -> FileJob[list[VerifyReport | NeuralVdbError]]:
    """The work on frames of one archive. single: all is said of a file, and no row of a table."""
    from neuralvdb.api.jobs import Task
    from neuralvdb.api.memory import memory_of_each, most_memory
    from neuralvdb.api.verify import FrameToVerify, verify_frames

    path = pairs[0].first.path
    frames = [FrameToVerify(pair.first.selects, None if pair.second is None else pair.second.path) for pair in pairs]
    originals = [frame.original for frame in frames if frame.original]

    needed = functools.cache(functools.partial(memory_of_each, path, (), [frame.number for frame in frames]))

    def finish(reports: list[VerifyReport | NeuralVdbError], _: float) -> list[Result | Failure]:
        return [_outcome(pair, report, single=single) for pair, report in zip(pairs, reports, strict=True)]

    return FileJob(
        path=path,
        runner=IsolatedRunner(
            inputs=[path, *originals],
            memory=lambda: 4 * max(needed()) + max(map(most_memory, originals), default=0),
            device=settings.device,
        ),
        begin=lambda progress: nullcontext(Task(functools.partial(verify_frames, path, frames, settings, progress))),
        total=lambda: sum(needed()),
        finish=finish,
        files=len(pairs),
    )


def _outcome(pair: Pair, report: VerifyReport | NeuralVdbError, *, single: bool) -> Result | Failure:
    """What became of a frame."""
    if isinstance(report, NeuralVdbError):
        return Failure(pair.first.path, report)
    named = shown(replace(report, path=pair.first.words))
    return Result(
        json={**report.as_dict(), **pair.first.json},
        text=_text(named) if single else "\n".join(_differences(named)),
        table_row=None if single else _table_row(named),
        different=bool(report.differences),
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
