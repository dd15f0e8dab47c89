r"""The op table against PyTorch: the same names and arguments give the same values and gradients.

Runs where PyTorch is installed. The references in the table say what is right; this says that it
is also what PyTorch does, defaults and corner cases included.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from tests.ops.row import Draw, Row
from tests.ops.table import ROWS
from tests.ops.test_table import as_tuple, assert_close, is_float, placed, try_examples

torch = pytest.importorskip("torch")
F = torch.nn.functional


def _t(array: Any) -> Any:
    return torch.from_numpy(np.array(array, order="C")) if isinstance(array, np.ndarray) else array


def _index(x: Any, index: Any) -> Any:
    return x[tuple(map(_t, index)) if isinstance(index, tuple) else _t(index)]


def _without_none(f: Any) -> Any:
    r"""PyTorch wants ``dim`` left out where we take None."""
    return lambda *x, dim=None, **k: f(*x, **k) if dim is None else f(*x, dim=dim, **k)


def _instance_norm_running(x, w, b, eps, mean, var, momentum):
    mean, var = _t(mean), _t(var)
    if len(x):
        F.instance_norm(x, mean, var, w, b, True, momentum, eps)
    return mean, var


def _attention(*x, **options):
    # The kernel with second derivatives.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return F.scaled_dot_product_attention(*x, **options)


# Where the call is not simply torch.<name> or torch.nn.functional.<name>.
SPECIAL = {
    "pow-number": lambda x, exponent: torch.pow(x, exponent),
    "number-pow": lambda x, base: torch.pow(base, x),
    "floor_divide": lambda x, y: torch.floor_divide(x, y),
    "clamp": lambda x, low, high: torch.clamp(x, low, high),
    "clamp-tensors": torch.clamp,
    "cast": lambda x: x * 1,
    "contiguous": lambda x: x.contiguous(),
    "max-all": torch.max,
    "expand": lambda x, shape: x.expand(shape),
    "broadcast_to": lambda x, shape: torch.broadcast_to(x, shape),
    "permute": lambda x, dims: torch.permute(x, dims),
    "movedim": torch.movedim,
    "cat": lambda *x, dim: torch.cat(x, dim),
    "stack": lambda *x, dim: torch.stack(x, dim),
    "pad": lambda x, pad, value: F.pad(x, pad, value=value),
    "pad-edges": F.pad,
    **{f"interpolate-{kind}": F.interpolate for kind in ("nearest", "linear", "cubic", "area")},
    "unfold": F.unfold,
    "softmin": lambda x, dim: F.softmin(x, dim=dim),
    "logaddexp-tie": lambda x: torch.logaddexp(x, x * 1),
    "nan_to_num-finite": torch.nan_to_num,
    "threshold": F.threshold,
    "prelu": F.prelu,
    "fold": F.fold,
    "repeat": lambda x, repeats: x.repeat(repeats),
    "tile": torch.tile,
    "unflatten": torch.unflatten,
    "getitem-basic": None,  # PyTorch has no negative steps
    "getitem-integers": None,
    "getitem-mask": _index,
    "gather": lambda x, index, dim: torch.gather(x, dim, index),
    "take_along_dim": lambda x, index, dim: torch.take_along_dim(x, index, dim),
    # PyTorch cannot differentiate by a src that is larger than the index.
    "scatter_add": lambda x, index, src, dim: torch.scatter_add(
        x, dim, index, src[tuple(slice(0, n) for n in index.shape)]
    ),
    "index_select": lambda x, index, dim: torch.index_select(x, dim, index),
    "masked_fill": lambda x, mask: torch.where(mask, torch.tensor(1.5, dtype=x.dtype), x),
    "cholesky": lambda x, upper: torch.linalg.cholesky(
        x @ x.mT + torch.eye(x.shape[-1], dtype=x.dtype), upper=upper
    ),
    "solve_triangular": torch.linalg.solve_triangular,
    "einsum": lambda *x, equation: torch.einsum(equation, *x),
    "conv2d-same": lambda x, w, dilation: F.conv2d(x, w, padding="same", dilation=dilation),
    "batch_norm-train": lambda x, w, b, eps: F.batch_norm(x, None, None, w, b, True, eps=eps),
    "batch_norm-eval": lambda x, w, b, mean, var, eps: F.batch_norm(
        x, _t(mean), _t(var), w, b, False, eps=eps
    ),
    "layer_norm": lambda x, w, b, normalized_shape, eps: F.layer_norm(
        x, np.atleast_1d(normalized_shape).tolist(), w, b, eps
    ),
    "rms_norm": lambda x, w, normalized_shape, eps: F.rms_norm(
        x, np.atleast_1d(normalized_shape).tolist(), w, eps
    ),
    "group_norm": lambda x, w, b, num_groups, eps: F.group_norm(x, num_groups, w, b, eps),
    "instance_norm": lambda x, w, b, eps: F.instance_norm(x, weight=w, bias=b, eps=eps),
    "instance_norm-running": _instance_norm_running,
    "instance_norm-eval": lambda x, w, b, eps, mean, var, momentum: F.instance_norm(
        x, _t(mean), _t(var), w, b, False, momentum, eps
    ),
    "cross_entropy": lambda x, t, weight, **k: F.cross_entropy(x, t, _t(weight), **k),
    "cross_entropy-soft": F.cross_entropy,
    "nll_loss": lambda x, t, weight, reduction: F.nll_loss(x, t, _t(weight), reduction=reduction),
    "binary_cross_entropy_with_logits": lambda x, t, weight, pos_weight, reduction: (
        F.binary_cross_entropy_with_logits(
            x, t, _t(weight), pos_weight=_t(pos_weight), reduction=reduction
        )
    ),
    "norm": lambda x, p, dim: torch.linalg.vector_norm(x, 2 if p in ("fro", None) else p, dim),
    "median-all": torch.median,
    "scatter": lambda x, index, src, dim: torch.scatter(
        x, dim, index, src[tuple(slice(0, n) for n in index.shape)]
    ),
    "scatter-number": lambda x, index, dim, value: torch.scatter(x, dim, index, value),
    "clamp_min": lambda x: torch.clamp_min(x, -0.5),
    "clamp_max": lambda x: torch.clamp_max(x, 0.5),
    "div-rounded": torch.div,
    "div-whole": torch.div,
    "round-decimals": torch.round,
    "logsumexp": lambda x, dim, keepdim: torch.logsumexp(
        x, tuple(range(x.ndim)) if dim is None else dim, keepdim
    ),
    "prod": None,  # one axis only there
    "any": _without_none(torch.any),
    "all": _without_none(torch.all),
    "squeeze": _without_none(torch.squeeze),
    "split": lambda x, split_size, dim: torch.split(x, split_size, dim),
    "repeat_interleave": lambda x, repeats, dim: torch.repeat_interleave(x, repeats, dim),
    "count_nonzero": lambda x, dim: torch.count_nonzero(x, dim),
    "embedding": F.embedding,
    "kl_div": F.kl_div,
    "multilabel_soft_margin_loss": lambda x, t, weight, reduction: F.multilabel_soft_margin_loss(
        x, t, _t(weight), reduction=reduction
    ),
    "multi_margin_loss": lambda x, t, p, margin, weight, reduction: F.multi_margin_loss(
        x, t, p, margin, _t(weight), reduction=reduction
    ),
    **{
        name: getattr(F, name)
        for name in (
            "cosine_similarity",
            "cosine_embedding_loss",
            "hinge_embedding_loss",
            "margin_ranking_loss",
            "poisson_nll_loss",
            "triplet_margin_loss",
        )
    },
    "one_hot": F.one_hot,
    "bitwise_not": torch.bitwise_not,
    **{
        f"{kind}_pool{n}d": getattr(F, f"{kind}_pool{n}d")
        for kind in ("max", "avg", "adaptive_max", "adaptive_avg")
        for n in (1, 2)
    },
    **{f"scaled_dot_product_attention-{kind}": _attention for kind in ("bool", "float")},
    "scaled_dot_product_attention": _attention,
    "scaled_dot_product_attention-gqa": lambda *x: _attention(*x, enable_gqa=True),
    "roll": lambda x, shifts, dims: torch.roll(x, shifts, dims),
}
# Ours alone, random, moved to another device, too coarse there (polygamma, to 1e-9), or layers.
WITHOUT = {
    "move", "sum_to", "batch_norm-running", "dropout", "dropout1d", "dropout2d", "gaussian_sample",
    "alpha_dropout", "feature_alpha_dropout", "rrelu", "polygamma", "focal_loss",
    "sigmoid_focal_loss", "capsule_margin_loss",
    "rnn_layer", "lstm_layer", "gru_layer",  # see tests/nn/test_recurrent_torch.py
}  # fmt: skip

# PyTorch rounds a constant of these derivatives to float32.
COARSE = {"celu", "hardsigmoid"}


def _counterpart(row: Row) -> Any:
    if row.name in SPECIAL:
        return SPECIAL[row.name]
    return getattr(torch, row.name, None) or getattr(F, row.name, None)


COMPARED = [row for row in ROWS if row.name not in WITHOUT and _counterpart(row) is not None]


def test_most_rows_have_a_counterpart() -> None:
    missing = {row.name for row in ROWS} - {row.name for row in COMPARED} - WITHOUT
    assert missing == {name for name, f in SPECIAL.items() if f is None}


@pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:reduction. 'mean'")
@pytest.mark.parametrize("row", COMPARED, ids=[row.name for row in COMPARED])
def test_as_in_pytorch(row: Row) -> None:
    other = _counterpart(row)

    def test(d: Draw) -> None:
        case = row.draw(d)
        tensors, copies = placed(d, case, "cpu", np.float64, differentiable=row.order > 0)
        theirs = [_t(c) for c in copies]
        for x in theirs:
            if x is not None and x.is_floating_point() and row.order > 0:
                x.requires_grad_()
        ours_out = as_tuple(row.fn(*tensors, **case.params))
        theirs_out = as_tuple(other(*theirs, **case.params))
        assert len(ours_out) == len(theirs_out)
        for a, b in zip(ours_out, theirs_out):
            assert_close(a.data, b.detach().numpy(), 1e-10, "value")
            assert a.dtype == b.detach().numpy().dtype
        pairs = [(a, b) for a, b in zip(ours_out, theirs_out) if a.requires_grad]
        if not pairs:
            return
        u = [d.floats(a.shape) for a, _ in pairs]
        mg.autograd.backward([a for a, _ in pairs], [mg.Tensor(v) for v in u])
        kept = [(b, _t(v)) for (_, b), v in zip(pairs, u) if b.requires_grad]
        if kept:
            torch.autograd.backward([b for b, _ in kept], [v for _, v in kept])
        for x, y, array in zip(tensors, theirs, copies):
            if is_float(array):
                mine = np.zeros(array.shape) if x.grad is None else x.grad.data
                yours = np.zeros(array.shape) if y.grad is None else y.grad.numpy()
                assert_close(mine, yours, 1e-7 if row.name in COARSE else 1e-9, "gradient")

    try_examples(test)


@pytest.mark.filterwarnings("ignore:Using padding='same'", "ignore:reduction. 'mean'")
@pytest.mark.parametrize(
    "row", [row for row in COMPARED if row.order > 1], ids=lambda row: str(row.name)
)
def test_second_order_as_in_pytorch(row: Row) -> None:
    r"""The gradient of a random combination of the gradients, both with random cotangents."""
    other = _counterpart(row)

    def test(d: Draw) -> None:
        case = row.draw(d)
        tensors, copies = placed(d, case, "cpu", np.float64, differentiable=True)
        theirs = [_t(c) for c in copies]
        places = [i for i, c in enumerate(copies) if is_float(c)]
        for i in places:
            theirs[i].requires_grad_()
        mine, yours = [tensors[i] for i in places], [theirs[i] for i in places]
        outputs = as_tuple(row.fn(*tensors, **case.params))
        pairs = zip(outputs, as_tuple(other(*theirs, **case.params)))
        pairs = [(a, b) for a, b in pairs if a.requires_grad and b.requires_grad]
        if not pairs:
            return
        u = [d.floats(a.shape) for a, _ in pairs]
        v = [d.floats(x.shape) for x in mine]
        first = mg.autograd.grad(
            [a for a, _ in pairs], mine, [mg.Tensor(w) for w in u], create_graph=True,
            allow_unused=True,
        )  # fmt: skip
        first_theirs = torch.autograd.grad(
            [b for _, b in pairs], yours, [_t(w) for w in u], create_graph=True, allow_unused=True
        )
        total = sum(
            ((g * mg.Tensor(w)).sum() for g, w in zip(first, v) if g is not None),
            mg.zeros((), dtype=mg.float64),
        )
        total_theirs = sum(
            ((g * _t(w)).sum() for g, w in zip(first_theirs, v) if g is not None),
            torch.zeros((), dtype=torch.float64),
        )
        second = [None] * len(mine)
        if total.requires_grad:
            second = mg.autograd.grad(total, mine, allow_unused=True)
        second_theirs = [None] * len(mine)
        if total_theirs.requires_grad:
            try:
                second_theirs = torch.autograd.grad(total_theirs, yours, allow_unused=True)
            except RuntimeError as error:
                if "not implemented" in str(error):
                    pytest.skip("PyTorch has no second derivative")
                raise
        for x, a, b in zip(mine, second, second_theirs):
            ours = np.zeros(x.shape) if a is None else a.detach().numpy()
            expected = np.zeros(x.shape) if b is None else b.numpy(force=True)
            assert_close(ours, expected, 1e-7 if row.name in COARSE else 1e-8, "second derivative")

    try_examples(test, 0.6)
