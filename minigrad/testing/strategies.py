r"""Hypothesis strategies for what ops are tried on: shapes, values, memory layouts, dtypes, axes,
and the arguments of convolution and pooling.

Belongs here: what is useful for checking any op, yours too. Needs hypothesis, which is imported
here and nowhere else in minigrad. Does not belong here: what one particular op accepts.

Every strategy exists twice. ``shapes()``, a hypothesis strategy, makes a failing example simpler.
``Choices.shape()`` chooses the same way with a NumPy generator, evenly: where only a few examples
are tried, hypothesis would spend most of them on the simplest. Values always come from a NumPy
generator with a drawn seed, which is a hundred times faster.

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
    "Choices",
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

Shape = tuple[int, ...]
Layout = Callable[[np.ndarray], np.ndarray]


class Choices:
    r"""Shapes, axes, layouts and arguments, chosen evenly with a NumPy generator.

    >>> import numpy as np
    >>> choices = Choices(np.random.default_rng(0))
    >>> shape = choices.shape(min_dims=2, max_dims=2, min_side=1)
    >>> len(shape)
    2
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def integer(self, low: int, high: int) -> int:
        r"""An integer from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def of(self, *options: Any) -> Any:
        r"""One of the options."""
        return options[self.integer(0, len(options) - 1)]

    def boolean(self) -> bool:
        r"""True or False."""
        return bool(self.of(False, True))

    def shape(
        self, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
    ) -> Shape:
        r"""A shape with few entries; with ``min_side=0`` sometimes of size zero."""
        # Zero and one are rarer: with more of them, most shapes would have few entries or none.
        sides = [
            n for n in range(max(min_side, 1), max_side + 1) for _ in range(2 if n == 1 else 4)
        ]
        sides += [0] if min_side == 0 else []
        return tuple([self.of(*sides) for _ in range(self.integer(min_dims, max_dims))])

    def broadcastable_shapes(
        self, n: int = 2, max_dims: int = 3, min_side: int = 0, max_side: int = 3
    ) -> tuple[Shape, ...]:
        r"""``n`` shapes that broadcast together: axes of one are 1 or missing in another."""
        common = self.shape(0, max_dims, min_side, max_side)
        found = []
        for _ in range(n):
            lead = self.of(0, 0, self.integer(0, len(common)))
            found.append(tuple([self.of(k, k, 1) for k in common[lead:]]))
        return tuple(found)

    def axis(self, ndim: int) -> int:
        r"""One axis, counted from either end."""
        return self.integer(-ndim, ndim - 1)

    def axes(self, ndim: int) -> Any:
        r"""None (all axes), an axis, or a tuple of different axes."""
        kind = self.of("all", "one", "several")
        if kind == "all" or not ndim:
            return None
        if kind == "one":
            return self.axis(ndim)
        chosen = [a for a in range(ndim) if self.boolean()] or [0]
        return tuple([a - ndim if self.boolean() else a for a in chosen])

    def layout(self) -> Layout:
        r"""See :func:`layouts`."""
        return self.of(_contiguous, _transposed, _reversed, _with_holes, _channels_last)

    def conv_case(self, dims: int = 2, transposed: bool = False, max_out: int = 3) -> ConvCase:
        r"""See :func:`conv_cases`."""
        groups = self.of(1, 1, 2)
        c_in, c_out = groups * self.integer(1, 2), groups * self.integer(1, 2)
        kernel, stride = self._each(dims, 1, 3), self._each(dims, 1, 2)
        dilation, padding = self._each(dims, 1, 2), self._each(dims, 0, 2)
        small, large, more = [], [], []
        for k, s, p, d in zip(kernel, stride, padding, dilation):
            reach = d * (k - 1) + 1
            # `large` cells give `small` windows, and leftover cells that no window reaches.
            out = self.integer(1, max_out)
            while (out - 1) * s + reach - 2 * p < 1:
                out += 1
            small.append(out)
            large.append((out - 1) * s + reach - 2 * p + self.integer(0, s - 1))
            more.append(self.integer(0, max(s, d) - 1))
        size = (self.integer(1, 2), c_in, *(small if transposed else large))
        weight = (c_in, c_out // groups) if transposed else (c_out, c_in // groups)
        bias = (c_out,) if self.boolean() else None
        return ConvCase(
            size, (*weight, *kernel), bias, stride, padding, dilation, groups, tuple(more)
        )

    def pool_case(self, dims: int = 2, dilated: bool = False) -> PoolCase:
        r"""See :func:`pool_cases`."""
        kernel = self._each(dims, 1, 3)
        stride = self.of(None, self._each(dims, 1, 3))
        padding = tuple([self.integer(0, k // 2) for k in kernel])
        dilation = self._each(dims, 1, 2) if dilated else (1,) * dims
        # An axis at least as long as the dilation: no window sees padding alone.
        size = [
            max(d, d * (k - 1) + 1 - 2 * p) + self.integer(0, 2)
            for k, p, d in zip(kernel, padding, dilation)
        ]
        shape = (*self._each(2, 1, 2), *size)
        return PoolCase(shape, kernel, stride, padding, dilation, self.boolean())

    def _each(self, n: int, low: int, high: int) -> Shape:
        return tuple([self.integer(low, high) for _ in range(n)])


class _Drawn(Choices):
    r"""The same choices made by hypothesis, which makes them simpler when a test fails."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def integer(self, low: int, high: int) -> int:
        return int(self.draw(st.integers(low, high)))


