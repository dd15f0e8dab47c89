r"""What the agents share: options, networks, the epochs of a run, its end, pictures.

Belongs here: what is the same in every file of the family. Does not belong here: what a library's
user needs as well (``minigrad.rl``), an algorithm.

A run's epoch is a fixed number of environment steps (``--epoch-steps``). The environments are reset
when it begins, with a seed drawn from the run's generator; at its end running episodes are cut,
which is what a time limit does to them as well: their last value is bootstrapped, not 0. So a
checkpoint, which is saved after each epoch, need not know the inside of an environment, and a run
of any environment resumes to the same bytes. A killed run begins its epoch again.

What an agent is worth is measured apart from its training, without exploring: after each epoch by a
few episodes, whose mean chooses the epoch that is kept; at the end by ``--evaluation-episodes`` of
other seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from minigrad import nn
from minigrad.backend import default_generator, get_array_module
from minigrad.rl import (
    SpaceError,
    evaluate,
    expect_spaces,
    make,
    random_policy,
    record_episode,
)
from minigrad.rl.evaluation import Policy
from minigrad.train import Result, Run, RunConfig, RunError
from minigrad.train.progress import ProgressBar
from minigrad.visualize import plot_curves

# Seeds of the environments that are not trained in: to choose the epoch, and for the last word.
# Training draws its own from 0 to 2^30.
WATCH_SEED, TEST_SEED = 2**30, 2**30 + 2**20
SHOWN = 120  # steps of an episode in a picture
LIMIT = 1000  # steps of an episode in an evaluation, where the environment sets none


@dataclass
class RLConfig(RunConfig):
    r"""The options that all agents have. A model overrides the defaults."""

    env: str = "CartPole-v1"  #: name of a gymnasium environment
    epochs: int = 10  #: parts of the training, with a checkpoint and an evaluation after each
    epoch_steps: int = 5000  #: steps of the environment in an epoch, those of all copies together
    gamma: float = 0.99  #: discount of the rewards
    watch_episodes: int = 20  #: episodes that choose the epoch; 0: keep the last
    evaluation_episodes: int = 100  #: episodes of the figure at the end

    quick_values: ClassVar = {
        "epochs": 2,
        "epoch_steps": 600,
        "watch_episodes": 2,
        "evaluation_episodes": 5,
    }
    resumable: ClassVar = ("device", "out", "resume")  # schedules depend on the epochs

    def check(self) -> None:
        self.expect_at_least(1, "epochs", "epoch_steps", "evaluation_episodes")
        self.expect_at_least(0, "watch_episodes")
        self.expect("gamma", 0 <= self.gamma <= 1, "a number in [0, 1]")

    @property
    def steps(self) -> int:
        r"""Steps of the environment in the whole run."""
        return self.epochs * self.epoch_steps


@dataclass
class NetworkConfig(RLConfig):
    r"""The options of agents with networks."""

    lr: float = 1e-3  #: learning rate of Adam
    hidden: tuple[int, ...] = (64, 64)  #: widths of the hidden layers

    def check(self) -> None:
        super().check()
        self.expect("lr", self.lr > 0, "a positive number")
        self.expect("hidden", all(n >= 1 for n in self.hidden), "widths >= 1")


class MLP(nn.Sequential):
    r"""Linear layers with an activation between them, also for arrays."""

    def arrays(self, x: Any) -> Any:
        r"""What the network makes of an array (N, D) on its device: the same numbers, as an array.
        To look at one observation takes less time than to note down how to differentiate it."""
        xp = get_array_module(x)
        for layer in self:
            if isinstance(layer, nn.Linear):
                x = x @ layer.weight.data.T
                x += layer.bias.data
            else:
                x = xp.tanh(x) if isinstance(layer, nn.Tanh) else xp.maximum(x, 0)
        return x


def mlp(
    sizes: Sequence[int], activation: Literal["relu", "tanh"] = "relu", last: float | None = None
) -> MLP:
    r"""Linear layers with an activation between them: (N, sizes[0]) -> (N, sizes[-1]).

    Args:
        last: None leaves the weights as ``nn.Linear`` draws them; a number makes them orthogonal
            with a gain of sqrt(2), the last layer's with this gain, and biases 0: the way that
            policy gradients are started, with ``last=0.01`` for a policy that is nearly even.
    """
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(zip(sizes, sizes[1:])):
        layer = nn.Linear(inputs, outputs)
        final = i == len(sizes) - 2
        if last is not None:
            nn.init.orthogonal_(layer.weight, last if final else 2**0.5)
            nn.init.zeros_(layer.bias)
        layers.append(layer)
        if not final:
            layers.append(nn.ReLU() if activation == "relu" else nn.Tanh())
    return MLP(*layers)


# -------------------------------------------------------------------------------- environments
def check_environment(
    config: RLConfig,
    algorithm: str,
    observations: Sequence[str],
    actions: Sequence[str],
    **options: Any,
) -> Any:
    r"""One environment of ``config.env``, of spaces that the algorithm takes. Do it before the run,
    so that a mistake leaves no folder.

    Raises:
        RunError: there is none of that name, or it is unsuitable, or gymnasium is missing.
    """
    try:
        env = make(config.env, **options)
        expect_spaces(env, algorithm, observations, actions)
    except (SpaceError, ImportError, TypeError) as error:
        raise RunError(str(error)) from None
    return env


def fresh_seed() -> int:
    r"""A seed for environments, drawn from the run's generator."""
    return int(default_generator().numpy.integers(2**30))


