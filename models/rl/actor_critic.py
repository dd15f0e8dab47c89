r"""Actor-critic, online: policy and value learn from every single step.

Paper: Sutton and Barto, Reinforcement learning: an introduction, 2018, section 13.5

Expect: a mean return of 500 on CartPole-v1 after 500,000 steps, with 2 of 2 seeds (random: 21)

REINFORCE waits for the end of an episode to know G. The value can guess it after one step:

    delta    = r + gamma V(s') - V(s)              r alone where the world ended
    L_policy = -delta ln pi(a|s)                   delta is a constant here
    L_value  = (r + gamma V(s') - V(s))^2          only V(s) has a gradient
    L        = L_policy + 1/2 L_value - c entropy(pi(.|s))

delta estimates how much better the action was than usual, with little variance and with all the
faults of V. It must not be let through the actor's term: its gradient there would teach V to call
likely actions good. Nor through V(s') in the critic's: the guess would be pulled to the fact, and
not only the fact's forecast to the guess.

Every step of the environment, of ``--copies`` of them side by side, is one step of Adam. Steps that
follow each other are alike, which makes this the least steady of the family: the figure is of the
epoch that a separate evaluation chose, and one of the two seeds ended, after the last, with 26.
``a2c.py`` waits a few steps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

import minigrad as mg
from minigrad import Tensor, optim
from minigrad.nn.utils import clip_grad_norm_
from minigrad.rl import Rollout
from minigrad.train import Result, main
from models.rl.networks import ActorCritic
from models.rl.on_policy import RolloutConfig, train_on_rollouts


@dataclass
class Config(RolloutConfig):
    r"""The options; the defaults give the figure above."""

    lr: float = 3e-4  #: learning rate of Adam
    epochs: int = 10  #: parts of the training, with a checkpoint and an evaluation after each
    epoch_steps: int = 50_000  #: steps of the environment in an epoch, those of all copies together


def losses(
    agent: ActorCritic,
    senses: Tensor,
    following: Tensor,
    actions: Tensor,
    rewards: Tensor,
    going_on: Tensor,
    gamma: float,
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Policy loss, value loss and mean entropy of single steps.

    Args:
        senses, following: what the networks are given of s and s' (B, F).
        actions: as they were drawn, (B,) or (B, A).
        rewards, going_on: (B,); ``going_on`` is 0 where the world ended, and 1 after a time limit.
    """
    with mg.no_grad():
        target = rewards + gamma * going_on * agent.values(following)
    error = target - agent.values(senses)
    log_prob, entropy = agent.judge(senses, actions)
    return -(error.detach() * log_prob).mean(), (error**2).mean(), entropy.mean()


def learn(
    agent: ActorCritic, optimizer: optim.Optimizer, step: Rollout, config: Config
) -> dict[str, Tensor]:
    r"""One step of Adam from one step of each copy."""
    going_on = (~step.terminated).astype(np.float32)
    following = step.observations[1:]
    parts = step.flat(step.observations[:-1], following, step.actions, step.rewards, going_on)
    senses, following = (agent.sense(x) for x in parts[:2])
    others = (Tensor(x).to(senses.device) for x in parts[2:])
    gain, error, entropy = losses(agent, senses, following, *others, config.gamma)
    loss = gain + 0.5 * error
    if config.entropy:
        loss = loss - config.entropy * entropy
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(agent.learned(), config.clip_norm)
    optimizer.step()
    return {"value_loss": error, "entropy": entropy}


def train(config: Config) -> Result:
    r"""Play, learn, and keep the epoch that plays best."""
    return train_on_rollouts(
        config,
        "Actor-critic",
        1,
        lambda weights: optim.Adam(weights, lr=config.lr),
        lambda agent, optimizer, step, left: learn(agent, optimizer, step, config),
    )


if __name__ == "__main__":
    main(train, Config)
