r"""Vectors for integers.

Belongs here: Embedding. One-hot vectors are an op (``ops/indexing.py``).
"""

from __future__ import annotations

from typing import Any

from .. import ops
from ..backend import get_array_module
from ..creation import empty
from ..gradmode import no_grad
from ..tensor import Tensor
from . import init
from .module import Module
from .parameter import Parameter

__all__ = ["Embedding"]


class Embedding(Module):
    r"""A table of vectors, from which the input's integers select rows.

    Args:
        num_embeddings, embedding_dim: the number of vectors and their size.
        padding_idx: this row starts at zero and gets no gradient; negative counts from the end.
        max_norm: rows that are longer are shortened to it, in the table, when they are looked up.
        norm_type: p of the norm that is meant.
        device, dtype: of the table.

    Shapes: input (...) of integers, output (..., embedding_dim), ``weight`` (num_embeddings,
    embedding_dim), which starts normal with mean 0 and variance 1.

    Raises:
        IndexError: an integer outside of [0, num_embeddings).

    >>> import minigrad as mg
    >>> layer = Embedding(10, 3, padding_idx=0)
    >>> layer(mg.tensor([[0, 4]]))[0, 0].detach()
    tensor([0., 0., 0.])
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        sizes = (("num_embeddings", num_embeddings), ("embedding_dim", embedding_dim))
        for name, size in sizes:
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise ValueError(f"Embedding: expected {name} >= 0, got {size!r}")
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"Embedding: expected padding_idx within {num_embeddings} rows, "
                    f"got {padding_idx}"
                )
            padding_idx %= num_embeddings
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = padding_idx
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype))
        self.reset_parameters()

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
    ) -> Embedding:
        r"""A layer with the table ``embeddings`` (n, d), which with ``freeze`` does not learn.

        >>> import minigrad as mg
        >>> Embedding.from_pretrained(mg.tensor([[1.0, 2.0], [3.0, 4.0]]))(mg.tensor(1))
        tensor([3., 4.])
        """
        if embeddings.ndim != 2:
            raise ValueError(
                f"Embedding.from_pretrained: expected a table (n, d), got {embeddings.shape}"
            )
        layer = cls(0, 0, device=embeddings.device, dtype=embeddings.dtype)
        rows, width = embeddings.shape
        if padding_idx is not None and not -rows <= padding_idx < rows:
            raise ValueError(
                f"Embedding: expected padding_idx within {rows} rows, got {padding_idx}"
            )
        layer.num_embeddings, layer.embedding_dim = rows, width
        layer.padding_idx = None if padding_idx is None else padding_idx % rows
        layer.max_norm, layer.norm_type = max_norm, norm_type
        layer.weight = Parameter(embeddings.detach(), requires_grad=not freeze)
        return layer

    def reset_parameters(self) -> None:
        r"""Draw new initial values."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, input: Tensor) -> Tensor:
        if self.max_norm is not None:
            self._shorten(input)
        return ops.embedding(input, self.weight, self.padding_idx)

    def _shorten(self, input: Tensor) -> None:
        r"""Scale the rows at ``input`` to the norm ``max_norm`` where they exceed it."""
        with no_grad():
            rows = ops.embedding(input.reshape(-1), self.weight)  # checks the integers
            norm = ops.norm(rows, self.norm_type, 1, keepdim=True)
            one = get_array_module(norm.data).ones_like(norm.data)
            # 1e-7 as in PyTorch; rows that are short enough stay as they are to the bit.
            scale = ops.where(norm > self.max_norm, self.max_norm / (norm + 1e-7), one)
            self.weight[input.reshape(-1)] = rows * scale

    def extra_repr(self) -> str:
        parts = [f"{self.num_embeddings}, {self.embedding_dim}"]
        if self.padding_idx is not None:
            parts.append(f"padding_idx={self.padding_idx}")
        if self.max_norm is not None:
            parts.append(f"max_norm={self.max_norm}")
        if self.norm_type != 2:
            parts.append(f"norm_type={self.norm_type}")
        return ", ".join(parts)
