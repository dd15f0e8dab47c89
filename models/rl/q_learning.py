r"""Q-learning: a table of what each action is worth, learned from one step at a time.

Paper: Watkins, Learning from delayed rewards, thesis, Cambridge 1989; Watkins and Dayan,
Q-learning, Machine Learning 8, 1992

Expect: success 0.72 or more on the slippery lake, exactly computed (optimum 0.740, within 100
steps 0.744 by a policy that watches the clock; random 0.014)

Q(s, a) is the discounted sum of rewards after action a in state s, if the best is done from then
on. It is the only function with

    Q(s, a) = E [ r + gamma (1 - d) max_a' Q(s', a') ]

where s', r and d (1 if the world ended) follow upon s and a. Each step brings one sample of the
right side, and the table goes a part of the way towards it:

    target = r + gamma (1 - d) max_a' Q(s', a')
    Q(s, a) <- Q(s, a) + alpha (target - Q(s, a))

The target assumes that the best is done next, whatever is done: the agent may explore (with
probability epsilon it acts at random) and learns the values of a policy that does not. That is
*off-policy*; ``sarsa.py`` learns on-policy. With alpha = 1 the target replaces the value, which is
right where nothing is random (``world.py``); where the ice is slippery, alpha is how many of the
last samples are averaged, and it falls over the run.

At a time limit d is 0: the episode stops, the world does not, and s' has its value.

The lake's slipperiness is set when it is made (``--no-slippery``). Popular code sets
``env.is_slippery = False`` afterwards, which changes nothing: the "76 % without slipping" that it
reports is the slippery lake's .74. Without slipping, 1.0 is reached.

Taxi and CliffWalking, and any environment of Discrete spaces:

    python -m models.rl.q_learning --env CliffWalking-v1 --gamma 1 --epsilon 0.2 \
        --epsilon-end 0.2 --epochs 10 --evaluation-episodes 100
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from minigrad import nn
from minigrad.backend import default_generator
from minigrad.rl import LinearSchedule, action_count, flat_size, policy_value, value_iteration
from minigrad.train import Result, Run, main
from minigrad.visualize import plot_policy
from models.rl.common import RLConfig, check_environment, conclude, fresh_seed, rounds, watch

#: (to the right, down) for each action of the worlds that are grids
ARROWS = {
    "FrozenLake": ((-1, 0), (0, 1), (1, 0), (0, -1)),
    "SixStates": ((-1, 0), (0, 1), (1, 0), (0, -1)),
    "CliffWalking": ((0, -1), (1, 0), (0, 1), (-1, 0)),
}
COLUMNS = {"FrozenLake": 4, "SixStates": 3, "CliffWalking": 12}


@dataclass
class TableConfig(RLConfig):
    r"""The options of agents with a table."""

    env: str = "FrozenLake-v1"  #: name of a gymnasium environment of Discrete spaces
    epochs: int = 20  #: parts of the training, with a checkpoint and an evaluation after each
    epoch_steps: int = 20_000  #: steps of the environment in an epoch
    alpha: float = 0.1  #: part of the way towards the target, at the beginning
    alpha_end: float = 0.005  #: the same at the end; it falls along a line
    epsilon: float = 1.0  #: probability of acting at random, at the beginning
    epsilon_end: float = 0.1  #: the same at the end; it falls along a line
    slippery: bool = True  #: FrozenLake: slip to either side in two steps of three
    watch_episodes: int = 100  #: episodes of the curve
    evaluation_episodes: int = 1000  #: episodes of the figure at the end

    quick_values: ClassVar = {**RLConfig.quick_values, "epoch_steps": 2000}

    def check(self) -> None:
        super().check()
        for name in ("alpha", "alpha_end"):
            self.expect(name, 0 < getattr(self, name) <= 1, "a number in (0, 1]")
        for name in ("epsilon", "epsilon_end"):
            self.expect(name, 0 <= getattr(self, name) <= 1, "a number in [0, 1]")

    def environment(self) -> dict[str, Any]:
        r"""Options for the environment."""
        lake = self.env.startswith("FrozenLake")
        return {"is_slippery": self.slippery} if lake else {}


@dataclass
class Config(TableConfig):
    r"""The options; the defaults give the figure above."""


class Table(nn.Module):
    r"""The values Q (S, A), float64, 0 at first."""

    def __init__(self, states: int, actions: int) -> None:
        super().__init__()
        self.register_buffer("values", mg.zeros(states, actions, dtype=mg.float64))

    @property
    def array(self) -> np.ndarray:
        r"""The values, to be changed in place."""
        return self.values.data

    def policy(self, states: np.ndarray) -> np.ndarray:
        r"""The best action (N,) in each of the states (N,)."""
        return self.array[states].argmax(1)


class QLearning:
    r"""The rule, and how to act while learning. What SARSA does differently
    is ``follow``."""

    def __init__(self, config: TableConfig, table: Table) -> None:
        self.config, self.values = config, table.array
        self.alpha = LinearSchedule(config.alpha, config.alpha_end, config.steps)
        self.epsilon = LinearSchedule(config.epsilon, config.epsilon_end, config.steps)
        self.random = default_generator().numpy
        self.episodes = 0

    def state_dict(self) -> dict[str, Any]:
        r"""What a checkpoint must hold beside the table."""
        return {"episodes": self.episodes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""Go on from there."""
        self.episodes = state["episodes"]

    def exploration(self, step: int) -> float:
        r"""The probability of acting at random."""
        return self.epsilon(step)

    def act(self, state: int, step: int) -> int:
        r"""At random with probability epsilon, else one of the best: any, where some are equal."""
        row = self.values[state]
        if self.random.random() < self.exploration(step):
            return int(self.random.integers(len(row)))
        best = np.flatnonzero(row == row.max())
        return int(best[0] if len(best) == 1 else self.random.choice(best))

    def learned_epsilon(self) -> float:
        r"""How much exploration the values that are learned include: none, off-policy."""
        return 0.0

    def follow(self, next_values: np.ndarray, next_action: int) -> float:
        r"""What is expected from the next state on: its best action."""
        return float(next_values.max())

    def learn(
        self,
        state: int,
        action: int,
        reward: float,
        next_state: int,
        next_action: int,
        terminated: bool,
        step: int,
    ) -> float:
        r"""One step of the table; how far off it was."""
        target = reward
        if not terminated:
            target += self.config.gamma * self.follow(self.values[next_state], next_action)
        error = target - self.values[state, action]
        self.values[state, action] += self.alpha(step) * error
        return float(error)


