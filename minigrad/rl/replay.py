r"""Replay: what an agent remembers, and which of it is learned from again.

Belongs here: memories of single transitions, and how a batch of them is drawn. Does not belong
here: stretches of a policy's own steps, in order (``rollout.py``).

A memory is a ring of arrays that are made once; a batch is a few ``take``s from them. What is drawn
comes from the generator that is passed, on the host. A checkpoint holds a memory as arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Batch", "PrioritizedReplayBuffer", "ReplayBuffer", "SumTree"]


@dataclass(frozen=True)
class Batch:
    r"""Transitions, N of them.

    ``terminated`` is 1 where the world ended and 0 elsewhere, at a time limit too: after that the
    next state has a value, it was only not waited for.
    """

    observations: np.ndarray  #: (N, ...)
    actions: np.ndarray  #: (N, ...)
    rewards: np.ndarray  #: (N,) float32
    next_observations: np.ndarray  #: (N, ...)
    terminated: np.ndarray  #: (N,) float32
    indices: np.ndarray  #: (N,) their places in the memory
    weights: np.ndarray  #: (N,) float32, by which to weight their losses; 1 if drawn evenly


class ReplayBuffer:
    r"""The last ``capacity`` transitions, each as likely to be drawn as any other.

    Args:
        capacity: how many are remembered.
        observation_shape, observation_dtype: of one observation.
        action_shape, action_dtype: of one action.

    Raises:
        ValueError: ``capacity < 1``.

    Reference: Lin, Self-improving reactive agents, Machine Learning 8, 1992.

    >>> memory = ReplayBuffer(100, (4,))
    >>> x = np.zeros((3, 4), np.float32)
    >>> memory.add(x, np.array([0, 1, 0]), np.ones(3), x, np.array([False, False, True]))
    array([0, 1, 2])
    >>> batch = memory.sample(8, np.random.default_rng(0))
    >>> len(memory), batch.observations.shape, batch.rewards.dtype
    (3, (8, 4), dtype('float32'))
    """

    def __init__(
        self,
        capacity: int,
        observation_shape: tuple[int, ...],
        action_shape: tuple[int, ...] = (),
        observation_dtype: Any = np.float32,
        action_dtype: Any = np.int64,
    ) -> None:
        if capacity < 1:
            raise ValueError(f"{type(self).__name__}: expected capacity >= 1, got {capacity}")
        self.capacity = capacity
        self._arrays = {
            "observations": np.zeros((capacity, *observation_shape), observation_dtype),
            "actions": np.zeros((capacity, *action_shape), action_dtype),
            "rewards": np.zeros(capacity, np.float32),
            "next_observations": np.zeros((capacity, *observation_shape), observation_dtype),
            "terminated": np.zeros(capacity, np.float32),
        }
        self._ones = np.ones(0, np.float32)
        self._size = self._next = 0

    def __len__(self) -> int:
        return self._size

    def add(
        self,
        observations: np.ndarray,
        actions: np.ndarray,
        rewards: np.ndarray,
        next_observations: np.ndarray,
        terminated: np.ndarray,
    ) -> np.ndarray:
        r"""Remember N transitions, in the places of the oldest if there is no room.

        Args:
            observations, next_observations: (N, ...); of an episode's end, the last observation,
                not the first of the next episode.
            actions: (N, ...), as they were executed.
            rewards: (N,), of any dtype.
            terminated: (N,) bool, False at a time limit.

        Returns:
            The places (N,) where they are.

        Raises:
            ValueError: lengths differ, or N is larger than the capacity.
        """
        values = (observations, actions, rewards, next_observations, terminated)
        n = len(rewards)
        if any(len(v) != n for v in values) or n > self.capacity:
            raise ValueError(
                f"{type(self).__name__}.add: expected as many of each, {self.capacity} at most, "
                f"got {', '.join(str(len(v)) for v in values)}"
            )
        places = np.arange(self._next, self._next + n)
        places %= self.capacity
        for array, value in zip(self._arrays.values(), values):
            array[places] = value
        self._next = (self._next + n) % self.capacity
        self._size = min(self._size + n, self.capacity)
        self._added(places)
        return places

    def _added(self, places: np.ndarray) -> None:
        r"""Called when new transitions are at ``places`` (N,)."""

    def sample(self, count: int, generator: np.random.Generator) -> Batch:
        r"""``count`` transitions, drawn evenly, with repetition.

        Raises:
            ValueError: the memory is empty.
        """
        self._expect_some()
        return self._batch(generator.integers(0, self._size, count))

    def _expect_some(self) -> None:
        if not self._size:
            raise ValueError(f"{type(self).__name__}.sample: expected some transitions, got none")

    def _batch(self, indices: np.ndarray, weights: np.ndarray | None = None) -> Batch:
        if weights is None:
            if len(self._ones) != len(indices):
                self._ones = np.ones(len(indices), np.float32)
            weights = self._ones
        parts = {name: array.take(indices, 0) for name, array in self._arrays.items()}
        return Batch(**parts, indices=indices, weights=weights)

    def state_dict(self) -> dict[str, Any]:
        r"""The transitions, as far as there are any, and where the next one goes."""
        arrays = {name: array[: self._size].copy() for name, array in self._arrays.items()}
        return {**arrays, "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""Remember what :meth:`state_dict` holds, and nothing else.

        Raises:
            ValueError: it is of a memory of other shapes, or of a larger one.
        """
        size = len(state["rewards"])
        for name, array in self._arrays.items():
            if state[name].shape != (size, *array.shape[1:]) or size > self.capacity:
                raise ValueError(
                    f"load_state_dict: expected {name} of at most {array.shape}, "
                    f"got {state[name].shape}"
                )
        for name, array in self._arrays.items():
            array[:size] = state[name]
        self._size, self._next = size, int(state["next"])


