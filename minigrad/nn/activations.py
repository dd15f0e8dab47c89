r"""Activation functions as layers, so that they can stand in a ``Sequential``."""

from __future__ import annotations

from .. import ops
from ..tensor import Tensor
from .module import Module

__all__ = [
    "ELU",
    "GELU",
    "SELU",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Tanh",
]


class ReLU(Module):
    r""":math:`\max(x, 0)`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.relu(input)


class ReLU6(Module):
    r""":math:`\min(\max(x, 0), 6)`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.relu6(input)


class Hardtanh(Module):
    r"""The input limited to [``min_val``, ``max_val``]."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: expected min_val < max_val, got {min_val} and {max_val}")
        self.min_val = min_val
        self.max_val = max_val

    def forward(self, input: Tensor) -> Tensor:
        return ops.hardtanh(input, self.min_val, self.max_val)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}"


class LeakyReLU(Module):
    r""":math:`x` where positive, else ``negative_slope`` times :math:`x`."""

    def __init__(self, negative_slope: float = 0.01) -> None:
        super().__init__()
        self.negative_slope = negative_slope

    def forward(self, input: Tensor) -> Tensor:
        return ops.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    r""":math:`x` where positive, else :math:`\alpha (e^x - 1)`."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return ops.elu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class SELU(Module):
    r"""The self-normalising ELU; initialise with :func:`~minigrad.nn.init.lecun_normal_`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.selu(input)


class GELU(Module):
    r""":math:`x \Phi(x)`, exact or by ``approximate="tanh"``."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU: expected approximate='none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        return ops.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    r""":math:`x \sigma(x)`, also called swish."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.silu(input)


class Sigmoid(Module):
    r""":math:`\sigma(x) = 1 / (1 + e^{-x})`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.sigmoid(input)


class Tanh(Module):
    r""":math:`\tanh x`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.tanh(input)


class Softplus(Module):
    r""":math:`\ln(1 + e^{\beta x}) / \beta`, the identity where :math:`\beta x` exceeds
    ``threshold``."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        return ops.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class LogSigmoid(Module):
    r""":math:`\ln \sigma(x)`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.logsigmoid(input)


class Softmax(Module):
    r""":math:`e^{x_i} / \sum_j e^{x_j}` along axis ``dim``."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return ops.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    r"""The logarithm of :class:`Softmax`, without overflow."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.log_softmax(input, self.dim)
