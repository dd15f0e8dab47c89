r"""Reinforcement learning: what the algorithms under ``models/rl`` are made of.

Belongs here: the public names. A file a kind: ``spaces`` makes environments and looks at their
spaces, ``rollout`` plays, ``returns`` counts what followed, ``normalise`` brings observations and
rewards to a common scale, ``replay`` remembers, ``schedules`` says how much to explore,
``evaluation`` what a policy is worth; ``envs`` has small worlds, ``planning`` solves them.
Everything is on the host; a network may be elsewhere. Environments are gymnasium's, which is
imported where it is used.
"""

from __future__ import annotations

from .envs import NoisyMax, TableWorld, six_states, six_states_table
from .evaluation import Evaluation, evaluate, random_policy, record_episode
from .normalise import RewardScale, RunningNorm
from .planning import policy_value, value_iteration
from .replay import Batch, PrioritizedReplayBuffer, ReplayBuffer, SumTree
from .returns import discounted_returns, gae, n_step_returns
from .rollout import Collector, Rollout
from .schedules import ExponentialSchedule, LinearSchedule
from .spaces import SpaceError, action_count, expect_spaces, flat_size, make, make_vector

__all__ = [
    "Batch",
    "Collector",
    "Evaluation",
    "ExponentialSchedule",
    "LinearSchedule",
    "NoisyMax",
    "PrioritizedReplayBuffer",
    "ReplayBuffer",
    "RewardScale",
    "Rollout",
    "RunningNorm",
    "SpaceError",
    "SumTree",
    "TableWorld",
    "action_count",
    "discounted_returns",
    "evaluate",
    "expect_spaces",
    "flat_size",
    "gae",
    "make",
    "make_vector",
    "n_step_returns",
    "policy_value",
    "random_policy",
    "record_episode",
    "six_states",
    "six_states_table",
    "value_iteration",
]
