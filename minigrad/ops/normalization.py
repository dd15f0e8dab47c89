r"""Batch, layer, group and instance normalisation, and their relatives.

Belongs here: ops that standardise by statistics of their own input. Channels are axis 1. Batch
normalisation runs on rows of channels, (N·H·W, C), which is a view of a channels-last array; the
others on rows of what is standardised together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels import norm as kernel
from ._base import Function, get_array_module, is_tensor, raw, shape_of
from .elementwise import square
from .linalg import _ones
from .padding import pad
from .reduction import mean as mean_
from .reduction import sum as sum_
from .shape import reshape
from .transcendental import rsqrt

__all__ = [
    "batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm",
]  # fmt: skip


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
        if kernel.pays(rows):
            y, mean, var, self.inv_std = kernel.batch_norm(rows, weight, bias, self.eps)
            self.mean = mean
            self.statistics.update(mean=mean, var=var)
            return _unrows(y, x.shape)
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
        g_rows, rows = _rows(g), _rows(x)
        small = not kernel.pays(rows)
        by_rows = self.rows_backward if small else kernel.batch_norm_backward
        need_x = self.needs_input_grad[0]
        gx, gw, gb = by_rows(g_rows, rows, self.mean, self.inv_std, weight, need_x)
        gx = _unrows(gx, x.shape) if need_x else None
        return gx, gw if weight is not None else None, gb

    @staticmethod
    def rows_backward(g, x, mean, inv_std, weight, need_x):
        r"""The gradients (gx, gw, gb) on rows of channels; the kernel's twin."""
        xp = get_array_module(x)
        n = x.shape[0]
        normal = x - mean
        normal *= inv_std
        gb = _ones(g) @ g
        gw = xp.einsum("nc,nc->c", g, normal)
        if need_x:
            normal *= gw / -n
            normal += g
            normal -= gb / n
            normal *= inv_std if weight is None else inv_std * weight
        return normal, gw, gb


class Standardise(Function):
    r"""y = γ x̂ + β with x̂ = (x - μ)/√(σ² + ε), μ and σ² the mean and (biased) variance of each row
    of x as (m, n).

    γ and β belong to the middle axis of x as (before, affine, after) = ``blocks``.
    γ̄ = Σ ȳ x̂,  β̄ = Σ ȳ,  and with z = γ ȳ:  x̄ = (z - mean(z) - x̂ mean(z x̂))/√(σ² + ε).
    """

    def __init__(
        self,
        rows: tuple[int, int],
        blocks: tuple[int, int, int],
        eps: float,
        statistics: dict[str, Any] | None = None,
    ) -> None:
        self.rows, self.blocks, self.eps = rows, blocks, eps
        self.n = max(rows[1], 1)
        self.statistics = statistics  # filled by forward, for the running averages

    def forward(self, x, weight, bias):
        xp = get_array_module(x)
        rows = x.reshape(self.rows)
        mean = rows.sum(axis=1, keepdims=True) / self.n
        normal = rows - mean
        var = xp.einsum("mn,mn->m", normal, normal)[:, None] / self.n
        inv_std = 1 / xp.sqrt(var + self.eps)
        normal *= inv_std
        self.mean, self.inv_std = mean, inv_std
        self.affine_shape = (
            () if weight is None and bias is None else (weight, bias)[weight is None].shape
        )
        if self.statistics is not None:
            self.statistics.update(mean=mean, var=var)
        y = normal.reshape(self.blocks)
        if weight is not None:
            y *= weight.reshape(1, -1, 1)
        if bias is not None:
            y += bias.reshape(1, -1, 1)
        return y.reshape(x.shape)

    def backward(self, g, x, weight):
        need_x, need_w, need_b = self.needs_input_grad
        rows = reshape(x, self.rows)
        centred = rows - mean_(rows, 1, keepdim=True)
        inv_std = rsqrt(mean_(square(centred), 1, keepdim=True) + self.eps)
        normal = centred * inv_std
        g = reshape(g, self.blocks)
        gx = gw = gb = None
        if need_x:
            z = reshape(g if weight is None else g * reshape(weight, (1, -1, 1)), self.rows)
            through_var = normal * mean_(z * normal, 1, keepdim=True)
            gx = reshape(inv_std * (z - mean_(z, 1, keepdim=True) - through_var), shape_of(x))
        if need_w and weight is not None:
            gw = reshape(sum_(g * reshape(normal, self.blocks), (0, 2)), self.affine_shape)
        if need_b and self.affine_shape:
            gb = reshape(sum_(g, (0, 2)), self.affine_shape)
        return gx, gw, gb

    def backward_array(self, g, x, weight):
        xp = get_array_module(x)
        need_x, need_w, need_b = self.needs_input_grad
        normal = x.reshape(self.rows) - self.mean
        normal *= self.inv_std
        # Products with ones are sums at the speed of BLAS; einsum is a product and a sum in one.
        before, affine, after = self.blocks
        g = g.reshape(self.blocks)
        gx = gw = gb = None
        if need_w and weight is not None:
            if after == 1:
                gw = xp.einsum("pa,pa->a", g[:, :, 0], normal.reshape(before, affine))
            else:
                gw = xp.einsum("pac,pac->pa", g, normal.reshape(self.blocks)).sum(axis=0)
            gw = gw.reshape(self.affine_shape)
        if need_b and self.affine_shape:
            if after == 1:
                gb = _ones(g) @ g[:, :, 0]
            else:
                gb = (g @ xp.ones(after, g.dtype)).sum(axis=0)
            gb = gb.reshape(self.affine_shape)
        if need_x:
            z = (g if weight is None else g * weight.reshape(1, -1, 1)).reshape(self.rows)
            through_var = xp.einsum("mn,mn->m", z, normal)[:, None] / self.n
            through_mean = (z @ xp.ones((z.shape[1], 1), z.dtype)) / self.n
            normal *= -through_var
            normal += z
            normal -= through_mean
            normal *= self.inv_std
            gx = normal.reshape(x.shape)
        return gx, gw, gb


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
        moves = training and name in ("running_mean", "running_var")
        if moves and t is not None and raw(t).dtype.kind != "f":
            raise TypeError(f"batch_norm: expected {name} of floats, got {raw(t).dtype}")
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


