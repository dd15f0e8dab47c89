r"""The gamma function's family and the error function's against SciPy, to almost every digit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import special as scipy_special

from minigrad.kernels import gamma, special


def points(rng: np.random.Generator) -> np.ndarray:
    r"""Positive numbers of every size."""
    return np.concatenate([10 ** rng.uniform(-300, 300, 500), rng.uniform(0, 20, 5000)])


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.max(np.abs(found - expected) / np.abs(expected)))


def test_lgamma_and_digamma_of_positive_numbers():
    x = points(np.random.default_rng(0))
    assert relative_error(gamma.digamma(x), scipy_special.psi(x)) < 1e-13
    # At the zeros 1 and 2 SciPy loses digits.
    x = x[(np.abs(x - 1) > 0.01) & (np.abs(x - 2) > 0.01)]
    assert relative_error(gamma.lgamma(x), scipy_special.gammaln(x)) < 1e-13


def test_lgamma_beside_its_zeros():
    # lgamma(1 + z) = -γ z + ζ(2)/2 z² - ζ(3)/3 z³ + ..., and lgamma(2 + z) = ln(1 + z) + that.
    z = np.array([2.0**-7, -(2.0**-7), 2.0**-20, -(2.0**-20), 2.0**-40, 2.0**-51, -(2.0**-51)])
    series = -np.euler_gamma * z
    for k in range(2, 12):
        series += (-1) ** k * scipy_special.zeta(k) / k * z**k
    assert relative_error(gamma.lgamma(1 + z), series) < 1e-13
    assert relative_error(gamma.lgamma(2 + z), np.log1p(z) + series) < 1e-13


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8])
def test_polygamma(n):
    x = np.random.default_rng(0).uniform(0.01, 50, 5000)
    assert relative_error(gamma.polygamma(n, x), scipy_special.polygamma(n, x)) < 1e-13


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_polygamma_of_negative_numbers(n):
    # ψ_n(x) = ψ_n(x + 12) minus the terms between: no reflection.
    x = -np.random.default_rng(0).uniform(0, 10, 2000)
    terms = sum((x + k) ** -(n + 1.0) for k in range(12))
    expected = scipy_special.polygamma(n, x + 12) + (-1) ** (n + 1) * math.factorial(n) * terms
    error = np.abs(gamma.polygamma(n, x) - expected) / np.maximum(np.abs(expected), 1)
    # The sum loses digits where it cancels, the more the closer x is to a pole.
    assert np.quantile(error, 0.99) < 1e-12 and error.max() < 1e-9


def test_lgamma_of_negative_numbers():
    x = -np.random.default_rng(0).uniform(0, 30, 5000)
    expected = scipy_special.gammaln(x)
    error = np.abs(gamma.lgamma(x) - expected) / np.maximum(np.abs(expected), 1)
    assert error.max() < 1e-13


def test_poles_and_infinities():
    inf, nan = math.inf, math.nan
    x = np.array([0.0, -0.0, -1.0, -2.0, inf, -inf, nan])
    np.testing.assert_array_equal(gamma.lgamma(x), [inf, inf, inf, inf, inf, inf, nan])
    np.testing.assert_array_equal(gamma.digamma(x), [-inf, inf, nan, nan, inf, nan, nan])
    np.testing.assert_array_equal(gamma.polygamma(1, x), [inf, inf, inf, inf, 0, nan, nan])
    np.testing.assert_array_equal(gamma.polygamma(2, x), [-inf, -inf, -inf, -inf, 0, nan, nan])
    y = np.array([-2.0, -1, 0, 1, 2, nan])
    np.testing.assert_array_equal(special.erfinv(y), [nan, -inf, 0, inf, nan, nan])
    np.testing.assert_array_equal(special.erfc(np.array([-inf, inf, 100, -100])), [2, 0, 0, 2])


def test_the_inverse_and_the_complement_of_erf():
    rng = np.random.default_rng(0)
    y = np.concatenate([rng.uniform(-1, 1, 5000), 1 - 10 ** rng.uniform(-15.9, -1, 500)])
    assert relative_error(special.erfinv(y), scipy_special.erfinv(y)) < 1e-13
    tiny = 10 ** rng.uniform(-300, -1, 500)
    assert relative_error(special.erfinv(tiny), scipy_special.erfinv(tiny)) < 1e-13
    x = np.linspace(-8, 26, 5001)
    assert relative_error(special.erfc(x), scipy_special.erfc(x)) < 1e-13


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_dtype_stays(dtype):
    x = np.array([0.25, 0.5, 0.75], dtype)
    for f in (gamma.lgamma, gamma.digamma, special.erfc, special.erfinv):
        assert f(x).dtype == dtype
