r"""PPO on CartPole, with the settings of ``models/rl/ppo.py``."""

from __future__ import annotations

from benchmarks.agents import Advance
from benchmarks.agents.on_policy import against, ours

TITLE = "PPO, CartPole-v1, 8 copies, two networks 4-64-64, rollouts of 32, 20 passes of 256"
STEPS = 1024

SETTINGS = {
    "copies": 8, "rollout": 32, "batch_size": 256, "passes": 20, "lr": 1e-3, "gamma": 0.98,
    "lam": 0.8, "clip": 0.2, "entropy": 0.0, "clip_norm": 0.5,
}  # fmt: skip


def minigrad() -> Advance:
    from minigrad import optim
    from models.rl import ppo

    config = ppo.Config(schedule="constant", **SETTINGS)
    return ours(
        config,
        lambda weights: optim.Adam(weights, lr=config.lr, eps=1e-5),
        lambda *step: ppo.learn(*step, left=1.0),
    )


def stable_baselines3() -> Advance:
    from stable_baselines3 import PPO

    return against(
        PPO,
        SETTINGS,
        batch_size=SETTINGS["batch_size"],
        n_epochs=SETTINGS["passes"],
        clip_range=SETTINGS["clip"],
    )


SIDES = {"minigrad": minigrad, "stable_baselines3": stable_baselines3}
