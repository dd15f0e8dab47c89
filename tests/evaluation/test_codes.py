r"""Measures of codes: against naive loops, and where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.evaluation import (
    active_units,
    factor_r2,
    knn_accuracy,
    knn_predict,
    linear_probe,
    r2_score,
    spearman,
)


@given(seed=st.integers(0, 1000), n=st.integers(2, 12), values=st.integers(2, 12))
def test_spearman_against_scipy(seed, n, values):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, values, (2, n))  # with ties
    if min(np.ptp(x), np.ptp(y)) > 0:
        assert spearman(mg.tensor(x), y) == pytest.approx(stats.spearmanr(x, y).statistic)


def test_spearman_sees_ranks_only():
    x = np.random.default_rng(0).normal(size=50)
    y = x + np.random.default_rng(1).normal(size=50)
    assert spearman(x, np.exp(x)) == pytest.approx(1)
    assert spearman(x, -(x**3)) == pytest.approx(-1)
    assert spearman(x, y) == pytest.approx(spearman(np.exp(3 * x), y**3))
    assert spearman([0, 0, 1, 1], [0, 1, 0, 1]) == 0
    # Without ties: 1 - 6 sum d^2 / (n (n^2 - 1)), here d = (1, 1, 0).
    assert spearman([1, 2, 3], [2, 1, 3]) == pytest.approx(1 - 6 * 2 / (3 * 8))


@given(seed=st.integers(0, 1000), k=st.integers(1, 60), d=st.integers(1, 5))
def test_nearest_neighbours(seed, k, d):
    rng = np.random.default_rng(seed)
    known, labels = rng.normal(size=(50, d)), rng.integers(0, 7, 50)
    codes = rng.normal(size=(9, d))
    found = knn_predict(mg.tensor(codes), known, labels, k)
    for code, label in zip(codes, found):
        nearest = labels[np.argsort(((known - code) ** 2).sum(1))[:k]]
        assert label == np.bincount(nearest).argmax()
    truth = rng.integers(0, 7, 9)
    assert knn_accuracy(codes, truth, known, labels, k) == (found == truth).mean()


def test_linear_probe_on_separable_and_useless_codes():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 600)
    centres = 5 * np.eye(4)
    codes = centres[labels] + rng.normal(size=(600, 4))
    assert linear_probe(codes[:400], labels[:400], codes[400:], labels[400:]) > 0.97
    noise = rng.normal(size=(600, 4))
    assert linear_probe(noise[:400], labels[:400], noise[400:], labels[400:]) < 0.4


def test_linear_probe_is_the_optimum(monkeypatch):
    """The gradient of the penalised cross-entropy vanishes at what it found; a number without
    variance, and one a million times as large as the others, do not disturb it."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 3)) * [1, 1e6, 0] + [0, 0, 3]
    y = (x[:, 0] + x[:, 1] / 1e6 + rng.normal(size=200) > 0).astype(int)
    from minigrad.evaluation import codes as module

    kept = []

    class Kept(module.LBFGS):
        def __init__(self, parameters, **options):
            super().__init__(parameters, **options)
            kept.extend(parameters)

    monkeypatch.setattr(module, "LBFGS", Kept)
    accuracy = linear_probe(x, y, x, y, weight_decay=0.1)
    weight, bias = (p.detach().numpy() for p in kept)
    unit = (x - x.mean(0)) / np.where(x.std(0) == 0, 1, x.std(0))
    logits = unit @ weight + bias
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) - np.eye(2)[y]
    assert abs(unit.T @ p / 200 + 0.1 * weight).max() < 1e-5 > abs(p.mean(0)).max()
    assert accuracy == (logits.argmax(1) == y).mean() > 0.75


@given(seed=st.integers(0, 1000))
def test_r2(seed):
    rng = np.random.default_rng(seed)
    p, y = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    expected = [1 - ((y[:, i] - p[:, i]) ** 2).sum() / (20 * y[:, i].var()) for i in range(3)]
    np.testing.assert_allclose(r2_score(p, y), expected)
    assert r2_score(y, y).tolist() == [1, 1, 1]
    np.testing.assert_allclose(r2_score(np.tile(y.mean(0), (20, 1)), y), 0, atol=1e-12)


def test_r2_of_a_constant():
    assert r2_score([[3.0, 3.0]] * 2, [[3.0, 4.0]] * 2).tolist() == [1.0, 0.0]


def test_factor_r2():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 3))
    factors = np.stack([np.tanh(z[:, 2]), z[:, 0] + z[:, 1], rng.normal(size=2000)], 1)
    table = factor_r2(z, factors)
    assert table.shape == (3, 3)
    assert table[2, 0] > 0.98 > 0.02 > abs(table[:2, 0]).max()
    np.testing.assert_allclose(table[:2, 1], 0.5, atol=0.05)  # two numbers share it
    assert table[:, 2].max() < 0.02
    correlation = np.corrcoef(z[:, 2], factors[:, 0])[0, 1]
    assert factor_r2(z, factors, degree=1)[2, 0] == pytest.approx(correlation**2)
    dead = factor_r2(np.zeros((2000, 1)), factors)  # a collapsed number tells nothing
    np.testing.assert_allclose(dead, 0, atol=1e-10)


def test_active_units():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(1000, 4)) * [1.0, 0.2, 0.05, 0.0]
    assert active_units(means) == 2
    assert active_units(mg.tensor(means), threshold=1e-3) == 3


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: knn_predict(np.eye(2), np.eye(3), [0, 1, 2]), "same size, got 2 and 3"),
        (lambda: knn_predict(np.eye(2), np.eye(2), [0.0, 1.0]), "expected 2 integers from 0"),
        (lambda: knn_predict(np.eye(2), np.eye(2), [0, 1, 2]), "expected 2 integers from 0"),
        (lambda: knn_predict(np.eye(2), np.eye(2), [0, 1], k=0), "expected k >= 1"),
        (lambda: r2_score([1.0], [1.0, 2.0]), "expected 2 predictions, got 1"),
        (lambda: factor_r2(np.eye(2), np.eye(3)), "expected as many codes as factors"),
        (lambda: factor_r2(np.eye(2), np.eye(2), 0), "expected degree >= 1"),
        (lambda: spearman([1.0, 2.0], [1.0]), r"N >= 2, got \(2,\) and \(1,\)"),
        (lambda: spearman([1.0, 2.0], [3.0, 3.0]), "expected numbers that differ"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
