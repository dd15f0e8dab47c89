r"""Activation functions as layers, so that they can stand in a ``Sequential``."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..backend import Generator
from ..creation import full
from ..tensor import Tensor
from .module import Module
from .parameter import Parameter

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "SELU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "RReLU",
    "ReLU",
    "ReLU6",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
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


class CELU(Module):
    r""":math:`x` where positive, else :math:`\alpha (e^{x / \alpha} - 1)`."""

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        return ops.celu(input, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class PReLU(Module):
    r""":math:`x` where positive, else :math:`w x` with a learnt w.

    Args:
        num_parameters: 1, or the number of channels of an input (N, C, ...) for one w each.
        init: what w starts from.
        device, dtype: of the parameter ``weight``. Weight decay would pull it towards a ReLU.

    Reference: He et al., Delving deep into rectifiers, 2015.
    """

    def __init__(
        self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.init = init
        self.weight = Parameter(full((num_parameters,), init, device=device, dtype=dtype))

    def reset_parameters(self) -> None:
        r"""Start from ``init`` again."""
        self.weight.data[...] = self.init
        self.weight._version[0] += 1

    def forward(self, input: Tensor) -> Tensor:
        return ops.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"


class RReLU(Module):
    r""":math:`x` where positive, else :math:`a x`; in training a is uniform between ``lower`` and
    ``upper`` for each entry, in evaluation it is their mean.

    Args:
        lower, upper: the range of a.
        generator: where a is drawn; the default generator if None.

    Reference: Xu et al., Empirical evaluation of rectified activations, 2015.
    """

    def __init__(
        self, lower: float = 1 / 8, upper: float = 1 / 3, generator: Generator | None = None
    ) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        return ops.rrelu(input, self.lower, self.upper, self.training, self.generator)

    def extra_repr(self) -> str:
        return f"lower={self.lower}, upper={self.upper}"


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


class Softmin(Softmax):
    r""":class:`Softmax` of :math:`-x`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.softmin(input, self.dim)


class Softmax2d(Module):
    r""":class:`Softmax` over the channels of each pixel of (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected a 3-d or 4-d input, got shape {input.shape}")
        return ops.softmax(input, -3)


class Softsign(Module):
    r""":math:`x / (1 + |x|)`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.softsign(input)


class Hardsigmoid(Module):
    r""":math:`\min(\max(x + 3, 0), 6) / 6`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.hardsigmoid(input)


class Hardswish(Module):
    r""":math:`x` times :class:`Hardsigmoid`. Reference: Howard et al., Searching for MobileNetV3,
    2019."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.hardswish(input)


class Mish(Module):
    r""":math:`x \tanh(\ln(1 + e^x))`. Reference: Misra, Mish, 2019."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.mish(input)


class GLU(Module):
    r""":math:`a\,\sigma(b)`, a and b the halves of the input along ``dim``. Reference: Dauphin et
    al., Language modeling with gated convolutional networks, 2016."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return ops.glu(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Threshold(Module):
    r""":math:`x` where it exceeds ``threshold``, else ``value``."""

    def __init__(self, threshold: float, value: float) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return ops.threshold(input, self.threshold, self.value)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}"


class Tanhshrink(Module):
    r""":math:`x - \tanh x`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.tanhshrink(input)


class _Shrink(Module):
    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return str(self.lambd)


class Softshrink(_Shrink):
    r""":math:`x` moved towards 0 by λ, and 0 where :math:`|x| \le \lambda`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.softshrink(input, self.lambd)


class Hardshrink(_Shrink):
    r""":math:`x`, and 0 where :math:`|x| \le \lambda`."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.hardshrink(input, self.lambd)
