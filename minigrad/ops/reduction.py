r"""Reductions: sums, extremes, norms, and the softmax family.

Belongs here: ops that combine the entries along some axes. ``dim`` and ``keepdim`` are PyTorch's;
``dim=None`` means all axes, an integer or a tuple names some.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ._base import (
    Function,
    get_array_module,
    is_tensor,
    normalise_axes,
    normalise_axis,
    raw,
    run,
    shape_of,
)
from .elementwise import abs as abs_
from .elementwise import square, where
from .shape import broadcast_to, flip, reshape
from .transcendental import exp

__all__ = [
    "all", "amax", "amin", "any", "argmax", "argmin", "count_nonzero", "log_softmax",
    "logsumexp", "max", "mean", "min", "norm", "prod", "softmax", "std", "std_mean", "sum",
    "sum_to", "var", "var_mean",
]  # fmt: skip

_sum, _max, _min, _any, _all = sum, max, min, any, all


def _size(shape: Sequence[int], axes: Sequence[int]) -> int:
    return math.prod([shape[a] for a in axes])


def _keep_shape(shape: Sequence[int], axes: Sequence[int]) -> tuple[int, ...]:
    r"""The shape with 1 at each reduced axis."""
    return tuple([1 if i in axes else n for i, n in enumerate(shape)])


class _Reduction(Function):
    shape: tuple[int, ...]  # of the input, set by forward

    def __init__(self, axes: tuple[int, ...], keepdim: bool) -> None:
        self.axes, self.keepdim = axes, keepdim

    def spread(self, g: Any) -> Any:
        r"""A gradient of the reduced shape, broadcast over the input's."""
        if isinstance(g, (np.ndarray, np.generic)) and g.size == 1:
            if math.prod(self.shape) < 10_000:  # quicker than a broadcast view of one number
                return np.full(self.shape, g, g.dtype)
        return broadcast_to(reshape(g, _keep_shape(self.shape, self.axes)), self.shape)


class Sum(_Reduction):
    r"""y = Σ x;  x̄ = ȳ at every entry."""

    def forward(self, x):
        self.shape = x.shape
        if x.dtype.kind in "biu":
            return x.sum(axis=self.axes, keepdims=self.keepdim, dtype=np.int64)
        return x.sum(axis=self.axes, keepdims=self.keepdim)

    def backward(self, g):
        return self.spread(g)


class Mean(_Reduction):
    r"""y = Σ x / n;  x̄ = ȳ / n at every entry."""

    to_float = True

    def forward(self, x):
        self.shape = x.shape
        self.n = _size(x.shape, self.axes)
        # The sum and one division: as exact as the mean, and half its overhead.
        return x.sum(axis=self.axes, keepdims=self.keepdim) / _divisor(self.n)

    def backward(self, g):
        return self.spread(g * (1 / _divisor(self.n)))


def _divisor(n: int) -> float:
    return float(n) if n else math.nan


class SumTo(Function):
    r"""The adjoint of broadcasting: sum over the axes along which ``shape`` was repeated."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.target = shape

    def forward(self, x):
        from ..walk import _sum_to

        self.shape = x.shape
        return _sum_to(x, self.target)

    def backward(self, g):
        return broadcast_to(g, self.shape)


class Extreme(_Reduction):
    r"""y = max x or min x; entries that attain it share ȳ equally, as PyTorch's amax has it."""

    def __init__(self, axes: tuple[int, ...], keepdim: bool, largest: bool) -> None:
        super().__init__(axes, keepdim)
        self.largest = largest

    def forward(self, x):
        self.shape = x.shape
        reduce = x.max if self.largest else x.min
        y = reduce(axis=self.axes, keepdims=True)
        if self.recording:
            hit = (x == y).astype(x.dtype)
            # Weights of the gradient: locally constant, hence constants of the rule.
            self.weight = hit / hit.sum(axis=self.axes, keepdims=True)
        if self.keepdim:
            return y
        return y.reshape([n for i, n in enumerate(x.shape) if i not in self.axes])

    def backward(self, g):
        return self.spread(g) * self.weight


