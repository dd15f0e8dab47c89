r"""Normalisation layers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..creation import ones, tensor, zeros
from ..tensor import Tensor
from .module import Module
from .parameter import Parameter

__all__ = ["BatchNorm1d", "BatchNorm2d"]


class _BatchNorm(Module):
    dims: tuple[int, ...] = ()  # of the input

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if isinstance(num_features, bool) or not isinstance(num_features, int) or num_features < 1:
            raise ValueError(
                f"{type(self).__name__}: expected a positive integer as num_features, "
                f"got {num_features!r}"
            )
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        like = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_features, **like)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features, **like)) if affine else None)
        track = track_running_stats
        self.register_buffer("running_mean", zeros(num_features, **like) if track else None)
        self.register_buffer("running_var", ones(num_features, **like) if track else None)
        self.register_buffer(
            "num_batches_tracked", tensor(0, dtype=np.int64, device=device) if track else None
        )

    def reset_running_stats(self) -> None:
        r"""Forget the running statistics."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        r"""Forget the running statistics, and scale by 1 and shift by 0 again."""
        self.reset_running_stats()
        for parameter, value in ((self.weight, 1), (self.bias, 0)):
            if parameter is not None:
                parameter.data[...] = value
                parameter._version[0] += 1

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.dims:
            wanted = " or ".join([f"{n}-d" for n in self.dims])
            raise ValueError(
                f"{type(self).__name__}: expected a {wanted} input, got shape {input.shape}"
            )
        momentum: Any = self.momentum
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if momentum is None:  # the plain mean over all batches so far
                # It stays on the device: nothing waits for the count.
                momentum = (1.0 / self.num_batches_tracked.data).astype(self.running_mean.dtype)
        return ops.batch_norm(
            input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            0.0 if momentum is None else momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    r"""Batch normalisation of (N, C) or (N, C, L); see :class:`BatchNorm2d`."""

    dims = (2, 3)


class BatchNorm2d(_BatchNorm):
    r"""Normalise each channel of (N, C, H, W) by its mean and variance.

    .. math:: y = \gamma\, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    In training, mean and (biased) variance are the batch's, over N, H and W, and the running
    statistics move towards them: :math:`r \leftarrow (1 - m) r + m s`, where the variance in
    ``running_var`` is the unbiased one. In evaluation the running statistics are used.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: :math:`m`; None for the plain mean over all batches.
        affine: learn :math:`\gamma` (``weight``) and :math:`\beta` (``bias``).
        track_running_stats: if False there are none, and evaluation uses the batch's too.
        device, dtype: of the parameters and buffers.

    Reference: Ioffe and Szegedy, Batch normalization, 2015.
    """

    dims = (4,)
