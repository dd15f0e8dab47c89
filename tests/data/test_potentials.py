r"""The energies U1 to U4 are those of the paper's table, differentiable, and integrate as said."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad.data import POTENTIALS, log_partition, potential
from minigrad.testing import gradcheck


def naive(z1: float, z2: float, name: str) -> float:
    """One point, the formulas of table 1 as they are printed."""
    w1 = math.sin(2 * math.pi * z1 / 4)
    w2 = 3 * math.exp(-0.5 * ((z1 - 1) / 0.6) ** 2)
    w3 = 3 / (1 + math.exp(-(z1 - 1) / 0.3))

    def bump(a: float, width: float) -> float:
        return math.exp(-0.5 * (a / width) ** 2)

    if name == "U1":
        ring = 0.5 * ((math.hypot(z1, z2) - 2) / 0.4) ** 2
        return ring - math.log(bump(z1 - 2, 0.6) + bump(z1 + 2, 0.6))
    if name == "U2":
        return 0.5 * ((z2 - w1) / 0.4) ** 2
    if name == "U3":
        return -math.log(bump(z2 - w1, 0.35) + bump(z2 - w1 + w2, 0.35))
    return -math.log(bump(z2 - w1, 0.4) + bump(z2 - w1 + w3, 0.35))


points = hnp.arrays(np.float64, (5, 2), elements=st.floats(-4, 4))


@pytest.mark.parametrize("name", POTENTIALS)
@given(z=points)
def test_the_formulas(name, z):
    expected = [naive(a, b, name) for a, b in z]
    np.testing.assert_allclose(potential(z, name), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(potential(mg.tensor(z), name).numpy(), potential(z, name))
    wall = 0.5 * (np.maximum(abs(z[:, 0]) - 3, 0) / 0.4) ** 2
    np.testing.assert_allclose(potential(z, name, limit=3.0), expected + wall, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", POTENTIALS)
def test_derivatives(name, device):
    z = mg.randn(4, 2, dtype=mg.float64, device=device, requires_grad=True)
    assert gradcheck(lambda z: potential(z, name, 0.5), z, order=2)


@pytest.mark.parametrize("name", POTENTIALS)
def test_far_points_and_the_origin_are_finite_in_float32(name):
    z = mg.tensor([[0.0, 0.0], [60.0, -50.0], [-80.0, 90.0]], requires_grad=True)
    energy = potential(z, name, 4.0)
    energy.sum().backward()
    assert energy.dtype == np.float32 and np.isfinite(energy.detach().numpy()).all()
    assert z.grad is not None and np.isfinite(z.grad.numpy()).all()


@pytest.mark.parametrize("name", POTENTIALS)
def test_partition_function(name):
    """The midpoint rule has converged, and agrees with importance sampling within 4 errors."""
    fine, coarse = log_partition(name), log_partition(name, points=500)
    assert abs(fine - coarse) < 1e-3
    rng = np.random.default_rng(0)
    z = rng.uniform([-6, -8], [6, 8], (200_000, 2))
    weights = np.exp(-potential(z, name, 4.0)) * 12 * 16
    error = weights.std() / math.sqrt(len(z)) / weights.mean()
    assert abs(math.log(weights.mean()) - fine) < 4 * error


def test_partition_function_where_it_is_known():
    # U2: a normal of width 0.4 across, and 8 long with half a normal of width 0.4 at each end.
    across = math.sqrt(2 * math.pi) * 0.4
    assert log_partition("U2") == pytest.approx(math.log(across * (8 + across)), abs=1e-4)
    assert log_partition("U1", limit=None) == pytest.approx(log_partition("U1"), abs=1e-4)


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"potential: expected points \(N, 2\), got \(3,\)"):
        potential(np.zeros(3), "U1")
    with pytest.raises(ValueError, match="expected one of U1, U2, U3, U4, got 'U5'"):
        potential(np.zeros((1, 2)), "U5")
    with pytest.raises(ValueError, match="log_partition: expected a limit"):
        log_partition("U3", limit=None)
