r"""Replay: what is remembered, what is drawn, and how often."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.rl import PrioritizedReplayBuffer, ReplayBuffer, SumTree
from minigrad.train import checkpoint


def transitions(values: Any) -> tuple[np.ndarray, ...]:
    """A transition that can be told by each of its parts, for each of ``values``."""
    v = np.asarray(values)
    return (np.stack([v, -v], 1), v % 7, v / 2, np.stack([v + 1, -v - 1], 1), v % 3 == 0)


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# ------------------------------------------------------------------------------------ the ring
@given(st.integers(1, 12), st.lists(st.integers(1, 5), max_size=8))
def test_the_ring_keeps_the_last(capacity: int, sizes: list[int]) -> None:
    memory, seen = ReplayBuffer(capacity, (2,)), 0
    for n in (min(n, capacity) for n in sizes):
        memory.add(*transitions(range(seen, seen + n)))
        seen += n
    assert len(memory) == min(seen, capacity)
    if not seen:
        with pytest.raises(ValueError, match="expected some transitions"):
            memory.sample(1, rng())
        return
    batch = memory.sample(400, rng())
    values = batch.observations[:, 0]
    assert set(values) == set(range(max(0, seen - capacity), seen))
    expected = transitions(values.astype(int))
    parts = ("observations", "actions", "rewards", "next_observations", "terminated")
    for name, value in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(getattr(batch, name), value)
    assert (batch.weights == 1).all()


def test_dtypes_at_the_border() -> None:
    """gymnasium's rewards are float64 and its observations may be integers."""
    memory = ReplayBuffer(10, (), observation_dtype=np.int64)
    memory.add(np.array([3]), np.array([1]), np.array([0.5]), np.array([4]), np.array([True]))
    batch = memory.sample(2, rng())
    kinds = [
        getattr(batch, n).dtype.name for n in ("observations", "actions", "rewards", "terminated")
    ]
    assert kinds == ["int64", "int64", "float32", "float32"]


def test_draws_are_even() -> None:
    """Chi-squared with 19 degrees of freedom: below 43.8 in 99.9 % of cases."""
    memory = ReplayBuffer(20, (2,))
    memory.add(*transitions(range(20)))
    counts = np.bincount(memory.sample(10_000, rng()).indices, minlength=20)
    assert ((counts - 500) ** 2 / 500).sum() < 43.8


def test_a_batch_is_a_copy() -> None:
    memory = ReplayBuffer(2, (2,))
    memory.add(*transitions([1, 2]))
    batch = memory.sample(4, rng())
    before = batch.observations.copy()
    memory.add(*transitions([8, 9]))
    np.testing.assert_array_equal(batch.observations, before)


def test_bad_calls() -> None:
    with pytest.raises(ValueError, match="ReplayBuffer: expected capacity >= 1, got 0"):
        ReplayBuffer(0, (2,))
    memory = ReplayBuffer(2, (2,))
    with pytest.raises(ValueError, match="2 at most, got 3, 3, 3, 3, 3"):
        memory.add(*transitions([1, 2, 3]))
    with pytest.raises(ValueError, match="as many of each"):
        memory.add(*transitions([1, 2])[:4], np.array([True]))
    other = ReplayBuffer(2, (3,))
    with pytest.raises(ValueError, match="load_state_dict: expected observations"):
        other.load_state_dict(memory.state_dict())
    larger = ReplayBuffer(3, (2,))
    larger.add(*transitions([1, 2, 3]))
    with pytest.raises(ValueError, match="load_state_dict"):
        memory.load_state_dict(larger.state_dict())


