r"""Reinforcement learning: what the algorithms under ``models/rl`` are made of.

Belongs here: the public names. A file a kind: ``rollout`` plays, ``returns`` counts what followed,
``normalise`` brings observations and rewards to a common scale. Everything is on the host; a
network may be elsewhere. Environments are gymnasium's, which is imported where it is used.
"""

from __future__ import annotations

from .normalise import RewardScale, RunningNorm
from .returns import discounted_returns, gae, n_step_returns
from .rollout import Collector, Rollout

__all__ = [
    "Collector",
    "RewardScale",
    "Rollout",
    "RunningNorm",
    "discounted_returns",
    "gae",
    "n_step_returns",
]
