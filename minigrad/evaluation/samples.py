r"""How far samples are from data: distances between two sets of points.

Belongs here: distances that need the points alone. Does not belong here: what needs a trained
judge, and measures of codes with labels (``codes.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._host import pair

__all__ = ["energy_distance", "mmd", "nearest_neighbour_distance"]

_ENTRIES = 2_000_000  # of a matrix of distances at once


def energy_distance(x: Any, y: Any) -> float:
    r"""The squared energy distance of two samples (Székely and Rizzo, 2013),

    .. math:: D^2 = 2\, \mathbb{E}|X - Y| - \mathbb{E}|X - X'| - \mathbb{E}|Y - Y'|

    estimated without bias from ``x`` (N, ...) and ``y`` (M, ...): no point is paired with itself.
    It is 0 for equal distributions, where the estimate is around 0 on either side, and positive for
    all others. Compare it with that of two samples of real data.

    >>> rng = np.random.default_rng(0)
    >>> a, b, c = rng.normal(size=(3, 500, 2)) + np.array([0, 0, 1])[:, None, None]
    >>> abs(energy_distance(a, b)) < 0.02 < 0.4 < energy_distance(a, c)
    True
    """
    a, b = pair(x, y, "energy_distance", ("x", "y"))
    _two(a, b, "energy_distance")

    def total(p: np.ndarray, q: np.ndarray) -> float:
        return sum(float(np.sqrt(d).sum()) for d in _squared_distances(p, q))

    n, m = len(a), len(b)
    return 2 * total(a, b) / (n * m) - total(a, a) / (n * (n - 1)) - total(b, b) / (m * (m - 1))


def mmd(x: Any, y: Any, bandwidth: float | Sequence[float] | None = None) -> float:
    r"""The squared maximum mean discrepancy of two samples (Gretton et al., 2012),

    .. math:: \mathrm{MMD}^2 = \mathbb{E} k(X, X') + \mathbb{E} k(Y, Y') - 2\, \mathbb{E} k(X, Y),
        \qquad k(x, y) = e^{-|x - y|^2 / 2 h^2}

    estimated without bias, so it may fall below 0 when the distributions are equal.

    Args:
        x, y: (N, ...) and (M, ...).
        bandwidth: :math:`h`; of several, the mean over them. By default the median distance
            between points of both samples (at most 1000 of each).

    >>> rng = np.random.default_rng(0)
    >>> a, b, c = rng.normal(size=(3, 500, 2)) + np.array([0, 0, 1])[:, None, None]
    >>> abs(mmd(a, b)) < 0.01 < 0.1 < mmd(a, c)
    True
    """
    a, b = pair(x, y, "mmd", ("x", "y"))
    _two(a, b, "mmd")
    if bandwidth is None:
        some = np.concatenate([a[:1000], b[:1000]])
        distances = np.concatenate([d.ravel() for d in _squared_distances(some, some)])
        bandwidth = (
            math.sqrt(float(np.median(distances[distances > 0]))) if distances.any() else 1.0
        )
    widths = np.atleast_1d(np.asarray(bandwidth, np.float64))
    if widths.ndim != 1 or not (widths > 0).all():
        raise ValueError(f"mmd: expected positive bandwidths, got {bandwidth}")

    def total(p: np.ndarray, q: np.ndarray) -> float:
        return sum(
            float(np.exp(-0.5 / h**2 * d).sum()) / len(widths)
            for d in _squared_distances(p, q)
            for h in widths
        )

    n, m = len(a), len(b)
    # k(x, x) = 1 for the n pairs of a point with itself
    within = (total(a, a) - n) / (n * (n - 1)) + (total(b, b) - m) / (m * (m - 1))
    return within - 2 * total(a, b) / (n * m)


def nearest_neighbour_distance(x: Any, reference: Any) -> np.ndarray:
    r"""The distance from each of ``x`` (N, ...) to the nearest of ``reference`` (M, ...): (N,).

    Samples much nearer to the training data than other real data are have been memorised; samples
    much farther away are not like the data.

    >>> nearest_neighbour_distance([[0.0, 0.0], [3.0, 4.0]], [[0.0, 0.0], [9.0, 9.0]])
    array([0., 5.])
    """
    a, b = pair(x, reference, "nearest_neighbour_distance", ("x", "reference"))
    return np.sqrt(np.concatenate([d.min(1) for d in _squared_distances(a, b)]))


def _squared_distances(a: np.ndarray, b: np.ndarray) -> Any:
    """|a_i - b_j|^2, some rows at a time. A set's distances to itself are 0 on the diagonal."""
    rows = max(1, _ENTRIES // len(b))
    squares_a, squares_b = (a**2).sum(1), (b**2).sum(1)
    for i in range(0, len(a), rows):
        part = a[i : i + rows]
        if a.shape[1] <= 3:  # few axes: exact differences, as fast
            d = sum((part[:, None, k] - b[None, :, k]) ** 2 for k in range(a.shape[1]))
        else:
            d = squares_a[i : i + rows, None] - 2 * part @ b.T + squares_b
            np.maximum(d, 0, out=d)
        if a is b:
            k = np.arange(len(part))
            d[k, i + k] = 0.0
        yield d


def _two(a: np.ndarray, b: np.ndarray, name: str) -> None:
    if len(a) < 2 or len(b) < 2:
        raise ValueError(f"{name}: expected at least two points in each, got {len(a)} and {len(b)}")
