r"""Images of polynomials, and what tells them from others."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.backend import Generator
from minigrad.data import make_polynomials
from minigrad.evaluation import polynomial_coefficients, polynomial_residual, row_norms


def test_pixels_are_the_formula() -> None:
    """Drawn again from the same stream and evaluated term by term."""
    images, degrees = make_polynomials(6, size=7, generator=Generator(3))
    assert images.shape == (6, 1, 7, 7) and images.dtype == np.float32
    rng = Generator(3).numpy
    np.testing.assert_array_equal(rng.integers(5, size=6), degrees)
    c = rng.standard_normal((6, 5, 5))
    for k, d in enumerate(degrees):
        p = np.zeros((7, 7))
        for y in range(7):
            for x in range(7):
                p[y, x] = sum(
                    c[k, i, j] * (x / 7) ** i * (y / 7) ** j
                    for i in range(5)
                    for j in range(5 - i)
                    if i + j <= d
                )
        expected = p / np.sqrt((p**2).sum(1, keepdims=True))
        np.testing.assert_allclose(images[k, 0], expected, atol=2e-6)


def test_figures_that_a_right_generator_must_reproduce() -> None:
    """Residual 0, rows of length 1, and a fifth of constant images, within four deviations of the
    binomial distribution. Noise: 1 - 5 / 40."""
    images, degrees = make_polynomials(20_000, generator=Generator(0))
    constant = np.ptp(images, axis=(1, 2, 3)) < 1e-6
    np.testing.assert_array_equal(constant, degrees == 0)
    assert constant.mean() == pytest.approx(0.2, abs=4 * np.sqrt(0.2 * 0.8 / 20_000))
    np.testing.assert_allclose(abs(images[constant]), 1 / np.sqrt(40), rtol=1e-5)
    assert (np.bincount(degrees) > 3700).all() and len(np.bincount(degrees)) == 5
    some = images[:2000]
    assert polynomial_residual(some).shape == (2000, 1, 40)
    assert polynomial_residual(some).max() < 1e-6  # float32
    np.testing.assert_allclose(row_norms(mg.tensor(some)), 1, atol=1e-6)
    noise = np.random.default_rng(0).normal(size=(500, 1, 40, 40))
    assert polynomial_residual(noise).mean() == pytest.approx(0.875, abs=0.002)


def test_the_residual_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 5, 12)) + 10
    powers = np.vander(np.arange(12.0), 4)
    for row, found in zip(images.reshape(-1, 12), polynomial_residual(images, 3).ravel()):
        fitted = powers @ np.linalg.lstsq(powers, row, rcond=None)[0]
        assert found == pytest.approx(((row - fitted) ** 2).sum() / (row**2).sum(), rel=1e-6)


def test_each_degree_needs_its_own() -> None:
    """Images of degree d have none left at d, and some at d - 1."""
    images, degrees = make_polynomials(400, generator=Generator(1))
    for d in range(1, 5):
        these = images[degrees == d]
        assert polynomial_residual(these, d).max() < 1e-6
        assert polynomial_residual(these, d - 1).mean() > 1e-5


def test_coefficients() -> None:
    images, _ = make_polynomials(50, generator=Generator(2))
    c = polynomial_coefficients(images)
    assert c.shape == (50, 1, 40, 5)
    np.testing.assert_allclose((c**2).sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(c[..., 0], images.sum(-1) / np.sqrt(40), atol=1e-5)
    line = np.arange(40.0)[None]  # its slope is positive
    assert polynomial_coefficients(line, 1)[0, 1] > 0


def test_rows_of_zeros() -> None:
    assert (polynomial_residual(np.zeros((2, 3, 8))) == 0).all()
    assert (row_norms(np.zeros((2, 3, 8))) == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_polynomials(0), "make_polynomials: expected n >= 1 and size >= 5, got 0"),
        (lambda: make_polynomials(3, size=4), "size >= 5, got 3 and 4"),
        (lambda: polynomial_residual(np.ones((2, 4))), "expected 0 <= degree < 4, the width"),
        (lambda: polynomial_residual([[np.nan] * 6]), "polynomial_residual: expected finite"),
        (lambda: row_norms([1.0]), r"row_norms: expected images \(..., H, W\), got float64 \(1,\)"),
    ],
)
def test_bad_arguments(call, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()
