r"""Batch normalisation.

Belongs here: ops that standardise by statistics of their own input. Channels are axis 1; the
arithmetic runs on rows of channels, (N·H·W, C), which is a view of a channels-last array.
"""

from __future__ import annotations

import math
from typing import Any

from ._base import Function, get_array_module, is_tensor, raw, shape_of
from .linalg import _ones
from .reduction import mean as mean_
from .reduction import sum as sum_
from .shape import reshape
from .transcendental import rsqrt

__all__ = ["batch_norm"]


def _rows(x: Any) -> Any:
    r"""(N, C, ...) -> (N·..., C), without copying if the memory is channels-last."""
    if x.ndim == 2:
        return x
    return x.transpose(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])


def _unrows(rows: Any, shape: tuple[int, ...]) -> Any:
    r"""The inverse of :func:`_rows`: a view in channels-last memory."""
    if len(shape) == 2:
        return rows
    last = rows.reshape(shape[0], *shape[2:], shape[1])
    return last.transpose(0, len(shape) - 1, *range(1, len(shape) - 1))


class BatchNorm(Function):
    r"""y = γ x̂ + β with x̂ = (x - μ)/√(σ² + ε), μ and σ² the batch's mean and (biased) variance.

    β̄ = Σ ȳ,  γ̄ = Σ ȳ x̂,  x̄ = γ/√(σ² + ε) · (ȳ - β̄/n - x̂ γ̄/n): the two subtracted terms are the
    gradient's way through μ and σ².
    """

    def __init__(self, eps: float, statistics: dict[str, Any]) -> None:
        self.eps = eps
        self.statistics = statistics  # filled by forward, for the running averages

    def forward(self, x, weight, bias):
        xp = get_array_module(x)
        rows = _rows(x)
        ones = _ones(rows)
        n = rows.shape[0]
        mean = (ones @ rows) / n
        centred = rows - mean
        var = xp.einsum("nc,nc->c", centred, centred) / n
        self.statistics.update(mean=mean, var=var)
        self.mean = mean
        self.inv_std = 1 / xp.sqrt(var + self.eps)
        y = centred * (self.inv_std if weight is None else self.inv_std * weight)
        if bias is not None:
            y += bias
        return _unrows(y, x.shape)

    def backward(self, g, x, weight):
        axes = (0, *range(2, len(shape_of(x))))
        broad = [1, -1] + [1] * (len(axes) - 1)
        centred = x - mean_(x, axes, keepdim=True)
        inv_std = rsqrt(mean_(centred * centred, axes, keepdim=True) + self.eps)
        normal = centred * inv_std
        g_normal = g if weight is None else g * reshape(weight, broad)
        gx = gw = gb = None
        need_x, need_w, need_b = self.needs_input_grad
        if need_x:
            through_mean = mean_(g_normal, axes, keepdim=True)
            through_var = normal * mean_(g_normal * normal, axes, keepdim=True)
            gx = inv_std * (g_normal - through_mean - through_var)
        if need_w:
            gw = sum_(g * normal, axes)
        if need_b:
            gb = sum_(g, axes)
        return gx, gw, gb

    def backward_array(self, g, x, weight):
        xp = get_array_module(x)
        g_rows, rows = _rows(g), _rows(x)
        n = rows.shape[0]
        normal = rows - self.mean
        normal *= self.inv_std
        gb = _ones(g_rows) @ g_rows
        gw = xp.einsum("nc,nc->c", g_rows, normal)
        gx = None
        if self.needs_input_grad[0]:
            normal *= gw / -n
            normal += g_rows
            normal -= gb / n
            normal *= self.inv_std if weight is None else self.inv_std * weight
            gx = _unrows(normal, x.shape)
        return gx, gw if weight is not None else None, gb


def batch_norm(
    input: Any,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    r"""Standardise each channel (Ioffe and Szegedy, 2015).

    In training by the batch's mean and biased variance, which also move the running statistics,
    ``running = (1 - momentum) running + momentum batch`` (the variance unbiased there, as in
    PyTorch); otherwise by the running statistics, if there are any.

    Args:
        input: (N, C) or (N, C, ...).
        running_mean, running_var: (C,), changed in place in training, or None.
        weight, bias: (C,) or None.

    Raises:
        ValueError: fewer than two values a channel in training, or shapes that do not agree.
    """
    shape = shape_of(input)
    if len(shape) < 2:
        raise ValueError(f"batch_norm: expected input (N, C, ...), got {shape}")
    channels = shape[1]
    for name, t in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if t is not None and shape_of(t) != (channels,):
            raise ValueError(
                f"batch_norm: expected {name} of shape ({channels},), got {shape_of(t)}"
            )
    if not training and (running_mean is None) != (running_var is None):
        raise ValueError("batch_norm: expected both running statistics, or neither")
    if training or running_mean is None:
        n = math.prod(shape) // max(channels, 1)
        if training and n <= 1:
            raise ValueError(f"batch_norm: expected more than 1 value a channel, got {shape}")
        found: dict[str, Any] = {}
        result = BatchNorm.apply(input, weight, bias, eps=eps, statistics=found)
        if training and running_mean is not None:
            _move(running_mean, found["mean"], momentum)
            _move(running_var, found["var"] * (n / (n - 1)), momentum)
        return result
    broad = [1, channels] + [1] * (len(shape) - 2)
    inv_std = rsqrt(_constant(running_var) + eps)
    scale = inv_std if weight is None else inv_std * weight
    shift = -_constant(running_mean) * scale
    if bias is not None:
        shift = shift + bias
    return input * reshape(scale, broad) + reshape(shift, broad)


def _constant(x: Any) -> Any:
    return x.detach() if is_tensor(x) else x


def _move(running: Any, batch: Any, momentum: float) -> None:
    array = raw(running)
    array *= 1 - momentum
    array += batch * momentum
    if is_tensor(running):
        running._version[0] += 1
