r"""What codes are worth: can classes and factors be told from them?

Belongs here: measures of codes whose meaning is known. Does not belong here: baselines for
reconstruction (``baselines.py``), distances between samples (``samples.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..nn.functional import cross_entropy
from ..optim import LBFGS
from ..tensor import Tensor
from ._host import host, labels_of, matrix, pair

__all__ = [
    "active_units",
    "factor_r2",
    "knn_accuracy",
    "knn_predict",
    "linear_probe",
    "r2_score",
    "spearman",
]


def knn_predict(codes: Any, known: Any, known_labels: Any, k: int = 15) -> np.ndarray:
    r"""For each code the most frequent label among the ``k`` nearest known codes; the smallest of
    several equally frequent ones.

    Args:
        codes: (N, ...).
        known: (M, ...); if there are fewer than ``k``, all of them vote.
        known_labels: (M,) integers from 0.

    >>> knn_predict([[0.1], [5.0]], [[0.0], [0.2], [4.0]], [3, 3, 1], k=1)
    array([3, 1])
    """
    z, points = pair(codes, known, "knn", ("codes", "known"))
    labels = labels_of(known_labels, len(points), "knn_predict: known_labels")
    if k < 1:
        raise ValueError(f"knn_predict: expected k >= 1, got {k}")
    k = min(k, len(points))
    classes = labels.max() + 1
    squares = (points**2).sum(1)
    found = []
    for part in np.array_split(z, max(1, len(z) * len(points) // 5_000_000)):
        # |a - b|^2 = |a|^2 - 2 a.b + |b|^2, and |a|^2 is the same for all b
        distance = squares - 2 * part @ points.T  # (n, M)
        nearest = labels[np.argpartition(distance, k - 1, axis=1)[:, :k]]  # (n, k)
        votes = (nearest[:, :, None] == np.arange(classes)).sum(1)  # (n, classes)
        found.append(votes.argmax(1))
    return np.concatenate(found)


def knn_accuracy(codes: Any, labels: Any, known: Any, known_labels: Any, k: int = 15) -> float:
    r"""The share of codes whose label :func:`knn_predict` finds. The known codes are training
    data; a code must not be among its own neighbours.

    >>> knn_accuracy([[0.1], [5.0]], [3, 2], [[0.0], [0.2], [4.0]], [3, 3, 1], k=1)
    0.5
    """
    predicted = knn_predict(codes, known, known_labels, k)
    return float((predicted == labels_of(labels, len(predicted), "knn_accuracy: labels")).mean())


def linear_probe(
    train_codes: Any,
    train_labels: Any,
    codes: Any,
    labels: Any,
    weight_decay: float = 1e-4,
    max_iter: int = 200,
) -> float:
    r"""The accuracy of multinomial logistic regression: fitted to the codes of training data, and
    scored on those of others.

    Minimises the mean cross-entropy plus ``weight_decay`` / 2 times the squared weights, with
    L-BFGS from zero, after each number was brought to mean 0 and variance 1 on the training codes.
    The problem is convex, so there is nothing to choose.

    Args:
        train_codes, codes: (N, ...) and (M, ...).
        train_labels, labels: (N,) and (M,) integers from 0.

    >>> x = np.arange(10.0)
    >>> linear_probe(x, x > 4.5, [1.0, 4.0, 5.0, 7.0], [0, 0, 1, 1])
    1.0
    """
    x, z = pair(train_codes, codes, "linear_probe", ("train_codes", "codes"))
    y = labels_of(train_labels, len(x), "linear_probe: train_labels")
    target = labels_of(labels, len(z), "linear_probe: labels")
    mean, std = x.mean(0), x.std(0)
    std[std < 1e-12 * np.maximum(1, abs(mean))] = 1.0  # a number that never changes tells nothing
    x, z = (x - mean) / std, (z - mean) / std
    inputs, classes = Tensor(x), int(y.max()) + 1
    weight = Tensor(np.zeros((x.shape[1], classes)), requires_grad=True)
    bias = Tensor(np.zeros(classes), requires_grad=True)
    optimizer = LBFGS(
        [weight, bias], max_iter=max_iter, tolerance_grad=1e-6, line_search_fn="strong_wolfe"
    )
    answers = Tensor(y)

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(inputs @ weight + bias, answers)
        value = value + (0.5 * weight_decay) * ops.sum(weight**2)
        value.backward()
        return value

    optimizer.step(loss)
    predicted = (z @ weight.data + bias.data).argmax(1)
    return float((predicted == target).mean())


def r2_score(prediction: Any, target: Any) -> np.ndarray:
    r"""The share of each column's variance that a prediction explains,

    .. math:: R^2 = 1 - \frac{\sum_n (y_n - \hat y_n)^2}{\sum_n (y_n - \bar y)^2}

    for (N, D) or (N,): (D,). 1 is perfect, 0 as good as the mean, negative worse. A column that
    does not vary has 1 if it is met exactly, otherwise 0.

    >>> r2_score([1.0, 2.0, 3.0], [1.0, 2.0, 3.0]), r2_score([2.0, 2.0, 2.0], [1.0, 2.0, 3.0])
    (array([1.]), array([0.]))
    """
    p, y = pair(prediction, target, "r2_score", ("prediction", "target"))
    if len(p) != len(y):
        raise ValueError(f"r2_score: expected {len(y)} predictions, got {len(p)}")
    residual, total = ((y - p) ** 2).sum(0), ((y - y.mean(0)) ** 2).sum(0)
    constant = total <= 1e-24 * len(y) * np.maximum(1, y.mean(0) ** 2)
    exact = residual <= 1e-24 * len(y) * np.maximum(1, y.mean(0) ** 2)
    return np.where(constant, exact, 1 - residual / np.where(constant, 1, total))


def spearman(x: Any, y: Any) -> float:
    r"""Spearman's rank correlation of ``x`` (N,) and ``y`` (N,): the correlation of their ranks,
    where equal numbers share the mean of theirs. 1 if one rises wherever the other does, -1 if it
    falls, whatever the curve.

    Raises:
        ValueError: different lengths, fewer than two, or numbers that are all equal, which have no
            correlation.

    >>> spearman([1.0, 2.0, 3.0], [1.0, 10.0, 100.0]), round(spearman([1, 2, 3], [2, 1, 1]), 3)
    (1.0, -0.866)
    """
    a, b = (matrix(v, f"spearman: {name}") for v, name in ((x, "x"), (y, "y")))
    if a.shape != b.shape or a.shape[1] != 1 or len(a) < 2:
        raise ValueError(
            f"spearman: expected x and y (N,) with N >= 2, got {host(x).shape} and {host(y).shape}"
        )
    ranks = np.stack([_ranks(a[:, 0]), _ranks(b[:, 0])])  # (2, N)
    ranks -= ranks.mean(1, keepdims=True)
    squares = (ranks**2).sum(1)
    if not squares.all():
        raise ValueError("spearman: expected numbers that differ, got all equal ones")
    return float(np.clip(ranks[0] @ ranks[1] / np.sqrt(squares.prod()), -1, 1))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal numbers have the mean of those that they would take."""
    _, index, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)  # one more than the last rank of each number
    return ((last - count + last - 1) / 2)[index]


