r"""What the policy gradients share: their options, the agent's networks, how it draws an action.

Belongs here: what is the same in REINFORCE, actor-critic, A2C and PPO. Does not belong here: what
agents of all kinds share (``common.py``), a loss, a loop (``on_policy.py``).

An agent sees a state s (a vector), and has a policy and a value, each a network of its own:

    Discrete actions    pi(a|s) = softmax(policy(s))_a
    Box of actions      pi(a|s) = N(a; mu = policy(s), sigma^2),   ln sigma learned, the same for
                        all states
    V(s) = value(s)

An action is *drawn*, executed and kept, and the log-probability that is learned from is that of the
kept action, a constant: d ln pi / d mu = (a - mu) / sigma^2. It is easy to write a loss that draws
a second action inside the graph, a' = mu + sigma eps, and takes ln pi(a'): then (a' - mu) / sigma
is eps, whatever mu is, and the gradient of mu is 0.

The Box clips what is executed, not what is kept: a clipped action is not where the density is.

With ``--hold`` a deviation sigma eps from the mean is kept up for some steps. Deviations drawn
afresh at each step cancel out, and a car that must swing never does: of 400 episodes of
MountainCarContinuous with mu = 0 and sigma = 1, 3 % reach the top, and 94 % if each deviation lasts
16 steps. The log-probability is still that of each action on its own, N(mu, sigma^2), as in
state-dependent exploration (Raffin et al., 2021, arXiv:2005.05719).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn
from minigrad.backend import default_generator, to_numpy
from minigrad.distributions import Categorical, Distribution, Normal
from minigrad.rl import Rollout, RunningNorm, action_count, flat_size, gae
from minigrad.train import CheckpointError, RunError, load_safetensors
from minigrad.train.record import WEIGHTS
from models.autoencoders.state import StateAutoencoder, frozen_encoder, mountain_car_box
from models.rl.common import NetworkConfig, mlp


@dataclass
class PolicyConfig(NetworkConfig):
    r"""The options of every policy gradient."""

    copies: int = 8  #: of the environment, played side by side
    entropy: float = 0.0  #: weight of the policy's entropy, which rewards trying things
    clip_norm: float = 0.5  #: the gradient of all weights together is cut to this length
    std: float = 1.0  #: Box of actions: standard deviation at the beginning
    hold: int = 1  #: Box of actions: steps for which a deviation from the mean is kept up
    normalise: bool = False  #: observations by their running mean and deviation
    #: folder of a run of autoencoders.state, whose frozen encoder the networks begin with
    encoder: str | None = None

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "copies", "hold")
        self.expect_at_least(0, "entropy")
        self.expect("clip_norm", self.clip_norm > 0, "a positive number")
        self.expect("std", self.std > 0, "a positive number")
        self.expect("encoder", not (self.encoder and self.normalise), "none beside --normalise")
        there = self.encoder is None or (Path(self.encoder) / WEIGHTS).is_file()
        self.expect("encoder", there, "the folder of a run of autoencoders.state or none")


class ActorCritic(nn.Module):
    r"""Policy and value of states (N, D).

    Args:
        env: one environment, or a vector, with a Box of observations (D,).
        config: widths, the beginning of sigma, what stands before the networks.
        critic: without it there is no value.
    """

    def __init__(self, env: Any, config: PolicyConfig, critic: bool = True) -> None:
        super().__init__()
        inputs, outputs = flat_size(env), action_count(env)
        space = getattr(env, "single_action_space", env.action_space)
        self.bounds = (space.low, space.high) if hasattr(space, "low") else None
        self.start = int(getattr(space, "start", 0))
        #: what is seen of a state; learns no weight
        self.senses: nn.Module = nn.Identity()
        if config.normalise:
            self.senses = RunningNorm((inputs,))
        elif config.encoder is not None:
            self.senses, inputs = load_encoder(config.encoder, inputs), 32
        self.policy = mlp([inputs, *config.hidden, outputs], "tanh", last=0.01)
        if critic:
            self.value = mlp([inputs, *config.hidden, 1], "tanh", last=1.0)
        if self.bounds is not None:
            self.log_std = nn.Parameter(mg.full((outputs,), math.log(config.std)))
        self.hold = config.hold
        self.restart()

    def learned(self) -> list[Tensor]:
        r"""The weights that learn: all but those of a frozen encoder."""
        return [p for p in self.parameters() if p.requires_grad]

    def policy_weights(self) -> list[Tensor]:
        r"""Those of them that the policy has."""
        own = [] if self.bounds is None else [self.log_std]
        return [*self.policy.parameters(), *own]

    def learn_to_see(self, rollout: Rollout) -> None:
        r"""Take a rollout's observations into the running statistics, if there are any. It is done
        after learning: between the drawing of an action and the learning from it nothing moves."""
        if isinstance(self.senses, RunningNorm):
            self.senses.update(rollout.flat(rollout.observations[:-1])[0])

    # -------------------------------------------------------------------------------- learning
    def sense(self, observations: np.ndarray) -> Tensor:
        r"""Observations (..., D) on the host to what the networks are given (B, F), a constant."""
        x = np.ascontiguousarray(observations, np.float32).reshape(-1, observations.shape[-1])
        with mg.no_grad():
            return self.senses(Tensor(x).to(self.policy[0].weight.device))

    def distribution(self, senses: Tensor) -> Distribution:
        r"""The policy in states (B, F)."""
        out = self.policy(senses)
        if self.bounds is None:
            return Categorical(logits=out, validate_args=False)
        return Normal(out, self.log_std.exp(), validate_args=False)

    def judge(self, senses: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        r"""Log-probabilities (B,) of actions that were drawn, (B,) or (B, A), in states (B, F), and
        the entropies (B,) of the policy there."""
        if self.bounds is None:  # what Categorical computes, in fewer steps: this is the inner loop
            log_p = nn.functional.log_softmax(self.policy(senses), 1)  # (B, K)
            log_prob = log_p.gather(1, actions.unsqueeze(1)).squeeze(1)
            return log_prob, -(log_p.exp() * log_p).sum(1)
        policy = self.distribution(senses)
        return policy.log_prob(actions).sum(1), policy.entropy().sum(1)

    def values(self, senses: Tensor) -> Tensor:
        r"""V (B,) of states (B, F)."""
        return self.value(senses).squeeze(1)

    # --------------------------------------------------------------------------------- playing
    def restart(self) -> None:
        r"""Forget the deviation that is being kept up: new episodes begin."""
        self._age = 0
        self._noise: Any = None

    def draw(self, observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        r"""Actions of the policy in states (N, D), and their log-probabilities (N,): arrays on the
        host, without a graph, by the formulas above."""
        with mg.no_grad():
            out = to_numpy(self.policy(self.sense(observations)).data)
        generator = default_generator().numpy
        rows = np.arange(len(out))
        if self.bounds is None:
            shifted = out - out.max(1, keepdims=True)
            p = np.exp(shifted)
            total = p.sum(1)
            u = generator.random(len(out), np.float32) * total
            actions = np.minimum((p.cumsum(1) <= u[:, None]).sum(1), out.shape[1] - 1)
            return actions, shifted[rows, actions] - np.log(total)
        if self._age % self.hold == 0:
            self._noise = generator.standard_normal(out.shape, np.float32)
        self._age += 1
        log_std = to_numpy(self.log_std.data)
        log_probs = -0.5 * self._noise**2 - log_std - 0.5 * math.log(2 * math.pi)
        return out + np.exp(log_std) * self._noise, log_probs.sum(1)

    def best(self, observations: np.ndarray) -> np.ndarray:
        r"""The likeliest action in each state (N, D), as the environment takes it."""
        with mg.no_grad():
            out = to_numpy(self.policy(self.sense(observations)).data)
        if self.bounds is None:
            return out.argmax(1) + self.start
        return np.clip(out, *self.bounds)


def advantages(
    agent: ActorCritic, rollout: Rollout, senses: Tensor, gamma: float, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    r"""Generalised advantages (T, N) and the targets (T, N) of the value.

    Args:
        senses: what the networks are given of the T + 1 observations of each copy, in one batch.
    """
    with mg.no_grad():
        values = agent.values(senses).cpu().numpy().reshape(len(rollout.observations), -1)
    a = gae(
        rollout.rewards, values[:-1], values[1:], rollout.terminated, rollout.truncated, gamma, lam
    )
    return a, a + values[:-1]


def kept(rollout: Rollout, senses: Tensor) -> Tensor:
    r"""Of what the networks are given of all T + 1 observations, the rows of valid steps (B, F)."""
    if rollout.valid.all():
        return senses[: rollout.valid.size]
    return senses[Tensor(np.flatnonzero(rollout.valid)).to(senses.device)]


def load_encoder(folder: str, inputs: int) -> nn.Module:
    r"""The frozen encoder of a run of ``autoencoders.state``, states (N, 2) to features (N, 32).

    Raises:
        RunError: the run is not there, or states are not of two numbers.
    """
    if inputs != 2:
        raise RunError(f"encoder: expected an environment of states (2,), got ({inputs},)")
    model = StateAutoencoder(*mountain_car_box())
    try:
        model.load_state_dict(load_safetensors(Path(folder) / WEIGHTS))
    except (OSError, CheckpointError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise RunError(f"encoder: expected a run of autoencoders.state, got {reason}") from None
    return frozen_encoder(model)
