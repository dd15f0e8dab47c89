r"""Normalisation layers.

Belongs here: layers that standardise their input by its own statistics. Their arithmetic is in
``ops/normalization.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import ops
from ..creation import ones, tensor, zeros
from ..tensor import Tensor
from .module import Module
from .parameter import Parameter

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "LayerNorm",
    "LocalResponseNorm",
    "MinibatchStdDev",
    "PixelNorm",
    "RMSNorm",
]


def _reset(*parameters: Tensor | None) -> None:
    r"""Weights become 1, biases 0: the order is weight, bias."""
    for parameter, value in zip(parameters, (1, 0)):
        if parameter is not None:
            parameter.data[...] = value
            parameter._version[0] += 1


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
        _reset(self.weight, self.bias)

    def _check(self, input: Tensor) -> None:
        if input.ndim not in self.dims:
            wanted = " or ".join([f"{n}-d" for n in self.dims])
            raise ValueError(
                f"{type(self).__name__}: expected a {wanted} input, got shape {input.shape}"
            )

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
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


class _InstanceNorm(_BatchNorm):
    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        self._check(input)
        batched = input if input.ndim == self.dims[-1] else ops.unsqueeze(input, 0)
        if batched.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__}: expected {self.num_features} channels, "
                f"got shape {input.shape}"
            )
        result = ops.instance_norm(
            batched,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            0.0 if self.momentum is None else self.momentum,
            self.eps,
        )
        return result if batched is input else ops.squeeze(result, 0)


class InstanceNorm1d(_InstanceNorm):
    r"""Instance normalisation of (N, C, L) or (C, L); see :class:`InstanceNorm2d`."""

    dims = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    r"""Normalise each channel of each image of (N, C, H, W), or of one image (C, H, W), by its own
    mean and variance, in training and in evaluation.

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: of the running statistics; with None they stay as they are.
        affine: learn a scale (``weight``) and a shift (``bias``) for each channel.
        track_running_stats: keep running statistics and use them in evaluation.
        device, dtype: of the parameters and buffers.

    Reference: Ulyanov et al., Instance normalization: the missing ingredient for fast stylization,
    2016.
    """

    dims = (3, 4)


class LayerNorm(Module):
    r"""Normalise over the last axes, each example (and each place before those axes) by itself:

    .. math:: y = \gamma\, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta

    Args:
        normalized_shape: the shape of the last axes; an integer for one axis.
        eps: added to the variance.
        elementwise_affine: learn :math:`\gamma` (``weight``) and :math:`\beta` (``bias``), of
            ``normalized_shape``.
        bias: if False there is no :math:`\beta`.
        device, dtype: of the parameters.

    Reference: Ba et al., Layer normalization, 2016.

    >>> import minigrad as mg
    >>> LayerNorm(2)(mg.tensor([[1.0, 3.0], [5.0, 5.0]])).detach().numpy().round(3).tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape, type(self).__name__)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        like = {"device": device, "dtype": dtype}
        shape, affine = self.normalized_shape, elementwise_affine
        self.register_parameter("weight", Parameter(ones(*shape, **like)) if affine else None)
        self.register_parameter(
            "bias", Parameter(zeros(*shape, **like)) if affine and bias else None
        )

    def reset_parameters(self) -> None:
        r"""Scale by 1 and shift by 0 again."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return ops.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


def _shape(shape: Any, name: str) -> tuple[int, ...]:
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    if not shape or any(not isinstance(n, (int, np.integer)) or n < 1 for n in shape):
        raise ValueError(f"{name}: expected positive integers as normalized_shape, got {shape}")
    return tuple([int(n) for n in shape])


class RMSNorm(Module):
    r"""Divide by the root of the mean square over the last axes, and scale:
    :math:`y = \gamma\, x / \sqrt{\overline{x^2} + \epsilon}`.

    Args:
        normalized_shape: the shape of the last axes; an integer for one axis.
        eps: added to the mean square; the dtype's rounding unit if None.
        elementwise_affine: learn :math:`\gamma` (``weight``).
        device, dtype: of the parameter.

    Reference: Zhang and Sennrich, Root mean square layer normalization, 2019.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = _shape(normalized_shape, "RMSNorm")
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = ones(*self.normalized_shape, device=device, dtype=dtype)
        self.register_parameter("weight", Parameter(weight) if elementwise_affine else None)

    def reset_parameters(self) -> None:
        r"""Scale by 1 again."""
        _reset(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        return ops.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
        )


