r"""Special functions: the gamma function's family, and the relatives of the error function.

Belongs here: elementwise functions that no formula of elementary ones gives. ``erf`` itself, which
activations need, is in ``transcendental.py``; the arithmetic is in ``kernels/``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..kernels import gamma, special
from .elementwise import RealFunction
from .transcendental import exp

__all__ = ["digamma", "erfc", "erfinv", "lgamma", "polygamma"]


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
