r"""Operations on a whole network: clipping it or its gradients, one vector of everything, standing
still.

Does not belong here: optimisers (``optim/``).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from typing import Any

from .. import ops
from ..backend import get_array_module
from ..tensor import Tensor
from .module import Module

__all__ = [
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_parameters_",
    "frozen",
    "parameters_to_vector",
    "vector_to_parameters",
]


def _gradients(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else parameters
    return [p.grad for p in parameters if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    r"""Scale all gradients, in place, so that the norm of all of them together is at most
    ``max_norm``.

    .. math:: g \leftarrow g \min(1, \text{max\_norm} / (\lVert g \rVert + 10^{-6}))

    Args:
        parameters: a tensor or several; those without a gradient do not count.
        max_norm: the bound.
        norm_type: p of the p-norm; ``float("inf")`` for the largest magnitude.
        error_if_nonfinite: raise if the norm is infinite or NaN. This waits for the device.

    Returns:
        The norm before clipping, a 0-d tensor. On a GPU nothing waits for it.

    Raises:
        ValueError: ``max_norm`` is negative, ``norm_type`` is not positive.
        RuntimeError: the norm is not finite and ``error_if_nonfinite``; nothing is changed.
    """
    norm_type, max_norm = float(norm_type), float(max_norm)
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_: expected max_norm >= 0, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_: expected norm_type > 0, got {norm_type}")
    gradients = _gradients(parameters)
    if not gradients:
        return Tensor(0.0)
    xp = get_array_module(gradients[0].data)
    total: Any = None
    for g in gradients:
        flat = g.data.reshape(-1)
        if norm_type == 2.0:
            part = xp.dot(flat, flat)
        elif norm_type == math.inf:
            part = xp.abs(flat).max() if flat.size else xp.zeros((), flat.dtype)
        else:
            part = (xp.abs(flat) ** norm_type).sum()
        if total is None:
            total = part
        else:
            total = xp.maximum(total, part) if norm_type == math.inf else total + part
    if norm_type == 2.0:
        total = xp.sqrt(total)
    elif norm_type != math.inf:
        total = total ** (1.0 / norm_type)
    norm = Tensor(xp.asarray(total))
    if error_if_nonfinite and not math.isfinite(norm.item()):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {norm.item()}")
    scale = xp.minimum(max_norm / (total + 1e-6), 1.0)
    for g in gradients:
        g.data *= scale.astype(g.dtype)
        g._version[0] += 1
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    r"""Limit every element of the gradients, in place, to [-clip_value, clip_value]."""
    clip_value = float(clip_value)
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_: expected clip_value >= 0, got {clip_value}")
    for g in _gradients(parameters):
        get_array_module(g.data).clip(g.data, -clip_value, clip_value, out=g.data)
        g._version[0] += 1


def clip_parameters_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    r"""Limit every element of the parameters themselves, in place, to [-clip_value, clip_value].

    Give it ``module.parameters()``: buffers, batch norm's running statistics among them, are no
    weights, and a variance that is cut to 0.01 ruins what it normalises.

    >>> from minigrad import nn
    >>> layer = nn.Linear(2, 3)
    >>> clip_parameters_(layer.parameters(), 0.01)
    >>> abs(layer.weight).max().item() <= 0.0101, abs(layer.bias).max().item() <= 0.0101
    (True, True)
    """
    clip_value = float(clip_value)
    if not clip_value >= 0:
        raise ValueError(f"clip_parameters_: expected clip_value >= 0, got {clip_value}")
    for p in [parameters] if isinstance(parameters, Tensor) else parameters:
        get_array_module(p.data).clip(p.data, -clip_value, clip_value, out=p.data)
        p._version[0] += 1


@contextlib.contextmanager
def frozen(module: Module) -> Iterator[None]:
    r"""Use ``module`` without changing it: inside, its parameters collect no gradients, though
    gradients pass through it to its inputs, and afterwards its buffers (the running statistics of
    batch norm) are what they were. What each mode does is untouched: in training mode batch norm
    still normalises with the batch.

    Where two networks play against each other, each learns with the other one frozen.

    >>> import minigrad as mg
    >>> from minigrad import nn
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    >>> x = mg.randn(4, 2, requires_grad=True)
    >>> with frozen(model):
    ...     loss = (model(x) ** 3).sum()
    >>> loss.backward()
    >>> x.grad is None, model[0].weight.grad is None, model[1].running_mean.tolist()
    (False, True, [0.0, 0.0, 0.0])
    """
    learning = [p for p in module.parameters() if p.requires_grad]
    kept = [(b, b._version[0], b.data.copy()) for b in module.buffers()]
    for p in learning:
        p.requires_grad = False
    try:
        yield
    finally:
        for p in learning:
            p.requires_grad = True
        for buffer, version, values in kept:
            if buffer._version[0] != version:
                buffer.data[...] = values
                buffer._version[0] += 1


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    r"""All parameters, one after the other, as a vector. Gradients flow through it."""
    return ops.cat([ops.reshape(p, (-1,)) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    r"""Copy the pieces of ``vec`` into the parameters: undoes :func:`parameters_to_vector`.

    Raises:
        ValueError: ``vec`` is not a vector of exactly as many elements; nothing is changed.
    """
    targets = list(parameters)
    count = sum(p.data.size for p in targets)
    if vec.shape != (count,):
        raise ValueError(f"vector_to_parameters: expected shape ({count},), got {vec.shape}")
    start = 0
    for p in targets:
        stop = start + p.data.size
        p.data[...] = vec.data[start:stop].reshape(p.shape)
        p._version[0] += 1
        start = stop
