r"""The exact posterior: against the definition of a conditional normal; nothing predicts better."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backend import Generator
from minigrad.data import make_gp_curves, rbf_kernel
from minigrad.evaluation import GaussianProcess


def log_normal(y: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> float:
    d = y - mean
    return float(
        -0.5 * (d @ np.linalg.inv(covariance) @ d + np.linalg.slogdet(2 * np.pi * covariance)[1])
    )


@given(seed=st.integers(0, 1000), n=st.integers(1, 6), m=st.integers(1, 5))
def test_posterior_is_the_conditional_normal(seed, n, m):
    """log p(targets | context) = log p(all) - log p(context), from the joint covariance alone."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-2, 2, n + m), rng.normal(size=n + m)
    gp = GaussianProcess(x[:n], y[:n], length_scale=0.5, variance=1.5, noise=0.3)
    joint = rbf_kernel(x, x, 0.5, 1.5) + 0.09 * np.eye(n + m)
    expected = log_normal(y, 0 * y, joint) - log_normal(y[:n], 0 * y[:n], joint[:n, :n])
    assert gp.log_prob(x[n:], y[n:], joint=True) == pytest.approx(expected, abs=1e-5)
    # One place at a time, the conditional is that of the smaller joint normal.
    for j in range(m):
        some = np.r_[np.arange(n), n + j]
        single = log_normal(y[some], 0 * y[some], joint[np.ix_(some, some)])
        single -= log_normal(y[:n], 0 * y[:n], joint[:n, :n])
        assert gp.log_prob(x[n:], y[n:])[j] == pytest.approx(single, abs=1e-5)


def test_mean_and_spread():
    gp = GaussianProcess([-1.0, 1.0], [0.5, -2.0], noise=0.1)
    mean, std = gp.predict([-1.0, 1.0, 50.0])
    np.testing.assert_allclose(mean, [0.5, -2.0, 0.0], atol=0.03)
    assert (std[:2] < 0.15).all() and std[2] == pytest.approx(math.sqrt(1.01))
    _, of_curve = gp.predict([-1.0, 1.0, 50.0], observed=False)
    np.testing.assert_allclose(std**2 - of_curve**2, 0.01)


def test_many_curves_at_once():
    x, y = make_gp_curves(4, 12)
    several = GaussianProcess(mg.tensor(x[:, :8]), mg.tensor(y[:, :8]))
    mean, std = several.predict(x[:, 8:])
    assert mean.shape == std.shape == (4, 4)
    assert several.log_prob(x[:, 8:], y[:, 8:], joint=True).shape == (4,)
    for b in range(4):
        one = GaussianProcess(x[b, :8], y[b, :8])
        np.testing.assert_allclose(one.predict(x[b, 8:])[0], mean[b], atol=1e-6)
        np.testing.assert_allclose(one.predict(x[b, 8:])[1], std[b], atol=1e-6)


def test_predictions_are_calibrated_and_more_context_helps():
    """On 500 curves of the process: standardised errors are standard normal within 4 standard
    errors of independent points, one target a curve."""
    x, y = make_gp_curves(500, 21, noise=0.1, generator=Generator(0))
    scores = []
    for n in (0, 1, 5, 20):
        if n == 0:
            scores.append(-0.5 * (y[:, 20, 0] ** 2 / 1.01 + math.log(2 * math.pi * 1.01)))
            continue
        gp = GaussianProcess(x[:, :n], y[:, :n], noise=0.1)
        mean, std = gp.predict(x[:, 20:])
        z = (y[:, 20] - mean) / std
        assert abs(z.mean()) < 4 / math.sqrt(500)
        assert abs((z**2).mean() - 1) < 4 * math.sqrt(2 / 500)
        scores.append(gp.log_prob(x[:, 20:], y[:, 20:])[:, 0])
    means = [s.mean() for s in scores]
    assert means == sorted(means)


@pytest.mark.parametrize("wrong", [{"length_scale": 0.8}, {"variance": 3.0}, {"noise": 0.5}])
def test_another_process_predicts_worse(wrong):
    x, y = make_gp_curves(300, 30, noise=0.1, generator=Generator(1))

    def score(**options):
        gp = GaussianProcess(x[:, :10], y[:, :10], **{"noise": 0.1, **options})
        return gp.log_prob(x[:, 10:], y[:, 10:], joint=True)

    difference = score() - score(**wrong)
    assert difference.mean() > 4 * difference.std() / math.sqrt(300)


def test_close_points_without_noise():
    gp = GaussianProcess([0.0, 1e-9, 0.5], [1.0, 1.0, 0.2], noise=0.0)
    mean, std = gp.predict([0.0, 0.5])
    np.testing.assert_allclose(mean, [1.0, 0.2], atol=1e-3)
    assert np.isfinite(std).all()


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"expected x and y of one shape, got \(2,\) and \(3,\)"):
        GaussianProcess([0.0, 1.0], [0.0, 1.0, 2.0])
    with pytest.raises(ValueError, match="expected noise >= 0"):
        GaussianProcess([0.0], [0.0], noise=-1.0)
    with pytest.raises(ValueError, match="GaussianProcess: x: expected numbers"):
        GaussianProcess(0.0, [0.0])
