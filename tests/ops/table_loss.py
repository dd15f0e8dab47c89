r"""The op table: losses, and ops with randomness."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from minigrad import ops
from minigrad.backend import Generator
from tests.ops.row import Case, Draw, Row, like


def _reduced(losses, reduction):
    losses = np.asarray(losses)
    if reduction == "none":
        return losses
    return losses.sum() if reduction == "sum" else losses.sum() / losses.size


def _reduction(d: Draw) -> str:
    return d.of("mean", "sum", "none")


# ------------------------------------------------------------------------------ classification
def _logits(d: Draw) -> tuple:
    r"""(N, C), (C,) or (N, C, d), and the shape of the targets."""
    c = d.int(1, 4)
    shape = d.of((d.int(1, 3), c), (c,), (2, c, 2))
    return d.floats(shape, -4, 4), c, shape[:1] + shape[2:] if len(shape) > 1 else ()


def _cross_entropy(d: Draw) -> Case:
    x, c, outer = _logits(d)
    target = d.ints(outer, 0, c - 1)
    params = {"reduction": _reduction(d), "ignore_index": -100, "label_smoothing": d.of(0.0, 0.1)}
    if outer and d.bool():  # some are ignored, never all
        params["ignore_index"] = -1
        flat = target.reshape(-1)
        flat[1:] = np.where(d.bools(flat[1:].shape), -1, flat[1:])
    params["weight"] = d.of(None, d.floats((c,), 0.5, 2))
    return Case((x, target), params)


def _cross_entropy_reference(x, target, weight, reduction, ignore_index, label_smoothing):
    r"""Position by position, with the logarithm of the softmax written out."""
    axis = 1 if x.ndim > 1 else 0
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    c = x.shape[axis]
    weight = np.ones(c) if weight is None else weight
    losses, counted = [], 0.0
    for row, t in zip(rows, target.reshape(-1)):
        if t == ignore_index:
            losses.append(0.0)
            continue
        log_p = [v - math.log(sum(math.exp(u) for u in row)) for v in row]
        hard = -weight[t] * log_p[t]
        soft = -sum(w * p for w, p in zip(weight, log_p)) / c
        losses.append((1 - label_smoothing) * hard + label_smoothing * soft)
        counted += weight[t]
    if reduction == "none":
        return np.array(losses).reshape(target.shape)
    return np.asarray(sum(losses) / (counted if reduction == "mean" else 1.0))


def _run_cross_entropy(x, target, weight, **params):
    if weight is not None:
        weight = like(weight, x)
    return ops.cross_entropy(x, target, weight, **params)


def _soft(d: Draw) -> Case:
    x, _, _ = _logits(d)
    axis = 1 if x.ndim > 1 else 0
    p = special.softmax(d.floats(x.shape), axis=axis)
    return Case((x, p), {"reduction": _reduction(d), "label_smoothing": d.of(0.0, 0.1)})


def _soft_reference(x, p, reduction, label_smoothing):
    axis = 1 if x.ndim > 1 else 0
    p = (1 - label_smoothing) * p + label_smoothing / x.shape[axis]
    losses = -(p * special.log_softmax(x, axis=axis)).sum(axis)
    return _reduced(losses, reduction)


def _nll(d: Draw) -> Case:
    x, c, outer = _logits(d)
    weight = d.of(None, d.floats((c,), 0.5, 2))
    return Case((x, d.ints(outer, 0, c - 1)), {"reduction": _reduction(d), "weight": weight})


def _run_nll(x, target, weight, reduction):
    return ops.nll_loss(x, target, None if weight is None else like(weight, x), -100, reduction)


def _nll_reference(x, target, weight, reduction):
    axis = 1 if x.ndim > 1 else 0
    rows = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    w = np.ones(x.shape[axis]) if weight is None else weight
    losses = np.array([-w[t] * row[t] for row, t in zip(rows, target.reshape(-1))])
    if reduction == "mean":
        return losses.sum() / w[target.reshape(-1)].sum()
    return losses.sum() if reduction == "sum" else losses.reshape(target.shape)


# ------------------------------------------------------------------------------------ the rest
def _pair(low=-2.0, high=2.0, t_low=-2.0, t_high=2.0, **params):
    def draw(d: Draw) -> Case:
        shape = d.shape(min_side=1)
        chosen = {"reduction": _reduction(d)} | {k: d.of(*v) for k, v in params.items()}
        return Case((d.floats(shape, low, high), d.floats(shape, t_low, t_high)), chosen)

    return draw


def _apart(*kinks: float, **params):
    r"""Input and target whose difference is nowhere near a kink."""

    def draw(d: Draw) -> Case:
        shape = d.shape(min_side=1)
        t = d.floats(shape)
        away = [k for point in kinks for k in (point, -point)]
        chosen = {"reduction": _reduction(d)} | {k: d.of(*v) for k, v in params.items()}
        return Case((t + d.floats(shape, -3, 3, away), t), chosen)

    return draw


def _bce_logits(d: Draw) -> Case:
    case = _pair(-4, 4, 0.05, 0.95)(d)
    shape = case.arrays[0].shape
    weights = {
        "weight": d.of(None, d.floats(shape, 0.5, 2)),
        "pos_weight": d.of(None, d.floats(shape[-1:], 0.5, 2)),
    }
    return Case(case.arrays, case.params | weights)


def _run_bce_logits(x, t, weight, pos_weight, reduction):
    weight = None if weight is None else like(weight, x)
    pos_weight = None if pos_weight is None else like(pos_weight, x)
    return ops.binary_cross_entropy_with_logits(x, t, weight, reduction, pos_weight)


def _bce_logits_reference(x, t, weight, pos_weight, reduction):
    pos = 1.0 if pos_weight is None else pos_weight
    losses = pos * t * np.log1p(np.exp(-x)) + (1 - t) * np.log1p(np.exp(x))
    return _reduced(losses if weight is None else losses * weight, reduction)


def _huber_reference(d, delta):
    a = np.abs(d)
    return np.where(a < delta, 0.5 * d * d, delta * (a - 0.5 * delta))


def _kl_reference(x, t, reduction, log_target):
    terms = np.exp(t) * (t - x) if log_target else t * (np.log(t) - x)
    return terms.sum() / len(terms) if reduction == "batchmean" else _reduced(terms, reduction)


def _kl(d: Draw) -> Case:
    shape = d.shape(1, 3, 1)
    log_target = d.bool()
    t = d.floats(shape, -3, 0) if log_target else d.floats(shape, 0.1, 1)
    reduction = d.of("mean", "sum", "none", "batchmean")
    return Case((d.floats(shape, -3, 0), t), {"reduction": reduction, "log_target": log_target})


# ---------------------------------------------------------------------------------- randomness
def _random(low: int, high: int, **params):
    def draw(d: Draw) -> Case:
        chosen = {k: d.of(*v) for k, v in params.items()}
        return Case((d.floats(d.shape(low, high)),), chosen | {"seed": d.int(0, 9)})

    return draw


def _seeded(op):
    return lambda *x, seed, **params: op(*x, **params, generator=Generator(seed))


def _dropout_reference(trailing):
    r"""The documented draw: two random bytes a place, below (1 - p) 2^16 means kept."""

    def reference(x, seed, p, training=True):
        if not training or p == 0.0:
            return x.copy()
        shape = x.shape[: x.ndim - trailing] + (1,) * trailing
        n = math.prod(shape)
        bits = np.random.Generator(np.random.PCG64(seed)).bytes(2 * n)
        kept = [int.from_bytes(bits[2 * i : 2 * i + 2], "little") for i in range(n)]
        mask = np.array([k < round((1 - p) * 65536) for k in kept], bool).reshape(shape)
        return np.where(mask, x / (1 - p) if p < 1 else 0.0, 0.0)

    return reference


def _alpha_reference(per_channel):
    r"""Klambauer et al., equation 30, with the draw of dropout."""

    def reference(x, seed, p, training=True):
        if not training or p == 0.0:
            return x.copy()
        if p == 1.0:
            return np.zeros_like(x)
        trailing = max(x.ndim - 2, 0) if per_channel else 0
        kept = _dropout_reference(trailing)(np.ones_like(x), seed, p) > 0
        low, q = -1.7580993408473766, 1 - p
        a = (q + low**2 * q * (1 - q)) ** -0.5
        return a * np.where(kept, x, low) - a * (1 - q) * low

    return reference


def _rrelu_reference(x, seed, lower, upper, training):
    slope = np.random.Generator(np.random.PCG64(seed)).uniform(lower, upper, x.shape)
    return np.where(x > 0, x, x * (slope if training else (lower + upper) / 2))


def _rrelu(d: Draw) -> Case:
    params = {"seed": d.int(0, 9), "lower": d.of(0.1, 0.3), "upper": 0.3, "training": d.bool()}
    return Case((d.floats(d.shape(), away=(0.0,)),), params)


def _gaussian(d: Draw) -> Case:
    shape = d.shape()
    return Case((d.floats(shape), d.floats(shape)), {"seed": d.int(0, 9)})


def _gaussian_reference(mean, log_var, seed):
    rng = np.random.Generator(np.random.PCG64(seed))
    return mean + np.sqrt(np.exp(log_var)) * rng.standard_normal(mean.shape)


ROWS = [
    Row("cross_entropy", _run_cross_entropy, _cross_entropy_reference, _cross_entropy, rtol=1e-5),
    Row("cross_entropy-soft", ops.cross_entropy, _soft_reference, _soft, covers=("cross_entropy",),
        rtol=1e-5),
    Row("nll_loss", _run_nll, _nll_reference, _nll, rtol=1e-5),
    Row("binary_cross_entropy_with_logits", _run_bce_logits, _bce_logits_reference, _bce_logits,
        rtol=1e-5),
    Row("binary_cross_entropy", ops.binary_cross_entropy,
        lambda p, t, reduction: _reduced(-(t * np.log(p) + (1 - t) * np.log(1 - p)), reduction),
        _pair(0.1, 0.9, 0.1, 0.9), rtol=1e-5),
    Row("mse_loss", ops.mse_loss, lambda x, t, reduction: _reduced((x - t) ** 2, reduction),
        _pair(), rtol=1e-5),
    Row("l1_loss", ops.l1_loss, lambda x, t, reduction: _reduced(np.abs(x - t), reduction),
        _apart(0.0), rtol=1e-5),
    Row("smooth_l1_loss", ops.smooth_l1_loss,
        lambda x, t, reduction, beta: _reduced(_huber_reference(x - t, beta) / beta, reduction),
        _apart(0.5, 1.0, beta=(0.5, 1.0)), rtol=1e-5),
    Row("huber_loss", ops.huber_loss,
        lambda x, t, reduction, delta: _reduced(_huber_reference(x - t, delta), reduction),
        _apart(0.5, 1.0, delta=(0.5, 1.0)), rtol=1e-5),
    Row("kl_div", ops.kl_div, _kl_reference, _kl, rtol=1e-5),
    Row("dropout", _seeded(ops.dropout), _dropout_reference(0),
        _random(0, 3, p=(0.0, 0.3, 0.5, 1.0), training=(True, True, False))),
    Row("dropout1d", _seeded(ops.dropout1d), _dropout_reference(1), _random(3, 3, p=(0.3, 0.5))),
    Row("dropout2d", _seeded(ops.dropout2d), _dropout_reference(2), _random(4, 4, p=(0.3, 0.5))),
    Row("alpha_dropout", _seeded(ops.alpha_dropout), _alpha_reference(False),
        _random(0, 3, p=(0.0, 0.3, 0.5, 1.0), training=(True, True, False)), rtol=1e-5),
    Row("feature_alpha_dropout", _seeded(ops.feature_alpha_dropout), _alpha_reference(True),
        _random(2, 4, p=(0.0, 0.3, 1.0), training=(True, True, False)), rtol=1e-5),
    Row("rrelu", _seeded(ops.rrelu), _rrelu_reference, _rrelu),
    # float32 draws other numbers than float64, so only float64 has a reference.
    Row("gaussian_sample", _seeded(ops.gaussian_sample), _gaussian_reference, _gaussian,
        rtol=float("inf")),
]  # fmt: skip
