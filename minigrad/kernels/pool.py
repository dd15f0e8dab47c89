r"""Pooling: the largest value or the mean of every window, and the adjoints.

Belongs here: arrays in, arrays out. Does not belong here: gradient rules and the checking of
arguments (``ops/pool.py``).

Everything is a loop over the places of the window, each a strided slice of the whole image, so that
the same lines serve NumPy and CuPy, and no ``add.at`` is needed where windows overlap. On the CPU
the loop runs on a few images at a time, on all cores. Results keep the memory order of the input:
channels-last stays so, and a C-contiguous (N, C, H, W) gives one.

The names below: ``images`` (M, H, W, c) is the input as it lies in memory: M = N and c = C for
channels-last, M = N C and c = 1 for a C-contiguous array.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..backend import get_array_module
from .parallel import parallel_for
from .windows import Windows
from .workspace import scratch

__all__ = [
    "Choice",
    "avg_pool2d",
    "avg_pool2d_adjoint",
    "choice_indices",
    "divisors",
    "gather_choice",
    "max_pool2d",
    "scatter_choice",
]

_BLOCK_BYTES = 1 << 20
_SERIAL_SIZE = 100_000  # entries below which waking other threads costs more than it brings


class Choice(NamedTuple):
    r"""Which place of its window every output came from: ``place`` (M, OH, OW, c) holds i kw + j;
    ``by_plane`` says that M is N C, so that arrays to go with it are brought to that order."""

    place: Any
    by_plane: bool
    channels: int


# ------------------------------------------------------------------------------ memory and blocks
def _images(x: Any, by_plane: bool) -> Any:
    r"""(N, C, H, W) as (N C, H, W, 1) or as (N, H, W, C); a view wherever that can be."""
    if by_plane:
        N, C, H, W = x.shape
        return x.reshape(N * C, H, W, 1)
    return x.transpose(0, 2, 3, 1)


def _nchw(images: Any, by_plane: bool, channels: int) -> Any:
    r"""The inverse of :func:`_images`."""
    if by_plane:
        M, H, W, _ = images.shape
        return images.reshape(M // max(channels, 1), channels, H, W)
    return images.transpose(0, 3, 1, 2)


def _by_plane(x: Any) -> bool:
    return bool(x.flags.c_contiguous) and x.shape[1] > 0


def _for_images(xp: Any, images: Any, fn: Callable[[int, int], None]) -> None:
    r"""Call ``fn(start, stop)`` on a few of the M images at a time; on a GPU on all at once."""
    M = len(images)
    if xp is not np:
        if M:
            fn(0, M)
        return
    each = max(math.prod(images.shape[1:]) * images.itemsize, 1)
    grain = max(min(_BLOCK_BYTES // each, -(-M // 8)), 1)
    if images.size < _SERIAL_SIZE:
        parallel_for(fn, M, max(M, 1), threads=1)
    else:
        parallel_for(fn, M, grain)


def _scratch(xp: Any, name: str, shape: tuple[int, ...], dtype: Any) -> Any:
    return scratch(name, shape, dtype) if xp is np else xp.empty(shape, dtype)


# ------------------------------------------------------------------------------------ largest value
def max_pool2d(x: Any, windows: Windows, want_choice: bool = True) -> tuple[Any, Choice | None]:
    r"""The largest value of every window of x (N, C, H, W), and which place of the window it came
    from, the first of equals; padding never wins. A NaN in a window is its largest value.

    >>> w = Windows((2, 4), (1, 2), (2, 2), (2, 2), (0, 0), (1, 1))
    >>> y, choice = max_pool2d(np.array([[[[1.0, 2.0, 3.0, 4.0], [5.0, 0.0, 4.0, 0.0]]]]), w)
    >>> y.tolist(), choice.place.ravel().tolist()
    ([[[[5.0, 4.0]]]], [2, 1])
    """
    xp = get_array_module(x)
    by_plane = _by_plane(x)
    images = _images(x, by_plane)
    M, _, _, c = images.shape
    shape = (M, *windows.out_size, c)
    out = xp.empty(shape, x.dtype)
    n_places = windows.kernel[0] * windows.kernel[1]
    small = n_places <= 256
    place = xp.empty(shape, np.uint8 if small else np.int32) if want_choice else None
    taps = windows.taps()
    inside = windows.all_inside()
    lowest = -math.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    first = None if inside else xp.asarray(_first_places(windows))[:, :, None]

    def some(start: int, stop: int) -> None:
        best_all = out[start:stop]
        place_all = None if place is None else place[start:stop]
        if not inside:
            best_all.fill(lowest)
            if place_all is not None:
                place_all[...] = first
        for n, tap in enumerate(taps):
            value = images[(slice(start, stop), *tap.there)]
            if inside and n == 0:
                best_all[...] = value
                if place_all is not None:
                    place_all.fill(0)
                continue
            best = best_all[(slice(None), *tap.here)]
            if place_all is not None:
                k = tap.i * windows.kernel[1] + tap.j
                larger = _scratch(xp, "larger", best.shape, np.bool_)
                xp.greater(value, best, out=larger)
                chosen = place_all[(slice(None), *tap.here)]
                if xp is np and small:  # places come in order, so the later is the larger
                    later = larger.view(np.uint8)
                    np.multiply(later, k, out=later)
                    np.maximum(chosen, later, out=chosen)
                else:
                    xp.copyto(chosen, k, where=larger)
            xp.maximum(best, value, out=best)

    _for_images(xp, images, some)
    y = _nchw(out, by_plane, x.shape[1])
    return y, None if place is None else Choice(place, by_plane, x.shape[1])


def _first_places(windows: Windows) -> np.ndarray:
    r"""The first place of every window that is inside the input, (OH, OW)."""
    firsts = []
    for axis in (0, 1):
        start = np.arange(windows.out_size[axis]) * windows.stride[axis] - windows.padding[axis]
        firsts.append(np.maximum(-(start // windows.dilation[axis]), 0))
    return (firsts[0][:, None] * windows.kernel[1] + firsts[1]).astype(np.int32)


def choice_indices(choice: Choice, windows: Windows) -> Any:
    r"""The chosen positions y W + x, int64, (N, C, OH, OW): PyTorch's ``return_indices``."""
    xp = get_array_module(choice.place)
    place = choice.place.astype(np.int64)
    starts = [
        xp.arange(o) * s - p
        for o, s, p in zip(windows.out_size, windows.stride, windows.padding, strict=True)
    ]
    y = starts[0][:, None, None] + place // windows.kernel[1] * windows.dilation[0]
    z = starts[1][:, None] + place % windows.kernel[1] * windows.dilation[1]
    return _nchw(y * windows.size[1] + z, choice.by_plane, choice.channels)


