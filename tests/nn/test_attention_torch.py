r"""Attention against PyTorch in float64: random configurations, masks, cotangents and layouts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402
from minigrad.nn import functional as F  # noqa: E402

TF = torch.nn.functional


def laid_out(rng, *shape):
    r"""Random values, in a drawn memory layout: contiguous, transposed, reversed or every other."""
    kind = rng.integers(4)
    if kind == 0:
        return rng.normal(size=shape)
    if kind == 1:
        return rng.normal(size=shape[::-1]).T
    if kind == 2:
        return rng.normal(size=shape)[..., ::-1]
    return rng.normal(size=(*shape[:-1], 2 * shape[-1]))[..., ::2]


def to_torch(array):
    return torch.tensor(np.array(array, order="C"))


def close(ours, theirs, tolerance):
    assert (ours is None) == (theirs is None)
    if ours is not None:
        theirs = theirs.detach().numpy()
        assert ours.shape == theirs.shape
        scale = max(1.0, np.abs(theirs).max(initial=0))
        np.testing.assert_allclose(
            ours.detach().numpy(), theirs, rtol=0, atol=tolerance * scale, equal_nan=False
        )


def compare(rng, ours, theirs, arrays):
    r"""Values, first and second derivatives of functions of the floating ``arrays``."""
    mine = [mg.Tensor(a, requires_grad=True) for a in arrays]
    other = [to_torch(a).requires_grad_() for a in arrays]
    y, z = ours(*mine), theirs(*other)
    close(y, z, 1e-8)
    g = laid_out(rng, *y.shape)
    options = {"create_graph": True, "allow_unused": True}
    first = mg.autograd.grad(y, mine, mg.Tensor(g), **options)
    first_other = torch.autograd.grad(z, other, to_torch(g), **options)
    for a, b in zip(first, first_other):
        close(a, b, 1e-8)
    plain = mg.autograd.grad(ours(*mine), mine, mg.Tensor(g), allow_unused=True)
    for a, b in zip(plain, first_other):
        close(a, b, 1e-8)
    pairs = [(a, b) for a, b in zip(first, first_other) if a is not None]
    u = [rng.normal(size=a.shape) for a, _ in pairs]
    total = sum((a * mg.Tensor(v)).sum() for (a, _), v in zip(pairs, u))
    total_other = sum((b * to_torch(v)).sum() for (_, b), v in zip(pairs, u))
    if not total.requires_grad:
        assert not total_other.requires_grad
        return
    second = mg.autograd.grad(total, mine, allow_unused=True)
    second_other = torch.autograd.grad(total_other, other, allow_unused=True)
    for a, b, x in zip(second, second_other, arrays):
        # No path and a gradient of 0 are the same.
        zero = np.zeros(x.shape)
        close(mg.Tensor(zero) if a is None else a, torch.tensor(zero) if b is None else b, 1e-7)


@pytest.mark.parametrize("seed", range(40))
def test_scaled_dot_product_attention(seed):
    rng = np.random.default_rng(seed)
    lead = [(), (2,), (2, 3), (1, 2), (3, 1, 2)][seed % 5]
    n, s, e, ev = (int(k) for k in rng.integers(1, 6, 4))
    arrays = [laid_out(rng, *lead, *t) for t in ((n, e), (s, e), (s, ev))]
    options = {"scale": [None, 0.7][rng.integers(2)]}
    mask_shape = [(n, s), (*lead, n, s), (*[1] * len(lead), 1, s)][rng.integers(3)]
    kind = ["none", "causal", "bool", "float", "infinite"][rng.integers(5)]
    ours = theirs = dict(options, is_causal=kind == "causal")
    if kind == "bool":
        mask = rng.random(mask_shape) < 0.5
        ours, theirs = (
            options | {"attn_mask": mg.Tensor(mask)},
            options | {"attn_mask": torch.tensor(mask)},
        )
    elif kind == "infinite":
        mask = np.where(rng.random(mask_shape) < 0.5, -np.inf, rng.normal(size=mask_shape))
        ours, theirs = (
            options | {"attn_mask": mg.Tensor(mask)},
            options | {"attn_mask": torch.tensor(mask)},
        )
    elif kind == "float":
        arrays.append(laid_out(rng, *mask_shape))
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        compare(
            rng,
            lambda *x: F.scaled_dot_product_attention(*x, **ours),
            lambda *x: TF.scaled_dot_product_attention(*x, **theirs),
            arrays,
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["bool", "float"])
def test_rows_that_are_masked_entirely(kind, dtype):
    r"""Zeros, and gradients of zero, from PyTorch's default kernel too."""
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(2, 2, 4, 3)).astype(dtype) for _ in range(3)]
    mask = np.ones((4, 4), bool)
    mask[1] = False
    mask[2, :3] = False
    if kind == "float":
        mask = np.where(mask, 0.0, -np.inf).astype(dtype)
    mine = [mg.Tensor(a, requires_grad=True) for a in x]
    other = [torch.tensor(a, requires_grad=True) for a in x]
    y = F.scaled_dot_product_attention(*mine, mg.Tensor(mask))
    z = TF.scaled_dot_product_attention(*other, torch.tensor(mask))
    assert not y.detach().numpy()[..., 1, :].any()
    tolerance = 1e-8 if dtype == np.float64 else 1e-5
    close(y, z, tolerance)
    y.sum().backward()
    z.sum().backward()
    for a, b in zip(mine, other):
        assert a.grad.dtype == dtype
        close(a.grad, b.grad, tolerance)


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_grouped_queries(heads):
    rng = np.random.default_rng(heads)
    arrays = [laid_out(rng, 2, h, *t) for h, t in ((4, (3, 2)), (heads, (5, 2)), (heads, (5, 3)))]
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        compare(
            rng,
            lambda *x: F.scaled_dot_product_attention(*x, enable_gqa=True),
            lambda *x: TF.scaled_dot_product_attention(*x, enable_gqa=True),
            arrays,
        )


@pytest.mark.parametrize("size", [1.0, 1e4])
@pytest.mark.parametrize("shapes", [((0, 2, 3),) * 3, ((2, 1, 3),) * 3, ((2, 0, 3),) * 3,
                                    ((2, 4, 3), (2, 0, 3), (2, 0, 3))])  # fmt: skip
def test_odd_sizes(shapes, size):
    r"""Empty batches, sequences of length one and zero, scores of ±1e4 and beyond."""
    rng = np.random.default_rng(1)
    x = [size * rng.normal(size=shape) for shape in shapes]
    y = F.scaled_dot_product_attention(*[mg.Tensor(a) for a in x])
    z = TF.scaled_dot_product_attention(*[torch.tensor(a) for a in x])
    close(y, z, 1e-8)
