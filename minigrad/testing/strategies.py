r"""Hypothesis strategies for what ops are tried on: shapes, values, memory layouts, dtypes, axes,
and the arguments of convolution and pooling.

Belongs here: what is useful for checking any op, yours too. Needs hypothesis, which is imported
here and nowhere else in minigrad. Does not belong here: what one particular op accepts.

Only shapes and choices are drawn by hypothesis, and so made simpler when a test fails; the values
come from a NumPy generator with a drawn seed, which is a hundred times faster.

>>> from hypothesis import given, settings
>>> import numpy as np
>>> import minigrad as mg
>>> from minigrad.testing import gradcheck
>>> from minigrad.testing import strategies as st
>>> @settings(max_examples=5, derandomize=True, database=None)
... @given(st.arrays(low=0.1, high=2.0))
... def test_log(x):
...     assert gradcheck(mg.log, mg.Tensor(x, requires_grad=True), order=2)
>>> test_log()
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

__all__ = [
    "ConvCase",
    "PoolCase",
    "arrays",
    "axes",
    "axis",
    "broadcastable_shapes",
    "conv_cases",
    "distinct_values",
    "float_dtypes",
    "generators",
    "layouts",
    "pool_cases",
    "shapes",
    "values",
]


# ------------------------------------------------------------------------------------- shapes
def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> st.SearchStrategy[tuple[int, ...]]:
    r"""Shapes with few entries; with ``min_side=0`` also shapes of size zero."""
    # Zero is one choice in nine: with more, hardly a shape of three axes would have an entry.
    sides = list(range(max(min_side, 1), max_side + 1)) * (9 // max(max_side, 1))
    side = st.sampled_from([*sides, 0] if min_side == 0 else sides)
    return st.integers(min_dims, max_dims).flatmap(lambda n: st.tuples(*[side] * n))


@st.composite
def broadcastable_shapes(
    draw: st.DrawFn, n: int = 2, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> tuple[tuple[int, ...], ...]:
    r"""``n`` shapes that broadcast together: axes of one are 1 or missing in another."""
    common = draw(shapes(0, max_dims, min_side, max_side))
    found = []
    for _ in range(n):
        lead = draw(st.integers(0, len(common)))
        found.append(tuple([draw(st.sampled_from((k, k, 1))) for k in common[lead:]]))
    return tuple(found)


# ------------------------------------------------------------------------------------- values
def generators() -> st.SearchStrategy[np.random.Generator]:
    r"""NumPy generators."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


def values(
    rng: np.random.Generator,
    shape: Sequence[int],
    low: float = -2.0,
    high: float = 2.0,
    avoid: Sequence[float] = (),
    margin: float = 0.05,
) -> np.ndarray:
    r"""Float64 values, uniform between ``low`` and ``high``, none within ``margin`` of a point in
    ``avoid``: where a function has a kink, a difference quotient says nothing."""
    x = np.asarray(rng.uniform(low, high, tuple(shape)))
    for _ in range(100):
        near = np.zeros(x.shape, bool)
        for point in avoid:
            near |= np.abs(x - point) < margin
        if not near.any():
            return x
        x = np.where(near, rng.uniform(low, high, x.shape), x)
    raise ValueError(f"values: found none in [{low}, {high}] away from {tuple(avoid)}")


def distinct_values(
    rng: np.random.Generator, shape: Sequence[int], low: float = -2.0, high: float = 2.0
) -> np.ndarray:
    r"""Float64 values of which no two are close: for maxima and for sorting."""
    n = int(np.prod(shape))
    steps = (rng.permutation(n) + rng.uniform(0.25, 0.75)) / max(n, 1)
    return (low + (high - low) * steps).reshape(tuple(shape))


@st.composite
def arrays(
    draw: st.DrawFn,
    shape: st.SearchStrategy[tuple[int, ...]] | tuple[int, ...] | None = None,
    low: float = -2.0,
    high: float = 2.0,
    avoid: Sequence[float] = (),
    dtype: Any = np.float64,
) -> np.ndarray:
    r"""Arrays of any layout: contiguous, transposed, reversed, with holes, channels-last."""
    if shape is None:
        shape = shapes()
    size = draw(shape) if isinstance(shape, st.SearchStrategy) else shape
    array = values(draw(generators()), size, low, high, avoid).astype(dtype)
    return draw(layouts())(array)


def float_dtypes() -> st.SearchStrategy[np.dtype]:
    r"""The dtypes that gradients are computed in."""
    return st.sampled_from((np.dtype(np.float64), np.dtype(np.float32)))


# ------------------------------------------------------------------------------ memory layouts
def _contiguous(x: np.ndarray) -> np.ndarray:
    return np.array(x, order="C")


def _transposed(x: np.ndarray) -> np.ndarray:
    return np.array(x, order="F")