class Prod(_Reduction):
    r"""y = Π x;  the gradient of each entry is ȳ times the product of all others, computed
    without dividing, so zeros are no special case."""

    def forward(self, x):
        self.shape = x.shape
        dtype = None if x.dtype.kind == "f" else np.int64
        return x.prod(axis=self.axes, keepdims=self.keepdim, dtype=dtype)

    def backward(self, g, x):
        # Π_{j≠i} x_j = (product of those before i) · (product of those after i).
        order = [i for i in range(len(self.shape)) if i not in self.axes] + list(self.axes)
        kept = [self.shape[i] for i in order[: len(order) - len(self.axes)]]
        n = _size(self.shape, self.axes)
        flat = reshape(_permute(x, order), (*kept, n))
        before = _exclusive_products(flat)
        after = flip(_exclusive_products(flip(flat, (-1,))), (-1,))
        others = reshape(before * after, [self.shape[i] for i in order])
        inverse = [order.index(i) for i in range(len(order))]
        return self.spread(g) * _permute(others, inverse)


def _permute(x: Any, order: Sequence[int]) -> Any:
    from .shape import permute

    return permute(x, tuple(order))


def _exclusive_products(x: Any) -> Any:
    r"""At i, the product of x[..., :i]. Built in log2(n) doubling steps of elementwise ops."""
    from .padding import pad

    n = shape_of(x)[-1]
    result = pad(x, (1, 0), value=1.0)[..., :n]
    step = 1
    while step < n:
        result = result * pad(result, (step, 0), value=1.0)[..., :n]
        step *= 2
    return result


class LogSumExp(_Reduction):
    r"""y = ln Σ e^x, shifted by the maximum so that nothing overflows;  x̄ = ȳ e^(x - y)."""

    to_float = True

    def forward(self, x):
        self.shape = x.shape
        xp = get_array_module(x)
        if not _size(x.shape, self.axes):
            return xp.log(x.sum(axis=self.axes, keepdims=self.keepdim))
        top = x.max(axis=self.axes, keepdims=True)
        top = xp.where(xp.isfinite(top), top, 0)  # -inf - -inf would be NaN
        y = xp.log(xp.exp(x - top).sum(axis=self.axes, keepdims=True)) + top
        self.kept_shape = y.shape
        if self.keepdim:
            return y
        return y.reshape([n for i, n in enumerate(x.shape) if i not in self.axes])

    def backward(self, g, x, out):
        y = reshape(out, _keep_shape(self.shape, self.axes))
        return reshape(g, _keep_shape(self.shape, self.axes)) * exp(x - y)


class Softmax(Function):
    r"""y_i = e^{x_i} / Σ_j e^{x_j};  x̄_i = y_i (ȳ_i - Σ_j ȳ_j y_j)."""

    to_float = True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x):
        xp = get_array_module(x)
        if not x.size:
            return x.copy()
        y = x - x.max(axis=self.axis, keepdims=True)
        y = xp.exp(y)
        return y / y.sum(axis=self.axis, keepdims=True)

    def backward(self, g, out):
        inner = g * out
        return inner - out * sum(inner, self.axis, keepdim=True)


class LogSoftmax(Function):
    r"""y_i = x_i - ln Σ_j e^{x_j};  x̄_i = ȳ_i - e^{y_i} Σ_j ȳ_j."""

    to_float = True

    def __init__(self, axis: int) -> None:
        self.axis = axis

    def forward(self, x):
        xp = get_array_module(x)
        if not x.size:
            return x.copy()
        y = x - x.max(axis=self.axis, keepdims=True)
        return y - xp.log(xp.exp(y).sum(axis=self.axis, keepdims=True))

    def backward(self, g, out):
        return g - exp(out) * sum(g, self.axis, keepdim=True)


# ---------------------------------------------------------------------------- the public functions
def _prepare(input: Any, dim: Any, name: str) -> tuple[int, ...]:
    if isinstance(dim, (tuple, list)) and not dim:
        dim = None  # no axes mean all axes, as in PyTorch
    return normalise_axes(dim, len(shape_of(input)), name)


def _as(input: Any, dtype: Any) -> Any:
    if dtype is None:
        return input
    from .elementwise import cast

    return cast(input, dtype)


def _not_empty(input: Any, axes: Sequence[int], name: str) -> None:
    if not _size(shape_of(input), axes):
        raise ValueError(f"{name}: expected at least one entry to reduce, got {shape_of(input)}")


