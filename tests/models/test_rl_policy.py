r"""Policy gradients: that the gradient is the one of the paper, where popular code has another, and
that each algorithm learns.

Learning tests measure CartPole-v1 over 100 episodes of the likeliest action. A policy that draws
evenly gets 22, one that always does the same 9, a balanced pole 500.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.rl import Rollout, make
from minigrad.train import Run, RunError, save_safetensors
from models.autoencoders.state import StateAutoencoder, mountain_car_box
from models.rl import a2c, actor_critic, ppo, reinforce, reinforce_baseline
from models.rl.networks import ActorCritic, PolicyConfig, advantages, kept

pytest.importorskip("matplotlib")
gymnasium = pytest.importorskip("gymnasium")

ALL = {
    "reinforce": reinforce,
    "reinforce_baseline": reinforce_baseline,
    "actor_critic": actor_critic,
    "a2c": a2c,
    "ppo": ppo,
}
TINY: dict[str, Any] = {
    "epochs": 1,
    "epoch_steps": 64,
    "copies": 2,
    "hidden": (8,),
    "watch_episodes": 1,
    "evaluation_episodes": 2,
}


#: what MountainCarContinuous-v0 is played with
CAR: dict[str, Any] = {
    "env": "MountainCarContinuous-v0",
    "hold": 16,
    "normalise": True,
    "scale_rewards": True,
    "rollout": 64,
    "lam": 0.95,
    "epoch_steps": 25_600,
}


class Spaces:
    """What an agent looks at of an environment."""

    def __init__(self, inputs: int, actions: Any) -> None:
        self.observation_space = gymnasium.spaces.Box(-1, 1, (inputs,), np.float32)
        self.action_space = actions


CHOICE = Spaces(3, gymnasium.spaces.Discrete(4))
REACH = Spaces(3, gymnasium.spaces.Box(-0.5, 0.5, (2,), np.float32))


def agent_of(spaces: Any, **options: Any) -> ActorCritic:
    return ActorCritic(spaces, PolicyConfig(**{"hidden": (8,), **options}))


def states(n: int, inputs: int = 3) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, inputs)).astype(np.float32)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


# ----------------------------------------------------------------------------------- the agent
def test_parameter_counts() -> None:
    """Two networks of D-64-64-K; a deviation for each dimension of a Box."""
    agent = ActorCritic(make("CartPole-v1"), PolicyConfig())
    assert count(agent.policy) == 5 * 64 + 65 * 64 + 65 * 2
    assert count(agent.value) == 5 * 64 + 65 * 64 + 65
    assert count(agent) == count(agent.policy) + count(agent.value)
    reach = ActorCritic(make("Pendulum-v1"), PolicyConfig(), critic=False)
    assert count(reach) == 4 * 64 + 65 * 64 + 65 + 1


def test_drawn_actions_follow_the_policy() -> None:
    """Each of four choices as often as its probability, within 4 standard errors."""
    agent = agent_of(CHOICE)
    nn.init.normal_(agent.policy[-1].weight, std=1.0)  # type: ignore[arg-type]
    x = np.repeat(states(1), 20_000, 0)
    actions, _ = agent.draw(x)
    p = agent.distribution(agent.sense(x[:1])).probs.detach().numpy()[0]
    error = np.sqrt(p * (1 - p) / len(x))
    assert p.max() - p.min() > 0.1
    assert (np.abs(np.bincount(actions, minlength=4) / len(x) - p) < 4 * error).all()
    assert (agent.best(x) == p.argmax()).all()


@pytest.mark.parametrize("spaces", [CHOICE, REACH])
def test_the_log_probability_is_that_of_the_drawn_action(spaces: Any) -> None:
    agent = agent_of(spaces, std=0.7)
    actions, log_probs = agent.draw(states(50))
    judged, _ = agent.judge(agent.sense(states(50)), Tensor(actions))
    np.testing.assert_allclose(log_probs, judged.detach().numpy(), atol=1e-5)
    assert log_probs.dtype == np.float32


@pytest.mark.parametrize("spaces", [CHOICE, REACH])
def test_the_inner_loop_computes_what_the_distribution_does(spaces: Any) -> None:
    agent = agent_of(spaces)
    nn.init.normal_(agent.policy[-1].weight, std=3.0)  # type: ignore[arg-type]
    x, actions = agent.sense(states(30)), Tensor(agent.draw(states(30))[0])
    policy = agent.distribution(x)
    for found, wanted in zip(agent.judge(x, actions), (policy.log_prob(actions), policy.entropy())):
        total = wanted if spaces is CHOICE else wanted.sum(1)
        np.testing.assert_allclose(found.detach().numpy(), total.detach().numpy(), atol=1e-5)


def test_the_gradient_of_the_mean_is_that_of_the_executed_action(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """d ln pi / d mu = (a - mu) / sigma^2, with a held still. Popular code draws a' again inside
    the graph: there the gradient is 0, and nothing but the deviation learns."""
    agent = agent_of(REACH, std=2.0)
    x = agent.sense(states(5))
    actions, _ = agent.draw(states(5))
    assert np.abs(actions).max() > 0.5  # kept as drawn, beyond the Box
    mean = agent.policy(x)
    monkeypatch.setattr(type(agent.policy), "forward", lambda self, x: mean)
    log_prob, _ = agent.judge(x, Tensor(actions))
    (found,) = mg.autograd.grad(log_prob.sum(), [mean])
    wanted = (actions - mean.detach().numpy()) / 4.0
    np.testing.assert_allclose(found.numpy(), wanted, atol=1e-5)
    assert np.abs(wanted).min() > 1e-3

    policy = agent.distribution(x)
    (wrong,) = mg.autograd.grad(policy.log_prob(policy.rsample()).sum(), [mean])
    np.testing.assert_allclose(wrong.numpy(), 0, atol=1e-5)


@pytest.mark.parametrize("spaces", [CHOICE, REACH])
def test_the_entropy_has_a_gradient(spaces: Any) -> None:
    """And climbing it makes the policy more uncertain. A number from ``predict`` has none."""
    agent = agent_of(spaces)
    nn.init.normal_(agent.policy[-1].weight, std=3.0)  # type: ignore[arg-type]
    optimizer = optim.Adam(agent.policy_weights(), lr=0.05)
    x, actions = agent.sense(states(20)), Tensor(agent.draw(states(20))[0])
    before = agent.judge(x, actions)[1].mean().item()
    for _ in range(30):
        optimizer.zero_grad()
        (-agent.judge(x, actions)[1].mean()).backward()
        optimizer.step()
    assert agent.judge(x, actions)[1].mean().item() > before + 0.3


def test_a_deviation_is_kept_up() -> None:
    agent = agent_of(REACH, hold=3)
    drawn = np.array([agent.draw(states(2))[0] for _ in range(7)])  # of the same states
    same = (drawn[1:] == drawn[:-1]).all((1, 2))
    assert same.tolist() == [True, True, False, True, True, False]
    agent.restart()
    assert not (agent.draw(states(2))[0] == drawn[-1]).any()


def test_the_environment_is_given_what_it_takes() -> None:
    agent = agent_of(REACH)
    nn.init.normal_(agent.policy[-1].weight, std=5.0)  # type: ignore[arg-type]
    best = agent.best(states(50))
    assert best.min() == -0.5 and best.max() == 0.5 and best.shape == (50, 2)
    from_five = agent_of(Spaces(3, gymnasium.spaces.Discrete(4, start=5)))
    assert set(from_five.best(states(50))) <= {5, 6, 7, 8}


def test_observations_are_normalised_by_what_was_seen() -> None:
    agent = agent_of(CHOICE, normalise=True)
    rollout = played(agent, 40, 3)
    rollout.observations[:] = 100 + 5 * rollout.observations
    before = agent.sense(rollout.observations).numpy()
    np.testing.assert_allclose(before, 10.0)  # cut: nothing was seen yet
    agent.learn_to_see(rollout)
    after = kept(rollout, agent.sense(rollout.observations)).numpy()
    assert np.abs(after.mean(0)).max() < 1e-3 and np.abs(after.std(0) - 1).max() < 1e-3
    assert "senses.mean" in agent.state_dict()


def test_a_frozen_encoder(tmp_path: Path) -> None:
    """Its 32 features are what the networks see, and it learns nothing."""
    model = StateAutoencoder(*mountain_car_box())
    save_safetensors(tmp_path / "model.safetensors", model.state_dict())
    result = a2c.train(
        a2c.Config(
            env="MountainCarContinuous-v0",
            encoder=str(tmp_path),
            out=str(tmp_path / "run"),
            **{**TINY, "hidden": ()},
        )
    )
    assert math.isfinite(result.metrics["mean_return"])
    agent = ActorCritic(
        make("MountainCarContinuous-v0"), PolicyConfig(encoder=str(tmp_path), hidden=())
    )
    assert count(agent.policy) == 33 and len(agent.learned()) == 5
    agent.load_state_dict(mg.train.load_safetensors(tmp_path / "run" / "model.safetensors"))
    for name, value in model.encoder.state_dict().items():
        np.testing.assert_array_equal(agent.senses.state_dict()[name].numpy(), value.numpy())


def test_an_encoder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="encoder: expected the folder of a run of autoencoders"):
        agent_of(REACH, encoder=str(tmp_path))
    save_safetensors(tmp_path / "model.safetensors", nn.Linear(2, 3).state_dict())
    with pytest.raises(RunError, match=r"expected an environment of states \(2,\), got \(3,\)"):
        agent_of(REACH, encoder=str(tmp_path))
    with pytest.raises(RunError, match="encoder: expected a run of autoencoders.state, got"):
        agent_of(Spaces(2, CHOICE.action_space), encoder=str(tmp_path))


# --------------------------------------------------------------------------------- the gradient
def played(agent: ActorCritic, steps: int, copies: int, seed: int = 0) -> Rollout:
    """A made-up rollout, with ends of both kinds and the rows behind them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(steps + 1, copies, 3)).astype(np.float32)
    drawn = [agent.draw(row) for row in x[:-1]]
    ended = rng.random((steps, copies)) < 0.2
    terminated = ended & (rng.random((steps, copies)) < 0.5)
    valid = np.ones((steps, copies), bool)
    valid[1:] = ~ended[:-1]
    return Rollout(
        x,
        np.stack([a for a, _ in drawn]),
        np.stack([p for _, p in drawn]),
        rng.normal(size=(steps, copies)).astype(np.float32),
        terminated,
        ended & ~terminated,
        valid,
    )


