r"""Losses, stable on logits.

Belongs here: functions of a prediction and a target that end in a number. ``reduction`` is "mean",
"sum" or "none", as in PyTorch. Prediction and target must have the shapes that the formula means:
nothing is broadcast by accident. Losses with a margin are in ``margin.py``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._base import Function, get_array_module, raw, shape_of
from .activation import sigmoid, softplus
from .elementwise import abs as abs_
from .elementwise import clamp, where
from .indexing import _check_range, _index_array, gather
from .reduction import log_softmax, mean, softmax, sum
from .shape import movedim, reshape, unsqueeze
from .special import xlogy
from .transcendental import exp, log

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cross_entropy", "huber_loss",
    "kl_div", "l1_loss", "mse_loss", "nll_loss", "smooth_l1_loss",
]  # fmt: skip


def _reduce(loss: Any, reduction: str, name: str) -> Any:
    if reduction == "mean":
        return mean(loss)
    if reduction == "sum":
        return sum(loss)
    if reduction == "none":
        return loss
    raise ValueError(f"{name}: expected reduction 'mean', 'sum' or 'none', got {reduction!r}")


def _same_shape(input: Any, target: Any, name: str) -> None:
    if shape_of(input) != shape_of(target):
        raise ValueError(
            f"{name}: expected input and target of one shape, got {shape_of(input)} and "
            f"{shape_of(target)}"
        )


# -------------------------------------------------------------------------- classification losses
class CrossEntropy(Function):
    r"""l_n = ln Σ_c e^{x_nc} - x_{n t_n};  x̄_nc = l̄_n (softmax(x)_nc - [c = t_n])."""

    to_float = True

    def __init__(self, target: Any) -> None:
        self.target = target

    def forward(self, x):
        xp = get_array_module(x)
        rows = xp.arange(x.shape[0])
        shifted = x - x.max(axis=1, keepdims=True)
        picked = shifted[rows, self.target]
        p = xp.exp(shifted)
        total = p.sum(axis=1, keepdims=True)
        if self.recording:
            p /= total
            self.p, self.rows = p, rows
        return xp.log(total[:, 0]) - picked

    def backward(self, g, x):
        hot = self.target[:, None] == get_array_module(self.target).arange(shape_of(x)[1])
        return unsqueeze(g, 1) * (softmax(x, 1) - hot.astype(x.dtype))

    def backward_array(self, g):
        gx = self.p * g[:, None]
        gx[self.rows, self.target] -= g
        return gx


def cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    r"""The cross-entropy of logits against classes or class probabilities,
    :math:`-w_t \ln \mathrm{softmax}(x)_t`.

    Args:
        input: logits (N, C), (C,) or (N, C, d1, ...).
        target: integer classes without the class axis, or probabilities of input's shape.
        weight: (C,), a weight for each class; "mean" divides by the weights of the targets.
        ignore_index: a class that counts for nothing.
        label_smoothing: ε: the target becomes (1 - ε) target + ε / C.

    Raises:
        IndexError: a class outside [0, C) other than ``ignore_index``.

    >>> import minigrad as mg
    >>> mg.cross_entropy(mg.zeros(2, 10), mg.tensor([3, 7])).item()  # ln 10
    2.3025851249694824
    """
    name = "cross_entropy"
    shape = shape_of(input)
    if not shape:
        raise ValueError(f"{name}: expected logits (N, C, ...), got shape ()")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"{name}: expected label_smoothing in [0, 1], got {label_smoothing}")
    n_classes = shape[1 if len(shape) > 1 else 0]
    if weight is not None and shape_of(weight) != (n_classes,):
        raise ValueError(f"{name}: expected weight of shape ({n_classes},), got {shape_of(weight)}")
    if raw(target).dtype.kind == "f":
        _same_shape(input, target, name)
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    x, t, outer = _class_rows(input, target, name)
    losses_of = CrossEntropy.apply if not label_smoothing else None
    t, keep = _valid_classes(t, n_classes, ignore_index, name)
    if losses_of is not None and weight is None:
        return _reduce_rows(CrossEntropy.apply(x, target=t), keep, None, reduction, outer, name)
    log_p = log_softmax(x, 1)
    picked = -gather(log_p, 1, t[:, None])[:, 0]
    class_weight = None if weight is None else raw(weight)[t]
    losses = picked if class_weight is None else picked * class_weight
    if label_smoothing:
        spread = -sum(log_p if weight is None else log_p * weight, 1)
        losses = losses * (1 - label_smoothing) + spread * (label_smoothing / n_classes)
    return _reduce_rows(losses, keep, class_weight, reduction, outer, name)


def _class_rows(input: Any, target: Any, name: str) -> tuple[Any, Any, tuple[int, ...]]:
    r"""(N, C, ...) and (N, ...) as rows (M, C) and (M,), and the shape to return losses in."""
    shape = shape_of(input)
    outer = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if shape_of(target) != outer:
        raise ValueError(
            f"{name}: expected target classes of shape {outer} for input {shape}, "
            f"got {shape_of(target)}"
        )
    t = _index_array(target, input, name)
    if len(shape) == 2:
        return input, t, outer
    x = movedim(input, 1, -1) if len(shape) > 1 else input
    return reshape(x, (math.prod(outer), shape[1 if len(shape) > 1 else 0])), t.reshape(-1), outer


def _valid_classes(t: Any, n_classes: int, ignore_index: int, name: str) -> tuple[Any, Any]:
    r"""Targets with ignored ones replaced by 0, and where they count (None: everywhere)."""
    outside = not 0 <= ignore_index < n_classes
    if isinstance(t, np.ndarray):
        if outside and (not t.size or t.astype(np.uint64, copy=False).max() < n_classes):
            return t, None
        if not (t == ignore_index).any():
            _check_range(t, n_classes, name, allow_negative=False)
            return t, None
    keep = t != ignore_index
    t = get_array_module(t).where(keep, t, 0)
    _check_range(t, n_classes, name, allow_negative=False)
    return t, keep


def _reduce_rows(
    losses: Any, keep: Any, row_weight: Any, reduction: str, outer: tuple[int, ...], name: str
) -> Any:
    r"""Reduce losses (M,), of which only ``keep`` counts, with "mean" over the rows' weights."""
    if keep is not None:
        losses = where(keep, losses, 0.0)
    if reduction == "none":
        return reshape(losses, outer)
    if reduction == "mean" and (keep is not None or row_weight is not None):
        dtype = raw(losses).dtype
        counted = keep.astype(dtype) if row_weight is None else row_weight
        if row_weight is not None and keep is not None:
            counted = row_weight * keep
        xp, total = get_array_module(counted), counted.sum()
        return sum(losses) / xp.where(total == 0, xp.full_like(total, math.nan), total)
    return _reduce(losses, reduction, name)


