"""Networks trained by the kernels go the way of the reference; what they never touch stays as it was."""

import numpy as np
import pytest
import torch

from neuralvdb.kernels.fit import INPUTS, SIZE, Examples, Learners, fit, layers
from neuralvdb.kernels.fit.reference import gradient

pytestmark = pytest.mark.slow

WIDTHS, COUNTS = [75, 106, 128], [500, 20, 300]
BATCH, STEPS = 70, 20  # not a whole number of slices
RATES = [(2e-3 * (1 + t % 3), 0.95 - 0.005 * t) for t in range(STEPS)]


def learners(device: str, steps: int = 0) -> Learners:
    """Random networks, those after some steps with running means."""
    torch.manual_seed(1)
    weights, means, squares = (torch.zeros((len(WIDTHS), SIZE)) for _ in range(3))
    for k, width in enumerate(WIDTHS):
        net = layers(weights[k], width)
        for tensor in net.all():
            tensor.uniform_(-1, 1).mul_(tensor.shape[-1] ** -0.5)
        net.w1[:5] = 2 * torch.randn(5, width).clamp(-1, 1)  # activations beyond the ceiling, weights at the limit
        net.linear[0, 0] = 1.2  # beyond its limit
        if steps:
            used = slice(0, sum(tensor.numel() for tensor in net.all()))
            means[k, used].normal_(0, 0.01)
            squares[k, used].uniform_(1e-5, 1e-3)
    weights, means, squares = (array.to(device) for array in (weights, means, squares))
    return Learners(weights=weights, means=means, squares=squares, iterations=steps)


@pytest.fixture(scope="module")
def fit_examples(device) -> Examples:
    """Targets that follow from the inputs, seen in two ways."""
    rng, examples, count = np.random.default_rng(2), [], len(WIDTHS)
    orders, factors = np.zeros((count, 2, INPUTS), np.int32), np.zeros((count, 2, INPUTS + 1), np.float32)
    for k, (width, n) in enumerate(zip(WIDTHS, COUNTS, strict=True)):
        inputs = rng.integers(-127, 128, (n, width))
        target = inputs[:, :5].sum(1) / 50 + rng.normal(0, 0.1, n)
        examples.append((inputs.reshape(-1), target, 2 ** rng.uniform(-3, 3, n), rng.uniform(-3, 4, n)))
        orders[k, :, :width] = np.arange(width), rng.permutation(width)
        factors[k, :, :width] = rng.choice([-1, 1], (2, width))
        factors[k, :, -1] = 1, -1
    sizes = np.multiply(WIDTHS, COUNTS)
    bounds = np.stack([WIDTHS, np.cumsum(COUNTS) - COUNTS, np.cumsum(sizes) - sizes], 1)
    inputs, *floats = (
        np.concatenate(arrays_of_key).astype(np.float32) for arrays_of_key in zip(*examples, strict=True)
    )
    names = ("inputs", "target", "ratio", "scale", "orders", "factors", "extents")
    arrays = (inputs.astype(np.int16), *floats, orders, factors, bounds)
    return Examples(**{name: torch.from_numpy(array).to(device) for name, array in zip(names, arrays, strict=True)})


@pytest.fixture(scope="module")
def picks(device) -> torch.Tensor:
    torch.manual_seed(3)
    return torch.stack([torch.randint(0, n, (STEPS, BATCH)) for n in COUNTS], 1).to(torch.int32).to(device)


def trained(
    start: Learners, fit_examples: Examples, picks: torch.Tensor, implementation: str
) -> tuple[Learners, torch.Tensor]:
    """In two calls."""
    bits = []
    for span in (slice(0, 7), slice(7, len(picks))):
        bits.append(fit(start, fit_examples, picks[span].contiguous(), RATES[span], implementation=implementation))
    return start, torch.cat(bits)


def test_trajectories_are_those_of_the_reference(device, fit_examples, picks):
    """In the middle of a training, so that no running mean is near 0 and Adam makes no large steps of rounding."""
    expected, wanted = trained(learners(device, 100), fit_examples, picks, "reference")
    learned, bits = trained(learners(device, 100), fit_examples, picks, "triton")
    before = learners(device, 100).weights
    assert learned.iterations == expected.iterations == 100 + STEPS
    assert (expected.weights - before).abs().max() > 0.01
    for name in ("weights", "means", "squares"):
        torch.testing.assert_close(getattr(learned, name), getattr(expected, name), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bits, wanted, rtol=1e-5, atol=1e-5)
    for k, width in enumerate(WIDTHS):
        net = layers(learned.weights[k], width)
        assert max(net.w1.abs().max(), net.w2.abs().max(), net.w3.abs().max()) == 2
        assert net.linear.abs().max() <= 1
        assert not learned.weights[k, sum(array.numel() for array in net.all()) :].any()


def test_trainings_from_the_start_learn_the_same(device, fit_examples, picks):
    expected, wanted = trained(learners(device), fit_examples, picks[:8], "reference")
    learned, bits = trained(learners(device), fit_examples, picks[:8], "triton")
    assert (wanted[-2:].mean(0) < wanted[:2].mean(0)).all()
    torch.testing.assert_close(bits, wanted, rtol=1e-3, atol=0)
    off = (learned.weights - expected.weights).abs()
    assert off.quantile(0.99) < 1e-4


def test_gradients_are_those_of_the_reference(device, fit_examples, picks):
    """A first step leaves a tenth of the gradient in the running means."""
    for step in (0, 1):
        start = learners(device)
        start.iterations = step
        expected = [gradient(start, fit_examples, k, step, picks[0, k].long()) for k in range(len(WIDTHS))]
        bits = fit(start, fit_examples, picks[:1].contiguous(), [(0.0, 0.9)], implementation="triton")
        for k, (loss, slopes) in enumerate(expected):
            assert slopes.abs().max() > 0.01
            torch.testing.assert_close(bits[0, k], loss, rtol=1e-5, atol=0)
            torch.testing.assert_close(start.means[k, : len(slopes)] * 10, slopes, rtol=1e-3, atol=1e-6)
            assert not start.means[k, len(slopes) :].any()


def test_what_does_not_fit_is_said(device, fit_examples, picks):
    start = learners(device)
    with pytest.raises(ValueError, match="picks"):
        fit(start, fit_examples, picks, RATES[:3])
    with pytest.raises(ValueError, match="weights"):
        Learners(weights=start.weights[:, :100].contiguous(), means=start.means, squares=start.squares)
    with pytest.raises(ValueError, match="129 inputs"):
        layers(start.weights[0], 129)


@pytest.mark.parametrize("implementation", ["reference", "triton"])
def test_hidden_layers_of_zeros_stay_so(device, fit_examples, picks, implementation):
    """Their slopes are 0, so a network of nothing but a linear path and biases trains as one."""
    start = learners(device)
    start.weights.zero_()
    fit(start, fit_examples, picks[:3].contiguous(), RATES[:3], implementation=implementation)
    for weights, width in zip(start.weights, WIDTHS, strict=True):
        net = layers(weights, width)
        assert not any(array.any() for array in (net.w1, net.w2, net.w3, net.b1, net.b2))
        assert all(array.all() for array in (net.linear, net.b3, net.tail))
