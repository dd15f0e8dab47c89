r"""Units of likelihoods, and the importance-weighted bound where everything is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.evaluation import bits_per_dim, effective_sample_size, importance_weighted_bound
from minigrad.testing import gradcheck


@given(
    weights=st.lists(st.floats(0.05, 20), min_size=2, max_size=5),
    repeats=st.integers(1, 4),
)
def test_bits_of_dequantised_pixels(weights, repeats):
    """The density that is constant on each level: its bits are the entropy of the levels."""
    p = np.array(weights) / sum(weights)
    levels = len(p)
    density = p * levels  # of x in [0, 1], a step for each level
    log_prob = repeats * (p * np.log(density)).sum()  # the mean, over `repeats` equal pixels
    entropy = -(p * np.log2(p)).sum()
    assert bits_per_dim(log_prob, repeats, levels) == pytest.approx(entropy, abs=1e-9)


def test_bits_without_levels_and_of_tensors():
    # A standard normal has 1/2 log2(2 pi e) bits, as it stands.
    entropy = 0.5 * math.log(2 * math.pi * math.e)
    assert bits_per_dim(-entropy, 1, levels=1) == pytest.approx(entropy / math.log(2))
    log_prob = mg.tensor([-10.0, 20.0], requires_grad=True)
    bits = bits_per_dim(log_prob, 5)
    assert bits.dtype == np.float32
    expected = 8 - np.array([-2, 4]) / math.log(2)
    np.testing.assert_allclose(bits.detach().numpy(), expected, rtol=1e-6)  # float32


@given(seed=st.integers(0, 1000), dim=st.sampled_from([0, 1, -1]))
def test_the_bound_is_the_logarithm_of_the_mean_weight(seed, dim):
    log_w = np.random.default_rng(seed).normal(size=(4, 3))
    expected = np.log(np.exp(log_w).mean(dim))
    np.testing.assert_allclose(importance_weighted_bound(log_w, dim), expected)
    np.testing.assert_allclose(importance_weighted_bound(log_w - 2000, dim), expected - 2000)
    tensor = mg.tensor(log_w)
    np.testing.assert_allclose(importance_weighted_bound(tensor, dim).numpy(), expected)
    w = np.exp(log_w)
    sizes = w.sum(dim) ** 2 / (w**2).sum(dim)
    np.testing.assert_allclose(effective_sample_size(log_w, dim), sizes)
    assert (sizes >= 1 - 1e-9).all() and (sizes <= log_w.shape[dim] + 1e-9).all()


def test_derivative(device):
    log_w = mg.randn(4, 3, dtype=mg.float64, device=device, requires_grad=True)
    assert gradcheck(importance_weighted_bound, log_w, order=2)


def test_it_rises_to_the_likelihood():
    """z ~ N(0, 1), x = z + N(0, 1/4), q = N(0, 1): log p(x) is that of N(0, 5/4). One sample is
    the ELBO; all within 4 standard errors of 4000 repeats."""
    rng = np.random.default_rng(0)
    x, s2 = 1.3, 0.25
    exact = -0.5 * (x**2 / 1.25 + math.log(2 * math.pi * 1.25))
    elbo = -0.5 * ((x**2 + 1) / s2 + math.log(2 * math.pi * s2))  # E_q log p(x|z), KL = 0
    bounds = []
    for k in (1, 10, 100):
        z = rng.normal(size=(k, 4000))
        log_w = -0.5 * ((x - z) ** 2 / s2 + math.log(2 * math.pi * s2))
        found = importance_weighted_bound(log_w)
        bounds.append((found.mean(), found.std() / math.sqrt(4000)))
    (b1, e1), (b10, e10), (b100, e100) = bounds
    assert abs(b1 - elbo) < 4 * e1
    assert b1 + 4 * (e1 + e10) < b10 < b10 + 4 * (e10 + e100) < b100 <= exact + 4 * e100
    assert exact - b100 < 0.05


def test_bad_arguments():
    with pytest.raises(ValueError, match="bits_per_dim: expected dims >= 1 and levels >= 1"):
        bits_per_dim(0.0, 0)
    with pytest.raises(ValueError, match="expected at least one sample, got none"):
        importance_weighted_bound(np.zeros((0, 3)))
