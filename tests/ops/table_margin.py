r"""The op table: losses with a margin, focal losses, likelihoods. References go row by row."""

from __future__ import annotations

import math

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row, like
from tests.ops.table_loss import _reduced, _reduction


def _signs(d: Draw, shape):
    return np.where(d.bools(shape), 1, -1)


def _vectors(d: Draw, n: int):
    r"""Vectors in general position."""
    shape = (*d.of((), (2,), (3,)), d.int(2, 4))
    return [d.distinct(shape) + d.floats(shape, -0.1, 0.1) for _ in range(n)]


def _cosine_embedding(d: Draw) -> Case:
    x, y = _vectors(d, 2)
    target = _signs(d, x.shape[:-1])
    cosine = _cosine(x, y)
    margin = d.of(0.0, 0.3)
    if (np.abs(cosine - margin) < 0.01).any():  # at the kink
        margin = -0.9
    return Case((x, y, np.asarray(target)), {"margin": margin, "reduction": _reduction(d)})


def _cosine(x, y):
    return (x * y).sum(-1) / np.sqrt((x * x).sum(-1) * (y * y).sum(-1))


def _cosine_embedding_reference(x, y, target, margin, reduction):
    losses = np.empty(target.shape)
    for at in np.ndindex(target.shape):
        c = float(_cosine(x[at], y[at]))
        losses[at] = 1 - c if target[at] == 1 else max(0.0, c - margin)
    return _reduced(losses, reduction)


def _similar(d: Draw) -> Case:
    shape = d.of((3,), (2, 3), (2, 3, 2))
    x, y = (d.distinct(shape) + d.floats(shape, 0.1, 0.2) for _ in range(2))
    return Case((x, y), {"dim": d.of(0, -1)})


def _similar_reference(x, y, dim):
    return _cosine(np.moveaxis(x, dim, -1), np.moveaxis(y, dim, -1))


def _distance(d: Draw) -> Case:
    x, y = _vectors(d, 2)
    return Case((x, y + 8), {"p": d.of(1.0, 2.0, 3.0), "keepdim": d.bool()})


def _distance_reference(x, y, p, keepdim, eps=1e-6):
    return (np.abs(x - y + eps) ** p).sum(-1, keepdims=keepdim) ** (1 / p)


def _embedding(d: Draw) -> Case:
    shape = d.shape(min_side=1)
    x = d.floats(shape, -1, 3, away=(0.5, 1.0))
    return Case((x, _signs(d, shape)), {"margin": d.of(0.5, 1.0), "reduction": _reduction(d)})


def _ranking(d: Draw) -> Case:
    shape = d.shape(min_side=1)
    x, margin = d.floats(shape), d.of(0.0, 0.5)
    gap = d.floats(shape, -2, 2, away=(-margin, margin))
    return Case((x + gap, x, _signs(d, shape)), {"margin": margin, "reduction": _reduction(d)})


def _triplet(d: Draw) -> Case:
    a, p, n = _vectors(d, 3)
    params = {"p": d.of(2.0, 3.0), "swap": d.bool(), "reduction": _reduction(d)}
    case = Case((a, p + 3, n - 4), params | {"margin": 1.0})
    losses = np.asarray(_triplet_reference(*case.arrays, **case.params | {"reduction": "none"}))
    return Case(case.arrays, case.params | {"margin": 5.0 if (losses < 0.1).any() else 1.0})


def _triplet_reference(a, p_, n, p, swap, reduction, margin):
    far = _distance_reference(a, n, p, False)
    if swap:
        far = np.minimum(far, _distance_reference(p_, n, p, False))
    return _reduced(np.maximum(margin + _distance_reference(a, p_, p, False) - far, 0), reduction)


def _soft_margin(d: Draw) -> Case:
    shape = d.shape(min_side=1)
    return Case((d.floats(shape, -4, 4), _signs(d, shape)), {"reduction": _reduction(d)})


