r"""Distances between samples: against double loops, unbiased, and sharp."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.evaluation import energy_distance, mmd, nearest_neighbour_distance
from minigrad.evaluation import samples as module


@given(seed=st.integers(0, 1000), d=st.sampled_from([1, 2, 3, 4, 7]))
def test_against_loops(seed, d):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(5, d)), rng.normal(size=(7, d)) + 1

    def mean(f, a, b):
        values = [f(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if a is not b or i != j]
        return sum(values) / len(values)

    def distance(p, q):
        return math.dist(p, q)

    expected = 2 * mean(distance, x, y) - mean(distance, x, x) - mean(distance, y, y)
    assert energy_distance(x, mg.tensor(y)) == pytest.approx(expected)

    def kernel(p, q):
        return sum(math.exp(-(math.dist(p, q) ** 2) / (2 * h * h)) for h in (0.5, 2.0)) / 2

    expected = mean(kernel, x, x) + mean(kernel, y, y) - 2 * mean(kernel, x, y)
    assert mmd(x, y, [0.5, 2.0]) == pytest.approx(expected)
    nearest = [min(math.dist(p, q) for q in y) for p in x]
    np.testing.assert_allclose(nearest_neighbour_distance(x, y), nearest)


def test_rows_at_a_time(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.normal(size=(40, 2))
    at_once = energy_distance(x, y), mmd(x, y), nearest_neighbour_distance(x, y)
    monkeypatch.setattr(module, "_ENTRIES", 100)
    in_parts = energy_distance(x, y), mmd(x, y), nearest_neighbour_distance(x, y)
    for a, b in zip(at_once, in_parts):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("distance", [energy_distance, mmd])
def test_unbiased_for_equal_distributions(distance):
    """300 pairs of small samples: the mean is 0 within 4 standard errors. With each point paired
    with itself it would be far off."""
    rng = np.random.default_rng(0)
    found = [distance(*rng.normal(size=(2, 10, 2))) for _ in range(300)]
    assert abs(np.mean(found)) < 4 * np.std(found) / math.sqrt(300)
    assert min(found) < 0 < max(found)


def test_energy_distance_of_normals():
    """One axis, N(0, 1) and N(m, 1): E|X - Y| of a normal with mean m and variance 2 is known."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=20_000), rng.normal(size=20_000) + 1.5
    m, s = 1.5, math.sqrt(2)

    def folded(m):
        density = math.exp(-(m**2) / (2 * s**2)) / (s * math.sqrt(2 * math.pi))
        return 2 * s**2 * density + m * math.erf(m / (s * math.sqrt(2)))

    expected = 2 * folded(m) - 2 * folded(0)
    assert energy_distance(x[:4000], y[:4000]) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize("distance", [energy_distance, mmd])
def test_lost_modes_are_noticed(distance):
    from minigrad.data import make_gaussian_ring

    real, mode = make_gaussian_ring(4000, generator=mg.Generator(0))
    more, _ = make_gaussian_ring(1500, generator=mg.Generator(1))
    same = abs(distance(real[:1500], more))
    lost = distance(real[:1500], real[1500:][mode[1500:] < 6][:1500])
    assert lost > 5 * same


def test_points_that_are_all_equal():
    assert mmd(np.ones((3, 2)), np.ones((4, 2))) == pytest.approx(0)
    assert energy_distance(np.ones((3, 2)), np.ones((4, 2))) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: energy_distance([[1.0]], [[1.0], [2.0]]), "expected at least two points"),
        (lambda: mmd([1.0, 2.0], [1.0, 2.0], 0.0), "mmd: expected positive bandwidths"),
        (lambda: mmd(np.eye(2), np.eye(3)), "x and y of the same size, got 2 and 3 numbers"),
        (lambda: nearest_neighbour_distance([np.inf], [1.0]), "expected finite numbers"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
