r"""Attention of several heads: its formula, masks, layouts, errors."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn


def layer_and_input(n=2, length=3, width=4, heads=2, **options):
    mg.manual_seed(0)
    layer = nn.MultiheadAttention(width, heads, batch_first=True, dtype=mg.float64, **options)
    with mg.no_grad():
        layer.in_proj_bias.copy_(mg.randn(3 * width, dtype=mg.float64))
    return layer, mg.randn(n, length, width, dtype=mg.float64)


def reference(layer, x, allowed=None):
    r"""Loops over batch, heads and queries; ``allowed`` (L, S) or None."""
    w, b = layer.in_proj_weight.detach().numpy(), layer.in_proj_bias.detach().numpy()
    x, E = x.numpy(), layer.embed_dim
    q, k, v = (x @ w[i * E : (i + 1) * E].T + b[i * E : (i + 1) * E] for i in range(3))
    y = np.zeros_like(x)
    for n, head, row in np.ndindex(len(x), layer.num_heads, x.shape[1]):
        part = slice(head * layer.head_dim, (head + 1) * layer.head_dim)
        scores = k[n, :, part] @ q[n, row, part] / np.sqrt(layer.head_dim)
        weights = np.exp(scores - scores.max()) * (1 if allowed is None else allowed[row])
        y[n, row, part] = weights / weights.sum() @ v[n, :, part]
    return y @ layer.out_proj.weight.detach().numpy().T + layer.out_proj.bias.detach().numpy()


def test_formula():
    layer, x = layer_and_input()
    y, weights = layer(x, x, x)
    np.testing.assert_allclose(y.detach().numpy(), reference(layer, x), rtol=1e-10)
    np.testing.assert_allclose(weights.detach().numpy().sum(-1), 1, rtol=1e-12)


@pytest.mark.parametrize("kind", ["boolean", "float"])
def test_causal_mask(kind):
    layer, x = layer_and_input()
    allowed = np.tril(np.ones((3, 3), bool))
    mask = mg.tensor(~allowed)
    if kind == "float":
        mask = mg.tensor(np.where(allowed, 0.0, -np.inf), dtype=mg.float64)
    y, weights = layer(x, x, x, attn_mask=mask)
    np.testing.assert_allclose(y.detach().numpy(), reference(layer, x, allowed), rtol=1e-10)
    assert not weights.detach().numpy()[:, ~allowed].any()
    changed = x.clone()
    changed[:, 2] = 7.0  # the last key; earlier queries do not see it
    other, _ = layer(changed, changed, changed, attn_mask=mask)
    assert np.array_equal(other.detach().numpy()[:, :2], y.detach().numpy()[:, :2])


def test_padding_is_as_if_it_were_not_there():
    layer, x = layer_and_input()
    padding = mg.tensor([[False, False, True]] * 2)
    y, _ = layer(x, x, x, key_padding_mask=padding)
    short, _ = layer(x, x[:, :2], x[:, :2])
    np.testing.assert_allclose(y.detach().numpy(), short.detach().numpy(), rtol=1e-12)


def test_layouts_and_heads():
    layer, x = layer_and_input()
    y, weights = layer(x, x, x, average_attn_weights=False)
    assert weights.shape == (2, 2, 3, 3)
    other = nn.MultiheadAttention(4, 2, dtype=mg.float64)
    other.load_state_dict(layer.state_dict())
    t = x.transpose(0, 1)
    assert np.array_equal(other(t, t, t)[0].transpose(0, 1).detach().numpy(), y.detach().numpy())
    alone, none = layer(x[0], x[0], x[0], need_weights=False)
    assert none is None
    np.testing.assert_allclose(alone.detach().numpy(), y[0].detach().numpy(), rtol=1e-12)


def test_dropout_is_of_training_alone():
    layer, x = layer_and_input(dropout=0.5)
    a, b = layer(x, x, x)[0], layer(x, x, x)[0]
    assert not np.array_equal(a.detach().numpy(), b.detach().numpy())
    np.testing.assert_allclose(layer.eval()(x, x, x)[0].detach().numpy(), reference(layer, x))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda x: nn.MultiheadAttention(5, 2), "embed_dim to be a multiple of num_heads"),
        (lambda x: nn.MultiheadAttention(4, 2, dropout=2.0), "expected 0 <= dropout <= 1, got 2.0"),
        (lambda x: nn.MultiheadAttention(4, 2, add_bias_kv=True), "add_bias_kv"),
        (lambda x: nn.MultiheadAttention(4, 2)(x, x, x[:1]), "expected query"),
        (lambda x: nn.MultiheadAttention(4, 2)(x, x, x, is_causal=True), "expected an attn_mask"),
        (
            lambda x: nn.MultiheadAttention(4, 2)(x, x, x, attn_mask=mg.zeros(2, 2)),
            "expected attn_mask of shape",
        ),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call(mg.zeros(3, 1, 4))