def _multilabel(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    x, t = d.floats(shape, -4, 4), d.floats(shape, 0.05, 0.95)
    weight = d.of(None, d.floats(shape[-1:], 0.5, 2))
    return Case((x, t), {"weight": weight, "reduction": _reduction(d)})


def _run_multilabel(x, t, weight, reduction):
    weight = None if weight is None else like(weight, x)
    return ops.multilabel_soft_margin_loss(x, t, weight, reduction)


def _multilabel_reference(x, t, weight, reduction):
    losses = t * np.log1p(np.exp(-x)) + (1 - t) * np.log1p(np.exp(x))
    return _reduced((losses if weight is None else losses * weight).mean(-1), reduction)


def _multi_margin(d: Draw) -> Case:
    shape = d.of((3,), (2, 3), (4, 1), (1, 4))
    x = d.distinct(shape) * 0.7 + 0.03 * np.arange(math.prod(shape)).reshape(shape)
    weight = d.of(None, d.floats(shape[-1:], 0.5, 2))
    params = {"p": d.of(1, 2), "margin": d.of(0.5111, 1.0333), "weight": weight}
    target = d.ints(shape[:-1], 0, shape[-1] - 1)
    return Case((x, target), params | {"reduction": _reduction(d)})


def _run_multi_margin(x, t, p, margin, weight, reduction):
    weight = None if weight is None else like(weight, x)
    return ops.multi_margin_loss(x, t, p, margin, weight, reduction)


def _multi_margin_reference(x, t, p, margin, weight, reduction):
    losses = np.zeros(t.shape)
    for at in np.ndindex(t.shape):
        row, y = x[at], t[at]
        for j in range(len(row)):
            if j != y:
                term = max(0.0, margin - row[y] + row[j]) ** p
                losses[at] += term * (1 if weight is None else weight[y]) / len(row)
    return _reduced(losses, reduction)


def _label_margin(d: Draw) -> Case:
    shape = d.of((3,), (2, 4), (3, 2))
    x = d.distinct(shape) * 0.7 + 0.03 * np.arange(math.prod(shape)).reshape(shape)
    target = np.empty(shape, int)
    for at in np.ndindex(shape[:-1]):
        k = d.int(0, shape[-1])
        target[at] = -1
        target[(*at, slice(0, k))] = d.rng.permutation(shape[-1])[:k]
    return Case((x, target), {"reduction": _reduction(d)})


def _label_margin_reference(x, target, reduction):
    losses = np.zeros(x.shape[:-1])
    for at in np.ndindex(x.shape[:-1]):
        labels = []
        for t in target[at]:
            if t < 0:
                break
            labels.append(t)
        for t in labels:
            for j in set(range(x.shape[-1])) - set(labels):
                losses[at] += max(0.0, 1 - x[at][t] + x[at][j]) / x.shape[-1]
    return _reduced(losses, reduction)


def _focal(d: Draw) -> Case:
    shape = d.of((3, 2), (2, 3, 2), (3,))
    classes = shape[1] if len(shape) > 1 else shape[0]
    target = d.ints(shape[:1] + shape[2:] if len(shape) > 1 else (), 0, classes - 1)
    params = {"alpha": d.of(None, 0.25, d.floats((classes,), 0.2, 1)), "gamma": d.of(0, 1, 2.0)}
    ignore = d.of(-100, 1) if target.size and (target != 1).any() else -100
    return Case(
        (d.floats(shape), target), params | {"ignore_index": ignore, "reduction": _reduction(d)}
    )


def _run_focal(x, t, alpha, gamma, ignore_index, reduction):
    alpha = like(alpha, x) if isinstance(alpha, np.ndarray) else alpha
    return ops.focal_loss(x, t, alpha, gamma, ignore_index, reduction)


def _focal_reference(x, t, alpha, gamma, ignore_index, reduction):
    e = np.exp(np.moveaxis(x, 1, -1) if x.ndim > 1 else x)
    losses, kept = np.zeros(t.shape), np.ones(t.shape, bool)
    for at in np.ndindex(t.shape):
        p = e[at][t[at]] / e[at].sum()
        a = 1 if alpha is None else alpha[t[at]] if isinstance(alpha, np.ndarray) else alpha
        kept[at] = t[at] != ignore_index
        losses[at] = kept[at] * -a * (1 - p) ** gamma * math.log(p)
    return losses.sum() / kept.sum() if reduction == "mean" else _reduced(losses, reduction)


def _sigmoid_focal(d: Draw) -> Case:
    shape = d.shape(min_side=1)
    hard = d.bools(shape) * 1.0
    t = d.of(hard, d.floats(shape, 0.05, 0.95))
    params = {"alpha": d.of(0.25, 0.9, -1), "gamma": d.of(0, 1, 2.0)}
    return Case((d.floats(shape, -4, 4), t), params | {"reduction": _reduction(d)})


def _sigmoid_focal_reference(x, t, alpha, gamma, reduction):
    p = 1 / (1 + np.exp(-x))
    losses = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    losses = losses * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
    if alpha >= 0:
        losses = losses * (alpha * t + (1 - alpha) * (1 - t))
    return _reduced(losses, reduction)


def _capsules(d: Draw) -> Case:
    shape = (d.int(1, 3), d.int(1, 4))
    x = d.floats(shape, 0, 1, away=(0.1, 0.9))
    target = d.ints(shape[:1], 0, shape[1] - 1) if d.bool() else d.ints(shape, 0, 1)
    return Case((x, target), {"down_weight": d.of(0.5, 1.0), "reduction": _reduction(d)})


def _capsules_reference(x, target, down_weight, reduction):
    losses = np.zeros(len(x))
    for i, c in np.ndindex(x.shape):
        present = target[i] == c if target.ndim == 1 else target[i, c] == 1
        gap = max(0.0, 0.9 - x[i, c]) if present else max(0.0, x[i, c] - 0.1)
        losses[i] += (1 if present else down_weight) * gap**2
    return _reduced(losses, reduction)


def _poisson(d: Draw) -> Case:
    shape = d.shape(min_side=1)
    log_input = d.bool()
    x = d.floats(shape) if log_input else d.floats(shape, 0.2, 3)
    params = {"log_input": log_input, "full": d.bool(), "reduction": _reduction(d)}
    return Case((x, d.floats(shape, 0.1, 4, away=(1.0,))), params)


def _poisson_reference(x, t, log_input, full, reduction):
    losses = np.exp(x) - t * x if log_input else x - t * np.log(x + 1e-8)
    if full:
        losses = losses + np.where(t > 1, t * np.log(t) - t + 0.5 * np.log(2 * np.pi * t), 0)
    return _reduced(losses, reduction)


def _gaussian(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    var_shape = d.of(shape, shape[:-1], (*shape[:-1], 1))
    arrays = d.floats(shape), d.floats(shape), d.floats(var_shape, 0.3, 2)
    return Case(arrays, {"full": d.bool(), "reduction": _reduction(d)})


def _gaussian_reference(x, t, var, full, reduction):
    var = var[..., None] if var.ndim < x.ndim else var
    var = np.maximum(var, 1e-6)
    losses = 0.5 * (np.log(var) + (x - t) ** 2 / var) + (0.5 * math.log(2 * math.pi) if full else 0)
    return _reduced(losses, reduction)


ROWS = [
    Row("cosine_similarity", ops.cosine_similarity, _similar_reference, _similar, rtol=1e-5),
    Row("pairwise_distance", ops.pairwise_distance, _distance_reference, _distance, rtol=1e-5),
    Row("cosine_embedding_loss", ops.cosine_embedding_loss, _cosine_embedding_reference,
        _cosine_embedding, rtol=1e-5),
    Row("hinge_embedding_loss", ops.hinge_embedding_loss, lambda x, t, margin, reduction: (
        _reduced(np.where(t == 1, x, np.maximum(margin - x, 0)), reduction)
    ), _embedding, rtol=1e-5),
    Row("margin_ranking_loss", ops.margin_ranking_loss, lambda x, y, t, margin, reduction: (
        _reduced(np.maximum(-t * (x - y) + margin, 0), reduction)
    ), _ranking, rtol=1e-5),
    Row("triplet_margin_loss", ops.triplet_margin_loss, _triplet_reference, _triplet, rtol=1e-5),
    Row("soft_margin_loss", ops.soft_margin_loss, lambda x, t, reduction: (
        _reduced(np.log1p(np.exp(-t * x)), reduction)
    ), _soft_margin, rtol=1e-5),
    Row("multilabel_soft_margin_loss", _run_multilabel, _multilabel_reference, _multilabel,
        rtol=1e-5),
    Row("multi_margin_loss", _run_multi_margin, _multi_margin_reference, _multi_margin, rtol=1e-5),
    Row("multilabel_margin_loss", ops.multilabel_margin_loss, _label_margin_reference,
        _label_margin, rtol=1e-5),
    Row("focal_loss", _run_focal, _focal_reference, _focal, rtol=1e-5),
    Row("sigmoid_focal_loss", ops.sigmoid_focal_loss, _sigmoid_focal_reference, _sigmoid_focal,
        rtol=1e-5),
    Row("capsule_margin_loss", ops.capsule_margin_loss, _capsules_reference, _capsules, rtol=1e-5),
    Row("poisson_nll_loss", ops.poisson_nll_loss, _poisson_reference, _poisson, rtol=1e-5),
    Row("gaussian_nll_loss", ops.gaussian_nll_loss, _gaussian_reference, _gaussian, rtol=1e-5),
]  # fmt: skip