def scatter_choice(g: Any, choice: Choice, windows: Windows) -> Any:
    r"""The adjoint of picking the chosen values: g (N, C, OH, OW) goes back to where each output
    came from, (N, C, H, W)."""
    xp = get_array_module(g)
    g = _images(g, choice.by_plane)
    M, _, _, c = choice.place.shape
    gx = xp.empty((M, *windows.size, c), g.dtype)
    taps = windows.taps()
    apart = windows.apart()
    covered = apart and all(  # without gaps, so that every entry is written
        k == s and p == 0 and o * k == n for n, o, k, s, p, _ in zip(*windows, strict=True)
    )

    def some(start: int, stop: int) -> None:
        if not covered:
            gx[start:stop].fill(0)
        for tap in taps:
            place = choice.place[(slice(start, stop), *tap.here)]
            here = _scratch(xp, "here", place.shape, np.bool_)
            xp.equal(place, tap.i * windows.kernel[1] + tap.j, out=here)
            target = gx[(slice(start, stop), *tap.there)]
            value = g[(slice(start, stop), *tap.here)]
            if apart:
                xp.multiply(value, here, out=target)
            else:
                target += value * here

    _for_images(xp, gx, some)
    return _nchw(gx, choice.by_plane, choice.channels)


def gather_choice(x: Any, choice: Choice, windows: Windows) -> Any:
    r"""The adjoint of :func:`scatter_choice`: of x (N, C, H, W), the values at the chosen places,
    (N, C, OH, OW)."""
    xp = get_array_module(x)
    images = _images(x, choice.by_plane)
    out = xp.empty(choice.place.shape, x.dtype)
    taps = windows.taps()

    def some(start: int, stop: int) -> None:
        for tap in taps:
            part = (slice(start, stop), *tap.here)
            here = choice.place[part] == tap.i * windows.kernel[1] + tap.j
            xp.copyto(out[part], images[(slice(start, stop), *tap.there)], where=here)

    _for_images(xp, images, some)
    return _nchw(out, choice.by_plane, choice.channels)


