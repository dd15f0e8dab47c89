r"""Likelihoods: their units, and the bounds that sampling gives.

Belongs here: what turns log-densities into figures. Does not belong here: any model's densities
(``minigrad.distributions``, the models).
"""

from __future__ import annotations

import math
from typing import Any

from .. import ops

__all__ = ["bits_per_dim", "effective_sample_size", "importance_weighted_bound"]


def bits_per_dim(log_prob: Any, dims: int, levels: int = 256) -> Any:
    r"""Nats of a density of images in [0, 1] to bits for each of ``dims`` numbers:

    .. math:: \text{bits} = -\frac{\log p(x)}{D \ln 2} + \log_2 \text{levels}

    The pixels were one of ``levels`` integers, to which uniform noise was added before the sum was
    divided by ``levels`` (dequantised). That division makes the density ``levels`` times as large
    for each number; the last term takes it back. What comes out bounds, from above, the bits that a
    lossless code for the integers needs: 8 for no knowledge at all of 256 levels.

    Args:
        log_prob: natural logarithm of the density of the scaled x, any shape, arrays or Tensors.
        dims: how many numbers x has.
        levels: of a number before it was scaled; 1 if the density is that of the data as they are.

    >>> bits_per_dim(0.0, 784)  # the uniform density
    8.0
    >>> bits_per_dim(784 * math.log(2.0), 784)
    7.0
    """
    if dims < 1 or levels < 1:
        raise ValueError(
            f"bits_per_dim: expected dims >= 1 and levels >= 1, got {dims} and {levels}"
        )
    return log_prob * (-1.0 / (dims * math.log(2.0))) + math.log2(levels)


def importance_weighted_bound(log_weights: Any, dim: int = 0) -> Any:
    r"""The importance-weighted bound (Burda, Grosse and Salakhutdinov, 2016, arXiv:1509.00519) from
    K samples :math:`z_k \sim q(z|x)` along ``dim``:

    .. math:: \log p(x) \ge \mathbb{E} \log \frac1K \sum_k w_k, \qquad
        \log w_k = \log p(x, z_k) - \log q(z_k|x)

    It is the ELBO for K = 1 and rises with K. Arrays or Tensors, differentiable; the sum never
    leaves the logarithm.

    >>> import numpy as np
    >>> importance_weighted_bound(np.log([[1.0], [3.0]])).round(4)  # ln 2
    array([0.6931])
    """
    count = log_weights.shape[dim]
    if count < 1:
        raise ValueError("importance_weighted_bound: expected at least one sample, got none")
    return ops.logsumexp(log_weights, dim) - math.log(count)


def effective_sample_size(log_weights: Any, dim: int = 0) -> Any:
    r""":math:`(\sum_k w_k)^2 / \sum_k w_k^2` along ``dim``: K if all samples count alike, 1 if one
    counts for all, and then the bound says little about how tight it is.

    >>> import numpy as np
    >>> effective_sample_size(np.log([[1.0, 1.0], [1.0, 3.0]])).round(6)
    array([2. , 1.6])
    """
    return ops.exp(2.0 * ops.logsumexp(log_weights, dim) - ops.logsumexp(2.0 * log_weights, dim))
