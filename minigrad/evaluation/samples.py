r"""How far samples are from data: distances between two sets of points, and what one set has that
the other lacks.

Belongs here: what needs the points alone, be they data or a network's features of them. Does not
belong here: what needs a trained judge, and measures of codes with labels (``codes.py``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._host import pair

__all__ = [
    "energy_distance",
    "frechet_distance",
    "mmd",
    "mode_coverage",
    "nearest_neighbour_distance",
    "precision_recall",
]

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


def frechet_distance(x: Any, y: Any) -> float:
    r"""The squared Fréchet distance (2-Wasserstein) of two Gaussians that have the means and
    covariances of ``x`` (N, ...) and ``y`` (M, ...) (Dowson and Landau, 1982),

    .. math:: d^2 = |\mu_x - \mu_y|^2 + \mathrm{tr}\left(C_x + C_y
        - 2 (C_x^{1/2} C_y C_x^{1/2})^{1/2}\right)

    Of features that a classifier of photographs has of images it is the FID (Heusel et al., 2017,
    arXiv:1706.08500). It sees means and covariances only. Estimated from finite samples it is too
    large, the more so the fewer points and the more numbers each: compare it with the distance
    of two samples of real data of the same sizes, and never with one of other sizes.

    The last trace is the sum of the singular values of :math:`C_x^{1/2} C_y^{1/2}`, which rounding
    hurts less than the square root of a product where a covariance is singular.

    >>> rng = np.random.default_rng(0)
    >>> a = rng.normal(size=(500, 3))
    >>> round(frechet_distance(a, a + [3.0, 4.0, 0.0]), 6), round(frechet_distance(a, a), 6) + 0.0
    (25.0, 0.0)
    """
    a, b = pair(x, y, "frechet_distance", ("x", "y"))
    _two(a, b, "frechet_distance")
    (values_a, vectors_a), (values_b, vectors_b) = (_covariance(points) for points in (a, b))
    product = np.sqrt(values_a)[:, None] * (vectors_a.T @ vectors_b) * np.sqrt(values_b)
    overlap = np.linalg.svd(product, compute_uv=False).sum()
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    return float(mean + values_a.sum() + values_b.sum() - 2 * overlap)


def precision_recall(real: Any, fake: Any, k: int = 3) -> tuple[float, float]:
    r"""Precision, the share of ``fake`` (M, ...) that lies where ``real`` (N, ...) is, and recall,
    the share of ``real`` that lies where ``fake`` is (Kynkäänniemi et al., 2019, arXiv:1904.06991).

    Where a set is: within the union of balls around its points, each as wide as the distance to the
    ``k``-th nearest other point of the set. Precision falls with samples that look like no data,
    recall with data that no sample looks like: a model that makes one perfect image only has
    precision 1 and recall 0. Two samples of one distribution do not reach 1; compare with them.

    >>> rng = np.random.default_rng(0)
    >>> real = rng.normal(size=(500, 2))
    >>> precision_recall(real, real[:50] * 0.01)  # all near the middle, where one real point is
    (1.0, 0.002)
    """
    a, b = pair(real, fake, "precision_recall", ("real", "fake"))
    if not 1 <= k < min(len(a), len(b)):
        raise ValueError(
            f"precision_recall: expected 1 <= k and more than k points in each, got k = {k} with "
            f"{len(a)} and {len(b)} points"
        )

    def radii(points: np.ndarray) -> np.ndarray:
        # The point itself is at distance 0, so that its k-th neighbour is at place k.
        found = [np.partition(d, k, axis=1)[:, k] for d in _squared_distances(points, points)]
        return np.concatenate(found)

    def covered(points: np.ndarray, centres: np.ndarray) -> float:
        reach = radii(centres)
        parts = [(d <= reach).any(1) for d in _squared_distances(points, centres)]
        return float(np.concatenate(parts).mean())

    return covered(b, a), covered(a, b)


def mode_coverage(
    points: Any, centres: Any, deviation: float, share: float = 0.2
) -> tuple[int, float]:
    r"""How many modes of a mixture of equally frequent round Gaussians ``points`` hit, and the
    share of the points that are of high quality.

    A point is of high quality if it lies within three deviations of some centre. A mode is hit if
    high-quality points nearest to it are at least ``share`` times as many as would be there if all
    points were divided equally: with N points and K modes, ``share`` N / K.

    Args:
        points: (N, D).
        centres: (K, D).
        deviation: the standard deviation of each Gaussian, along each axis.
        share: 0 < share <= 1.

    >>> mode_coverage([[0.0, 0.1], [0.1, 0.0], [1.0, 0.0]], [[0.0, 0.0], [2.0, 0.0]], 0.1)
    (1, 0.6666666666666666)
    """
    a, b = pair(points, centres, "mode_coverage", ("points", "centres"))
    if not (deviation > 0 and 0 < share <= 1):
        raise ValueError(
            f"mode_coverage: expected deviation > 0 and 0 < share <= 1, got {deviation} and {share}"
        )
    parts = [(d.argmin(1), d.min(1)) for d in _squared_distances(a, b)]
    nearest, squared = (np.concatenate(part) for part in zip(*parts))
    good = squared <= (3 * deviation) ** 2
    counts = np.bincount(nearest[good], minlength=len(b))  # (K,)
    return int((counts >= share * len(a) / len(b)).sum()), float(good.mean())


def _covariance(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (D,) and eigenvectors (D, D) of the covariance of (N, D)."""
    centred = points - points.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred / (len(points) - 1))
    return np.maximum(values, 0), vectors  # rounding leaves eigenvalues of -1e-16


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
