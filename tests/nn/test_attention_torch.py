r"""Attention against PyTorch in float64: random configurations, masks, cotangents and layouts."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402
from minigrad import nn  # noqa: E402
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


def twins(*args, **options):
    r"""Our layer and PyTorch's with the same weights in float64, loaded in both directions."""
    ours = nn.MultiheadAttention(*args, **options, dtype=mg.float64)
    theirs = torch.nn.MultiheadAttention(*args, **options, dtype=torch.float64)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    for p in ours.parameters():
        p.data[...] += 0.1 * np.random.default_rng(p.data.size).normal(size=p.shape)  # biases are 0
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    return ours, theirs


def drawn_mask(rng, shape, kind):
    r"""A mask that leaves the first key to every query."""
    mask = rng.random(shape) < 0.5
    mask[..., 0] = False
    if kind == "bool":
        return mask
    return np.where(mask, -np.inf if kind == "infinite" else 0.3, rng.normal(size=shape))


def with_parameters(layer, call):
    r"""``call`` as a function of the inputs and of the layer's parameters."""
    parameters = list(layer.parameters())

    def function(*x):
        inputs, values = x[: len(x) - len(parameters)], x[len(x) - len(parameters) :]
        return call(inputs, dict(zip([n for n, _ in layer.named_parameters()], values)))

    return function


def as_ours(layer, state):
    r"""The layer with the tensors of ``state`` as its parameters."""
    for name, value in state.items():
        owner, _, last = name.rpartition(".")
        module = getattr(layer, owner) if owner else layer
        vars(module)[last] = value
    return layer


@pytest.mark.parametrize("seed", range(48))
@pytest.mark.filterwarnings("ignore:Support for mismatched")
def test_multihead_attention(seed):
    r"""Results and weights, first and second derivatives by inputs, masks and parameters."""
    rng = np.random.default_rng(seed)
    heads = int(rng.integers(1, 4))
    width = heads * int(rng.integers(1, 4))
    options = {"bias": bool(rng.integers(2)), "batch_first": bool(rng.integers(2))}
    alone = seed % 4 == 0  # query, key and value are one tensor
    if not alone and rng.integers(2):
        options |= {"kdim": int(rng.integers(1, 5)), "vdim": int(rng.integers(1, 5))}
    ours, theirs = twins(width, heads, **options)
    n, rows, columns = (int(k) for k in rng.integers(1, 5, 3))
    columns = rows if alone else columns
    batched = bool(seed % 3)

    def shape(length, size):
        if not batched:
            return (length, size)
        return (n, length, size) if options["batch_first"] else (length, n, size)

    arrays = [laid_out(rng, *shape(rows, width))]
    if not alone:
        arrays += [
            laid_out(rng, *shape(columns, ours.kdim)),
            laid_out(rng, *shape(columns, ours.vdim)),
        ]
    call = {"need_weights": bool(rng.integers(2)), "average_attn_weights": bool(rng.integers(2))}
    masks = {}
    kind = ["bool", "float", "infinite"][rng.integers(3)]
    if rng.integers(2):
        batch = n * heads if batched else heads
        masks["attn_mask"] = drawn_mask(rng, [(rows, columns), (batch, rows, columns)][seed % 2],
                                        kind)  # fmt: skip
    if rng.integers(2):
        masks["key_padding_mask"] = drawn_mask(rng, (n, columns) if batched else (columns,), kind)
    inputs = len(arrays)
    floats = [name for name in masks if kind == "float"]
    arrays += [masks[name] for name in floats]

    def run(layer, x, tensor, functional):
        given = {k: tensor(v) for k, v in masks.items()} | dict(zip(floats, x[inputs:]))
        parts = x[:1] * 3 if alone else x[:inputs]
        y, weights = functional(layer, parts, given | call)
        assert (weights is None) == (not call["need_weights"])
        if weights is None:
            return y
        return [y, weights]

    def flat(result, cat):
        return cat([t.reshape(-1) for t in result]) if isinstance(result, list) else result

    def mine(x, state):
        as_ours(ours, state)
        return flat(run(ours, x, mg.Tensor, lambda f, a, k: f(*a, **k)), mg.cat)

    def other(x, state):
        def functional(layer, a, k):
            return torch.func.functional_call(layer, state, tuple(a), k)

        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return flat(run(theirs, x, to_torch, functional), torch.cat)

    arrays += [p.data.copy() for p in ours.parameters()]
    compare(rng, with_parameters(ours, mine), with_parameters(theirs, other), arrays)


@pytest.mark.parametrize("need_weights", [True, False])
def test_the_causal_hint(need_weights):
    ours, theirs = twins(4, 2)
    x = np.random.default_rng(0).normal(size=(3, 2, 4))
    mask = np.triu(np.ones((3, 3), bool), 1)
    options = {"need_weights": need_weights, "is_causal": True}
    y, w = ours(*[mg.Tensor(x)] * 3, attn_mask=mg.Tensor(mask), **options)
    z, v = theirs(*[torch.tensor(x)] * 3, attn_mask=torch.tensor(mask), **options)
    close(y, z, 1e-8)
    close(w, v, 1e-8)


def test_a_padded_sequence_without_keys():
    r"""PyTorch gives 0 where it returns no weights, and NaN where it does; here it is 0 in both."""
    ours, theirs = twins(4, 2, batch_first=True)
    x = np.random.default_rng(0).normal(size=(2, 3, 4))
    padding = np.array([[True] * 3, [False, False, True]])
    z, _ = theirs(*[torch.tensor(x)] * 3, torch.tensor(padding), need_weights=False)
    for need_weights in (True, False):
        y, w = ours(*[mg.Tensor(x)] * 3, mg.Tensor(padding), need_weights)
        close(y, z, 1e-8)
    y, w = ours(*[mg.Tensor(x)] * 3, mg.Tensor(padding))
    np.testing.assert_allclose(w.detach().numpy().sum(-1), [[0.0] * 3, [1.0] * 3], atol=1e-12)
