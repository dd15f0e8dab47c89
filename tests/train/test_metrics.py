r"""Metrics against plain NumPy, however the samples are cut into batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.train import (
    Accuracy,
    ConfusionMatrix,
    Mean,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    TopKAccuracy,
)


@st.composite
def outputs(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int]]:
    n, k = draw(st.integers(1, 12)), draw(st.integers(2, 6))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    cuts = sorted(draw(st.lists(st.integers(0, n), max_size=3)))
    return rng.standard_normal((n, k)).astype(np.float32), rng.integers(0, k, n), cuts


def feed(metric: Metric, output: np.ndarray, target: np.ndarray, cuts: list[int]) -> Any:
    for x, y in zip(np.split(output, cuts), np.split(target, cuts)):
        if len(x):
            metric.update(mg.tensor(x), mg.tensor(y))
    return metric.compute()


@given(outputs())
def test_classification(drawn: tuple[np.ndarray, np.ndarray, list[int]]) -> None:
    x, y, cuts = drawn
    k = x.shape[1]
    order = np.argsort(-x, axis=1)
    assert feed(Accuracy(), x, y, cuts) == pytest.approx((order[:, 0] == y).mean())
    for top in (1, 2, 5):
        expected = np.mean([y[i] in order[i, :top] for i in range(len(y))])
        assert feed(TopKAccuracy(top), x, y, cuts) == pytest.approx(expected)
    counts = np.zeros((k, k), int)
    for i in range(len(y)):
        counts[y[i], order[i, 0]] += 1
    np.testing.assert_array_equal(feed(ConfusionMatrix(k), x, y, cuts), counts)


@given(outputs())
def test_errors(drawn: tuple[np.ndarray, np.ndarray, list[int]]) -> None:
    x, _, cuts = drawn
    y = np.roll(x, 1)
    expected = np.mean((x.astype(float) - y) ** 2)
    assert feed(MeanSquaredError(), x, y, cuts) == pytest.approx(expected)
    expected = np.mean(np.abs(x.astype(float) - y))
    assert feed(MeanAbsoluteError(), x, y, cuts) == pytest.approx(expected)


def test_a_constant_output_is_not_among_the_top() -> None:
    metric = TopKAccuracy(2)
    metric.update(np.zeros((4, 5)), np.arange(4))
    assert metric.compute() == 0


def test_mean_of_many_small_numbers_keeps_its_digits() -> None:
    """float32 sums would be off in the fourth digit."""
    mean = Mean()
    for _ in range(20000):
        mean.update(mg.tensor(0.1), 128)
    assert mean.compute() == pytest.approx(float(np.float32(0.1)), rel=1e-12)


def test_state_continues() -> None:
    a, b = Accuracy(), Accuracy()
    a.update(np.eye(3), np.array([0, 1, 0]))
    b.load_state_dict(a.state_dict())
    for metric in (a, b):
        metric.update(np.eye(3), np.array([2, 2, 2]))
    assert a.compute() == b.compute() == 0.5
    with pytest.raises(ValueError, match="Accuracy.load_state_dict: expected"):
        a.load_state_dict({"sum": 1})


def test_empty_and_reset() -> None:
    accuracy = Accuracy()
    assert np.isnan(accuracy.compute())
    accuracy.update(np.eye(2), np.array([0, 1]))
    accuracy.reset()
    assert np.isnan(accuracy.compute())
    assert ConfusionMatrix(2).compute().tolist() == [[0, 0], [0, 0]]


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match=r"Accuracy: expected outputs .* got \(3, 2\) and \(2,\)"):
        Accuracy().update(np.zeros((3, 2)), np.zeros(2, int))
    with pytest.raises(ValueError, match=r"MeanSquaredError: expected equal shapes"):
        MeanSquaredError().update(np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="Mean: expected one number"):
        Mean().update(np.zeros(3))
    with pytest.raises(ValueError, match="expected 3 classes, got 2"):
        ConfusionMatrix(3).update(np.zeros((1, 2)), np.zeros(1, int))
