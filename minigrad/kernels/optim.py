r"""The arithmetic of one optimiser step, on flat arrays.

Belongs here: for each optimiser a fused step, which changes its arrays in place, and the textbook
formula beside it (``*_reference``), which allocates what it likes and is there to be read and to
be compared with. Does not belong here: parameters, gradients and hyperparameter groups
(``optim/``), which know what the arrays mean.

Every array of a call is one-dimensional, contiguous, of one length, dtype and device. On the CPU
a fused step works in blocks that stay in the cache, with ``out=`` everywhere and scratch memory
that is kept, so that nothing is allocated. On other devices the block is the whole array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import get_array_module
from .parallel import num_threads, parallel_for
from .workspace import scratch

__all__ = [
    "adam",
    "adam_reference",
    "rmsprop",
    "rmsprop_reference",
    "sgd",
    "sgd_reference",
]

# Elements of a block. With the scratch memory it is 1.5 MiB of float32, which caches hold.
BLOCK = 1 << 16
# From here on, waking the other cores pays. Their blocks are larger, because between one NumPy call
# and the next the threads wait for each other's interpreter lock.
PARALLEL, PARALLEL_BLOCK = 3 << 17, 1 << 18


def _in_blocks(xp: Any, step: Callable[..., None], *arrays: Any) -> None:
    r"""Call ``step`` on blocks of the arrays, followed by two blocks of uninitialised memory. An
    array that is None stays None. Many blocks are shared out among the cores."""
    n, dtype = arrays[0].size, arrays[0].dtype
    if xp is not np:
        step(*arrays, xp.empty(n, dtype), xp.empty(n, dtype))
        return
    if n <= BLOCK:
        step(*arrays, scratch("optim0", (n,), dtype), scratch("optim1", (n,), dtype))
        return

    def block(start: int, stop: int) -> None:
        cut = [None if a is None else a[start:stop] for a in arrays]
        size = (stop - start,)
        step(*cut, scratch("optim0", size, dtype), scratch("optim1", size, dtype))

    if n >= PARALLEL:
        # An element's result does not depend on its block, so the blocks may depend on the threads.
        threads = num_threads()
        blocks = threads * -(-n // (threads * PARALLEL_BLOCK))
        parallel_for(block, n, grain=-(-n // blocks))
        return
    for start in range(0, n, BLOCK):
        block(start, min(start + BLOCK, n))


def _scalars(xp: Any, dtype: np.dtype, *values: float) -> tuple[Any, ...]:
    r"""The numbers in the form that the array module takes fastest: a 0-d array saves NumPy half
    a microsecond a call against a Python float."""
    if xp is np:
        return tuple([np.array(value, dtype) for value in values])
    return values


def _direction(xp: Any, p: Any, g: Any, weight_decay: float, maximize: bool, out: Any) -> Any:
    r"""``(-g if maximize else g) + weight_decay p``; ``g`` itself if that is all."""
    if weight_decay:
        xp.multiply(p, weight_decay, out=out)
        return (xp.subtract if maximize else xp.add)(out, g, out=out)
    return xp.negative(g, out=out) if maximize else g


# --------------------------------------------------------------------------------------- SGD
def sgd_reference(
    param: Any,
    grad: Any,
    buffer: Any | None,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> tuple[Any, Any]:
    r"""One step of stochastic gradient descent, as in the book; returns ``(param, buffer)``.

    .. math::
        g &\leftarrow \pm g + \lambda \theta \\
        b &\leftarrow \mu b + (1 - \tau) g \quad\text{(first step: } b = g\text{)} \\
        g &\leftarrow g + \mu b \text{ with Nesterov, } b \text{ without} \\
        \theta &\leftarrow \theta - \eta g
    """
    grad = (-grad if maximize else grad) + weight_decay * param
    if momentum:
        buffer = grad if buffer is None else momentum * buffer + (1 - dampening) * grad
        grad = grad + momentum * buffer if nesterov else buffer
    return param - lr * grad, buffer


def sgd(
    param: Any,
    grad: Any,
    buffer: Any | None,
    first: bool,
    *,
    lr: float,
    momentum: float = 0.0,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    nesterov: bool = False,
    maximize: bool = False,
) -> None:
    r"""The step of :func:`sgd_reference`, in place. ``buffer`` is None without momentum; on the
    ``first`` step it is filled, whatever it holds."""
    xp = get_array_module(param)
    mul, add = xp.multiply, xp.add
    eta, mu, fresh = _scalars(xp, param.dtype, lr, momentum, 1 - dampening)

    def step(p: Any, g: Any, b: Any, t: Any, d: Any) -> None:
        g = _direction(xp, p, g, weight_decay, maximize, d)
        if momentum:
            if first:
                b[...] = g
            else:
                mul(b, mu, out=b)
                add(b, mul(g, fresh, out=t) if dampening else g, out=b)
            if nesterov:
                mul(b, mu, out=t)
                g = add(t, g, out=t)
            else:
                g = b
        mul(g, eta, out=t)
        xp.subtract(p, t, out=p)

    _in_blocks(xp, step, param, grad, buffer)


# ------------------------------------------------------------------------------------ RMSprop
def rmsprop_reference(
    param: Any,
    grad: Any,
    square_avg: Any,
    grad_avg: Any,
    buffer: Any,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
) -> tuple[Any, Any, Any, Any]:
    r"""One step of RMSprop, as in the book; returns ``(param, square_avg, grad_avg, buffer)``.

    .. math::
        g &\leftarrow \pm g + \lambda \theta, \qquad v \leftarrow \alpha v + (1 - \alpha) g^2 \\
        \bar g &\leftarrow \alpha \bar g + (1 - \alpha) g, \quad
        \sigma = \sqrt{v - \bar g^2} \text{ if centered, } \sqrt{v} \text{ if not} \\
        b &\leftarrow \mu b + g / (\sigma + \epsilon), \qquad \theta \leftarrow \theta - \eta b
    """
    xp = get_array_module(param)
    grad = (-grad if maximize else grad) + weight_decay * param
    square_avg = alpha * square_avg + (1 - alpha) * grad * grad
    variance = square_avg
    if centered:
        grad_avg = alpha * grad_avg + (1 - alpha) * grad
        variance = xp.maximum(square_avg - grad_avg * grad_avg, 0)
    update = grad / (xp.sqrt(variance) + eps)
    if momentum:
        update = buffer = momentum * buffer + update
    return param - lr * update, square_avg, grad_avg, buffer


def rmsprop(
    param: Any,
    grad: Any,
    square_avg: Any,
    grad_avg: Any,
    buffer: Any,
    *,
    lr: float,
    alpha: float = 0.99,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    momentum: float = 0.0,
    centered: bool = False,
    maximize: bool = False,
) -> None:
    r"""The step of :func:`rmsprop_reference`, in place. ``grad_avg`` is None unless centered,
    ``buffer`` is None without momentum."""
    xp = get_array_module(param)
    mul, add, sub = xp.multiply, xp.add, xp.subtract
    eta, keep, fresh, small, mu = _scalars(xp, param.dtype, lr, alpha, 1 - alpha, eps, momentum)

    def step(p: Any, g: Any, v: Any, m: Any, b: Any, t: Any, d: Any) -> None:
        g = _direction(xp, p, g, weight_decay, maximize, d)
        mul(v, keep, out=v)
        mul(g, g, out=t)
        mul(t, fresh, out=t)
        add(v, t, out=v)
        if centered:
            mul(m, keep, out=m)
            mul(g, fresh, out=t)
            add(m, t, out=m)
            mul(m, m, out=t)
            sub(v, t, out=t)
            xp.maximum(t, 0, out=t)  # rounding may leave it just below zero
            xp.sqrt(t, out=t)
        else:
            xp.sqrt(v, out=t)
        add(t, small, out=t)
        xp.divide(g, t, out=t)
        if momentum:
            mul(b, mu, out=b)
            add(b, t, out=b)
            mul(b, eta, out=t)
        else:
            mul(t, eta, out=t)
        sub(p, t, out=p)

    _in_blocks(xp, step, param, grad, square_avg, grad_avg, buffer)


# --------------------------------------------------------------------------------------- Adam
def adam_reference(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    max_exp_avg_sq: Any | None,
    step: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> tuple[Any, Any, Any, Any]:
    r"""Step number ``step`` = 1, 2, ... of Adam, as in the book; returns ``(param, exp_avg,
    exp_avg_sq, max_exp_avg_sq)``. With ``max_exp_avg_sq`` it is AMSGrad, and ``decoupled`` weight
    decay makes it AdamW.

    .. math::
        g &\leftarrow \pm g + \lambda \theta \quad
        \text{(decoupled: } \theta \leftarrow \theta - \eta \lambda \theta \text{ instead)} \\
        m &\leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2 \\
        \theta &\leftarrow \theta - \eta\, \frac{m / (1 - \beta_1^t)}
        {\sqrt{v / (1 - \beta_2^t)} + \epsilon}
        \quad\text{(AMSGrad: the largest } v \text{ so far)}
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
    largest = exp_avg_sq
    if max_exp_avg_sq is not None:
        largest = max_exp_avg_sq = xp.maximum(max_exp_avg_sq, exp_avg_sq)
    update = (exp_avg / (1 - beta1**step)) / (xp.sqrt(largest / (1 - beta2**step)) + eps)
    return param - lr * update, exp_avg, exp_avg_sq, max_exp_avg_sq


