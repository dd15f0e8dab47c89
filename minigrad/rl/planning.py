r"""Dynamic programming: what is known about a world whose table of transitions is known.

Belongs here: values that are computed, not learned; the oracle that tabular learners are compared
with. Does not belong here: learning (``models/rl``), worlds (``envs.py``).

A table is gymnasium's: ``P[state][action]`` is a list of ``(probability, next state, reward,
terminated)``. FrozenLake, CliffWalking and Taxi have one, ``env.unwrapped.P``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["Table", "policy_value", "transition_arrays", "value_iteration"]

#: P[state][action] -> [(probability, next state, reward, terminated), ...]
Table = Mapping[int, Mapping[int, Sequence[Any]]]


def transition_arrays(table: Table) -> tuple[np.ndarray, np.ndarray]:
    r"""The table as arrays.

    Returns:
        The probabilities (S, A, S) of going on in each state, which are less than 1 in all where an
        episode may end, and the expected rewards (S, A).

    >>> T, R = transition_arrays({0: {0: [(0.5, 0, 1.0, False), (0.5, 1, 3.0, True)]}, 1: {0: []}})
    >>> T[0, 0], R[0, 0]
    (array([0.5, 0. ]), np.float64(2.0))
    """
    states, actions = len(table), max(len(choices) for choices in table.values())
    going_on = np.zeros((states, actions, states))
    rewards = np.zeros((states, actions))
    for state, choices in table.items():
        for action, outcomes in choices.items():
            for probability, target, reward, terminated in outcomes:
                rewards[state, action] += probability * reward
                if not terminated:
                    going_on[state, action, target] += probability
    return going_on, rewards


def value_iteration(
    table: Table, gamma: float = 0.9, tolerance: float = 1e-12, epsilon: float = 0.0
) -> np.ndarray:
    r"""The optimal action values, the fixed point of

    .. math:: Q(s, a) = R(s, a) + \gamma \sum_{s'} T(s, a, s') V(s'),  \qquad
        V(s) = (1 - \varepsilon) \max_a Q(s, a) + \varepsilon \, \mathrm{mean}_a Q(s, a)

    Args:
        table: ``P``.
        gamma: discount; 1 only where every policy comes to an end, or standing still costs.
        tolerance: stop when nothing changes by more.
        epsilon: how often an action is drawn evenly. At 0 these are the values that Q-learning
            looks for, above it those of the best policy that explores so much, SARSA's.

    Returns:
        Q (S, A). States after an end have what their rows in the table say.

    Raises:
        ValueError: ``gamma`` is outside of [0, 1]. RuntimeError: no fixed point after 100,000
            rounds.

    Reference: Bellman, Dynamic programming, 1957.

    >>> line = {0: {0: [(1.0, 1, 0.0, False)]}, 1: {0: [(1.0, 1, 10.0, True)]}}
    >>> value_iteration(line, 0.9).ravel().tolist()
    [9.0, 10.0]
    """
    if not 0 <= gamma <= 1:
        raise ValueError(f"value_iteration: expected gamma in [0, 1], got {gamma}")
    going_on, rewards = transition_arrays(table)
    values = np.zeros_like(rewards)
    for _ in range(100_000):
        follow = values.max(1)
        if epsilon:
            follow = (1 - epsilon) * follow + epsilon * values.mean(1)
        new = rewards + gamma * (going_on @ follow)
        change = np.abs(new - values).max()
        values = new
        if change <= tolerance:
            return values
    raise RuntimeError(f"value_iteration: no fixed point for gamma {gamma} (change {change:.3g})")


def policy_value(
    table: Table, actions: np.ndarray, gamma: float = 1.0, steps: int = 100
) -> np.ndarray:
    r"""What a deterministic policy brings from each state within ``steps`` steps, exactly.

    Args:
        table: ``P``.
        actions: (S,), one for each state.
        gamma: discount.
        steps: the time limit.

    Returns:
        (S,). Of FrozenLake, with ``gamma`` 1, the probability of getting across in time.

    >>> line = {0: {0: [(1.0, 1, 0.0, False)]}, 1: {0: [(1.0, 1, 10.0, True)]}}
    >>> policy_value(line, np.zeros(2, int), steps=1)
    array([ 0., 10.])
    """
    going_on, rewards = transition_arrays(table)
    states = np.arange(len(rewards))
    chosen, gained = going_on[states, actions], rewards[states, actions]  # (S, S), (S,)
    values = np.zeros(len(rewards))
    for _ in range(steps):
        values = gained + gamma * (chosen @ values)
    return values