# -------------------------------------------------------------------------------------------- mean
def divisors(windows: Windows, count_padding: bool, after: tuple[int, int]) -> np.ndarray | int:
    r"""What the sum over every window is divided by, (OH, OW), or one number if all are equal.

    Counted are the entries of the window inside the padded input (``after`` is the padding behind
    the last entry) or, without ``count_padding``, inside the input. Dilation is taken to be 1.

    >>> w = Windows((3, 3), (2, 2), (2, 2), (2, 2), (1, 1), (1, 1))
    >>> divisors(w, True, (1, 1)), divisors(w, False, (1, 1)).tolist()
    (4, [[1, 2], [2, 4]])
    """
    counts = []
    for axis in (0, 1):
        start = np.arange(windows.out_size[axis]) * windows.stride[axis] - windows.padding[axis]
        stop = np.minimum(start + windows.kernel[axis], windows.size[axis] + after[axis])
        if not count_padding:
            start, stop = np.maximum(start, 0), np.minimum(stop, windows.size[axis])
        counts.append(stop - start)
    table = counts[0][:, None] * counts[1]
    if table.size and (table == table[0, 0]).all():
        return int(table[0, 0])
    return table


def _scale(xp: Any, divisor: np.ndarray | int, dtype: Any) -> Any:
    r"""1 / divisor, as a number or (OH, OW, 1)."""
    if isinstance(divisor, int):
        return 1.0 / divisor
    return xp.asarray((1.0 / divisor)[:, :, None].astype(dtype))


def avg_pool2d(x: Any, windows: Windows, divisor: np.ndarray | int) -> Any:
    r"""The sum over every window of x (N, C, H, W) divided by ``divisor`` (see :func:`divisors`);
    rows are summed first, then columns, so a window costs kh + kw additions.

    >>> w = Windows((2, 2), (1, 1), (2, 2), (2, 2), (0, 0), (1, 1))
    >>> avg_pool2d(np.array([[[[1.0, 2.0], [3.0, 6.0]]]]), w, 4).item()
    3.0
    """
    xp = get_array_module(x)
    by_plane = _by_plane(x)
    images = _images(x, by_plane)
    M, _, W, c = images.shape
    OH, OW = windows.out_size
    out = xp.empty((M, OH, OW, c), x.dtype)
    scale = _scale(xp, divisor, x.dtype)
    inside = windows.all_inside()

    def add(target: Any, source: Any, axis: int) -> None:
        r"""target = the sum over places along ``axis`` of source."""
        lead = (slice(None),) * (axis + 1)
        for k in range(windows.kernel[axis]):
            here, there = windows.along(axis, k)
            if k == 0 and inside:
                target[...] = source[(*lead, there)]
            elif here.stop > here.start:
                if k == 0:
                    target.fill(0)
                part = target[(*lead, here)]
                part += source[(*lead, there)]
            elif k == 0:
                target.fill(0)

    def some(start: int, stop: int) -> None:
        rows = _scratch(xp, "rows", (stop - start, OH, W, c), x.dtype)
        add(rows, images[start:stop], 0)
        y = out[start:stop]
        add(y, rows, 1)
        y *= scale

    _for_images(xp, images, some)
    return _nchw(out, by_plane, x.shape[1])


def avg_pool2d_adjoint(g: Any, windows: Windows, divisor: np.ndarray | int) -> Any:
    r"""The adjoint of :func:`avg_pool2d` at g (N, C, OH, OW): every entry of a window gets an equal
    share, (N, C, H, W)."""
    xp = get_array_module(g)
    by_plane = _by_plane(g)
    images = _images(g, by_plane)
    M, OH, _, c = images.shape
    H, W = windows.size
    gx = xp.empty((M, H, W, c), g.dtype)
    scale = _scale(xp, divisor, g.dtype)

    def add(target: Any, source: Any, axis: int) -> None:
        r"""Add source to every place along ``axis`` of its windows in target."""
        lead = (slice(None),) * (axis + 1)
        target.fill(0)
        for k in range(windows.kernel[axis]):
            here, there = windows.along(axis, k)
            if here.stop > here.start:
                part = target[(*lead, there)]
                part += source[(*lead, here)]

    def some(start: int, stop: int) -> None:
        rows = _scratch(xp, "rows", (stop - start, OH, W, c), g.dtype)
        add(rows, images[start:stop] * scale, 1)
        add(gx[start:stop], rows, 0)

    _for_images(xp, gx, some)
    return _nchw(gx, by_plane, g.shape[1])