class SumTree:
    r"""Non-negative numbers of which one can be drawn in proportion to its size, in
    :math:`O(\log n)`.

    A binary tree over the numbers in which each node holds the sum of its two. A number from
    [0, total) finds its leaf from the top: left if it is smaller than the left sum, else right,
    less the left sum. Many are changed or found at once, level by level.

    Args:
        capacity: how many numbers, all 0 at first.

    Raises:
        ValueError: ``capacity < 1``.

    >>> tree = SumTree(4)
    >>> tree[np.arange(4)] = [1.0, 0.0, 2.0, 1.0]
    >>> tree.total, tree.find(np.array([0.5, 1.0, 2.9, 3.1])).tolist()
    (4.0, [0, 2, 2, 3])
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"SumTree: expected capacity >= 1, got {capacity}")
        self.capacity = capacity
        self._depth = (capacity - 1).bit_length()
        self._first = 1 << self._depth  # leaf 0; node i has the children 2 i and 2 i + 1
        self._nodes = np.zeros(2 * self._first)

    @property
    def total(self) -> float:
        r"""The sum of all."""
        return float(self._nodes[1])

    def __getitem__(self, indices: Any) -> Any:
        r"""The numbers at ``indices``."""
        return self._nodes[self._first : self._first + self.capacity][indices]

    def __setitem__(self, indices: Any, values: Any) -> None:
        r"""Change the numbers at ``indices`` (N,); where one is named twice, the last value stays.

        Raises:
            IndexError: an index outside. ValueError: a value that is negative or not finite.
        """
        nodes = np.atleast_1d(np.asarray(indices, np.int64)) + self._first
        if len(nodes) and (nodes.min() < self._first or nodes.max() - self._first >= self.capacity):
            raise IndexError(
                f"SumTree: expected indices from 0 to {self.capacity - 1}, got "
                f"{nodes.min() - self._first} to {nodes.max() - self._first}"
            )
        values = np.asarray(values, np.float64)
        if not (np.isfinite(values) & (values >= 0)).all():
            raise ValueError("SumTree: expected finite values >= 0")
        tree = self._nodes
        tree[nodes] = values
        for _ in range(self._depth):
            nodes = nodes >> 1
            tree[nodes] = tree[2 * nodes] + tree[2 * nodes + 1]

    def find(self, masses: np.ndarray) -> np.ndarray:
        r"""The leaf (N,) under each of the numbers (N,) from [0, total): the first one of which
        the sum up to and with it is larger. A leaf of 0 is never found."""
        tree = self._nodes
        nodes = np.ones(len(masses), np.int64)
        masses = np.array(masses, np.float64)
        for _ in range(self._depth):
            nodes *= 2
            left = tree[nodes]
            # Rounding may leave a mass as large as the node's sum: nothing is to its right then.
            right = (masses >= left) & (tree[nodes + 1] > 0)
            masses -= np.where(right, left, 0.0)
            nodes += right
        return nodes - self._first


class PrioritizedReplayBuffer(ReplayBuffer):
    r"""The last ``capacity`` transitions, drawn the more often, the worse they were predicted.

    .. math::
        P(i) = p_i^\alpha / \sum_k p_k^\alpha,  \qquad  p_i = |\delta_i| + \varepsilon

    with :math:`\delta_i` the temporal difference when it was learned from last; what is new has the
    largest priority so far, so that it is seen soon. What is drawn more often would count for
    more: the *importance weights*

    .. math:: w_i = (N P(i))^{-\beta} / \max_j w_j

    take that back, all of it at :math:`\beta = 1`. The maximum is that of the batch, so weights are
    at most 1, and only ever make steps smaller.

    Args:
        alpha: 0 draws evenly, 1 in proportion to the error.
        epsilon: priority of what was predicted exactly.
        capacity, observation_shape, ...: as for :class:`ReplayBuffer`.

    Raises:
        ValueError: ``alpha < 0``, ``epsilon <= 0``, ``capacity < 1``.

    Reference: Schaul et al., Prioritized experience replay, ICLR 2016, arXiv:1511.05952.

    >>> memory = PrioritizedReplayBuffer(4, (1,), alpha=1.0)
    >>> x = np.zeros((2, 1), np.float32)
    >>> places = memory.add(x, np.zeros(2), np.zeros(2), x, np.zeros(2))
    >>> memory.update(places, np.array([3.0, 1.0]))
    >>> batch = memory.sample(1000, np.random.default_rng(0), beta=1.0)
    >>> bool(abs((batch.indices == 0).mean() - 0.75) < 1e-2), sorted(set(batch.weights.round(3)))
    (True, [np.float32(0.333), np.float32(1.0)])
    """

    def __init__(
        self,
        capacity: int,
        observation_shape: tuple[int, ...],
        action_shape: tuple[int, ...] = (),
        observation_dtype: Any = np.float32,
        action_dtype: Any = np.int64,
        alpha: float = 0.6,
        epsilon: float = 1e-6,
    ) -> None:
        super().__init__(capacity, observation_shape, action_shape, observation_dtype, action_dtype)
        if alpha < 0 or not epsilon > 0:
            raise ValueError(
                "PrioritizedReplayBuffer: expected alpha >= 0 and epsilon > 0, "
                f"got {alpha} and {epsilon}"
            )
        self.alpha, self.epsilon = alpha, epsilon
        self._tree = SumTree(capacity)
        self._largest = 1.0  # p^alpha of the worst so far

    def _added(self, places: np.ndarray) -> None:
        self._tree[places] = self._largest

    def sample(self, count: int, generator: np.random.Generator, beta: float = 1.0) -> Batch:
        r"""``count`` transitions: one from each of ``count`` equal parts of the sum of priorities,
        which leaves each one's share what it is, and the batch more even.

        Args:
            beta: of the importance weights; raised to 1 by the end of training.

        Raises:
            ValueError: the memory is empty.
        """
        self._expect_some()
        total = self._tree.total
        masses = (np.arange(count) + generator.random(count)) * (total / count)
        indices = self._tree.find(masses)
        probabilities = self._tree[indices] / total
        weights = (self._size * probabilities) ** -beta
        weights /= weights.max()
        return self._batch(indices, weights.astype(np.float32))

    def update(self, indices: np.ndarray, errors: np.ndarray) -> None:
        r"""Set the priorities of transitions that were learned from.

        Args:
            indices: (N,), of the batch.
            errors: (N,) temporal differences, of either sign.
        """
        priorities = (np.abs(errors).astype(np.float64) + self.epsilon) ** self.alpha
        self._tree[indices] = priorities
        self._largest = max(self._largest, float(priorities.max()))

    def state_dict(self) -> dict[str, Any]:
        r"""As that of :class:`ReplayBuffer`, with the priorities."""
        priorities = self._tree[np.arange(self._size)]
        return {**super().state_dict(), "priorities": priorities, "largest": self._largest}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""As that of :class:`ReplayBuffer`."""
        super().load_state_dict(state)
        self._tree = SumTree(self.capacity)
        self._tree[np.arange(self._size)] = state["priorities"]
        self._largest = float(state["largest"])
