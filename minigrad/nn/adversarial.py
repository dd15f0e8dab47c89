r"""What generator and discriminator of a GAN minimise, as functions of the discriminator's scores.

Belongs here: the pairs of losses that the models of the GAN family choose from; every argument is
what the discriminator says, without a sigmoid, of shape (N,) or (N, ...); and the penalty that
keeps a critic from being steep. Does not belong here: the networks, and how often each is trained.

=================== ============================================ ===============================
loss                discriminator                                generator
=================== ============================================ ===============================
``minimax``         -mean ln σ(real) - mean ln(1 - σ(fake))      mean ln(1 - σ(fake))
``non_saturating``  the same                                     -mean ln σ(fake)
``least_squares``   ½ mean (real - 1)² + ½ mean fake²            ½ mean (fake - 1)²
``wasserstein``     mean fake - mean real                        -mean fake
``hinge``           mean max(0, 1 - real) + mean max(0, 1+fake)  -mean fake
=================== ============================================ ===============================

References: Goodfellow et al., 2014 (the first two); Mao et al., Least squares GANs, 2016; Arjovsky
et al., Wasserstein GAN, 2017; Miyato et al., Spectral normalization, 2018 (hinge); the penalty:
Gulrajani et al., Improved training of Wasserstein GANs, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .. import ops
from ..backend import Generator
from ..creation import rand
from ..tensor import Tensor
from ..walk import grad

__all__ = ["KINDS", "discriminator_loss", "generator_loss", "gradient_penalty"]

KINDS = ("minimax", "non_saturating", "least_squares", "wasserstein", "hinge")


def _softplus(x: Any) -> Any:
    r"""-ln σ(-x), exact for any x."""
    return ops.softplus(x, threshold=math.inf)


def _check(kind: str, name: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"{name}: expected kind to be one of {KINDS}, got {kind!r}")


def discriminator_loss(
    real: Tensor, fake: Tensor, kind: str = "non_saturating", label: float = 1.0
) -> Tensor:
    r"""The loss of the discriminator (of the critic, for "wasserstein").

    Args:
        real, fake: its scores of real and of generated examples; detach the latter's generator.
        kind: see the table of this module.
        label: what real examples are labelled with, below 1 for one-sided label smoothing
            (Salimans et al., 2016); for the two cross-entropies and least squares.

    >>> import minigrad as mg
    >>> scores = mg.zeros(4)
    >>> round(discriminator_loss(scores, scores).item(), 4)  # undecided: 2 ln 2
    1.3863
    """
    _check(kind, "discriminator_loss")
    if kind in ("minimax", "non_saturating"):
        on_real = label * _softplus(-real) + (1 - label) * _softplus(real)
        return ops.mean(on_real) + ops.mean(_softplus(fake))
    if kind == "least_squares":
        return 0.5 * (ops.mean(ops.square(real - label)) + ops.mean(ops.square(fake)))
    if kind == "wasserstein":
        return ops.mean(fake) - ops.mean(real)
    return ops.mean(ops.relu(1 - real)) + ops.mean(ops.relu(1 + fake))


def generator_loss(fake: Tensor, kind: str = "non_saturating") -> Tensor:
    r"""The loss of the generator: ``fake`` are the discriminator's scores of its examples.

    >>> import minigrad as mg
    >>> generator_loss(mg.tensor([2.0, 4.0]), "wasserstein").item()
    -3.0
    """
    _check(kind, "generator_loss")
    if kind == "minimax":
        return -ops.mean(_softplus(fake))
    if kind == "non_saturating":
        return ops.mean(_softplus(-fake))
    if kind == "least_squares":
        return 0.5 * ops.mean(ops.square(fake - 1))
    return -ops.mean(fake)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    generator: Generator | None = None,
    slope: float = 1.0,
) -> Tensor:
    r"""How far the critic's slope is from s, 1 or 0, between real and generated examples,

    .. math:: \frac1N \sum_n (\lVert \nabla D(\hat x_n) \rVert - s)^2, \qquad
        \hat x_n = u_n x_n + (1 - u_n) y_n, \quad u_n \sim U(0, 1)

    A best critic of slope at most 1 has slope 1 on the lines along which mass is to be moved, so
    with s = 1 the penalty does not fight the Wasserstein loss. Other losses have no such slope:
    they are smoothed by s = 0, a discriminator that does not turn from "real" to "generated" within
    a hair's breadth. The penalty's gradient, in the critic's weights, goes through a
    gradient: double backward. Nothing flows back to ``real`` and ``fake``. An example's score must
    depend on this example alone, so a critic that is penalised has no batch norm.

    Args:
        critic: examples (N, ...) to scores (N,) or (N, 1).
        real, fake: x and y, both (N, ...).
        generator: draws the u; by default the default generator.
        slope: s.

    Reference: Gulrajani et al., Improved training of Wasserstein GANs, 2017, arXiv:1704.00028; with
    s = 0 Thanh-Tung et al., Improving generalization and stability of generative adversarial
    networks, 2019, arXiv:1902.03984.

    >>> import minigrad as mg
    >>> x, y = mg.randn(5, 2), mg.randn(5, 2)
    >>> round(gradient_penalty(lambda x: x @ mg.tensor([3.0, 4.0]), x, y).item(), 4)  # (5 - 1)^2
    16.0
    """
    if real.shape != fake.shape:
        raise ValueError(
            f"gradient_penalty: expected real and fake of one shape, got {tuple(real.shape)} and "
            f"{tuple(fake.shape)}"
        )
    shape = (len(real),) + (1,) * (real.ndim - 1)
    u = rand(*shape, generator=generator, device=real.device, dtype=real.dtype)
    between = (u * real + (1 - u) * fake).detach()
    between.requires_grad = True
    (slopes,) = grad(ops.sum(critic(between)), between, create_graph=True)
    assert slopes is not None
    squares = ops.sum(ops.reshape(ops.square(slopes), (len(real), -1)), 1)
    if slope == 0:
        return ops.mean(squares)
    # The root's own slope is infinite at 0, where a critic may be flat.
    return ops.mean(ops.square(ops.sqrt(squares + 1e-12) - slope))