def _reversed(x: np.ndarray) -> np.ndarray:
    r"""Negative strides along every axis."""
    flip: Any = (..., *(slice(None, None, -1),) * x.ndim)
    return np.array(x[flip], order="C")[flip]


def _with_holes(x: np.ndarray) -> np.ndarray:
    r"""Every second element of larger memory."""
    memory = np.full([2 * n + 1 for n in x.shape], 77, x.dtype)
    odd: Any = (..., *[slice(1, None, 2)] * x.ndim)
    view = memory[odd]
    view[...] = x
    return view


def _channels_last(x: np.ndarray) -> np.ndarray:
    r"""Axis 1 varies fastest in memory, as in the results of convolution."""
    if x.ndim < 3:
        return _transposed(x)
    return np.moveaxis(np.array(np.moveaxis(x, 1, -1), order="C"), -1, 1)


def layouts() -> st.SearchStrategy[Callable[[np.ndarray], np.ndarray]]:
    r"""Functions that copy an array into other memory: the same values, other strides."""
    return st.sampled_from((_contiguous, _transposed, _reversed, _with_holes, _channels_last))


# ---------------------------------------------------------------------------------------- axes
def axis(ndim: int) -> st.SearchStrategy[int]:
    r"""One axis of an array with ``ndim`` axes, counted from either end."""
    return st.integers(-ndim, ndim - 1)


@st.composite
def axes(draw: st.DrawFn, ndim: int) -> Any:
    r"""None (all axes), an axis, or a tuple of different axes."""
    kind = draw(st.sampled_from(("all", "one", "several")))
    if kind == "all" or not ndim:
        return None
    if kind == "one":
        return draw(axis(ndim))
    chosen = draw(st.lists(st.integers(0, ndim - 1), unique=True, min_size=1))
    return tuple([a - ndim if draw(st.booleans()) else a for a in chosen])


# ------------------------------------------------------------------------ convolution, pooling
@dataclasses.dataclass(frozen=True)
class ConvCase:
    r"""Shapes and arguments that fit each other. ``input`` is (N, C, ...) of the op itself."""

    input: tuple[int, ...]
    weight: tuple[int, ...]
    bias: tuple[int, ...] | None
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    output_padding: tuple[int, ...]


@st.composite
def conv_cases(
    draw: st.DrawFn, dims: int = 2, transposed: bool = False, max_out: int = 3
) -> ConvCase:
    r"""Arguments of a (transposed) convolution along ``dims`` axes, sizes kept small.

    The size is chosen from the output backwards, with leftover rows that no window reaches.
    """

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple([draw(st.integers(low, high)) for _ in range(dims)])

    groups = draw(st.sampled_from((1, 1, 2)))
    c_in, c_out = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel, stride, dilation, padding = each(1, 3), each(1, 2), each(1, 2), each(0, 2)
    n = draw(st.integers(1, 2))
    small, leftover, outpad = [], [], []
    for k, s, d, p in zip(kernel, stride, dilation, padding):
        reach = d * (k - 1) + 1
        # A convolution of `size` cells gives `out` ones, or a transposed one the other way round.
        out = draw(st.integers(1, max_out))
        while (out - 1) * s + reach - 2 * p < 1:
            out += 1
        small.append(out)
        leftover.append(draw(st.integers(0, s - 1)))
        outpad.append(draw(st.integers(0, max(s, d) - 1)))
    large = tuple(
        [
            (o - 1) * s + d * (k - 1) + 1 - 2 * p + e
            for o, s, d, k, p, e in zip(small, stride, dilation, kernel, padding, leftover)
        ]
    )
    bias = (c_out,) if draw(st.booleans()) else None
    if transposed:
        weight = (c_in, c_out // groups, *kernel)
        size = (n, c_in, *small)
    else:
        weight = (c_out, c_in // groups, *kernel)
        size = (n, c_in, *large)
    return ConvCase(size, weight, bias, stride, padding, dilation, groups, tuple(outpad))


@dataclasses.dataclass(frozen=True)
class PoolCase:
    r"""Shape and arguments of a pooling op."""

    input: tuple[int, ...]
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...] | None
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool


@st.composite
def pool_cases(draw: st.DrawFn, dims: int = 2, dilated: bool = False) -> PoolCase:
    r"""Arguments of a pooling op along ``dims`` axes: windows that overlap, touch or leave gaps."""

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple([draw(st.integers(low, high)) for _ in range(dims)])

    kernel = each(1, 3)
    stride = draw(st.sampled_from((None, each(1, 3))))
    padding = tuple([draw(st.integers(0, k // 2)) for k in kernel])
    dilation = each(1, 2) if dilated else (1,) * dims
    # An axis at least as long as the dilation: no window sees padding alone.
    size = [
        max(d, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 2))
        for k, p, d in zip(kernel, padding, dilation)
    ]
    lead = (draw(st.integers(1, 2)), draw(st.integers(1, 2)))
    return PoolCase((*lead, *size), kernel, stride, padding, dilation, draw(st.booleans()))
