r"""Q-learning in a world of six states: the table becomes exactly what it should be.

Paper: Watkins and Dayan, Q-learning, Machine Learning 8, 1992

Expect: all 16 action values exactly those of dynamic programming, largest difference 0 (a table of
zeros: 100)

Two rows of cells. The goal brings 100, the hole costs 100, both end the episode; nothing else
brings anything, and against the wall one stays:

    start   1     goal
      3     4     hole

Nothing is random here, so one look at what follows an action tells all there is to know about it,
and the target replaces the value (alpha = 1 in ``q_learning.py``):

    Q(s, a) <- r + gamma (1 - d) max_a' Q(s', a'),   gamma = .9

From the goal backwards, 100, 90, 81, 72.9 spread over the table as the agent comes by; once each
pair has been seen often enough, the table is Q* to the last bit, and stays.

That Q-learning *is* this rule is a misunderstanding of a popular text: alpha = 1 suits worlds
without chance alone, and what makes it Q-learning is the maximum (off-policy), at any alpha.

The agent explores with a probability of .9 that falls by a tenth with each *episode*, to .1. (The
same factor taken with each step, as other code of the same source does, would have it at .1 before
the third episode.)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigrad.rl import ExponentialSchedule, action_count, flat_size, value_iteration
from minigrad.train import Result, Run, main
from models.rl.common import RLConfig, check_environment, conclude
from models.rl.q_learning import QLearning, Table, TableConfig, picture_table, train_table


@dataclass
class Config(TableConfig):
    r"""The options; the defaults give the figure above."""

    env: str = "minigrad/SixStates"  #: name of an environment with a table of transitions
    epochs: int = 5  #: parts of the training, with a checkpoint and an evaluation after each
    epoch_steps: int = 2000  #: steps of the environment in an epoch
    gamma: float = 0.9  #: discount of the rewards
    alpha: float = 1.0  #: part of the way towards the target, at the beginning
    alpha_end: float = 1.0  #: the same at the end; it falls along a line
    epsilon: float = 0.9  #: probability of acting at random, at the beginning
    decay: float = 0.9  #: of that probability with each episode, to --epsilon-end
    evaluation_episodes: int = 100  #: episodes of the figure at the end

    quick_values: ClassVar = {**RLConfig.quick_values, "epoch_steps": 1000}

    def check(self) -> None:
        super().check()
        self.expect("decay", 0 < self.decay <= 1, "a number in (0, 1]")
        self.expect("epsilon", self.epsilon >= self.epsilon_end, "at least --epsilon-end")


class Explorer(QLearning):
    r"""Q-learning whose exploration falls with the episodes."""

    config: Config

    def exploration(self, step: int) -> float:
        r"""The probability of acting at random."""
        config = self.config
        schedule = ExponentialSchedule(config.epsilon, config.epsilon_end, config.decay)
        return schedule(self.episodes)


def train(config: Config) -> Result:
    r"""Learn the table, and hold it against the one that is computed."""
    env: Any = check_environment(config, "Q-learning", ["Discrete"], ["Discrete"])
    run = Run(config)
    table = Table(flat_size(env), action_count(env))
    train_table(run, config, env, table, Explorer(config, table))

    right = value_iteration(env.unwrapped.P, config.gamma)
    alive = right.any(1)  # not the goal and the hole, from which nothing is done
    difference = np.abs(table.array - right)[alive]
    title = "Six states"
    picture_table(run, table, title)
    return conclude(
        run,
        config,
        table,
        table.policy,
        title,
        largest_difference=float(difference.max()),
        exact_values=int((difference == 0).sum()),
    )


if __name__ == "__main__":
    main(train, Config)