def train_table(run: Run, config: TableConfig, env: Any, table: Table, learner: QLearning) -> None:
    r"""Play and learn, step by step."""
    run.track(table=table, learner=learner)
    for _ in run.epochs(config.epochs):
        state, _ = env.reset(seed=fresh_seed())
        action = learner.act(state, run.step)
        for _ in rounds(run, config, 1):
            next_state, reward, terminated, truncated, _ = env.step(action)
            next_action = learner.act(next_state, run.step)
            error = learner.learn(
                state, action, float(reward), next_state, next_action, terminated, run.step
            )
            state, action = next_state, next_action
            if terminated or truncated:
                learner.episodes += 1
                state, _ = env.reset()
                action = learner.act(state, run.step)
        run.record(last_error=abs(error))
        watch(run, config, table, table.policy, keep=False, **config.environment())


def exact(env: Any, table: Table, gamma: float, epsilon: float) -> dict[str, float]:
    r"""Figures that need no episodes, where the world has a table of transitions: what the greedy
    policy brings from the first state within the time limit, and how far the value of that state is
    from what dynamic programming says, ``epsilon`` as in ``value_iteration``."""
    world = env.unwrapped
    if not hasattr(world, "P"):
        return {}
    state, _ = env.reset(seed=0)
    limit = env.spec.max_episode_steps if env.spec is not None else None
    brings = policy_value(world.P, table.array.argmax(1), steps=limit or 1000)[state]
    best = value_iteration(world.P, gamma, epsilon=epsilon)
    return {
        "expected_return": float(brings),
        "value_error": float(abs(table.array[state].max() - best[state].max())),
    }


def picture_table(run: Run, table: Table, title: str) -> None:
    r"""``policy``: the best value and action of each cell, where the world is a grid."""
    name = next((n for n in ARROWS if n in run.config.to_dict()["env"]), None)
    if name is None or table.array.size % COLUMNS[name]:
        return
    values, best = table.array.max(1), table.array.argmax(1)
    arrows = np.array(ARROWS[name], float)[best]
    never = (table.array == 0).all(1)  # ends, and cells that nobody stands on
    arrows[never] = 0
    if not never.all():
        values[never] = np.nan
    shape = (-1, COLUMNS[name])
    run.picture("policy", plot_policy(values.reshape(shape), arrows.reshape(*shape, 2), title))


def solve(config: TableConfig, learner_type: type[QLearning], name: str) -> Result:
    r"""A run of ``learner_type``."""
    env = check_environment(config, name, ["Discrete"], ["Discrete"], **config.environment())
    run = Run(config)
    table = Table(flat_size(env), action_count(env))
    learner = learner_type(config, table)
    train_table(run, config, env, table, learner)
    title = f"{name} on {config.env}"
    picture_table(run, table, title)
    figures = exact(env, table, config.gamma, learner.learned_epsilon())
    options = config.environment()
    return conclude(run, config, table, table.policy, title, options=options, **figures)


def train(config: Config) -> Result:
    r"""Learn the table, and see what its best actions bring."""
    return solve(config, QLearning, "Q-learning")


if __name__ == "__main__":
    main(train, Config)
