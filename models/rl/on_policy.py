r"""What actor-critic, A2C and PPO share: playing a rollout, learning from it, forgetting it.

Belongs here: the loop of the agents that learn every few steps. Does not belong here: how one
rollout is learned from (each model's ``learn``), whole episodes (``reinforce.py``), networks
(``networks.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from minigrad import Tensor, optim
from minigrad.rl import Collector, RewardScale, Rollout, make_vector
from minigrad.train import Result, Run
from models.rl.common import check_environment, conclude, fresh_seed, rounds, watch
from models.rl.networks import ActorCritic, PolicyConfig

#: agent, optimiser, rollout, and how much of the run is left, from 1 to 0 -> figures
Learn = Callable[[ActorCritic, optim.Optimizer, Rollout, float], dict[str, Tensor]]


@dataclass
class RolloutConfig(PolicyConfig):
    r"""The options of agents that learn from rollouts."""

    scale_rewards: bool = False  #: divide rewards by the deviation of their returns


def train_on_rollouts(
    config: RolloutConfig,
    name: str,
    steps: int,
    make_optimizer: Callable[[list[Tensor]], optim.Optimizer],
    learn: Learn,
) -> Result:
    r"""Play ``steps`` steps of each copy, learn from them, and so on; keep the epoch that plays
    best."""
    env = check_environment(config, name, ["Box"], ["Discrete", "Box"])
    run = Run(config)
    agent = ActorCritic(env, config).to(run.device)
    optimizer = make_optimizer(agent.learned())
    scale = RewardScale(config.copies, config.gamma) if config.scale_rewards else None
    collector = Collector(make_vector(config.env, config.copies), agent.draw, scale)
    parts: dict[str, Any] = {"agent": agent, "optimizer": optimizer}
    run.track(**parts, **({"scale": scale} if scale is not None else {}))
    for _ in run.epochs(config.epochs):
        collector.reset(fresh_seed())
        agent.restart()
        for _ in rounds(run, config, steps * config.copies):
            rollout = collector.collect(steps)
            if rollout.valid.any():
                left = max(0.0, 1 - run.step / config.steps)
                run.record(**learn(agent, optimizer, rollout, left))
                agent.learn_to_see(rollout)
        watch(run, config, agent, agent.best)
    panels = {"value loss": {"value_loss": "value_loss"}, "entropy": {"entropy": "entropy"}}
    return conclude(run, config, agent, agent.best, f"{name} on {config.env}", panels)
