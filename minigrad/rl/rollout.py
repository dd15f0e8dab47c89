r"""Rollouts: a policy plays in a vector of environments, and what happened is kept.

Belongs here: playing for policy gradients, on the host. Does not belong here: what the rewards come
to (``returns.py``), memories of old steps (``replay.py``), evaluation (``evaluation.py``).

gymnasium's vector environments start an episode again by themselves, by default in the step *after*
its last one: that step ignores its action, has no reward and leads from the final state of one
episode to the first of the next. Nothing is to be learned from it, so ``valid`` is False there.
This way (``AutoresetMode.NEXT_STEP``) is the one that is taken here, for it is what every vector
environment offers, and because the final state then stands in the observations like any other: the
value of the state that a step led to is always that of the next row, also where an episode was
truncated, and one call of the value function gives them all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .normalise import RewardScale

__all__ = ["Collector", "Rollout"]

_AT_ONCE = 32  # steps between two looks at which episodes have ended

#: observations (N, ...) to actions (N, ...) and their log-probabilities (N,)
Act = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass
class Rollout:
    r"""T steps of N environments."""

    #: (T + 1, N, ...) float32; step t leads from observations[t] to observations[t + 1]
    observations: np.ndarray
    #: (T, N, ...) as the policy drew them
    actions: np.ndarray
    #: (T, N) float32, of those actions under the policy that drew them
    log_probs: np.ndarray
    rewards: np.ndarray  #: (T, N) float32
    terminated: np.ndarray  #: (T, N), the world ended
    truncated: np.ndarray  #: (T, N), the episode was stopped
    valid: np.ndarray  #: (T, N), False where an environment was only starting again
    #: return (of unscaled rewards) and length of each episode that ended within these steps
    finished: list[tuple[float, int]] = field(default_factory=list)

    def flat(self, *arrays: np.ndarray) -> list[np.ndarray]:
        r"""Arrays (T, N, ...) as (B, ...), with the valid steps alone."""
        if self.valid.all():
            return [a.reshape(-1, *a.shape[2:]) for a in arrays]
        return [a[self.valid] for a in arrays]


class Collector:
    r"""Plays on where the last rollout stopped.

    Args:
        env: a vector environment of gymnasium, with ``NEXT_STEP`` autoreset.
        act: observations (N, ...) float32 -> actions (N, ...) and their log-probabilities (N,),
            arrays on the host. Continuous actions are clipped to the space's bounds on their way
            into the environment and *stored as drawn*: the log-probability is that of the drawn
            action, and :math:`\partial \log \pi / \partial \mu = (a - \mu) / \sigma^2` holds for
            no other.
        scale: divides the rewards that are stored; see :class:`RewardScale`.

    Raises:
        ValueError: an environment with another autoreset.

    >>> import gymnasium, numpy as np
    >>> env = gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="vector_entry_point")
    >>> collector = Collector(env, lambda x: (np.ones(2, int), np.zeros(2)))
    >>> collector.reset(seed=0)
    >>> rollout = collector.collect(20)  # always to the right: the pole falls after ten steps
    >>> rollout.observations.shape, rollout.actions.shape, rollout.finished[0]
    ((21, 2, 4), (20, 2), (10.0, 10))
    """

    def __init__(self, env: Any, act: Act, scale: RewardScale | None = None) -> None:
        mode = env.metadata.get("autoreset_mode")
        if getattr(mode, "name", None) != "NEXT_STEP":
            raise ValueError(
                f"Collector: expected an environment of NEXT_STEP autoreset, got {mode}"
            )
        self.env, self.act, self.scale = env, act, scale
        space = env.single_action_space
        self._start = int(getattr(space, "start", 0))
        self._bounds = (space.low, space.high) if hasattr(space, "low") else None
        self._observations: Any = None

    def reset(self, seed: int | None = None) -> None:
        r"""Begin new episodes in all environments."""
        n = self.env.num_envs
        observations, _ = self.env.reset(seed=seed)
        self._observations = np.asarray(observations, np.float32)
        self._ended = np.zeros(n, bool)
        self._return, self._length = np.zeros(n), np.zeros(n, int)
        if self.scale is not None:
            self.scale.cut()

    def collect(self, steps: int) -> Rollout:
        r"""The next ``steps`` steps of each environment.

        Raises:
            RuntimeError: :meth:`reset` was not called. ValueError: ``steps`` < 1.
        """
        if self._observations is None:
            raise RuntimeError("Collector: expected reset() before collect()")
        if steps < 1:
            raise ValueError(f"Collector.collect: expected steps >= 1, got {steps}")
        n = self.env.num_envs
        observations = np.empty((steps + 1, *self._observations.shape), np.float32)
        log_probs, rewards = np.empty((2, steps, n), np.float32)
        terminated, truncated, valid = np.empty((3, steps, n), bool)
        actions: Any = None
        finished: list[tuple[float, int]] = []
        observations[0] = self._observations
        for t in range(steps):
            action, log_probs[t] = self.act(observations[t])
            if actions is None:
                actions = np.empty((steps, *action.shape), action.dtype)
            actions[t] = action
            if self._bounds is not None:
                action = np.clip(action, *self._bounds)
            elif self._start:
                action = action + self._start
            observations[t + 1], rewards[t], terminated[t], truncated[t], _ = self.env.step(action)
            valid[t] = ~self._ended
            self._return += rewards[t]
            self._length += valid[t]
            self._ended = terminated[t] | truncated[t]
            if self.scale is not None:
                rewards[t] = self.scale(rewards[t], self._ended)
            if self._ended.any():
                for i in np.flatnonzero(self._ended):
                    finished.append((float(self._return[i]), int(self._length[i])))
                self._return[self._ended], self._length[self._ended] = 0.0, 0
        self._observations = observations[-1].copy()
        return Rollout(
            observations, actions, log_probs, rewards, terminated, truncated, valid, finished
        )

    def episodes(self) -> Rollout:
        r"""One whole episode of each environment, from a reset to its end. ``valid`` is True up to
        there; the rows behind it, to the end of the longest episode, are nobody's.

        One of each, and not the first N that end: those would be the short ones. ``finished``
        counts the rewards as they are kept.
        """
        self.reset()
        parts: list[Rollout] = []
        going_on = np.ones(self.env.num_envs, bool)
        while going_on.any():
            parts.append(self.collect(_AT_ONCE))
            going_on &= ~(parts[-1].terminated | parts[-1].truncated).any(0)
        done = np.concatenate([p.terminated | p.truncated for p in parts])
        last = done.argmax(0)  # (N,), the row of each first end
        length = int(last.max()) + 1

        def joined(name: str) -> np.ndarray:
            return np.concatenate([getattr(p, name) for p in parts])[:length]

        rows = [p.observations[:-1] for p in parts]
        observations = np.concatenate([*rows, parts[-1].observations[-1:]])[: length + 1]
        valid = np.arange(length)[:, None] <= last
        rewards = joined("rewards")
        totals = (rewards * valid).sum(0)
        return Rollout(
            observations,
            joined("actions"),
            joined("log_probs"),
            rewards,
            joined("terminated"),
            joined("truncated"),
            valid,
            [(float(g), int(t) + 1) for g, t in zip(totals, last)],
        )