def _check_affine(shape: tuple[int, ...], name: str, **parameters: Any) -> None:
    for key, t in parameters.items():
        if t is not None and shape_of(t) != shape:
            raise ValueError(f"{name}: expected {key} of shape {shape}, got {shape_of(t)}")


def _last_axes(input: Any, normalized_shape: Any, name: str) -> tuple[int, ...]:
    r"""``normalized_shape`` as a tuple, checked against input's last axes."""
    if isinstance(normalized_shape, (int, np.integer)):
        normalized_shape = (normalized_shape,)
    wanted, shape = tuple(normalized_shape), shape_of(input)
    if not wanted or shape[len(shape) - len(wanted) :] != wanted or len(wanted) > len(shape):
        raise ValueError(f"{name}: expected an input whose last axes are {wanted}, got {shape}")
    return wanted


def layer_norm(
    input: Any,
    normalized_shape: int | Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
) -> Any:
    r"""Standardise over the last axes, which have the shape ``normalized_shape``, each place of
    the other axes by itself (Ba et al., 2016).

    Args:
        weight, bias: of shape ``normalized_shape``, or None.
    """
    inner = _last_axes(input, normalized_shape, "layer_norm")
    _check_affine(inner, "layer_norm", weight=weight, bias=bias)
    shape = shape_of(input)
    n, m = math.prod(inner), math.prod(shape[: len(shape) - len(inner)])
    return Standardise.apply(input, weight, bias, rows=(m, n), blocks=(m, n, 1), eps=eps)


