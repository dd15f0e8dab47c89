r"""What every file of ops shares. No op lives here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import autograd
from ..autograd import Function
from ..backend import get_array_module, is_array

__all__ = [
    "Function",
    "get_array_module",
    "is_array",
    "is_tensor",
    "normalise_axes",
    "normalise_axis",
    "raw",
    "run",
    "shape_of",
]


def is_tensor(x: Any) -> bool:
    r"""True for a :class:`minigrad.Tensor`."""
    return isinstance(x, autograd._Tensor)


def raw(x: Any) -> Any:
    r"""The array of a tensor; anything else as it is."""
    return x.data if isinstance(x, autograd._Tensor) else x


def shape_of(x: Any) -> tuple[int, ...]:
    r"""The shape of a tensor or array; () for a number."""
    return tuple(getattr(x, "shape", ()))


class _Plain(Function):
    r"""A function without a gradient (comparisons, argmax), run through the same checks."""

    broadcasts = True

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def forward(self, *inputs: Any) -> Any:
        return self.function(*inputs)


def run(function: Callable[..., Any], *inputs: Any) -> Any:
    r"""``function`` on the arrays of ``inputs``, with broadcasting and dtype checks and without a
    gradient; tensors in, tensors out."""
    if not any(isinstance(x, autograd._Tensor) for x in inputs):
        return function(*inputs)
    detached = [x.detach() if isinstance(x, autograd._Tensor) else x for x in inputs]
    return _Plain.apply(*detached, function=function)


def normalise_axis(axis: Any, ndim: int, name: str) -> int:
    r"""``axis`` counted from the front; an error if there is no such axis."""
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(f"{name}: expected an integer axis, got {axis!r}")
    bound = max(ndim, 1)  # a 0-d tensor has, as in PyTorch, the axes 0 and -1
    if not -bound <= axis < bound:
        raise IndexError(f"{name}: axis {axis} is out of range for {ndim} axes")
    return int(axis) % bound


def normalise_axes(axes: int | Sequence[int] | None, ndim: int, name: str) -> tuple[int, ...]:
    r"""Axes as a tuple counted from the front; None means all of them."""
    if axes is None:
        return tuple(range(ndim))
    if isinstance(axes, (int, np.integer)):
        axes = (axes,)
    found = tuple([normalise_axis(a, ndim, name) for a in axes])
    if len(set(found)) != len(found):
        raise ValueError(f"{name}: an axis appears twice in {tuple(axes)}")
    return found if ndim else ()
