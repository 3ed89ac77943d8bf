"""What commands say of loss: first by how much a file differs, then what is promised and how it is coded."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from neuralvdb.presets import Preset
from neuralvdb.settings import CompressSettings

if TYPE_CHECKING:
    from neuralvdb.api.compress import CompressReport
    from neuralvdb.api.promises import PromiseDescription
    from neuralvdb.codec.loss import MeasuredLoss

_SHOWN = 3  # grids; of more only that there are more


def compress_text(report: CompressReport, settings: CompressSettings) -> str:
    """`LOSSY production 15.4x: ...` or `lossless 1.5x`, and whether that was verified."""
    ratio, checked = f"{report.ratio:.2f}x", "verified" if report.verified else "not verified"
    if not report.promises:
        return f"lossless {ratio}, {checked}"
    is_preset = settings.preset != Preset() and all(bound.grid for bound in settings.bounds)
    return f"LOSSY{f' {settings.quality}' * is_preset} {ratio}: {loss_text(report.promises, report.pruned)}; {checked}"


def loss_text(promises: dict[str, PromiseDescription], pruned: dict[str, int]) -> str:
    """By how much grids differ that are not lossless: the worst of fog without bounds, the bounds of the others, and in
    how many voxels the active state changed."""
    unbounded = [p.measured for p in promises.values() if p.measured is not None and not _is_bounded(p)]
    texts = [_worst(unbounded)] if unbounded else []
    bounded = [
        f"{name} {'within ' * (promise.max_error is not None)}{bound_text(promise)}"
        for name, promise in promises.items()
        if _is_bounded(promise) or promise.measured is None
    ]
    texts += _first(bounded)
    if pruned:
        texts.append(topology_text(pruned))
    return "; ".join(texts)


def promise_text(promises: dict[str, PromiseDescription], pruned: dict[str, int]) -> str:
    """What is promised of each grid that is not lossless, by which lattice, if by fast networks, and what became of its
    topology; a line each."""
    return "\n".join(
        f"{name}: {error_text(promise)}, {promise.lattice} lattice{', fast' * bool(promise.fast)}, "
        + topology_text({name: pruned[name]} if name in pruned else {})
        for name, promise in promises.items()
    )


def topology_text(pruned: dict[str, int]) -> str:
    """`exact topology`, or in how many voxels of the first grids that are pruned the active state is another one."""
    if not pruned:
        return "exact topology"
    return f"topology pruned, changed: {', '.join(_first([f'{name} {n} voxels' for name, n in pruned.items()]))}"


def error_text(promise: PromiseDescription) -> str:
    """What is promised of the errors of a grid."""
    if promise.psnr:
        return f"PSNR {promise.psnr:.4g} dB"
    if promise.measured is not None and promise.measured.promised_picture:
        voxels = "" if promise.max_error is None else f", max error {bound_text(promise)}"
        return f"picture {promise.measured.promised_picture:.4g} dB{voxels}"
    return "no max error" if promise.max_error is None else f"max error {bound_text(promise)}"


def bound_text(promise: PromiseDescription) -> str:
    """`0.01`, `0.01 or 0.05 |v|`, or what else is promised."""
    if promise.max_error is None:
        return error_text(promise)
    return f"{promise.max_error:.4g}" + (f" or {promise.ratio:.3g} |v|" if promise.ratio else "")


def measured_text(measured: MeasuredLoss) -> str:
    """`picture 44.1 dB, means within 0.6 %, voxels within 12 %`; errors as shares of the active range."""
    return _worst([measured])


def _worst(losses: Iterable[MeasuredLoss]) -> str:
    """The measured_text() of the worst of several grids; their picture where one is promised."""
    losses = list(losses)
    pictures = [loss.picture for loss in losses if loss.picture is not None and loss.promised_picture]
    picture = f"picture {math.floor(min(pictures) * 10) / 10:.1f} dB, " if pictures else ""
    means, voxels = (max(of) for of in ([x.mean_error for x in losses], [x.voxel_error for x in losses]))
    return f"{picture}means within {_percent(means)}, voxels within {_percent(voxels)}"


def _is_bounded(promise: PromiseDescription) -> bool:
    """Whether a PSNR is promised, or a maximum error and no picture."""
    picture = promise.measured is not None and promise.measured.promised_picture
    return bool(promise.psnr) or (promise.max_error is not None and not picture)


def _percent(share: float) -> str:
    """A share in percent, rounded up to two digits."""
    if not share:
        return "0 %"
    digit = 10.0 ** (math.floor(math.log10(100 * share)) - 1)
    return f"{math.ceil(100 * share / digit - 1e-9) * digit:.2g} %"


def _first(texts: list[str]) -> list[str]:
    """The first few, and whether there are more."""
    return texts[:_SHOWN] + ["..."] * (len(texts) > _SHOWN)
