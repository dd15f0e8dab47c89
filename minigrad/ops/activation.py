r"""Activations: the non-linear functions between layers.

Belongs here: relu and its relatives, elementwise. Softmax is a reduction (``reduction.py``), rrelu
draws random numbers (``random.py``).
"""

from __future__ import annotations

import math
from typing import Any

from ..kernels import special
from ._base import get_array_module, normalise_axis, raw, shape_of
from .comparison import ge, gt, le, logical_and, lt
from .elementwise import Clamp, Elementwise, RealFunction, clamp, neg, where
from .elementwise import abs as abs_
from .reduction import softmax
from .shape import reshape, split
from .transcendental import erf, tanh

__all__ = [
    "celu", "elu", "gelu", "glu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "leaky_relu", "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu",
    "softmin", "softplus", "softshrink", "softsign", "tanhshrink", "threshold",
]  # fmt: skip


class HardTanh(Clamp):
    r"""y = min(max(x, low), high);  x̄ = ȳ where low < x < high, else 0, also at both ends."""

    def backward(self, g, x):
        return where(logical_and(gt(x, self.low), lt(x, self.high)), g, 0.0)


class Relu(Elementwise):
    r"""y = max(x, 0);  x̄ = ȳ where y > 0, else 0."""

    def forward(self, x):
        return get_array_module(x).maximum(x, 0)

    def backward(self, g, out):
        return g * (out > 0)


class LeakyRelu(Elementwise):
    r"""y = x where x > 0, else a x;  x̄ = ȳ or a ȳ."""

    to_float = True

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def forward(self, x):
        xp = get_array_module(x)
        # On a CPU a choice between two values is slower than six times the arithmetic.
        larger = xp.maximum if self.slope <= 1 else xp.minimum
        return larger(x, x * self.slope)

    def backward(self, g, x):
        return where(gt(x, 0), g, g * self.slope)

    def backward_array(self, g, x):
        xp = get_array_module(x)
        factor = xp.multiply(x > 0, 1 - self.slope, dtype=g.dtype)
        factor += self.slope
        factor *= g
        return factor


class Elu(Elementwise):
    r"""y = s x where x > 0, else s α (e^(kx) - 1);  x̄ = s ȳ, or k ȳ (y + s α)."""

    to_float = True

    def __init__(self, alpha: float, scale: float = 1.0, rate: float = 1.0) -> None:
        self.alpha, self.scale, self.rate = alpha, scale, rate

    def forward(self, x):
        xp = get_array_module(x)
        exponent = xp.minimum(x, 0)
        if self.rate != 1.0:
            exponent = exponent * self.rate
        y = xp.expm1(exponent) * (self.alpha * self.scale)
        y += xp.maximum(x, 0) * self.scale  # one of the two is 0; a choice would be slower
        return y

    def backward(self, g, x, out):
        slope = (out + self.alpha * self.scale) * self.rate
        return where(gt(x, 0), g * self.scale, g * slope)

    def backward_array(self, g, x, out):
        xp = get_array_module(x)
        at_zero = self.alpha * self.scale * self.rate
        slope = xp.minimum(out, 0) * self.rate
        slope += at_zero
        slope += xp.multiply(x > 0, self.scale - at_zero, dtype=g.dtype)
        slope *= g
        return slope


class Sigmoid(RealFunction):
    r"""y = 1 / (1 + e^-x) = (1 + tanh(x/2)) / 2, which cannot overflow;  x̄ = ȳ y (1 - y)."""

    def forward(self, x):
        return special.sigmoid(x)

    def backward(self, g, out):
        return g * (out * (1 - out))


class Softplus(RealFunction):
    r"""y = ln(1 + e^(βx)) / β, without overflow;  x̄ = ȳ σ(βx)."""

    def __init__(self, beta: float, threshold: float) -> None:
        self.beta, self.threshold = beta, threshold

    def forward(self, x):
        xp = get_array_module(x)
        scaled = x * self.beta
        soft = (xp.maximum(scaled, 0) + xp.log1p(xp.exp(-xp.abs(scaled)))) / self.beta
        return xp.where(scaled > self.threshold, x, soft)

    def backward(self, g, x):
        scaled = x * self.beta
        return where(gt(scaled, self.threshold), g, g * sigmoid(scaled))


# ---------------------------------------------------------------------------- the public functions
def relu(input: Any) -> Any:
    r""":math:`\max(x, 0)`; its derivative at 0 is taken as 0."""
    return Relu.apply(input)


def relu6(input: Any) -> Any:
    r""":math:`\min(\max(x, 0), 6)`."""
    return hardtanh(input, 0.0, 6.0)


def hardtanh(input: Any, min_val: float = -1.0, max_val: float = 1.0) -> Any:
    r"""``input`` limited to [``min_val``, ``max_val``], with gradient 0 at both ends."""
    if (
        raw(input).dtype.kind in "iu"
        and float(min_val).is_integer()
        and float(max_val).is_integer()
    ):
        min_val, max_val = int(min_val), int(max_val)  # and the dtype stays
    return HardTanh.apply(input, low=min_val, high=max_val)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    r""":math:`x` where positive, else ``negative_slope`` times :math:`x`."""
    if negative_slope == 0:
        return relu(input)
    return LeakyRelu.apply(input, slope=negative_slope)


