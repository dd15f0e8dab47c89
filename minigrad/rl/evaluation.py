r"""What a policy is worth: its returns over episodes that it did not learn from, and a film.

Belongs here: running a policy that does not change. Does not belong here: collecting what is
learned from (``rollout.py``, ``replay.py``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.visualize import save_animation

from .spaces import EnvLike, make, make_vector

__all__ = ["Evaluation", "Policy", "evaluate", "random_policy", "record_episode"]

#: observations (N, ...) -> actions (N, ...), for N copies of an environment
Policy = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Evaluation:
    r"""Returns and lengths of episodes.

    >>> found = Evaluation(np.array([1.0, 3.0]), np.array([10, 30]))
    >>> found.mean, round(found.margin, 2), [round(v, 2) for v in found.interval]
    (2.0, 1.96, [0.04, 3.96])
    """

    returns: np.ndarray  #: undiscounted sums of the rewards (episodes,), float64
    lengths: np.ndarray  #: steps (episodes,)

    @property
    def mean(self) -> float:
        r"""The mean return."""
        return float(self.returns.mean())

    @property
    def margin(self) -> float:
        r"""Half of the mean's 95 % interval, :math:`1.96 s / \sqrt{n}`; 0 for one episode."""
        n = len(self.returns)
        return float(1.96 * self.returns.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        r"""The mean's 95 % interval, over the episodes of *this* policy. How far policies of
        other seeds lie from it, it does not say."""
        return self.mean - self.margin, self.mean + self.margin


def evaluate(
    policy: Policy,
    env: EnvLike,
    episodes: int = 100,
    seed: int = 0,
    copies: int = 100,
    **options: Any,
) -> Evaluation:
    r"""Run ``policy`` for ``episodes`` whole episodes, and learn nothing.

    Each copy of the environment gives a number of episodes that is fixed beforehand. To take the
    first ``episodes`` that end, whichever copy they are of, would favour the short ones.

    Args:
        policy: (N, ...) observations to (N, ...) actions. It says what it thinks best, without
            exploring; what it is given are all copies, those that are done among them.
        env: a name, or a function that makes one: the environment as it is, with no shaping of
            rewards.
        episodes: in all.
        seed: of the first copy, the next one has ``seed + 1``. Take seeds that training did not.
        copies: how many step together at most. It changes nothing about the figures but which
            random numbers they are of.
        options: for the environment.

    Raises:
        ValueError: ``episodes`` or ``copies`` below 1. SpaceError, ImportError: as for ``make``.

    >>> always_left = lambda observations: np.zeros(len(observations), np.int64)
    >>> 8 <= evaluate(always_left, "CartPole-v1", 20).mean <= 10.5
    True
    """
    if episodes < 1 or copies < 1:
        raise ValueError(
            f"evaluate: expected episodes >= 1 and copies >= 1, got {episodes} and {copies}"
        )
    copies = min(copies, episodes)
    # 10 episodes of 4 copies: 3, 3, 2, 2
    quota = episodes // copies + (np.arange(copies) < episodes % copies)
    returns: list[list[float]] = [[] for _ in range(copies)]
    lengths: list[list[int]] = [[] for _ in range(copies)]
    envs = make_vector(env, copies, **options)
    observations, _ = envs.reset(seed=seed)
    total, steps = np.zeros(copies), np.zeros(copies, np.int64)
    starts = np.zeros(copies, bool)  # the step after an end begins an episode, and is none itself
    left = quota.copy()
    while left.any():
        observations, rewards, terminated, truncated, _ = envs.step(policy(observations))
        total += np.where(starts, 0.0, rewards)
        steps += ~starts
        starts = terminated | truncated
        for i in np.flatnonzero(starts):
            if left[i]:
                returns[i].append(float(total[i]))
                lengths[i].append(int(steps[i]))
                left[i] -= 1
            total[i] = steps[i] = 0
    envs.close()
    return Evaluation(np.array(sum(returns, [])), np.array(sum(lengths, [])))


def random_policy(env: Any, seed: int = 0) -> Policy:
    r"""The policy that draws every action evenly from the action space: the miss that a learner
    must beat. It does not look at what it observes.

    Args:
        env: an environment of a Discrete space, or of a Box with finite bounds; or a vector.
        seed: of the actions.

    >>> policy = random_policy(make("CartPole-v1"))
    >>> policy(np.zeros((5, 4))).shape
    (5,)
    """
    space = getattr(env, "single_action_space", env.action_space)
    generator = np.random.default_rng(seed)

    def policy(observations: np.ndarray) -> np.ndarray:
        n = len(observations)
        if hasattr(space, "n"):
            return generator.integers(space.n, size=n) + int(space.start)
        return generator.uniform(space.low, space.high, (n, *space.shape)).astype(space.dtype)

    return policy


def record_episode(
    policy: Policy,
    env: EnvLike,
    path: str | os.PathLike[str],
    seed: int = 0,
    seconds: float = 0.04,
    every: int = 2,
    **options: Any,
) -> float:
    r"""Write one episode as a GIF, and return its return.

    Args:
        policy: as for :func:`evaluate`; it is given one observation, (1, ...).
        env: a name, or a function that takes ``render_mode``.
        path: ends in ``.gif``.
        seed: of the environment.
        seconds: how long each picture is shown.
        every: steps from a picture to the next.
        options: for the environment.

    Raises:
        ImportError: what the environment draws with is missing (for most of gymnasium's own,
            ``pip install 'minigrad[films]'`` brings it), or Pillow.
        ValueError: the environment cannot draw itself.
    """
    if "rgb_array" not in make(env, **options).metadata.get("render_modes", ()):
        raise ValueError(f"record_episode: {env} does not draw itself (no rgb_array)")
    one = make(env, render_mode="rgb_array", **options)
    from gymnasium.error import DependencyNotInstalled

    try:
        observation, _ = one.reset(seed=seed)
        frames, total, step, done = [one.render()], 0.0, 0, False
        while not done:
            action = policy(np.asarray(observation)[None])[0]
            observation, reward, terminated, truncated, _ = one.step(action)
            done = terminated or truncated
            total, step = total + float(reward), step + 1
            if step % every == 0 or done:
                frames.append(one.render())
    except DependencyNotInstalled as error:
        raise ImportError(f"record_episode: {' '.join(str(error).split())}") from None
    finally:
        one.close()
    save_animation(path, [np.asarray(f, np.float32) / 255 for f in frames], seconds=seconds)
    return total
