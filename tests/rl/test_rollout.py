r"""What is kept of a game: every step of it, none that is no step, and the actions as drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.rl import Collector, RewardScale, Rollout, discounted_returns

gymnasium = pytest.importorskip("gymnasium")


class Counter(gymnasium.Env):
    """Observation: steps of this episode, and the sum of actions. Terminates after ``length``."""

    def __init__(self, length: int = 3, limit: int = 100, box: bool = False) -> None:
        space = gymnasium.spaces
        self.observation_space = space.Box(-np.inf, np.inf, (2,), np.float32)
        self.action_space = (
            space.Box(-1, 1, (1,), np.float32) if box else space.Discrete(2, start=5)
        )
        self.length, self.limit = length, limit

    def _seen(self) -> np.ndarray:
        return np.array([self.t, self.total], np.float32)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.t, self.total = 0, 0.0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action)
        self.t, self.total = self.t + 1, self.total + float(np.sum(action))
        return self._seen(), 10.0 * self.t, self.t >= self.length, self.t >= self.limit, {}


def vector(*environments: Counter, mode: str = "NextStep") -> Any:
    makers = [lambda e=e: e for e in environments]
    return gymnasium.vector.SyncVectorEnv(makers, autoreset_mode=mode)


def ones(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = len(observations)
    return np.ones(n, np.int64), np.full(n, -0.7, np.float32)


def test_rows_between_episodes_are_no_steps() -> None:
    collector = Collector(vector(Counter(3), Counter(9, limit=2)), ones)
    collector.reset(seed=0)
    rollout = collector.collect(8)
    first, second = rollout.observations[:, :, 0].T
    assert first.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0]  # 3 is the final state, seen
    assert second.tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2]
    assert rollout.valid[:, 0].tolist() == [1, 1, 1, 0, 1, 1, 1, 0]
    assert rollout.valid[:, 1].tolist() == [1, 1, 0, 1, 1, 0, 1, 1]
    assert rollout.terminated[:, 0].tolist() == [0, 0, 1, 0, 0, 0, 1, 0]
    assert rollout.truncated[:, 1].tolist() == [0, 1, 0, 0, 1, 0, 0, 1]
    assert not rollout.truncated[:, 0].any() and not rollout.terminated[:, 1].any()
    assert sorted(rollout.finished) == [(30.0, 2)] * 3 + [(60.0, 3)] * 2
    actions, rewards = rollout.flat(rollout.actions, rollout.rewards)
    assert len(actions) == len(rewards) == 12 and (rewards > 0).all()
    assert rollout.log_probs.dtype == rollout.rewards.dtype == np.float32
    assert set(rollout.log_probs.ravel().tolist()) == {np.float32(-0.7)}
    # Returns do not leak over the rows between: 10 + 20 + 30 in each episode of the first.
    returns = discounted_returns(rollout.rewards, rollout.terminated, rollout.truncated, 1.0)
    assert returns[rollout.valid[:, 0], 0].tolist() == [60, 50, 30] * 2


def test_the_next_rollout_goes_on() -> None:
    """In two parts as in one, also where the cut is between an episode and the next."""

    def parts(*lengths: int) -> list[Rollout]:
        collector = Collector(vector(Counter(3)), ones)
        collector.reset(seed=0)
        return [collector.collect(n) for n in lengths]

    (whole,) = parts(8)
    for cut in range(1, 8):
        a, b = parts(cut, 8 - cut)
        for name in ("rewards", "terminated", "truncated", "valid", "actions"):
            joined = np.concatenate([getattr(a, name), getattr(b, name)])
            np.testing.assert_array_equal(joined, getattr(whole, name), err_msg=name)
        np.testing.assert_array_equal(a.observations[-1], b.observations[0])
        assert a.finished + b.finished == whole.finished


@pytest.mark.parametrize("lengths", [(3, 5), (40, 1), (32, 33)])
def test_whole_episodes_one_of_each(lengths: tuple[int, int]) -> None:
    """The first two to end would be two short ones. 32 steps are played at once."""
    collector = Collector(vector(*map(Counter, lengths)), ones)
    collector.reset(seed=0)
    collector.collect(2)  # a game that was begun is not gone on with
    for _ in range(2):
        rollout = collector.episodes()
        assert rollout.valid.sum(0).tolist() == [*lengths]
        assert len(rollout.rewards) == max(lengths) == len(rollout.observations) - 1
        returns = (rollout.rewards * rollout.valid).sum(0)
        assert returns.tolist() == [5 * n * (n + 1) for n in lengths]
        for i, n in enumerate(lengths):
            assert rollout.terminated[n - 1, i] and rollout.observations[n, i, 0] == n
        discounted = discounted_returns(rollout.rewards, rollout.terminated, rollout.truncated, 1.0)
        assert discounted[0].tolist() == returns.tolist()


def test_actions_are_kept_as_drawn_and_clipped_on_their_way() -> None:
    environment = Counter(10, box=True)

    def far(observations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.full((1, 1), 3.0, np.float32), np.zeros(1)

    collector = Collector(vector(environment), far)
    collector.reset()
    rollout = collector.collect(4)
    assert rollout.actions.shape == (4, 1, 1) and (rollout.actions == 3).all()
    assert rollout.observations[-1, 0].tolist() == [4, 4]  # the world saw 1, four times


def test_actions_need_not_begin_at_zero() -> None:
    collector = Collector(vector(Counter(9)), ones)
    collector.reset()
    rollout = collector.collect(2)
    assert (rollout.actions == 1).all() and rollout.observations[-1, 0, 1] == 12  # 6 and 6


def test_reset_cuts_running_episodes() -> None:
    collector = Collector(vector(Counter(5)), ones, RewardScale(1, 0.9))
    collector.reset()
    collector.collect(2)
    collector.reset()
    assert collector.collect(5).finished == [(150.0, 5)]


def test_rewards_are_scaled_where_they_are_kept() -> None:
    collector = Collector(vector(Counter(3)), ones, RewardScale(1, 0.9))
    collector.reset()
    rollout = collector.collect(200)
    assert np.abs(rollout.rewards[10:]).max() < 2 and rollout.finished[-1] == (60.0, 3)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="expected an environment of NEXT_STEP autoreset, got"):
        Collector(vector(Counter(), mode="SameStep"), ones)
    collector = Collector(vector(Counter()), ones)
    with pytest.raises(RuntimeError, match=r"expected reset\(\) before collect"):
        collector.collect(1)
    collector.reset()
    with pytest.raises(ValueError, match="expected steps >= 1, got 0"):
        collector.collect(0)
