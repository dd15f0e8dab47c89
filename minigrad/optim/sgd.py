r"""Stochastic gradient descent. Its arithmetic is in ``kernels/optim.py``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..kernels import optim as kernels
from .flat import FlatParameters, Run
from .optimizer import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum and Nesterov's variant.

    .. math::
        g &\leftarrow \nabla L(\theta) + \lambda \theta \\
        b &\leftarrow \mu b + (1 - \tau) g \quad\text{(first step: } b = g\text{)} \\
        \theta &\leftarrow \theta - \eta b \quad\text{(Nesterov: } \theta - \eta (g + \mu b))

    Args:
        params: tensors or groups; see :class:`Optimizer`.
        lr: learning rate :math:`\eta`.
        momentum: :math:`\mu`.
        dampening: :math:`\tau`.
        weight_decay: :math:`\lambda`, an L2 penalty.
        nesterov: look ahead; needs momentum and no dampening.
        maximize: climb instead of descend.

    Reference: Sutskever et al., On the importance of initialization and momentum in deep
    learning, 2013 (PyTorch's form, in which the learning rate multiplies the buffer).

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = SGD([x], lr=0.25)
    >>> (x * x).sum().backward(); optimizer.step()
    >>> x.detach()
    tensor([0.5])
    """

    state_names = ("momentum_buffer",)
    counts_steps = False

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(group, "lr", "momentum", "weight_decay")
        if group["nesterov"] and (group["momentum"] <= 0 or group["dampening"] != 0):
            raise ValueError(
                "SGD: nesterov expected momentum > 0 and dampening = 0, got momentum="
                f"{group['momentum']!r} and dampening={group['dampening']!r}"
            )

    def ages(self, group: dict[str, Any]) -> bool:
        return group["momentum"] != 0

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        momentum = group["momentum"]
        kernels.sgd(
            flat.flat[run.part],
            flat.grad[run.part],
            flat.buffer("momentum_buffer")[run.part] if momentum else None,
            run.age == 0,
            lr=group["lr"],
            momentum=momentum,
            dampening=group["dampening"],
            weight_decay=group["weight_decay"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
