r"""Running statistics against those of all numbers at once."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.rl import RewardScale, RunningNorm


def test_the_statistics_are_those_of_everything_seen(device: str) -> None:
    """Batches of all sizes, far from zero: sums of squares in float32 would have lost it."""
    rng = np.random.default_rng(0)
    data = rng.normal(1000, [[1.0, 0.1]], (500, 2)).astype(np.float32)
    norm = RunningNorm((2,)).to(device)
    for part in np.split(data, [1, 3, 100, 101, 400]):
        norm.update(part)
    wanted = data.astype(np.float64)
    np.testing.assert_allclose(norm.mean.cpu().numpy(), wanted.mean(0), rtol=1e-6)
    np.testing.assert_allclose(norm.var.cpu().numpy(), wanted.var(0), rtol=1e-2)
    out = norm(mg.tensor(data, device=device)).cpu().numpy()
    assert np.abs(out.mean(0)).max() < 0.01 and np.abs(out.std(0) - 1).max() < 0.01
    assert out.dtype == np.float32


def test_only_update_changes_them() -> None:
    norm = RunningNorm((1,))
    norm.update(np.zeros((5, 1)))
    before = {k: v.numpy().copy() for k, v in norm.state_dict().items()}
    norm(mg.ones(7, 1))
    assert all((norm.state_dict()[k].numpy() == v).all() for k, v in before.items())
    assert norm(mg.full((1, 1), 1e9)).item() == 10  # clipped
    copy = RunningNorm((1,))
    copy.load_state_dict(norm.state_dict())
    assert copy.count.item() == 5


@pytest.mark.parametrize("shape", [(3,), (0, 2), (4, 3), (2, 2, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"RunningNorm.update: expected \(N, 2\) with N >= 1, got"):
        RunningNorm((2,)).update(np.zeros(shape))


def test_rewards_are_divided_by_the_deviation_of_returns() -> None:
    rng = np.random.default_rng(0)
    scale, running, seen = RewardScale(4, 0.9), np.zeros(4), []
    for _ in range(300):
        rewards, done = rng.normal(3, 5, 4), rng.random(4) < 0.1
        running = 0.9 * running + rewards
        seen.append(running.copy())
        wanted = np.clip(rewards / np.std(seen), -10, 10)
        np.testing.assert_allclose(scale(rewards, done), wanted, rtol=1e-5)
        running[done] = 0


def test_a_scale_goes_on_from_its_state() -> None:
    first, second = RewardScale(2, 0.9), RewardScale(2, 0.9)
    no = np.zeros(2, bool)
    first(np.array([1.0, 5.0]), no)
    second.load_state_dict(first.state_dict())
    rewards = np.array([2.0, 3.0])
    np.testing.assert_array_equal(first(rewards, no), second(rewards, no))
    first.cut()
    assert first.state_dict()["running"].tolist() == [0, 0]
