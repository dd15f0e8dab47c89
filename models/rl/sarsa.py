r"""SARSA: the value of what the agent does, not of what it should do.

Paper: Rummery and Niranjan, On-line Q-learning using connectionist systems, Cambridge 1994

Expect: a mean return of -17 +- 1 on the cliff, by the path along the wall (Q-learning: -13, along
the edge; random: below -1000)

As ``q_learning.py``, but the target takes the action a' that is done next, exploration included
(the name is s, a, r, s', a'):

    target = r + gamma (1 - d) Q(s', a')
    Q(s, a) <- Q(s, a) + alpha (target - Q(s, a))

So it learns the values of the policy that it follows, *on-policy*. On the cliff, where every step
costs 1 and a step over the edge 100, an agent that acts at random in one step of five is better off
away from the edge: SARSA goes along the wall, and Q-learning along the edge, which is the best for
an agent that never slips and the worse one while it learns.

How far away is decided by epsilon, and can be computed (``value_iteration(..., epsilon=...)``): of
the three rows above the cliff the best is the middle one (-15) up to epsilon = .15, the upper one
(-17) from .2 on. Books draw the upper one for .1; with an alpha that falls, SARSA finds the middle
one there (``--epsilon 0.1 --epsilon-end 0.1``), and were epsilon to fall to 0 it would end at the
edge as well.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from minigrad.train import Result, main
from models.rl.q_learning import QLearning, TableConfig, solve


@dataclass
class Config(TableConfig):
    r"""The options; the defaults give the figure above."""

    env: str = "CliffWalking-v1"  #: name of a gymnasium environment of Discrete spaces
    epochs: int = 10  #: parts of the training, with a checkpoint and an evaluation after each
    gamma: float = 1.0  #: discount of the rewards
    epsilon: float = 0.2  #: probability of acting at random, at the beginning
    epsilon_end: float = 0.2  #: the same at the end; it falls along a line
    watch_episodes: int = 1  #: episodes of the curve
    evaluation_episodes: int = 100  #: episodes of the figure at the end


class Sarsa(QLearning):
    r"""The rule of Q-learning with another target."""

    def learned_epsilon(self) -> float:
        r"""The values include the exploration of the end."""
        return self.config.epsilon_end

    def follow(self, next_values: np.ndarray, next_action: int) -> float:
        r"""What is expected from the next state on: the action that is done there."""
        return float(next_values[next_action])


def train(config: Config) -> Result:
    r"""Learn the table, and see what its best actions bring."""
    return solve(config, Sarsa, "SARSA")


if __name__ == "__main__":
    main(train, Config)
