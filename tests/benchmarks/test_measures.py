"""The measures of the rate benchmark against closed forms and a definition written out."""

import importlib.util
import math
import sys
from pathlib import Path

import numpy as np
import pytest


def _load():
    path = Path(__file__).resolve().parent / "measures.py"
    spec = importlib.util.spec_from_file_location("benchmark_measures", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


measures = _load()

RATES, QUALITY = [0.3, 0.7, 1.4, 2.3, 4.0], [40.0, 46.5, 55.0, 61.0, 74.0]


@pytest.fixture
def blob():
    """A soft ball v (24, 20, 16) with its mask."""
    x, y, z = np.meshgrid(*(np.linspace(-1, 1, n) for n in (24, 20, 16)), indexing="ij")
    v = np.clip(1 - (x * x + y * y + z * z), 0, None).astype(np.float32)
    return v, v > 0


def test_psnr_of_known_errors(blob):
    v, m = blob
    span = float(v[m].max() - v[m].min())
    assert measures.psnr(v, v + np.float32(0.01) * span, m) == pytest.approx(40, abs=1e-3)
    sign = np.where(np.arange(v.size).reshape(v.shape) % 2, 1, -1)
    assert measures.psnr(v, v + sign * (0.001 * span), m) == pytest.approx(60, abs=1e-3)


def test_psnr_and_max_error_see_active_voxels_only(blob):
    v, m = blob
    r = v.copy()
    r[~m] = 1e6
    assert measures.psnr(v, r, m) == math.inf
    assert measures.max_error(v, r, m) == 0
    r[tuple(np.argwhere(m)[7])] += 0.25
    assert measures.max_error(v, r, m) == pytest.approx(0.25)
    assert math.isfinite(measures.psnr(v, r, m))


def test_psnr_of_a_constant():
    v, m = np.full((2, 2, 2), 3.0, np.float32), np.ones((2, 2, 2), bool)
    assert measures.psnr(v, v, m) == math.inf
    assert measures.psnr(v, v + 1, m) == -math.inf


def test_psnr_of_vectors_is_one_range_and_one_mean():
    v = np.zeros((2, 1, 1, 3))
    v[1] = 1, 2, 4
    m = np.ones((2, 1, 1), bool)
    r = v.copy()
    r[0, 0, 0, 1] = 0.6
    assert measures.psnr(v, r, m) == pytest.approx(10 * math.log10(4**2 / (0.6**2 / 6)))
    assert measures.max_error(v, r, m) == pytest.approx(0.6)


def _t_psnr_by_rays(v, r, m, depth):
    """The definition, ray by ray."""
    error = count = 0
    for axis in range(3):
        pairs = []
        for mask, a, b in zip(*(np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis]) for x in (m, v, r)), strict=True):
            pairs.append((sum(a[mask].tolist()), sum(max(x, 0.0) for x in b[mask].tolist())))
        thick = max(a for a, _ in pairs)
        k = depth / float(np.median([a for a, _ in pairs if a > 0.05 * thick]))
        for a, b in pairs:
            error += (math.exp(-k * a) - math.exp(-k * b)) ** 2
            count += a > 0
    return -10 * math.log10(error / count + 1e-12)


def test_t_psnr_is_the_definition(blob):
    v, m = blob
    r = v + np.random.default_rng(1).normal(0, 0.05, v.shape).astype(np.float32)
    expected = [_t_psnr_by_rays(v.astype(np.float64), r.astype(np.float64), m, depth) for depth in (1, 8, 50)]
    assert measures.t_psnr(v, r, m) == pytest.approx(expected, abs=1e-6)


def test_t_psnr_of_a_uniform_cube():
    """Every ray has optical depth d; at half the density each error is exp(-d) - exp(-d / 2)."""
    v, m = np.ones((6, 6, 6), np.float32), np.ones((6, 6, 6), bool)
    expected = [-20 * math.log10(abs(math.exp(-d) - math.exp(-d / 2))) for d in (1, 8)]
    assert measures.t_psnr(v, v / 2, m, (1, 8)) == pytest.approx(expected, abs=1e-6)


def test_t_psnr_ends_at_120_and_ignores_scale_and_inactive_voxels(blob):
    v, m = blob
    assert measures.t_psnr(v, v, m) == pytest.approx([120] * 3)
    r = (v * 1.1).astype(np.float32)
    assert measures.t_psnr(7 * v, 7 * r, m) == pytest.approx(measures.t_psnr(v, r, m), abs=1e-3)
    assert measures.t_psnr(v, np.where(m, r, 99), m) == measures.t_psnr(v, r, m)


def test_t_psnr_sees_what_psnr_does_not(blob):
    """A bias and noise of equal size have equal PSNR; only the bias shows in a picture."""
    v, m = blob
    sign = np.where(np.indices(v.shape).sum(0) % 2, 1, -1)
    bias, noise = v + np.float32(0.02), v + np.float32(0.02) * sign
    assert measures.psnr(v, bias, m) == pytest.approx(measures.psnr(v, noise, m), abs=0.01)
    assert measures.t_psnr(v, bias, m, (1,))[0] < measures.t_psnr(v, noise, m, (1,))[0] - 6