def rounds(run: Run, config: RLConfig, steps: int) -> Iterator[int]:
    r"""The rounds of one epoch, from 0 on, each of ``steps`` environment steps (of all copies
    together), counted in ``run.step`` and shown. No checkpoint is saved between them."""
    label = f"epoch {run.epoch + 1}/{config.epochs}"
    with ProgressBar(config.epoch_steps, label, 0, run.means) as bar:
        for i in range(-(-config.epoch_steps // steps)):
            yield i
            run.step += steps
            bar.update(steps)


# ---------------------------------------------------------------------------------- evaluation
def limited(config: RLConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    r"""``options`` with a time limit, where the environment has none: an agent that walks in a
    circle would be evaluated for ever."""
    spec = make(config.env, **options).spec
    if spec is None or spec.max_episode_steps is not None:
        return dict(options)
    return {**options, "max_episode_steps": LIMIT}


def watch(
    run: Run, config: RLConfig, model: Any, policy: Policy, keep: bool = True, **options: Any
) -> float:
    r"""After an epoch: log the mean return of ``config.watch_episodes``, and keep the model if it
    is the best so far, unless ``keep`` says that the last is wanted. The returned mean is nan where
    nothing is watched."""
    if not config.watch_episodes:
        run.log()
        return float("nan")
    settings = limited(config, options)
    found = evaluate(policy, config.env, config.watch_episodes, WATCH_SEED, **settings)
    run.log(mean_return=found.mean, length=float(found.lengths.mean()))
    if keep:
        run.keep_best(found.mean, model, mode="max")
    return found.mean


def conclude(
    run: Run,
    config: RLConfig,
    model: Any,
    policy: Policy,
    title: str,
    panels: Mapping[str, Mapping[str, str]] | None = None,
    options: Mapping[str, Any] | None = None,
    **metrics: Any,
) -> Result:
    r"""The end of a run: the best epoch's model, its return over ``config.evaluation_episodes``
    beside a random policy's, the curves, an episode.

    Args:
        model: with ``state_dict``; what ``policy`` acts by.
        policy: observations (N, ...) to the actions (N, ...) that it thinks best.
        panels: further panels of the curves, as :func:`minigrad.visualize.plot_curves` takes them.
        options: for the environment.
        metrics: further figures.
    """
    settings = limited(config, options or {})
    run.load_best(model)
    count = config.evaluation_episodes
    found = evaluate(policy, config.env, count, TEST_SEED, **settings)
    env = make(config.env, **settings)
    missed = evaluate(random_policy(env, TEST_SEED), config.env, count, TEST_SEED, **settings)

    lines = {"random policy": missed.mean}
    threshold = env.spec.reward_threshold if env.spec is not None else None
    if threshold is not None:
        lines["solved"] = float(threshold)
    if config.watch_episodes:
        shown = {"mean return": {"evaluation": "mean_return"}, **(panels or {})}
    else:
        shown = dict(panels or {})
    if shown:
        axis = "thousands of steps"
        history = [{**line, axis: line["step"] / 1000} for line in run.history]
        figure = plot_curves(history, shown, title, x=axis, lines={"mean return": lines})
        run.picture("curves", figure)
    run.picture("episode", episode_figure(policy, env, f"{title}: an episode"))
    try:
        record_episode(policy, config.env, run.folder / "episode.gif", TEST_SEED, **settings)
    except (ImportError, ValueError) as error:
        print(f"no film: {error}", flush=True)
    return run.finish(
        model,
        mean_return=found.mean,
        margin=found.margin,
        lowest_return=float(found.returns.min()),
        random_return=missed.mean,
        mean_length=float(found.lengths.mean()),
        **metrics,
    )


def episode_figure(policy: Policy, env: Any, title: str) -> Any:
    r"""The observations, actions and rewards of one episode, step by step, as a figure; of a long
    one the beginning, lest an agent that goes to and fro be a block of ink."""
    observation, _ = env.reset(seed=TEST_SEED)
    history: list[dict[str, Any]] = []
    total, done = 0.0, False
    while not done:
        values = np.atleast_1d(observation).ravel()[:6]
        action = policy(np.asarray(observation)[None])[0]
        line = {f"observation {i}": float(v) for i, v in enumerate(values)}
        line |= {f"action {i}": float(v) for i, v in enumerate(np.atleast_1d(action)[:6])}
        observation, reward, terminated, truncated, _ = env.step(action)
        done = terminated or truncated
        total += float(reward)
        history.append({"step": len(history), **line, "return": total})
    if len(history) > SHOWN:
        history = history[:SHOWN]
        title += f", the first {SHOWN} steps"
    kinds = {
        kind: {name.split()[-1]: name for name in history[0] if name.startswith(kind)}
        for kind in ("observation", "action")
    }
    return plot_curves(history, {**kinds, "return so far": {"": "return"}}, title, x="step")
