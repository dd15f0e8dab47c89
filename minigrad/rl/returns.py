r"""Returns and advantages: what followed each step, as one number.

Belongs here: functions of rewards and values, on the host. Does not belong here: playing
(``rollout.py``), losses.

All take arrays (T, N): T steps of N environments, and return float32 (T, N). The end of an episode
has two kinds, and they are kept apart:

========== ============================================== =====================================
terminated the world ended: nothing follows               the value of what follows is 0
truncated  somebody stopped looking: a limit of time      the value of what follows is V(s')
========== ============================================== =====================================

A pole that still stands after 500 steps would have gone on standing. To say that it is worth
nothing teaches that the 500th step is a fall, in states that look like all others. Where both are
true the world has ended. The last row bootstraps as well: the rollout was cut there.

``next_values`` (T, N) are the values V(s'_t) of the states that the steps *led to*: of a truncated
episode's last step, the value of its final state and not of the first one of the next episode.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["discounted_returns", "gae", "n_step_returns"]


def _arrays(name: str, rewards: Any, terminated: Any, truncated: Any, *values: Any) -> list[Any]:
    r"""Rewards and values as float32, ends as bool, all of one shape (T, N)."""
    arrays = [np.asarray(rewards, np.float32), np.asarray(terminated, bool)]
    arrays += [np.asarray(truncated, bool), *(np.asarray(v, np.float32) for v in values)]
    shapes = [a.shape for a in arrays]
    if len(shapes[0]) != 2 or len(set(shapes)) != 1:
        raise ValueError(f"{name}: expected arrays of one shape (T, N), got {shapes}")
    return arrays


def n_step_returns(
    rewards: Any, next_values: Any, terminated: Any, truncated: Any, n: int, gamma: float
) -> np.ndarray:
    r"""The discounted rewards of the next n steps, and the value of where they led.

    .. math:: G_t = \sum_{k<m} \gamma^k r_{t+k} + \gamma^m V(s'_{t+m-1})

    with m = n, or fewer where the episode or the rollout ends before; without the last term where
    the world ended.

    Args:
        rewards, next_values: (T, N).
        terminated, truncated: (T, N) booleans.
        n: >= 1; 1 is the target of temporal differences.
        gamma: the discount.

    Raises:
        ValueError: shapes that differ, or n < 1.

    Reference: Sutton and Barto, Reinforcement Learning, 2018, chapter 7.

    >>> import numpy as np
    >>> no = np.zeros((3, 1), bool)
    >>> n_step_returns(np.ones((3, 1)), np.full((3, 1), 8.0), no, no, 2, 0.5).ravel()
    array([3.5, 3.5, 5. ], dtype=float32)
    """
    if n < 1:
        raise ValueError(f"n_step_returns: expected n >= 1, got {n}")
    rewards, terminated, truncated, next_values = _arrays(
        "n_step_returns", rewards, terminated, truncated, next_values
    )
    discount = np.float32(gamma)
    going_on = ~(terminated | truncated)
    going_on[-1:] = False
    bootstrap = next_values * ~terminated
    returns = rewards + discount * bootstrap  # of one step
    for _ in range(min(n, len(rewards)) - 1):
        later = np.concatenate([returns[1:], returns[-1:]])
        returns = rewards + discount * np.where(going_on, later, bootstrap)
    return returns


def discounted_returns(
    rewards: Any, terminated: Any, truncated: Any, gamma: float, next_values: Any = None
) -> np.ndarray:
    r"""The discounted rewards to the end of the episode.

    .. math:: G_t = r_t + \gamma\, G_{t+1}

    and after the last step that was seen of an episode that did not terminate, V(s') in the place
    of the G that nobody saw.

    Args:
        rewards: (T, N).
        terminated, truncated: (T, N) booleans.
        gamma: the discount.
        next_values: (T, N); None: there is no estimate, and what was not seen counts for 0.

    Raises:
        ValueError: shapes that differ.

    >>> import numpy as np
    >>> ends = np.array([[False], [True], [False]])
    >>> discounted_returns(np.ones((3, 1)), ends, np.zeros_like(ends), 0.5).ravel()
    array([1.5, 1. , 1. ], dtype=float32)
    """
    values = np.zeros_like(np.asarray(rewards, np.float32)) if next_values is None else next_values
    rewards, terminated, truncated, values = _arrays(
        "discounted_returns", rewards, terminated, truncated, values
    )
    bootstrap, done = values * ~terminated, terminated | truncated
    returns = np.empty_like(rewards)
    later = bootstrap[-1] if len(rewards) else 0
    for t in range(len(rewards) - 1, -1, -1):
        later = rewards[t] + np.float32(gamma) * np.where(done[t], bootstrap[t], later)
        returns[t] = later
    return returns


def gae(
    rewards: Any,
    values: Any,
    next_values: Any,
    terminated: Any,
    truncated: Any,
    gamma: float,
    lam: float,
) -> np.ndarray:
    r"""Generalised advantage estimates: all n-step advantages, weighted by powers of lambda.

    .. math::
        \delta_t &= r_t + \gamma\, (1 - \text{terminated}_t)\, V(s'_t) - V(s_t) \\
        A_t &= \delta_t + \gamma\lambda\, (1 - \text{done}_t)\, A_{t+1}

    lambda = 0 is the error of one step, small in variance and biased by V; lambda = 1 is the
    discounted return less V(s_t), unbiased and noisy. A_t + V(s_t) is the target for the value.

    Args:
        rewards, values, next_values: (T, N); V(s_t) and V(s'_t).
        terminated, truncated: (T, N) booleans; either ends an episode.
        gamma, lam: the discount and lambda.

    Raises:
        ValueError: shapes that differ.

    Reference: Schulman et al., High-dimensional continuous control using generalized advantage
    estimation, 2016, arXiv:1506.02438

    >>> import numpy as np
    >>> one, no = np.ones((2, 1)), np.zeros((2, 1), bool)
    >>> gae(one, 0 * one, 0 * one, no, no, 1.0, 0.5).ravel()
    array([1.5, 1. ], dtype=float32)
    """
    rewards, terminated, truncated, values, next_values = _arrays(
        "gae", rewards, terminated, truncated, values, next_values
    )
    delta = rewards + np.float32(gamma) * (next_values * ~terminated) - values
    decay = np.float32(gamma * lam) * ~(terminated | truncated)
    advantages = np.empty_like(delta)
    later = np.zeros_like(delta[0]) if len(delta) else 0
    for t in range(len(delta) - 1, -1, -1):
        later = delta[t] + decay[t] * later
        advantages[t] = later
    return advantages
