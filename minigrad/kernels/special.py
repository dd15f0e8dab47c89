r"""Functions of one real variable that NumPy lacks or computes slowly: array in, array out.

Belongs here: the logistic function, the error function, its complement and its inverse. Does not
belong here: gradients; the gamma function (``gamma.py``).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import get_array_module

__all__ = ["erf", "erfc", "erfinv", "sigmoid"]


def sigmoid(x: Any) -> Any:
    r""":math:`\sigma(x) = 1 / (1 + e^{-x})`, with the exponent limited to where it is finite.

    Accurate to the last digits also far to the left, where :math:`\tfrac12(1 + \tanh\tfrac x2)`
    cancels to 0.
    """
    xp = get_array_module(x)
    y = xp.empty_like(x)
    xp.negative(x, out=y)
    xp.minimum(y, _LARGEST_EXPONENT[np.dtype(x.dtype).itemsize], out=y)
    xp.exp(y, out=y)
    y += 1
    return xp.reciprocal(y, out=y)


# The largest x, by bytes of the dtype, for which e^x is finite.
_LARGEST_EXPONENT = {2: 11.0, 4: 88.0, 8: 709.0}


@functools.cache
def _erfcx_coefficients() -> np.ndarray:
    r"""Chebyshev coefficients of :math:`(1 + 2x)\,e^{x^2} \mathrm{erfc}(x)` as a function of
    :math:`t = (x - k) / (x + k)`, k = 3.75, which maps [0, inf) to [-1, 1)."""
    n = 48
    theta = (np.arange(n) + 0.5) * math.pi / n
    t = np.cos(theta)
    values = []
    for ti in t:
        x = _MAP * (1 + ti) / (1 - ti)
        if x < 20:
            erfcx = math.exp(x * x) * math.erfc(x)
        else:  # asymptotic series, exact to rounding here
            s = term = 1.0
            for m in range(1, 12):
                term *= -(2 * m - 1) / (2 * x * x)
                s += term
            erfcx = s / (x * math.sqrt(math.pi))
        values.append((1 + 2 * x) * erfcx)
    modes = np.cos(np.outer(np.arange(n), theta)) @ np.array(values) * (2 / n)
    modes[0] /= 2
    return modes


_MAP = 3.75


def _erfcx(a: Any) -> Any:
    r""":math:`e^{a^2} \mathrm{erfc}(a)` for a >= 0."""
    t = (a - _MAP) / (a + _MAP)
    b0 = b1 = a * 0.0  # Clenshaw's recurrence
    coefficients = _erfcx_coefficients().tolist()
    for c in coefficients[:0:-1]:
        b0, b1 = 2 * t * b0 - b1 + c, b0
    return (t * b0 - b1 + coefficients[0]) / (1 + 2 * a)


def _erf_series(a: Any) -> Any:
    r"""The Taylor series of erf, for 0 <= a < 1/2."""
    square = a * a
    series = a * 0.0
    for n in range(12, -1, -1):
        series = series * square + (-1) ** n / (math.factorial(n) * (2 * n + 1))
    return a * series * (2 / math.sqrt(math.pi))


_END = 4.25  # from here on erf rounds to 1 in float32


@functools.cache
def _atanh_erf_coefficients() -> list[float]:
    r"""Coefficients, the highest first, of a polynomial in :math:`s = 2 (x / \text{end})^2 - 1`: it
    is :math:`\mathrm{artanh}(\mathrm{erf}(x)) / x` to 4e-7 up to the end."""
    n, degree = 64, 13
    theta = (np.arange(n) + 0.5) * math.pi / n
    values = []
    for s in np.cos(theta):
        x = _END * math.sqrt((1 + s) / 2)
        values.append((math.log1p(math.erf(x)) - math.log(math.erfc(x))) / (2 * x))
    modes = np.cos(np.outer(np.arange(degree + 1), theta)) @ np.array(values) * (2 / n)
    modes[0] /= 2
    return np.polynomial.chebyshev.cheb2poly(modes)[::-1].tolist()


def _erf_single(x: Any) -> Any:
    r"""erf in float32, as tanh of x times a polynomial: NumPy's tanh is fast."""
    xp = get_array_module(x)
    x = xp.minimum(xp.maximum(x, -_END), _END)
    s = x * x
    s *= 2 / _END**2
    s -= 1
    first, *rest = _atanh_erf_coefficients()
    y = s * first
    for c in rest[:-1]:
        y += c
        y *= s
    y += rest[-1]
    y *= x
    return xp.tanh(y)


