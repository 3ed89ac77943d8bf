"""The order in which an encoder tries things. Each step can only make the result smaller, or leave it.

lossless            every bit; the limit to beat, estimated first
   |  no promise, or so many chunks that their entries in the index alone take more bytes: done
   |  it takes next to nothing, and a sample of the grid far more than its share of that: done
family              networks that encode samples in the fewest bytes, model sets beside each other
interpolation only  networks of zeros in their place, where samples of a smooth field get smaller
   |
reference           what another grid says, where samples take fewer bytes with it in view
   |
PSNR search         the coarsest step that reaches a PSNR, where one is promised
   |
picture             the step that a picture seems to need, where one is promised; what it then lacks is mended while
   |                encoding; what follows again, with a finer step, where that is too much
baseline            the whole grid with these networks
   |  networks of zeros, an effort of 0, or far more bytes than lossless: done
fine-tuned          the whole grid again with changed networks, kept if it is smaller and keeps the promise; in a
   |                group of frames with what was fine-tuned to all of them
   |
the smaller one of this and lossless
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from neuralvdb.archive import ENTRY_SIZE
from neuralvdb.dataclass import dataclass
from neuralvdb.metrics import psnr
from neuralvdb.picture import ray_sums
from neuralvdb.platform import return_memory
from neuralvdb.topology.chunks import value_groups
from neuralvdb.values import encoder
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.context import EncodeContext, shipped_models
from neuralvdb.values.lattice.kind import LatticeKind
from neuralvdb.values.lattice.priors import ModelSet
from neuralvdb.values.lattice.tables import dead_zones
from neuralvdb.values.lossless import by_component
from neuralvdb.values.promise import Promise
from neuralvdb.values.select.candidate import Candidate, Tuning
from neuralvdb.values.select.families import select_networks
from neuralvdb.values.select.interpolation_only import try_interpolation_only
from neuralvdb.values.select.limit import Limit
from neuralvdb.values.select.picture_search import (
    TRIES,
    finer,
    guess_step,
    keeps_picture,
    shortfall,
    without_picture,
)
from neuralvdb.values.select.psnr_search import reach_psnr
from neuralvdb.values.select.reference import choose_reference
from neuralvdb.values.select.sampling import FEW, Sample
from neuralvdb.volume import Tree, leaf_origins
from neuralvdb.volume.grid import popcount

_FAR = 6.0  # times the limit that a sample suggests, from which on the whole grid is not tried


@dataclass(frozen=True)
class PreparedValues:
    """The values of a tree, about to be encoded: all that is known before others say something of them.

    limit: the bytes to beat. candidate: None where every bit is kept.
    """

    sample: Sample
    context: EncodeContext
    limit: Limit | None
    candidate: Candidate | None

    def choose(self, said: Iterable[np.ndarray] = ()) -> CodedValues:
        """What choose_values() gives."""
        limit, coded = self.limit or Limit(self.sample.tree), self.encode(said)
        return coded if coded is not None and limit.exceeds(coded.size) else limit.coded

    def encode(self, said: Iterable[np.ndarray] = ()) -> CodedValues | None:
        """What encode_lossy() gives."""
        if self.candidate is None:
            return None
        selected = choose_reference(self.sample, self.candidate, said, self.context.free_threads)
        candidate = replace(selected.candidate, tuning=self.candidate.tuning)
        coded = _as_promised(self.sample.tree, candidate, self.context, self.limit)
        return None if coded is None else replace(coded, said=selected.said)


def choose_values(
    tree: Tree,
    promise: Promise,
    context: EncodeContext,
    said: Iterable[np.ndarray] = (),
    tuning: Tuning | None = None,
) -> CodedValues:
    """The values of a tree: under the promise if that takes fewer bytes than every bit, else exact.

    said: what others say of the leaves' values, float64 of their shape each, of which one may be taken. tuning: of the
    group of frames. Raises OutOfMemory where a device has too little.
    """
    return prepare_values(tree, promise, context, tuning).choose(said)


def prepare_values(
    tree: Tree, promise: Promise, context: EncodeContext, tuning: Tuning | None = None
) -> PreparedValues:
    """The first half of choose_values()."""
    limit = Limit(tree)
    if limit.exceeds(_least_size(tree)):
        return prepare_lossy(tree, promise, context, limit, tuning)
    return PreparedValues(Sample(tree), context, limit, None)


def _least_size(tree: Tree) -> int:
    """Bytes that lossy values of a tree take at least: those of an entry in the index for each chunk. Leaves scattered
    over a large space are many chunks, which would take long to encode."""
    return ENTRY_SIZE * len(value_groups(leaf_origins(tree)))


def encode_lossy(
    tree: Tree, promise: Promise, context: EncodeContext, tuning: Tuning | None = None
) -> CodedValues | None:
    """The values of a tree under a promise, in the fewest bytes found; None where a PSNR is not reached.

    tuning: as in choose_values(). Raises OutOfMemory where a device has too little.
    """
    return prepare_lossy(tree, promise, context, None, tuning).encode()


def prepare_lossy(
    tree: Tree, promise: Promise, context: EncodeContext, limit: Limit | None, tuning: Tuning | None
) -> PreparedValues:
    """The first half of encode_lossy(); without a candidate where a sample is far above the limit.

    limit: far above it, fine-tuning is not tried.
    """
    sample = Sample(tree)
    model_sets = _model_sets(context)
    in_doubt = None if tuning is not None and tuning.expected else limit
    if in_doubt and in_doubt.is_low and not in_doubt.exceeds(_likely_size(sample, promise, model_sets[0]) / _FAR):
        return PreparedValues(sample, context, limit, None)
    candidate = try_interpolation_only(sample, select_networks(sample, promise, model_sets))
    return PreparedValues(sample, context, limit, replace(candidate, tuning=tuning))


def _as_promised(tree: Tree, candidate: Candidate, context: EncodeContext, limit: Limit | None) -> CodedValues | None:
    """The values of a tree by a candidate whose step may be another one yet; None where a PSNR is not reached."""
    promise = candidate.promise
    if promise.bound.picture:
        return _with_picture(tree, candidate, context, limit)
    if promise.bound.psnr:
        reached = reach_psnr(tree, candidate, context)
        if reached is None:
            return None
        if not _is_tuned(reached.candidate, context):
            return reached.coded
        candidate = reached.candidate
    return _encoded(tree, candidate, context, limit)


def _likely_size(sample: Sample, promise: Promise, models: ModelSet) -> float:
    """Bytes of all active values, by those of a sample, the promise's own family predicting."""
    tree, chunk = sample.tree, sample.chunk(FEW)
    share = popcount(tree.leaf.active[chunk.leaves]) / popcount(tree.leaf.active)
    size = encoder.sample_size(tree, chunk, promise, models)
    return size / share if share else 0.0


