r"""The arithmetic of a step of the less usual adaptive optimisers, on flat arrays.

Belongs here: Adagrad, Adadelta, Adamax, NAdam and RAdam, each as a fused step in place with the
textbook formula beside it (``*_reference``). Does not belong here: SGD, RMSprop and Adam, and how
a step is cut into blocks (``optim.py``, whose conventions hold here too).
"""

from __future__ import annotations

from typing import Any

from ..backend import get_array_module
from .optim import _direction, _in_blocks, _scalars

__all__ = [
    "adadelta",
    "adadelta_reference",
    "adagrad",
    "adagrad_reference",
    "adamax",
    "adamax_reference",
    "nadam",
    "nadam_reference",
    "radam",
    "radam_reference",
    "radam_rectification",
]


# ------------------------------------------------------------------------------------ Adagrad
def adagrad_reference(
    param: Any,
    grad: Any,
    total: Any,
    step: int,
    *,
    lr: float,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[Any, Any]:
    r"""Step number ``step`` = 1, 2, ... of Adagrad, as in the book; returns ``(param, total)``.

    .. math::
        g &\leftarrow \pm g + \lambda \theta, \qquad s \leftarrow s + g^2 \\
        \theta &\leftarrow \theta - \frac{\eta}{1 + (t - 1) \kappa}\, \frac{g}{\sqrt s + \epsilon}
    """
    xp = get_array_module(param)
    grad = (-grad if maximize else grad) + weight_decay * param
    total = total + grad * grad
    return param - lr / (1 + (step - 1) * lr_decay) * grad / (xp.sqrt(total) + eps), total


def adagrad(
    param: Any,
    grad: Any,
    total: Any,
    step: int,
    *,
    lr: float,
    lr_decay: float = 0.0,
    eps: float = 1e-10,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None:
    r"""The step of :func:`adagrad_reference`, in place."""
    xp = get_array_module(param)
    mul, add = xp.multiply, xp.add
    eta, small = _scalars(xp, param.dtype, lr / (1 + (step - 1) * lr_decay), eps)

    def update(p: Any, g: Any, s: Any, t: Any, d: Any) -> None:
        g = _direction(xp, p, g, weight_decay, maximize, d)
        add(s, mul(g, g, out=t), out=s)
        add(xp.sqrt(s, out=t), small, out=t)
        xp.divide(g, t, out=t)
        xp.subtract(p, mul(t, eta, out=t), out=p)

    _in_blocks(xp, update, param, grad, total)


# ----------------------------------------------------------------------------------- Adadelta
def adadelta_reference(
    param: Any,
    grad: Any,
    square_avg: Any,
    acc_delta: Any,
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[Any, Any, Any]:
    r"""One step of Adadelta, as in the book; returns ``(param, square_avg, acc_delta)``.

    .. math::
        g &\leftarrow \pm g + \lambda \theta, \qquad v \leftarrow \rho v + (1 - \rho) g^2 \\
        \Delta &= g \sqrt{u + \epsilon} / \sqrt{v + \epsilon}, \qquad
        u \leftarrow \rho u + (1 - \rho) \Delta^2, \qquad \theta \leftarrow \theta - \eta \Delta
    """
    xp = get_array_module(param)
    grad = (-grad if maximize else grad) + weight_decay * param
    square_avg = rho * square_avg + (1 - rho) * grad * grad
    delta = xp.sqrt(acc_delta + eps) / xp.sqrt(square_avg + eps) * grad
    acc_delta = rho * acc_delta + (1 - rho) * delta * delta
    return param - lr * delta, square_avg, acc_delta


def adadelta(
    param: Any,
    grad: Any,
    square_avg: Any,
    acc_delta: Any,
    *,
    lr: float = 1.0,
    rho: float = 0.9,
    eps: float = 1e-6,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None:
    r"""The step of :func:`adadelta_reference`, in place."""
    xp = get_array_module(param)
    mul, add = xp.multiply, xp.add
    eta, keep, fresh, small = _scalars(xp, param.dtype, lr, rho, 1 - rho, eps)

    def update(p: Any, g: Any, v: Any, u: Any, t: Any, d: Any) -> None:
        g = _direction(xp, p, g, weight_decay, maximize, d)
        mul(v, keep, out=v)
        mul(g, g, out=t)
        add(v, mul(t, fresh, out=t), out=v)
        xp.sqrt(add(v, small, out=t), out=t)
        xp.divide(g, t, out=d)
        xp.sqrt(add(u, small, out=t), out=t)
        mul(d, t, out=d)  # the change, before the learning rate
        mul(u, keep, out=u)
        mul(d, d, out=t)
        add(u, mul(t, fresh, out=t), out=u)
        xp.subtract(p, mul(d, eta, out=d), out=p)

    _in_blocks(xp, update, param, grad, square_avg, acc_delta)


# ------------------------------------------------------------------------------------- Adamax
def adamax_reference(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_inf: Any,
    step: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> tuple[Any, Any, Any]:
    r"""Step number ``step`` = 1, 2, ... of Adamax, as in the book; returns ``(param, exp_avg,
    exp_inf)``.

    .. math::
        g &\leftarrow \pm g + \lambda \theta, \qquad m \leftarrow \beta_1 m + (1 - \beta_1) g \\
        u &\leftarrow \max(\beta_2 u, |g| + \epsilon), \qquad
        \theta \leftarrow \theta - \frac{\eta}{1 - \beta_1^t}\, \frac m u
    """
    xp = get_array_module(param)
    beta1, beta2 = betas
    grad = (-grad if maximize else grad) + weight_decay * param
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_inf = xp.maximum(beta2 * exp_inf, abs(grad) + eps)
    return param - lr / (1 - beta1**step) * exp_avg / exp_inf, exp_avg, exp_inf


def adamax(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_inf: Any,
    step: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    maximize: bool = False,
) -> None:
    r"""The step of :func:`adamax_reference`, in place."""
    xp = get_array_module(param)
    mul, add = xp.multiply, xp.add
    beta1, beta2 = betas
    keep1, fresh1, keep2, small, eta = _scalars(
        xp, param.dtype, beta1, 1 - beta1, beta2, eps, lr / (1 - beta1**step)
    )

    def update(p: Any, g: Any, m: Any, u: Any, t: Any, d: Any) -> None:
        g = _direction(xp, p, g, weight_decay, maximize, d)
        mul(m, keep1, out=m)
        add(m, mul(g, fresh1, out=t), out=m)
        mul(u, keep2, out=u)
        add(xp.abs(g, out=t), small, out=t)
        xp.maximum(u, t, out=u)
        xp.divide(m, u, out=t)
        xp.subtract(p, mul(t, eta, out=t), out=p)

    _in_blocks(xp, update, param, grad, exp_avg, exp_inf)


# -------------------------------------------------------------------------------------- NAdam
def nadam_reference(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    step: int,
    mu: float,
    mu_next: float,
    mu_product: float,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> tuple[Any, Any, Any]:
    r"""Step number ``step`` = t = 1, 2, ... of NAdam, as in the book; returns ``(param, exp_avg,
    exp_avg_sq)``. ``mu`` is :math:`\mu_t`, ``mu_next`` is :math:`\mu_{t+1}`, and ``mu_product`` is
    :math:`\prod_{i \le t} \mu_i`.

    .. math::
        g &\leftarrow \pm g + \lambda \theta \quad
        \text{(decoupled: } \theta \leftarrow \theta - \eta \lambda \theta \text{ instead)} \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        \hat m &= \frac{\mu_{t+1} m}{1 - \prod_{i \le t+1} \mu_i} +
        \frac{(1 - \mu_t) g}{1 - \prod_{i \le t} \mu_i}, \qquad
        \theta \leftarrow \theta - \eta\, \frac{\hat m}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}
    """
    xp = get_array_module(param)
    beta1, beta2 = betas
    grad = -grad if maximize else grad
    if decoupled:
        param = param - lr * weight_decay * param
    else:
        grad = grad + weight_decay * param
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    ahead = mu_next * exp_avg / (1 - mu_product * mu_next) + (1 - mu) * grad / (1 - mu_product)
    spread = xp.sqrt(exp_avg_sq / (1 - beta2**step)) + eps
    return param - lr * ahead / spread, exp_avg, exp_avg_sq


def nadam(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    step: int,
    mu: float,
    mu_next: float,
    mu_product: float,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    r"""The step of :func:`nadam_reference`, in place. The correction of ``v`` is folded into
    ``eps`` and the two factors of the numerator, as in :func:`~minigrad.kernels.optim.adam`."""
    xp = get_array_module(param)
    mul, add = xp.multiply, xp.add
    beta1, beta2 = betas
    correction = (1 - beta2**step) ** 0.5
    keep1, fresh1, keep2, fresh2, small, of_m, of_g = _scalars(
        xp,
        param.dtype,
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        eps * correction,
        lr * correction * mu_next / (1 - mu_product * mu_next),
        lr * correction * (1 - mu) / (1 - mu_product),
    )
    shrink = 1 - lr * weight_decay if decoupled else 1.0
    decay = 0.0 if decoupled else weight_decay

    def update(p: Any, g: Any, m: Any, v: Any, t: Any, d: Any) -> None:
        if shrink != 1.0:
            mul(p, shrink, out=p)
        g = _direction(xp, p, g, decay, maximize, d)
        mul(m, keep1, out=m)
        add(m, mul(g, fresh1, out=t), out=m)
        mul(v, keep2, out=v)
        mul(g, g, out=t)
        add(v, mul(t, fresh2, out=t), out=v)
        mul(g, of_g, out=t)
        add(t, mul(m, of_m, out=d), out=t)  # g may have been in d
        add(xp.sqrt(v, out=d), small, out=d)
        xp.subtract(p, xp.divide(t, d, out=t), out=p)

    _in_blocks(xp, update, param, grad, exp_avg, exp_avg_sq)


# -------------------------------------------------------------------------------------- RAdam
def radam_rectification(step: int, beta2: float) -> float | None:
    r"""The factor by which RAdam shortens step number ``step``; None where the variance of
    ``v`` is not tractable yet and the step does without ``v``.

    .. math::
        \rho_\infty = \frac 2 {1 - \beta_2} - 1, \qquad
        \rho_t = \rho_\infty - \frac{2 t \beta_2^t}{1 - \beta_2^t}, \qquad
        r_t = \sqrt{\frac{(\rho_t - 4)(\rho_t - 2) \rho_\infty}
        {(\rho_\infty - 4)(\rho_\infty - 2) \rho_t}} \quad (\rho_t > 5)
    """
    longest = 2 / (1 - beta2) - 1
    length = longest - 2 * step * beta2**step / (1 - beta2**step)
    if length <= 5:
        return None
    return ((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) ** 0.5


def radam_reference(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    step: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> tuple[Any, Any, Any]:
    r"""Step number ``step`` = t = 1, 2, ... of RAdam, as in the book; returns ``(param, exp_avg,
    exp_avg_sq)``. For :math:`r_t` see :func:`radam_rectification`.

    .. math::
        g &\leftarrow \pm g + \lambda \theta \quad
        \text{(decoupled: } \theta \leftarrow \theta - \eta \lambda \theta \text{ instead)} \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad \hat m = m / (1 - \beta_1^t) \\
        \theta &\leftarrow \theta - \eta\, r_t \hat m \frac{\sqrt{1 - \beta_2^t}}
        {\sqrt v + \epsilon} \quad\text{or, without } r_t, \quad \theta - \eta\, \hat m
    """
    xp = get_array_module(param)
    beta1, beta2 = betas
    grad = -grad if maximize else grad
    if decoupled:
        param = param - lr * weight_decay * param
    else:
        grad = grad + weight_decay * param
    exp_avg = beta1 * exp_avg + (1 - beta1) * grad
    exp_avg_sq = beta2 * exp_avg_sq + (1 - beta2) * grad * grad
    update = exp_avg / (1 - beta1**step)
    rectification = radam_rectification(step, beta2)
    if rectification is not None:
        update = update * rectification * (1 - beta2**step) ** 0.5 / (xp.sqrt(exp_avg_sq) + eps)
    return param - lr * update, exp_avg, exp_avg_sq


def radam(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    step: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    r"""The step of :func:`radam_reference`, in place."""
    xp = get_array_module(param)
    mul, add = xp.multiply, xp.add
    beta1, beta2 = betas
    rectification = radam_rectification(step, beta2)
    rate = lr / (1 - beta1**step)
    if rectification is not None:
        rate *= rectification * (1 - beta2**step) ** 0.5
    keep1, fresh1, keep2, fresh2, small, eta = _scalars(
        xp, param.dtype, beta1, 1 - beta1, beta2, 1 - beta2, eps, rate
    )
    shrink = 1 - lr * weight_decay if decoupled else 1.0
    decay = 0.0 if decoupled else weight_decay

    def update(p: Any, g: Any, m: Any, v: Any, t: Any, d: Any) -> None:
        if shrink != 1.0:
            mul(p, shrink, out=p)
        g = _direction(xp, p, g, decay, maximize, d)
        mul(m, keep1, out=m)
        add(m, mul(g, fresh1, out=t), out=m)
        mul(v, keep2, out=v)
        mul(g, g, out=t)
        add(v, mul(t, fresh2, out=t), out=v)
        if rectification is None:
            mul(m, eta, out=t)
        else:
            add(xp.sqrt(v, out=t), small, out=t)
            xp.divide(m, t, out=t)
            mul(t, eta, out=t)
        xp.subtract(p, t, out=p)

    _in_blocks(xp, update, param, grad, exp_avg, exp_avg_sq)
