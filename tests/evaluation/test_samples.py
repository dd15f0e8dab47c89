r"""Distances between samples: against double loops, unbiased, and sharp to lost modes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.data import make_gaussian_grid, make_gaussian_ring, ring_centres
from minigrad.evaluation import (
    energy_distance,
    frechet_distance,
    mmd,
    mode_coverage,
    nearest_neighbour_distance,
    precision_recall,
)
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
    figures = (energy_distance, mmd, nearest_neighbour_distance, precision_recall)
    at_once = [figure(x, y) for figure in figures] + [mode_coverage(x, y, 0.1)]
    monkeypatch.setattr(module, "_ENTRIES", 100)
    in_parts = [figure(x, y) for figure in figures] + [mode_coverage(x, y, 0.1)]
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
    real, mode = make_gaussian_ring(4000, generator=mg.Generator(0))
    more, _ = make_gaussian_ring(1500, generator=mg.Generator(1))
    same = abs(distance(real[:1500], more))
    lost = distance(real[:1500], real[1500:][mode[1500:] < 6][:1500])
    assert lost > 5 * same


# ----------------------------------------------------------------------------- Fréchet distance
def gaussian(rng, mean, root, n):
    """n points whose mean and covariance (with n - 1) are exactly ``mean`` and ``root root^T``."""
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(0)
    x = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / (n - 1))).T
    return x @ root.T + mean


@given(seed=st.integers(0, 1000), d=st.integers(1, 6))
def test_frechet_distance_against_sqrtm(seed, d):
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(seed)
    means, roots = rng.normal(size=(2, d)), rng.normal(size=(2, d, d))
    x, y = (gaussian(rng, m, r, d + 5 + i) for i, (m, r) in enumerate(zip(means, roots)))
    c, e = (r @ r.T for r in roots)
    root = linalg.sqrtm(linalg.sqrtm(c) @ e @ linalg.sqrtm(c)).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(c + e - 2 * root)
    assert frechet_distance(x, mg.tensor(y)) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_frechet_distance_of_gaussians_with_the_same_axes():
    """Covariances that commute: the sum of (deviation - deviation)^2 along the axes."""
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(5, 5)))[0]
    a, b = rng.random((2, 5)) + 0.1
    x = gaussian(rng, np.zeros(5), rotation * a, 50)
    y = gaussian(rng, 3 * np.eye(5)[0], rotation * b, 60)
    expected = 9 + ((a - b) ** 2).sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(y, 2 * y - y) == pytest.approx(0, abs=1e-9)


def test_frechet_distance_with_more_numbers_than_points():
    """Singular covariances: 40 points of 100 numbers. A set has no distance from itself, rotating
    both changes nothing, and moving one along a new axis adds the square of the way."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 40, 100))
    rotation = np.linalg.qr(rng.normal(size=(100, 100)))[0]
    assert frechet_distance(x, x[::-1]) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x @ rotation, y @ rotation) == pytest.approx(frechet_distance(x, y))
    assert frechet_distance(x, x + 0.5) == pytest.approx(25)
    assert frechet_distance(np.ones((3, 2)), np.ones((4, 2))) == 0


def test_frechet_distance_shrinks_with_more_samples():
    """Of equal distributions it is too large: for d numbers by about d (d + 1) / 4 (1/n + 1/m) and
    the means' d (1/n + 1/m), here 20 (21 / 4 + 1) (2 / n)."""
    rng = np.random.default_rng(0)
    for n in (1000, 4000):
        found = np.mean([frechet_distance(*rng.normal(size=(2, n, 20))) for _ in range(5)])
        assert found == pytest.approx(125 * 2 / n, rel=0.1)


# -------------------------------------------------------------------------- precision and recall
@given(seed=st.integers(0, 1000), k=st.integers(1, 4), d=st.sampled_from([2, 5]))
def test_precision_recall_against_loops(seed, k, d):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(12, d)), rng.normal(size=(9, d)) + 0.5

    def inside(p, centres):
        for i, c in enumerate(centres):
            others = sorted(math.dist(c, e) for j, e in enumerate(centres) if j != i)
            if math.dist(p, c) <= others[k - 1]:
                return True
        return False

    precision, recall = precision_recall(mg.tensor(real), fake, k)
    assert precision == np.mean([inside(p, real) for p in fake])
    assert recall == np.mean([inside(p, fake) for p in real])


def test_precision_and_recall_see_different_faults():
    real, mode = make_gaussian_ring(1600, generator=mg.Generator(0))
    same, _ = make_gaussian_ring(800, generator=mg.Generator(1))
    few, among = real[:800], real[800:][mode[800:] < 4]  # half of the modes
    spread = np.random.default_rng(0).uniform(-3, 3, (800, 2))
    precision, recall = precision_recall(few, same)
    assert precision > 0.9 and recall > 0.9
    precision, recall = precision_recall(few, among)
    assert precision > 0.9 and 0.4 < recall < 0.6
    precision, recall = precision_recall(few, spread)
    assert precision < 0.05 and recall > 0.9


# ------------------------------------------------------------------------------------------ modes
def test_mode_coverage_of_the_mixture_itself():
    """Beyond three deviations of a round Gaussian in the plane lies exp(-9/2) = 1.11 %."""
    points, _ = make_gaussian_ring(20_000, noise=0.05, generator=mg.Generator(0))
    modes, good = mode_coverage(points, ring_centres(), 0.05)
    assert modes == 8 and good == pytest.approx(1 - math.exp(-4.5), abs=0.003)
    assert mode_coverage(points, ring_centres(), 0.025)[1] == pytest.approx(
        1 - math.exp(-4.5 / 4), abs=0.02
    )


def test_mode_coverage_counts_what_is_hit():
    points, mode = make_gaussian_grid(25_000, generator=mg.Generator(0))
    axis = np.arange(-4.0, 5.0, 2.0)
    centres = np.array([(x, y) for y in axis for x in axis])
    kept = points[np.isin(mode, (0, 7, 24))]
    assert mode_coverage(kept, centres, 0.05)[0] == 3
    # The threshold: of 1000 points and 25 modes, 0.5 * 40 = 20 must be near one.
    on = np.concatenate([np.repeat(centres[:1], 980, 0), np.repeat(centres[1:2], 20, 0)])
    assert mode_coverage(on, centres, 0.05, share=0.5) == (2, 1.0)
    assert mode_coverage(on[:-1], centres, 0.05, share=0.5) == (1, 1.0)
    # Points between two modes are near none, wherever most of them are.
    assert mode_coverage(on + 1, centres, 0.05) == (0, 0.0)


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
        (lambda: frechet_distance([1.0, 2.0], [1.0]), "expected at least two points in each"),
        (lambda: frechet_distance(np.eye(2), np.eye(3)), "x and y of the same size"),
        (lambda: precision_recall(np.eye(3), np.eye(3), k=3), "k = 3 with 3 and 3 points"),
        (lambda: precision_recall(np.eye(3), np.eye(3), k=0), "expected 1 <= k"),
        (lambda: mode_coverage(np.eye(2), np.eye(2), 0.0), "mode_coverage: expected deviation > 0"),
        (lambda: mode_coverage(np.eye(2), np.eye(2), 1.0, 0.0), "0 < share <= 1, got 1.0 and 0.0"),
        (lambda: mode_coverage(np.eye(2), np.eye(3), 1.0), "points and centres of the same size"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
