r"""A2C: advantage actor-critic on many copies of an environment.

Paper: Mnih et al., Asynchronous methods for deep reinforcement learning, 2016, arXiv:1602.01783

Expect: a mean return of 500 on CartPole-v1 after 500,000 steps, with 5 of 5 seeds (random: 21);
93.4 or more on MountainCarContinuous-v0 (do nothing: 0)

N copies are played side by side for T steps, then everything learns once:

    A_t      = r_t + gamma r_{t+1} + ... + gamma^m V(s_{t+m}) - V(s_t)     to the rollout's end
    L_policy = -mean A_t ln pi(a_t|s_t)                                    A is a constant here
    L_value  = mean (V(s_t) - R_t)^2,   R_t = A_t + V(s_t)                 so is R
    L        = L_policy + 1/2 L_value - c mean entropy(pi(.|s_t))

The sum stops where an episode terminates; where a limit of time stops it, V of its last state
stands for the rest. With ``--lam`` below 1 A is the generalised advantage. The entropy is that of
the policy as it learns, so it has a gradient.

A3C, which the paper is named after, has the copies in threads: each computes a gradient with the
weights as they were when it began, and applies it to the common ones whenever it is ready. The
threads are there to make the steps of a batch unlike each other; that the gradients are late is the
price. Copies that step together give the same mixture without the delay, the networks get one batch
instead of N single states, and the result does not depend on who was first. This is all that the
missing A says, and no experiment since has missed the asynchrony.

Other environments: the car that must first go the wrong way, with the settings that
``models/RESULTS.md`` has the figures of,

    --env MountainCarContinuous-v0 --hold 16 --normalise --scale-rewards --rollout 64
        --lam 0.95 --epoch-steps 25600 --epochs 8

On the 32 features of a frozen encoder (``autoencoders.state``, three epochs) policy and value can
be linear: ``--encoder FOLDER --hidden "" --lr 0.01`` in the place of ``--normalise`` reached 93.9
in six epochs, with one seed; with the default rate it had hardly begun (2.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from minigrad import Tensor, nn, optim
from minigrad.nn.utils import clip_grad_norm_
from minigrad.rl import Rollout
from minigrad.train import Result, main
from models.rl.networks import ActorCritic, advantages, kept
from models.rl.on_policy import RolloutConfig, train_on_rollouts


@dataclass
class Config(RolloutConfig):
    r"""The options; the defaults give the figure above."""

    lr: float = 7e-4  #: learning rate of RMSprop
    epochs: int = 10  #: parts of the training, with a checkpoint and an evaluation after each
    epoch_steps: int = 50_000  #: steps of the environment in an epoch, those of all copies together
    lam: float = 1.0  #: lambda of the generalised advantages
    rollout: int = 5  #: steps of each copy between two updates

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "rollout")
        self.expect("lam", 0 <= self.lam <= 1, "a number in [0, 1]")


def learn(
    agent: ActorCritic, optimizer: optim.Optimizer, rollout: Rollout, config: Config
) -> dict[str, Tensor]:
    r"""One step down the gradient of one rollout."""
    senses = agent.sense(rollout.observations)  # (T + 1, N) steps in one batch
    a, targets = advantages(agent, rollout, senses, config.gamma, config.lam)
    a, targets, actions = (
        Tensor(x).to(senses.device) for x in rollout.flat(a, targets, rollout.actions)
    )
    x = kept(rollout, senses)
    log_prob, entropy = agent.judge(x, actions)
    error = nn.functional.mse_loss(agent.values(x), targets)
    uncertainty = entropy.mean()
    loss = -(a * log_prob).mean() + 0.5 * error
    if config.entropy:
        loss = loss - config.entropy * uncertainty
    optimizer.zero_grad()
    loss.backward()
    clip_grad_norm_(agent.learned(), config.clip_norm)
    optimizer.step()
    return {"value_loss": error, "entropy": uncertainty}


def train(config: Config) -> Result:
    r"""Play, learn, and keep the epoch that plays best."""
    return train_on_rollouts(
        config,
        "A2C",
        config.rollout,
        lambda weights: optim.RMSprop(weights, lr=config.lr, alpha=0.99, eps=1e-5),
        lambda agent, optimizer, rollout, left: learn(agent, optimizer, rollout, config),
    )


if __name__ == "__main__":
    main(train, Config)
