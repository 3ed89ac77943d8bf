"""How far a decoded volume is from its original, and how two coders compare over a range of rates.

Shapes: v original and r decoded (X, Y, Z) or (X, Y, Z, C), m active mask (X, Y, Z) bool. Rates are in bits per
active voxel (any unit that is proportional to bytes will do), qualities in dB.
"""

import math

import numpy as np

T_LEAST_ERROR = 1e-12  # mean squared error of transmittance at which T-PSNR ends: 120 dB
T_RAY = 0.05  # rays with less than this share of the thickest ray do not count for the median optical depth
STEPS = 2000  # intervals of the integral in bd_rate


def psnr(v: np.ndarray, r: np.ndarray, m: np.ndarray) -> float:
    """10 log10(range^2 / mean((r - v)^2)) over active voxels in dB, range = max - min of the active v.

    All components of a vector share one range and one mean. Infinite where nothing differs, minus infinity where a
    constant does.
    """
    a = v[m].astype(np.float64)
    error = float(((r[m] - a) ** 2).mean())
    if error == 0:
        return math.inf
    span = float(a.max() - a.min())
    return 10 * math.log10(span**2 / error) if span else -math.inf


def max_error(v: np.ndarray, r: np.ndarray, m: np.ndarray) -> float:
    """max |r - v| over active voxels, in units of the values."""
    return float(np.abs(r[m].astype(np.float64) - v[m]).max())


def t_psnr(v: np.ndarray, r: np.ndarray, m: np.ndarray, depths: tuple[float, ...] = (1, 8, 50)) -> list[float]:
    """PSNR in dB (peak 1) of transmittance images, one for each of `depths`; scalar fields that are not negative.

    An image is exp(-k s), s the sum of the active values along an axis; three axes make three images, whose squared
    errors go into one mean over the rays with s > 0. k is set for each axis so that the median ray that meets smoke
    (s above 5 % of the largest) has the optical depth k s asked for. Decoded values below zero count as zero, as in
    a renderer. After Beer and Lambert; at most 120 dB.
    """
    original = np.where(m, v, 0).astype(np.float64)
    decoded = np.where(m, r, 0).clip(0).astype(np.float64)
    sums = [(original.sum(axis), decoded.sum(axis)) for axis in range(3)]
    rays = sum(np.count_nonzero(a > 0) for a, _ in sums)
    result = []
    for depth in depths:
        error = 0.0
        for a, b in sums:
            k = depth / np.median(a[a > a.max() * T_RAY])
            error += float(((np.exp(-k * a) - np.exp(-k * b)) ** 2).sum())
        result.append(-10 * math.log10(error / rays + T_LEAST_ERROR))
    return result


def frontier(rates: list[float], quality: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Rates that never fall and qualities that rise: a setting beaten by another costs what the better one costs.

    Infinite qualities are dropped.
    """
    best: dict[float, float] = {}
    cheapest = math.inf
    for q, rate in sorted(zip(quality, rates, strict=True), key=lambda p: (-p[0], p[1])):
        if rate > 0 and math.isfinite(q):
            cheapest = min(cheapest, rate)
            best[q] = cheapest
    points = np.array([(rate, q) for q, rate in reversed(best.items())], np.float64).reshape(-1, 2)
    return points[:, 0], points[:, 1]


def rate_at(rates: list[float], quality: list[float], q: float | np.ndarray) -> np.ndarray:
    """The rate at quality `q`: log(rate) interpolated by pchip along the frontier, NaN outside of it."""
    x, y = frontier(rates, quality)
    q = np.asarray(q, np.float64)
    if len(x) < 2:
        return np.full(q.shape, np.nan)
    return np.where((q >= y[0]) & (q <= y[-1]), np.exp(pchip(y, np.log(x), q.clip(y[0], y[-1]))), np.nan)


def bd_rate(
    rates_a: list[float],
    quality_a: list[float],
    rates_b: list[float],
    quality_b: list[float],
    within: tuple[float, float] = (-math.inf, math.inf),
) -> float:
    """Bjontegaard delta rate of coder a against b in percent; negative: a needs fewer bytes at equal quality.

    100 (exp(mean(log rate_a(q) - log rate_b(q))) - 1), the mean over the qualities that both curves reach and that lie
    within `within`; NaN where there are none. G. Bjontegaard, VCEG-M33 (2001); with pchip in place of the one cubic, as
    JCT-VC's common test conditions have it.
    """
    (xa, qa), (xb, qb) = frontier(rates_a, quality_a), frontier(rates_b, quality_b)
    if min(len(xa), len(xb)) < 2:
        return math.nan
    low, high = max(qa[0], qb[0], within[0]), min(qa[-1], qb[-1], within[1])
    if low >= high:
        return math.nan
    q = np.linspace(low, high, STEPS + 1)
    ratio = pchip(qa, np.log(xa), q) - pchip(qb, np.log(xb), q)
    mean = (ratio.sum() - (ratio[0] + ratio[-1]) / 2) / STEPS
    return 100 * math.expm1(mean)


def envelope(curves: list[tuple[list[float], list[float]]], points: int = 1000) -> tuple[list[float], list[float]]:
    """The lowest rate that any of the (rates, qualities) curves needs at each quality, as one finely sampled curve."""
    reached = [frontier(*curve)[1] for curve in curves]
    reached = [q for q in reached if len(q) > 1]
    if not reached:
        return [], []
    grid = np.linspace(min(q[0] for q in reached), max(q[-1] for q in reached), points)
    quality = np.unique(np.concatenate([grid, *reached]))
    rates = np.stack([rate_at(*curve, quality) for curve in curves])
    within = ~np.isnan(rates).all(0)
    return np.nanmin(rates[:, within], axis=0).tolist(), quality[within].tolist()


def pchip(x: np.ndarray, y: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The monotone cubic through (x, y), x strictly increasing, at `at` within x (Fritsch and Butland, 1984)."""
    h, slope = np.diff(x), np.diff(y) / np.diff(x)
    d = _tangents(h, slope)
    i = np.clip(np.searchsorted(x, at, "right") - 1, 0, len(h) - 1)
    t = (at - x[i]) / h[i]
    rise = (y[i + 1] - y[i]) * t * t * (3 - 2 * t)
    return y[i] + rise + h[i] * t * (1 - t) * ((1 - t) * d[i] - t * d[i + 1])


def _tangents(h: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Weighted harmonic means inside, one-sided three-point slopes at the ends (C. Moler, Numerical Computing, 3.6)."""
    if len(h) == 1:
        return np.repeat(slope, 2)
    d = np.zeros(len(h) + 1)
    same = slope[:-1] * slope[1:] > 0
    w1, w2 = 2 * h[1:] + h[:-1], h[1:] + 2 * h[:-1]
    d[1:-1][same] = ((w1 + w2)[same]) / (w1[same] / slope[:-1][same] + w2[same] / slope[1:][same])
    d[0] = _end(h[0], h[1], slope[0], slope[1])
    d[-1] = _end(h[-1], h[-2], slope[-1], slope[-2])
    return d


def _end(h0: float, h1: float, s0: float, s1: float) -> float:
    d = ((2 * h0 + h1) * s0 - h0 * s1) / (h0 + h1)
    if d * s0 <= 0:
        return 0.0
    return 3 * s0 if s0 * s1 <= 0 and abs(d) > abs(3 * s0) else d
