r"""What the table's random inputs do not reach: extremes, ties, dtypes, defaults."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special

import minigrad as mg
from minigrad import ops


def leaf(values, device: str = "cpu", dtype=np.float64) -> mg.Tensor:
    return mg.tensor(np.asarray(values, dtype), device=device, requires_grad=True)


def gradient(y: mg.Tensor, x: mg.Tensor) -> list:
    return mg.autograd.grad(y.sum(), x)[0].tolist()


# ---------------------------------------------------------------------------------------- extremes
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_overflow(device: str, dtype) -> None:
    r"""Warnings are errors in these tests, so an overflow on the way would show."""
    x = leaf([[1e4, -1e4, 0.0], [3e4, 3e4, -3e4]], device, dtype)
    assert ops.softmax(x, 1).tolist() == [[1, 0, 0], [0.5, 0.5, 0]]
    np.testing.assert_allclose(ops.log_softmax(x, 1).tolist()[0], [0, -2e4, -1e4])
    np.testing.assert_allclose(ops.logsumexp(x, 1).tolist(), [1e4, 3e4 + math.log(2)], rtol=1e-6)
    assert ops.sigmoid(x).tolist()[0] == [1, pytest.approx(0, abs=1e-37), 0.5]
    assert ops.softplus(x).tolist()[0] == [1e4, 0, pytest.approx(math.log(2))]
    assert ops.logsigmoid(x).tolist()[0] == [0, -1e4, pytest.approx(-math.log(2))]
    assert ops.tanh(x).tolist()[0] == [1, -1, 0]
    assert ops.elu(x).tolist()[0] == [1e4, -1, 0]
    assert ops.silu(x).tolist()[0] == [1e4, pytest.approx(0, abs=1e-33), 0]
    for f in (ops.softmax, ops.log_softmax, ops.sigmoid, ops.softplus, ops.logsigmoid, ops.elu):
        assert np.isfinite(gradient(f(x), x)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_losses_on_extreme_logits(device: str, dtype) -> None:
    x = leaf([[1e4, -1e4], [-1e4, 1e4]], device, dtype)
    target = mg.tensor([0, 0], device=device)
    loss = ops.cross_entropy(x, target, reduction="none")
    assert loss.tolist() == [0, 2e4]
    assert gradient(loss, x) == [[0, 0], [-1, 1]]
    t = mg.tensor(np.array([[1, 1], [0, 0]], dtype), device=device)
    loss = ops.binary_cross_entropy_with_logits(x, t, reduction="none")
    assert loss.tolist() == [[0, 1e4], [0, 1e4]]
    np.testing.assert_allclose(gradient(loss, x), [[0, -1], [0, 1]], rtol=0, atol=1e-37)


def test_cross_entropy_keeps_small_losses() -> None:
    r"""ln(1 + e^-12) is 6e-6: one minus rounding would give 0 in float32."""
    loss = ops.cross_entropy(leaf([[12.0, 0.0]], dtype=np.float32), mg.tensor([0]))
    assert loss.item() == pytest.approx(math.log1p(math.exp(-12)), rel=2e-2)


def test_logsumexp_of_infinities() -> None:
    inf = math.inf
    x = leaf([[-inf, -inf], [inf, 0.0], [-inf, 1.0]])
    with np.errstate(divide="ignore"):
        assert ops.logsumexp(x, 1).tolist() == [-inf, inf, 1.0]


def test_erf_everywhere() -> None:
    x = np.concatenate([np.linspace(-7, 7, 5001), [0.0, 1e-300, -1e-20, 0.5, -0.5, 30.0, -30.0]])
    np.testing.assert_allclose(ops.erf(x), special.erf(x), rtol=2e-14, atol=1e-300)


def test_erf_in_float32() -> None:
    x = np.concatenate([np.linspace(-6, 6, 100_001), np.geomspace(1e-30, 1, 1000)])
    x = x.astype(np.float32)  # more than a block
    y = ops.erf(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, special.erf(x.astype(np.float64)), rtol=4e-7, atol=0)
    grid = x[: 99 * 1000].reshape(99, 1000)
    for view in (grid.T, grid[::-1, ::2]):
        np.testing.assert_array_equal(ops.erf(view), ops.erf(view.copy()))
    assert np.array_equal(ops.erf(np.float32([np.inf, -np.inf])), [1, -1])
    assert np.isnan(ops.erf(np.float32([np.nan])))


def test_sigmoid_is_accurate_on_both_sides() -> None:
    x = np.linspace(-30, 30, 601)
    np.testing.assert_allclose(ops.sigmoid(x), special.expit(x), rtol=1e-14)
    x = x.astype(np.float32)
    expected = special.expit(x.astype(np.float64))
    np.testing.assert_allclose(ops.sigmoid(x), expected, rtol=2e-6)


def test_variance_far_from_zero() -> None:
    r"""The two-pass formula: the mean of squares minus the squared mean has no digits left."""
    x = np.random.default_rng(0).standard_normal(1000) + 1e6
    assert ops.var(mg.tensor(x)).item() == pytest.approx(x.var(ddof=1), rel=1e-9)
    y = (np.random.default_rng(0).standard_normal((64, 2)) + 100).astype(np.float32)
    normal = ops.batch_norm(mg.tensor(y), None, None, training=True)
    np.testing.assert_allclose(normal.numpy().std(0), 1, rtol=1e-3)


# ------------------------------------------------------------------- ties, kinks, zeros: PyTorch's
def test_gradients_at_ties(device: str) -> None:
    x = leaf([1.0, 3.0, 3.0], device)
    assert gradient(ops.amax(x), x) == [0, 0.5, 0.5]
    assert gradient(ops.max(x, 0)[0], x) == [0, 1, 0]
    y = leaf([1.0, 2.0, 4.0], device)
    assert gradient(ops.maximum(x, y), x) == [0.5, 1, 0]
    assert gradient(ops.minimum(x, y), x) == [0.5, 0, 1]
    image = leaf([[[[1.0, 1.0], [1.0, 1.0]]]], device)
    assert gradient(ops.max_pool2d(image, 2), image) == [[[[1, 0], [0, 0]]]]


def test_gradients_at_kinks(device: str) -> None:
    x = leaf([0.0], device)
    for f, slope in (
        (ops.relu, 0), (ops.abs, 0), (ops.leaky_relu, 0.01), (ops.elu, 1), (ops.sign, 0),
        (lambda v: ops.clamp(v, 0, 1), 1), (ops.relu6, 0), (ops.norm, 0),
    ):  # fmt: skip
        assert gradient(f(x), x) == [pytest.approx(slope)]


def test_powers_at_zero() -> None:
    x = leaf([0.0])
    for exponent, value, slope in ((0, 1, 0), (1, 0, 1), (2, 0, 0), (3, 0, 0), (1.5, 0, 0)):
        assert (x**exponent).tolist() == [value]
        assert gradient(x**exponent, x) == [slope]
    y = leaf([0.0, 2.0])
    assert gradient(x.detach() ** y, y) == [0, 0]


def test_spread_of_equal_values(device: str) -> None:
    x = leaf([[2.0, 2.0], [1.0, 3.0]], device)
    assert ops.std(x, 1).tolist() == [0, pytest.approx(2**0.5)]
    np.testing.assert_allclose(gradient(ops.std(x, 1), x), [[0, 0], [-(0.5**0.5), 0.5**0.5]])


def test_product_with_zeros() -> None:
    x = leaf([2.0, 0.0, 3.0])
    assert gradient(ops.prod(x), x) == [0, 6, 0]
    x = leaf([0.0, 0.0, 3.0])
    assert gradient(ops.prod(x), x) == [0, 0, 0]


def test_where_hides_a_nan() -> None:
    r"""The branch not taken gives no gradient of its own; what is inside it may still be NaN."""
    x = leaf([-1.0, 4.0])
    safe = ops.where(x > 0, x, 1.0)
    assert gradient(ops.where(x > 0, ops.sqrt(safe), 0.0), x) == [0, 0.25]


# ------------------------------------------------------------------------------------------ dtypes
def test_integers_become_floats_where_the_result_is_real(device: str) -> None:
    x = mg.tensor([1, 2, 3], device=device)
    for f in (ops.exp, ops.sqrt, ops.sigmoid, ops.mean, lambda v: ops.softmax(v, 0)):
        assert f(x).dtype == np.float32
    assert (x / 2).dtype == np.float32
    assert (x * 2).dtype == np.int64
    assert (x * 0.5).dtype == np.float32
    assert (x + mg.ones(3, device=device)).dtype == np.float32
    assert x.sum().dtype == np.int64
    assert (x > 1).sum().dtype == np.int64
    assert (x > 1).sum().item() == 2


def test_zero_dim_tensors_take_the_others_dtype(device: str) -> None:
    r"""As a number would: a float64 scalar does not turn a float32 network into float64."""
    x = mg.ones(2, device=device)
    assert (x * mg.tensor(2.0, dtype=mg.float64, device=device)).dtype == np.float32


def test_where_of_two_numbers(device: str) -> None:
    condition = mg.tensor([1, 0], device=device) > 0
    assert ops.where(condition, 1.0, 2).dtype == np.float32
    assert ops.where(condition, 1, 2).dtype == np.int64
    assert ops.where(condition, 1.0, 2.0).tolist() == [1, 2]


def test_float16_stays() -> None:
    x = mg.ones(2, dtype=mg.float16, requires_grad=True)
    y = ops.relu(x * 2) + 1
    assert y.dtype == np.float16
    y.sum().backward()
    assert x.grad.dtype == np.float16


# --------------------------------------------------------------------------------------- randomness
def test_dropout_keeps_the_mean(device: str) -> None:
    x = mg.ones(200, 200, device=device)
    y = ops.dropout(x, 0.3, generator=mg.Generator(0)).cpu().numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    # 40000 draws: three standard deviations of the mean.
    assert abs((y == 0).mean() - 0.3) < 3 * math.sqrt(0.3 * 0.7 / 40_000)
    assert ops.dropout(x, 0.3, training=False) is x


def test_dropout_whole_channels() -> None:
    y = ops.dropout2d(mg.ones(8, 8, 3, 3), 0.5, generator=mg.Generator(0)).numpy()
    per_channel = y.reshape(64, 9)
    assert (per_channel == per_channel[:, :1]).all()
    assert 0 < (per_channel[:, 0] == 0).sum() < 64


def test_gaussian_sample_has_the_moments() -> None:
    mean, log_var = mg.full((50_000,), 2.0), mg.full((50_000,), math.log(9.0))
    z = ops.gaussian_sample(mean, log_var, generator=mg.Generator(0)).numpy()
    assert abs(z.mean() - 2) < 3 * 3 / math.sqrt(50_000)
    assert abs(z.std() - 3) < 3 * 3 / math.sqrt(100_000)
    assert z.dtype == np.float32


def test_the_default_generator_is_seeded_by_manual_seed() -> None:
    mg.manual_seed(3)
    first = ops.dropout(mg.ones(50)).tolist(), mg.randn(3).tolist()
    mg.manual_seed(3)
    assert (ops.dropout(mg.ones(50)).tolist(), mg.randn(3).tolist()) == first


# ------------------------------------------------------------------------------- running statistics
def test_batch_norm_updates_in_place_and_outside_the_graph(device: str) -> None:
    x = leaf(np.arange(8.0).reshape(4, 2), device)
    mean, var = (
        mg.zeros(2, dtype=mg.float64, device=device),
        mg.ones(2, dtype=mg.float64, device=device),
    )
    data = mean.data
    y = ops.batch_norm(x, mean, var, training=True)
    assert mean.data is data
    np.testing.assert_allclose(mean.tolist(), [0.3, 0.4])
    np.testing.assert_allclose(var.tolist(), 0.9 + 0.1 * np.arange(0.0, 8, 2).var(ddof=1))
    assert not mean.requires_grad
    (y * y).sum().backward()
    before = mean.tolist()
    ops.batch_norm(x, mean, var, training=False)
    assert mean.tolist() == before


def test_batch_norm_gradient_is_orthogonal_to_shift_and_scale() -> None:
    r"""The output does not change when x is shifted or scaled, so the gradient has no part along
    1 or x: what is lost when a rule forgets the mean terms."""
    rng = np.random.default_rng(0)
    x = leaf(rng.standard_normal((20, 3)))
    y = ops.batch_norm(x, None, None, training=True, eps=0.0)
    (g,) = mg.autograd.grad(y, x, mg.tensor(rng.standard_normal((20, 3))))
    np.testing.assert_allclose(g.numpy().sum(0), 0, atol=1e-12)
    np.testing.assert_allclose((g * x).detach().numpy().sum(0), 0, atol=1e-12)


# ------------------------------------------------------------------------- adjoints of convolution
def test_conv_and_its_transpose_are_adjoint(device: str) -> None:
    rng = np.random.default_rng(0)
    x = leaf(rng.standard_normal((2, 4, 7, 6)), device)
    w = leaf(rng.standard_normal((6, 2, 3, 2)), device)
    options = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2), "groups": 2}
    y = ops.conv2d(x, w, **options)
    u = leaf(rng.standard_normal(y.shape), device)
    back = ops.conv_transpose2d(u, w, **options)
    assert back.shape == x.shape
    assert (y * u).sum().item() == pytest.approx((x * back).sum().item())


def test_kernel_size_one_is_a_matrix_product() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 3, 4, 4)), rng.standard_normal((5, 3, 1, 1))
    np.testing.assert_allclose(
        ops.conv2d(x, w), np.moveaxis(np.moveaxis(x, 1, -1) @ w[:, :, 0, 0].T, -1, 1), atol=1e-12
    )
