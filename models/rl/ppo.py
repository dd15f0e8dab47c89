r"""PPO: proximal policy optimisation.

Paper: Schulman et al., Proximal policy optimization algorithms, 2017, arXiv:1707.06347

Expect: a mean return of 500 on CartPole-v1 after 100,000 steps, with 5 of 5 seeds (random: 21);
-87.3 or more on Acrobot-v1 (random: -497), -178.6 or more on Pendulum-v1 (random: -1202), 94.0 or
more on MountainCarContinuous-v0 (do nothing: 0)

A policy plays for a while, and learns from the same steps several times. The gradient of the
expected advantage is that of a ratio,

    r(theta) = pi_theta(a|s) / pi_old(a|s)              1 before the first step, by definition
    d/dtheta E[r A]  =  E[A d ln pi]                    there

and stays right while theta is near the policy that played. Beyond that the ratio is clipped, so
that nothing is gained by going further:

    L_policy = -mean min(r A, clip(r, 1 - eps, 1 + eps) A)
    L_value  = mean (V(s) - R)^2
    L        = L_policy + 1/2 L_value - c mean entropy(pi(.|s))

min, and not the clipped term alone: where the policy has gone the *wrong* way, r < 1 - eps with a
positive A, the unclipped term is the smaller one, and its gradient brings it back.

A are generalised advantages (``minigrad.rl.gae``), brought to mean 0 and deviation 1 over the
rollout, R = A + V the targets of the value. Rollouts of T steps of N copies of the environment are
passed over several times in mini-batches. Where an episode was stopped by a limit of time the value
of its last state stands for the rest.

Other environments, with the settings that ``models/RESULTS.md`` has the figures of:

    --env Acrobot-v1 --copies 16 --rollout 64 --gamma 0.99 --lam 0.94 --passes 4
        --epoch-steps 25600 --epochs 12
    --env Pendulum-v1 --copies 4 --rollout 1024 --gamma 0.9 --lam 0.95 --passes 10
        --batch-size 64 --epoch-steps 20480 --epochs 8
    --env MountainCarContinuous-v0 --hold 16 --normalise --scale-rewards --rollout 256
        --gamma 0.99 --lam 0.95 --passes 10 --lr 3e-4 --epoch-steps 20480 --epochs 6
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.backend import default_generator
from minigrad.nn.utils import clip_grad_norm_
from minigrad.rl import Rollout
from minigrad.train import Result, main
from models.rl.networks import ActorCritic, advantages, kept
from models.rl.on_policy import RolloutConfig, train_on_rollouts


@dataclass
class Config(RolloutConfig):
    r"""The options; the defaults give the figure above."""

    epoch_steps: int = 9984  #: steps of the environment in an epoch, those of all copies together
    gamma: float = 0.98  #: discount of the rewards
    lam: float = 0.8  #: lambda of the generalised advantages
    rollout: int = 32  #: steps of each copy between two updates
    passes: int = 20  #: over the steps of a rollout
    batch_size: int = 256  #: steps in a mini-batch
    clip: float = 0.2  #: eps, how far the ratio may move
    schedule: Literal["constant", "linear"] = "linear"  #: linear: lr and clip fall to 0

    quick_values: ClassVar = {**RolloutConfig.quick_values, "passes": 4}

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "rollout", "passes", "batch_size")
        self.expect("clip", self.clip > 0, "a positive number")
        self.expect("lam", 0 <= self.lam <= 1, "a number in [0, 1]")


def policy_loss(log_prob: Tensor, old: Tensor, advantage: Tensor, clip: float) -> Tensor:
    r"""The clipped objective, to be lowered; all (B,)."""
    ratio = (log_prob - old).exp()
    return -mg.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def learn(
    agent: ActorCritic, optimizer: optim.Optimizer, rollout: Rollout, config: Config, left: float
) -> dict[str, Tensor]:
    r"""All passes over one rollout; figures of the last mini-batch.

    Args:
        left: how much of the run is left, from 1 to 0.
    """
    senses = agent.sense(rollout.observations)  # (T + 1, N) steps in one batch
    a, targets = advantages(agent, rollout, senses, config.gamma, config.lam)
    a, targets, old, actions = rollout.flat(a, targets, rollout.log_probs, rollout.actions)
    a = (a - a.mean()) / (a.std() + 1e-8)
    x = kept(rollout, senses)
    # Arrays, and no tensors, to take mini-batches of: nothing here has a gradient.
    data = [x.data, *(Tensor(v).to(x.device).data for v in (actions, old, a, targets))]
    share = left if config.schedule == "linear" else 1.0
    optimizer.param_groups[0]["lr"] = config.lr * share
    parameters = agent.learned()
    for _ in range(config.passes):
        order = Tensor(default_generator().numpy.permutation(len(a))).to(x.device).data
        for i in range(0, len(a), config.batch_size):
            rows = order[i : i + config.batch_size]
            x, action, before, advantage, target = (Tensor(v[rows]) for v in data)
            log_prob, entropy = agent.judge(x, action)
            gain = policy_loss(log_prob, before, advantage, config.clip * share)
            error = nn.functional.mse_loss(agent.values(x), target)
            uncertainty = entropy.mean()
            loss = gain + 0.5 * error
            if config.entropy:
                loss = loss - config.entropy * uncertainty
            optimizer.zero_grad()
            loss.backward()
            clip_grad_norm_(parameters, config.clip_norm)
            optimizer.step()
    return {"value_loss": error, "entropy": uncertainty}


def train(config: Config) -> Result:
    r"""Play, learn, and keep the epoch that plays best."""
    return train_on_rollouts(
        config,
        "PPO",
        config.rollout,
        lambda weights: optim.Adam(weights, lr=config.lr, eps=1e-5),
        lambda agent, optimizer, rollout, left: learn(agent, optimizer, rollout, config, left),
    )


if __name__ == "__main__":
    main(train, Config)
