r"""Borders: constant, reflected, replicated, circular.

Belongs here: ``pad``. Its result is a copy of the input's entries, so that the gradient adds up
what came of each.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..kernels import resample as kernels
from ..kernels.resample import Taps
from ._base import Function, get_array_module, shape_of
from .resample import Resample

__all__ = ["pad"]


class Pad(Function):
    r"""A constant border, ``widths[i] = (before, after)``;  x̄ = ȳ without the border."""

    def __init__(self, widths: tuple[tuple[int, int], ...], value: float) -> None:
        self.widths, self.value = widths, value

    def forward(self, x):
        xp = get_array_module(x)
        shape = [n + a + b for n, (a, b) in zip(x.shape, self.widths)]
        y = xp.full(shape, self.value, x.dtype)
        y[_inner(self.widths, x.shape)] = x
        self.shape = x.shape
        return y

    def backward(self, g):
        return g[_inner(self.widths, self.shape)]


def _inner(widths: Sequence[tuple[int, int]], shape: Sequence[int]) -> tuple[slice, ...]:
    return tuple([slice(a, a + n) for (a, _), n in zip(widths, shape)])


@functools.lru_cache(maxsize=256)
def _tables(n: int, before: int, after: int, mode: str) -> tuple[Taps, Taps]:
    r"""Which entry of n each entry of n + before + after is a copy of, and the adjoint."""
    index = np.arange(-before, n + after)
    if mode == "replicate":
        index = np.clip(index, 0, n - 1)
    elif mode == "reflect":
        index = (n - 1) - np.abs((n - 1) - np.abs(index))
    else:  # what is cut off does not come round again
        start = max(-before, 0)
        index = start + (index - start) % max(n - start - max(-after, 0), 1)
    taps = Taps(index[None], np.ones((1, len(index))))
    return taps, kernels.transposed(taps, n)


def pad(input: Any, pad: Sequence[int], mode: str = "constant", value: float = 0.0) -> Any:
    r"""A border around the last axes: ``pad = (before_last, after_last, before_second_last, ...)``.
    A negative width cuts off.

    Args:
        mode: "constant" (``value``); "reflect", which does not repeat the edge's own entry;
            "replicate", which repeats it alone; "circular", where the far end follows.

    Raises:
        ValueError: a border wider than the mode has entries for, or nothing left.

    >>> import minigrad as mg
    >>> mg.pad(mg.ones(1, 2), (1, 0))
    tensor([[0., 1., 1.]])
    """
    shape = shape_of(input)
    if len(pad) % 2 or len(pad) // 2 > len(shape):
        raise ValueError(f"pad: expected pairs of widths for at most {len(shape)} axes, got {pad}")
    widths = [(0, 0)] * len(shape)
    for i in range(len(pad) // 2):
        widths[-1 - i] = (int(pad[2 * i]), int(pad[2 * i + 1]))
    if any(n + a + b < 0 for n, (a, b) in zip(shape, widths)):
        raise ValueError(f"pad: widths {tuple(pad)} cut off more than shape {shape} has")
    if mode == "constant":
        cut = tuple([slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(shape, widths)])
        if any(a < 0 or b < 0 for a, b in widths):
            input = input[cut]
        positive = tuple([(max(a, 0), max(b, 0)) for a, b in widths])
        return Pad.apply(input, widths=positive, value=value)
    if mode not in ("reflect", "replicate", "circular"):
        raise ValueError(f"pad: expected constant, reflect, replicate or circular, got {mode!r}")
    for axis, (a, b) in enumerate(widths):
        if not a and not b:
            continue
        n = shape[axis]
        rest = n + min(a, 0) + min(b, 0)  # what comes round has not been cut off
        widest = {"reflect": n - 1, "circular": rest}.get(mode, max(a, b))
        if not n or a > widest or b > widest or -a >= n or -b >= n or not n + a + b:
            raise ValueError(f"pad: {mode} widths {(a, b)} do not fit an axis of length {n}")
        taps, adjoint = _tables(n, a, b, mode)
        input = Resample.apply(input, axis=axis, taps=taps, adjoint=adjoint)
    return input
