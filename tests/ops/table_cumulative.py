r"""The op table: running sums and products, order, counting, scattering, and small compositions."""

from __future__ import annotations

import bisect
import statistics

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row


def _along(min_side: int = 0, distinct: bool = False):
    def draw(d: Draw) -> Case:
        shape = d.shape(1, 3, min_side)
        x = d.distinct(shape) if distinct else d.floats(shape)
        return Case((x,), {"dim": d.axis(len(shape))})

    return draw


def _with_zeros(d: Draw) -> Case:
    case = _along()(d)
    (x,) = case.arrays
    return Case((np.where(d.rng.random(x.shape) < 0.2, 0.0, x),), case.params)


def _log_cumulative(x, dim):
    with np.errstate(divide="ignore"):
        return np.log(np.cumsum(np.exp(x), axis=dim))


def _diff(d: Draw) -> Case:
    shape = d.shape(1, 3)
    return Case((d.floats(shape),), {"n": d.int(0, 2), "dim": d.axis(len(shape))})


def _median(d: Draw) -> Case:
    case = _along(1, True)(d)
    return Case(case.arrays, case.params | {"keepdim": d.bool()})


def _median_reference(x, dim, keepdim):
    index = np.apply_along_axis(lambda v: np.argsort(v)[(len(v) - 1) // 2], dim, x)
    values = np.apply_along_axis(lambda v: statistics.median_low(v), dim, x)
    if keepdim:
        return np.expand_dims(values, dim), np.expand_dims(index, dim)
    return values, index


def _bincount(d: Draw) -> Case:
    n = d.int(0, 5)
    return Case((d.ints((n,), 0, 4),), {"minlength": d.int(0, 6)})


def _bincount_reference(x, minlength):
    size = max(int(x.max(initial=-1)) + 1, minlength)
    return np.array([int((x == k).sum()) for k in range(size)], np.int64)


def _search(d: Draw) -> Case:
    rows = d.of((), (2,), (2, 1))
    s = np.sort(d.ints((*rows, d.int(1, 4)), 0, 4), -1)
    v = d.ints((*rows, d.int(0, 3)) if rows else d.shape(), -1, 5)
    return Case((s, v), {"right": d.bool()})


def _search_reference(s, v, right):
    find = bisect.bisect_right if right else bisect.bisect_left
    result = np.zeros(v.shape, np.int64)
    for at in np.ndindex(v.shape):
        row = s[at[:-1]] if s.ndim > 1 else s
        result[at] = find(row.tolist(), v[at])
    return result


def _nonzero(d: Draw) -> Case:
    return Case((d.ints(d.shape(1, 3), 0, 1),))


def _nonzero_reference(x):
    found = [at for at in np.ndindex(x.shape) if x[at]]
    return np.array(found, np.int64).reshape(len(found), x.ndim)


def _scatter(d: Draw) -> Case:
    r"""No place is written twice along ``dim``: which value stays would be undefined."""
    shape = d.shape(1, 3, 1)
    dim = d.axis(len(shape)) % len(shape)
    size = [d.int(0, n) for n in shape]
    moved = np.empty([n for i, n in enumerate(size) if i != dim] + [size[dim]], int)
    for at in np.ndindex(moved.shape[:-1]):
        moved[at] = d.rng.permutation(shape[dim])[: size[dim]]
    source = [n + d.int(0, 1) for n in size]
    return Case((d.floats(shape), np.moveaxis(moved, -1, dim), d.floats(source)), {"dim": dim})


def _scatter_reference(x, index, src, dim):
    result = x.copy()
    for at in np.ndindex(index.shape):
        target = list(at)
        target[dim] = index[at]
        result[tuple(target)] = src[at]
    return result


def _number_scattered(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    dim = d.axis(len(shape))
    index = d.ints([d.int(0, n) for n in shape], 0, shape[dim] - 1)
    return Case((d.floats(shape), index), {"dim": dim, "value": d.of(1.5, 2)})


def _grid(d: Draw) -> Case:
    vectors = [d.floats((d.int(0, 3),)) for _ in range(d.int(1, 3))]
    return Case(tuple(vectors), {"indexing": d.of("ij", "xy")})


def _three(d: Draw) -> Case:
    a, b, c = d.broadcast(3)
    return Case((d.floats(a), d.floats(b), d.floats(c, 0.5, 2.0)), {"value": d.of(1, -0.5)})


def _lerp(d: Draw) -> Case:
    a, b, c = d.broadcast(3)
    return Case((d.floats(a), d.floats(b), d.floats(c)))


def _product(batched: bool):
    def draw(d: Draw) -> Case:
        n, m, k = d.int(0, 3), d.int(1, 3), d.int(1, 3)
        lead = (d.int(1, 2),) if batched else ()
        bias = d.of((*lead, n, k), (k,), (1, 1))
        arrays = d.floats(bias), d.floats((*lead, n, m)), d.floats((*lead, m, k))
        return Case(arrays, {"beta": d.of(1, 0.5), "alpha": d.of(1, 2.0)})

    return draw


def _spread(d: Draw) -> Case:
    shape = d.shape(1, 3, 2)
    params = {"dim": d.axes(len(shape)), "keepdim": d.bool(), "correction": d.of(0, 1)}
    return Case((d.distinct(shape),), params)


def _spread_reference(f):
    return lambda x, dim, keepdim, correction: (
        f(x, axis=dim, keepdims=keepdim, ddof=correction),
        x.mean(axis=dim, keepdims=keepdim),
    )


def _rounded(d: Draw) -> Case:
    r"""Quotients that are nowhere near whole."""
    a, b = d.broadcast()
    size = d.of(0.75, 1.25)
    quotient = d.ints(a, -3, 3) + d.rng.uniform(0.2, 0.8, a)
    arrays = size * np.asarray(quotient), np.where(d.bools(b), size, -size)
    return Case(arrays, {"rounding_mode": d.of("floor", "trunc")})


def _whole(d: Draw) -> Case:
    a, b = d.broadcast()
    y = d.ints(b, 1, 3) * np.where(d.bools(b), 1, -1)
    return Case((d.ints(a, -7, 7), y), {"rounding_mode": d.of("floor", "trunc")})


def _rounded_reference(x, y, rounding_mode):
    q = (np.floor if rounding_mode == "floor" else np.trunc)(x / y)
    return q.astype(np.result_type(x, y))


ROWS = [
    Row("cumsum", ops.cumsum, lambda x, dim: np.cumsum(x, axis=dim), _along()),
    Row("cumprod", ops.cumprod, lambda x, dim: np.cumprod(x, axis=dim), _with_zeros, rtol=1e-5),
    Row("logcumsumexp", ops.logcumsumexp, _log_cumulative, _along(), rtol=1e-5),
    Row("diff", ops.diff, lambda x, n, dim: np.diff(x, n, axis=dim), _diff),
    Row("median", ops.median, _median_reference, _median),
    Row("median-all", ops.median, lambda x: np.asarray(statistics.median_low(x.ravel())),
        lambda d: Case((d.distinct(d.shape(0, 3, 1)),)), covers=("median",)),
    Row("bincount", ops.bincount, _bincount_reference, _bincount, order=0),
    Row("searchsorted", ops.searchsorted, _search_reference, _search, order=0),
    Row("nonzero", ops.nonzero, _nonzero_reference, _nonzero, order=0),
    Row("scatter", lambda x, index, src, dim: ops.scatter(x, dim, index, src), _scatter_reference,
        _scatter),
    Row("scatter-number", lambda x, index, dim, value: ops.scatter(x, dim, index, value),
        lambda x, index, dim, value: _scatter_reference(
            x, index, np.full(index.shape, value), dim
        ), _number_scattered, covers=("scatter",)),
    Row("meshgrid", ops.meshgrid, lambda *x, indexing: tuple(np.meshgrid(*x, indexing=indexing)),
        _grid),
    Row("lerp", ops.lerp, lambda x, y, w: (1 - w) * x + w * y, _lerp, rtol=1e-5),
    Row("addcmul", ops.addcmul, lambda x, y, z, value: x + value * y * z, _three),
    Row("addcdiv", ops.addcdiv, lambda x, y, z, value: x + value * y / z, _three, rtol=1e-5),
    Row("addmm", ops.addmm, lambda x, a, b, beta, alpha: beta * x + alpha * (a @ b),
        _product(False), rtol=1e-5),
    Row("baddbmm", ops.baddbmm, lambda x, a, b, beta, alpha: beta * x + alpha * (a @ b),
        _product(True), rtol=1e-5),
    Row("clamp_min", lambda x: ops.clamp_min(x, -0.5), lambda x: np.maximum(x, -0.5),
        lambda d: Case((d.floats(d.shape(), away=(-0.5,)),))),
    Row("clamp_max", lambda x: ops.clamp_max(x, 0.5), lambda x: np.minimum(x, 0.5),
        lambda d: Case((d.floats(d.shape(), away=(0.5,)),))),
    Row("var_mean", ops.var_mean, _spread_reference(np.var), _spread, rtol=1e-5),
    Row("std_mean", ops.std_mean, _spread_reference(np.std), _spread, rtol=1e-5),
    Row("div-rounded", ops.div, _rounded_reference, _rounded, order=0, covers=("div",)),
    Row("div-whole", ops.div, _rounded_reference, _whole, order=0, covers=("div",)),
    Row("round-decimals", ops.round, lambda x, decimals: np.round(x, decimals),
        lambda d: Case((d.ints(d.shape(), -30, 30) / 10 + 0.03,), {"decimals": d.of(0, 1)}),
        covers=("round",)),
]  # fmt: skip
