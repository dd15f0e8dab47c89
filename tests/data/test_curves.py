r"""Curves of a Gaussian process have its covariance."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.backend import Generator
from minigrad.data import make_gp_curves, rbf_kernel


def test_types_shapes_and_seeds():
    x, y = make_gp_curves(3, points=7, limit=1.5, generator=Generator(1))
    assert x.shape == y.shape == (3, 7, 1)
    assert x.dtype == y.dtype == np.float32
    assert abs(x).max() <= 1.5
    again = make_gp_curves(3, points=7, limit=1.5, generator=Generator(1))
    np.testing.assert_array_equal(y, again[1])
    assert not np.array_equal(y, make_gp_curves(3, points=7, limit=1.5, generator=Generator(2))[1])


def test_covariance_is_the_kernel():
    """20,000 curves at five places: each entry within four standard errors."""
    n = 20_000
    x, y = make_gp_curves(
        n, 5, length_scale=0.7, variance=2.0, noise=0.5, grid=True, generator=Generator(0)
    )
    expected = rbf_kernel(x[0, :, 0], x[0, :, 0], 0.7, 2.0) + 0.25 * np.eye(5)
    values = y[:, :, 0].astype(np.float64)
    found = values.T @ values / n
    # Var(y_i y_j) = K_ii K_jj + K_ij^2
    error = np.sqrt((np.outer(np.diag(expected), np.diag(expected)) + expected**2) / n)
    assert (abs(found - expected) < 4 * error).all()
    assert abs(values.mean(0)).max() < 4 * np.sqrt(2.25 / n)


def test_grid_is_shared_and_places_are_not():
    x, _ = make_gp_curves(2, 5, limit=2.0, grid=True)
    np.testing.assert_allclose(x[:, :, 0], [np.linspace(-2, 2, 5)] * 2)
    x, _ = make_gp_curves(2, 5)
    assert not np.array_equal(x[0], x[1])


def test_curves_without_noise_are_smooth():
    """200 places, ten to a length scale: the matrix is singular but for rounding."""
    _, y = make_gp_curves(4, 200, length_scale=0.4, noise=0.0, grid=True)
    assert np.isfinite(y).all()
    assert abs(np.diff(y[:, :, 0])).max() < 0.3


def test_kernel():
    x = np.array([[0.0, 1.0], [2.0, 2.5]])
    k = rbf_kernel(x, x[:, :1], length_scale=0.5, variance=3.0)
    assert k.shape == (2, 2, 1)
    for b in range(2):
        for i in range(2):
            assert k[b, i, 0] == pytest.approx(3 * np.exp(-0.5 * ((x[b, i] - x[b, 0]) / 0.5) ** 2))


def test_bad_arguments():
    with pytest.raises(ValueError, match="make_gp_curves: expected n >= 1 and points >= 1"):
        make_gp_curves(0)
    with pytest.raises(ValueError, match="make_gp_curves: expected noise >= 0 and limit > 0"):
        make_gp_curves(1, noise=-1)
    with pytest.raises(ValueError, match="rbf_kernel: expected a positive length_scale"):
        make_gp_curves(1, length_scale=0)
