r"""The op table: layer, group and instance normalisation."""

from __future__ import annotations

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row, like

EPS = (1e-5, 1e-2)


def _affine(d: Draw, shape):
    r"""Weight and bias, both or one or none."""
    kind = d.of("both", "both", "none", "weight")
    weight = None if kind == "none" else d.floats(shape)
    return weight, d.floats(shape) if kind == "both" else None


def _spread(d: Draw, shape):
    r"""Values that differ, so that the variance is far from 0."""
    return d.distinct(shape) + d.floats(shape, -0.1, 0.1)


def _layer(d: Draw) -> Case:
    shape = d.of((3,), (2, 3), (2, 1, 4), (2, 3, 2), (0, 3), (2, 1))
    k = d.int(1, len(shape)) if 0 not in shape else 1
    inner = shape[len(shape) - k :]
    wanted = inner[0] if k == 1 and d.bool() else inner
    return Case(
        (_spread(d, shape), *_affine(d, inner)), {"normalized_shape": wanted, "eps": d.of(*EPS)}
    )


def _run_layer(x, weight, bias, normalized_shape, eps):
    return ops.layer_norm(x, normalized_shape, weight, bias, eps)


def _standard(x, eps):
    return (x - x.mean()) / np.sqrt(x.var() + eps)


def _layer_reference(x, weight, bias, normalized_shape, eps):
    k = np.size(normalized_shape)
    y = np.empty_like(x)
    for at in np.ndindex(x.shape[: x.ndim - k]):
        y[at] = _standard(x[at], eps)
    return y * (1 if weight is None else weight) + (0 if bias is None else bias)


def _rms(d: Draw) -> Case:
    case = _layer(d)
    return Case((d.floats(case.arrays[0].shape), case.arrays[1]), case.params)


def _rms_reference(x, weight, normalized_shape, eps):
    k = np.size(normalized_shape)
    y = np.empty_like(x)
    for at in np.ndindex(x.shape[: x.ndim - k]):
        y[at] = x[at] / np.sqrt((x[at] ** 2).sum() / x[at].size + eps)
    return y if weight is None else y * weight


def _group(d: Draw) -> Case:
    shape = d.of((2, 4), (1, 4, 3), (2, 4, 2, 2), (3, 2, 1, 3), (0, 2, 3))
    x = _spread(d, shape)
    groups = d.of(*[k for k in (1, 2, 4) if shape[1] % k == 0])
    return Case((x, *_affine(d, shape[1:2])), {"num_groups": groups, "eps": d.of(*EPS)})


def _run_group(x, weight, bias, num_groups, eps):
    return ops.group_norm(x, num_groups, weight, bias, eps)


def _group_reference(x, weight, bias, num_groups, eps):
    y = np.empty_like(x)
    size = x.shape[1] // num_groups
    for n in range(len(x)):
        for k in range(num_groups):
            group = slice(k * size, (k + 1) * size)
            y[n, group] = _standard(x[n, group], eps)
    tail = (x.shape[1],) + (1,) * (x.ndim - 2)
    if weight is not None:
        y *= weight.reshape(tail)
    return y if bias is None else y + bias.reshape(tail)


def _instance(d: Draw) -> Case:
    shape = d.of((2, 3, 4), (1, 2, 2, 3), (2, 1, 3))  # PyTorch fails on an empty batch
    return Case((_spread(d, shape), *_affine(d, shape[1:2])), {"eps": d.of(*EPS)})


def _run_instance(x, weight, bias, eps):
    return ops.instance_norm(x, weight=weight, bias=bias, eps=eps)


def _instance_reference(x, weight, bias, eps):
    return _group_reference(x, weight, bias, x.shape[1], eps)


def _instance_running(d: Draw) -> Case:
    case = _instance(d)
    channels = case.arrays[0].shape[1:2]
    running = {"mean": d.floats(channels), "var": d.floats(channels, 0.5, 2.0)}
    return Case(case.arrays, case.params | running | {"momentum": d.of(0.1, 0.5)})


def _run_instance_running(x, weight, bias, eps, mean, var, momentum):
    mean, var = like(mean, x), like(var, x)
    ops.instance_norm(x, mean, var, weight, bias, True, momentum, eps)
    return mean, var


def _running_reference(x, weight, bias, eps, mean, var, momentum):
    if not len(x):
        return mean, var
    values = x.reshape(*x.shape[:2], -1)
    return (
        (1 - momentum) * mean + momentum * values.mean(2).mean(0),
        (1 - momentum) * var + momentum * values.var(2, ddof=1).mean(0),
    )


def _run_instance_eval(x, weight, bias, eps, mean, var, momentum):
    return ops.instance_norm(x, like(mean, x), like(var, x), weight, bias, False, momentum, eps)


def _eval_reference(x, weight, bias, eps, mean, var, momentum):
    tail = (x.shape[1],) + (1,) * (x.ndim - 2)
    y = (x - mean.reshape(tail)) / np.sqrt(var.reshape(tail) + eps)
    y = y if weight is None else y * weight.reshape(tail)
    return y if bias is None else y + bias.reshape(tail)


def _response(d: Draw) -> Case:
    shape = d.of((2, 3, 2), (1, 4, 2, 2), (2, 1, 3))
    params = {"size": d.int(1, 5), "alpha": d.of(1e-4, 0.5), "beta": d.of(0.75, 1.0)}
    return Case((d.floats(shape),), params | {"k": d.of(1.0, 2.0)})


def _response_reference(x, size, alpha, beta, k):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        low = max(c - size // 2, 0)
        near = x[:, low : c + (size - 1) // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha * (near**2).sum(1) / size) ** beta
    return y


ROWS = [
    Row("layer_norm", _run_layer, _layer_reference, _layer, rtol=1e-4),
    Row("rms_norm", lambda x, weight, normalized_shape, eps: (
        ops.rms_norm(x, normalized_shape, weight, eps)
    ), _rms_reference, _rms, rtol=1e-4),
    Row("group_norm", _run_group, _group_reference, _group, rtol=1e-4),
    Row("instance_norm", _run_instance, _instance_reference, _instance, rtol=1e-4),
    Row("instance_norm-running", _run_instance_running, _running_reference, _instance_running,
        order=0, covers=("instance_norm",), rtol=1e-5),
    Row("instance_norm-eval", _run_instance_eval, _eval_reference, _instance_running,
        covers=("instance_norm",), rtol=1e-5),
    Row("local_response_norm", ops.local_response_norm, _response_reference, _response, rtol=1e-5),
]  # fmt: skip
