r"""Pooling: the largest value or the mean of every window, along one and two axes.

Belongs here: the gradient rules of pooling and the checks of its arguments. How it is computed is
in ``kernels/pool.py``.

Max pooling picks one value of each window; *which* is a constant of the rule. Picking and its
adjoint, putting back, are each other's rules, and so are averaging and its adjoint: every order of
derivative follows. Along one axis, the same ops run on images of height one.
"""

from __future__ import annotations

from typing import Any

from ..kernels import pool as kernels
from ..kernels.windows import Windows
from ._base import Function, get_array_module, raw, run, shape_of
from .conv import integers
from .indexing import gather
from .reduction import mean
from .shape import reshape, stack

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool2d",
    "max_pool1d",
    "max_pool2d",
]


class MaxPool2d(Function):
    r"""y = the largest value of each window;  x̄ = ȳ at the place where it was found (the first of
    equals), 0 elsewhere."""

    def __init__(self, windows: Windows, found: dict[str, Any] | None = None) -> None:
        self.windows = windows
        self.found = found  # filled by forward, for return_indices
        self.choice: Any = None

    def forward(self, x):
        want = self.recording or self.found is not None
        y, self.choice = kernels.max_pool2d(x, self.windows, want)
        if self.found is not None:
            self.found["choice"] = self.choice
        return y

    def backward(self, g):
        return PutBack.apply(g, choice=self.choice, windows=self.windows)


class PutBack(Function):
    r"""x = every y at the place where max pooling found its value;  ȳ = x̄ picked there."""

    def __init__(self, choice: Any, windows: Windows) -> None:
        self.choice = choice
        self.windows = windows

    def forward(self, y):
        return kernels.scatter_choice(y, self.choice, self.windows)

    def backward(self, g):
        return Pick.apply(g, choice=self.choice, windows=self.windows)


class Pick(Function):
    r"""y = x at the places where max pooling found its values;  x̄ = ȳ put back there."""

    def __init__(self, choice: Any, windows: Windows) -> None:
        self.choice = choice
        self.windows = windows

    def forward(self, x):
        return kernels.gather_choice(x, self.choice, self.windows)

    def backward(self, g):
        return PutBack.apply(g, choice=self.choice, windows=self.windows)


class AvgPool2d(Function):
    r"""y = the sum of each window over its divisor;  x̄ = ȳ's share, added up over windows."""

    def __init__(self, windows: Windows, divisor: Any) -> None:
        self.windows = windows
        self.divisor = divisor

    def forward(self, x):
        return kernels.avg_pool2d(x, self.windows, self.divisor)

    def backward(self, g):
        return AvgPool2dAdjoint.apply(g, windows=self.windows, divisor=self.divisor)


class AvgPool2dAdjoint(Function):
    r"""x = every y's equal share to all entries of its window;  ȳ = the average of x̄."""

    def __init__(self, windows: Windows, divisor: Any) -> None:
        self.windows = windows
        self.divisor = divisor

    def forward(self, y):
        return kernels.avg_pool2d_adjoint(y, self.windows, self.divisor)

    def backward(self, g):
        return AvgPool2d.apply(g, windows=self.windows, divisor=self.divisor)


