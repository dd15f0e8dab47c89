r"""What the files of distributions share: parameters, probabilities and logits, noise.

Belongs here: helpers that no user calls. Does not belong here: any distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from .. import creation, ops
from ..autograd import enable_grad
from ..backend import Generator, default_generator, get_default_dtype, is_array
from ..tensor import Tensor

__all__ = [
    "broadcast_parameters",
    "clamp_probs",
    "expand",
    "exponential_noise",
    "generator_of",
    "lazy_property",
    "logits_to_probs",
    "one_of",
    "probs_to_logits",
    "softplus",
    "sum_rightmost",
    "uniform_noise",
    "xlogy",
]


class lazy_property(cached_property[Tensor]):
    r"""A tensor that is computed when it is first asked for, and recorded even if that happens in
    ``no_grad``: what asks next may want its gradient."""

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        with enable_grad():
            return super().__get__(instance, owner)


def broadcast_parameters(name: str, *values: Any) -> list[Tensor]:
    r"""Numbers, arrays and tensors as floating tensors of one dtype, device and shape.

    Numbers and integers take the dtype of the floating tensors, 0-d tensors that of the others; if
    there is none, the default dtype.
    """
    for v in values:
        if not (isinstance(v, (int, float, Tensor)) or is_array(v)):
            raise TypeError(f"{name}: expected numbers or tensors, got {type(v).__name__}")
    given = [
        v if isinstance(v, Tensor) else Tensor(np.asarray(v) if np.isscalar(v) else v)
        for v in values
        if not isinstance(v, (int, float)) or isinstance(v, np.generic)
    ]
    floats = {t.dtype for t in given if t.dtype.kind == "f" and t.ndim} or {
        t.dtype for t in given if t.dtype.kind == "f"
    }
    if len(floats) > 1:
        names = ", ".join(sorted(str(d) for d in floats))
        raise TypeError(f"{name}: expected parameters of one floating dtype, got {names}")
    dtype = floats.pop() if floats else get_default_dtype()
    devices = {str(t.device): t.device for t in given}
    if len(devices) > 1:
        raise RuntimeError(
            f"{name}: expected parameters on one device, got {', '.join(sorted(devices))}"
        )
    device = next(iter(devices.values()), None)
    tensors = []
    rest = iter(given)
    for v in values:
        if isinstance(v, (int, float)) and not isinstance(v, np.generic):
            tensors.append(creation.full((), v, dtype, device))
        else:
            tensors.append(next(rest).to(dtype))
    shapes = [t.shape for t in tensors]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"{name}: expected parameters whose shapes broadcast, got "
            + " and ".join(str(s) for s in shapes)
        ) from None
    return [expand(t, shape) for t in tensors]


def expand(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    r"""``tensor`` broadcast to ``shape``; itself if it has it."""
    return tensor if tensor.shape == tuple(shape) else ops.broadcast_to(tensor, tuple(shape))


def one_of(name: str, **values: Any) -> str:
    r"""The name of the one argument that was given."""
    given = [k for k, v in values.items() if v is not None]
    if len(given) != 1:
        raise ValueError(
            f"{name}: expected exactly one of {' and '.join(values)}, got "
            + (" and ".join(given) if given else "none")
        )
    return given[0]


def clamp_probs(probs: Tensor) -> Tensor:
    r"""Away from 0 and 1 by the dtype's rounding, as PyTorch does."""
    eps = float(np.finfo(probs.dtype).eps)
    return ops.clamp(probs, eps, 1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    r"""Probabilities to logits: ln p - ln(1 - p), or ln p."""
    p = clamp_probs(probs)
    return ops.log(p) - ops.log1p(-p) if is_binary else ops.log(p)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    r"""Logits to probabilities: a sigmoid, or a softmax over the last axis."""
    return ops.sigmoid(logits) if is_binary else ops.softmax(logits, -1)


def softplus(x: Tensor) -> Tensor:
    r"""ln(1 + e^x) to full precision, for any x."""
    return ops.softplus(x, threshold=math.inf)


def xlogy(x: Any, y: Tensor) -> Tensor:
    r"""x ln y, which is 0 at x = y = 0."""
    zero = ops.logical_and(ops.eq(x, 0), ops.eq(y, 0))
    return x * ops.log(ops.where(zero, 1.0, y))


def sum_rightmost(x: Tensor, ndims: int) -> Tensor:
    r"""The sum over the last ``ndims`` axes."""
    return ops.sum(x, tuple(range(-ndims, 0))) if ndims else x


# ---------------------------------------------------------------------------------------- noise
def generator_of(generator: Generator | None) -> np.random.Generator:
    r"""NumPy's generator behind ours, or behind the default one."""
    return (default_generator() if generator is None else generator).numpy


def uniform_noise(shape: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
    r"""Uniform on [0, 1), in the dtype and on the device of ``like``."""
    return creation.rand(*shape, generator=generator, dtype=like.dtype, device=like.device)


def exponential_noise(shape: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
    r"""Standard exponential and above 0, in the dtype and on the device of ``like``."""
    noise = np.asarray(generator_of(generator).standard_exponential(tuple(shape)))
    tiny = np.finfo(like.dtype).tiny
    return creation.tensor(
        np.maximum(noise, tiny).astype(like.dtype, copy=False), device=like.device
    )
