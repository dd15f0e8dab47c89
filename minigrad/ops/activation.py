r"""Activations: the non-linear functions between layers.

Belongs here: relu and its relatives, elementwise. Softmax is a reduction (``reduction.py``).
"""

from __future__ import annotations

import math
from typing import Any

from ..kernels import special
from ._base import get_array_module
from .comparison import gt, logical_and, lt
from .elementwise import Clamp, Elementwise, RealFunction, neg, where
from .transcendental import erf, tanh

__all__ = [
    "elu", "gelu", "hardtanh", "leaky_relu", "logsigmoid", "relu", "relu6", "selu", "sigmoid",
    "silu", "softplus",
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

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def forward(self, x):
        return get_array_module(x).where(x > 0, x, x * self.slope)

    def backward(self, g, x):
        return where(gt(x, 0), g, g * self.slope)


class Elu(Elementwise):
    r"""y = s x where x > 0, else s α (e^x - 1);  x̄ = s ȳ, or ȳ (y + s α)."""

    to_float = True

    def __init__(self, alpha: float, scale: float) -> None:
        self.alpha, self.scale = alpha, scale

    def forward(self, x):
        xp = get_array_module(x)
        negative = xp.expm1(xp.minimum(x, 0)) * (self.alpha * self.scale)
        return xp.where(x > 0, x * self.scale if self.scale != 1.0 else x, negative)

    def backward(self, g, x, out):
        return where(gt(x, 0), g * self.scale, g * (out + self.alpha * self.scale))


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
    return HardTanh.apply(input, low=min_val, high=max_val)


def leaky_relu(input: Any, negative_slope: float = 0.01) -> Any:
    r""":math:`x` where positive, else ``negative_slope`` times :math:`x`."""
    return LeakyRelu.apply(input, slope=negative_slope)


def elu(input: Any, alpha: float = 1.0) -> Any:
    r""":math:`x` where positive, else :math:`\alpha(e^x - 1)` (Clevert et al., 2015)."""
    return Elu.apply(input, alpha=alpha, scale=1.0)


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
