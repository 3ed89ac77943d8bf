"""Refined networks: what is stored is what was coded with, they pay, and hostile ones are refused."""

import numpy as np
import pytest

from neuralvdb import settings as choices
from neuralvdb.archive import FieldReader, FieldWriter
from neuralvdb.archive.rans import Encoder
from neuralvdb.codec.encode import encode_values
from neuralvdb.errors import DamagedFile, UsageError
from neuralvdb.fit import descend, loss
from neuralvdb.fit.examples import Examples
from neuralvdb.fit.loss import Loss
from neuralvdb.fit.quadratic import Quadratic
from neuralvdb.settings import Bound, CompressSettings, Effort
from neuralvdb.values import encoder
from neuralvdb.values.coded import CodedValues
from neuralvdb.values.decoder import DecodeOptions, ValuesDecoder, ValuesSource
from neuralvdb.values.encoder import EncodeOptions
from neuralvdb.values.head import read_head
from neuralvdb.values.lattice import network, network_changes, priors, residual
from neuralvdb.values.lattice.constants import SCALE_CLASSES
from neuralvdb.values.lattice.network_changes import FIRST, GROUPS, OFFSET, QUANTA, SCALE, NetworkChange
from neuralvdb.values.lattice.pass_order import KEYS
from neuralvdb.values.lattice.tables import costs
from neuralvdb.values.promise import mean_promise, sample_promise
from neuralvdb.vdb import VdbReader, from_dense
from neuralvdb.volume import Tree

FOG, MEANS = sample_promise("fog", max_error=0.01), mean_promise(step=0.05)


def unlike_any_corpus(size: int = 56):
    """A fog that no network was trained on: smooth, but every other voxel along z is thinner."""
    x, y, z = np.indices((size, size, size)) / 8
    values = 2 + np.sin(x) * np.cos(y) + 0.3 * np.sin(z + x) + 0.3 * (np.indices((size,) * 3)[2] % 2)
    noise = np.random.default_rng(3).normal(0, 0.02, values.shape)
    return from_dense((values + noise).astype(np.float32), name="odd", active=np.ones(values.shape, bool))


def some_change(donor: str | int, seed: int = 0, groups=GROUPS) -> network_changes.NetworkChanges:
    """Small changes of the groups of two networks."""
    rng, changes = np.random.default_rng(seed), {}
    for key in (KEYS[0], KEYS[12]):
        net = network_changes.beginning(donor, "fog", priors.shipped(), key)
        sizes = network_changes.sizes(net)
        signs = [np.sign(network_changes.flat(net, g)).astype(np.int64) for g in GROUPS]
        steps = {g: -signs[g] * rng.integers(0, 2, sizes[g]) * (rng.random(sizes[g]) < 0.1) for g in groups}
        changes[key] = NetworkChange(donor, dict.fromkeys(groups, 3), dict.fromkeys(groups, 0), steps)
    return changes


def decoded(coded: CodedValues, **options) -> Tree:
    return ValuesDecoder(ValuesSource.of(coded, "test"), DecodeOptions(**options)).decode()


@pytest.mark.parametrize("options", [{}, {"implementation": "reference"}], ids=str)
@pytest.mark.parametrize(("promise", "donor"), [(FOG, "fog"), (FOG, "velocity"), (FOG, 9), (MEANS, "fog-mean")])
def test_what_is_read_is_what_was_coded_with(promise, donor, options):
    grid = unlike_any_corpus(24)
    changes = some_change(donor)
    coded = encoder.encode(grid.tree, promise, EncodeOptions(changes=changes, **options))
    baseline = encoder.encode(grid.tree, promise)
    assert read_head(coded.payload, "test").fine_tuned
    assert coded.chunks != baseline.chunks
    for decoder in (options, {"implementation": "reference", "devices": ["cpu"]}):
        assert decoded(coded, **decoder).leaf.values.tobytes() == coded.tree.leaf.values.tobytes()


@pytest.mark.parametrize("donor", [*priors.FAMILIES, 0, 63])
def test_network_changes_are_read_as_they_were_written(donor):
    family = donor if isinstance(donor, str) else "fog"
    out, models, changes = FieldWriter(), priors.shipped(), some_change(donor, 1)
    network_changes.put(out, family, models, changes)
    source = FieldReader(out.getvalue(), "test")
    networks, expected = (
        network_changes.take(source, "test", family, models),
        network_changes.networks(family, models, changes),
    )
    source.finish()
    assert networks.keys() == expected.keys()
    for key, net in networks.items():
        for field in priors.PARTS:
            assert getattr(net, field).dtype == getattr(expected[key], field).dtype
            assert getattr(net, field).tobytes() == getattr(expected[key], field).tobytes()


@pytest.mark.parametrize("group", GROUPS)
def test_groups_are_all_weights_once(group):
    net = priors.load("fog").networks[0, 0, 1]
    step = np.arange(network_changes.sizes(net)[group]) == 5
    new = network_changes.changed(
        net,
        NetworkChange(
            "fog", {group: 0}, {group: 0}, {group: -np.sign(network_changes.flat(net, group)).astype(int) * step}
        ),
    )
    differing = sum(int((getattr(new, p) != getattr(net, p)).sum()) for p in priors.PARTS)
    assert differing == 1
    assert sum(network_changes.sizes(net)) == sum(getattr(net, p).size for p in priors.PARTS) - 6