# ---------------------------------------------------------------------------- the public functions
def max_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""The largest value of every window; (N, C, H, W) -> (N, C, OH, OW).

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        kernel_size: an int, or one for each of height and width.
        stride: the same; the kernel's size if None.
        padding: the same, at most half the kernel; what is added is never the largest.
        dilation: the same: the distance between neighbours within a window.
        ceil_mode: also keep windows that reach over the end, as long as they begin inside.
        return_indices: also return where each value stood, :math:`y W + x`, int64.

    Returns:
        The values, :math:`OH = \lfloor (H + 2p - d (k - 1) - 1) / s \rfloor + 1`, or the pair of
        values and indices.

    >>> import minigrad as mg
    >>> mg.max_pool2d(mg.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    return _max_pool(
        "max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def max_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    r"""The largest value of every window; (N, C, L) or (C, L). See :func:`max_pool2d`.

    >>> import minigrad as mg
    >>> mg.max_pool1d(mg.tensor([[[3.0, 1.0, 2.0]]]), 2, stride=1)
    tensor([[[3., 2.]]])
    """
    return _max_pool(
        "max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices
    )


def avg_pool2d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Any:
    r"""The mean of every window; (N, C, H, W) -> (N, C, OH, OW).

    Args:
        input, kernel_size, stride, padding, ceil_mode: as in :func:`max_pool2d`; padding is zeros.
        count_include_pad: divide by the number of entries with the padding's, or without.
        divisor_override: divide by this instead.

    >>> import minigrad as mg
    >>> mg.avg_pool2d(mg.arange(16.0).reshape(1, 1, 4, 4), 2)
    tensor([[[[ 2.5,  4.5],
              [10.5, 12.5]]]])
    """
    return _avg_pool(
        "avg_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def avg_pool1d(
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Any:
    r"""The mean of every window; (N, C, L) or (C, L). See :func:`avg_pool2d`.

    >>> import minigrad as mg
    >>> mg.avg_pool1d(mg.tensor([[[3.0, 1.0, 2.0]]]), 2, stride=1)
    tensor([[[2. , 1.5]]])
    """
    return _avg_pool(
        "avg_pool1d", 1, input, kernel_size, stride, padding, ceil_mode, count_include_pad, None
    )


def adaptive_avg_pool2d(input: Any, output_size: Any) -> Any:
    r"""Means over windows chosen so that the output has ``output_size``: window i of o along an
    axis of length n is :math:`[\lfloor i n / o \rfloor, \lceil (i + 1) n / o \rceil)`.

    Args:
        input: (N, C, H, W), or (C, H, W) for one image.
        output_size: an int, or one for each of height and width; None keeps an axis.

    >>> import minigrad as mg
    >>> mg.adaptive_avg_pool2d(mg.arange(6.0).reshape(1, 1, 2, 3), (1, 2))
    tensor([[[[2., 3.]]]])
    """
    return _adaptive_avg("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool1d(input: Any, output_size: Any) -> Any:
    r"""Means over ``output_size`` windows; (N, C, L) or (C, L). See :func:`adaptive_avg_pool2d`.

    >>> import minigrad as mg
    >>> mg.adaptive_avg_pool1d(mg.tensor([[[3.0, 1.0, 2.0]]]), 1)
    tensor([[[2.]]])
    """
    return _adaptive_avg("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_max_pool2d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    r"""Largest values over windows chosen so that the output has ``output_size``; the windows are
    those of :func:`adaptive_avg_pool2d`, the indices those of :func:`max_pool2d`.

    >>> import minigrad as mg
    >>> mg.adaptive_max_pool2d(mg.arange(6.0).reshape(1, 1, 2, 3), (1, 2))
    tensor([[[[4., 5.]]]])
    """
    return _adaptive_max("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool1d(input: Any, output_size: Any, return_indices: bool = False) -> Any:
    r"""Largest values over ``output_size`` windows; (N, C, L) or (C, L).
    See :func:`adaptive_max_pool2d`.

    >>> import minigrad as mg
    >>> mg.adaptive_max_pool1d(mg.tensor([[[3.0, 1.0, 2.0]]]), 2)
    tensor([[[3., 2.]]])
    """
    return _adaptive_max("adaptive_max_pool1d", 1, input, output_size, return_indices)


# ------------------------------------------------------------------------------------- arguments
def _four_axes(name: str, axes: int, x: Any) -> Any:
    r"""The input as (N, C, H, W)."""
    shape = shape_of(x)
    if len(shape) not in (axes + 1, axes + 2):
        layout = "(N, C, H, W)" if axes == 2 else "(N, C, L)"
        raise ValueError(f"{name}: expected input {layout}, got shape {shape}")
    if 0 in shape[-axes:]:
        raise ValueError(f"{name}: expected an input of at least size 1, got shape {shape}")
    if axes == 2:
        return x if len(shape) == 4 else reshape(x, (1, *shape))
    lead = (1,) * (3 - len(shape))
    return reshape(x, (*lead, *shape[:-1], 1, shape[-1]))


def _restore(y: Any, axes: int, like: Any) -> Any:
    r"""The result without the axes that :func:`_four_axes` added to ``like``."""
    shape = shape_of(like)
    if axes == 2 and len(shape) == 4:
        return y
    return reshape(y, (*shape[:-axes], *shape_of(y)[-axes:]))


def _windows(
    name: str,
    axes: int,
    size: tuple[int, ...],
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
) -> Windows:
    kernel = integers(name, "kernel_size", kernel_size, axes, 1)
    if stride is None or (isinstance(stride, (tuple, list)) and not stride):
        strides = kernel
    else:
        strides = integers(name, "stride", stride, axes, 1)
    pads = integers(name, "padding", padding, axes, 0)
    dilations = integers(name, "dilation", dilation, axes, 1)
    out_size = []
    for n, k, s, p, d in zip(size, kernel, strides, pads, dilations):
        if p > (d * (k - 1) + 1) // 2:
            raise ValueError(
                f"{name}: expected padding of at most half the kernel, got padding {pads} with "
                f"kernel {kernel} and dilation {dilations}"
            )
        room = n + 2 * p - d * (k - 1) - 1
        out = -(-room // s) if ceil_mode else room // s
        if ceil_mode and out * s >= n + p:  # the last window would begin in the padding behind
            out -= 1
        if room < 0 and not ceil_mode or out < 0:
            raise ValueError(
                f"{name}: expected a window no larger than the padded input, got kernel {kernel} "
                f"with dilation {dilations} on input {size} with padding {pads}"
            )
        out_size.append(out + 1)
    fill = (2 - axes) * (1,)
    none = (2 - axes) * (0,)
    return Windows(
        size=(*fill, *size),  # type: ignore[arg-type]
        out_size=(*fill, *out_size),  # type: ignore[arg-type]
        kernel=(*fill, *kernel),  # type: ignore[arg-type]
        stride=(*fill, *strides),  # type: ignore[arg-type]
        padding=(*none, *pads),  # type: ignore[arg-type]
        dilation=(*fill, *dilations),  # type: ignore[arg-type]
    )


def _max_pool(
    name: str,
    axes: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    images = _four_axes(name, axes, x)
    if raw(x).dtype.kind not in "fiu":
        raise TypeError(f"{name}: expected real numbers, got {raw(x).dtype}")
    windows = _windows(
        name, axes, shape_of(x)[-axes:], kernel_size, stride, padding, dilation, ceil_mode
    )
    if not return_indices:
        return _restore(MaxPool2d.apply(images, windows=windows), axes, x)
    found: dict[str, Any] = {}
    y = MaxPool2d.apply(images, windows=windows, found=found)
    indices = run(lambda _: kernels.choice_indices(found["choice"], windows), images)
    return _restore(y, axes, x), _restore(indices, axes, x)


def _avg_pool(
    name: str,
    axes: int,
    x: Any,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    images = _four_axes(name, axes, x)
    if raw(x).dtype.kind != "f":
        raise TypeError(f"{name}: expected floating numbers, got {raw(x).dtype}")
    windows = _windows(name, axes, shape_of(x)[-axes:], kernel_size, stride, padding, 1, ceil_mode)
    if divisor_override is None:
        divisor = kernels.divisors(windows, count_include_pad, windows.padding)
    elif isinstance(divisor_override, int) and divisor_override:
        divisor = int(divisor_override)
    else:
        raise ValueError(
            f"{name}: expected divisor_override to be a non-zero integer, got {divisor_override!r}"
        )
    return _restore(AvgPool2d.apply(images, windows=windows, divisor=divisor), axes, x)


def _adaptive_size(name: str, axes: int, x: Any, output_size: Any) -> tuple[int, ...]:
    size = shape_of(x)[-axes:]
    wanted = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * axes
    if len(wanted) == axes:
        wanted = tuple([n if w is None else w for w, n in zip(wanted, size)])
    return integers(name, "output_size", wanted, axes, 1)


def _even_windows(size: tuple[int, ...], out: tuple[int, ...]) -> tuple[int, ...] | None:
    r"""The kernel, which is also the stride, if the windows are all alike."""
    if any(n % o for n, o in zip(size, out)):
        return None
    return tuple([n // o for n, o in zip(size, out)])


def _bounds(n: int, out: int) -> list[tuple[int, int]]:
    return [(i * n // out, -(-(i + 1) * n // out)) for i in range(out)]


def _averaged(x: Any, axis: int, out: int) -> Any:
    r"""The means over the windows of an axis, -1 or -2. A product with a matrix would be shorter;
    its zeros would spread an infinity, or a NaN, to windows that do not contain it."""
    lead = (..., *[slice(None)] * (-1 - axis))
    windows = [slice(start, stop) for start, stop in _bounds(shape_of(x)[axis], out)]
    return stack([mean(x[(lead[0], w, *lead[1:])], axis) for w in windows], axis)


def _adaptive_avg(name: str, axes: int, x: Any, output_size: Any) -> Any:
    images = _four_axes(name, axes, x)
    out, size = _adaptive_size(name, axes, x, output_size), shape_of(x)[-axes:]
    kernel = _even_windows(size, out)
    if kernel is not None:
        return _avg_pool(name, axes, x, kernel, None, 0, False, True, None)
    if raw(x).dtype.kind != "f":
        raise TypeError(f"{name}: expected floating numbers, got {raw(x).dtype}")
    y = _averaged(images, -1, out[-1])
    if axes == 2:
        y = _averaged(y, -2, out[0])
    return _restore(y, axes, x)


def _adaptive_max(name: str, axes: int, x: Any, output_size: Any, return_indices: bool) -> Any:
    images = _four_axes(name, axes, x)
    out, size = _adaptive_size(name, axes, x, output_size), shape_of(x)[-axes:]
    kernel = _even_windows(size, out)
    if kernel is not None:
        return _max_pool(name, axes, x, kernel, None, 0, 1, False, return_indices)
    N, C, H, W = shape_of(images)
    rows = _bounds(H, out[0]) if axes == 2 else [(0, 1)]
    columns = _bounds(W, out[-1])

    def positions(array: Any) -> Any:
        xp = get_array_module(array)
        found = []
        for top, bottom in rows:
            for left, right in columns:
                width = right - left
                window = array[:, :, top:bottom, left:right]
                best = window.reshape(N, C, (bottom - top) * width).argmax(axis=2)
                found.append((top + best // width) * W + left + best % width)
        return xp.stack(found, axis=2)

    indices = run(positions, images)
    y = gather(reshape(images, (N, C, H * W)), 2, indices)
    shape = (N, C, len(rows), len(columns))
    y = _restore(reshape(y, shape), axes, x)
    return (y, _restore(reshape(indices, shape), axes, x)) if return_indices else y