def _strategy(choose: Callable[[Choices], Any]) -> st.SearchStrategy[Any]:
    return st.composite(lambda draw: choose(_Drawn(draw)))()


# ------------------------------------------------------------------------------------- shapes
def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> st.SearchStrategy[Shape]:
    r"""Shapes with few entries; with ``min_side=0`` also shapes of size zero."""
    return _strategy(lambda c: c.shape(min_dims, max_dims, min_side, max_side))


def broadcastable_shapes(
    n: int = 2, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> st.SearchStrategy[tuple[Shape, ...]]:
    r"""``n`` shapes that broadcast together: axes of one are 1 or missing in another."""
    return _strategy(lambda c: c.broadcastable_shapes(n, max_dims, min_side, max_side))


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


def layouts() -> st.SearchStrategy[Layout]:
    r"""Functions that copy an array into other memory: the same values, other strides."""
    return _strategy(lambda c: c.layout())


# ---------------------------------------------------------------------------------------- axes
def axis(ndim: int) -> st.SearchStrategy[int]:
    r"""One axis of an array with ``ndim`` axes, counted from either end."""
    return _strategy(lambda c: c.axis(ndim))


def axes(ndim: int) -> st.SearchStrategy[Any]:
    r"""None (all axes), an axis, or a tuple of different axes."""
    return _strategy(lambda c: c.axes(ndim))


# ------------------------------------------------------------------------ convolution, pooling
@dataclasses.dataclass(frozen=True)
class ConvCase:
    r"""Shapes and arguments that fit each other. ``input`` is (N, C, ...) of the op itself."""

    input: Shape
    weight: Shape
    bias: Shape | None
    stride: Shape
    padding: Shape
    dilation: Shape
    groups: int
    output_padding: Shape


def conv_cases(
    dims: int = 2, transposed: bool = False, max_out: int = 3
) -> st.SearchStrategy[ConvCase]:
    r"""Arguments of a (transposed) convolution along ``dims`` axes, sizes kept small: padding
    wider than needed, rows that no window reaches, groups, dilation."""
    return _strategy(lambda c: c.conv_case(dims, transposed, max_out))


@dataclasses.dataclass(frozen=True)
class PoolCase:
    r"""Shape and arguments of a pooling op."""

    input: Shape
    kernel_size: Shape
    stride: Shape | None
    padding: Shape
    dilation: Shape
    ceil_mode: bool


def pool_cases(dims: int = 2, dilated: bool = False) -> st.SearchStrategy[PoolCase]:
    r"""Arguments of a pooling op along ``dims`` axes: windows that overlap, touch or leave gaps."""
    return _strategy(lambda c: c.pool_case(dims, dilated))