def elu(input: Any, alpha: float = 1.0) -> Any:
    r""":math:`x` where positive, else :math:`\alpha(e^x - 1)` (Clevert et al., 2015)."""
    return Elu.apply(input, alpha=alpha)


def celu(input: Any, alpha: float = 1.0) -> Any:
    r""":math:`x` where positive, else :math:`\alpha(e^{x/\alpha} - 1)`, whose slope is continuous
    for every α (Barron, 2017)."""
    if alpha == 0:
        raise ValueError("celu: expected an alpha other than 0")
    return Elu.apply(input, alpha=alpha, rate=1 / alpha)


SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


def selu(input: Any) -> Any:
    r"""The self-normalising ELU, scale 1.0507, alpha 1.6733 (Klambauer et al., 2017)."""
    return Elu.apply(input, alpha=SELU_ALPHA, scale=SELU_SCALE)


def sigmoid(input: Any) -> Any:
    r""":math:`1 / (1 + e^{-x})`."""
    return Sigmoid.apply(input)


def logsigmoid(input: Any) -> Any:
    r""":math:`\ln \sigma(x) = -\ln(1 + e^{-x})`, without overflow."""
    return neg(softplus(neg(input), threshold=math.inf))


def softplus(input: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    r""":math:`\ln(1 + e^{\beta x}) / \beta`; the identity where :math:`\beta x` exceeds
    ``threshold``, as in PyTorch."""
    return Softplus.apply(input, beta=beta, threshold=threshold)


def silu(input: Any) -> Any:
    r""":math:`x\,\sigma(x)`."""
    return input * sigmoid(input)


def gelu(input: Any, approximate: str = "none") -> Any:
    r""":math:`x\,\Phi(x)` with the normal distribution function :math:`\Phi`, or its "tanh"
    approximation (Hendrycks and Gimpel, 2016)."""
    if approximate == "none":
        return input * 0.5 * (1 + erf(input * math.sqrt(0.5)))
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (input + 0.044715 * input * input * input)
        return 0.5 * input * (1 + tanh(inner))
    raise ValueError(f"gelu: expected approximate='none' or 'tanh', got {approximate!r}")


def prelu(input: Any, weight: Any) -> Any:
    r""":math:`x` where positive, else :math:`w x` (He et al., 2015).

    Args:
        weight: a single number, or one for each channel: (C,) for an input (N, C, ...).
    """
    shape, size = shape_of(input), shape_of(weight)
    channels = shape[1] if len(shape) > 1 else 1
    if size not in ((), (1,), (channels,)):
        raise ValueError(f"prelu: expected weight of shape (1,) or ({channels},), got {size}")
    if size != () and len(shape) > 1:
        weight = reshape(weight, (-1,) + (1,) * (len(shape) - 2))
    elif size != () and not shape:
        weight = reshape(weight, ())
    positive = gt(input, 0)
    return where(positive, input, weight * where(positive, 0.0, input))


def softsign(input: Any) -> Any:
    r""":math:`x / (1 + |x|)`."""
    return input / (abs_(input) + 1)


def hardsigmoid(input: Any) -> Any:
    r""":math:`\min(\max(x + 3, 0), 6) / 6`: the sigmoid in three straight pieces."""
    return (hardtanh(input, -3.0, 3.0) + 3) / 6


def hardswish(input: Any) -> Any:
    r""":math:`x` times :func:`hardsigmoid` (Howard et al., 2019)."""
    return input * hardsigmoid(input)


def mish(input: Any) -> Any:
    r""":math:`x \tanh(\ln(1 + e^x))` (Misra, 2019)."""
    return input * tanh(softplus(input))


def glu(input: Any, dim: int = -1) -> Any:
    r""":math:`a\,\sigma(b)` of ``input``'s halves a, b along ``dim`` (Dauphin et al., 2016)."""
    shape = shape_of(input)
    axis = normalise_axis(dim, len(shape), "glu")
    if not shape or shape[axis] % 2:
        raise ValueError(f"glu: expected an even size along axis {dim}, got shape {shape}")
    a, b = split(input, [shape[axis] // 2] * 2, axis)
    return a * sigmoid(b)


def softmin(input: Any, dim: int = -1) -> Any:
    r""":math:`e^{-x_i} / \sum_j e^{-x_j}` along ``dim``."""
    return softmax(neg(input), dim)


def threshold(input: Any, threshold: float, value: float) -> Any:
    r""":math:`x` where it exceeds ``threshold``, else ``value``."""
    return where(le(input, threshold), value, input)


def tanhshrink(input: Any) -> Any:
    r""":math:`x - \tanh x`."""
    return input - tanh(input)


def softshrink(input: Any, lambd: float = 0.5) -> Any:
    r""":math:`x` moved towards 0 by λ, and 0 where :math:`|x| \le \lambda`."""
    if lambd < 0:
        raise ValueError(f"softshrink: expected lambd >= 0, got {lambd}")
    return input - clamp(input, -lambd, lambd)


def hardshrink(input: Any, lambd: float = 0.5) -> Any:
    r""":math:`x`, and 0 where :math:`|x| \le \lambda`."""
    return where(logical_and(ge(input, -lambd), le(input, lambd)), 0.0, input)