def test_weights_that_might_not_be_exact_are_refused():
    models, out = priors.shipped(), FieldWriter()
    size = network_changes.sizes(models.families["fog"].networks[KEYS[0]])[OFFSET]
    for steps, quantum in ((np.full(size, 3), 3), (np.eye(1, size, 32, dtype=np.int64)[0] << 20, 1)):
        changes = {KEYS[0]: NetworkChange("fog", {OFFSET: 20}, {OFFSET: quantum}, {OFFSET: steps})}
        with pytest.raises(ValueError, match="too large"):
            network_changes.networks("fog", models, changes)
        out = FieldWriter()
        network_changes.put(out, "fog", models, changes)
        with pytest.raises(DamagedFile, match="too large"):
            network_changes.take(FieldReader(out.getvalue(), "test"), "test", "fog", models)


@pytest.mark.parametrize(("family", "donor"), [("fog", "fog-mean"), ("fog-mean", "fog"), ("fog", "none")])
def test_networks_begin_only_with_ones_of_their_lattice(family, donor, monkeypatch):
    out, change = FieldWriter(), {KEYS[0]: NetworkChange(donor, {}, {}, {})}
    monkeypatch.setattr(priors, "FAMILIES", (*priors.FAMILIES, "none"))
    network_changes.put(out, family, priors.shipped(), change)
    monkeypatch.undo()
    with pytest.raises(DamagedFile, match="not there"):
        network_changes.take(FieldReader(out.getvalue(), "test"), "test", family, priors.shipped())


def test_prices_are_what_the_coder_takes():
    tables = priors.load("fog").tables
    prices = costs(tables)
    rng = np.random.default_rng(0)
    for c in (0, 3, 9, 24, 40):
        steps = rng.integers(-60, 61, 4000) * (rng.random(4000) < 0.2)
        symbol_buffer = residual.SymbolBuffer()
        symbol_buffer.put(steps, np.full(4000, c, np.uint8))
        symbol_buffer.end()
        encoder: Encoder = symbol_buffer.written(tables)
        assert abs(prices[c, steps + descend.MOST].sum() / 8 - encoder.size) < 2


def examples(count: int = 3000) -> Examples:
    rng = np.random.default_rng(5)
    inputs = rng.integers(-127, 128, (count, 75)).astype(np.int16)
    scale = (rng.integers(-40, 60, count) / 16).astype(np.float32)
    ratio = np.exp2(rng.integers(-1, 3, count)).astype(np.float32)
    return Examples(inputs, rng.normal(0, 0.7, count).astype(np.float32), ratio, scale)


def test_the_loss_counts_the_bits_of_the_tables():
    tables, sample = priors.load("fog").tables, examples()
    out = np.random.default_rng(6).integers(-200, 200, (len(sample.target), 2)).astype(np.float64)
    bits = Loss(tables, np.zeros(SCALE_CLASSES)).bits(out, sample)
    q = np.rint((sample.target.astype(np.float64) - out[:, 0] / 256) * sample.ratio).astype(np.int64)
    classes = network.scale_class_of((sample.scale * 16).astype(np.int64) + out[:, 1].astype(np.int64)).astype(np.uint8)
    symbol_buffer = residual.SymbolBuffer()
    symbol_buffer.put(q, classes)
    symbol_buffer.end()
    assert abs(bits.sum() / 8 - symbol_buffer.written(tables).size) < 2


def smooth(out: np.ndarray, sample: Examples) -> np.ndarray:
    """(n,) bits of the smooth cost."""
    residuals = loss._residuals(out, sample)
    return loss._mixture(residuals.size, np.exp2(residuals.log_width)).bits


@pytest.mark.parametrize("column", [0, 1])
def test_slopes_and_curvatures_are_those_of_the_smooth_cost(column):
    """Slopes by differences; and minimising the quadratic of a point hardly ever makes that point dearer."""
    sample, out = examples(), np.random.default_rng(8).normal(0, 20, (3000, 2))
    expansion = Loss(priors.load("fog").tables, np.zeros(SCALE_CLASSES)).expand(out, sample)
    slope, curve = expansion.slope, expansion.curvature
    assert (curve >= 0).all()
    step = np.zeros_like(out)
    step[:, column] = 1e-3
    before, above, below = smooth(out, sample), smooth(out + step, sample), smooth(out - step, sample)
    not_clipped = before < 25  # there the probability is not clipped
    near = np.abs((above - below) / 2e-3 - slope[:, column]) < 1e-3 * (1 + np.abs(slope[:, column]))
    assert near[not_clipped].mean() > 0.99
    step[:, column] = -slope[:, column] / np.maximum(curve[:, column], 1e-12)
    after = smooth(out + step, sample)
    assert (after <= before + 0.02)[not_clipped].mean() > 0.97
    assert after.sum() < 0.9 * before.sum()