def sum(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    r"""The sum over ``dim`` (all axes if None).

    >>> import minigrad as mg
    >>> mg.sum(mg.ones(2, 3), dim=1)
    tensor([3., 3.])
    """
    return Sum.apply(_as(input, dtype), axes=_prepare(input, dim, "sum"), keepdim=keepdim)


def sum_to(input: Any, shape: Sequence[int]) -> Any:
    r"""Sum over the axes along which ``shape`` would be repeated to broadcast to input's shape."""
    shape = tuple(shape)
    return input if shape_of(input) == shape else SumTo.apply(input, shape=shape)


def mean(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    r"""The mean over ``dim``; NaN over no entries."""
    return Mean.apply(_as(input, dtype), axes=_prepare(input, dim, "mean"), keepdim=keepdim)


def var(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
) -> Any:
    r"""The variance :math:`\frac{1}{n - c}\sum (x - \bar x)^2`; c = ``correction``, by default 1
    (``unbiased=True``), 0 with ``unbiased=False``. ``var(x, False)`` means the latter too."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    axes = _prepare(input, dim, "var")
    correction = float(unbiased) if correction is None else correction
    left = _size(shape_of(input), axes) - correction
    squares = sum(square(input - mean(input, axes, keepdim=True)), axes, keepdim)
    if left > 0:
        return squares * (1 / left)
    return where(raw(squares) == 0, math.nan, where(raw(squares) == 0, 1.0, squares) * math.inf)


def std(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
) -> Any:
    r"""The standard deviation, the square root of :func:`var`. Where it is 0 its gradient is taken
    as 0, as in PyTorch."""
    return _root(var(input, dim, unbiased, keepdim, correction), 0.5)


def var_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
) -> tuple[Any, Any]:
    r"""``(var, mean)`` over ``dim``."""
    found = var(input, dim, unbiased, keepdim, correction)
    return found, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def std_mean(
    input: Any,
    dim: Any = None,
    unbiased: bool = True,
    keepdim: bool = False,
    correction: float | None = None,
) -> tuple[Any, Any]:
    r"""``(std, mean)`` over ``dim``."""
    found = std(input, dim, unbiased, keepdim, correction)
    return found, mean(input, None if isinstance(dim, bool) else dim, keepdim)


def _root(x: Any, power: float) -> Any:
    r"""``x ** power`` with gradient 0 at 0, where it is infinite: steps aside to 1 there, and puts
    0 back."""
    at_zero = raw(x) == 0
    return where(at_zero, 0.0, where(at_zero, 1.0, x) ** power)


def amax(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    r"""The largest entry over ``dim``; entries that tie share the gradient."""
    axes = _prepare(input, dim, "amax")
    _not_empty(input, axes, "amax")
    return Extreme.apply(input, axes=axes, keepdim=keepdim, largest=True)


def amin(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    r"""The smallest entry over ``dim``; entries that tie share the gradient."""
    axes = _prepare(input, dim, "amin")
    _not_empty(input, axes, "amin")
    return Extreme.apply(input, axes=axes, keepdim=keepdim, largest=False)


def _extreme_with_index(input: Any, dim: int, keepdim: bool, index_of: Any) -> tuple[Any, Any]:
    from .indexing import take_along_dim
    from .shape import squeeze

    index = index_of(input, dim, keepdim=True)
    values = take_along_dim(input, index, dim)
    return (values, index) if keepdim else (squeeze(values, dim), squeeze(index, dim))


def max(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    r"""The largest entry; with ``dim`` an integer, ``(values, indices)`` along it, the first index
    where several tie; with ``dim`` a tensor, :func:`maximum` of the two."""
    if dim is None:
        return amax(input)
    if is_tensor(dim):
        from .elementwise import maximum

        return maximum(input, dim)
    return _extreme_with_index(input, dim, keepdim, argmax)


def min(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    r"""The smallest entry; with ``dim`` an integer, ``(values, indices)`` along it, the first
    index where several tie; with ``dim`` a tensor, :func:`minimum` of the two."""
    if dim is None:
        return amin(input)
    if is_tensor(dim):
        from .elementwise import minimum

        return minimum(input, dim)
    return _extreme_with_index(input, dim, keepdim, argmin)


def _arg(input: Any, dim: int | None, keepdim: bool, name: str) -> Any:
    shape = shape_of(input)
    axes = normalise_axes(dim, len(shape), name)
    _not_empty(input, axes, name)

    def find(x: Any) -> Any:
        method = x.argmax if name == "argmax" else x.argmin
        if dim is None:
            index = method()
            return index.reshape((1,) * x.ndim) if keepdim else index
        axis = normalise_axis(dim, x.ndim, name)
        index = method(axis=axis) if x.ndim else method()
        return get_array_module(x).expand_dims(index, axis) if keepdim and x.ndim else index

    return run(find, input)


def argmax(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    r"""The index of the largest entry along ``dim``, or in the flattened tensor; the first if
    several tie. No gradient."""
    return _arg(input, dim, keepdim, "argmax")


def argmin(input: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    r"""The index of the smallest entry along ``dim``, or in the flattened tensor; the first if
    several tie. No gradient."""
    return _arg(input, dim, keepdim, "argmin")


def prod(input: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    r"""The product over ``dim``."""
    return Prod.apply(_as(input, dtype), axes=_prepare(input, dim, "prod"), keepdim=keepdim)


def logsumexp(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    r""":math:`\ln \sum e^{x}` over ``dim``, without overflow."""
    return LogSumExp.apply(input, axes=_prepare(input, dim, "logsumexp"), keepdim=keepdim)


def softmax(input: Any, dim: int = -1, dtype: Any = None) -> Any:
    r""":math:`e^{x_i} / \sum_j e^{x_j}` along ``dim``, without overflow."""
    return Softmax.apply(
        _as(input, dtype), axis=normalise_axis(dim, len(shape_of(input)), "softmax")
    )


def log_softmax(input: Any, dim: int = -1, dtype: Any = None) -> Any:
    r""":math:`x_i - \ln \sum_j e^{x_j}` along ``dim``: the logarithm of :func:`softmax`, exact
    where that underflows."""
    axis = normalise_axis(dim, len(shape_of(input)), "log_softmax")
    return LogSoftmax.apply(_as(input, dtype), axis=axis)


def norm(input: Any, p: Any = "fro", dim: Any = None, keepdim: bool = False) -> Any:
    r"""The p-norm :math:`(\sum |x|^p)^{1/p}` of the entries over ``dim``.

    Args:
        p: a number, of any sign; ``"fro"`` or None for 2; ``inf`` and ``-inf`` for the largest and
            smallest size; 0 for how many entries are not 0.

    At an entry 0 its gradient is taken as 0, as in PyTorch.

    Raises:
        ValueError: a negative ``p``, or inf, over no entries.
    """
    if isinstance(p, str) and p != "fro":
        raise ValueError(f"norm: expected p to be a number or 'fro', got {p!r}")
    p = 2.0 if p is None or p == "fro" else float(p)
    if p < 0 or p == math.inf:
        _not_empty(input, _prepare(input, dim, "norm"), "norm")
    if p == math.inf:
        return amax(abs_(input), dim, keepdim)
    if p == -math.inf:
        return amin(abs_(input), dim, keepdim)
    if p == 0:
        array = raw(input)
        plain = (array != 0) & get_array_module(array).isfinite(array)
        ones = where(array == 0, 0.0, where(plain, input, 1.0) * 0 + 1)
        return sum(ones, dim, keepdim)
    if p == 1:
        return sum(abs_(input), dim, keepdim)
    if p == 2:
        return _root(sum(square(input), dim, keepdim), 0.5)
    at_zero = raw(input) == 0  # where |x|^p has no slope, or an infinite one
    powers = abs_(where(at_zero, 1.0, input)) ** p
    total = sum(where(at_zero, 0.0 if p > 0 else math.inf, powers), dim, keepdim)
    return _root(total, 1 / p) if p > 0 else total ** (1 / p)


def count_nonzero(input: Any, dim: Any = None) -> Any:
    r"""How many entries over ``dim`` are not 0. No gradient."""
    axes = _prepare(input, dim, "count_nonzero")
    return run(lambda x: (x != 0).sum(axis=axes), input)


def any(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    r"""Whether any entry over ``dim`` is true. No gradient."""
    axes = _prepare(input, dim, "any")
    return run(lambda x: (x != 0).any(axis=axes, keepdims=keepdim), input)


def all(input: Any, dim: Any = None, keepdim: bool = False) -> Any:
    r"""Whether all entries over ``dim`` are true. No gradient."""
    axes = _prepare(input, dim, "all")
    return run(lambda x: (x != 0).all(axis=axes, keepdims=keepdim), input)
