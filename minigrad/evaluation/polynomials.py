r"""How far images are from those of :func:`minigrad.data.make_polynomials`.

Belongs here: what a row of pixels has of a polynomial. Does not belong here: drawing polynomials
(``minigrad.data``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._host import host

__all__ = ["polynomial_coefficients", "polynomial_residual", "row_norms"]


def polynomial_coefficients(images: Any, degree: int = 4) -> np.ndarray:
    r"""The polynomial of ``degree`` nearest to each row, as its coefficients for an orthonormal
    basis of such polynomials on the row's places, the basis function of degree 0 first.

    Where a row has length 1 and is such a polynomial, the squares add up to 1. Two sets of images
    may be compared by the :func:`frechet_distance` of their coefficients.

    Args:
        images: (..., H, W).
        degree: below W.

    Returns:
        (..., H, degree + 1).

    >>> polynomial_coefficients([[2.0, 2.0, 2.0, 2.0], [-3.0, -1.0, 1.0, 3.0]], 1).round(3) + 0.0
    array([[4.   , 0.   ],
           [0.   , 4.472]])
    """
    rows = _rows(images, "polynomial_coefficients")
    width = rows.shape[-1]
    if not 0 <= degree < width:
        raise ValueError(
            f"polynomial_coefficients: expected 0 <= degree < {width}, the width, got {degree}"
        )
    basis, triangle = np.linalg.qr(
        np.polynomial.legendre.legvander(np.linspace(-1, 1, width), degree)
    )
    return rows @ (basis * np.sign(np.diagonal(triangle)))  # each function rises at its end


def polynomial_residual(images: Any, degree: int = 4) -> np.ndarray:
    r"""The share of each row's squared length that no polynomial of ``degree`` has,

    .. math:: \min_p \frac{\sum_x (r_x - p(x))^2}{\sum_x r_x^2}

    for images (..., H, W): (..., H). It is 0 for :func:`~minigrad.data.make_polynomials`, and for
    white noise around 1 - (degree + 1) / W, which is 0.875 for 40 columns and degree 4. A row of
    zeros, a polynomial too, has 0: look at :func:`row_norms` as well.

    >>> polynomial_residual([[0.0, 1.0, 4.0, 9.0], [1.0, -1.0, 1.0, -1.0]], 2).round(3) + 0.0
    array([0. , 0.8])
    """
    rows = _rows(images, "polynomial_residual")
    total = (rows**2).sum(-1)
    explained = (polynomial_coefficients(rows, degree) ** 2).sum(-1)
    return np.clip(1 - explained / np.where(total > 0, total, 1), 0, 1) * (total > 0)


def row_norms(images: Any) -> np.ndarray:
    r"""The Euclidean length of each row of images (..., H, W): (..., H); 1 for
    :func:`~minigrad.data.make_polynomials`.

    >>> row_norms([[3.0, 4.0], [0.0, 1.0]])
    array([5., 1.])
    """
    return np.linalg.norm(_rows(images, "row_norms"), axis=-1)


def _rows(images: Any, name: str) -> np.ndarray:
    """(..., H, W) as float64, whatever the number of axes before."""
    array = host(images)
    if array.ndim < 2 or array.size == 0 or array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected images (..., H, W), got {array.dtype} {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got nan or inf")
    return array