@pytest.mark.parametrize("kind", [ReplayBuffer, PrioritizedReplayBuffer])
@pytest.mark.parametrize("first", [3, 14])  # half full, and gone round
def test_it_goes_on_from_a_checkpoint(kind: Any, first: int, tmp_path: Path) -> None:
    memory, other = kind(10, (2,)), kind(10, (2,))
    for v in range(first):
        memory.add(*transitions([v]))
    if kind is PrioritizedReplayBuffer:
        memory.update(np.arange(3), np.array([5.0, -0.1, 2.0]))
    checkpoint.save_checkpoint(tmp_path / "c.safetensors", {"memory": memory})
    checkpoint.load_checkpoint(tmp_path / "c.safetensors", {"memory": other})
    for m in (memory, other):
        m.add(*transitions([100, 101]))
    one, two = memory.sample(64, rng()), other.sample(64, rng())
    for name in ("indices", "observations", "weights"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


# ------------------------------------------------------------------------------------ the tree
@given(st.integers(1, 40), st.data())
def test_the_tree_is_a_cumulative_sum(capacity: int, data: Any) -> None:
    """Integers, so that sums are exact in any order."""
    tree, values = SumTree(capacity), np.zeros(capacity)
    index = st.integers(0, capacity - 1)
    for _ in range(data.draw(st.integers(1, 4))):
        changes = data.draw(st.dictionaries(index, st.integers(0, 5), min_size=1))
        tree[np.array(list(changes))] = list(changes.values())
        for i, v in changes.items():
            values[i] = v
    assert tree.total == values.sum()
    np.testing.assert_array_equal(tree[np.arange(capacity)], values)
    masses = np.arange(0, values.sum(), 0.5)
    np.testing.assert_array_equal(
        tree.find(masses), np.searchsorted(np.cumsum(values), masses, side="right")
    )


def test_rounding_never_finds_a_leaf_of_nothing() -> None:
    tree = SumTree(1000)
    tree[np.arange(600)] = rng().random(600) * 10.0 ** rng().integers(-9, 9, 600)
    found = tree.find(np.nextafter(np.full(5, tree.total), np.inf))
    assert (found < 600).all()
    assert (tree.find(np.linspace(0, tree.total, 100_000)) < 600).all()


def test_of_one_index_twice_the_last_value_stays() -> None:
    tree = SumTree(5)
    tree[np.array([2, 2, 4])] = [7.0, 1.0, 3.0]
    assert tree.total == 4.0 and tree[2] == 1.0


def test_bad_numbers_for_the_tree() -> None:
    with pytest.raises(ValueError, match="capacity >= 1"):
        SumTree(0)
    tree = SumTree(3)
    for index in (3, -1):
        with pytest.raises(IndexError, match=f"from 0 to 2, got {index}"):
            tree[np.array([index])] = 1.0
    for value in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite values >= 0"):
            tree[np.array([0])] = value


# ------------------------------------------------------------------------------- the priorities
def prioritised(errors: Any, alpha: float) -> PrioritizedReplayBuffer:
    memory = PrioritizedReplayBuffer(len(errors), (2,), alpha=alpha)
    memory.add(*transitions(range(len(errors))))
    memory.update(np.arange(len(errors)), np.asarray(errors))
    return memory


def test_draws_follow_the_priorities() -> None:
    """Chi-squared with 3 degrees of freedom: below 16.3 in 99.9 % of cases; drawn in layers, the
    counts are evener than that. Drawn evenly, it would be in the thousands."""
    memory = prioritised([1.0, -8.0, 27.0, 0.125], alpha=2 / 3)
    expected = np.array([1, 4, 9, 0.25]) / 14.25 * 40_000
    generator = rng()
    counts = sum(
        np.bincount(memory.sample(40, generator).indices, minlength=4) for _ in range(1000)
    )
    assert ((counts - expected) ** 2 / expected).sum() < 16.3


@pytest.mark.parametrize("beta", [0.0, 0.4, 1.0])
def test_weights(beta: float) -> None:
    """w = (N P)^-beta over the largest: 1 for the rarest of the batch, none above."""
    memory = prioritised([1.0, 2.0, 4.0], alpha=1.0)
    batch = memory.sample(300, rng(), beta)
    np.testing.assert_allclose(batch.weights, (1.0 / 2.0**batch.indices) ** beta, rtol=1e-5)
    assert batch.weights.max() == 1 and batch.weights.dtype == np.float32


def test_full_correction_gives_the_even_mean() -> None:
    """At beta 1, sum(w x) / sum(w) is the mean of x, whatever the priorities."""
    memory = prioritised([1.0, 2.0, 4.0, 8.0], alpha=1.0)
    batch = memory.sample(200_000, rng(), 1.0)
    x = batch.observations[:, 0]
    assert abs(np.average(x, weights=batch.weights) - 1.5) < 0.01
    assert abs(x.mean() - 1.5) > 0.5


def test_what_is_new_is_drawn_first() -> None:
    """With the largest priority so far, not that of what is in the memory now."""
    memory = PrioritizedReplayBuffer(4, (2,), alpha=1.0)
    memory.add(*transitions(range(4)))
    memory.update(np.array([0, 1, 2, 3]), np.array([100.0, 1.0, 1.0, 1.0]))
    memory.update(np.array([0]), np.array([0.0]))
    memory.add(*transitions([50]))  # in the place of 0
    share = (memory.sample(1030, rng()).indices == 0).mean()
    assert abs(share - 100 / 103) < 1e-2


def test_what_was_predicted_exactly_is_not_forgotten() -> None:
    memory = prioritised([0.0, 0.0], alpha=0.6)
    assert set(memory.sample(100, rng()).indices) == {0, 1}


def test_bad_options() -> None:
    for options in ({"alpha": -1.0}, {"epsilon": 0.0}):
        with pytest.raises(ValueError, match="expected alpha >= 0 and epsilon > 0"):
            PrioritizedReplayBuffer(4, (2,), **options)
