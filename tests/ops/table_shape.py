r"""The op table: movement, joining, splitting."""

from __future__ import annotations

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row


def _shaped(low: int = 0, high: int = 3, min_side: int = 0, **choose):
    r"""One array, and parameters chosen by functions of (draw, shape)."""

    def draw(d: Draw) -> Case:
        shape = d.shape(low, high, min_side)
        params = {name: f(d, shape) for name, f in choose.items()}
        return Case((d.floats(shape),), params)

    return draw


def _axis(d, shape):
    return d.axis(len(shape))


def _signed_axes(d, shape):
    chosen = [a for a in range(len(shape)) if d.bool()]
    return tuple(a - len(shape) if d.bool() else a for a in chosen)


def _permutation(d, shape):
    return tuple(int(a) for a in d.rng.permutation(len(shape)))


def _broadcast_target(d: Draw) -> Case:
    a, b = d.broadcast()
    return Case((d.floats(a),), {"shape": np.broadcast_shapes(a, b)})


def _expand(d: Draw) -> Case:
    case = _broadcast_target(d)
    have, want = case.arrays[0].shape, list(case.params["shape"])
    for i in range(len(have)):
        if have[-1 - i] == want[-1 - i] and d.bool():
            want[-1 - i] = -1
    return Case(case.arrays, {"shape": tuple(want)})


def _expand_reference(x, shape):
    lead = len(shape) - x.ndim
    full = [x.shape[i - lead] if n == -1 else n for i, n in enumerate(shape)]
    return np.ones(full) * x


def _joined(d: Draw) -> Case:
    shape = list(d.shape(1, 3))
    axis = d.axis(len(shape))
    arrays = []
    for _ in range(d.int(1, 3)):
        shape[axis] = d.int(0, 3)
        arrays.append(d.floats(shape))
    return Case(tuple(arrays), {"dim": axis})


def _stacked(d: Draw) -> Case:
    shape = d.shape(0, 2)
    arrays = tuple(d.floats(shape) for _ in range(d.int(1, 3)))
    return Case(arrays, {"dim": d.axis(len(shape) + 1)})


def _flatten(d: Draw) -> Case:
    shape = d.shape(1, 3)
    start = d.int(0, len(shape) - 1)
    end = d.int(start, len(shape) - 1)
    if d.bool():
        end -= len(shape)
    return Case((d.floats(shape),), {"start_dim": start, "end_dim": end})


def _flatten_reference(x, start_dim, end_dim):
    end = end_dim % x.ndim
    merged = 1
    for n in x.shape[start_dim : end + 1]:
        merged *= n
    return x.copy().reshape(*x.shape[:start_dim], merged, *x.shape[end + 1 :])


def _unflatten(d: Draw) -> Case:
    sizes = d.of((2, 3), (3, 2), (1, 6), (-1, 2))
    shape = d.of((6,), (2, 6), (6, 1), (0, 6))
    if 0 in shape:  # -1 would be ambiguous to NumPy
        sizes = (3, 2)
    return Case((d.floats(shape),), {"dim": shape.index(6), "sizes": sizes})


def _reshape(d: Draw) -> Case:
    shape, target = d.of(
        ((), (1, 1)), ((2, 3), (3, 2)), ((2, 3), (-1,)), ((4,), (2, -1)), ((0, 3), (3, 0)),
        ((1,), ()), ((2, 3), (2, 3)),
    )  # fmt: skip
    return Case((d.floats(shape),), {"shape": target})


