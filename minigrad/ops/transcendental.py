r"""Powers, exponentials, logarithms, roots, angles, the error function.

Belongs here: elementwise ops with a closed-form derivative. Integer tensors become floats first.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend import get_default_dtype
from ..kernels import special
from ._base import get_array_module, is_tensor
from .comparison import eq
from .elementwise import Cast, Elementwise, RealFunction, Square, where

__all__ = [
    "acos", "asin", "atan", "cos", "cosh", "erf", "exp", "expm1", "log", "log10", "log1p",
    "log2", "pow", "rsqrt", "sin", "sinh", "sqrt", "tan", "tanh",
]  # fmt: skip


class Pow(Elementwise):
    r"""z = x^y;  x̄ = z̄ y x^(y-1), ȳ = z̄ z ln x.

    At x = 0 the exponent's gradient is 0 for y >= 0, its limit, instead of 0 · (-inf).
    """

    def forward(self, x, y):
        if isinstance(y, int) and y < 0:  # NumPy refuses negative powers of integers
            y = float(y)
        return x**y

    def backward(self, g, x, y, out):
        need_x, need_y = self.needs_input_grad
        gx = gy = None
        if need_x:
            if isinstance(y, (int, float)):
                gx = g * y * x ** (y - 1) if y else g * 0
            else:  # where y = 0 the derivative is 0, also at x = 0
                gx = where(eq(y, 0), 0.0, g * y * pow(x, where(eq(y, 0), 1.0, y - 1)))
        if need_y:
            if isinstance(x, (int, float)):
                gy = g * out * math.log(x) if x else g * 0
            else:
                gy = g * out * log(where(eq(x, 0), 1.0, x))
        return gx, gy


class Exp(RealFunction):
    r"""y = e^x;  x̄ = ȳ y."""

    def forward(self, x):
        return get_array_module(x).exp(x)

    def backward(self, g, out):
        return g * out


class Expm1(RealFunction):
    r"""y = e^x - 1, accurate near 0;  x̄ = ȳ (y + 1)."""

    def forward(self, x):
        return get_array_module(x).expm1(x)

    def backward(self, g, out):
        return g * (out + 1)


class Log(RealFunction):
    r"""y = ln x;  x̄ = ȳ / x."""

    def forward(self, x):
        return get_array_module(x).log(x)

    def backward(self, g, x):
        return g / x


class Log1p(RealFunction):
    r"""y = ln(1 + x), accurate near 0;  x̄ = ȳ / (1 + x)."""

    def forward(self, x):
        return get_array_module(x).log1p(x)

    def backward(self, g, x):
        return g / (1 + x)


class Sqrt(RealFunction):
    r"""y = √x;  x̄ = ȳ / (2 y)."""

    def forward(self, x):
        return get_array_module(x).sqrt(x)

    def backward(self, g, out):
        return g / (2 * out)


class Rsqrt(RealFunction):
    r"""y = 1/√x;  x̄ = -ȳ y³ / 2."""

    def forward(self, x):
        return 1 / get_array_module(x).sqrt(x)

    def backward(self, g, out):
        return g * (-0.5) * (out * out * out)


# -------------------------------------------------------------------------------- trigonometry
class Sin(RealFunction):
    r"""y = sin x;  x̄ = ȳ cos x."""

    def forward(self, x):
        return get_array_module(x).sin(x)

    def backward(self, g, x):
        return g * cos(x)


class Cos(RealFunction):
    r"""y = cos x;  x̄ = -ȳ sin x."""

    def forward(self, x):
        return get_array_module(x).cos(x)

    def backward(self, g, x):
        return -g * sin(x)


class Tan(RealFunction):
    r"""y = tan x;  x̄ = ȳ (1 + y²)."""

    def forward(self, x):
        return get_array_module(x).tan(x)

    def backward(self, g, out):
        return g * (1 + out * out)


class Asin(RealFunction):
    r"""y = arcsin x;  x̄ = ȳ / √(1 - x²)."""

    def forward(self, x):
        return get_array_module(x).arcsin(x)

    def backward(self, g, x):
        return g / sqrt(1 - x * x)


class Acos(RealFunction):
    r"""y = arccos x;  x̄ = -ȳ / √(1 - x²)."""

    def forward(self, x):
        return get_array_module(x).arccos(x)

    def backward(self, g, x):
        return -g / sqrt(1 - x * x)


class Atan(RealFunction):
    r"""y = arctan x;  x̄ = ȳ / (1 + x²)."""

    def forward(self, x):
        return get_array_module(x).arctan(x)

    def backward(self, g, x):
        return g / (1 + x * x)


class Sinh(RealFunction):
    r"""y = sinh x;  x̄ = ȳ cosh x."""

    def forward(self, x):
        return get_array_module(x).sinh(x)

    def backward(self, g, x):
        return g * cosh(x)


class Cosh(RealFunction):
    r"""y = cosh x;  x̄ = ȳ sinh x."""

    def forward(self, x):
        return get_array_module(x).cosh(x)

    def backward(self, g, x):
        return g * sinh(x)


class Tanh(RealFunction):
    r"""y = tanh x;  x̄ = ȳ (1 - y²)."""

    def forward(self, x):
        return get_array_module(x).tanh(x)

    def backward(self, g, out):
        return g * (1 - out * out)


class Erf(RealFunction):
    r"""y = 2/√π ∫₀ˣ e^(-t²) dt;  x̄ = ȳ 2/√π e^(-x²)."""

    def forward(self, x):
        return special.erf(x)

    def backward(self, g, x):
        return g * (2 / math.sqrt(math.pi)) * exp(-(x * x))


# ---------------------------------------------------------------------------- the public functions
def pow(input: Any, exponent: Any) -> Any:
    r"""``input ** exponent``, with broadcasting. Small integer powers are products.

    >>> import minigrad as mg
    >>> mg.pow(mg.tensor([1.0, 2.0, 3.0]), 2)
    tensor([1., 4., 9.])
    """
    if type(exponent) in (int, float) and exponent == 2 and not isinstance(input, (int, float)):
        return Square.apply(input)
    fractional = type(exponent) is float or (type(exponent) is int and exponent < 0)
    if fractional and is_tensor(input) and input.dtype.kind != "f":
        input = Cast.apply(input, dtype=get_default_dtype())
    return Pow.apply(input, exponent)


def exp(input: Any) -> Any:
    r""":math:`e^x`."""
    return Exp.apply(input)


def expm1(input: Any) -> Any:
    r""":math:`e^x - 1`, accurate near 0."""
    return Expm1.apply(input)


def log(input: Any) -> Any:
    r"""The natural logarithm."""
    return Log.apply(input)


def log1p(input: Any) -> Any:
    r""":math:`\ln(1 + x)`, accurate near 0."""
    return Log1p.apply(input)


def log2(input: Any) -> Any:
    r"""The logarithm to base 2."""
    return log(input) * (1 / math.log(2))


def log10(input: Any) -> Any:
    r"""The logarithm to base 10."""
    return log(input) * (1 / math.log(10))


def sqrt(input: Any) -> Any:
    r"""The square root."""
    return Sqrt.apply(input)


def rsqrt(input: Any) -> Any:
    r""":math:`1/\sqrt{x}`."""
    return Rsqrt.apply(input)


def sin(input: Any) -> Any:
    r"""The sine of an angle in radians."""
    return Sin.apply(input)


def cos(input: Any) -> Any:
    r"""The cosine of an angle in radians."""
    return Cos.apply(input)


def tan(input: Any) -> Any:
    r"""The tangent of an angle in radians."""
    return Tan.apply(input)


def asin(input: Any) -> Any:
    r"""The angle in [-π/2, π/2] whose sine is ``input``."""
    return Asin.apply(input)


def acos(input: Any) -> Any:
    r"""The angle in [0, π] whose cosine is ``input``."""
    return Acos.apply(input)


def atan(input: Any) -> Any:
    r"""The angle in [-π/2, π/2] whose tangent is ``input``."""
    return Atan.apply(input)


def sinh(input: Any) -> Any:
    r"""The hyperbolic sine."""
    return Sinh.apply(input)


def cosh(input: Any) -> Any:
    r"""The hyperbolic cosine."""
    return Cosh.apply(input)


def tanh(input: Any) -> Any:
    r"""The hyperbolic tangent."""
    return Tanh.apply(input)


def erf(input: Any) -> Any:
    r"""The error function :math:`\frac{2}{\sqrt\pi}\int_0^x e^{-t^2}dt`."""
    return Erf.apply(input)
