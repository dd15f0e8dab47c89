r"""DQN: Q-learning with a network in the place of the table.

Paper: Mnih et al., Human-level control through deep reinforcement learning, Nature 518, 2015
(first as arXiv:1312.5602)

Expect: a mean return of 475 or more on CartPole-v1 on 4 of 5 seeds after 50,000 steps (random 22.6,
always the same action 9.3; the limit is 500); -90 or more on Acrobot-v1 on 4 of 5 seeds after
100,000 (random -497)

Q(s, a; w) is a network from observations to the values of all actions. It learns from a memory of
transitions (s, a, r, s', d), d = 1 where the world ended, drawn at random:

    target = r + gamma (1 - d) max_a' Q(s', a'; w-)          no gradient
    loss   = mean smooth_l1(Q(s, a; w) - target)

Three things keep this from running away. *Replay*: neighbouring steps look alike, and a batch drawn
from the last thousands does not. The *target network* w- is a copy of w, taken every
``--target-every`` steps and still in between: were it w itself, each step towards the target would
move the target. *smooth_l1* keeps a single surprise from being a large step.

What popular code gets wrong here, and what it does: a time limit stored as an end (d = 1) teaches
that a well-balanced pole is worth nothing after 500 steps; targets without (1 - d) give worth to
what follows a fall, and nothing is learned; a copy taken with every step is no target network.
``start_value`` shows such things: it is what the network thinks that the beginning of an episode is
worth, as a mean over the second half of the run, and no policy can bring more than the truth, which
on CartPole is (1 - gamma^500) / (1 - gamma) = 99.3 for whoever never falls.

The agent acts at random with probability epsilon, which falls along a line. It takes
``--train-every`` steps, then learns ``--updates`` times.

Options, which can be combined: ``--double`` (``double_dqn.py``), ``--prioritised``
(``prioritised_dqn.py``) and ``--dueling`` (Wang et al., ICML 2016, arXiv:1511.06581): the network's
last layer gives a value V(s) and advantages A(s, a), and

    Q(s, a) = V(s) + A(s, a) - mean_a' A(s, a')

Where it differs: Adam for RMSprop, small dense networks for images, and settings of that size.

    python -m models.rl.dqn --env Acrobot-v1 --epochs 20 --lr 1e-3 --watch-episodes 50
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minigrad import Tensor, nn, optim
from minigrad.backend import default_generator, get_array_module, to_device, to_numpy
from minigrad.nn import functional as F
from minigrad.nn.utils import clip_grad_norm_
from minigrad.rl import (
    Batch,
    LinearSchedule,
    PrioritizedReplayBuffer,
    ReplayBuffer,
    action_count,
    flat_size,
    make_vector,
)
from minigrad.train import Result, Run, main
from models.rl.common import (
    MLP,
    NetworkConfig,
    check_environment,
    conclude,
    fresh_seed,
    mlp,
    rounds,
    watch,
)


@dataclass
class Config(NetworkConfig):
    r"""The options; the defaults give the figure above."""

    copies: int = 1  #: environments that step together
    lr: float = 2.3e-3  #: learning rate of Adam
    batch_size: int = 64  #: transitions in a step of the optimiser
    capacity: int = 100_000  #: transitions that are remembered
    warmup: int = 1000  #: steps of the environment before the first update
    train_every: int = 256  #: steps of the environment between two rounds of updates
    updates: int = 128  #: steps of the optimiser in a round
    target_every: int = 256  #: steps of the environment between two copies to the target network
    epsilon: float = 1.0  #: probability of acting at random, at the beginning
    epsilon_end: float = 0.04  #: the same at the end
    exploration: float = 0.16  #: part of the run in which epsilon falls
    max_norm: float = 10.0  #: the gradient is shortened to this length
    double: bool = False  #: the online network says which action is best, the target its worth
    dueling: bool = False  #: a value for the state, and advantages for the actions
    prioritised: bool = False  #: learn more often from what was predicted badly
    alpha: float = 0.6  #: prioritised: 0 draws evenly, 1 in proportion to the error
    #: prioritised: how far the weights correct for it at the beginning; fully at the end
    beta: float = 0.4

    quick_values: ClassVar = {**NetworkConfig.quick_values, "warmup": 200}

    def check(self) -> None:
        super().check()
        for name in ("copies", "batch_size", "capacity", "warmup", "train_every", "updates"):
            self.expect_at_least(1, name)
        self.expect_at_least(1, "target_every")
        for name in ("epsilon", "epsilon_end", "exploration", "beta"):
            self.expect(name, 0 <= getattr(self, name) <= 1, "a number in [0, 1]")
        self.expect_at_least(0, "alpha")
        self.expect("max_norm", self.max_norm > 0, "a positive number")


class Dueling(nn.Module):
    r"""Observations (N, D) to Q (N, A), as a state's value and the actions' advantages."""

    def __init__(self, body: MLP) -> None:
        super().__init__()
        self.body = body  # (N, D) -> (N, 1 + A)

    def forward(self, observations: Tensor) -> Tensor:
        return self.combined(self.body(observations))

    def arrays(self, observations: Any) -> Any:
        r"""The same for an array, as in :class:`MLP`."""
        return self.combined(self.body.arrays(observations))

    @staticmethod
    def combined(both: Any) -> Any:
        r"""Q (N, A) of value and advantages (N, 1 + A)."""
        advantage = both[:, 1:]
        return both[:, :1] + advantage - advantage.sum(1)[:, None] / advantage.shape[1]


class DQN:
    r"""Two networks, a memory, and a step of learning.

    Args:
        config: the options.
        observations, actions: how many numbers an observation has, and how many actions there are.
        device: where the networks are.
    """

    def __init__(self, config: Config, observations: int, actions: int, device: Any) -> None:
        self.config, self.actions, self.device = config, actions, device
        self.on_host = device == "cpu"
        if config.dueling:
            network: Any = Dueling(mlp((observations, *config.hidden, 1 + actions)))
        else:
            network = mlp((observations, *config.hidden, actions))
        self.online = network.to(device)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        self.parameters = list(self.online.parameters())
        self.optimizer = optim.Adam(self.parameters, lr=config.lr)
        self.random = default_generator().numpy
        self.memory: Any = ReplayBuffer(config.capacity, (observations,))
        if config.prioritised:
            self.memory = PrioritizedReplayBuffer(
                config.capacity, (observations,), alpha=config.alpha
            )
        self.epsilon = LinearSchedule(
            config.epsilon, config.epsilon_end, max(1, round(config.exploration * config.steps))
        )
        self.beta = LinearSchedule(config.beta, 1.0, config.steps)

    # --------------------------------------------------------------------------------- acting
    def policy(self, observations: np.ndarray) -> np.ndarray:
        r"""The action (N,) that is thought best for each of the observations (N, D)."""
        return self.values(observations).argmax(1)

    def values(self, observations: np.ndarray) -> np.ndarray:
        r"""Q (N, A) on the host."""
        return to_numpy(self.online.arrays(self.on_device(observations.astype(np.float32))))

    def act(self, observations: np.ndarray, step: int) -> np.ndarray:
        r"""The best action with probability 1 - epsilon, else any."""
        n = len(observations)
        at_random = self.random.random(n) < self.epsilon(step)
        actions = self.random.integers(0, self.actions, n)
        if at_random.all():
            return actions
        return np.where(at_random, actions, self.policy(observations))

    # ------------------------------------------------------------------------------- learning
    def on_device(self, array: np.ndarray) -> Any:
        return array if self.on_host else to_device(array, self.device)

    def targets(self, batch: Batch) -> Any:
        r"""r + gamma (1 - d) max_a' Q(s', a'), an array (N,): it has no gradient."""
        following = self.on_device(batch.next_observations)
        values = self.target.arrays(following)  # (N, A)
        if self.config.double:
            best = self.online.arrays(following).argmax(1)
            worth = values[get_array_module(values).arange(len(values)), best]
        else:
            worth = values.max(1)
        going_on = self.on_device(self.config.gamma * (1 - batch.terminated))
        return self.on_device(batch.rewards) + going_on * worth

    def loss(self, batch: Batch) -> tuple[Tensor, Any]:
        r"""The loss of a batch, and how far the predictions are off, an array (N,)."""
        observations, actions = (
            Tensor(self.on_device(part)) for part in (batch.observations, batch.actions[:, None])
        )
        chosen = self.online(observations).gather(1, actions)  # (N, 1)
        target = self.targets(batch)[:, None]
        if self.config.prioritised:
            weights = Tensor(self.on_device(batch.weights[:, None]))
            loss = (weights * F.smooth_l1_loss(chosen, Tensor(target), reduction="none")).mean()
        else:
            loss = F.smooth_l1_loss(chosen, Tensor(target))
        return loss, (chosen.data - target)[:, 0]

    def learn(self, step: int) -> Tensor:
        r"""One step of the optimiser; its loss."""
        if self.config.prioritised:
            batch = self.memory.sample(self.config.batch_size, self.random, self.beta(step))
        else:
            batch = self.memory.sample(self.config.batch_size, self.random)
        loss, errors = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(self.parameters, self.config.max_norm)
        self.optimizer.step()
        if self.config.prioritised:
            self.memory.update(batch.indices, to_numpy(errors))
        return loss.detach()

    def copy_to_target(self) -> None:
        r"""The target network becomes what the online network is now."""
        self.target.load_state_dict(self.online.state_dict())

    def parts(self) -> dict[str, Any]:
        r"""What a checkpoint must hold."""
        return {
            "online": self.online,
            "target": self.target,
            "optimizer": self.optimizer,
            "memory": self.memory,
        }


