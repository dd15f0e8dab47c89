r"""Returns and advantages against sums written out step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.rl import discounted_returns, gae, n_step_returns

T, N = 9, 3


@st.composite
def played(draw: Any) -> dict[str, np.ndarray]:
    """Rewards, values and ends; an episode may end in both ways at once."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    share = draw(st.sampled_from([0.0, 0.15, 0.5]))
    return {
        "rewards": rng.normal(size=(T, N)).astype(np.float32),
        "values": rng.normal(size=(T, N)).astype(np.float32),
        "next_values": rng.normal(size=(T, N)).astype(np.float32),
        "terminated": rng.random((T, N)) < share,
        "truncated": rng.random((T, N)) < share,
    }


def naive_n_step(p: dict[str, Any], n: int, gamma: float) -> np.ndarray:
    out = np.zeros((T, N))
    for i in range(N):
        for t in range(T):
            for k in range(n):
                out[t, i] += gamma**k * p["rewards"][t + k, i]
                if p["terminated"][t + k, i]:
                    break
                if p["truncated"][t + k, i] or t + k == T - 1 or k == n - 1:
                    out[t, i] += gamma ** (k + 1) * p["next_values"][t + k, i]
                    break
    return out


@given(played(), st.integers(1, T + 3), st.sampled_from([0.0, 0.9, 1.0]))
def test_n_step_returns(p: dict[str, Any], n: int, gamma: float) -> None:
    ends = (p["terminated"], p["truncated"])
    found = n_step_returns(p["rewards"], p["next_values"], *ends, n, gamma)
    np.testing.assert_allclose(found, naive_n_step(p, n, gamma), atol=1e-5)
    assert found.dtype == np.float32


@given(played())
def test_discounted_returns_are_those_of_all_steps(p: dict[str, Any]) -> None:
    ends = (p["terminated"], p["truncated"])
    found = discounted_returns(p["rewards"], *ends, 0.9, p["next_values"])
    np.testing.assert_allclose(found, naive_n_step(p, T, 0.9), atol=1e-5)
    none = discounted_returns(p["rewards"], *ends, 0.9)
    p["next_values"][:] = 0
    np.testing.assert_allclose(none, naive_n_step(p, T, 0.9), atol=1e-5)


@given(played(), st.sampled_from([0.0, 0.95, 1.0]))
def test_gae_weighs_the_n_step_advantages(p: dict[str, Any], lam: float) -> None:
    """(1 - lambda) sum lambda^(n-1) A^(n), and the rest of the weight on the last one. That the
    values of neighbouring rows agree is what makes the sum telescope."""
    done = p["terminated"] | p["truncated"]
    following = np.concatenate([p["values"][1:], p["next_values"][-1:]])
    p["next_values"] = np.where(done, p["next_values"], following)
    wanted = np.zeros((T, N))
    for n in range(1, T + 1):
        weight = lam ** (T - 1) if n == T else (1 - lam) * lam ** (n - 1)
        wanted += weight * (naive_n_step(p, n, 0.9) - p["values"])
    found = gae(**p, gamma=0.9, lam=lam)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert found.dtype == np.float32


def test_a_limit_of_time_is_no_end_of_the_world() -> None:
    """The last step's target, for each way to end. The popular code has 1 in all of them."""
    for terminated, truncated, target in ((1, 0, 1.0), (0, 1, 10.0), (1, 1, 1.0), (0, 0, 10.0)):
        one = np.ones((1, 1))
        arguments = (one, one * 10, one == terminated, one == truncated)
        assert n_step_returns(*arguments, 5, 0.9).item() == pytest.approx(target)
        rewards, values, *ends = arguments
        assert discounted_returns(rewards, *ends, 0.9, values).item() == pytest.approx(target)
        advantage = gae(rewards, one * 3, values, *ends, 0.9, 0.5).item()
        assert advantage == pytest.approx(target - 3)


@pytest.mark.parametrize("shape", [(3,), (3, 2, 1), (2, 3)])
def test_shapes_must_agree(shape: tuple[int, ...]) -> None:
    good, bad = np.zeros((3, 2)), np.zeros(shape)
    for call in (
        lambda: gae(good, good, bad, good, good, 0.9, 0.9),
        lambda: n_step_returns(bad, good, good, good, 1, 0.9),
        lambda: discounted_returns(good, bad, good, 0.9),
    ):
        with pytest.raises(ValueError, match=r"expected arrays of one shape \(T, N\), got"):
            call()
    with pytest.raises(ValueError, match="expected n >= 1, got 0"):
        n_step_returns(good, good, good, good, 0, 0.9)
