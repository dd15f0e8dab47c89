r"""Running sums and products, and what is found by sorting.

Belongs here: ops along one axis whose result at a place depends on those before it, order
statistics, counting.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._base import Function, get_array_module, normalise_axis, raw, run, shape_of
from .indexing import _index_array, argsort, take_along_dim
from .padding import pad
from .reduction import _as
from .shape import flip, movedim, squeeze
from .special import logaddexp

__all__ = [
    "bincount", "cumprod", "cumsum", "diff", "logcumsumexp", "median", "searchsorted",
]  # fmt: skip


class CumSum(Function):
    r"""y_i = Σ_{j<=i} x_j;  x̄_j = Σ_{i>=j} ȳ_i."""

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x):
        return x.cumsum(axis=self.axis, dtype=None if x.dtype.kind == "f" else np.int64)

    def backward(self, g):
        return flip(cumsum(flip(g, (self.axis,)), self.axis), (self.axis,))


def cumsum(input: Any, dim: int, dtype: Any = None) -> Any:
    r"""The running sum along ``dim``.

    >>> import minigrad as mg
    >>> mg.cumsum(mg.tensor([1.0, 2.0, 3.0]), 0)
    tensor([1., 3., 6.])
    """
    input = _as(input, dtype)
    shape = shape_of(input)
    axis = normalise_axis(dim, len(shape), "cumsum")
    return CumSum.apply(input, axis=axis) if shape else input * 1


def _doubling(
    input: Any, dim: int, combine: Callable[[Any, Any], Any], neutral: float, name: str
) -> Any:
    r"""An associative operation accumulated along ``dim`` in log2(n) steps: after step k, each
    place holds the result of the 2^k entries up to it. All derivatives follow from ``combine``."""
    shape = shape_of(input)
    axis = normalise_axis(dim, len(shape), name)
    if not shape:
        return input * 1
    x = movedim(input, axis, -1)
    n, step = shape[axis], 1
    while step < n:
        x = combine(x, pad(x, (step, 0), value=neutral)[..., :n])
        step *= 2
    return movedim(x, -1, axis) if step > 1 else input * 1


def cumprod(input: Any, dim: int, dtype: Any = None) -> Any:
    r"""The running product along ``dim``; zeros are no special case of its gradient."""
    input = _as(input, dtype)
    if raw(input).dtype.kind in "iub":
        dim = normalise_axis(dim, len(shape_of(input)), "cumprod")
        return run(lambda x: x.cumprod(axis=dim, dtype=np.int64) if x.ndim else x * 1, input)
    return _doubling(input, dim, lambda x, y: x * y, 1.0, "cumprod")


def logcumsumexp(input: Any, dim: int) -> Any:
    r""":math:`\ln \sum_{j \le i} e^{x_j}` along ``dim``, without overflow."""
    return _doubling(input, dim, logaddexp, -math.inf, "logcumsumexp")


def diff(input: Any, n: int = 1, dim: int = -1) -> Any:
    r"""The difference of neighbours along ``dim``, ``n`` times over."""
    axis = normalise_axis(dim, len(shape_of(input)), "diff")
    if not shape_of(input):
        raise ValueError("diff: expected at least one axis, got shape ()")
    lead = (slice(None),) * axis
    for _ in range(n):
        input = input[(*lead, slice(1, None))] - input[(*lead, slice(None, -1))]
    return input


# --------------------------------------------------------------------------------- order, counting
class Median(Function):
    r"""y = the middle one of all entries; those that are equal to it share ȳ equally."""

    def forward(self, x):
        xp = get_array_module(x)
        flat = x.reshape(-1)
        y = xp.sort(flat)[(flat.size - 1) // 2]
        if x.dtype.kind == "f":
            y = xp.where(xp.isnan(x).any(), math.nan, y).astype(x.dtype)
        if self.recording:
            hit = ((x == y) | (xp.isnan(x) & xp.isnan(y))).astype(x.dtype)
            self.weight = hit / hit.sum()
        return y.reshape(())

    def backward(self, g):
        return g * self.weight


def median(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    r"""The middle entry in order, the lower one of two; NaN if there is a NaN. With ``dim``,
    ``(values, indices)`` along it, and the gradient goes to the entry at the index."""
    shape = shape_of(input)
    if dim is None:
        if not math.prod(shape):
            return run(lambda x: get_array_module(x).full((), math.nan, x.dtype), input)
        return Median.apply(input)
    axis = normalise_axis(dim, len(shape), "median")
    n = shape[axis] if shape else 1
    if not n:
        raise IndexError(f"median: expected an axis that is not empty, got {dim} of {shape}")
    order = raw(argsort(input, dim))
    x = raw(input)
    xp = get_array_module(x)
    if shape:
        lead = (slice(None),) * axis
        middle, last = (order[(*lead, slice(k, k + 1))] for k in ((n - 1) // 2, n - 1))
        if x.dtype.kind == "f":  # NaN is sorted last
            middle = xp.where(xp.isnan(x).any(axis=axis, keepdims=True), last, middle)
        order = middle
    index = order if x is input else run(lambda _: order, input)
    values = take_along_dim(input, index, dim)
    if keepdim or not shape:
        return values, index
    return squeeze(values, axis), squeeze(index, axis)


def bincount(input: Any, weights: Any = None, minlength: int = 0) -> Any:
    r"""How often each of 0, 1, 2, ... occurs in a vector of integers, or the sum of their
    ``weights``. No gradient. Waits for the device, as the result's length is in the data."""
    index = _index_array(input, input, "bincount")
    if index.ndim != 1 or (weights is not None and shape_of(weights) != index.shape):
        raise ValueError(
            f"bincount: expected vectors of one length, got {index.shape}"
            + ("" if weights is None else f" and {shape_of(weights)}")
        )
    if index.size and int(index.min().item()) < 0:
        raise ValueError("bincount: expected no negative integers")

    def count(x: Any) -> Any:
        w = raw(weights)
        counts = get_array_module(x).bincount(x, w, minlength)
        return counts if w is None or w.dtype.kind != "f" else counts.astype(w.dtype)

    return run(count, input)


def searchsorted(sorted_sequence: Any, input: Any, right: bool = False) -> Any:
    r"""Where ``input`` would have to be inserted to keep ``sorted_sequence`` in order: before equal
    entries, or after them if ``right``. No gradient.

    Args:
        sorted_sequence: a vector, or (..., n) with input (..., m): one vector for each row.
    """
    shape, wanted = shape_of(sorted_sequence), shape_of(input)
    if len(shape) == 1:
        side = "right" if right else "left"
        return run(
            lambda s, v: get_array_module(s).searchsorted(s, v, side), sorted_sequence, input
        )
    if not shape or shape[:-1] != wanted[:-1]:
        raise ValueError(f"searchsorted: expected rows of equal number, got {shape} and {wanted}")

    def count(s: Any, v: Any) -> Any:
        below = s[..., None, :] <= v[..., :, None] if right else s[..., None, :] < v[..., :, None]
        return below.sum(axis=-1)

    return run(count, sorted_sequence, input)
