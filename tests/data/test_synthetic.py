r"""Synthetic data sets lie where their formulas put them."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.backend import Generator
from minigrad.data import (
    grid_centres,
    make_gaussian_grid,
    make_gaussian_ring,
    make_linear,
    make_moons,
    make_spirals,
    ring_centres,
)

MAKERS = [make_moons, make_gaussian_ring, make_gaussian_grid, make_spirals, make_linear]


@pytest.mark.parametrize("make", MAKERS)
def test_types_lengths_and_seeds(make):
    x, y = make(101, generator=Generator(1))
    assert x.shape == (101, 2)
    assert x.dtype == np.float32
    assert len(y) == 101
    assert y.dtype == (np.float32 if make is make_linear else np.int64)
    again = make(101, generator=Generator(1))
    np.testing.assert_array_equal(x, again[0])
    assert not np.array_equal(x, make(101, generator=Generator(2))[0])


@pytest.mark.parametrize("make", MAKERS)
def test_bad_arguments(make):
    with pytest.raises(ValueError, match=f"{make.__name__}: expected n >= 1, got 0"):
        make(0)
    with pytest.raises(ValueError, match=f"{make.__name__}: expected noise >= 0"):
        make(5, noise=-1)


def test_moons_are_half_circles():
    x, y = make_moons(500, noise=0)
    upper, lower = x[y == 0], x[y == 1]
    np.testing.assert_allclose(np.hypot(*upper.T), 1, rtol=1e-6)
    np.testing.assert_allclose(np.hypot(*(lower - [1, 0.5]).T), 1, rtol=1e-6)
    assert upper[:, 1].min() >= 0
    assert lower[:, 1].max() <= 0.5


def test_ring_modes():
    x, mode = make_gaussian_ring(4000, modes=5, radius=3, noise=0.1)
    for k in range(5):
        centre = 3 * np.array([np.cos(2 * np.pi * k / 5), np.sin(2 * np.pi * k / 5)])
        members = x[mode == k]
        assert len(members) > 600
        np.testing.assert_allclose(members.mean(0), centre, atol=0.03)
        np.testing.assert_allclose(members.std(0), 0.1, atol=0.02)
    exact, mode = make_gaussian_ring(50, modes=5, radius=3, noise=0)
    np.testing.assert_allclose(ring_centres(5, 3)[mode], exact, rtol=1e-6)


def test_grid_modes():
    x, mode = make_gaussian_grid(6000, side=3, spacing=1.5, noise=0.1)
    for k in range(9):
        centre = 1.5 * np.array([k % 3 - 1, k // 3 - 1])
        members = x[mode == k]
        assert len(members) > 500
        np.testing.assert_allclose(members.mean(0), centre, atol=0.03)
        np.testing.assert_allclose(members.std(0), 0.1, atol=0.02)
    np.testing.assert_allclose(x.mean(0), 0, atol=0.1)
    exact, mode = make_gaussian_grid(50, side=3, spacing=1.5, noise=0)
    np.testing.assert_allclose(grid_centres(3, 1.5)[mode], exact, rtol=1e-6)


def test_spiral_angle_is_linear_in_the_radius():
    x, y = make_spirals(600, classes=3, turns=0.75, noise=0)
    r = np.hypot(*x.T)
    expected = 2 * np.pi * (y / 3 + 0.75 * r)
    np.testing.assert_allclose(
        x, r[:, None] * np.stack([np.cos(expected), np.sin(expected)], 1), atol=1e-5
    )


def test_linear_is_recovered_by_least_squares():
    x, y = make_linear(2000, weight=[1.5, -2.0, 0.5], bias=3.0, noise=0.1)
    design = np.concatenate([x, np.ones((2000, 1))], axis=1)
    solution = np.linalg.lstsq(design, y, rcond=None)[0][:, 0]
    np.testing.assert_allclose(solution, [1.5, -2.0, 0.5, 3.0], atol=0.02)
    assert y.shape == (2000, 1)


@pytest.mark.parametrize("make", [make_gaussian_ring, make_gaussian_grid, make_spirals])
def test_no_modes(make):
    with pytest.raises(ValueError, match="expected (modes|side|classes) >= 1, got 0"):
        make(5, 0)