def play(run: Run, config: Config, agent: DQN, envs: Any) -> None:
    r"""Act, remember and learn, for one epoch."""

    def due(every: int) -> bool:
        """Whether this round of steps completes another ``every``."""
        return (run.step + config.copies) // every > run.step // every

    observations, _ = envs.reset(seed=fresh_seed())
    lives = np.ones(config.copies, bool)  # the step after an end is no transition
    for _ in rounds(run, config, config.copies):
        actions = agent.act(observations, run.step)
        following, rewards, terminated, truncated, _ = envs.step(actions)
        transitions = (observations, actions, rewards, following, terminated)
        if not lives.all():
            transitions = tuple(part[lives] for part in transitions)
        agent.memory.add(*transitions)
        lives = ~(terminated | truncated)
        observations = following
        if run.step >= config.warmup and due(config.train_every):
            for _ in range(config.updates):
                loss = agent.learn(run.step)
            run.record(loss=loss)
        if due(config.target_every):
            agent.copy_to_target()


def solve(config: Config, name: str) -> Result:
    r"""A run, under the algorithm's name."""
    env = check_environment(config, name, ["Box"], ["Discrete"])
    run = Run(config)
    agent = DQN(config, flat_size(env), action_count(env), run.device)
    envs = make_vector(config.env, config.copies)
    # What the network thinks that beginnings are worth. No policy brings more than the best one
    # does, so that too high a value is seen.
    starts = np.stack([env.reset(seed=seed)[0] for seed in range(100)])
    run.track(**agent.parts())
    for _ in run.epochs(config.epochs):
        play(run, config, agent, envs)
        run.record(start_value=float(agent.values(starts).max(1).mean()))
        watch(run, config, agent.online, agent.policy)
    envs.close()

    late = [line["start_value"] for line in run.history[len(run.history) // 2 :]]
    panels = {"value of the first state": {"": "start_value"}}
    if any("loss" in line for line in run.history):
        panels["loss"] = {"": "loss"}
    title = f"{name} on {config.env}"
    return conclude(
        run,
        config,
        agent.online,
        agent.policy,
        title,
        panels,
        start_value=float(np.mean(late)),
    )


def train(config: Config) -> Result:
    r"""Learn to act, keep the epoch that acts best, and see what it brings."""
    return solve(config, "DQN")


if __name__ == "__main__":
    main(train, Config)