def _roll(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    if d.bool():
        return Case((d.floats(shape),), {"shifts": d.int(-4, 4), "dims": None})
    dims = tuple(dict.fromkeys(d.axis(len(shape)) % len(shape) for _ in range(2)))
    return Case((d.floats(shape),), {"shifts": tuple(d.int(-4, 4) for _ in dims), "dims": dims})


def _split(d: Draw) -> Case:
    shape = d.shape(1, 3)
    dim = d.axis(len(shape))
    n = shape[dim]
    cut = d.int(0, n)
    return Case((d.floats(shape),), {"split_size": d.of(1, 2, (cut, n - cut)), "dim": dim})


def _split_reference(x, split_size, dim):
    n = x.shape[dim]
    if isinstance(split_size, int):
        edges = list(range(split_size, n, split_size))
    else:
        edges = list(np.cumsum(split_size)[:-1])
    return tuple(np.split(x, edges, axis=dim))


def _chunk_reference(x, chunks, dim):
    n = x.shape[dim]
    if n == 0:
        return (x,) * chunks
    size = (n + chunks - 1) // chunks
    return _split_reference(x, size, dim)


def _squeeze_reference(x, dim):
    if dim is None:
        return np.squeeze(x)
    dims = (dim,) if isinstance(dim, int) else dim
    return np.squeeze(x, axis=tuple(a for a in dims if x.shape[a] == 1))


def _triangle_reference(upper):
    def reference(x, diagonal):
        result = x.copy()
        for i in range(x.shape[-2]):
            for j in range(x.shape[-1]):
                if (j < i + diagonal) if upper else (j > i + diagonal):
                    result[..., i, j] = 0
        return result

    return reference


def _matrix(d: Draw) -> Case:
    return Case((d.floats(d.shape(2, 3)),), {"diagonal": d.int(-2, 2)})


def _diagonal(d: Draw) -> Case:
    shape = d.shape(2, 3)
    a = d.int(0, len(shape) - 1)
    b = (a + d.int(1, len(shape) - 1)) % len(shape)
    params = {"offset": d.int(-2, 2), "dim1": a, "dim2": b - len(shape)}
    return Case((d.floats(shape),), params)


def _movedim(d: Draw) -> Case:
    shape = d.shape(1, 3)
    if d.bool():
        return Case(
            (d.floats(shape),),
            {"source": d.axis(len(shape)), "destination": d.axis(len(shape))},
        )
    n = len(shape)
    k = d.int(1, n)
    source = tuple(int(a) for a in d.rng.permutation(n)[:k])
    destination = tuple(int(a) for a in d.rng.permutation(n)[:k])
    return Case((d.floats(shape),), {"source": source, "destination": destination})


ROWS = [
    Row("reshape", ops.reshape, lambda x, shape: x.copy().reshape(shape), _reshape),
    Row("flatten", ops.flatten, _flatten_reference, _flatten),
    Row("unflatten", ops.unflatten,
        lambda x, dim, sizes: x.reshape(*x.shape[:dim], *sizes, *x.shape[dim + 1 :]), _unflatten),
    Row("permute", ops.permute, lambda x, dims: np.transpose(x, dims),
        _shaped(dims=_permutation)),
    Row("transpose", ops.transpose, lambda x, dim0, dim1: np.swapaxes(x, dim0, dim1),
        _shaped(1, dim0=_axis, dim1=_axis), covers=("transpose", "swapaxes")),
    Row("movedim", ops.movedim, lambda x, source, destination: np.moveaxis(x, source, destination),
        _movedim, covers=("movedim", "moveaxis")),
    Row("broadcast_to", ops.broadcast_to, lambda x, shape: np.ones(shape) * x, _broadcast_target),
    Row("expand", ops.expand, _expand_reference, _expand),
    Row("squeeze", ops.squeeze, _squeeze_reference,
        _shaped(0, 3, 1, dim=lambda d, shape: d.axes(len(shape)))),
    Row("unsqueeze", ops.unsqueeze, lambda x, dim: np.expand_dims(x, dim),
        _shaped(dim=lambda d, shape: d.axis(len(shape) + 1))),
    Row("cat", lambda *x, dim: ops.cat(x, dim), lambda *x, dim: np.concatenate(x, dim), _joined),
    Row("stack", lambda *x, dim: ops.stack(x, dim), lambda *x, dim: np.stack(x, dim), _stacked),
    Row("split", ops.split, _split_reference, _split),
    Row("chunk", ops.chunk, _chunk_reference,
        _shaped(1, dim=_axis, chunks=lambda d, shape: d.int(1, 4))),
    Row("unbind", ops.unbind,
        lambda x, dim: tuple(np.moveaxis(x, dim, 0)[i] for i in range(x.shape[dim])),
        _shaped(1, 3, 1, dim=_axis)),
    Row("flip", ops.flip, lambda x, dims: np.flip(x, dims), _shaped(dims=_signed_axes)),
    Row("roll", ops.roll, lambda x, shifts, dims: np.roll(x, shifts, dims), _roll),
    Row("repeat", ops.repeat, lambda x, repeats: np.tile(x, repeats),
        _shaped(0, 2, repeats=lambda d, s: tuple(d.int(0, 2) for _ in range(len(s) + d.of(0, 1))))),
    Row("tile", ops.tile, lambda x, dims: np.tile(x, dims),
        _shaped(0, 2, dims=lambda d, s: tuple(d.int(1, 2) for _ in range(d.int(0, 3))))),
    Row("repeat_interleave", ops.repeat_interleave,
        lambda x, repeats, dim: np.repeat(x, repeats, dim),
        _shaped(1, 3, repeats=lambda d, s: d.int(0, 3), dim=lambda d, s: d.of(None, _axis(d, s)))),
    Row("tril", ops.tril, _triangle_reference(False), _matrix),
    Row("triu", ops.triu, _triangle_reference(True), _matrix),
    Row("diagonal", ops.diagonal,
        lambda x, offset, dim1, dim2: np.diagonal(x, offset, dim1, dim2), _diagonal),
]  # fmt: skip
