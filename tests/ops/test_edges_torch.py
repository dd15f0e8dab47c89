r"""Odd arguments, by PyTorch's names and in PyTorch's order: the same answer, or an error in both.

Belongs here: calls whose meaning is PyTorch's habit rather than mathematics. What follows from the
op table is in ``test_ops_torch.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg

torch = pytest.importorskip("torch")

INF, NAN = math.inf, math.nan
X = [[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]]
POWERS = (INF, -INF, 0, 1, 2, 3, -1, -2, 0.5, "fro", None)

# m is the framework, T makes a tensor of a list.
CALLS: list[tuple[str, Callable[[Any, Any], Any]]] = [
    ("var(False)", lambda m, T: m.var(T(X), False)),
    ("var method", lambda m, T: T(X).var(False)),
    ("var correction", lambda m, T: m.var(T(X), correction=0)),
    ("var dim correction", lambda m, T: m.var(T(X), 1, correction=2, keepdim=True)),
    ("var positional", lambda m, T: m.var(T(X), 1, False, True)),
    ("var of one", lambda m, T: m.var(T([1.0]))),
    ("var of one, c = 0", lambda m, T: m.std(T([1.0]), correction=0)),
    ("std c = n", lambda m, T: m.std(T(X), 1, correction=3)),
    ("var of none", lambda m, T: m.var(m.zeros(0, 3), 0)),
    ("std_mean", lambda m, T: m.std_mean(T(X), 1)),
    ("var_mean", lambda m, T: m.var_mean(T(X), dim=(0, 1), correction=0)),
    *[(f"norm {p}", lambda m, T, p=p: m.norm(T(X), p)) for p in POWERS],
    *[(f"norm {p} dim", lambda m, T, p=p: m.norm(T(X), p, 1, True)) for p in POWERS],
    *[(f"norm {p} of zeros", lambda m, T, p=p: m.norm(T([0.0, 0.0]), p)) for p in POWERS],
    *[(f"norm {p} of none", lambda m, T, p=p: m.norm(m.zeros(0), p)) for p in POWERS],
    ("topk smallest", lambda m, T: m.topk(T([3.0, 1, 2]), 2, largest=False, sorted=True)),
    ("topk 0-d", lambda m, T: m.topk(T(3.0), 1)),
    ("topk too many", lambda m, T: m.topk(T([3.0]), 2)),
    ("topk nan", lambda m, T: m.topk(T([1.0, NAN, 2]), 2)),
    ("sort nan", lambda m, T: m.sort(T([1.0, NAN, 2]))),
    ("sort nan descending", lambda m, T: m.sort(T([1.0, NAN, 2]), descending=True)),
    ("sort stable", lambda m, T: m.sort(T([1.0, 1, 0, 0]), stable=True, descending=True)),
    ("sort booleans", lambda m, T: m.sort(T([True, False]))),
    ("argsort stable", lambda m, T: m.argsort(T([1.0, 1, 0]), dim=0, descending=True, stable=True)),
    ("gather 0-d", lambda m, T: m.gather(T(1.0), 0, T(0))),
    ("gather negative", lambda m, T: m.gather(T(X), 1, T([[-1]]))),
    ("gather outside", lambda m, T: m.gather(T(X), 1, T([[3]]))),
    ("gather floats", lambda m, T: m.gather(T(X), 1, T([[0.0]]))),
    ("scatter_add names", lambda m, T: m.scatter_add(
        input=m.zeros(3), dim=0, index=T([0, 0, 1]), src=T([1.0, 2, 3]))),
    ("scatter number", lambda m, T: m.scatter(m.zeros(3), 0, T([0, 2]), 1.5)),
    ("take_along_dim flat", lambda m, T: m.take_along_dim(T(X), T([5, 0]))),
    ("index_select negative", lambda m, T: m.index_select(T(X), 0, T([-1]))),
    ("index_select 0-d", lambda m, T: m.index_select(T(X), 0, T(1))),
    ("cumsum 0-d", lambda m, T: m.cumsum(T(1.0), 0)),
    ("cumsum booleans", lambda m, T: m.cumsum(T([True, True]), 0)),
    ("cumsum dtype", lambda m, T: m.cumsum(T([1, 2]), 0, dtype=m.float32)),
    ("cumprod integers", lambda m, T: m.cumprod(T([2, 3, 0, 5]), 0)),
    ("logcumsumexp -inf", lambda m, T: m.logcumsumexp(T([-INF, 0.0, 1e4]), 0)),
    ("median even", lambda m, T: m.median(T([4.0, 1, 3, 2]))),
    ("median ties", lambda m, T: m.median(T([1.0, 2, 2, 2, 3]))),
    ("median nans", lambda m, T: m.median(T([1.0, NAN, 2, NAN]))),
    ("cumsum bytes", lambda m, T: m.cumsum(T([200, 200]).to(m.uint8), 0)),
    ("prod bytes", lambda m, T: m.prod(T([200, 200]).to(m.uint8))),
    ("clamp at its limits", lambda m, T: m.clamp(T([0.0, 1, 2, 3]), T([1.0]), T([2.0]))),
    ("clamp crossed limits", lambda m, T: m.clamp(T([0.0, 1, 2, 3]), T([2.0]), T([1.0]))),
    ("clamp nan", lambda m, T: m.clamp(T([1.0, NAN, INF]), T([2.0, 0, NAN]), T([9.0]))),
    ("median nan", lambda m, T: m.median(T([1.0, NAN, 0.0]), 0)),
    ("median of none", lambda m, T: m.median(m.zeros(0))),
    ("median empty axis", lambda m, T: m.median(m.zeros(2, 0), 1)),
    ("tril vector", lambda m, T: m.tril(T([1.0, 2]))),
    ("tril booleans", lambda m, T: m.tril(m.ones(3, 3) > 0)),
    ("triu keyword", lambda m, T: m.triu(T(X), diagonal=1)),
    ("flip twice", lambda m, T: m.flip(T(X), (0, 0))),
    ("flip none", lambda m, T: m.flip(T(X), ())),
    ("roll an axis twice", lambda m, T: m.roll(T(X), (1, 1), (1, 1))),
    ("roll far", lambda m, T: m.roll(T(X), 7, 1)),
    ("roll without axes", lambda m, T: m.roll(T(X), (1, 2))),
    ("argmax nan", lambda m, T: m.argmax(T([1.0, NAN, 2]))),
    ("max nan", lambda m, T: m.max(T([1.0, NAN, 2]), 0)),
    ("max of none", lambda m, T: m.max(m.zeros(0))),
    ("max empty axis", lambda m, T: m.max(m.zeros(2, 0), 1)),
    ("max of no rows", lambda m, T: m.max(m.zeros(0, 2), 1)),
    ("mean dtype", lambda m, T: m.mean(T([1, 2]), dtype=m.float32)),
    ("mean of none", lambda m, T: m.mean(m.zeros(0))),
    ("sum no axes", lambda m, T: m.sum(T(X), ())),
    ("sum booleans", lambda m, T: m.sum(T([True, True]))),
    ("prod dtype", lambda m, T: m.prod(T([2, 3]), dtype=m.float32)),
    ("prod of none", lambda m, T: m.prod(m.zeros(0))),
    ("softmax dtype", lambda m, T: m.softmax(T([1, 2]), 0, dtype=m.float32)),
    ("softmax -inf", lambda m, T: m.softmax(T([-INF, 1.0]), 0)),
    ("clamp integers", lambda m, T: m.clamp(T([1, 5]), max=2.5)),
    ("clamp crossed", lambda m, T: m.clamp(T([1.0, 5.0]), 3, 2)),
    ("clamp nan", lambda m, T: m.clamp(T([NAN]), 0, 1)),
    ("where method", lambda m, T: T([1.0, 2]).where(T([True, False]), T([5.0, 6]))),
    ("tril method", lambda m, T: T(X).tril(-1)),
    ("median method", lambda m, T: T(X).median(1)),
    ("scatter method", lambda m, T: T(X).scatter(1, T([[0], [2]]), 9.0)),
    ("sign nan", lambda m, T: m.sign(T([NAN, -0.0, -2.0]))),
    ("div floor", lambda m, T: m.div(T([-3.0, 3]), 2, rounding_mode="floor")),
    ("div trunc", lambda m, T: m.div(T([-3, 3]), 2, rounding_mode="trunc")),
    ("div unknown", lambda m, T: m.div(T([-3, 3]), 2, rounding_mode="up")),
    ("round decimals", lambda m, T: m.round(T([1.255, -0.45]), decimals=1)),
    ("fmod", lambda m, T: m.fmod(T([-3.0, 3]), 2)),
    ("atan2 axes", lambda m, T: m.atan2(T([0.0, -0.0, 1, -1]), T([-1.0, -1, 0, 0]))),
    ("logaddexp -inf", lambda m, T: m.logaddexp(T([-INF, 1e4]), T([0.0, 1e4]))),
    ("xlogy", lambda m, T: m.xlogy(T([0.0, 0, 0, 1]), T([0.0, -1, INF, 2]))),
    ("logit eps", lambda m, T: m.logit(T([0.0, 0.5, 1]), 1e-3)),
    ("nan_to_num", lambda m, T: m.nan_to_num(T([NAN, INF, -INF, 1.0]), 2.0, neginf=-3.0)),
    ("lgamma", lambda m, T: m.lgamma(T([0.0, -1, INF, 100]))),
    ("digamma", lambda m, T: m.digamma(T([0.0, -1, INF, 100]))),
    ("erfinv", lambda m, T: m.erfinv(T([-1.0, 1, 0, 2]))),
    ("bincount weights", lambda m, T: m.bincount(T([1, 1, 3]), T([0.5, 1, 2.0]), minlength=6)),
    ("bincount negative", lambda m, T: m.bincount(T([-1]))),
    ("nonzero", lambda m, T: m.nonzero(T(X) > 2, as_tuple=True)),
    ("nonzero 0-d", lambda m, T: m.nonzero(T(2.0))),
    ("searchsorted", lambda m, T: m.searchsorted(T([1, 3, 3]), T([[3, 0], [4, 1]]), right=True)),
    ("addmm beta 0", lambda m, T: m.addmm(T([NAN]), T(X), T(X).T, beta=0, alpha=2)),
    ("lerp number", lambda m, T: m.lerp(T([1.0, 2]), T([3.0, 3]), 0.25)),
    ("diff twice", lambda m, T: m.diff(T(X), 2)),
    ("count_nonzero", lambda m, T: m.count_nonzero(T([[0, 1], [2, 0]]), dim=(0, 1))),
    ("lerp to the end", lambda m, T: m.lerp(T([0.1, 1e8]), T([0.3, 1.0]), T([1.0, 1.0]))),
    ("take_along_dim shapes", lambda m, T: m.take_along_dim(T(X), T([[0], [1], [0]]), 1)),
    ("batch_norm integers", lambda m, T: m.nn.functional.batch_norm(
        T(X), T([0, 0, 0]), T([1, 1, 1]), training=True)),
    ("scatter inf", lambda m, T: m.scatter(T(X), 1, T([[0, 2]]), T([[INF, -INF]]))),
    ("norm 0 of inf", lambda m, T: m.norm(T([INF, -INF, 0, NAN, 2]), 0)),
    ("round integers", lambda m, T: m.round(T([1, -2]))),
    ("relu6 integers", lambda m, T: m.nn.functional.relu6(T([1, -2, 9]))),
    ("masked_fill integers", lambda m, T: T([1, 2]).masked_fill(T([True, False]), 5.0)),
    ("masked_fill inf", lambda m, T: T([1, 2]).masked_fill(T([True, False]), INF)),
    ("masked_fill booleans", lambda m, T: T([True, False]).masked_fill(T([False, True]), 2.0)),
    ("masked_select integers", lambda m, T: m.masked_select(T(X), T([[0, 1, 1]]))),
    ("addmm too few rows", lambda m, T: m.addmm(m.ones(3, 4), m.ones(1, 2), m.ones(2, 4))),
    ("addmm too many axes", lambda m, T: m.addmm(m.ones(1, 3, 4), m.ones(3, 2), m.ones(2, 4))),
    ("baddbmm", lambda m, T: m.baddbmm(m.ones(2, 3, 4), m.ones(2, 3, 2), m.ones(2, 2, 1))),
    ("split 0-d", lambda m, T: m.split(T(1.0), 1)),
    ("chunk 0-d", lambda m, T: m.chunk(T(1.0), 1)),
    ("unbind 0-d", lambda m, T: m.unbind(T(1.0))),
    ("roll 0-d", lambda m, T: m.roll(T(1.0), 1, 0)),
    ("repeat_interleave negative", lambda m, T: m.repeat_interleave(T(X), -1, 0)),
    ("cumprod outside", lambda m, T: m.cumprod(T([1, 2]), 1)),
    ("bce inf", lambda m, T: m.nn.functional.binary_cross_entropy_with_logits(
        T([INF, 1e4, -1e4]), T([0.25, 0.25, 0.25]), reduction="none")),
    ("cosine broadcast", lambda m, T: m.cosine_similarity(T([[2.0], [-1]]), T(X), 1)),
    ("cosine outside", lambda m, T: m.cosine_similarity(T(X), T(X), 2)),
    ("soft margin bytes", lambda m, T: m.nn.functional.soft_margin_loss(
        T([1.0, -2]), T([1, 1]).to(m.uint8))),
    ("multilabel margin label", lambda m, T: m.nn.functional.multilabel_margin_loss(
        T([[1.0, 2]]), T([[0, -2]]))),
    ("bce target", lambda m, T: m.nn.functional.binary_cross_entropy(T([0.5]), T([1.5]))),
    ("adaptive inf 1d", lambda m, T: m.nn.functional.adaptive_avg_pool1d(
        T([[1, INF, 3, 4, 5]]), 3)),
    ("adaptive inf 2d", lambda m, T: m.nn.functional.adaptive_avg_pool2d(
        T([[[INF, 1, 2], [3, 4, 5], [6, 7, -INF]]]), 2)),
    ("area nan", lambda m, T: m.nn.functional.interpolate(
        T([[[1, NAN, 3, 4, 5]]]), 3, mode="area")),
    ("avg_pool booleans", lambda m, T: m.nn.functional.avg_pool1d(T([[True, False]]), 2)),
    ("max_pool booleans", lambda m, T: m.nn.functional.max_pool1d(T([[True, False]]), 2)),
]  # fmt: skip


def _answer(call: Callable[[Any, Any], Any], m: Any, make: Callable[[Any], Any]) -> Any:
    try:
        result = call(m, make)
    except (ValueError, TypeError, IndexError, RuntimeError):
        return None
    results = result if isinstance(result, (tuple, list)) else (result,)
    return [np.asarray(r.detach().numpy()) for r in results]


@pytest.mark.filterwarnings("ignore:.*degrees of freedom", "ignore:nonzero")
@pytest.mark.parametrize(("name", "call"), CALLS, ids=[name for name, _ in CALLS])
def test_as_in_pytorch(name: str, call: Callable[[Any, Any], Any]) -> None:
    theirs = _answer(call, torch, torch.tensor)
    ours = _answer(call, mg, mg.tensor)
    assert (ours is None) == (theirs is None)
    for a, b in zip(ours or (), theirs or (), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
        assert a.shape == b.shape


@pytest.mark.parametrize("p", [p for p in POWERS if p is not None])
def test_gradient_of_norms_of_rows_with_zeros(p: Any) -> None:
    rows = [[0.0, 0.0], [3.0, -4.0], [0.0, 2.0]]
    x, y = mg.tensor(rows, requires_grad=True), torch.tensor(rows, requires_grad=True)
    z = torch.norm(y, p, 1).sum()
    mg.norm(x, p, 1).sum().backward()
    if z.requires_grad:
        z.backward()
    if y.grad is not None:
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-6)
    else:
        assert not x.grad.numpy().any()  # PyTorch records nothing for p = 0


GRADIENTS: list[tuple[str, Callable[[Any, Any, Any], Any], list[float], list[float]]] = [
    ("atan2 at the origin", lambda m, a, b: m.atan2(a, b), [0.0, 1.0], [0.0, 2.0]),
    ("median ties", lambda m, a, b: m.median(a) + b.sum() * 0, [1.0, 2, 2, 2, 3], [0.0]),
    ("median nans", lambda m, a, b: m.median(a) + b.sum() * 0, [1.0, NAN, 2, NAN], [0.0]),
    ("clamp at its lower limit", lambda m, a, b: m.clamp(a, b), [0.0, 1, 2], [1.0, 1, 1]),
    ("clamp at its upper limit", lambda m, a, b: m.clamp(a, max=b), [0.0, 1, 2], [1.0, 1, 1]),
    ("clamp between", lambda m, a, b: m.clamp(a, b, b + 1), [0.0, 1, 2, 3], [1.0] * 4),
    ("clamp crossed", lambda m, a, b: m.clamp(a, b + 1, b), [0.0, 1, 2, 3], [1.0] * 4),
    ("scatter inf", lambda m, a, b: m.scatter(a, 0, m.arange(1), b[:1]), [1.0, 2.0], [INF, 1.0]),
    ("prelu inf", lambda m, a, b: m.nn.functional.prelu(a, b[:1]), [INF, -2.0], [0.5, 0.0]),
    ("lerp from inf", lambda m, a, b: m.lerp(a, a * 0 + 1, b), [3.0, 4.0], [0.25, 0.75]),
    ("lerp", lambda m, a, b: m.lerp(a, b, m.arange(2) * 1.0), [1.0, 2.0], [3.0, 5.0]),
    ("cosine", lambda m, a, b: m.cosine_similarity(a[:1], b, 0), [1.0, 2.0], [3.0, -5.0]),
]


@pytest.mark.parametrize(("name", "call", "a", "b"), GRADIENTS, ids=[g[0] for g in GRADIENTS])
def test_gradients(name: str, call: Callable[[Any, Any, Any], Any], a: Any, b: Any) -> None:
    ours = [mg.tensor(v, requires_grad=True) for v in (a, b)]
    theirs = [torch.tensor(v, requires_grad=True) for v in (a, b)]
    call(mg, *ours).sum().backward()
    call(torch, *theirs).sum().backward()
    for x, y in zip(ours, theirs):
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-5, atol=1e-7)


BOOLEANS, COMPLEX = [True, False], np.array([1 + 2j])
UNDEFINED: list[tuple[str, Callable[[], Any]]] = [
    ("neg", lambda: -mg.tensor(BOOLEANS)),
    ("sub", lambda: mg.tensor(BOOLEANS) - mg.tensor(BOOLEANS)),
    ("sign", lambda: mg.sign(mg.tensor(BOOLEANS))),
    ("bitwise_not", lambda: mg.bitwise_not(mg.ones(2))),
    ("cholesky", lambda: mg.cholesky(mg.ones(1, 1, dtype=mg.float16))),
    ("huber", lambda: mg.huber_loss(mg.tensor([1]), mg.tensor([2]))),
    ("exp", lambda: mg.exp(mg.Tensor(COMPLEX))),
    ("tensor", lambda: mg.tensor(COMPLEX)),
    ("tensor", lambda: mg.tensor(np.array(["a"]))),
    ("from_numpy", lambda: mg.from_numpy(np.array([None]))),
]


@pytest.mark.parametrize(("name", "call"), UNDEFINED)
def test_dtypes_without_a_meaning_are_named(name: str, call: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=rf"^\w*{name}\w*: "):
        call()
