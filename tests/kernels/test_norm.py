r"""Batch normalisation by blocks: its formula, its accuracy, and the same bits on any threads."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import norm
from minigrad.kernels.parallel import num_threads, set_num_threads

EPS = 1e-5


def case(n, channels, dtype, seed=0):
    rng = np.random.default_rng(seed)
    x = (3 + 2 * rng.standard_normal((n, channels))).astype(dtype)
    g = rng.standard_normal((n, channels)).astype(dtype)
    return x, g, *(rng.standard_normal(channels).astype(dtype) for _ in range(2))


def reference(x, g, weight, bias):
    r"""The formulas, in float64."""
    x, g, weight, bias = (a.astype(np.float64) for a in (x, g, weight, bias))
    inv_std = 1 / np.sqrt(x.var(0) + EPS)
    normal = (x - x.mean(0)) * inv_std
    z = g * weight
    gx = inv_std * (z - z.mean(0) - normal * (z * normal).mean(0))
    return normal * weight + bias, x.mean(0), x.var(0), gx, (g * normal).sum(0), g.sum(0)


@pytest.mark.parametrize(
    "n, channels, dtype, tolerance",
    [
        (2, 3, np.float64, 1e-12),
        (2, 200_000, np.float64, 1e-9),  # of some channels the two values nearly agree
        (5000, 64, np.float64, 1e-12),
        (5000, 64, np.float32, 1e-5),
        (300_001, 2, np.float32, 3e-5),  # sums of 65,536 terms in a block
    ],
)
def test_formula(n, channels, dtype, tolerance):
    x, g, weight, bias = case(n, channels, dtype)
    y, mean, var, inv_std = norm.batch_norm(x, weight, bias, EPS)
    gradients = norm.batch_norm_backward(g, x, mean, inv_std, weight, True)
    for got, want in zip((y, mean, var, *gradients), reference(x, g, weight, bias)):
        assert got.dtype == dtype
        # A sum over n rows has rounding errors of its terms, not of its value.
        scale = np.sqrt(n) if want.ndim == 1 else max(np.abs(want).max(), 1)
        np.testing.assert_allclose(got, want, rtol=0, atol=tolerance * scale)


def test_without_weight_or_gradient_of_x():
    x, g, _, _ = case(3000, 100, np.float64)
    one, zero = np.ones(100), np.zeros(100)
    for got, want in zip(norm.batch_norm(x, None, None, EPS), norm.batch_norm(x, one, zero, EPS)):
        np.testing.assert_array_equal(got, want)
    _, mean, _, inv_std = norm.batch_norm(x, None, None, EPS)
    gx, gw, gb = norm.batch_norm_backward(g, x, mean, inv_std, None, False)
    assert gx is None
    _, gw2, gb2 = norm.batch_norm_backward(g, x, mean, inv_std, one, True)
    np.testing.assert_array_equal(gw, gw2)
    np.testing.assert_array_equal(gb, gb2)


def test_large_sums_stay_accurate():
    x, g, weight, bias = case(200_000, 8, np.float32)
    y = norm.batch_norm(x, weight, bias, EPS)[0]
    error = np.abs(y - reference(x, g, weight, bias)[0]).max()
    assert error < 2e-5  # 2e-6 measured; one sum over all rows gives 1e-4


def test_the_bits_do_not_depend_on_the_threads():
    x, g, weight, bias = case(20_000, 40, np.float32)
    before, results = num_threads(), []
    try:
        for n in (1, 3):
            set_num_threads(n)
            y, mean, _, inv_std = norm.batch_norm(x, weight, bias, EPS)
            results.append((y, *norm.batch_norm_backward(g, x, mean, inv_std, weight, True)))
    finally:
        set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize("layout", ["channels first", "channels last"])
def test_the_op_takes_this_way_and_its_twin_agrees(monkeypatch, layout):
    rng = np.random.default_rng(0)
    data = rng.standard_normal((32, 8, 40, 40))
    if layout == "channels last":
        data = np.ascontiguousarray(data.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    cotangent = mg.tensor(rng.standard_normal(data.shape), dtype=mg.float64)

    def run():
        inputs = [mg.Tensor(a, requires_grad=True) for a in (data, np.full(8, 2.0), np.ones(8))]
        x, weight, bias = inputs
        statistics = mg.zeros(8, dtype=mg.float64), mg.ones(8, dtype=mg.float64)
        y = mg.batch_norm(x, *statistics, weight, bias, training=True)
        y.backward(cotangent)
        return [t.numpy() for t in (y.detach(), *statistics, *(i.grad for i in inputs))]

    assert norm.pays(data.reshape(-1, 8))
    fast = run()
    monkeypatch.setattr(norm, "pays", lambda rows: False)
    for a, b in zip(fast, run()):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-10)
