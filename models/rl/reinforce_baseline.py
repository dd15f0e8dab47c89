r"""REINFORCE with a baseline: the policy gradient with what was to be expected taken off.

Paper: Williams, Simple statistical gradient-following algorithms for connectionist reinforcement
learning, 1992, doi:10.1007/BF00992696

Expect: a mean return of 500 on CartPole-v1 after 500,000 steps, with 5 of 5 seeds (random: 21);
92.6 or more on MountainCarContinuous-v0 (do nothing: 0)

The game of ``reinforce.py``. What an action is weighted with is not what followed, but how much
better that was than usual in its state:

    grad J  = E[sum_t (G_t - V(s_t)) grad ln pi(a_t|s_t)]
    L_value = mean (V(s_t) - G_t)^2

Anything that does not depend on the action may be taken off, because

    E_a[b(s) grad ln pi(a|s)] = b(s) grad sum_a pi(a|s) = b(s) grad 1 = 0

so the mean of the gradient stays, and its variance falls. An action after which all went as usual
changes nothing; without the baseline it was made likelier by its whole return.

Where a limit of time ended the episode, V of the last state now stands for the rest in G. V has an
optimiser of its own, and takes ``--value-steps`` steps for one of the policy.

Other environments: ``--env MountainCarContinuous-v0 --hold 16 --normalise --lr 0.01 --epochs 5``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.rl import Rollout, discounted_returns
from minigrad.train import Result, main
from models.rl import reinforce
from models.rl.networks import ActorCritic, kept


@dataclass
class Config(reinforce.Config):
    r"""The options; the defaults give the figure above."""

    value_lr: float = 3e-3  #: learning rate of the value's Adam
    value_steps: int = 10  #: of the value for one of the policy

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "value_steps")
        self.expect("value_lr", self.value_lr > 0, "a positive number")


class Learner(reinforce.Learner):
    r"""REINFORCE with G - V in the place of G."""

    name = "REINFORCE with a baseline"
    critic = True
    config: Config

    def __init__(self, agent: ActorCritic, config: Config) -> None:
        super().__init__(agent, config)
        self.value_optimizer = optim.Adam(agent.value.parameters(), lr=config.value_lr)

    def gains(self, rollout: Rollout, senses: Tensor) -> np.ndarray:
        r"""G - V (T, N); V as it was before it saw these episodes."""
        with mg.no_grad():
            values = self.agent.values(senses).cpu().numpy().reshape(len(rollout.rewards) + 1, -1)
        ends = (rollout.terminated, rollout.truncated)
        self.returns = discounted_returns(
            rollout.rewards, *ends, self.config.gamma, next_values=values[1:]
        )
        return self.returns - values[:-1]

    def learn(self, rollout: Rollout) -> dict[str, Any]:
        figures = super().learn(rollout)
        senses = self.agent.sense(rollout.observations)
        x = kept(rollout, senses)
        targets = Tensor(rollout.flat(self.returns)[0]).to(senses.device)
        for _ in range(self.config.value_steps):
            error = nn.functional.mse_loss(self.agent.values(x), targets)
            self.value_optimizer.zero_grad()
            error.backward()
            self.value_optimizer.step()
        return {**figures, "value_loss": error}

    def parts(self) -> dict[str, Any]:
        return {**super().parts(), "value_optimizer": self.value_optimizer}


def train(config: Config) -> Result:
    r"""Train as ``reinforce.py`` does, by the other rule."""
    return reinforce.train(config, Learner)


if __name__ == "__main__":
    main(train, Config)
