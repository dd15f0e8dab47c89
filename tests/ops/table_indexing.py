r"""The op table: selecting entries by position."""

from __future__ import annotations

import numpy as np

import minigrad as mg
from minigrad import ops
from minigrad.backend import device_of, to_device
from tests.ops.row import Case, Draw, Row


def _basic(d: Draw) -> Case:
    x = d.floats((3, 2, 3))
    index = d.of(
        0, -1, slice(None), slice(0, 0), slice(None, None, -1), slice(2, None, -2), ...,
        None, (1, 0, 2), (slice(1, 3), ..., 1), (None, 1, None, slice(None, None, 2)),
        (slice(None), -1), (..., slice(0, 2)), (),
    )  # fmt: skip
    return Case((x,), {"index": index})


def _integer_arrays(d: Draw) -> Case:
    r"""Repeated and negative positions, arrays that broadcast, arrays apart from each other."""
    x = d.floats((3, 2, 4))
    i = d.ints(d.of((4,), (2, 2), (), (0,)), -3, 2)
    j = d.ints(d.of((), (1,), (2, 1)), -2, 1)
    k = d.ints((3,), -4, 3)
    index = d.of(
        i, (i,), (slice(None), np.array([0, 1, 1])), (np.array([[0], [2]]), np.array([0, 1, 0])),
        (k % 3, k % 2, k), (k % 3, slice(None), k), (..., k), (None, k % 3), (1, slice(None), k),
        (j % 2, slice(None, None, -1), 0), [0, 0, 2],
    )  # fmt: skip
    return Case((x,), {"index": index})


def _masks(d: Draw) -> Case:
    x = d.floats((3, 2, 2))
    index = d.of(
        d.bools((3, 2, 2)), d.bools((3,)), d.bools((3, 2)), (slice(None), d.bools((2,))),
        (..., np.array([True, False])), np.zeros((3,), bool), (d.bools((3,)), 0),
    )  # fmt: skip
    return Case((x,), {"index": index})


def _getitem(x, index):
    r"""With the arrays of the index on x's device."""
    here = device_of(x.data if isinstance(x, mg.Tensor) else x)

    def move(part):
        return to_device(part, here) if isinstance(part, np.ndarray) else part

    return ops.getitem(x, tuple(map(move, index)) if isinstance(index, tuple) else move(index))


def _gather(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    dim = d.axis(len(shape))
    size = [d.int(0, n) for n in shape]
    size[dim] = d.int(0, 4)
    return Case((d.floats(shape), d.ints(size, 0, shape[dim] - 1)), {"dim": dim})


def _gather_reference(x, index, dim):
    result = np.empty(index.shape)
    for at in np.ndindex(index.shape):
        source = list(at)
        source[dim] = index[at]
        result[at] = x[tuple(source)]
    return result


def _scatter(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    dim = d.axis(len(shape))
    size = [d.int(0, n) for n in shape]
    size[dim] = d.int(0, 4)
    source = [n + d.int(0, 1) for n in size]
    index = d.ints(size, 0, shape[dim] - 1)
    return Case((d.floats(shape), index, d.floats(source)), {"dim": dim})


def _scatter_reference(x, index, src, dim):
    result = x.copy()
    for at in np.ndindex(index.shape):
        target = list(at)
        target[dim] = index[at]
        result[tuple(target)] += src[at]
    return result


def _along(d: Draw) -> Case:
    shape = list(d.shape(1, 3, 1))
    dim = d.axis(len(shape))
    size = [1 if d.bool() else n for n in shape]
    size[dim] = d.int(1, 3)
    index = d.ints(size, 0, shape[dim] - 1)
    return Case((d.floats(shape), index), {"dim": dim})


def _index_select(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    dim = d.axis(len(shape))
    index = d.ints((d.int(0, 4),), 0, shape[dim] - 1)
    return Case((d.floats(shape), index), {"dim": dim})


def _embedding(d: Draw) -> Case:
    n, width = d.int(1, 4), d.int(0, 3)
    return Case((d.ints(d.shape(0, 2), 0, n - 1), d.floats((n, width))))


def _masked(d: Draw) -> Case:
    a, b = d.broadcast()
    return Case((d.floats(a), d.bools(b)))


def _masked_select(x, mask):
    x, mask = np.broadcast_arrays(x, mask)
    return np.array([v for v, m in zip(x.ravel(), mask.ravel()) if m], dtype=float)


def _sorted(d: Draw) -> Case:
    shape = d.shape(1, 3)
    return Case((d.distinct(shape),), {"dim": d.axis(len(shape)), "descending": d.bool()})


def _sort_reference(x, dim, descending):
    x = -x if descending else x
    order = np.argsort(x, axis=dim)
    ordered = np.sort(x, axis=dim)
    return -ordered if descending else ordered, order


def _top(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    dim = d.axis(len(shape))
    params = {"k": d.int(0, shape[dim]), "dim": dim, "largest": d.bool()}
    return Case((d.distinct(shape),), params)


def _top_reference(x, k, dim, largest):
    values, order = _sort_reference(x, dim, largest)
    first = (slice(None),) * (dim % x.ndim) + (slice(0, k),)
    return values[first], order[first]


def _classes(d: Draw) -> Case:
    n = d.int(1, 4)
    return Case((d.ints(d.shape(0, 2), 0, n - 1),), {"num_classes": n})


ROWS = [
    Row("getitem-basic", _getitem, lambda x, index: x[index].copy(), _basic,
        covers=("getitem",)),
    Row("getitem-integers", _getitem, lambda x, index: x[index], _integer_arrays,
        covers=("getitem",)),
    Row("getitem-mask", _getitem, lambda x, index: x[index], _masks, covers=("getitem",)),
    Row("gather", lambda x, index, dim: ops.gather(x, dim, index), _gather_reference, _gather),
    Row("take_along_dim", ops.take_along_dim,
        lambda x, index, dim: np.take_along_axis(x, index, dim), _along),
    Row("scatter_add", lambda x, index, src, dim: ops.scatter_add(x, dim, index, src),
        _scatter_reference, _scatter),
    Row("index_select", lambda x, index, dim: ops.index_select(x, dim, index),
        lambda x, index, dim: np.take(x, index, axis=dim), _index_select),
    Row("embedding", ops.embedding, lambda index, weight: weight[index], _embedding),
    Row("masked_fill", lambda x, mask: ops.masked_fill(x, mask, 1.5),
        lambda x, mask: np.where(mask, 1.5, x), _masked),
    Row("masked_select", ops.masked_select, _masked_select, _masked),
    Row("sort", ops.sort, _sort_reference, _sorted),
    Row("topk", ops.topk, _top_reference, _top),
    Row("argsort", ops.argsort, lambda x, dim, descending: _sort_reference(x, dim, descending)[1],
        _sorted, order=0),
    Row("one_hot", ops.one_hot, lambda x, num_classes: np.eye(num_classes, dtype=np.int64)[x],
        _classes, order=0),
]  # fmt: skip
