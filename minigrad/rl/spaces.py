r"""Environments by name, many copies of one, and whether an algorithm suits their spaces.

Belongs here: making environments, and what can be read off their spaces. Does not belong here:
stepping through them (``rollout.py``, ``evaluation.py``), environments of our own (``envs.py``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .envs import WORLDS

__all__ = [
    "EnvLike",
    "SpaceError",
    "action_count",
    "expect_spaces",
    "flat_size",
    "make",
    "make_vector",
]

#: the name of a gymnasium environment, or a function that makes one
EnvLike = str | Callable[..., Any]


class SpaceError(ValueError):
    r"""An environment that an algorithm cannot use, for a reason that one line explains."""


def gymnasium() -> Any:
    """The package, or one line that says how to install it."""
    try:
        import gymnasium as package
    except ImportError:
        raise ImportError("environments need gymnasium: pip install 'minigrad[models]'") from None
    return package


def make(env: EnvLike, **options: Any) -> Any:
    r"""One environment.

    Args:
        env: its name, as ``"CartPole-v1"`` or ``"minigrad/SixStates"`` (``envs.py``), or a
            function that makes it.
        options: for the environment, such as ``is_slippery=False`` for FrozenLake: what its
            dynamics are is decided when it is made. Setting the attribute later changes nothing,
            because the table of transitions is there by then.

    Raises:
        SpaceError: no environment has that name. ImportError: gymnasium is missing.

    >>> make("CartPole-v1").spec.max_episode_steps
    500
    """
    package = gymnasium()
    world = WORLDS.get(env) if isinstance(env, str) else env
    if world is not None:
        return world(**options)
    try:
        return package.make(env, disable_env_checker=True, **options)
    except package.error.Error as error:
        raise SpaceError(f"env: {' '.join(str(error).split())}") from None


def make_vector(env: EnvLike, copies: int, **options: Any) -> Any:
    r"""``copies`` of an environment that step together, as a gymnasium vector environment.

    Where the environment has a vectorised form of its own (CartPole has) it is used from 8 copies
    on: a step of a thousand then costs little more than a step of one. Otherwise the copies step
    one after the other in this process, which for cheap environments is faster than in many.

    A copy whose episode is over starts anew on the step after: that step ignores its action and
    gives reward 0, so it is no transition (gymnasium's ``NEXT_STEP``). The observation that comes
    with the end is the episode's last, which a bootstrap at a time limit needs.

    Args:
        env: its name, or a function that makes one.
        copies: how many.
        options: for the environment.

    Raises:
        ValueError: ``copies < 1``. SpaceError, ImportError: as for :func:`make`.

    >>> observations, _ = make_vector("CartPole-v1", 3).reset(seed=0)
    >>> observations.shape
    (3, 4)
    """
    if copies < 1:
        raise ValueError(f"make_vector: expected copies >= 1, got {copies}")
    package = gymnasium()
    if isinstance(env, str) and env not in WORLDS and copies >= 8:
        spec = make(env, **options).spec  # says what is wrong with the name, if something is
        if spec.vector_entry_point is not None:
            if spec.max_episode_steps is not None:  # it has a default of its own
                options["max_episode_steps"] = spec.max_episode_steps
            return package.make_vec(env, copies, vectorization_mode="vector_entry_point", **options)
    return package.vector.SyncVectorEnv([lambda: make(env, **options)] * copies)


def _spaces(env: Any) -> tuple[Any, Any]:
    """Observation and action space of one environment, also of each copy in a vector."""
    if hasattr(env, "single_observation_space"):
        return env.single_observation_space, env.single_action_space
    return env.observation_space, env.action_space


def expect_spaces(
    env: Any, algorithm: str, observations: Sequence[str], actions: Sequence[str]
) -> None:
    r"""Say in one line that an algorithm does not suit an environment.

    Args:
        env: an environment or a vector of them.
        algorithm: its name, for the message.
        observations, actions: the spaces that it takes, by gymnasium's names. A Box of
            observations must be a vector (D,), one of actions too, with finite bounds.

    Raises:
        SpaceError: the spaces are others.

    >>> expect_spaces(make("CartPole-v1"), "DQN", ["Box"], ["Discrete"])
    >>> expect_spaces(make("Pendulum-v1"), "DQN", ["Box"], ["Discrete"])
    Traceback (most recent call last):
    minigrad.rl.spaces.SpaceError: DQN: expected actions Discrete, got Box(-2.0, 2.0, (1,), float32)
    """
    import numpy as np

    for kind, space, names in zip(
        ("observations", "actions"), _spaces(env), (observations, actions)
    ):
        name = type(space).__name__
        good = name in names
        if good and name == "Box":
            good = len(space.shape) == 1
            if kind == "actions":
                good = good and bool(np.isfinite([space.low, space.high]).all())
        if not good:
            takes = " or ".join("Box (D,)" if n == "Box" else n for n in names)
            raise SpaceError(f"{algorithm}: expected {kind} {takes}, got {space}")


def flat_size(env: Any) -> int:
    r"""Numbers in an observation: the product of a Box's shape, the states of a Discrete space.

    >>> flat_size(make("CartPole-v1")), flat_size(make("FrozenLake-v1"))
    (4, 16)
    """
    space = _spaces(env)[0]
    return int(space.n) if hasattr(space, "n") else math.prod(space.shape)


def action_count(env: Any) -> int:
    r"""Actions of a Discrete space, dimensions of a Box of actions.

    >>> action_count(make("CartPole-v1")), action_count(make("Pendulum-v1"))
    (2, 1)
    """
    space = _spaces(env)[1]
    return int(space.n) if hasattr(space, "n") else math.prod(space.shape)