def _in_blocks(fn: Callable[[Any], Any], x: Any) -> Any:
    r"""``fn(x)``, an elementwise function of many steps; a large array on the host goes through it
    in pieces that stay in the cache."""
    if type(x) is not np.ndarray or x.size <= _BLOCK:
        return fn(x)
    y = np.empty(x.shape, x.dtype)
    flat, target = x.reshape(-1), y.reshape(-1)
    for start in range(0, x.size, _BLOCK):
        target[start : start + _BLOCK] = fn(flat[start : start + _BLOCK])
    return y


_BLOCK = 1 << 15


def erf(x: Any) -> Any:
    r""":math:`\frac{2}{\sqrt\pi}\int_0^x e^{-t^2}dt`, to about :math:`10^{-14}` in float64 and 3e-7
    of the value in float32.

    In float64: below 1/2 the Taylor series, above it 1 - erfc from a Chebyshev series that is
    computed once from the standard library's ``erfc``.
    """
    return _in_blocks(_erf_single if x.dtype == np.float32 else _erf_double, x)


def _erf_double(x: Any) -> Any:
    xp = get_array_module(x)
    a = xp.abs(x)
    large = 1 - xp.exp(-a * a) * _erfcx(a)
    return xp.copysign(xp.where(a < 0.5, _erf_series(a), large), x)


def erfc(x: Any) -> Any:
    r""":math:`1 - \mathrm{erf}(x)`, accurate far to the right, where it is almost 0."""
    return _in_blocks(_erfc, x)


def _erfc(x: Any) -> Any:
    xp = get_array_module(x)
    a = xp.minimum(xp.abs(x), 30.0)
    tail = xp.where(a < 0.5, 1 - _erf_series(a), xp.exp(-a * a) * _erfcx(a))
    return xp.where(x < 0, 2 - tail, tail)


def erfinv(y: Any) -> Any:
    r"""The x with erf(x) = y; ±inf at ±1, NaN beyond.

    Giles' polynomials (Approximating the erfinv function, 2010) to 7 digits, then Newton's steps
    in float64, one of them for float32: on erf below 1/2, on ln erfc above, which keeps its digits
    where erf is almost 1.
    """
    xp = get_array_module(y)
    given = y.astype(np.float64)
    inside = xp.abs(given) < 1
    a = xp.where(inside, xp.abs(given), 0.0)
    w = -xp.log((1 - a) * (1 + a))
    x = xp.where(w < 5, _polynomial(_CENTRE, w - 2.5), _polynomial(_TAIL, xp.sqrt(w) - 3)) * a
    small = a < 0.5  # there x < 0.48
    target = xp.log(1 - a)
    for _ in range(4 if given.dtype == y.dtype else 1):
        erfcx = _erfcx(x)
        low = (_erf_series(xp.where(small, x, 0.0)) - a) * xp.exp(x * x)
        high = (target + x * x - xp.log(erfcx)) * erfcx
        x = x - xp.where(small, low, high) * (math.sqrt(math.pi) / 2)
    x = xp.copysign(x, given)
    edge = xp.where(xp.abs(given) == 1, xp.copysign(xp.full_like(x, math.inf), given), math.nan)
    return xp.where(inside, x, edge).astype(y.dtype)


_CENTRE = (
    2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503,
    -0.00417768164, 0.246640727, 1.50140941,
)  # fmt: skip
_TAIL = (
    -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
    0.00943887047, 1.00167406, 2.83297682,
)  # fmt: skip


def _polynomial(coefficients: tuple[float, ...], x: Any) -> Any:
    r"""By Horner's rule, the highest coefficient first."""
    total = x * 0.0
    for c in coefficients:
        total = total * x + c
    return total