def _with_picture(tree: Tree, candidate: Candidate, context: EncodeContext, limit: Limit | None) -> CodedValues:
    """The values with a picture as good as promised; by the step asked for where there is none to see or to reach."""
    candidate = replace(candidate, sums=ray_sums(tree, threads=context.free_threads()))
    devices = context.devices.of(tree.leaf.values.nbytes)
    guess = guess_step(tree, candidate, devices, threads=context.free_threads())
    return_memory(tree.leaf.values.nbytes)
    for _ in range(TRIES if guess else 0):
        assert guess is not None
        coded = _encoded(tree, guess, context, limit)
        lacking = shortfall(coded.picture, guess.promise)
        if lacking <= 0 or _is_hopeless(coded, limit):
            return coded
        del coded  # it is as large as the tree, and so is the next one
        return_memory(tree.leaf.values.nbytes)
        guess = finer(guess, lacking)
    return _encoded(tree, without_picture(candidate), context, limit)


def _is_hopeless(coded: CodedValues, limit: Limit | None) -> bool:
    return limit is not None and limit.is_hopeless(coded.size)


def _is_tuned(candidate: Candidate, context: EncodeContext) -> bool:
    """Whether networks are fine-tuned to the tree."""
    return bool(context.settings.fine_tuning.output_rounds) and not candidate.changes


def _encoded(tree: Tree, candidate: Candidate, context: EncodeContext, limit: Limit | None) -> CodedValues:
    """The values by the candidate, fine-tuned or not."""
    if _is_tuned(candidate, context):
        if candidate.tuning is not None:
            return candidate.tuning.encode(tree, candidate, context)
        return _fine_tuned(tree, candidate, context, limit)
    return encoder.encode(tree, candidate.promise, candidate.options(tree, context))


def _model_sets(context: EncodeContext) -> list[ModelSet]:
    """The models to try: those of the context, and those shipped where the archive may need them."""
    shipped = shipped_models(fast=context.settings.fast)
    alone = context.settings.embed_priors or context.models is shipped
    return [context.models] if alone else [context.models, shipped]


def _fine_tuned(tree: Tree, candidate: Candidate, context: EncodeContext, limit: Limit | None) -> CodedValues:
    """The values by the candidate's networks, or by networks fine-tuned to the tree if that is better."""
    from neuralvdb.fit.fine_tune_grid import fine_tune_grid  # only encoders that fine-tune need it
    from neuralvdb.fit.sampler import Sampler

    effort, promise = context.settings.fine_tuning, candidate.promise
    sampler = Sampler(len(tree.leaf), by_component(tree.leaf).shape[2], effort.examples, effort.levels)
    observed = replace(candidate.options(tree, context), observer=sampler, devices=())  # devices cannot be observed
    baseline = encoder.encode(tree, promise, observed)
    if _is_hopeless(baseline, limit) or not keeps_picture(baseline, promise):
        return baseline
    family, models = promise.mode.family, candidate.models
    dead_zone = dead_zones(family, models.freq) * (promise.mode.lattice is LatticeKind.MEAN)
    rows = baseline.table_rows
    assert rows is not None  # it is not lossless
    changes = fine_tune_grid(
        sampler.samples(), family=family, models=models, rows=rows, dead_zone=dead_zone, effort=effort
    )
    if not changes:
        return baseline
    tuned = encoder.encode(tree, promise, replace(candidate, changes=changes).options(tree, context))
    keeps = not promise.bound.psnr or psnr(tree, tuned.tree) >= promise.bound.psnr
    keeps = keeps and keeps_picture(tuned, promise)
    return tuned if keeps and tuned.size < baseline.size else baseline
