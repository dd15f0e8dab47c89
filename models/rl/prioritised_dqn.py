r"""DQN with prioritised replay: learn more often from what was predicted badly.

Paper: Schaul, Quan, Antonoglou and Silver, Prioritized experience replay, ICLR 2016,
arXiv:1511.05952

Expect: a mean return of 475 or more on CartPole-v1 on 4 of 5 seeds after 50,000 steps (random 22.6)

The algorithm is that of ``dqn.py``, with another memory. A transition i of the N remembered ones is
drawn with a probability that grows with its last temporal difference delta,

    P(i) = p_i^alpha / sum_k p_k^alpha,   p_i = |delta_i| + 1e-6

new ones with the largest priority so far. To draw in proportion takes a tree of sums
(``minigrad.rl.SumTree``), in O(log N). Drawing unevenly changes what the mean over a batch is a
mean of; weights in the loss take that back,

    w_i = (N P(i))^-beta / max_j w_j,   loss = mean_i w_i smooth_l1(delta_i)

a part of it at first (beta .4), all of it at the end of the run (1). A popular version keeps beta
at .4, has no maximum and no N in the weights, which rescales the learning rate as the memory fills,
leaves gamma out of the delta that priorities are made of, and remembers 500 transitions.
"""

from __future__ import annotations

from dataclasses import dataclass

from minigrad.train import Result, main
from models.rl import dqn


@dataclass
class Config(dqn.Config):
    r"""The options; the defaults give the figure above."""

    prioritised: bool = True  #: learn more often from what was predicted badly


def train(config: Config) -> Result:
    r"""Learn to act, keep the epoch that acts best, and see what it brings."""
    return dqn.solve(config, "DQN with prioritised replay")


if __name__ == "__main__":
    main(train, Config)
