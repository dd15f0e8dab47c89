r"""Convolutional layers.

Belongs here: layers around ``conv1d``, ``conv2d`` and their transposes. Does not belong here: the
convolution itself (``ops/`` and ``kernels/conv.py``).
"""

from __future__ import annotations

import math
from typing import Any

from .. import ops
from ..creation import empty
from ..ops.conv import integers
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d"]


class _Conv(Module):
    r"""What the four layers share: parameters, their initial values, and printing."""

    axes = 0  # how many the kernel slides along
    transposed = False

    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any,
        padding: Any,
        output_padding: Any,
        dilation: Any,
        groups: int,
        bias: bool,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        who, n = type(self).__name__, self.axes
        for name, count in (("in_channels", in_channels), ("out_channels", out_channels)):
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(f"{who}: expected a positive integer as {name}, got {count!r}")
            if not isinstance(groups, int) or groups < 1 or count % groups:
                raise ValueError(
                    f"{who}: expected groups to divide {name}, got {name}={count} and "
                    f"groups={groups!r}"
                )
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = integers(who, "kernel_size", kernel_size, n, 1)
        self.stride = integers(who, "stride", stride, n, 1)
        self.dilation = integers(who, "dilation", dilation, n, 1)
        self.output_padding = integers(who, "output_padding", output_padding, n, 0)
        self.groups = groups
        self.padding: Any = padding
        if not isinstance(padding, str):
            self.padding = integers(who, "padding", padding, n, 0)
        elif self.transposed or padding not in ("same", "valid"):
            raise ValueError(f"{who}: expected padding as integers, got {padding!r}")
        elif padding == "same" and any(s != 1 for s in self.stride):
            raise ValueError(f"{who}: padding='same' expected stride 1, got {self.stride}")
        if self.transposed:
            shape = (in_channels, out_channels // groups, *self.kernel_size)
        else:
            shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(empty(shape, device=device, dtype=dtype))
        self.register_parameter(
            "bias", Parameter(empty(out_channels, device=device, dtype=dtype)) if bias else None
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Draw new initial values: uniform in :math:`\pm 1 / \sqrt{\text{fan}_{in}}`."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in = math.prod(self.weight.shape[1:])
            init.uniform_(self.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))

    def extra_repr(self) -> str:
        n = self.axes
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        if self.padding != (0,) * n:
            text += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            text += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        return text if self.bias is not None else text + ", bias=False"


class _Forward(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            0,
            dilation,
            groups,
            bias,
            device,
            dtype,
        )


class Conv1d(_Forward):
    r"""Cross-correlation along one axis; see :class:`Conv2d`.

    Shapes: input (N, C, L), ``weight`` (out_channels, in_channels / groups, K).
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        return ops.conv1d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class Conv2d(_Forward):
    r"""Cross-correlation of images with learned kernels, plus a bias for each output channel.

    .. math:: y_{n o i j} = b_o + \sum_{c, k, l} w_{o c k l}\, x_{n,\, c,\, s i + d k,\, s j + d l}

    Args:
        in_channels, out_channels: how many.
        kernel_size, stride, dilation: an int, or one for each of height and width.
        padding: zeros around the image: an int or two, "valid" (none), or "same" (as many as keep
            the size; stride 1 only).
        groups: split the channels into groups that do not see each other.
        bias: learn a bias.
        device, dtype: of the parameters.

    Shapes: input (N, C, H, W), ``weight`` (out_channels, in_channels / groups,
    *kernel_size), ``bias`` (out_channels,). Both start uniform in
    :math:`\pm 1 / \sqrt{\text{fan}_{in}}`.

    >>> import minigrad as mg
    >>> Conv2d(1, 8, 3, stride=2, padding=1)(mg.zeros(5, 1, 28, 28)).shape
    (5, 8, 14, 14)
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        return ops.conv2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.dilation,
            self.groups,
        )


class _Transposed(_Conv):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Any = 1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            output_padding,
            dilation,
            groups,
            bias,
            device,
            dtype,
        )


class ConvTranspose1d(_Transposed):
    r"""The transpose (gradient) of :class:`Conv1d`; see :class:`ConvTranspose2d`.

    Shapes: input (N, C, L), ``weight`` (in_channels, out_channels / groups, K).
    """

    axes = 1

    def forward(self, input: Tensor) -> Tensor:
        return ops.conv_transpose1d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class ConvTranspose2d(_Transposed):
    r"""The transpose (gradient) of :class:`Conv2d`: with stride s it enlarges the image s times.

    The output has height :math:`(H - 1) s - 2p + d (K - 1) + \text{output\_padding} + 1`;
    ``output_padding`` picks among the heights that the convolution maps to H.

    Shapes: input (N, C, H, W), ``weight`` (in_channels, out_channels / groups, *kernel_size).

    >>> import minigrad as mg
    >>> ConvTranspose2d(8, 1, 4, stride=2, padding=1)(mg.zeros(5, 8, 14, 14)).shape
    (5, 1, 28, 28)
    """

    axes = 2

    def forward(self, input: Tensor) -> Tensor:
        return ops.conv_transpose2d(
            input,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )
