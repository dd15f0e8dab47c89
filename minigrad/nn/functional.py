r"""Functions with PyTorch's names, for ``from minigrad.nn import functional as F``.

Belongs here: names of ops, and functions composed of ops (composed ones have every derivative for
free). Does not belong here: anything with a gradient rule of its own (``ops/``) or with parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import creation, ops
from ..backend import Generator, default_generator
from ..ops import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    alpha_dropout,
    avg_pool1d,
    avg_pool2d,
    batch_norm,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    celu,
    channel_shuffle,
    conv1d,
    conv2d,
    conv_transpose1d,
    conv_transpose2d,
    cosine_embedding_loss,
    cosine_similarity,
    cross_entropy,
    dropout,
    dropout1d,
    dropout2d,
    elu,
    embedding,
    feature_alpha_dropout,
    fold,
    gaussian_nll_loss,
    gelu,
    glu,
    group_norm,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    hinge_embedding_loss,
    huber_loss,
    instance_norm,
    interpolate,
    kl_div,
    l1_loss,
    layer_norm,
    leaky_relu,
    linear,
    local_response_norm,
    log_softmax,
    logsigmoid,
    margin_ranking_loss,
    max_pool1d,
    max_pool2d,
    mish,
    mse_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    one_hot,
    pad,
    pairwise_distance,
    pixel_shuffle,
    pixel_unshuffle,
    poisson_nll_loss,
    prelu,
    relu,
    relu6,
    rms_norm,
    rrelu,
    scaled_dot_product_attention,
    selu,
    sigmoid,
    silu,
    smooth_l1_loss,
    soft_margin_loss,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanh,
    tanhshrink,
    threshold,
    triplet_margin_loss,
    unfold,
)
from ..tensor import Tensor

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "elu",
    "embedding",
    "feature_alpha_dropout",
    "fold",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "mish",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu6",
    "rms_norm",
    "rrelu",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "straight_through",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "unfold",
]


def gumbel_softmax(
    logits: Tensor,
    tau: float = 1,
    hard: bool = False,
    eps: float = 1e-10,
    dim: int = -1,
    generator: Generator | None = None,
) -> Tensor:
    r"""A differentiable draw of a class: softmax((logits + Gumbel noise) / tau) along ``dim``.

    Args:
        tau: the temperature, above 0; a low one gives almost one-hot draws and large gradients.
        hard: one-hot to the bit, with the gradient of the soft draw (straight-through).
        eps: without effect, as in PyTorch.

    Reference: Jang, Gu and Poole, Categorical reparameterization with Gumbel-softmax, 2017.

    >>> import minigrad as mg
    >>> draw = gumbel_softmax(mg.zeros(2, 3), hard=True)
    >>> draw.sum(-1)
    tensor([1., 1.])
    """
    if not tau > 0:
        raise ValueError(f"gumbel_softmax: expected tau above 0, got {tau}")
    noise: Any = (default_generator() if generator is None else generator).numpy
    noise = np.asarray(noise.standard_exponential(logits.shape))
    noise = -np.log(np.maximum(noise, np.finfo(np.float64).tiny))
    gumbel = creation.tensor(noise.astype(logits.dtype, copy=False), device=logits.device)
    soft = ops.softmax((logits + gumbel) / tau, dim)
    if not hard:
        return soft
    chosen = ops.one_hot(ops.argmax(soft, dim), soft.shape[dim])  # classes along the last axis
    return straight_through(ops.movedim(chosen, -1, dim), soft)


def straight_through(hard: Tensor, soft: Tensor) -> Tensor:
    r"""The values of ``hard`` with the gradient of ``soft``, of which it is a rounded version.

    >>> import minigrad as mg
    >>> p = mg.tensor([0.2, 0.9], requires_grad=True)
    >>> y = straight_through(p > 0.5, p)
    >>> y.sum().backward()
    >>> y.detach(), p.grad
    (tensor([0., 1.]), tensor([1., 1.]))
    """
    if hard.shape != soft.shape:
        raise ValueError(
            f"straight_through: expected two tensors of one shape, got {hard.shape} and "
            f"{soft.shape}"
        )
    # The difference is 0 exactly, so that the sum is `hard` to the bit.
    return ops.cast(hard.detach(), soft.dtype) + (soft - soft.detach())


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    r"""Divide by the p-norm along ``dim``: :math:`x / \max(\lVert x \rVert_p, \epsilon)`.

    >>> import minigrad as mg
    >>> normalize(mg.tensor([[3.0, 4.0]]))
    tensor([[0.6, 0.8]])
    """
    return input / ops.clamp(ops.norm(input, p, dim, keepdim=True), min=eps)
