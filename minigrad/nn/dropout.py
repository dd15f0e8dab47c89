r"""Dropout."""

from __future__ import annotations

from .. import ops
from ..backend import Generator
from ..tensor import Tensor
from .module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "FeatureAlphaDropout"]


class Dropout(Module):
    r"""In training, zero each element with probability ``p`` and divide the others by ``1 - p``,
    so that the mean stays; in evaluation, return the input.

    Args:
        p: in [0, 1].
        generator: where the masks are drawn; the default generator if None.

    Reference: Srivastava et al., Dropout, 2014.
    """

    def __init__(self, p: float = 0.5, generator: Generator | None = None) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: expected 0 <= p <= 1, got {p!r}")
        self.p = p
        self.generator = generator

    def forward(self, input: Tensor) -> Tensor:
        return ops.dropout(input, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Dropout1d(Dropout):
    r"""Drop whole channels of (N, C, L)."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.dropout1d(input, self.p, self.training, generator=self.generator)


class Dropout2d(Dropout):
    r"""Drop whole channels of (N, C, H, W). Reference: Tompson et al., Efficient object
    localization using convolutional networks, 2015."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.dropout2d(input, self.p, self.training, generator=self.generator)


class AlphaDropout(Dropout):
    r"""Dropout for SELU: in training, with probability ``p`` an element becomes -1.758, what SELU
    tends to far to the left, and the result is scaled and shifted so that mean 0 and variance 1
    stay. Reference: Klambauer et al., Self-normalizing neural networks, 2017."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.alpha_dropout(input, self.p, self.training, generator=self.generator)


class FeatureAlphaDropout(Dropout):
    r""":class:`AlphaDropout` of whole channels of (N, C, ...)."""

    def forward(self, input: Tensor) -> Tensor:
        return ops.feature_alpha_dropout(input, self.p, self.training, generator=self.generator)