ARMS = np.array([1.0, 2.0, 6.0])  # what the arms of a bandit pay


P = np.exp([0.5, 0.0, -0.5]) / np.exp([0.5, 0.0, -0.5]).sum()  # and how often each is pulled


def arm_gradients(baseline: float) -> np.ndarray:
    """The estimate of dJ / dlogits (3,) that a pull of each of the three arms gives, by REINFORCE's
    loss: (3, 3)."""
    rows = []
    for arm in range(3):
        logits = mg.tensor([0.5, 0.0, -0.5], requires_grad=True)
        log_prob = mg.distributions.Categorical(logits=logits).log_prob(mg.tensor([arm]))
        reinforce.policy_loss(log_prob, mg.tensor([float(ARMS[arm] - baseline)])).backward()
        assert logits.grad is not None
        rows.append(-logits.grad.numpy())
    return np.array(rows)


@pytest.mark.parametrize("baseline", [0.0, float(P @ ARMS)])
def test_the_score_function_gradient_is_the_enumerated_one(baseline: float) -> None:
    """4,000 pulls, within three standard errors of d/dlogits sum_a p_a r_a = p (r - p.r)."""
    policy = mg.distributions.Categorical(logits=mg.tensor([0.5, 0.0, -0.5]))
    pulls = arm_gradients(baseline)[policy.sample((4000,), mg.Generator(5)).numpy()]
    exact = P * (ARMS - P @ ARMS)
    assert (np.abs(pulls.mean(0) - exact) < 3 * pulls.std(0) / math.sqrt(len(pulls))).all()


