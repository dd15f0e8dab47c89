r"""The op table: convolution, pooling, batch normalisation, against loops over every window."""

from __future__ import annotations

import math

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row, like


# --------------------------------------------------------------------------------- convolution
def _conv(dims: int, transposed: bool):
    def draw(d: Draw) -> Case:
        c = d.choices.conv_case(dims, transposed)
        params = {"stride": c.stride, "padding": c.padding, "dilation": c.dilation}
        params["groups"] = c.groups
        if transposed:
            params["output_padding"] = c.output_padding
        bias = None if c.bias is None else d.floats(c.bias)
        return Case((d.floats(c.input), d.floats(c.weight), bias), params)

    return draw


def _conv_size(n, k, s, p, d):
    return (n + 2 * p - d * (k - 1) - 1) // s + 1


def _conv_reference(x, w, b, stride, padding, dilation, groups):
    r"""y[n, o, u] = b[o] + sum of w[o, c, i] x[n, c, s u + d i - p], term by term."""
    dims = x.ndim - 2
    size = [_conv_size(*a) for a in zip(x.shape[2:], w.shape[2:], stride, padding, dilation)]
    y = np.zeros((x.shape[0], w.shape[0], *size))
    per_group, out_per_group = w.shape[1], w.shape[0] // groups
    for n, o, *u in np.ndindex(y.shape):
        for c, *i in np.ndindex(w.shape[1:]):
            at = [stride[a] * u[a] + dilation[a] * i[a] - padding[a] for a in range(dims)]
            if all(0 <= q < m for q, m in zip(at, x.shape[2:])):
                channel = (o // out_per_group) * per_group + c
                y[(n, o, *u)] += w[(o, c, *i)] * x[(n, channel, *at)]
        y[(n, o, *u)] += 0.0 if b is None else b[o]
    return y


def _conv_transpose_reference(x, w, b, stride, padding, dilation, groups, output_padding):
    r"""Every input value adds its multiple of the kernel to the output."""
    dims = x.ndim - 2
    size = [
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(
            x.shape[2:], stride, padding, dilation, w.shape[2:], output_padding
        )
    ]
    per_group, in_per_group = w.shape[1], w.shape[0] // groups
    y = np.zeros((x.shape[0], per_group * groups, *size))
    for n, c, *u in np.ndindex(x.shape):
        for o, *i in np.ndindex(w.shape[1:]):
            at = [stride[a] * u[a] + dilation[a] * i[a] - padding[a] for a in range(dims)]
            if all(0 <= q < m for q, m in zip(at, size)):
                channel = (c // in_per_group) * per_group + o
                y[(n, channel, *at)] += w[(c, o, *i)] * x[(n, c, *u)]
    return y if b is None else y + b.reshape(-1, *[1] * dims)


def _same_padding(d: Draw) -> Case:
    kernel, dilation = (d.int(1, 3), d.int(1, 4)), (d.int(1, 2), 1)
    x = d.floats((1, 2, d.int(1, 3), d.int(1, 4)))
    return Case((x, d.floats((1, 2, *kernel))), {"dilation": dilation})


def _same_reference(x, w, dilation):
    widths = [d * (k - 1) for d, k in zip(dilation, w.shape[2:])]
    x = np.pad(x, [(0, 0), (0, 0), *[(t // 2, t - t // 2) for t in widths]])
    return _conv_reference(x, w, None, (1, 1), (0, 0), dilation, 1)


# ------------------------------------------------------------------------------------- pooling
def _pool(dims: int, kind: str):
    def draw(d: Draw) -> Case:
        c = d.choices.pool_case(dims, dilated=kind == "max")
        params = {"kernel_size": c.kernel_size, "stride": c.stride, "padding": c.padding}
        params["ceil_mode"] = c.ceil_mode
        if kind == "max":
            params |= {"dilation": c.dilation, "return_indices": d.bool()}
            return Case((d.distinct(c.input),), params)
        params["count_include_pad"] = d.bool()
        if dims == 2:
            params["divisor_override"] = d.of(None, 3)
        return Case((d.floats(c.input),), params)

    return draw


def _windows(size, kernel, stride, padding, dilation, ceil_mode):
    r"""PyTorch's rule, axis by axis: the start of each window, before padding is taken off."""
    starts = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation):
        span = n + 2 * p - d * (k - 1) - 1
        count = (math.ceil(span / s) if ceil_mode else span // s) + 1
        if ceil_mode and (count - 1) * s >= n + p:  # would start in the padding behind
            count -= 1
        starts.append([u * s - p for u in range(count)])
    return starts


def _pool_reference(x, kernel_size, stride, padding, ceil_mode, reduce, dilation=None):
    stride = stride or kernel_size
    dilation = dilation or (1,) * len(kernel_size)
    size = x.shape[2:]
    starts = _windows(size, kernel_size, stride, padding, dilation, ceil_mode)
    shape = (*x.shape[:2], *[len(s) for s in starts])
    y, where = np.zeros(shape), np.zeros(shape, np.int64)
    for n, c, *u in np.ndindex(shape):
        corner = [s[i] for s, i in zip(starts, u)]
        entries, padded = [], 0
        for offset in np.ndindex(*kernel_size):
            at = tuple(a + d * o for a, d, o in zip(corner, dilation, offset))
            if all(0 <= q < m for q, m in zip(at, size)):
                entries.append((x[(n, c, *at)], int(np.ravel_multi_index(at, size))))
            if all(q < m + p for q, m, p in zip(at, size, padding)):
                padded += 1
        y[(n, c, *u)], where[(n, c, *u)] = reduce(entries, padded)
    return y, where


def _max_pool_reference(x, return_indices, **params):
    y, where = _pool_reference(x, reduce=lambda entries, _: max(entries), **params)
    return (y, where) if return_indices else y


def _avg_pool_reference(x, count_include_pad, divisor_override=None, **params):
    def reduce(entries, padded):
        n = divisor_override or (padded if count_include_pad else len(entries))
        return sum(v for v, _ in entries) / n, 0

    return _pool_reference(x, reduce=reduce, **params)[0]


def _adaptive(dims: int, distinct: bool):
    def draw(d: Draw) -> Case:
        shape = (d.int(1, 2), d.int(1, 2), *[d.int(1, 4) for _ in range(dims)])
        x = d.distinct(shape) if distinct else d.floats(shape)
        return Case((x,), {"output_size": tuple(d.int(1, 3) for _ in range(dims))})

    return draw


def _adaptive_reference(reduce):
    def reference(x, output_size):
        y = np.zeros((*x.shape[:2], *output_size))
        for index in np.ndindex(y.shape):
            region = [
                slice(i * n // o, -(-(i + 1) * n // o))
                for i, n, o in zip(index[2:], x.shape[2:], output_size)
            ]
            y[index] = reduce(x[(*index[:2], *region)])
        return y

    return reference


# -------------------------------------------------------------------------- batch normalisation
def _norm_input(d: Draw) -> tuple:
    channels = d.int(1, 3)
    shape = d.of((3, channels), (2, channels, 2), (2, channels, 2, 2))
    # Some channels far from 0, none nearly constant: a spread of 1e-3 has no digits to check.
    x = d.distinct(shape) + d.floats((channels,)).reshape(-1, *[1] * (len(shape) - 2))
    affine = d.bool()
    weight = d.floats((channels,), 0.5, 1.5) if affine else None
    return x, weight, d.floats((channels,)) if affine else None


def _batch_norm_train(d: Draw) -> Case:
    return Case(_norm_input(d), {"eps": d.of(1e-5, 1e-2)})


def _batch_norm_eval(d: Draw) -> Case:
    x, weight, bias = _norm_input(d)
    channels = x.shape[1]
    running = {"mean": d.floats((channels,)), "var": d.floats((channels,), 0.5, 2.0)}
    return Case((x, weight, bias), running | {"eps": 1e-5})


def _train(x, w, b, eps):
    return ops.batch_norm(x, None, None, w, b, training=True, eps=eps)


def _eval(x, w, b, mean, var, eps):
    return ops.batch_norm(x, like(mean, x), like(var, x), w, b, training=False, eps=eps)


def _running(x, w, b, mean, var, eps):
    mean, var = like(mean, x), like(var, x)
    ops.batch_norm(x, mean, var, w, b, training=True, momentum=0.3, eps=eps)
    return mean, var


def _standardise(x, mean, var, w, b, eps):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        y[:, c] = (x[:, c] - mean[c]) / math.sqrt(var[c] + eps)
        if w is not None:
            y[:, c] = y[:, c] * w[c] + b[c]
    return y


def _train_reference(x, w, b, eps):
    channels = [x[:, c] for c in range(x.shape[1])]
    return _standardise(x, [c.mean() for c in channels], [c.var() for c in channels], w, b, eps)


def _running_reference(x, w, b, mean, var, eps):
    channels = [x[:, c] for c in range(x.shape[1])]
    return (
        0.7 * mean + 0.3 * np.array([c.mean() for c in channels]),
        0.7 * var + 0.3 * np.array([c.var(ddof=1) for c in channels]),
    )


ROWS = [
    *[
        Row(f"conv{n}d", getattr(ops, f"conv{n}d"), _conv_reference, _conv(n, False), rtol=1e-5)
        for n in (1, 2)
    ],
    *[
        Row(f"conv_transpose{n}d", getattr(ops, f"conv_transpose{n}d"), _conv_transpose_reference,
            _conv(n, True), rtol=1e-5)
        for n in (1, 2)
    ],
    Row("conv2d-same", lambda x, w, dilation: ops.conv2d(x, w, padding="same", dilation=dilation),
        _same_reference, _same_padding, covers=("conv2d",), rtol=1e-5),
    *[
        Row(f"max_pool{n}d", getattr(ops, f"max_pool{n}d"), _max_pool_reference, _pool(n, "max"),
            order=3)  # its adjoint's adjoint is an op of its own
        for n in (1, 2)
    ],
    *[
        Row(f"avg_pool{n}d", getattr(ops, f"avg_pool{n}d"), _avg_pool_reference, _pool(n, "avg"))
        for n in (1, 2)
    ],
    *[
        Row(f"adaptive_{kind}_pool{n}d", getattr(ops, f"adaptive_{kind}_pool{n}d"),
            _adaptive_reference(np.max if kind == "max" else np.mean), _adaptive(n, kind == "max"))
        for n in (1, 2)
        for kind in ("max", "avg")
    ],
    Row("batch_norm-train", _train, _train_reference, _batch_norm_train, covers=("batch_norm",),
        rtol=1e-4),
    Row("batch_norm-eval", _eval, (
        lambda x, w, b, mean, var, eps: _standardise(x, mean, var, w, b, eps)
    ), _batch_norm_eval, covers=("batch_norm",), rtol=1e-5),
    Row("batch_norm-running", _running, _running_reference, _batch_norm_eval, order=0,
        covers=("batch_norm",), rtol=1e-5),
]  # fmt: skip
