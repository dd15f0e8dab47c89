r"""Weighted copies along an axis: interpolation and padding by tables, windows of images.

Belongs here: array in, array out. Does not belong here: gradients, and which table a mode means
(``ops/resample.py``, ``ops/padding.py``).

A :class:`Taps` table says, for each place of the result, which places of the input count how much.
The transposed map is a table too, so that the gradient is computed by the same lines.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import device_of, get_array_module

__all__ = ["Taps", "fold", "resample", "transposed", "unfold"]


class Taps:
    r"""Place k of the result is :math:`\sum_t` weight[t, k] · x[source[t, k]].

    ``source`` and ``weight`` are host arrays (taps, n_out); a copy on the device of x is made once.
    """

    def __init__(self, source: np.ndarray, weight: np.ndarray) -> None:
        self.source, self.weight = source, weight
        self._placed: dict[Any, list[tuple[Any, Any, Any]]] = {}

    def rows(self, x: Any) -> list[tuple[Any, Any, Any]]:
        r"""For each tap the sources, the weights (None: all 1) and the places (None: all), as
        arrays on x's device, the weights in its dtype."""
        key = str(device_of(x)), x.dtype
        if key not in self._placed:
            xp = get_array_module(x)
            found = []
            for t, (source, weight) in enumerate(zip(self.source, self.weight)):
                (used,) = np.nonzero(weight)
                # A row that matters at few places, at the edges, is added there alone.
                few = t > 0 and 2 * len(used) < len(source)
                if few:
                    source, weight = source[used], weight[used]
                scaled = None if (weight == 1).all() else xp.asarray(weight.astype(x.dtype))
                found.append((xp.asarray(source), scaled, xp.asarray(used) if few else None))
            self._placed[key] = found
        return self._placed[key]


def transposed(taps: Taps, n_in: int) -> Taps:
    r"""The table of the adjoint map, from n_out places to ``n_in``."""
    n_out = taps.source.shape[1]
    place = np.broadcast_to(np.arange(n_out), taps.source.shape)
    key = (taps.source * n_out + place).reshape(-1)  # sorted by input, then by output
    pair, inverse = np.unique(key, return_inverse=True)
    weight = np.bincount(inverse.reshape(-1), taps.weight.reshape(-1), len(pair))
    pair, weight = pair[weight != 0], weight[weight != 0]
    source, target = pair % max(n_out, 1), pair // max(n_out, 1)
    counts = np.bincount(target, minlength=n_in)
    rank = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = max(int(counts.max(initial=0)), 1)
    found = Taps(np.zeros((rows, n_in), np.int64), np.zeros((rows, n_in)))
    found.source[rank, target] = source
    found.weight[rank, target] = weight
    return found


def resample(x: Any, axis: int, taps: Taps) -> Any:
    r"""The map of ``taps`` along ``axis``; the result keeps x's order of axes in memory."""
    # Along the memory's own axes: a channels-last array stays channels-last.
    order = sorted(range(x.ndim), key=lambda a: (-abs(x.strides[a]), a))
    y = _along(x.transpose(order), order.index(axis), taps)
    return y.transpose([order.index(a) for a in range(x.ndim)])


def _along(x: Any, axis: int, taps: Taps) -> Any:
    xp = get_array_module(x)
    shape = [1] * x.ndim
    shape[axis] = -1
    total = None
    for source, weight, places in taps.rows(x):
        part = xp.take(x, source, axis=axis)
        if weight is not None:
            part *= weight.reshape(shape)
        if total is None:
            total = part
        elif places is not None:
            total[(*(slice(None),) * axis, places)] += part
        else:
            total += part
    return total


Pair = tuple[int, int]


def unfold(x: Any, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair, size: Pair) -> Any:
    r"""The windows of x (N, C, H, W), ``size`` of them along each axis: (N, C, kh, kw, oh, ow)."""
    n, c, h, w = x.shape
    xp = get_array_module(x)
    if padding != (0, 0):
        padded = xp.zeros((n, c, h + 2 * padding[0], w + 2 * padding[1]), x.dtype)
        padded[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w] = x
        x = padded
    y = xp.empty((n, c, *kernel, *size), x.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            y[:, :, i, j] = x[(..., *_places((i, j), dilation, stride, size))]
    return y


def fold(
    y: Any, shape: Pair, kernel: Pair, dilation: Pair, padding: Pair, stride: Pair, size: Pair
) -> Any:
    r"""The adjoint of :func:`unfold`: windows added up to an image of ``shape`` (H, W)."""
    h, w = shape
    x = get_array_module(y).zeros((*y.shape[:2], h + 2 * padding[0], w + 2 * padding[1]), y.dtype)
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            x[(..., *_places((i, j), dilation, stride, size))] += y[:, :, i, j]
    return x[:, :, padding[0] : padding[0] + h, padding[1] : padding[1] + w]


def _places(at: Pair, dilation: Pair, stride: Pair, size: Pair) -> list[slice]:
    r"""Where entry ``at`` of all windows lies."""
    return [
        slice(i * d, i * d + (n - 1) * s + 1, s) for i, d, s, n in zip(at, dilation, stride, size)
    ]