def test_the_baseline_keeps_the_mean_and_cuts_the_variance() -> None:
    """Both enumerated: the mean is the gradient of J with any baseline at all."""
    exact = P * (ARMS - P @ ARMS)
    variance = {}
    for baseline in (0.0, float(P @ ARMS), 40.0):
        pulls = arm_gradients(baseline)
        np.testing.assert_allclose(P @ pulls, exact, atol=1e-5)
        variance[baseline] = (P @ (pulls - exact) ** 2).sum()
    plain, good, bad = variance.values()
    assert good < 0.4 * plain and plain < bad


def gradients(agent: ActorCritic, loss: Tensor) -> list[np.ndarray | None]:
    for p in agent.parameters():
        p.grad = None
    loss.backward()
    return [None if p.grad is None else p.grad.numpy().copy() for p in agent.parameters()]


@pytest.mark.parametrize("spaces", [CHOICE, REACH])
def test_the_actors_term_does_not_teach_the_critic(spaces: Any) -> None:
    agent = agent_of(spaces)
    x, y = agent.sense(states(6)), agent.sense(states(6)[::-1])
    actions = Tensor(agent.draw(states(6))[0])
    r, going_on = mg.randn(6), mg.tensor([1.0, 1, 0, 1, 0, 1])
    gain, error, _ = actor_critic.losses(agent, x, y, actions, r, going_on, 0.9)
    gain.backward()
    assert all(p.grad is None for p in agent.value.parameters())
    assert all(p.grad is not None for p in agent.policy_weights())
    # And the critic's has a gradient through V(s) alone: 2 (V - target) dV, by hand.
    target = r + 0.9 * going_on * agent.values(y)
    wanted = gradients(agent, (2 * (agent.values(x) - target).detach() * agent.values(x)).mean())
    found = gradients(agent, error)
    for a, b in zip(found, wanted):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, atol=1e-5)


