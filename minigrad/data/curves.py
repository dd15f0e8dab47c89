r"""Random curves: samples of a Gaussian process, whose best prediction is known exactly.

Belongs here: the kernel and the samples. Does not belong here: the exact posterior that a model is
compared with (``minigrad.evaluation``).
"""

from __future__ import annotations

import numpy as np

from ..backend import Generator, default_generator

__all__ = ["make_gp_curves", "rbf_kernel"]


def rbf_kernel(
    x1: np.ndarray, x2: np.ndarray, length_scale: float = 0.4, variance: float = 1.0
) -> np.ndarray:
    r"""The squared-exponential kernel of points on a line,

    .. math:: k(x, x') = \sigma^2 \exp\left(-\frac{(x - x')^2}{2 \ell^2}\right)

    for ``x1`` ``(..., m)`` and ``x2`` ``(..., n)``: ``(..., m, n)`` float64.

    >>> rbf_kernel(np.zeros(2), np.array([0.0, 0.4])).round(3)
    array([[1.   , 0.607],
           [1.   , 0.607]])
    """
    if length_scale <= 0 or variance <= 0:
        raise ValueError(
            "rbf_kernel: expected a positive length_scale and variance, "
            f"got {length_scale} and {variance}"
        )
    a, b = np.asarray(x1, np.float64), np.asarray(x2, np.float64)
    squared = (a[..., :, None] - b[..., None, :]) ** 2  # (..., m, n)
    return variance * np.exp(-0.5 / length_scale**2 * squared)


def make_gp_curves(
    n: int,
    points: int = 50,
    length_scale: float = 0.4,
    variance: float = 1.0,
    noise: float = 0.02,
    limit: float = 2.0,
    grid: bool = False,
    generator: Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""``n`` curves, each drawn from a Gaussian process with an :func:`rbf_kernel` and seen at
    ``points`` places of its own:

    .. math::
        f \sim \mathcal{GP}(0, k), \quad x_i \sim U(-L, L), \quad
        y_i = f(x_i) + \varepsilon_i, \quad \varepsilon_i \sim N(0, \text{noise}^2)

    with :math:`L` = ``limit``. If ``grid``, all curves are seen at the same evenly spaced places,
    for pictures.

    Returns ``x`` and ``y``, both ``(n, points, 1)`` float32.

    >>> x, y = make_gp_curves(8, points=20)
    >>> x.shape, y.shape, y.dtype, bool(abs(x).max() <= 2)
    ((8, 20, 1), (8, 20, 1), dtype('float32'), True)
    """
    if n < 1 or points < 1:
        raise ValueError(f"make_gp_curves: expected n >= 1 and points >= 1, got {n} and {points}")
    if noise < 0 or limit <= 0:
        raise ValueError(
            f"make_gp_curves: expected noise >= 0 and limit > 0, got {noise} and {limit}"
        )
    rng = (generator or default_generator()).numpy
    if grid:
        x = np.broadcast_to(np.linspace(-limit, limit, points), (n, points)).copy()
    else:
        x = rng.uniform(-limit, limit, (n, points))
    covariance = rbf_kernel(x, x, length_scale, variance)  # (n, points, points)
    # Rounding leaves eigenvalues of -1e-15 where places are close; this lifts them.
    covariance += (noise**2 + 1e-9 * variance) * np.eye(points)
    normal = rng.standard_normal((n, points, 1))
    y = np.linalg.cholesky(covariance) @ normal  # (n, points, 1)
    return x[:, :, None].astype(np.float32), y.astype(np.float32)