def group_norm(
    input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    r"""Standardise each of ``num_groups`` groups of channels of (N, C, ...) over the group and all
    further axes, each example by itself (Wu and He, 2018).

    Args:
        weight, bias: (C,) or None.

    Raises:
        ValueError: the groups do not divide the channels, or there is one value in all.
    """
    shape = shape_of(input)
    if len(shape) < 2:
        raise ValueError(f"group_norm: expected input (N, C, ...), got {shape}")
    channels = shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ValueError(
            f"group_norm: expected num_groups to divide the channels, got {num_groups} for {shape}"
        )
    _check_affine((channels,), "group_norm", weight=weight, bias=bias)
    if math.prod(shape) // num_groups == 1:
        raise ValueError(f"group_norm: expected more than 1 value a group, got {shape}")
    return _by_groups(input, num_groups, weight, bias, eps)


def _by_groups(input: Any, groups: int, weight: Any, bias: Any, eps: float, found: Any = None):
    shape = shape_of(input)
    after = math.prod(shape[2:])
    rows = shape[0] * groups, shape[1] // groups * after
    blocks = shape[0], shape[1], after
    return Standardise.apply(
        input, weight, bias, rows=rows, blocks=blocks, eps=eps, statistics=found
    )


def instance_norm(
    input: Any,
    running_mean: Any = None,
    running_var: Any = None,
    weight: Any = None,
    bias: Any = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    r"""Standardise each channel of each example of (N, C, ...) by itself (Ulyanov et al., 2016).

    The running statistics, if there are any, move towards the mean over the batch of the examples'
    statistics; they serve instead of them where ``use_input_stats`` is False.

    Raises:
        ValueError: only one value in a channel, or shapes that do not agree.
    """
    shape = shape_of(input)
    if len(shape) < 3:
        raise ValueError(f"instance_norm: expected input (N, C, L) or more axes, got {shape}")
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise ValueError("instance_norm: expected running statistics to use, got none")
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    statistics = {"running_mean": running_mean, "running_var": running_var}
    _check_affine((shape[1],), "instance_norm", weight=weight, bias=bias, **statistics)
    n = math.prod(shape[2:])
    if n == 1:
        raise ValueError(f"instance_norm: expected more than 1 value a channel, got {shape}")
    found: dict[str, Any] = {}
    result = _by_groups(input, shape[1], weight, bias, eps, found)
    for running, name in ((running_mean, "mean"), (running_var, "var")):
        if running is not None and shape[0]:
            moved = found[name].reshape(shape[:2]).mean(axis=0)
            _move(running, moved * (n / (n - 1)) if name == "var" else moved, momentum)
    return result


def rms_norm(
    input: Any, normalized_shape: int | Sequence[int], weight: Any = None, eps: float | None = None
) -> Any:
    r"""Divide by the root of the mean square over the last axes, which have the shape
    ``normalized_shape`` (Zhang and Sennrich, 2019).

    Args:
        eps: added to the mean square; the dtype's rounding unit if None.
    """
    inner = _last_axes(input, normalized_shape, "rms_norm")
    _check_affine(inner, "rms_norm", weight=weight)
    if eps is None:
        dtype = raw(input).dtype
        eps = float(np.finfo(dtype).eps) if dtype.kind == "f" else float(np.finfo(np.float32).eps)
    axes = tuple(range(-len(inner), 0))
    normal = input * rsqrt(mean_(square(input), axes, keepdim=True) + eps)
    return normal if weight is None else normal * weight


def local_response_norm(
    input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    r"""Divide by :math:`(k + \alpha\, \overline{x^2})^\beta`, where the mean runs over ``size``
    neighbouring channels of (N, C, ...), with zeros beyond the ends (Krizhevsky et al., 2012)."""
    shape = shape_of(input)
    if len(shape) < 3:
        raise ValueError(f"local_response_norm: expected (N, C, L) or more axes, got {shape}")
    if size < 1:
        raise ValueError(f"local_response_norm: expected a positive size, got {size}")
    widths = (0, 0) * (len(shape) - 2) + (size // 2, (size - 1) // 2)
    padded = pad(square(input), widths)
    total = padded[:, : shape[1]]
    for i in range(1, size):
        total = total + padded[:, i : i + shape[1]]
    return input / (total * (alpha / size) + k) ** beta


def _constant(x: Any) -> Any:
    return x.detach() if is_tensor(x) else x


def _move(running: Any, batch: Any, momentum: float) -> None:
    array = raw(running)
    array *= 1 - momentum
    array += batch * momentum
    if is_tensor(running):
        running._version[0] += 1
