r"""Spaces, vectors of environments, schedules, and what a policy is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.rl import (
    ExponentialSchedule,
    LinearSchedule,
    SpaceError,
    evaluate,
    expect_spaces,
    make,
    make_vector,
    random_policy,
    record_episode,
)

gymnasium = pytest.importorskip("gymnasium")


def always(action: Any) -> Any:
    return lambda observations: np.full(len(observations), action)


# ------------------------------------------------------------------------------------- spaces
@pytest.mark.parametrize(
    ("env", "observations", "actions", "message"),
    [
        ("CartPole-v1", ["Box"], ["Discrete"], None),
        ("Pendulum-v1", ["Box"], ["Discrete", "Box"], None),
        ("FrozenLake-v1", ["Discrete"], ["Discrete"], None),
        ("Pendulum-v1", ["Box"], ["Discrete"], r"X: expected actions Discrete, got Box\(-2"),
        ("CartPole-v1", ["Discrete"], ["Discrete"], r"X: expected observations Discrete, got Box"),
        ("CartPole-v1", ["Box"], ["Box"], r"X: expected actions Box \(D,\), got Discrete\(2\)"),
        ("Blackjack-v1", ["Box"], ["Discrete"], r"X: expected observations Box \(D,\), got Tuple"),
    ],
)
def test_spaces(env: str, observations: Any, actions: Any, message: str | None) -> None:
    one = make(env)
    for given in (one, make_vector(env, 2)):
        if message is None:
            expect_spaces(given, "X", observations, actions)
        else:
            with pytest.raises(SpaceError, match=message) as caught:
                expect_spaces(given, "X", observations, actions)
            assert "\n" not in str(caught.value)


def test_a_picture_is_no_vector() -> None:
    box = gymnasium.spaces.Box(0, 255, (8, 8, 3), np.uint8)
    with pytest.raises(SpaceError, match=r"Box \(D,\)"):
        env = type("Env", (), {"observation_space": box, "action_space": box})
        expect_spaces(env, "X", ["Box"], ["Box"])


def test_actions_without_bounds_are_refused() -> None:
    box = gymnasium.spaces.Box(-np.inf, np.inf, (2,))
    env = type("Env", (), {"observation_space": box, "action_space": box})
    with pytest.raises(SpaceError, match="expected actions"):
        expect_spaces(env, "X", ["Box"], ["Box"])


def test_unknown_environments_are_one_line() -> None:
    for env in ("NoSuchThing-v1", "CartPole-v77"):
        with pytest.raises(SpaceError) as caught:
            make_vector(env, 10)
        assert "\n" not in str(caught.value) and env.partition("-")[0] in str(caught.value)
    with pytest.raises(ValueError, match="make_vector: expected copies >= 1, got 0"):
        make_vector("CartPole-v1", 0)


def test_slipperiness_is_decided_when_the_lake_is_made() -> None:
    """The sources set the attribute afterwards, and go on slipping."""
    late = make("FrozenLake-v1")
    late.unwrapped.is_slippery = False
    assert len(late.unwrapped.P[0][2]) == 3
    assert len(make("FrozenLake-v1", is_slippery=False).unwrapped.P[0][2]) == 1


def test_the_fast_vector_keeps_the_time_limit() -> None:
    assert type(make_vector("CartPole-v1", 8)).__name__ == "CartPoleVectorEnv"
    assert make_vector("CartPole-v1", 8).max_episode_steps == 500
    assert make_vector("CartPole-v1", 8, max_episode_steps=30).max_episode_steps == 30


# ---------------------------------------------------------------------------------- schedules
def test_schedules_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="steps >= 1"):
        LinearSchedule(1, 0, 0)
    with pytest.raises(ValueError, match="decay in"):
        ExponentialSchedule(1, 0, 1.5)
    with pytest.raises(ValueError, match="end <= start"):
        ExponentialSchedule(0.1, 0.9, 0.5)


# --------------------------------------------------------------------------------- evaluation
class Countdown(gymnasium.Env):  # type: ignore[misc]
    r"""Episodes of 1, 2, ... ``longest`` steps, by the seed; the reward is 1 a step."""

    observation_space = gymnasium.spaces.Box(0, np.inf, (1,))
    action_space = gymnasium.spaces.Discrete(2)
    longest = 20

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, self.longest + 1))
        return np.array([self.left], np.float32), {}

    def step(self, action: Any) -> Any:
        self.left -= 1
        return np.array([self.left], np.float32), 1.0, self.left == 0, False, {}


@pytest.mark.parametrize("copies", [1, 7, 100])
def test_long_episodes_count_as_often_as_short_ones(copies: int) -> None:
    """2000 episodes, whose mean length is 10.5 (s = 5.8, so the mean's error is .13: 4 of them).
    The first 2000 to end, of 100 copies that go on to 40 episodes each, would do as well: the bias
    shows where copies give few. So 100 episodes of 100 copies are taken 20 times."""
    rounds = 20 if copies == 100 else 1
    found = [
        evaluate(always(0), Countdown, 2000 // rounds, 1000 * i, copies) for i in range(rounds)
    ]
    returns = np.concatenate([f.returns for f in found])
    lengths = np.concatenate([f.lengths for f in found])
    assert len(returns) == 2000 and (returns == lengths).all()
    assert abs(returns.mean() - 10.5) < 0.52


def test_each_copy_gives_its_share() -> None:
    found = evaluate(always(0), Countdown, 10, 0, 4)
    assert len(found.returns) == 10
    # Each copy's first episode is what one copy of that seed plays first.
    first = [evaluate(always(0), Countdown, 1, seed).returns[0] for seed in range(4)]
    assert list(found.returns[[0, 3, 6, 8]]) == first


def test_an_episode_is_what_a_plain_loop_sees() -> None:
    """Rewards and lengths of both kinds of vectors, without the step that only resets."""
    policy = lambda x: (x[:, 2] > 0).astype(np.int64)  # noqa: E731
    found = evaluate(policy, "CartPole-v1", 6, seed=3, copies=3)  # one after the other
    env = make("CartPole-v1")
    for copy in range(3):
        observation, _ = env.reset(seed=3 + copy)
        for episode in range(2):
            total, done = 0, False
            while not done:
                observation, reward, terminated, truncated, _ = env.step(int(observation[2] > 0))
                total, done = total + reward, terminated or truncated
            assert found.returns[2 * copy + episode] == found.lengths[2 * copy + episode] == total
            observation, _ = env.reset()
    fast = evaluate(policy, "CartPole-v1", 300, seed=3)  # the vectorised form
    slow = evaluate(policy, "CartPole-v1", 300, seed=3, copies=7)
    assert (fast.returns == fast.lengths).all()
    assert abs(fast.mean - slow.mean) < 2 * (fast.margin + slow.margin)


def test_random_policies() -> None:
    """The figures that a learner must beat: 22.6 on CartPole, whatever the copies."""
    found = evaluate(random_policy(make("CartPole-v1")), "CartPole-v1", 1000)
    low, high = found.interval
    assert low - 1 < 22.6 < high + 1 and found.margin < 1
    policy = random_policy(make("Pendulum-v1"))
    actions = policy(np.zeros((1000, 3)))
    assert actions.shape == (1000, 1) and actions.dtype == np.float32
    assert actions.min() < -1.9 and actions.max() > 1.9 and abs(actions.mean()) < 0.2


def test_bad_numbers() -> None:
    with pytest.raises(ValueError, match="evaluate: expected episodes >= 1"):
        evaluate(always(0), "CartPole-v1", 0)


# --------------------------------------------------------------------------------------- film
class Drawn(Countdown):
    metadata = {"render_modes": ["rgb_array"]}

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode

    def render(self) -> Any:
        return np.full((4, 6, 3), 10 * self.left, np.uint8)


def test_a_film_of_an_episode(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    total = record_episode(always(0), Drawn, tmp_path / "film.gif", seed=1, every=1)
    with image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == total + 1 and film.size == (6, 4)
        film.seek(0)
        assert np.asarray(film.convert("RGB"))[0, 0, 0] == 10 * total
    with pytest.raises(ValueError, match="does not draw itself"):
        record_episode(always(0), Countdown, tmp_path / "none.gif")


def test_what_drawing_needs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ImportError, match="pygame"):
        record_episode(always(0), "CartPole-v1", tmp_path / "film.gif")
