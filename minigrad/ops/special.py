r"""Special functions: the gamma function's family, the relatives of the error function, and
functions of two variables with care at their edges.

Belongs here: elementwise functions that a formula of elementary ones does not give everywhere.
``erf`` itself, which activations need, is in ``transcendental.py``; the arithmetic is in
``kernels/``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import gamma, special
from ._base import get_array_module
from .activation import sigmoid
from .comparison import eq, isfinite, isinf, le, logical_and, logical_or
from .elementwise import Elementwise, RealFunction, clamp, trunc, where
from .transcendental import exp, log

__all__ = [
    "atan2", "digamma", "erfc", "erfinv", "fmod", "lgamma", "logaddexp", "logit", "nan_to_num",
    "polygamma", "xlogy",
]  # fmt: skip


class Lgamma(RealFunction):
    r"""y = ln |Γ(x)|;  x̄ = ȳ ψ(x)."""

    def forward(self, x):
        return gamma.lgamma(x)

    def backward(self, g, x):
        return g * digamma(x)


class Polygamma(RealFunction):
    r"""y = the n-th derivative of ψ = (ln Γ)';  x̄ = ȳ times the next one."""

    def __init__(self, n: int) -> None:
        self.n = n

    def forward(self, x):
        return gamma.polygamma(self.n, x)

    def backward(self, g, x):
        return g * Polygamma.apply(x, n=self.n + 1)


class Erfc(RealFunction):
    r"""y = 1 - erf(x);  x̄ = -ȳ 2/√π e^(-x²)."""

    def forward(self, x):
        return special.erfc(x)

    def backward(self, g, x):
        return g * (-2 / math.sqrt(math.pi)) * exp(-(x * x))


class Erfinv(RealFunction):
    r"""y with erf(y) = x;  x̄ = ȳ √π/2 e^(y²)."""

    def forward(self, x):
        return special.erfinv(x)

    def backward(self, g, out):
        return g * (math.sqrt(math.pi) / 2) * exp(out * out)


class LogAddExp(RealFunction):
    r"""z = ln(e^x + e^y), without overflow;  x̄ = z̄ σ(x - y), ȳ = z̄ σ(y - x)."""

    def forward(self, x, y):
        return get_array_module(x, y).logaddexp(x, y)

    def backward(self, g, x, y):
        need_x, need_y = self.needs_input_grad
        return g * sigmoid(x - y) if need_x else None, g * sigmoid(y - x) if need_y else None


class Atan2(RealFunction):
    r"""z = the angle of the point (x, y);  ȳ = z̄ x / (x² + y²), x̄ = -z̄ y / (x² + y²)."""

    def forward(self, y, x):
        return get_array_module(y, x).arctan2(y, x)

    def backward(self, g, y, x):
        need_y, need_x = self.needs_input_grad
        square = x * x + y * y
        g = g / where(square == 0, 1.0, square)  # 0 at the origin, as in PyTorch
        return g * x if need_y else None, -g * y if need_x else None


class Fmod(Elementwise):
    r"""z = x - y trunc(x / y), of the sign of x;  x̄ = z̄, ȳ = -z̄ trunc(x / y)."""

    def forward(self, x, y):
        return get_array_module(x, y).fmod(x, y)

    def backward(self, g, x, y):
        return g, -g * trunc(x / y) if self.needs_input_grad[1] else None


class NanToNum(Elementwise):
    r"""y = x, with numbers for NaN and ±inf;  x̄ = ȳ where x is finite, else 0."""

    def __init__(self, nan: float, posinf: float | None, neginf: float | None) -> None:
        self.numbers = {"nan": nan, "posinf": posinf, "neginf": neginf}

    def forward(self, x):
        return get_array_module(x).nan_to_num(x, copy=True, **self.numbers)

    def backward(self, g, x):
        return where(isfinite(x), g, 0.0)


# ---------------------------------------------------------------------------- the public functions
def lgamma(input: Any) -> Any:
    r"""The logarithm of the gamma function, :math:`\ln |\Gamma(x)|`; inf at 0, -1, -2, ...

    >>> import minigrad as mg
    >>> mg.lgamma(mg.tensor([1.0, 5.0])).exp()  # 0! and 4!
    tensor([ 1., 24.])
    """
    return Lgamma.apply(input)


def digamma(input: Any) -> Any:
    r""":math:`\psi(x) = \Gamma'(x) / \Gamma(x)`, the derivative of :func:`lgamma`."""
    return Polygamma.apply(input, n=0)


def polygamma(n: int, input: Any) -> Any:
    r""":math:`\psi^{(n)}(x)`, the ``n``-th derivative of :func:`digamma`."""
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)) or n < 0:
        raise ValueError(f"polygamma: expected a non-negative integer n, got {n!r}")
    return Polygamma.apply(input, n=int(n))


def erfc(input: Any) -> Any:
    r""":math:`1 - \mathrm{erf}(x)`, accurate far to the right, where it is almost 0."""
    return Erfc.apply(input)


def erfinv(input: Any) -> Any:
    r"""The inverse of the error function: ±inf at ±1, NaN beyond."""
    return Erfinv.apply(input)


def logaddexp(input: Any, other: Any) -> Any:
    r""":math:`\ln(e^x + e^y)`, without overflow."""
    return LogAddExp.apply(input, other)


def atan2(input: Any, other: Any) -> Any:
    r"""The angle in (-π, π] of the point with ordinate ``input`` and abscissa ``other``."""
    return Atan2.apply(input, other)


def fmod(input: Any, other: Any) -> Any:
    r"""The remainder of division, of the dividend's sign (C's ``%``)."""
    return Fmod.apply(input, other)


def xlogy(input: Any, other: Any) -> Any:
    r""":math:`x \ln y`, and 0 where x is 0 and the logarithm infinite or NaN."""
    unsafe = logical_or(le(other, 0), isinf(other))
    zero = logical_and(eq(input, 0), unsafe)
    return where(zero, 0.0, input * log(where(zero, 1.0, other)))


def logit(input: Any, eps: float | None = None) -> Any:
    r""":math:`\ln \frac{x}{1 - x}`, the inverse of the sigmoid; with ``eps``, of x limited to
    [eps, 1 - eps]."""
    if eps is not None:
        input = clamp(input, eps, 1 - eps)
    return log(input / (1 - input))


def nan_to_num(
    input: Any, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Any:
    r"""``input`` with ``nan`` for NaN, and for infinities ``posinf`` and ``neginf`` (None: the
    largest finite numbers)."""
    return NanToNum.apply(input, nan=nan, posinf=posinf, neginf=neginf)
