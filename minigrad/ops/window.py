r"""The windows of an image as columns, and back.

Belongs here: ``unfold``, which is convolution without the product, and its adjoint ``fold``.
"""

from __future__ import annotations

import math
from typing import Any

from ..kernels import resample as kernels
from ._base import Function, shape_of
from .conv import integers
from .shape import reshape, squeeze, unsqueeze

__all__ = ["fold", "unfold"]

Pair = tuple[int, int]
Windows = tuple[Pair, Pair, Pair, Pair]  # kernel, dilation, padding, stride


class Unfold(Function):
    r"""y[n, c, i, j, u, v] = x[n, c, s u + d i - p, s v + d j - p], 0 outside;  x̄ = ȳ added up."""

    def __init__(self, windows: Windows, size: Pair) -> None:
        self.windows, self.size = windows, size  # size: (oh, ow)

    def forward(self, x):
        self.shape = x.shape[2:]
        return kernels.unfold(x, *self.windows, self.size)

    def backward(self, g):
        return Fold.apply(g, shape=self.shape, windows=self.windows, size=self.size)


class Fold(Function):
    r"""The adjoint of :class:`Unfold`: values that windows share are added;  ȳ = x̄ unfolded."""

    def __init__(self, shape: Pair, windows: Windows, size: Pair) -> None:
        self.shape, self.windows, self.size = shape, windows, size

    def forward(self, y):
        return kernels.fold(y, self.shape, *self.windows, self.size)

    def backward(self, g):
        return Unfold.apply(g, windows=self.windows, size=self.size)


def _windows(
    name: str, shape: Any, kernel: Any, dilation: Any, padding: Any, stride: Any
) -> tuple[Windows, Pair]:
    windows: Any = (
        integers(name, "kernel_size", kernel, 2, 1),
        integers(name, "dilation", dilation, 2, 1),
        integers(name, "padding", padding, 2, 0),
        integers(name, "stride", stride, 2, 1),
    )
    size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, d, p, s in zip(shape, *windows)]
    if min(size) < 1:
        raise ValueError(
            f"{name}: expected windows no larger than the padded image, got kernel {windows[0]}, "
            f"dilation {windows[1]} and padding {windows[2]} for {tuple(shape)}"
        )
    return windows, (size[0], size[1])


def unfold(
    input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    r"""The windows of (N, C, H, W) or (C, H, W) as columns: (N, C kh kw, windows), row by row.

    A convolution is a product with them: ``weight.reshape(out, -1) @ unfold(x, ...)``.

    >>> import minigrad as mg
    >>> mg.unfold(mg.zeros(2, 3, 5, 5), 3).shape
    (2, 27, 9)
    """
    shape = shape_of(input)
    if len(shape) not in (3, 4):
        raise ValueError(f"unfold: expected (N, C, H, W) or (C, H, W), got shape {shape}")
    windows, size = _windows("unfold", shape[-2:], kernel_size, dilation, padding, stride)
    x = input if len(shape) == 4 else unsqueeze(input, 0)
    y = Unfold.apply(x, windows=windows, size=size)
    rows = shape[-3] * math.prod(windows[0])
    return reshape(y, (*shape[:-3], rows, math.prod(size)))


def fold(
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> Any:
    r"""Columns (N, C kh kw, windows) or (C kh kw, windows) added up to images (N, C, H, W) of
    ``output_size``: the adjoint of :func:`unfold`, not its inverse where windows overlap."""
    shape = shape_of(input)
    h, w = integers("fold", "output_size", output_size, 2, 1)
    windows, size = _windows("fold", (h, w), kernel_size, dilation, padding, stride)
    rows = math.prod(windows[0])
    if len(shape) not in (2, 3) or shape[-2] % rows or shape[-1] != math.prod(size):
        raise ValueError(
            f"fold: expected (N, C * {rows}, {math.prod(size)}) for images {(h, w)}, "
            f"got shape {shape}"
        )
    batch = shape[0] if len(shape) == 3 else 1
    y = reshape(input, (batch, shape[-2] // rows, *windows[0], *size))
    x = Fold.apply(y, shape=(h, w), windows=windows, size=size)
    return x if len(shape) == 3 else squeeze(x, 0)
