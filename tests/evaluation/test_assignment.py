r"""The assignment problem, against every permutation there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.evaluation import cluster_accuracy, linear_assignment


def least(cost):
    """The least cost over all one-to-one maps of the shorter side."""
    if len(cost) > cost.shape[1]:
        cost = cost.T
    n, m = cost.shape
    return min(
        sum(cost[i, j] for i, j in enumerate(chosen))
        for chosen in itertools.permutations(range(m), n)
    )


@given(
    seed=st.integers(0, 10_000),
    n=st.integers(1, 6),
    m=st.integers(1, 6),
    kind=st.sampled_from(["normal", "integers", "huge", "zeros"]),
)
def test_against_all_permutations(seed, n, m, kind):
    rng = np.random.default_rng(seed)
    cost = {
        "normal": rng.normal(size=(n, m)),
        "integers": rng.integers(-2, 3, (n, m)).astype(float),  # many ties
        "huge": rng.normal(size=(n, m)) * 1e8 + 1e10,
        "zeros": np.zeros((n, m)),
    }[kind]
    rows, columns = linear_assignment(mg.tensor(cost))
    assert len(rows) == len(columns) == min(n, m)
    assert (np.diff(rows) > 0).all() and len(set(columns)) == len(columns)
    assert cost[rows, columns].sum() == pytest.approx(least(cost), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("shape", [(60, 60), (30, 80), (80, 30)])
def test_large_ones_against_scipy(shape):
    optimize = pytest.importorskip("scipy.optimize")
    cost = np.random.default_rng(0).normal(size=shape)
    found, expected = linear_assignment(cost), optimize.linear_sum_assignment(cost)
    np.testing.assert_array_equal(found, expected)  # without ties there is one answer


def test_a_hidden_permutation_is_found():
    rng = np.random.default_rng(0)
    hidden = rng.permutation(100)
    cost = rng.random((100, 100)) + 1
    cost[np.arange(100), hidden] -= 1
    np.testing.assert_array_equal(linear_assignment(cost)[1], hidden)


def test_the_greedy_way_is_not_the_best():
    """Taking the cheapest first costs 1 + 10, taking each row's cheapest is no assignment."""
    cost = np.array([[1.0, 2.0], [2.0, 10.0]])
    assert cost[linear_assignment(cost)].sum() == 4


@given(seed=st.integers(0, 10_000), classes=st.integers(1, 4), clusters=st.integers(1, 6))
def test_cluster_accuracy_against_all_maps(seed, classes, clusters):
    rng = np.random.default_rng(seed)
    y, k = rng.integers(0, classes, 30), rng.integers(0, clusters, 30)
    size = max(classes, clusters)
    best = max(np.mean(np.array(names)[k] == y) for names in itertools.permutations(range(size)))
    assert cluster_accuracy(y, mg.tensor(k)) == pytest.approx(best)


def test_cluster_accuracy_where_it_is_known():
    y = np.arange(1000) % 10
    assert cluster_accuracy(y, (y + 3) % 10) == 1.0
    assert cluster_accuracy(y, np.zeros(1000, int)) == 0.1
    # Two clusters for one class: only one of them counts. Purity would say 1.
    assert cluster_accuracy(y, np.where(np.arange(1000) < 500, y, y + 10)) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_assignment([1.0, 2.0]), r"expected a matrix \(n, m\), got \(2,\)"),
        (lambda: linear_assignment([[np.nan]]), "linear_assignment: cost: expected finite"),
        (lambda: cluster_accuracy([0, 1], [0]), "cluster_accuracy: clusters: expected 2 integers"),
        (lambda: cluster_accuracy([0, -1], [0, 0]), "labels: expected 2 integers from 0"),
        (lambda: cluster_accuracy([], []), "labels: expected 1 integers from 0"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
