r"""Small worlds of our own, in which the right answer is known.

Belongs here: environments with gymnasium's interface that are made for a lesson or a test. Does not
belong here: gymnasium's own, solving them (``planning.py``, ``models/rl``).

Their names begin with ``minigrad/``; :func:`minigrad.rl.make` and the models' ``--env`` know them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .planning import Table

__all__ = ["WORLDS", "NoisyMax", "TableWorld", "six_states", "six_states_table"]


class TableWorld:
    r"""A world that a table of transitions describes: states and actions are numbers.

    Args:
        table: ``P[state][action]``, a list of ``(probability, next state, reward, terminated)``.
        start: where episodes begin.
        max_episode_steps: where they are truncated.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    render_mode = spec = None

    def __init__(self, table: Table, start: int = 0, max_episode_steps: int = 100) -> None:
        from gymnasium.spaces import Discrete

        self.P, self.start, self.limit = table, start, max_episode_steps
        self.observation_space = Discrete(len(table))
        self.action_space = Discrete(len(table[start]))
        self._random = np.random.default_rng()
        self.state, self._steps = start, 0

    @property
    def unwrapped(self) -> TableWorld:
        r"""Itself."""
        return self

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict[str, Any]]:
        r"""The state at the beginning."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.state, self._steps = self.start, 0
        return self.state, {}

    def step(self, action: Any) -> tuple[int, float, bool, bool, dict[str, Any]]:
        r"""Next state, reward, terminated, truncated, {}."""
        outcomes = self.P[self.state][int(action)]
        chosen = 0
        if len(outcomes) > 1:
            chosen = int(self._random.choice(len(outcomes), p=[o[0] for o in outcomes]))
        _, self.state, reward, terminated = outcomes[chosen]
        self._steps += 1
        return self.state, float(reward), bool(terminated), self._steps >= self.limit, {}

    def close(self) -> None:
        r"""Nothing to do."""


def six_states_table() -> dict[int, dict[int, list[tuple[float, int, float, bool]]]]:
    r"""A grid of two rows, ``0 1 2`` above ``3 4 5``. Going into 2 ends with reward 100, into 5
    with -100; elsewhere the reward is 0, and against a wall one stays. Actions as FrozenLake's:
    0 left, 1 down, 2 right, 3 up."""
    moves = {0: (0, -1), 1: (1, 0), 2: (0, 1), 3: (-1, 0)}
    ends = {2: 100.0, 5: -100.0}
    table: dict[int, dict[int, list[tuple[float, int, float, bool]]]] = {}
    for state in range(6):
        row, column = divmod(state, 3)
        table[state] = {}
        for action, (down, right) in moves.items():
            target = 3 * min(max(row + down, 0), 1) + min(max(column + right, 0), 2)
            if state in ends:
                table[state][action] = [(1.0, state, 0.0, True)]
            else:
                table[state][action] = [(1.0, target, ends.get(target, 0.0), target in ends)]
    return table


def six_states(max_episode_steps: int = 100) -> TableWorld:
    r"""The world of :func:`six_states_table`, from state 0 on.

    >>> world = six_states()
    >>> world.reset()[0], [world.step(2)[:3] for _ in range(2)]
    (0, [(1, 0.0, False), (2, 100.0, True)])
    """
    return TableWorld(six_states_table(), 0, max_episode_steps)


class NoisyMax:
    r"""Two steps: whatever is done in the first leads to one of ``places``; there, whatever is done
    brings a reward from N(0, 1) and the end. So every action is worth exactly 0, and what a learner
    thinks of the first step beyond that is its over-estimation: it takes the maximum over noise.

    The observation is one-hot, (1 + places,); there are ``actions`` actions.

    Reference: after example 6.7 of Sutton & Barto, Reinforcement learning, 2nd edition, 2018.

    >>> world = NoisyMax()
    >>> first, _ = world.reset(seed=0)
    >>> int(first.argmax()), world.step(3)[1:3], world.step(0)[2]
    (0, (0.0, False), True)
    """

    metadata: dict[str, Any] = {"render_modes": []}
    render_mode = spec = None

    def __init__(self, actions: int = 8, places: int = 4, max_episode_steps: int = 2) -> None:
        from gymnasium.spaces import Box, Discrete

        self.places = places
        self.observation_space = Box(0, 1, (1 + places,), np.float32)
        self.action_space = Discrete(actions)
        self._random = np.random.default_rng()
        self.place = 0

    @property
    def unwrapped(self) -> NoisyMax:
        r"""Itself."""
        return self

    def _observation(self) -> np.ndarray:
        return np.eye(1 + self.places, dtype=np.float32)[self.place]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        r"""The first place."""
        if seed is not None:
            self._random = np.random.default_rng(seed)
        self.place = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        r"""Next observation, reward, terminated, truncated, {}."""
        if self.place:
            return self._observation(), float(self._random.standard_normal()), True, False, {}
        self.place = 1 + int(self._random.integers(self.places))
        return self._observation(), 0.0, False, False, {}

    def close(self) -> None:
        r"""Nothing to do."""


#: by the names that ``make`` knows
WORLDS: dict[str, Callable[..., Any]] = {
    "minigrad/SixStates": six_states,
    "minigrad/NoisyMax": NoisyMax,
}
