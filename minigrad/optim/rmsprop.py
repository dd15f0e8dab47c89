r"""RMSprop. Its arithmetic is in ``kernels/optim.py``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..kernels import optim as kernels
from .flat import FlatParameters, Run
from .optimizer import Optimizer

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    r"""Divides the gradient by a running root mean square of itself.

    .. math::
        v &\leftarrow \alpha v + (1 - \alpha) g^2 \\
        \bar g &\leftarrow \alpha \bar g + (1 - \alpha) g, \quad
        \sigma = \sqrt{v - \bar g^2} \text{ if centered, } \sqrt{v} \text{ if not} \\
        b &\leftarrow \mu b + g / (\sigma + \epsilon), \qquad \theta \leftarrow \theta - \eta b

    Note that :math:`\epsilon` is outside of the root (TensorFlow has it inside).

    Args:
        params: tensors or groups; see :class:`Optimizer`.
        lr: learning rate :math:`\eta`.
        alpha: smoothing :math:`\alpha`.
        eps: :math:`\epsilon`.
        weight_decay: an L2 penalty, added to the gradient.
        momentum: :math:`\mu`.
        centered: divide by the standard deviation instead of the root mean square.
        maximize: climb instead of descend.

    Reference: Hinton, Neural networks for machine learning, lecture 6; centered: Graves,
    Generating sequences with recurrent neural networks, 2013.
    """

    state_names = ("square_avg", "momentum_buffer", "grad_avg")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "alpha": alpha,
                "eps": eps,
                "centered": centered,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(group, "lr", "alpha", "eps", "weight_decay", "momentum")

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        momentum, centered = group["momentum"], group["centered"]
        kernels.rmsprop(
            flat.flat[run.part],
            flat.grad[run.part],
            flat.buffer("square_avg")[run.part],
            flat.buffer("grad_avg")[run.part] if centered else None,
            flat.buffer("momentum_buffer")[run.part] if momentum else None,
            lr=group["lr"],
            alpha=group["alpha"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            momentum=momentum,
            centered=centered,
            maximize=group["maximize"],
        )
