r"""Attention of several heads.

Belongs here: MultiheadAttention. The attention of one head is an op (``ops/attention.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..backend import Generator, get_array_module
from ..creation import empty
from ..ops.attention import attention_weights
from ..tensor import Tensor
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter

__all__ = ["MultiheadAttention"]


class MultiheadAttention(Module):
    r"""Attention in several subspaces at once (Vaswani et al., Attention is all you need, 2017):

    .. math:: y = [h_1, \dots, h_H]\, W_O^T + b_O,\quad
        h_i = \operatorname{attention}(x_q W_{Qi}^T, x_k W_{Ki}^T, x_v W_{Vi}^T)

    Args:
        embed_dim: E, the size of queries and results; each head has E / ``num_heads`` of it.
        num_heads: H.
        dropout: in training, each attention weight is dropped with this probability.
        bias: learn a bias of the four projections.
        add_bias_kv, add_zero_attn: not available; only False.
        kdim, vdim: the sizes of keys and values; E if None.
        batch_first: batches are (N, length, size) instead of (length, N, size).
        generator: where the dropout masks are drawn; the default generator if None.

    Shapes: query (L, N, E), key (S, N, kdim), value (S, N, vdim), result (L, N, E); all of them
    without N for a single sequence. ``in_proj_weight`` (3 E, E) stacks the projections of query,
    key and value; where ``kdim`` or ``vdim`` is not E they are ``q_proj_weight`` (E, E),
    ``k_proj_weight`` (E, kdim) and ``v_proj_weight`` (E, vdim).

    >>> import minigrad as mg
    >>> layer = MultiheadAttention(4, 2, batch_first=True)
    >>> x = mg.zeros(5, 3, 4)
    >>> y, weights = layer(x, x, x)
    >>> y.shape, weights.shape
    ((5, 3, 4), (5, 3, 3))
    """

    in_proj_weight: Parameter | None
    q_proj_weight: Parameter | None
    k_proj_weight: Parameter | None
    v_proj_weight: Parameter | None
    in_proj_bias: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(
                f"MultiheadAttention: expected embed_dim to be a multiple of num_heads, both above "
                f"0, got {embed_dim} and {num_heads}"
            )
        if not 0 <= dropout <= 1:
            raise ValueError(f"MultiheadAttention: expected 0 <= dropout <= 1, got {dropout!r}")
        if add_bias_kv or add_zero_attn:
            raise ValueError(
                "MultiheadAttention: expected add_bias_kv and add_zero_attn to be False, got True"
            )
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.head_dim = embed_dim // num_heads
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self.dropout = dropout
        self.batch_first = batch_first
        self.generator = generator
        like = {"device": device, "dtype": dtype}
        one = self.kdim == self.vdim == embed_dim
        for name, width in (("q", embed_dim), ("k", self.kdim), ("v", self.vdim)):
            weight = None if one else Parameter(empty(embed_dim, width, **like))
            self.register_parameter(f"{name}_proj_weight", weight)
        self.register_parameter(
            "in_proj_weight", Parameter(empty(3 * embed_dim, embed_dim, **like)) if one else None
        )
        self.register_parameter(
            "in_proj_bias", Parameter(empty(3 * embed_dim, **like)) if bias else None
        )
        self.out_proj = Linear(embed_dim, embed_dim, bias, **like)
        self._reset_projections()

    def reset_parameters(self) -> None:
        r"""Draw new initial values."""
        self.out_proj.reset_parameters()
        self._reset_projections()

    def _reset_projections(self) -> None:
        names = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
        for weight in [getattr(self, name) for name in names]:
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None and self.out_proj.bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        r"""The result, and the attention weights or None.

        Args:
            key_padding_mask: (N, S), or (S,) for a single sequence; which keys to leave out.
            need_weights: return the weights too.
            attn_mask: (L, S), or (N·H, L, S).
            average_attn_weights: weights (N, L, S), the mean over the heads, not (N, H, L, S).
            is_causal: a hint that ``attn_mask``, which must be there, is the causal one.

        Boolean masks are True where a query may *not* look, the opposite of
        :func:`~minigrad.ops.scaled_dot_product_attention`; floating ones are added to the scores.
        A query that may look nowhere has weights of 0.
        """
        name = "MultiheadAttention"
        batched = query.ndim == 3
        self._check(query, key, value, batched)
        if is_causal and attn_mask is None:
            raise ValueError(f"{name}: expected an attn_mask with is_causal, got None")
        axis = 0 if not batched or self.batch_first else 1  # of the batch
        q, k, v = self._project(query, key, value)
        if not batched:
            q, k, v = q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0)
        q, k, v = self._heads(q, axis), self._heads(k, axis), self._heads(v, axis)
        mask = self._mask(attn_mask, key_padding_mask, q, k, batched)

        weights = attention_weights(q, k, mask, None, name)  # (N, H, L, S)
        if self.training and self.dropout:
            weights = ops.dropout(weights, self.dropout, generator=self.generator)
        y = ops.matmul(weights, v)  # (N, H, L, E/H)
        y = y.permute((0, 2, 1, 3) if axis == 0 else (2, 0, 1, 3))
        y = self.out_proj(y.reshape((*y.shape[:2], self.embed_dim)))
        if average_attn_weights and need_weights:
            weights = weights.mean(1)
        if not batched:
            y, weights = y.squeeze(0), weights.squeeze(0)
        return y, weights if need_weights else None

    def _check(self, query: Tensor, key: Tensor, value: Tensor, batched: bool) -> None:
        q, k, v = query.shape, key.shape, value.shape
        axis = 0 if self.batch_first else 1
        if (
            not len(q) == len(k) == len(v) == (3 if batched else 2)
            or (q[-1], k[-1], v[-1]) != (self.embed_dim, self.kdim, self.vdim)
            or k[:-1] != v[:-1]
            or (batched and q[axis] != k[axis])
        ):
            n = "(N, length, {})" if self.batch_first else "(length, N, {})"
            wanted = [n.format(width) for width in (self.embed_dim, self.kdim, self.vdim)]
            raise ValueError(
                f"MultiheadAttention: expected query {wanted[0]}, key {wanted[1]} and value "
                f"{wanted[2]}, or all without N, got {q}, {k} and {v}"
            )

    def _project(self, query: Tensor, key: Tensor, value: Tensor) -> Any:
        r"""Queries, keys and values of all heads, side by side in the last axis."""
        if self.in_proj_weight is not None:
            if query is key is value:  # one product instead of three
                return ops.chunk(ops.linear(query, self.in_proj_weight, self.in_proj_bias), 3, -1)
            weights = ops.chunk(self.in_proj_weight, 3)
        else:
            weights = (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight)
        biases: Any = (None, None, None)
        if self.in_proj_bias is not None:
            biases = ops.chunk(self.in_proj_bias, 3)
        return [ops.linear(x, w, b) for x, w, b in zip((query, key, value), weights, biases)]

    def _heads(self, x: Tensor, axis: int) -> Tensor:
        r"""(N, length, E), or (length, N, E) for ``axis`` 1, as (N, H, length, E/H)."""
        x = x.reshape((*x.shape[:2], self.num_heads, self.head_dim))
        return x.permute((0, 2, 1, 3) if axis == 0 else (1, 2, 0, 3))

    def _mask(
        self,
        attn_mask: Tensor | None,
        key_padding_mask: Tensor | None,
        q: Tensor,
        k: Tensor,
        batched: bool,
    ) -> Any:
        r"""Both masks as one, which is added to the scores (N, H, L, S)."""
        (n, heads, rows, _), columns = q.shape, k.shape[2]
        total: Any = None
        if attn_mask is not None:
            shapes: Any = {
                (rows, columns): (1, 1, rows, columns),
                (n * heads, rows, columns): (n, heads, rows, columns),
            }
            total = _additive(attn_mask, shapes, q, "attn_mask")
        if key_padding_mask is not None:
            shapes = {((n, columns) if batched else (columns,)): (n, 1, 1, columns)}
            padding = _additive(key_padding_mask, shapes, q, "key_padding_mask")
            total = padding if total is None else total + padding
        return total

    def extra_repr(self) -> str:
        return f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"


def _additive(mask: Any, shapes: Any, like: Tensor, name: str) -> Any:
    r"""``mask`` in the one of ``shapes`` that belongs to its own: 0 and -inf if it is boolean."""
    if tuple(mask.shape) not in shapes:
        wanted = " or ".join([str(shape) for shape in shapes])
        raise ValueError(
            f"MultiheadAttention: expected {name} of shape {wanted}, got {tuple(mask.shape)}"
        )
    mask = ops.reshape(mask, shapes[tuple(mask.shape)])
    if mask.dtype.kind == "f":
        return mask
    if mask.dtype.kind != "b":
        raise TypeError(
            f"MultiheadAttention: expected a boolean or floating {name}, got {mask.dtype}"
        )
    xp = get_array_module(like.data)
    return ops.where(mask, xp.full((), -np.inf, like.dtype), xp.zeros((), like.dtype))