def factor_r2(codes: Any, factors: Any, degree: int = 3) -> np.ndarray:
    r"""How much of each factor *one* number of the code tells: :math:`R^2` of a polynomial of
    ``degree`` fitted by least squares, for each pair. (N, D) codes and (N, F) factors: (D, F).

    If one entry of a column is near 1, the factor has a number of its own. A polynomial, because a
    code may well be bent against its factor; with degree 1 it is the squared correlation. A factor
    that goes around, such as an angle, must be given as its cosine and sine.

    >>> z = np.random.default_rng(0).normal(size=(500, 2))
    >>> factor_r2(z, np.tanh(z[:, :1])).round(1)
    array([[1.],
           [0.]])
    """
    z, y = matrix(codes, "factor_r2: codes"), matrix(factors, "factor_r2: factors")
    if len(z) != len(y):
        raise ValueError(f"factor_r2: expected as many codes as factors, got {len(z)} and {len(y)}")
    if degree < 1:
        raise ValueError(f"factor_r2: expected degree >= 1, got {degree}")
    table = np.empty((z.shape[1], y.shape[1]))
    for d, column in enumerate(z.T):
        scale = column.std()
        unit = (column - column.mean()) / (scale if scale > 0 else 1.0)
        powers = np.vander(unit, degree + 1)
        fitted = powers @ np.linalg.lstsq(powers, y, rcond=None)[0]
        table[d] = r2_score(fitted, y)
    return table


def active_units(means: Any, threshold: float = 0.01) -> int:
    r"""How many numbers of a variational code carry something: those whose posterior mean
    (N, D) varies over the data with a variance above ``threshold`` (Burda, Grosse and
    Salakhutdinov, 2016). Where the posterior is the prior, the mean is 0 for all data.

    >>> active_units([[0.0, 1.0], [0.05, -1.0]])
    1
    """
    return int((matrix(means, "active_units: means").var(0) > threshold).sum())
