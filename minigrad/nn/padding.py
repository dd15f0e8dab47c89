r"""Layers that add a border."""

from __future__ import annotations

from typing import Any

from .. import ops
from ..tensor import Tensor
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ZeroPad1d",
    "ZeroPad2d",
]


class _Pad(Module):
    axes = 1
    mode = "constant"

    def __init__(self, padding: Any) -> None:
        super().__init__()
        widths = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,)
        if len(widths) == 1:
            widths *= 2 * self.axes
        if len(widths) != 2 * self.axes or any(not isinstance(n, int) for n in widths):
            raise ValueError(
                f"{type(self).__name__}: expected an integer or {2 * self.axes} of them, "
                f"got {padding!r}"
            )
        self.padding = widths
        self.value = 0.0

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in (self.axes + 1, self.axes + 2):
            raise ValueError(
                f"{type(self).__name__}: expected a {self.axes + 1}-d or {self.axes + 2}-d input, "
                f"got shape {input.shape}"
            )
        return ops.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_Pad):
    r"""A border of ``value`` around (N, C, L) or (C, L); see :class:`ConstantPad2d`."""

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        return ops.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad2d(ConstantPad1d):
    r"""A border of ``value`` around the last two axes.

    Args:
        padding: the width on all sides, or (left, right, top, bottom); negative widths cut off.
        value: what it consists of.

    >>> import minigrad as mg
    >>> ConstantPad2d((1, 0, 0, 0), 5.0)(mg.zeros(1, 1, 1, 2))
    tensor([[[[5., 0., 0.]]]])
    """

    axes = 2


class ZeroPad1d(ConstantPad1d):
    r"""A border of zeros around the last axis: (left, right), or one width for both."""

    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ZeroPad2d(ZeroPad1d):
    r"""A border of zeros around the last two axes: (left, right, top, bottom), or one width for
    all. Negative widths cut off."""

    axes = 2


class ReflectionPad1d(_Pad):
    r"""The end of (N, C, L) or (C, L) mirrored outwards; its last entry is not repeated."""

    mode = "reflect"


class ReflectionPad2d(ReflectionPad1d):
    r"""The edges of (N, C, H, W) or (C, H, W) mirrored outwards: (left, right, top, bottom), or one
    width for all. Widths must be smaller than the image."""

    axes = 2


class ReplicationPad1d(_Pad):
    r"""The last entry of (N, C, L) or (C, L) repeated outwards."""

    mode = "replicate"


class ReplicationPad2d(ReplicationPad1d):
    r"""The edges of (N, C, H, W) or (C, H, W) repeated outwards: (left, right, top, bottom), or one
    width for all."""

    axes = 2


class CircularPad1d(_Pad):
    r"""The other end of (N, C, L) or (C, L) follows beyond each end."""

    mode = "circular"


class CircularPad2d(CircularPad1d):
    r"""The opposite edge of (N, C, H, W) or (C, H, W) follows beyond each edge."""

    axes = 2