def adam(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    max_exp_avg_sq: Any | None,
    step: int,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decoupled: bool = False,
    maximize: bool = False,
) -> None:
    r"""The step of :func:`adam_reference`, in place.

    Both bias corrections are folded into two numbers, which saves a pass over the array each:
    :math:`\eta' = \eta \sqrt{1 - \beta_2^t} / (1 - \beta_1^t)` and
    :math:`\epsilon' = \epsilon \sqrt{1 - \beta_2^t}` give
    :math:`\theta \leftarrow \theta - \eta' m / (\sqrt v + \epsilon')`.
    """
    xp = get_array_module(param)
    mul, add = xp.multiply, xp.add
    beta1, beta2 = betas
    correction = (1 - beta2**step) ** 0.5
    keep1, fresh1, keep2, fresh2, small, eta = _scalars(
        xp,
        param.dtype,
        beta1,
        1 - beta1,
        beta2,
        1 - beta2,
        eps * correction,
        lr * correction / (1 - beta1**step),
    )
    shrink = 1 - lr * weight_decay if decoupled else 1.0
    if decoupled:
        weight_decay = 0.0

    def update(p: Any, g: Any, m: Any, v: Any, largest: Any, t: Any, d: Any) -> None:
        if shrink != 1.0:
            mul(p, shrink, out=p)
        g = _direction(xp, p, g, weight_decay, maximize, d)
        mul(m, keep1, out=m)
        mul(g, fresh1, out=t)
        add(m, t, out=m)
        mul(v, keep2, out=v)
        mul(g, g, out=t)
        mul(t, fresh2, out=t)
        add(v, t, out=v)
        if largest is not None:
            v = xp.maximum(largest, v, out=largest)
        xp.sqrt(v, out=t)
        add(t, small, out=t)
        xp.divide(m, t, out=t)
        mul(t, eta, out=t)
        xp.subtract(p, t, out=p)

    _in_blocks(xp, update, param, grad, exp_avg, exp_avg_sq, max_exp_avg_sq)
