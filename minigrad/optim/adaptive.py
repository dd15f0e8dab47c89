r"""Adagrad, Adadelta, Adamax, NAdam and RAdam. Their arithmetic is in
``kernels/optim_adaptive.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..backend import get_default_dtype
from ..kernels import optim_adaptive as kernels
from .flat import FlatParameters, Run
from .optimizer import Optimizer

__all__ = ["Adadelta", "Adagrad", "Adamax", "NAdam", "RAdam"]


class Adagrad(Optimizer):
    r"""Divides the gradient by the root of the sum of all its squares so far, so that rarely
    changed parameters take larger steps.

    .. math::
        s \leftarrow s + g^2, \qquad
        \theta \leftarrow \theta - \frac{\eta}{1 + (t - 1) \kappa}\, \frac{g}{\sqrt s + \epsilon}

    Args:
        params: tensors or groups; see :class:`Optimizer`.
        lr: learning rate :math:`\eta`.
        lr_decay: :math:`\kappa`.
        weight_decay: an L2 penalty, added to the gradient.
        initial_accumulator_value: what :math:`s` starts from, in all groups.
        eps: :math:`\epsilon`.
        maximize: climb instead of descend.

    Reference: Duchi, Hazan and Singer, Adaptive subgradient methods for online learning and
    stochastic optimization, 2011.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0], requires_grad=True)
    >>> optimizer = Adagrad([x], lr=0.5)
    >>> (x * x).sum().backward()
    >>> optimizer.step()  # the first step is lr * sign(g)
    >>> x.detach()
    tensor([0.5])
    """

    state_names = ("sum",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "eps": eps,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(
            group, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps"
        )

    def fills(self) -> dict[str, float]:
        return {"sum": self.defaults["initial_accumulator_value"]}

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        kernels.adagrad(
            flat.flat[run.part],
            flat.grad[run.part],
            flat.buffer("sum")[run.part],
            run.age + 1,
            lr=group["lr"],
            lr_decay=group["lr_decay"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )


class Adadelta(Optimizer):
    r"""Adagrad with a fading memory, and steps in the units of the parameters.

    .. math::
        v &\leftarrow \rho v + (1 - \rho) g^2, \qquad
        \Delta = g \sqrt{u + \epsilon} / \sqrt{v + \epsilon} \\
        u &\leftarrow \rho u + (1 - \rho) \Delta^2, \qquad \theta \leftarrow \theta - \eta \Delta

    Args:
        params: tensors or groups; see :class:`Optimizer`.
        lr: factor :math:`\eta` of the steps; the paper has none (1).
        rho: how much the averages remember, :math:`\rho`.
        eps: :math:`\epsilon`; it also sets the size of the first steps.
        weight_decay: an L2 penalty, added to the gradient.
        maximize: climb instead of descend.

    Reference: Zeiler, ADADELTA: an adaptive learning rate method, 2012.
    """

    state_names = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "rho": rho,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(group, "lr", "rho", "eps", "weight_decay")
        if group["rho"] > 1:
            raise ValueError(f"Adadelta: expected rho <= 1, got {group['rho']!r}")

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        kernels.adadelta(
            flat.flat[run.part],
            flat.grad[run.part],
            flat.buffer("square_avg")[run.part],
            flat.buffer("acc_delta")[run.part],
            lr=group["lr"],
            rho=group["rho"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )


class Adamax(Optimizer):
    r"""Adam with the largest gradient of late in place of the root mean square.

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        u \leftarrow \max(\beta_2 u, |g| + \epsilon), \qquad
        \theta \leftarrow \theta - \frac{\eta}{1 - \beta_1^t}\, \frac m u

    Args:
        params: tensors or groups; see :class:`Optimizer`.
        lr: learning rate :math:`\eta`.
        betas: :math:`(\beta_1, \beta_2)`.
        eps: :math:`\epsilon`.
        weight_decay: an L2 penalty, added to the gradient.
        maximize: climb instead of descend.

    Reference: Kingma and Ba, Adam: a method for stochastic optimization, 2015, section 7.
    """

    state_names = ("exp_avg", "exp_inf")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(group, "lr", "eps", "weight_decay")
        self._fractions(group)

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        kernels.adamax(
            flat.flat[run.part],
            flat.grad[run.part],
            flat.buffer("exp_avg")[run.part],
            flat.buffer("exp_inf")[run.part],
            run.age + 1,
            lr=group["lr"],
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            maximize=group["maximize"],
        )


class NAdam(Optimizer):
    r"""Adam with Nesterov's momentum.

    .. math::
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        \mu_t = \beta_1 (1 - \tfrac12\, 0.96^{t \psi}) \\
        \hat m &= \frac{\mu_{t+1} m}{1 - \prod_{i \le t+1} \mu_i} +
        \frac{(1 - \mu_t) g}{1 - \prod_{i \le t} \mu_i}, \qquad
        \theta \leftarrow \theta - \eta\, \frac{\hat m}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

    Args:
        params: tensors or groups; see :class:`Optimizer`.
        lr: learning rate :math:`\eta`.
        betas: :math:`(\beta_1, \beta_2)`.
        eps: :math:`\epsilon`.
        weight_decay: an L2 penalty, added to the gradient.
        momentum_decay: :math:`\psi`, how fast :math:`\mu` rises to :math:`\beta_1`.
        decoupled_weight_decay: decay the weights apart from the gradient, as AdamW does.
        maximize: climb instead of descend.

    The product of the :math:`\mu` is kept in the default dtype, as PyTorch keeps it: in float32
    it rounds alike.

    Reference: Dozat, Incorporating Nesterov momentum into Adam, 2016.
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum_decay": momentum_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(group, "lr", "eps", "weight_decay", "momentum_decay")
        self._fractions(group)

    def numbers(self) -> dict[str, float]:
        return {"mu_product": 1.0}

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        step, psi, beta1 = run.age + 1, group["momentum_decay"], group["betas"][0]
        mu = beta1 * (1 - 0.5 * 0.96 ** (step * psi))
        mu_next = beta1 * (1 - 0.5 * 0.96 ** ((step + 1) * psi))
        kind = np.float64 if get_default_dtype() == np.float64 else np.float32
        product = float(kind(run.numbers["mu_product"]) * kind(mu))
        run.numbers["mu_product"] = product
        kernels.nadam(
            flat.flat[run.part],
            flat.grad[run.part],
            flat.buffer("exp_avg")[run.part],
            flat.buffer("exp_avg_sq")[run.part],
            step,
            mu,
            mu_next,
            product,
            lr=group["lr"],
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )


class RAdam(Optimizer):
    r"""Adam that trusts its running variance only as far as the number of steps allows, which
    does the work of a warm-up.

    While fewer than about five gradients' worth are in the average of squares, a step is
    :math:`\eta\, m / (1 - \beta_1^t)`; then it is Adam's, times a factor that rises to 1
    (:func:`~minigrad.kernels.optim_adaptive.radam_rectification`).

    Args:
        params: tensors or groups; see :class:`Optimizer`.
        lr: learning rate :math:`\eta`.
        betas: :math:`(\beta_1, \beta_2)`.
        eps: :math:`\epsilon`.
        weight_decay: an L2 penalty, added to the gradient.
        decoupled_weight_decay: decay the weights apart from the gradient, as AdamW does.
        maximize: climb instead of descend.

    Reference: Liu et al., On the variance of the adaptive learning rate and beyond, 2020.
    """

    state_names = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "betas": betas,
                "eps": eps,
                "weight_decay": weight_decay,
                "decoupled_weight_decay": decoupled_weight_decay,
                "maximize": maximize,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self._nonnegative(group, "lr", "eps", "weight_decay")
        self._fractions(group)

    def update(self, group: dict[str, Any], flat: FlatParameters, run: Run) -> None:
        kernels.radam(
            flat.flat[run.part],
            flat.grad[run.part],
            flat.buffer("exp_avg")[run.part],
            flat.buffer("exp_avg_sq")[run.part],
            run.age + 1,
            lr=group["lr"],
            betas=group["betas"],
            eps=group["eps"],
            weight_decay=group["weight_decay"],
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )
