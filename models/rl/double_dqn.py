r"""Double DQN: one network says which action is best, the other one what it is worth.

Paper: van Hasselt, Guez and Silver, Deep reinforcement learning with double Q-learning, AAAI 2016,
arXiv:1509.06461

Expect: a mean return of 475 or more on CartPole-v1 on 4 of 5 seeds after 50,000 steps (random
22.6); where all actions are worth 0 it says .07 to .23, and DQN .34 to .51

The algorithm is that of ``dqn.py``, with another target:

    DQN      r + gamma (1 - d) max_a' Q(s', a'; w-)
    Double   r + gamma (1 - d) Q(s', argmax_a' Q(s', a'; w); w-)

The maximum over estimates is larger than the largest of what is estimated: of actions that are all
worth 0, known up to noise, the best looks better than 0, and the target carries that one step on.
Where the online network chooses and the target network, of other noise, says what it is worth, a
lucky choice is not paid for. (The two share most of what they learned, so that some of the
over-estimation is left.)

``minigrad/NoisyMax`` shows it alone: two steps, eight actions, rewards from N(0, 1) at the second
one, so that every action of the first is worth exactly 0. ``start_value`` is what the network
thinks, as a mean over the second half of training:

    python -m models.rl.double_dqn --env minigrad/NoisyMax --gamma 1 --epsilon-end 1 --lr 1e-3 \
        --capacity 300 --batch-size 32 --warmup 100 --train-every 4 --updates 2 \
        --target-every 1000 --epoch-steps 1000 --watch-episodes 0
"""

from __future__ import annotations

from dataclasses import dataclass

from minigrad.train import Result, main
from models.rl import dqn


@dataclass
class Config(dqn.Config):
    r"""The options; the defaults give the figure above."""

    double: bool = True  #: the online network says which action is best, the target its worth


def train(config: Config) -> Result:
    r"""Learn to act, keep the epoch that acts best, and see what it brings."""
    return dqn.solve(config, "Double DQN")


if __name__ == "__main__":
    main(train, Config)
