r"""A2C on CartPole, with the settings of ``models/rl/a2c.py``."""

from __future__ import annotations

from benchmarks.agents import Advance
from benchmarks.agents.on_policy import against, ours

TITLE = "A2C, CartPole-v1, 8 copies, two networks 4-64-64, rollouts of 5"
STEPS = 1000

SETTINGS = {
    "copies": 8, "rollout": 5, "lr": 7e-4, "gamma": 0.99, "lam": 1.0, "entropy": 0.0,
    "clip_norm": 0.5,
}  # fmt: skip


def minigrad() -> Advance:
    from minigrad import optim
    from models.rl import a2c

    config = a2c.Config(**SETTINGS)
    return ours(
        config,
        lambda weights: optim.RMSprop(weights, lr=config.lr, alpha=0.99, eps=1e-5),
        a2c.learn,
    )


def stable_baselines3() -> Advance:
    from stable_baselines3 import A2C

    return against(A2C, SETTINGS)


SIDES = {"minigrad": minigrad, "stable_baselines3": stable_baselines3}