def test_a_limit_of_time_bootstraps() -> None:
    """The target of the last step of a rollout, by hand, in each of the algorithms that have V."""
    agent = agent_of(CHOICE)
    rollout = played(agent, 1, 3)
    rollout.valid[:] = True
    rollout.terminated[:] = [[True, False, False]]
    rollout.truncated[:] = [[False, True, False]]
    senses = agent.sense(rollout.observations)
    value = agent.values(senses).detach().numpy()[3:]
    wanted = rollout.rewards[0] + 0.9 * value * [0, 1, 1]
    _, targets = advantages(agent, rollout, senses, 0.9, 0.5)
    np.testing.assert_allclose(targets[0], wanted, atol=1e-5)
    learner = reinforce_baseline.Learner(agent, reinforce_baseline.Config(gamma=0.9))
    learner.gains(rollout, senses)
    np.testing.assert_allclose(learner.returns[0], wanted, atol=1e-5)
    plain = reinforce.Learner(agent, reinforce.Config(gamma=0.9))
    np.testing.assert_array_equal(plain.gains(rollout, senses), rollout.rewards)


@pytest.mark.parametrize("spaces", [CHOICE, REACH])
def test_the_first_step_of_ppo_is_that_of_a2c(spaces: Any) -> None:
    """At the policy that played the ratio is 1, its gradient that of A ln pi, and nothing is
    clipped. This holds because the log-probabilities kept are those of the kept actions."""
    agent = agent_of(spaces)
    rollout = played(agent, 12, 3)
    x = kept(rollout, agent.sense(rollout.observations))
    actions, old = (Tensor(v) for v in rollout.flat(rollout.actions, rollout.log_probs))
    a = mg.randn(len(old))
    log_prob, _ = agent.judge(x, actions)
    np.testing.assert_allclose(log_prob.detach().numpy(), old.numpy(), atol=1e-5)
    first = gradients(agent, ppo.policy_loss(log_prob, old, a, 0.2))
    second = gradients(agent, -(a * agent.judge(x, actions)[0]).mean())
    for g, h in zip(first, second):
        if h is not None:
            np.testing.assert_allclose(g, h, atol=1e-5)


@pytest.mark.parametrize(
    ("ratio", "advantage", "gradient"),
    [(1.3, 1, 0), (1.3, -1, 1), (0.7, -1, 0), (0.7, 1, -1), (1.1, 1, -1), (0.9, -1, 1)],
)
def test_the_clipped_objective(ratio: float, advantage: float, gradient: float) -> None:
    """Nothing is gained by going further the right way; the way back is open."""
    log_prob = mg.tensor([math.log(ratio)], requires_grad=True)
    loss = ppo.policy_loss(log_prob, mg.zeros(1), mg.tensor([float(advantage)]), 0.2)
    loss.backward()
    assert log_prob.grad is not None
    assert log_prob.grad.item() == pytest.approx(gradient * ratio, abs=1e-6)


