r"""The op table: reductions and the softmax family."""

from __future__ import annotations

import numpy as np
from scipy import special

from minigrad import ops
from tests.ops.row import Case, Draw, Row


def _reduced(min_side: int = 0, distinct: bool = False, **params):
    def draw(d: Draw) -> Case:
        shape = d.shape(min_side=min_side)
        x = d.distinct(shape) if distinct else d.floats(shape)
        chosen = {"dim": d.axes(len(shape)), "keepdim": d.bool()}
        return Case((x,), chosen | {k: d.of(*v) for k, v in params.items()})

    return draw


def _along_one(min_side: int = 0, distinct: bool = False):
    def draw(d: Draw) -> Case:
        shape = d.shape(1, 3, min_side)
        x = d.distinct(shape) if distinct else d.floats(shape)
        return Case((x,), {"dim": d.axis(len(shape))})

    return draw


def _numpy(f):
    r"""NumPy's reduction under PyTorch's argument names."""
    return lambda x, dim, keepdim, **k: f(x, axis=dim, keepdims=keepdim, **k)


def _prod(d: Draw) -> Case:
    case = _reduced()(d)
    (x,) = case.arrays
    zeros = d.rng.random(x.shape) < 0.2  # the rule must not divide
    return Case((np.where(zeros, 0.0, x),), case.params)


def _extreme(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    return Case((d.distinct(shape),), {"dim": d.axis(len(shape)), "keepdim": d.bool()})


def _extreme_reference(value, index):
    def reference(x, dim, keepdim):
        i = index(x, axis=dim, keepdims=keepdim)
        return value(x, axis=dim, keepdims=keepdim), i

    return reference


def _logsumexp(x, dim, keepdim):
    with np.errstate(divide="ignore"):
        return np.log(np.exp(x).sum(axis=dim, keepdims=keepdim))


def _norm(d: Draw) -> Case:
    shape = d.shape(min_side=1)
    x = d.distinct(shape)
    x = np.where(x == 0, 1.0, x) + np.sign(x) * 0.3
    dim = d.axes(len(shape))
    powers = (0, 1, 2.0, 3, 0.5, -1, -2.0, "fro", None, float("inf"), float("-inf"))
    return Case((x,), {"p": d.of(*powers), "dim": dim})


def _norm_reference(x, p, dim):
    if p in (float("inf"), float("-inf")):
        return (np.max if p > 0 else np.min)(np.abs(x), axis=dim)
    if p == 0:
        return (x != 0).sum(axis=dim) * 1.0
    p = 2 if p in ("fro", None) else float(p)
    return (np.abs(x) ** p).sum(axis=dim) ** (1 / p)


def _sum_to(d: Draw) -> Case:
    a, b = d.broadcast()
    x = d.floats(np.broadcast_shapes(a, b))
    return Case((x,), {"shape": a})


def _sum_to_reference(x, shape):
    r"""Entry by entry: each goes where broadcasting would have taken it from."""
    total = np.zeros(shape)
    source = np.broadcast_to(np.arange(total.size).reshape(shape), x.shape)
    for index in np.ndindex(x.shape):
        total.reshape(-1)[source[index]] += x[index]
    return total


def _bools(d: Draw) -> Case:
    shape = d.shape()
    return Case((d.bools(shape),), {"dim": d.axes(len(shape)), "keepdim": d.bool()})


def _counted(d: Draw) -> Case:
    shape = d.shape()
    return Case((d.ints(shape, -1, 1),), {"dim": d.axes(len(shape))})


def _arg(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    dim = d.of(None, d.axis(len(shape)))
    return Case((d.distinct(shape),), {"dim": dim, "keepdim": d.bool()})


def _softmax_loop(x, dim, log=False):
    r"""One vector at a time."""
    result = np.empty_like(x)
    moved, out = np.moveaxis(x, dim, -1), np.moveaxis(result, dim, -1)
    for index in np.ndindex(moved.shape[:-1]):
        e = [np.exp(v) for v in moved[index]]
        out[index] = [np.log(v / sum(e)) if log else v / sum(e) for v in e]
    return result


ROWS = [
    Row("sum", ops.sum, _numpy(np.sum), _reduced()),
    Row("mean", ops.mean, _numpy(np.mean), _reduced(min_side=1)),
    Row(
        "var",
        ops.var,
        lambda x, dim, keepdim, unbiased: x.var(axis=dim, keepdims=keepdim, ddof=int(unbiased)),
        lambda d: _several(d, True),
        rtol=1e-5,
    ),
    Row(
        "std",
        ops.std,
        lambda x, dim, keepdim, unbiased: x.std(axis=dim, keepdims=keepdim, ddof=int(unbiased)),
        lambda d: _several(d, False),
        rtol=1e-5,
    ),
    Row("amax", ops.amax, _numpy(np.max), _reduced(1, distinct=True)),
    Row("amin", ops.amin, _numpy(np.min), _reduced(1, distinct=True)),
    Row("max", ops.max, _extreme_reference(np.max, np.argmax), _extreme),
    Row("min", ops.min, _extreme_reference(np.min, np.argmin), _extreme),
    Row("max-all", lambda x: ops.max(x), np.max, lambda d: Case((d.distinct(d.shape(0, 3, 1)),)),
        covers=("max",)),
    Row("prod", ops.prod, _numpy(np.prod), _prod, rtol=1e-5),
    Row("logsumexp", ops.logsumexp, _logsumexp, _reduced(min_side=1)),
    Row("softmax", ops.softmax, _softmax_loop, _along_one()),
    Row(
        "log_softmax",
        ops.log_softmax,
        lambda x, dim: special.log_softmax(x, axis=dim) if x.size else x,
        _along_one(),
    ),
    Row("norm", ops.norm, _norm_reference, _norm, rtol=1e-5),
    Row("sum_to", ops.sum_to, _sum_to_reference, _sum_to),
    Row("argmax", ops.argmax, lambda x, dim, keepdim: np.argmax(x, axis=dim, keepdims=keepdim),
        _arg, order=0),
    Row("argmin", ops.argmin, lambda x, dim, keepdim: np.argmin(x, axis=dim, keepdims=keepdim),
        _arg, order=0),
    Row("any", ops.any, _numpy(np.any), _bools, order=0),
    Row("all", ops.all, _numpy(np.all), _bools, order=0),
    Row("count_nonzero", ops.count_nonzero, lambda x, dim: np.count_nonzero(x, axis=dim),
        _counted, order=0),
]  # fmt: skip


def _several(d: Draw, unbiased_too: bool) -> Case:
    r"""At least two entries along every reduced axis, so that a spread exists."""
    shape = d.shape(1, 3, 2)
    params = {"dim": d.axes(len(shape)), "keepdim": d.bool(), "unbiased": d.bool()}
    return Case((d.distinct(shape),), params)
