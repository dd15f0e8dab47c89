r"""The gamma function's logarithm and its derivatives: array in, array out.

Belongs here: lgamma, digamma, polygamma. Does not belong here: gradients (``ops/special.py``).

All compute in float64 and return the dtype they were given; the relative error is a few units of
rounding except next to the zeros on the negative axis. The argument is first reflected to
:math:`a \ge \tfrac12`. The formulas are those of Abramowitz and Stegun, chapter 6.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from ..backend import get_array_module

__all__ = ["digamma", "lgamma", "polygamma"]

_EULER = 0.57721566490153286060651209008240243
_BERNOULLI = [  # B_2, B_4, ...
    1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798,
    -174611 / 330, 854513 / 138, -236364091 / 2730,
]  # fmt: skip
_LARGEST = 2.5e305  # beyond it x ln x is infinite
_ROOT = Fraction("1.46163214496836234126265954232572132846819620400645")  # where digamma is 0


def _horner(coefficients: Sequence[float], x: Any) -> Any:
    r"""c_0 + c_1 x + c_2 x² + ..."""
    total = x * 0.0 + coefficients[-1]
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total


def _hurwitz(s: int, a: float) -> float:
    r""":math:`\zeta(s, a) = \sum_{k \ge 0} (a + k)^{-s}` by the Euler-Maclaurin formula."""
    n = 20
    total = math.fsum([(a + k) ** -s for k in range(n)])
    y = a + n
    return total + _tail(s, y)


def _tail(s: int, y: Any) -> Any:
    r""":math:`\sum_{k \ge 0} (y + k)^{-s}` for y well above s, asymptotically."""
    factor = 1.0
    terms = []
    for k, b in enumerate(_BERNOULLI, start=1):
        # B_2k / (2k)! · s (s + 1) ... (s + 2k - 2)
        factor = b * math.prod([(s + j) / (j + 2) for j in range(2 * k - 1)])
        terms.append(factor)
    inverse = 1 / y
    series = _horner(terms, inverse * inverse) * inverse
    return y ** -float(s) * (y / (s - 1) + 0.5 + series)


@functools.cache
def _lgamma_series() -> list[float]:
    r"""Coefficients of lgamma(2 + z) / z: 1 - γ, then (-1)^k (ζ(k) - 1) / k for k = 2, 3, ..."""
    return [1 - _EULER] + [(-1) ** k * _hurwitz(k, 2.0) / k for k in range(2, 30)]


@functools.cache
def _digamma_series() -> list[float]:
    r"""Taylor coefficients of digamma(root + z) / z: (-1)^(k+1) ζ(k + 1, root) for k = 1, 2, ..."""
    return [(-1) ** (k + 1) * _hurwitz(k + 1, float(_ROOT)) for k in range(1, 26)]


def _reflected(x: Any, largest: float) -> tuple[Any, Any, Any, Any]:
    r"""Of float64 x: where it is finite (below ``largest``) and where reflected, the argument
    :math:`a \ge \tfrac12`, and how far x is from the nearest integer (exactly)."""
    xp = get_array_module(x)
    finite = xp.abs(x) < largest
    x = xp.where(finite, x, 1.0)
    reflect = x < 0.5
    return finite, reflect, xp.where(reflect, 1 - x, x), x - xp.rint(x)


def lgamma(x: Any) -> Any:
    r""":math:`\ln |\Gamma(x)|`; inf at 0, -1, -2, ..."""
    xp = get_array_module(x)
    given = x.astype(np.float64)
    finite, reflect, a, off = _reflected(given, _LARGEST)
    # Below 8: lgamma(2 + z) as a power series, after (a - 1)(a - 2)... has been split off.
    near = xp.where(a < 8, a, 2.0)
    below = near < 1.5
    product = xp.where(below, near, 1.0)
    z = xp.where(below, near + 1, near)
    for _ in range(6):
        high = z >= 2.5
        z = xp.where(high, z - 1, z)
        product = xp.where(high, product * z, product)
    z = xp.where(below, near - 1, z - 2)  # exactly, which the zeros at 1 and 2 need
    log = xp.log(product)
    small = z * _horner(_lgamma_series(), z) + xp.where(below, -log, log)
    # From 8 on Stirling's series.
    far = xp.where(a < 8, 8.0, a)
    inverse = 1 / far
    terms = [b / (2 * k * (2 * k - 1)) for k, b in enumerate(_BERNOULLI[:10], start=1)]
    large = (far - 0.5) * xp.log(far) - far + 0.5 * math.log(2 * math.pi)
    large = large + inverse * _horner(terms, inverse * inverse)
    y = xp.where(a < 8, small, large)
    # Γ(x) Γ(1 - x) = π / sin πx
    sine = xp.abs(xp.sin(math.pi * off))
    pole = reflect & (sine == 0)
    y = xp.where(reflect, math.log(math.pi) - xp.log(xp.where(sine == 0, 1.0, sine)) - y, y)
    y = xp.where(finite & ~pole, y, xp.where(xp.isnan(given), given, math.inf))
    return y.astype(x.dtype)


def digamma(x: Any) -> Any:
    r""":math:`\psi(x) = \Gamma'(x) / \Gamma(x)`; ∓inf at ±0, NaN at -1, -2, ..., as PyTorch has
    it."""
    xp = get_array_module(x)
    given = x.astype(np.float64)
    finite, reflect, a, off = _reflected(given, 1e305)
    # ψ(a) = ψ(a + 1) - 1/a until the asymptotic series holds.
    y, far = xp.zeros_like(a), a
    for _ in range(10):
        low = far < 10
        y = xp.where(low, y - 1 / far, y)
        far = xp.where(low, far + 1, far)
    inverse = 1 / far
    terms = [-b / (2 * k) for k, b in enumerate(_BERNOULLI[:9], start=1)]
    square = inverse * inverse
    y = y + (xp.log(far) - 0.5 * inverse + square * _horner(terms, square))
    # Near the root a power series, or no digit would be left.
    z = (a - float(_ROOT)) - float(_ROOT - Fraction(float(_ROOT)))
    close = xp.abs(z) < 0.25
    z = xp.where(close, z, 0.0)
    y = xp.where(close, z * _horner(_digamma_series(), z), y)
    # ψ(x) = ψ(1 - x) - π / tan πx
    tangent = xp.tan(math.pi * off)
    pole = reflect & (tangent == 0)
    y = xp.where(reflect & ~pole, y - math.pi / xp.where(tangent == 0, 1.0, tangent), y)
    infinite = xp.where(given > 0, given, math.nan)  # ψ(inf) = inf
    y = xp.where(finite, xp.where(pole, math.nan, y), infinite)
    y = xp.where(given == 0, xp.copysign(xp.full_like(given, math.inf), -given), y)
    return y.astype(x.dtype)


def polygamma(n: int, x: Any) -> Any:
    r""":math:`\psi^{(n)}(x)`, for n > 0 :math:`(-1)^{n+1} n!\, \zeta(n + 1, x)`; infinite at the
    poles 0, -1, -2, ..."""
    if n == 0:
        return digamma(x)
    xp = get_array_module(x)
    given = x.astype(np.float64)
    finite, reflect, a, off = _reflected(given, 1e305)
    y, far = xp.zeros_like(a), a
    for _ in range(n + 12):
        low = far < n + 12
        y = xp.where(low, y + far ** -float(n + 1), y)
        far = xp.where(low, far + 1, far)
    sign = (-1) ** (n + 1)
    y = (y + _tail(n + 1, far)) * (sign * math.factorial(n))
    # The n-th derivative of ψ(x) = ψ(1 - x) - π cot πx. That of cot is a polynomial in it:
    # (cot)' = -(1 + cot²), so p_{n+1}(c) = -(1 + c²) p_n'(c).
    p = np.polynomial.Polynomial([0, 1])
    for _ in range(n):
        p = np.polynomial.Polynomial([-1, 0, -1]) * p.deriv()
    sine = xp.sin(math.pi * off)
    pole = reflect & (sine == 0)
    cotangent = xp.cos(math.pi * off) / xp.where(sine == 0, 1.0, sine)
    other = -sign * y - math.pi ** (n + 1) * _horner(p.coef.tolist(), cotangent)
    y = xp.where(reflect, other, y)
    y = xp.where(finite, xp.where(pole, sign * math.inf, y), xp.where(given > 0, 0.0, math.nan))
    return y.astype(x.dtype)