@pytest.mark.parametrize("factor", [0.5, 0.75, 1.0, 2.0])
def test_bd_rate_of_a_constant_factor(factor):
    other = [factor * rate for rate in RATES]
    assert measures.bd_rate(other, QUALITY, RATES, QUALITY) == pytest.approx(100 * (factor - 1), abs=1e-9)


def test_bd_rate_is_reciprocal_and_free_of_order():
    a, qa = [0.25, 0.9, 2.0, 3.1], [38.0, 51.0, 60.0, 70.0]
    forth, back = measures.bd_rate(a, qa, RATES, QUALITY), measures.bd_rate(RATES, QUALITY, a, qa)
    assert (1 + forth / 100) * (1 + back / 100) == pytest.approx(1)
    assert forth < 0 < back
    assert measures.bd_rate(a[::-1], qa[::-1], RATES, QUALITY) == forth


def test_bd_rate_over_the_common_qualities():
    """Two exponentials rate = c 2^(q / s): the log ratio is linear, its mean that of the interval's middle."""
    a, b = np.linspace(40, 70, 7), np.linspace(50, 90, 9)
    got = measures.bd_rate(2 ** (a / 6) / 900, a, 2 ** (b / 7) / 500, b)
    middle = 60
    assert got == pytest.approx(100 * (2 ** (middle / 6 - middle / 7) * 500 / 900 - 1), rel=1e-9)
    got = measures.bd_rate(2 ** (a / 6) / 900, a, 2 ** (b / 7) / 500, b, (0, 54))
    assert got == pytest.approx(100 * (2 ** (52 / 6 - 52 / 7) * 500 / 900 - 1), rel=1e-9)


def test_bd_rate_without_common_qualities():
    assert math.isnan(measures.bd_rate([1, 2], [10, 20], [1, 2], [30, 40]))
    assert math.isnan(measures.bd_rate([1], [10], [1, 2], [5, 40]))


def test_a_beaten_setting_costs_what_beats_it():
    rates, quality = [1.0, 2.0, 2.5, 3.0, 9.0], [40.0, 50.0, 49.0, 60.0, math.inf]
    for step in (1, -1):
        kept = measures.frontier(rates[::step], quality[::step])
        assert kept[0].tolist() == [1, 2, 2, 3] and kept[1].tolist() == [40, 49, 50, 60]
    assert measures.rate_at(rates, quality, 49.5) == pytest.approx(2)
    kept = measures.frontier([3.0, 2.0], [50.0, 50.0])
    assert kept[0].tolist() == [2] and kept[1].tolist() == [50]


def test_rate_at_meets_the_points_and_ends_with_them():
    assert [float(measures.rate_at(RATES, QUALITY, q)) for q in QUALITY] == pytest.approx(RATES)
    assert np.isnan(measures.rate_at(RATES, QUALITY, np.array([39.9, 74.1]))).all()
    exponential = np.linspace(30, 60, 5)
    assert measures.rate_at(2 ** (exponential / 6), exponential, 41.7) == pytest.approx(2 ** (41.7 / 6))


def test_pchip_has_no_overshoot_and_is_not_linear():
    """Values of scipy.interpolate.PchipInterpolator (SciPy 1.17)."""
    x, y = np.array([0.0, 1, 2, 4, 5]), np.array([0.0, 1, 1, 3, 10])
    dense = measures.pchip(x, y, np.linspace(0, 5, 501))
    assert (np.diff(dense) >= -1e-12).all() and dense[0] == 0 and dense[-1] == 10
    assert measures.pchip(x, y, np.array([0.5, 1.5, 3.0, 4.5])) == pytest.approx(
        [0.6875, 1, 67 / 44, 5.613636363636363]
    )
    x, y = np.arange(5.0), np.array([0, 0.1, 5.1, 0.1, 0.2])  # ends where the three-point slope is overruled
    middles = [0.02549019607843138, 2.624509803921569, 2.6, 0.1125]
    assert measures.pchip(x, y, x[:-1] + 0.5) == pytest.approx(middles)


def test_envelope_is_the_lower_curve_everywhere():
    q = np.linspace(30, 70, 9)
    steep, flat = 2 ** (q / 5) / 1600, 2 ** (q / 8) / 100
    rates, quality = measures.envelope([(steep, q), (flat, q)])
    for rate, at in list(zip(rates, quality, strict=True))[::50]:
        assert rate == pytest.approx(min(2 ** (at / 5) / 1600, 2 ** (at / 8) / 100), rel=1e-6)
    assert measures.bd_rate(steep, q, rates, quality) > 1 and measures.bd_rate(flat, q, rates, quality) > 1
    wide = measures.envelope([(RATES, QUALITY), ([9.0, 10.0], [73.0, 90.0])])
    assert wide[1][0] == 40 and wide[1][-1] == 90
    assert measures.envelope([([], [])]) == ([], [])
