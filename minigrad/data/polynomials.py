r"""Images of random polynomials, whose rows a formula can check.

Belongs here: drawing them. Does not belong here: telling how far an image is from one
(``minigrad.evaluation``).
"""

from __future__ import annotations

import numpy as np

from ..backend import Generator, default_generator

__all__ = ["make_polynomials"]

_DEGREES = 5  # 0 to 4


def make_polynomials(
    n: int, size: int = 40, generator: Generator | None = None
) -> tuple[np.ndarray, np.ndarray]:
    r"""``n`` images of polynomials in two variables, each row scaled to length 1.

    Of degree :math:`d`, one of 0 to 4 with equal probability, and with coefficients
    :math:`c_{ij} \sim N(0, 1)`, the pixel in row :math:`y` and column :math:`x`, both from 0, is

    .. math:: p(x, y) = \sum_{i + j \le d} c_{ij} \left(\frac{x}{S}\right)^i
        \left(\frac{y}{S}\right)^j, \qquad
        \text{image}_{yx} = \frac{p(x, y)}{\sqrt{\sum_{x'} p(x', y)^2}}

    with :math:`S` = ``size``. So each row is a polynomial of degree 4 at most, a fifth of the
    images are constant, :math:`\pm 1 / \sqrt S`, and a generative model of them can be measured
    without a judge: see :func:`minigrad.evaluation.polynomial_residual`.

    Returns:
        images (n, 1, size, size) float32, in [-1, 1], and degrees (n,) int64.

    >>> images, degrees = make_polynomials(100)
    >>> images.shape, bool(np.allclose((images**2).sum(3), 1, atol=1e-5))
    ((100, 1, 40, 40), True)
    """
    if n < 1 or size < _DEGREES:
        raise ValueError(
            f"make_polynomials: expected n >= 1 and size >= {_DEGREES}, got {n} and {size}"
        )
    rng = (generator or default_generator()).numpy
    degrees = rng.integers(_DEGREES, size=n)
    coefficients = rng.standard_normal((n, _DEGREES, _DEGREES))  # of x^i y^j
    i, j = np.indices((_DEGREES, _DEGREES))
    coefficients *= i + j <= degrees[:, None, None]
    powers = np.vander(np.arange(size) / size, _DEGREES, increasing=True)  # (size, 5)
    images = powers @ coefficients.transpose(0, 2, 1) @ powers.T  # (n, y, x)
    images /= np.linalg.norm(images, axis=2, keepdims=True)
    return images[:, None].astype(np.float32), degrees