def test_descent_finds_the_minimum_of_a_small_quadratic():
    rng = np.random.default_rng(7)
    root = rng.normal(0, 1, (3, 5))
    curvature, slope = root @ root.T + np.eye(3), rng.normal(0, 20, 3)
    low, high = np.full(3, -9.0), np.full(3, 9.0)
    quadratic = Quadratic(slope=slope, curvature=curvature, low=low, high=high, selection_penalty=0.5)
    prices = costs(priors.load("fog").tables)
    steps = descend.solve(quadratic, prices, 0, np.zeros(3, np.int64), 8)
    every = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3, indexing="ij"), -1).reshape(-1, 3)
    total = every @ slope + 0.5 * ((every @ curvature) * every).sum(1) + 0.5 * np.count_nonzero(every, axis=1)
    total += prices[8, every + descend.MOST].sum(1)
    assert (steps.scale_class, steps.quantum) == (8, 0)
    assert steps.bits == pytest.approx(total[(every == steps.deltas).all(1)][0])
    assert steps.bits < np.quantile(total, 0.001)
    assert descend.solve(quadratic, prices, 2, np.zeros(3, np.int64)).deltas.tolist() == [0, 0, 0]  # 16 is too much


RELATIVE = (Bound(value=0.01, relative=True),)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"bounds": RELATIVE}, {"quality": "master"}], ids=["1%", "master"])
def test_fine_tuning_pays_on_what_no_network_knows(settings):
    grid = unlike_any_corpus()
    sizes = [encode_values(grid, CompressSettings(threads=1, effort=effort, **settings)).size for effort in (0, 3, 5)]
    assert sizes[1] < 0.99 * sizes[0]
    assert sizes[2] <= sizes[0]


@pytest.mark.slow
def test_all_layers_can_change(monkeypatch):
    grid, options_used = unlike_any_corpus(), []
    monkeypatch.setattr(
        encoder, "encode", lambda *args, real=encoder.encode: options_used.append(args[-1]) or real(*args)
    )
    monkeypatch.setattr(
        choices, "EFFORTS", (None, Effort(levels=3, examples=6000, output_rounds=1, hidden_rounds=1, min_bytes=120))
    )
    encode_values(grid, CompressSettings(threads=1, effort=1, bounds=RELATIVE))
    groups = {group for change in options_used[-1].changes.values() for group in change.deltas}
    assert groups == set(GROUPS)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smoke", "cloud", "levelset"])
@pytest.mark.parametrize("settings", [{"bounds": RELATIVE}, {"quality": "production"}], ids=["1%", "production"])
def test_a_small_effort_is_never_larger(sample, name, settings):
    for grid in VdbReader(sample.with_name(f"{name}.vdb")):
        baseline = encode_values(grid, CompressSettings(threads=1, effort=0, **settings))
        assert encode_values(grid, CompressSettings(threads=1, effort=2, **settings)).size <= baseline.size


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"bounds": RELATIVE}, {"quality": "master"}], ids=["1%", "master"])
def test_fast_networks_are_fitted_without_hidden_layers(settings, monkeypatch):
    options_used = []
    monkeypatch.setattr(
        encoder, "encode", lambda *args, real=encoder.encode: options_used.append(args[-1]) or real(*args)
    )
    baseline, fitted = (
        encode_values(unlike_any_corpus(48), CompressSettings(threads=1, fast=True, effort=e, **settings))
        for e in (0, 3)
    )
    assert fitted.size < baseline.size
    assert [options.models is priors.fast() for options in options_used] == [True] * 3
    assert {group for change in options_used[-1].changes.values() for group in change.deltas} <= {OFFSET, SCALE}
    head = read_head(fitted.payload, "test")
    assert head.fine_tuned
    nets = network_changes.networks(head.promise.mode.family, priors.fast(), options_used[-1].changes)
    assert all(net.is_linear for net in nets.values())


@pytest.mark.slow
def test_a_psnr_is_kept_by_fine_tuned_networks():
    from neuralvdb.metrics import psnr

    grid = unlike_any_corpus(48)
    coded = encode_values(
        grid, CompressSettings(threads=1, effort=5, bounds=(Bound(value=40.0, relative=False, decibels=True),))
    )
    assert psnr(grid.tree, coded.tree) >= 40


@pytest.mark.slow
def test_fitting_gives_the_same_bytes_again_and_on_more_threads():
    grid = unlike_any_corpus(56)
    first, again, threaded = (
        encode_values(grid, CompressSettings(threads=threads, effort=3, bounds=RELATIVE)) for threads in (1, 1, 2)
    )
    assert read_head(first.payload, "test").fine_tuned
    assert first.payload == again.payload == threaded.payload
    assert first.chunks == again.chunks == threaded.chunks


def test_there_is_no_effort_10():
    with pytest.raises(UsageError, match="effort"):
        CompressSettings(effort=10)


def test_constants_of_the_format():
    assert (FIRST, SCALE) == (0, 3)
    assert QUANTA == (1, 4, 16, 64)
    assert len(KEYS) == len(set(KEYS)) == 18