def _soft_cross_entropy(
    input: Any, target: Any, weight: Any, reduction: str, smoothing: float
) -> Any:
    axis = 1 if len(shape_of(input)) > 1 else 0
    n_classes = shape_of(input)[axis]
    if smoothing:
        target = target * (1 - smoothing) + smoothing / n_classes
    terms = log_softmax(input, axis) * target
    if weight is not None:
        broad = [1] * len(shape_of(input))
        broad[axis] = n_classes
        terms = terms * reshape(weight, broad)
    return _reduce(-sum(terms, axis), reduction, "cross_entropy")


def nll_loss(
    input: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    r"""The negative log-likelihood :math:`-w_t\, x_t` of log-probabilities (N, C, ...)."""
    name = "nll_loss"
    x, t, outer = _class_rows(input, target, name)
    t, keep = _valid_classes(t, shape_of(x)[1], ignore_index, name)
    losses = -gather(x, 1, t[:, None])[:, 0]
    row_weight = None if weight is None else raw(weight)[t]
    if row_weight is not None:
        losses = losses * row_weight
    return _reduce_rows(losses, keep, row_weight, reduction, outer, name)


# ------------------------------------------------------------------------------- binary targets
class BCEWithLogits(Function):
    r"""l = max(x, 0) - x t + ln(1 + e^-|x|) = -t ln σ(x) - (1-t) ln(1 - σ(x));
    x̄ = l̄ (σ(x) - t), t̄ = -l̄ x."""

    def forward(self, x, t):
        xp = get_array_module(x)
        loss = xp.abs(x)
        loss = xp.exp(-loss)
        loss = xp.log1p(loss)
        part = (x > 0).astype(x.dtype)  # max(x, 0) - x t, where x may be infinite
        part -= t
        part *= x
        loss += part
        return loss

    def backward(self, g, x, t):
        need_x, need_t = self.needs_input_grad
        return g * (sigmoid(x) - t) if need_x else None, -g * x if need_t else None


def binary_cross_entropy_with_logits(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean", pos_weight: Any = None
) -> Any:
    r"""The cross-entropy of the logit ``input`` against probabilities ``target`` in [0, 1],
    :math:`-t \ln\sigma(x) - (1-t) \ln(1-\sigma(x))`, stable for any x.

    Args:
        weight: multiplies each loss (broadcast).
        pos_weight: multiplies the term of t (broadcast).
    """
    name = "binary_cross_entropy_with_logits"
    _same_shape(input, target, name)
    if pos_weight is None:
        loss = BCEWithLogits.apply(input, target)
    else:
        tail = softplus(-input, threshold=math.inf)  # -ln σ(x)
        loss = (1 - target) * input + (1 + (pos_weight - 1) * target) * tail
    if weight is not None:
        loss = loss * weight
    return _reduce(loss, reduction, name)


class BCE(Function):
    r"""l = -t ln p - (1-t) ln(1-p) with logarithms no less than -100, as in PyTorch;
    p̄ = l̄ (p - t) / (p (1 - p)), t̄ = l̄ (ln(1-p) - ln p)."""

    to_float = True

    def forward(self, p, t):
        xp = get_array_module(p)
        tiny = math.exp(-100.0) if p.dtype == np.float64 else 1e-44
        log_p = xp.maximum(xp.log(xp.maximum(p, tiny)), -100.0)
        log_q = xp.maximum(xp.log1p(-xp.minimum(p, 1 - xp.finfo(p.dtype).epsneg)), -100.0)
        log_q = xp.where(p == 1, -100.0, log_q)
        return -(t * log_p + (1 - t) * log_q)

    def backward(self, g, p, t):
        need_p, need_t = self.needs_input_grad
        gp = gt = None
        if need_p:
            gp = g * (p - t) / clamp(p * (1 - p), min=1e-12)
        if need_t:
            gt = g * (clamp(log(1 - p), min=-100.0) - clamp(log(p), min=-100.0))
        return gp, gt


def binary_cross_entropy(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    r"""The cross-entropy of the *probability* ``input`` against ``target``. On logits,
    :func:`binary_cross_entropy_with_logits` is exact where this one saturates.

    Raises:
        ValueError: an input or a target outside [0, 1].
    """
    name = "binary_cross_entropy"
    _same_shape(input, target, name)
    for p in (raw(input), raw(target)):
        if isinstance(p, np.ndarray) and p.size and not (p.min() >= 0 and p.max() <= 1):
            found = f"{p.min()} ... {p.max()}"
            raise ValueError(f"{name}: expected probabilities in [0, 1], got {found}")
    loss = BCE.apply(input, target)
    if weight is not None:
        loss = loss * weight
    return _reduce(loss, reduction, name)


# ----------------------------------------------------------------------------- regression losses
class SquaredError(Function):
    r"""l = (x - t)²;  x̄ = 2 l̄ (x - t), t̄ = -x̄."""

    def forward(self, x, t):
        self.difference = x - t
        return self.difference * self.difference

    def backward(self, g, x, t):
        gx = g * (2 * (x - t))
        return gx, -gx if self.needs_input_grad[1] else None

    def backward_array(self, g):
        gx = self.difference * 2
        gx *= g
        return gx, -gx if self.needs_input_grad[1] else None


def mse_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    r"""The squared error :math:`(x - t)^2`."""
    _same_shape(input, target, "mse_loss")
    return _reduce(SquaredError.apply(input, target), reduction, "mse_loss")


def l1_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    r"""The absolute error :math:`|x - t|`."""
    _same_shape(input, target, "l1_loss")
    return _reduce(abs_(input - target), reduction, "l1_loss")


class Huber(Function):
    r"""l = s c (d - c/2) with d = x - t and c = d clipped to [-δ, δ], which is s d²/2 inside and
    s δ (|d| - δ/2) outside;  x̄ = l̄ s c, t̄ = -x̄."""

    def __init__(self, delta: float, scale: float) -> None:
        self.delta, self.scale = delta, scale

    def forward(self, x, t):
        xp = get_array_module(x)
        d = x - t
        c = xp.minimum(xp.maximum(d, -self.delta), self.delta)
        if self.recording:
            self.slope = c * self.scale
        d -= c * 0.5
        d *= c
        d *= self.scale
        return d

    def backward(self, g, x, t):
        gx = g * (clamp(x - t, -self.delta, self.delta) * self.scale)
        return gx, -gx if self.needs_input_grad[1] else None

    def backward_array(self, g):
        gx = g * self.slope
        return gx, -gx if self.needs_input_grad[1] else None


def smooth_l1_loss(input: Any, target: Any, reduction: str = "mean", beta: float = 1.0) -> Any:
    r""":math:`\tfrac{1}{2\beta}(x - t)^2` where :math:`|x - t| < \beta`, else
    :math:`|x - t| - \beta/2`."""
    _same_shape(input, target, "smooth_l1_loss")
    if beta < 0:
        raise ValueError(f"smooth_l1_loss: expected beta >= 0, got {beta}")
    if beta == 0:
        return l1_loss(input, target, reduction)
    return _reduce(
        Huber.apply(input, target, delta=beta, scale=1 / beta), reduction, "smooth_l1_loss"
    )


def huber_loss(input: Any, target: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    r""":math:`\tfrac12 (x - t)^2` where :math:`|x - t| < \delta`, else
    :math:`\delta(|x - t| - \delta/2)`."""
    _same_shape(input, target, "huber_loss")
    if delta <= 0:
        raise ValueError(f"huber_loss: expected delta > 0, got {delta}")
    return _reduce(Huber.apply(input, target, delta=delta, scale=1.0), reduction, "huber_loss")


def kl_div(input: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    r"""The pointwise terms of the divergence KL(target ‖ input), :math:`t (\ln t - x)`, where
    ``input`` x is a *log*-probability and ``target`` a probability (or its logarithm).

    ``reduction="batchmean"``, the sum divided by the batch, is the divergence itself.
    """
    _same_shape(input, target, "kl_div")
    if log_target:
        loss = exp(target) * (target - input)
    else:
        loss = xlogy(target, target) - target * input
    if reduction == "batchmean":
        batch = shape_of(loss)[0] if shape_of(loss) else 1
        return sum(loss) / (batch or math.nan)
    return _reduce(loss, reduction, "kl_div")
