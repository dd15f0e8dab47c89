r"""Dynamic programming, against figures that were found otherwise; the worlds of our own."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.rl import (
    NoisyMax,
    evaluate,
    make,
    policy_value,
    random_policy,
    six_states_table,
    value_iteration,
)


def table(env: str, **options: object) -> dict:
    pytest.importorskip("gymnasium")
    return make(env, **options).unwrapped.P


# Action values with gamma .9: left, down, right, up of states 0, 1, 3 and 4.
SIX_STATES = {
    0: [81, 72.9, 90, 81],
    1: [81, 81, 100, 90],
    3: [72.9, 72.9, 81, 81],
    4: [72.9, 81, -100, 90],
}


def test_six_states() -> None:
    values = value_iteration(six_states_table(), 0.9)
    for state, expected in SIX_STATES.items():
        np.testing.assert_allclose(values[state], expected, rtol=1e-15)
    assert (values[[2, 5]] == 0).all()


@pytest.mark.parametrize(
    ("slippery", "gamma", "success"),
    [(True, 0.9, 0.7298), (True, 0.99, 0.7402), (True, 1.0, 0.7402), (False, 0.9, 1.0)],
)
def test_frozen_lake(slippery: bool, gamma: float, success: float) -> None:
    """A slippery lake is crossed in 100 steps by the policy that is best for gamma."""
    P = table("FrozenLake-v1", is_slippery=slippery)
    best = value_iteration(P, gamma, 1e-10).round(8).argmax(1)
    assert abs(policy_value(P, best)[0] - success) < 5e-5


def test_cliff() -> None:
    values = value_iteration(table("CliffWalking-v1"), 1.0)
    assert values[36].max() == -13  # along the edge: up, 11 to the right, down


def test_an_exact_value_is_the_mean_of_many_episodes() -> None:
    P = table("FrozenLake-v1", is_slippery=True)
    best = value_iteration(P, 0.99).argmax(1)
    exact = policy_value(P, best)[0]
    found = evaluate(lambda x: best[x], "FrozenLake-v1", 2000, seed=5, is_slippery=True)
    assert abs(found.mean - exact) < 3 / 1.96 * found.margin


def test_bad_discounts_and_worlds_without_an_end() -> None:
    with pytest.raises(ValueError, match="gamma in"):
        value_iteration(six_states_table(), 1.5)
    with pytest.raises(RuntimeError, match="no fixed point"):
        value_iteration({0: {0: [(1.0, 0, 1.0, False)]}}, 1.0)


def test_our_worlds_go_through_vectors() -> None:
    pytest.importorskip("gymnasium")
    found = evaluate(lambda x: np.full(len(x), 2), "minigrad/SixStates", 10)
    assert (found.returns == 100).all() and (found.lengths == 2).all()
    assert (evaluate(lambda x: 0 * x, "minigrad/SixStates", 3).lengths == 100).all()
    noise = evaluate(random_policy(NoisyMax()), "minigrad/NoisyMax", 4000)
    assert (noise.lengths == 2).all() and abs(noise.mean) < 0.06  # s = 1: 4 of its errors
    assert abs(noise.returns.std() - 1) < 0.05
