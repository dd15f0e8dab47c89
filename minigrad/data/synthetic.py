r"""Small data sets made on the spot, for examples, tutorials and tests.

Belongs here: points drawn from a formula. Does not belong here: anything read from a file.

All return NumPy arrays, drawn on the host from ``generator`` (the default generator if none is
given): ``x`` ``(n, 2)`` float32 points and, where there are classes, ``y`` ``(n,)`` int64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..backend import Generator, default_generator

__all__ = [
    "grid_centres",
    "make_gaussian_grid",
    "make_gaussian_ring",
    "make_linear",
    "make_moons",
    "make_spirals",
    "ring_centres",
]


def make_moons(
    n: int, noise: float = 0.1, generator: Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""Two interleaved half circles, one a class, with Gaussian ``noise``.

    With :math:`t \sim U(0, \pi)`, class 0 lies at :math:`(\cos t, \sin t)` and class 1 at
    :math:`(1 - \cos t, \tfrac12 - \sin t)`. The classes alternate, so any even prefix is balanced.

    >>> x, y = make_moons(100)
    >>> x.shape, x.dtype, y[:4]
    ((100, 2), dtype('float32'), array([0, 1, 0, 1]))
    """
    rng = _rng("make_moons", n, noise, generator)
    y = np.arange(n) % 2
    t = rng.uniform(0, np.pi, n)
    upper = np.stack([np.cos(t), np.sin(t)], axis=1)  # (n, 2)
    x = np.where(y[:, None] == 0, upper, np.array([1, 0.5]) - upper)
    return _noisy(x, noise, rng), y


def make_gaussian_ring(
    n: int,
    modes: int = 8,
    radius: float = 2.0,
    noise: float = 0.02,
    generator: Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""``modes`` Gaussians of standard deviation ``noise``, evenly spaced on a circle; ``y`` says
    which one a point came from. The standard test for a generative model that drops modes.

    >>> x, mode = make_gaussian_ring(1000)
    >>> bool(abs(np.hypot(*x.T).mean() - 2) < 0.01), np.bincount(mode).size
    (True, 8)
    """
    rng = _rng("make_gaussian_ring", n, noise, generator)
    centres = ring_centres(modes, radius)
    y = rng.integers(modes, size=n)
    return _noisy(centres[y], noise, rng), y


def ring_centres(modes: int = 8, radius: float = 2.0) -> np.ndarray:
    r"""The centres of :func:`make_gaussian_ring`, (modes, 2) float64.

    >>> ring_centres(4, 1.0).round(3) + 0.0
    array([[ 1.,  0.],
           [ 0.,  1.],
           [-1.,  0.],
           [ 0., -1.]])
    """
    if modes < 1:
        raise ValueError(f"ring_centres: expected modes >= 1, got {modes}")
    angle = 2 * np.pi * np.arange(modes) / modes
    return radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


def make_gaussian_grid(
    n: int,
    side: int = 5,
    spacing: float = 2.0,
    noise: float = 0.05,
    generator: Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""``side`` times ``side`` Gaussians of standard deviation ``noise`` on a square grid around
    the origin, ``spacing`` apart; ``y`` says which one a point came from, row by row from below.

    >>> x, mode = make_gaussian_grid(1000)
    >>> np.bincount(mode).size, bool(abs(x).max() < 4.5)
    (25, True)
    """
    rng = _rng("make_gaussian_grid", n, noise, generator)
    centres = grid_centres(side, spacing)
    y = rng.integers(side * side, size=n)
    return _noisy(centres[y], noise, rng), y


def grid_centres(side: int = 5, spacing: float = 2.0) -> np.ndarray:
    r"""The centres of :func:`make_gaussian_grid`, (side * side, 2) float64.

    >>> grid_centres(2)
    array([[-1., -1.],
           [ 1., -1.],
           [-1.,  1.],
           [ 1.,  1.]])
    """
    if side < 1:
        raise ValueError(f"grid_centres: expected side >= 1, got {side}")
    k = np.arange(side * side)
    column_row = np.stack([k % side, k // side], axis=1)
    return spacing * (column_row - (side - 1) / 2)


def make_spirals(
    n: int,
    classes: int = 3,
    turns: float = 0.75,
    noise: float = 0.02,
    generator: Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""``classes`` spiral arms that wind ``turns`` times around the origin, out to radius 1.

    With :math:`r \sim U(0, 1)`, a point of class :math:`k` of :math:`K` lies at radius :math:`r`
    and angle :math:`2\pi (k / K + r \cdot \text{turns})`, plus Gaussian ``noise``.

    >>> x, y = make_spirals(90)
    >>> np.bincount(y)
    array([30, 30, 30])
    """
    rng = _rng("make_spirals", n, noise, generator)
    if classes < 1:
        raise ValueError(f"make_spirals: expected classes >= 1, got {classes}")
    y = np.arange(n) % classes
    r = rng.uniform(0, 1, n)
    angle = 2 * np.pi * (y / classes + turns * r)
    x = r[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)  # (n, 2)
    return _noisy(x, noise, rng), y


def make_linear(
    n: int,
    weight: Sequence[float] | np.ndarray = (2.0, -3.4),
    bias: float = 4.2,
    noise: float = 0.01,
    generator: Generator | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    r"""A linear regression with a known answer: :math:`y = X w + b + \varepsilon`.

    Returns ``X`` ``(n, d)``, standard normal, and ``y`` ``(n, 1)``, both float32, where ``d`` is
    the length of ``weight``.

    >>> x, y = make_linear(200, weight=[1.0, 2.0, 3.0], bias=0.0, noise=0.0)
    >>> bool(np.allclose(x @ [[1.0], [2.0], [3.0]], y, atol=1e-5))
    True
    """
    rng = _rng("make_linear", n, noise, generator)
    w = np.asarray(weight, np.float64).reshape(-1, 1)  # (d, 1)
    x = rng.standard_normal((n, len(w)))
    return x.astype(np.float32), _noisy(x @ w + bias, noise, rng)


def _rng(name: str, n: int, noise: float, generator: Generator | None) -> np.random.Generator:
    if n < 1:
        raise ValueError(f"{name}: expected n >= 1, got {n}")
    if noise < 0:
        raise ValueError(f"{name}: expected noise >= 0, got {noise}")
    return (generator or default_generator()).numpy


def _noisy(x: np.ndarray, noise: float, rng: np.random.Generator) -> np.ndarray:
    return (x + noise * rng.standard_normal(x.shape)).astype(np.float32)
