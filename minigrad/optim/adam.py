r"""Adam and AdamW. Their arithmetic is in ``kernels/optim.py``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from ..kernels import optim as kernels
from .flat import FlatParameters, Run
from .optimizer import Optimizer

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    r"""Adaptive moment estimation.

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        \theta &\leftarrow \theta - \eta\, \frac{m / (1 - \beta_1^t)}
        {\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Args:
        params: tensors or groups; see :class:`Optimizer`.
        lr: learning rate :math:`\eta`.
        betas: :math:`(\beta_1, \beta_2)`.
        eps: :math:`\epsilon`.
        weight_decay: an L2 penalty, added to the gradient; see :class:`AdamW`.
        amsgrad: divide by the largest :math:`v` so far.
        maximize: climb instead of descend.
        decoupled_weight_decay: decay the weights as :class:`AdamW` does.

    Reference: Kingma and Ba, Adam: a method for stochastic optimization, 2015; AMSGrad: Reddi et
    al., On the convergence of Adam and beyond, 2018.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = Adam([x], lr=0.5)
    >>> (x * x).sum().backward(); optimizer.step()      # the first step is lr * sign(g)
    >>> x.detach()
    tensor([0.5])
    """

    state_names = ("exp_avg", "exp_avg_sq", "max_exp_avg_sq")
    later_names: ClassVar = ("decoupled_weight_decay",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        decoupled_weight_decay: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "amsgrad": amsgrad,
                "maximize": maximize,
                "decoupled_weight_decay": decoupled_weight_decay,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(group, "lr", "eps", "weight_decay")
        self._fractions(group)

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        kernels.adam(
            flat.flat[run.part],
            flat.grad[run.part],
            flat.buffer("exp_avg")[run.part],
            flat.buffer("exp_avg_sq")[run.part],
            flat.buffer("max_exp_avg_sq")[run.part] if group["amsgrad"] else None,
            run.age + 1,
            lr=group["lr"],
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )


class AdamW(Adam):
    r"""Adam whose weight decay is apart from the gradient:
    :math:`\theta \leftarrow (1 - \eta \lambda) \theta` before each step of :class:`Adam`.

    Its default ``weight_decay`` is 0.01. Reference: Loshchilov and Hutter, Decoupled weight decay
    regularization, 2019.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            decoupled_weight_decay=True,
        )