class GroupNorm(Module):
    r"""Normalise each of ``num_groups`` groups of channels of (N, C, ...) by its mean and variance,
    each example by itself. One group is layer norm over the example, C groups are instance norm.

    Args:
        num_groups: divides ``num_channels``.
        num_channels: C.
        eps: added to the variance.
        affine: learn a scale (``weight``) and a shift (``bias``) for each channel.
        device, dtype: of the parameters.

    Reference: Wu and He, Group normalization, 2018.
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels < 1 or num_channels % num_groups:
            raise ValueError(
                f"GroupNorm: expected num_groups to divide num_channels, got {num_groups} and "
                f"{num_channels}"
            )
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        like = {"device": device, "dtype": dtype}
        self.register_parameter("weight", Parameter(ones(num_channels, **like)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_channels, **like)) if affine else None)

    def reset_parameters(self) -> None:
        r"""Scale by 1 and shift by 0 again."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return ops.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}"


class LocalResponseNorm(Module):
    r"""Divide by :math:`(k + \alpha\, \overline{x^2})^\beta`, the mean over ``size`` neighbouring
    channels. Reference: Krizhevsky et al., ImageNet classification with deep CNNs, 2012."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        return ops.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class PixelNorm(Module):
    r"""Divide the channels of each pixel of (N, C, ...) by the root of their mean square:
    :math:`y = x / \sqrt{\tfrac1C \sum_c x_c^2 + \epsilon}`.

    Reference: Karras et al., Progressive growing of GANs, 2017, section 4.2.

    >>> import minigrad as mg
    >>> PixelNorm()(mg.tensor([[3.0, 3.0, 0.0, 0.0]]))
    tensor([[1.4142, 1.4142, 0.    , 0.    ]])
    """

    def __init__(self, eps: float = 1e-8) -> None:
        super().__init__()
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim < 2:
            raise ValueError(f"PixelNorm: expected (N, C, ...), got shape {input.shape}")
        return input * ops.rsqrt(ops.mean(input * input, 1, keepdim=True) + self.eps)

    def extra_repr(self) -> str:
        return f"eps={self.eps}"


class MinibatchStdDev(Module):
    r"""Append to (N, C, H, W) a channel that says how much the images of a group differ: the
    standard deviation over the group of each value, averaged over all values. A discriminator can
    tell by it a generator that makes the same image again and again.

    Args:
        group_size: images in a group; the whole batch if None or if it is smaller. Image i belongs
            to group i modulo N / ``group_size``.
        num_new_features: channels are cut in so many parts, each with a channel of its own.
        eps: added to the variance.

    Raises:
        ValueError: the group's size does not divide the batch, or the features the channels.

    Reference: Karras et al., Progressive growing of GANs, 2017, section 3.

    >>> import minigrad as mg
    >>> MinibatchStdDev()(mg.ones(4, 3, 2, 2)).shape
    (4, 4, 2, 2)
    """

    def __init__(
        self, group_size: int | None = 4, num_new_features: int = 1, eps: float = 1e-8
    ) -> None:
        super().__init__()
        if group_size is not None and group_size < 1 or num_new_features < 1:
            raise ValueError(
                f"MinibatchStdDev: expected positive integers, got {group_size} and "
                f"{num_new_features}"
            )
        self.group_size = group_size
        self.num_new_features = num_new_features
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim != 4:
            raise ValueError(f"MinibatchStdDev: expected (N, C, H, W), got shape {input.shape}")
        n, c, h, w = input.shape
        size = n if self.group_size is None else min(self.group_size, n)
        features = self.num_new_features
        if not size or n % size or c % features:
            raise ValueError(
                f"MinibatchStdDev: expected groups of {size} to divide the batch and {features} "
                f"features the channels, got shape {input.shape}"
            )
        groups = ops.reshape(input, (size, n // size, features, c // features, h, w))
        std = ops.sqrt(ops.var(groups, 0, correction=0) + self.eps)
        spread = ops.mean(std, (2, 3, 4))  # (n / size, features)
        spread = ops.reshape(spread, (1, n // size, features, 1, 1))
        maps = ops.expand(spread, (size, n // size, features, h, w))
        return ops.cat([input, ops.reshape(maps, (n, features, h, w))], 1)

    def extra_repr(self) -> str:
        return (
            f"group_size={self.group_size}, num_new_features={self.num_new_features}, "
            f"eps={self.eps}"
        )
