r"""Attention: each query takes a mean of values, weighted by how well it fits their keys.

Belongs here: scaled dot-product attention, composed of ops, so that every derivative follows. Does
not belong here: the projections of several heads, which have parameters (``nn/attention.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._base import get_array_module, raw, shape_of
from .elementwise import where
from .linalg import matmul
from .random import dropout
from .reduction import softmax
from .shape import repeat_interleave, transpose

__all__ = ["scaled_dot_product_attention"]


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    r"""Means of the values, weighted by a softmax over the keys (Vaswani et al., Attention is all
    you need, 2017):

    .. math:: y = \operatorname{softmax}\left(s\, Q K^T + M\right) V

    Args:
        query: (..., L, E), as a rule (N, heads, L, E).
        key: (..., S, E).
        value: (..., S, Ev); the result has shape (..., L, Ev).
        attn_mask: broadcasts to (..., L, S). Boolean: True where a query may look. Floating: M,
            added to the scores. A query that may look nowhere gets zeros, and no gradient.
        dropout_p: each weight is dropped with this probability, always: pass 0 in evaluation.
        is_causal: query i looks at the keys 0 to i. Not together with ``attn_mask``.
        scale: s; :math:`1 / \sqrt{E}` if None.
        enable_gqa: key and value may have fewer heads (axis -3), each for several of the queries'.

    Raises:
        ValueError: shapes that do not fit, or both a mask and ``is_causal``.
        TypeError: a mask of integers.

    >>> import minigrad as mg
    >>> x = mg.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> scaled_dot_product_attention(x, x, x, is_causal=True)[0]  # sees itself alone
    tensor([1., 0.])
    """
    name = "scaled_dot_product_attention"
    if enable_gqa:
        key, value = _share_heads(query, key, value, name)
    q, k, v = shape_of(query), shape_of(key), shape_of(value)
    if min(len(q), len(k), len(v)) < 2 or q[-1] != k[-1] or k[-2] != v[-2]:
        raise ValueError(
            f"{name}: expected query (..., L, E), key (..., S, E) and value (..., S, Ev), "
            f"got {q}, {k} and {v}"
        )
    if is_causal:
        if attn_mask is not None:
            raise ValueError(f"{name}: expected attn_mask or is_causal, got both")
        xp = get_array_module(raw(query))
        # No row of it is empty: (L, S)
        attn_mask = xp.arange(q[-2])[:, None] >= xp.arange(k[-2])
    weights = attention_weights(query, key, attn_mask, scale, name)
    if dropout_p != 0.0:
        weights = dropout(weights, dropout_p)
    return matmul(weights, value)


def attention_weights(query: Any, key: Any, attn_mask: Any, scale: float | None, name: str) -> Any:
    r"""The weights (..., L, S), which sum to 1 over the keys, or to 0 where all are masked."""
    if scale is None:
        scale = 1.0 / math.sqrt(max(1, shape_of(query)[-1]))
    scores = matmul(query * scale, transpose(key, -2, -1))  # (..., L, S)
    if attn_mask is None:
        return softmax(scores, -1)
    mask, shape = raw(attn_mask), shape_of(scores)
    if mask.dtype.kind not in "bf":
        raise TypeError(f"{name}: expected a boolean or floating attn_mask, got {mask.dtype}")
    if not _broadcasts(mask.shape, shape):
        raise ValueError(
            f"{name}: expected an attn_mask that broadcasts to {shape}, got {tuple(mask.shape)}"
        )
    # Where every key is masked the softmax would be 0 / 0: there it runs without the mask.
    if mask.dtype.kind == "b":
        dead = ~mask.any(axis=-1, keepdims=True)
        scores = where(mask | dead, scores, -np.inf)
    else:
        dead = (mask == -np.inf).all(axis=-1, keepdims=True)
        scores = scores + where(dead, 0.0, attn_mask)
    return where(dead, 0.0, softmax(scores, -1))


def _broadcasts(shape: tuple[int, ...], to: tuple[int, ...]) -> bool:
    return len(shape) <= len(to) and all(m in (1, n) for m, n in zip(reversed(shape), reversed(to)))


def _share_heads(query: Any, key: Any, value: Any, name: str) -> tuple[Any, Any]:
    r"""Key and value with each head as often as it serves heads of the query."""
    shapes = [shape_of(x) for x in (query, key, value)]
    heads = [s[-3] if len(s) > 2 else 0 for s in shapes]
    if not all(heads[1:]) or any(heads[0] % n for n in heads[1:]):
        raise ValueError(
            f"{name}: expected the query's heads (axis -3) in multiples of key's and value's, "
            f"got shapes {shapes[0]}, {shapes[1]} and {shapes[2]}"
        )
    key, value = (
        x if n == heads[0] else repeat_interleave(x, heads[0] // n, len(shape_of(x)) - 3)
        for x, n in zip((key, value), heads[1:])
    )
    return key, value
