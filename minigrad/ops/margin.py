r"""More losses: with a margin, between pairs and triples, focal, of Poisson and Gaussian counts.

Belongs here: losses composed of other ops, which therefore have no gradient rule of their own.
Those of every day are in ``loss.py``; its conventions hold here too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._base import get_array_module, is_array, normalise_axis, raw, shape_of
from .activation import logsigmoid, relu, sigmoid, softplus
from .comparison import eq, ne
from .elementwise import cast, clamp, minimum, square, where
from .indexing import _check_range, _index_array, gather, one_hot
from .loss import (
    _class_rows,
    _reduce,
    _reduce_rows,
    _same_shape,
    _valid_classes,
    binary_cross_entropy_with_logits,
)
from .reduction import log_softmax, norm, sum
from .shape import broadcast_to, reshape, unsqueeze
from .transcendental import exp, expm1, log, sqrt

__all__ = [
    "capsule_margin_loss", "cosine_embedding_loss", "cosine_similarity", "focal_loss",
    "gaussian_nll_loss", "hinge_embedding_loss", "margin_ranking_loss", "multi_margin_loss",
    "multilabel_margin_loss", "multilabel_soft_margin_loss", "pairwise_distance",
    "poisson_nll_loss", "sigmoid_focal_loss", "soft_margin_loss", "triplet_margin_loss",
]  # fmt: skip


# -------------------------------------------------------------------------------------- distances
def cosine_similarity(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    r"""The cosine of the angle between ``x1`` and ``x2`` along ``dim``:
    :math:`x_1 \cdot x_2 / (\max(\lVert x_1 \rVert, \epsilon) \max(\lVert x_2 \rVert, \epsilon))`.
    """
    shapes = shape_of(x1), shape_of(x2)
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"cosine_similarity: expected shapes that broadcast, got {shapes[0]} and {shapes[1]}"
        ) from None
    normalise_axis(dim, len(shape), "cosine_similarity")
    x1, x2 = (x if raw(x).dtype.kind == "f" else x * 1.0 for x in (x1, x2))
    x1, x2 = (x if shape_of(x) == shape else broadcast_to(x, shape) for x in (x1, x2))
    lengths = [clamp(norm(x, 2.0, dim), min=eps) for x in (x1, x2)]
    return sum(x1 * x2, dim) / (lengths[0] * lengths[1])


def pairwise_distance(
    x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    r"""The p-norm of ``x1 - x2 + eps`` over the last axis."""
    return norm(x1 - x2 + eps, p, -1, keepdim)


# -------------------------------------------------------------------------- pairs and triples
def cosine_embedding_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    r""":math:`1 - \cos` where ``target`` is 1, :math:`\max(0, \cos - m)` where it is -1, cos of the
    angle between the vectors ``input1`` and ``input2``, (N, D) or (D,)."""
    name = "cosine_embedding_loss"
    _same_shape(input1, input2, name)
    shape = shape_of(input1)
    if len(shape) not in (1, 2) or shape_of(target) != shape[:-1]:
        raise ValueError(
            f"{name}: expected inputs (N, D) and target (N,), got {shape} and {shape_of(target)}"
        )
    lengths = [sum(square(x), -1) + 1e-12 for x in (input1, input2)]
    cosine = sum(input1 * input2, -1) / sqrt(lengths[0] * lengths[1])
    apart = where(eq(target, -1), clamp(cosine - margin, min=0.0), 0.0)
    return _reduce(where(eq(target, 1), 1 - cosine, apart), reduction, name)


def hinge_embedding_loss(
    input: Any, target: Any, margin: float = 1.0, reduction: str = "mean"
) -> Any:
    r"""The distance ``input`` itself where ``target`` is 1, :math:`\max(0, m - x)` where it is
    -1."""
    name = "hinge_embedding_loss"
    _same_shape(input, target, name)
    close = where(ne(target, -1), input, 0.0)
    return _reduce(
        close + where(ne(target, 1), clamp(margin - input, min=0.0), 0.0), reduction, name
    )


def margin_ranking_loss(
    input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean"
) -> Any:
    r""":math:`\max(0, m - t (x_1 - x_2))`: where t is 1, the first should be larger."""
    name = "margin_ranking_loss"
    _same_shape(input1, input2, name)
    _same_shape(input1, target, name)
    return _reduce(clamp(-target * (input1 - input2) + margin, min=0.0), reduction, name)


def triplet_margin_loss(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    r""":math:`\max(0, d(a, p) - d(a, n) + m)` with :func:`pairwise_distance` d; with ``swap`` the
    smaller of :math:`d(a, n)` and :math:`d(p, n)` (Balntas et al., 2016)."""
    name = "triplet_margin_loss"
    _same_shape(anchor, positive, name)
    _same_shape(anchor, negative, name)
    if margin <= 0:
        raise ValueError(f"{name}: expected margin > 0, got {margin}")
    far = pairwise_distance(anchor, negative, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(positive, negative, p, eps))
    near = pairwise_distance(anchor, positive, p, eps)
    return _reduce(clamp(near - far + margin, min=0.0), reduction, name)


# ------------------------------------------------------------------------------- classification
def soft_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    r""":math:`\ln(1 + e^{-t x})` for t = ±1, without overflow."""
    _same_shape(input, target, "soft_margin_loss")
    return _reduce(softplus(-(target * input), threshold=math.inf), reduction, "soft_margin_loss")


def multilabel_soft_margin_loss(
    input: Any, target: Any, weight: Any = None, reduction: str = "mean"
) -> Any:
    r"""The binary cross-entropy of each class of (N, C), averaged over the classes; ``weight`` (C,)
    multiplies them."""
    name = "multilabel_soft_margin_loss"
    _same_shape(input, target, name)
    if not shape_of(input):
        raise ValueError(f"{name}: expected classes along the last axis, got shape ()")
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduce(sum(loss, -1) * (1 / (shape_of(input)[-1] or math.nan)), reduction, name)


def _batch(input: Any, name: str) -> tuple[Any, tuple[int, ...]]:
    r"""(N, C) or (C,) as (N, C), and the shape in which losses are returned."""
    shape = shape_of(input)
    if len(shape) not in (1, 2):
        raise ValueError(f"{name}: expected (N, C) or (C,), got shape {shape}")
    return (input if len(shape) == 2 else unsqueeze(input, 0)), shape[:-1]


def multi_margin_loss(
    input: Any,
    target: Any,
    p: int = 1,
    margin: float = 1.0,
    weight: Any = None,
    reduction: str = "mean",
) -> Any:
    r"""The hinge loss of several classes, :math:`\frac1C \sum_{j \ne t} w_t \max(0, m - x_t +
    x_j)^p`, of scores (N, C) and classes (N,); p is 1 or 2."""
    name = "multi_margin_loss"
    x, outer = _batch(input, name)
    n, classes = shape_of(x)
    t = _index_array(target, input, name).reshape(-1)
    if t.shape != (n,) or shape_of(target) not in (outer, (n,)):
        raise ValueError(f"{name}: expected target of shape {outer}, got {shape_of(target)}")
    if p not in (1, 2):
        raise ValueError(f"{name}: expected p to be 1 or 2, got {p!r}")
    _check_range(t, classes, name, allow_negative=False)
    other = ne(get_array_module(t).arange(classes), t[:, None])
    z = relu(x - gather(x, 1, t[:, None]) + margin)
    terms = where(other, z if p == 1 else square(z), 0.0)
    if weight is not None:
        terms = terms * raw(weight)[t][:, None]
    losses = sum(terms, 1) * (1 / (classes or math.nan))
    return _reduce(losses if reduction != "none" else reshape(losses, outer), reduction, name)


def multilabel_margin_loss(input: Any, target: Any, reduction: str = "mean") -> Any:
    r""":math:`\frac1C \sum_{t} \sum_{j \notin T} \max(0, 1 - x_t + x_j)` over the labels T of each
    row.

    Args:
        input: scores (N, C) or (C,).
        target: of the same shape: the labels of each row, then -1; what follows is ignored.
    """
    name = "multilabel_margin_loss"
    _same_shape(input, target, name)
    x, outer = _batch(input, name)
    n, classes = shape_of(x)
    t = _index_array(target, input, name).reshape(n, classes)
    xp = get_array_module(t)
    _check_range(xp.where(t == -1, 0, t), classes, name, allow_negative=False)
    given = (t < 0).cumsum(axis=1) == 0  # (N, labels), before the first -1
    t = xp.where(given, t, 0)
    hot = (t[:, :, None] == xp.arange(classes)) & given[:, :, None]  # (N, labels, C)
    label = hot.any(axis=1)[:, None, :]
    z = relu(unsqueeze(x, 1) - unsqueeze(gather(x, 1, t), 2) + 1)
    counted = given[:, :, None] & ~label
    losses = sum(where(counted, z, 0.0), (1, 2)) * (1 / (classes or math.nan))
    return _reduce(losses if reduction != "none" else reshape(losses, outer), reduction, name)


def focal_loss(
    input: Any,
    target: Any,
    alpha: Any = None,
    gamma: float = 2.0,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Any:
    r"""Cross-entropy of logits (N, C, ...) with classes (N, ...), in which what is already right
    counts less: :math:`-\alpha_t (1 - p_t)^\gamma \ln p_t` (Lin et al., 2017).

    Args:
        alpha: a number, or a weight for each class (C,).
        gamma: 0 gives α times the cross-entropy.
        reduction: "mean" is the plain mean over the places that are not ignored.
    """
    name = "focal_loss"
    if gamma < 0:
        raise ValueError(f"{name}: expected gamma >= 0, got {gamma}")
    x, t, outer = _class_rows(input, target, name)
    t, keep = _valid_classes(t, shape_of(x)[1], ignore_index, name)
    log_p = gather(log_softmax(x, 1), 1, t[:, None])[:, 0]
    losses = -log_p
    if gamma:
        losses = losses * (-expm1(log_p)) ** gamma
    if alpha is not None:
        by_class = is_array(raw(alpha)) and shape_of(alpha) != ()
        losses = losses * (raw(alpha)[t] if by_class else alpha)
    return _reduce_rows(losses, keep, None, reduction, outer, name)


def sigmoid_focal_loss(
    input: Any, target: Any, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "none"
) -> Any:
    r"""The focal loss of independent logits with targets in [0, 1]: :math:`-\alpha_t
    (1 - p_t)^\gamma \ln p_t`, p_t the probability of the right answer (Lin et al., 2017).

    Args:
        alpha: the weight of target 1, that of target 0 is 1 - α; a negative one means no weights.

    torchvision has it under the same name, with these arguments.
    """
    name = "sigmoid_focal_loss"
    loss = binary_cross_entropy_with_logits(input, target, reduction="none")
    p = sigmoid(input)
    if gamma:
        loss = loss * (p * (1 - target) + sigmoid(-input) * target) ** gamma
    if alpha >= 0:
        loss = loss * (alpha * target + (1 - alpha) * (1 - target))
    return _reduce(loss, reduction, name)


def capsule_margin_loss(
    input: Any,
    target: Any,
    positive: float = 0.9,
    negative: float = 0.1,
    down_weight: float = 0.5,
    reduction: str = "mean",
) -> Any:
    r"""The loss of capsule networks, :math:`\sum_c T_c \max(0, m^+ - x_c)^2 + \lambda (1 - T_c)
    \max(0, x_c - m^-)^2`, of capsule lengths (N, C) (Sabour et al., 2017).

    Args:
        target: classes (N,), or T (N, C), which may hold several 1 a row.
        positive, negative, down_weight: :math:`m^+, m^-, \lambda`.
    """
    name = "capsule_margin_loss"
    shape = shape_of(input)
    if len(shape) != 2 or shape_of(target) not in (shape, shape[:1]):
        raise ValueError(
            f"{name}: expected lengths (N, C) and target (N,) or (N, C), got {shape} and "
            f"{shape_of(target)}"
        )
    if len(shape_of(target)) == 1:
        target = one_hot(target, shape[1])
    present = square(relu(positive - input))
    absent = square(relu(input - negative))
    losses = sum(target * present + (1 - target) * absent * down_weight, 1)
    return _reduce(losses, reduction, name)


# ------------------------------------------------------------------------------------- likelihoods
def poisson_nll_loss(
    input: Any,
    target: Any,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
) -> Any:
    r"""The negative log-likelihood of counts t under Poisson distributions, without ln t!:
    :math:`e^x - t x`, where x is the logarithm of the rate; or :math:`x - t \ln(x + \epsilon)`.

    Args:
        log_input: whether x is the logarithm of the rate.
        full: add Stirling's approximation of ln t! where t > 1.
    """
    name = "poisson_nll_loss"
    _same_shape(input, target, name)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        many = raw(target) > 1
        t = where(many, target, 1.0)
        loss = loss + where(many, t * log(t) - t + 0.5 * log(2 * math.pi * t), 0.0)
    return _reduce(loss, reduction, name)


def gaussian_nll_loss(
    input: Any,
    target: Any,
    var: Any,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Any:
    r"""The negative log-likelihood :math:`\tfrac12 (\ln \sigma^2 + (x - t)^2 / \sigma^2)` of t
    under normal distributions with means ``input`` and variances ``var``.

    Args:
        var: of input's shape, or with a last axis of 1 or none; a number serves all. Limited to
            ``eps`` from below, without stopping its gradient there.
        full: add :math:`\tfrac12 \ln 2\pi`.

    Raises:
        ValueError: a negative variance (on the host), or a shape that does not fit.
    """
    name = "gaussian_nll_loss"
    _same_shape(input, target, name)
    shape, have = shape_of(input), shape_of(var)
    if have != shape and have != ():
        if have == shape[:-1]:
            var = unsqueeze(var, -1)
        elif have != (*shape[:-1], 1):
            raise ValueError(f"{name}: expected var of shape {shape} or {shape[:-1]}, got {have}")
    array = raw(var)
    if (isinstance(array, (int, float)) and array < 0) or (
        isinstance(array, np.ndarray) and (array < 0).any()
    ):
        raise ValueError(f"{name}: expected no negative variance")
    if isinstance(array, (int, float)):
        var = max(float(array), eps)
        log_var: Any = math.log(var)
    else:
        if array.dtype.kind != "f":
            var = cast(var, raw(input).dtype)
            array = raw(var)
        xp = get_array_module(array)
        var = var + xp.maximum(eps - array, 0)  # a constant is added: the gradient goes through
        log_var = log(var)
    loss = 0.5 * (log_var + square(input - target) / var)
    if full:
        loss = loss + 0.5 * math.log(2 * math.pi)
    return _reduce(loss, reduction, name)