def test_rows_between_episodes_teach_nothing() -> None:
    """Whatever stands in them, every weight after a step is the same."""
    for learn in (
        lambda agent, rollout: a2c.learn(
            agent, optim.SGD(agent.learned(), lr=0.1), rollout, a2c.Config()
        ),
        lambda agent, rollout: ppo.learn(
            agent, optim.Adam(agent.learned(), lr=0.1), rollout, ppo.Config(passes=2), 1.0
        ),
    ):
        after = []
        for junk in (0.0, 1e6):
            mg.manual_seed(3)
            agent = agent_of(CHOICE)
            rollout = played(agent, 10, 4)
            assert not rollout.valid.all()
            rollout.rewards[~rollout.valid] = junk
            rollout.actions[~rollout.valid] = 0
            learn(agent, rollout)
            after.append(np.concatenate([p.detach().numpy().ravel() for p in agent.parameters()]))
        np.testing.assert_array_equal(*after)


# ------------------------------------------------------------------------------------ the runs
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("env", ["CartPole-v1", "Pendulum-v1"])
def test_choices_and_boxes(name: str, env: str, tmp_path: Path) -> None:
    module = ALL[name]
    config = module.Config(env=env, normalise=True, out=str(tmp_path / "run"), **TINY)
    metrics = module.train(config).metrics
    low, high = (0, 500) if env == "CartPole-v1" else (-2000, 0)
    assert low <= metrics["lowest_return"] <= metrics["mean_return"] <= high


class Killed(BaseException):
    """Ends a run at once, as nothing catches it."""


@pytest.mark.parametrize("name", ["a2c", "ppo"])
def test_resumed_with_everything_that_has_a_state(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running statistics, the scale of rewards, a deviation that is being kept up."""
    module = ALL[name]
    options = {**TINY, **CAR, "epochs": 3, "epoch_steps": 60, "rollout": 15, "watch_episodes": 0}
    if name == "ppo":
        options["passes"] = 2

    def config(folder: str, **more: Any) -> Any:
        return module.Config(out=str(tmp_path / folder), **{**options, **more})

    module.train(config("unbroken"))
    real = Run.save

    def save(self: Run) -> None:
        real(self)
        raise Killed

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(Run, "save", save)
            with pytest.raises(Killed):
                module.train(config("killed", resume=True))
    module.train(config("killed", resume=True))
    for file in ("model.safetensors", "metrics.jsonl"):
        a, b = (tmp_path / folder / file for folder in ("unbroken", "killed"))
        assert a.read_bytes() == b.read_bytes(), file


@pytest.mark.parametrize("name", ALL)
def test_an_unsuitable_environment_leaves_no_folder(name: str, tmp_path: Path) -> None:
    module = ALL[name]
    out = tmp_path / "run"
    with pytest.raises(RunError, match=r"expected observations Box \(D,\), got Discrete\(16\)"):
        module.train(module.Config(env="FrozenLake-v1", out=str(out), **TINY))
    assert not out.exists()


#: name -> options. What 5 seeds reached so far: PPO in 30,000 steps 346 to 500, A2C in 100,000
#: 319 to 500 (in 50,000: 133 to 500), REINFORCE in 50,000 349 to 500, with a baseline 496 to 500
BUDGETS: dict[str, dict[str, Any]] = {
    "reinforce": {"epochs": 1},
    "reinforce_baseline": {"epochs": 1},
    "a2c": {"epochs": 2},
    "ppo": {"epochs": 3},
}


@pytest.mark.parametrize("name", BUDGETS)
def test_it_balances_the_pole(name: str, tmp_path: Path) -> None:
    """At least 195 steps on average, which once counted as solved."""
    module = ALL[name]
    config = module.Config(seed=1, out=str(tmp_path / "run"), **BUDGETS[name])
    assert module.train(config).metrics["mean_return"] >= 195


@pytest.mark.slow
def test_online_it_balances_the_pole(tmp_path: Path) -> None:
    """150,000 steps; two seeds reached 384 and 500 with as many."""
    config = actor_critic.Config(seed=0, epochs=3, out=str(tmp_path / "run"))
    assert actor_critic.train(config).metrics["mean_return"] >= 195


def test_it_gets_up_the_hill(tmp_path: Path) -> None:
    """25,600 steps of A2C; 5 seeds: 91.0 to 93.2. To do nothing gets 0, and so does whoever has
    never been up; random: -33; full force in the direction of motion: 89.4."""
    config = a2c.Config(seed=1, epochs=1, out=str(tmp_path / "run"), **CAR)
    assert a2c.train(config).metrics["mean_return"] >= 85
