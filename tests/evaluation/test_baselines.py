r"""Baselines against SciPy-free references: the singular value decomposition, least squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.evaluation import PCA, LinearMap


@given(seed=st.integers(0, 1000), k=st.integers(1, 4))
def test_pca_is_the_best_approximation_of_its_rank(seed, k):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5)) + 3
    pca = PCA(x, k)
    u, s, vt = np.linalg.svd(x - x.mean(0), full_matrices=False)
    best = x.mean(0) + (u[:, :k] * s[:k]) @ vt[:k]
    np.testing.assert_allclose(pca.decode(pca.encode(x)), best, atol=1e-8)
    np.testing.assert_allclose(pca.variance, s[:k] ** 2 / 30, rtol=1e-7)
    np.testing.assert_allclose(pca.components @ pca.components.T, np.eye(k), atol=1e-10)
    assert pca.mse(x) == pytest.approx(((x - best) ** 2).mean())


def test_pca_keeps_the_form_of_images():
    x = np.random.default_rng(0).random((20, 1, 4, 4)).astype(np.float32)
    pca = PCA(mg.tensor(x), 3)
    assert pca.encode(x).shape == (20, 3)
    assert pca.decode(pca.encode(x)).shape == (20, 1, 4, 4)
    assert PCA(x, 16).mse(x) < 1e-12
    restored = pca.decode(pca.encode(x)).clip(0, 1)
    assert pca.mse(x, clip=True) == pytest.approx(((restored - x) ** 2).mean())


def test_pca_of_mnist():
    """16 components leave .0269, 2 leave .0557, as is known of MNIST; so all 60,000 images."""
    from minigrad.data import MNIST

    train, test = (MNIST(train=t).arrays(flatten=True)[0] for t in (True, False))
    sixteen = PCA(train, 16)
    assert sixteen.mse(test) == pytest.approx(0.0269, abs=5e-5)
    assert sixteen.mse(test, clip=True) == pytest.approx(0.0254, abs=5e-5)
    assert PCA(train, 2).mse(test) == pytest.approx(0.0557, abs=5e-5)


@given(seed=st.integers(0, 1000))
def test_linear_map_is_least_squares(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    linear = LinearMap(x, y)
    design = np.concatenate([x, np.ones((40, 1))], 1)
    expected = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(linear(x), expected, atol=1e-10)
    assert linear.mse(x, y) == pytest.approx(((expected - y) ** 2).mean())


def test_ridge_is_the_penalised_minimum():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)), rng.normal(size=(50, 1))

    def penalised(weight, bias):
        return ((x @ weight + bias - y) ** 2).sum() + 0.3 * 50 * (weight**2).sum()

    linear = LinearMap(x, y, ridge=0.3)
    best = penalised(linear.weight, linear.bias)
    for _ in range(50):
        step = 1e-3 * rng.normal(size=(5, 1))
        assert penalised(linear.weight + step[:4], linear.bias + step[4]) > best


def test_linear_map_with_inputs_that_never_change():
    """As the border pixels of MNIST do: the smallest solution leaves them alone."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(size=(30, 2)), np.ones((30, 2))], 1)
    linear = LinearMap(x, x[:, :1])
    np.testing.assert_allclose(linear.weight[:, 0], [1, 0, 0, 0], atol=1e-10)


def test_linear_map_of_images():
    x = np.random.default_rng(0).random((20, 1, 2, 2))
    linear = LinearMap(x, 2 * x)
    assert linear(x).shape == (20, 1, 2, 2)
    assert linear.mse(x, 2 * x) < 1e-20 < 0.01 < linear.mse(x, 2 * x, clip=True)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: PCA(np.zeros((3, 2)), 3), "PCA: expected 1 to 2 components, got 3"),
        (lambda: PCA(np.zeros((0, 2)), 1), r"PCA: x: expected numbers \(N, \.\.\.\) with N >= 1"),
        (lambda: PCA([[np.nan, 1.0]], 1), "PCA: x: expected finite numbers"),
        (lambda: PCA(np.eye(2), 1).encode(np.eye(3)), "expected data of 2 numbers each, got 3"),
        (lambda: PCA(np.eye(2), 1).decode(np.eye(3)), "expected codes of 1 numbers, got 3"),
        (lambda: LinearMap(np.eye(2), np.eye(3)), "expected as many inputs as targets"),
        (lambda: LinearMap(np.eye(2), np.eye(2), -1.0), "expected ridge >= 0, got -1"),
        (lambda: LinearMap(np.eye(2), np.eye(2))(np.eye(3)), "expected inputs of 2 numbers"),
        (
            lambda: LinearMap(np.eye(2), np.eye(2)).mse(np.eye(2), np.ones((2, 3))),
            r"expected targets \(2, 2\), got \(2, 3\)",
        ),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
