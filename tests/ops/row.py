r"""What a row of the op table is, and how its inputs are drawn.

Belongs here: :class:`Row`, :class:`Case` and :class:`Draw`. The rows stand in ``table_*.py``, the
tests that are derived from them in ``test_table.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backend import device_of, to_device
from minigrad.testing import strategies as mst


@dataclasses.dataclass
class Case:
    r"""One call: arrays (float64, integer or boolean), and keyword arguments."""

    arrays: tuple[np.ndarray | None, ...]
    params: dict[str, Any] = dataclasses.field(default_factory=dict)


class Draw:
    r"""What a row's inputs are made with: even choices and values from one drawn seed."""

    def __init__(self, data: st.DataObject) -> None:
        self.rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
        self.choices = mst.Choices(self.rng)
        self.of, self.int, self.bool = self.choices.of, self.choices.integer, self.choices.boolean
        self.axis, self.axes = self.choices.axis, self.choices.axes
        self.broadcast = self.choices.broadcastable_shapes

    def shape(self, low: int = 0, high: int = 3, min_side: int = 0) -> tuple[int, ...]:
        return self.choices.shape(low, high, min_side)

    def floats(self, shape: Sequence[int], low: float = -2.0, high: float = 2.0, away: Any = ()):
        return mst.values(self.rng, shape, low, high, away)

    def distinct(self, shape: Sequence[int]) -> np.ndarray:
        return mst.distinct_values(self.rng, shape)

    def ints(self, shape: Sequence[int], low: int, high: int) -> np.ndarray:
        r"""Integers from ``low`` to ``high``, both included."""
        return np.asarray(self.rng.integers(low, high + 1, tuple(shape)))

    def bools(self, shape: Sequence[int]) -> np.ndarray:
        return np.asarray(self.rng.random(tuple(shape)) < 0.5)


@dataclasses.dataclass(frozen=True)
class Row:
    r"""One op.

    Attributes:
        name: what the test is called; by default also the public name it covers.
        fn: the op, called with tensors or arrays and keyword arguments.
        reference: the same mathematics on NumPy arrays, by other means.
        draw: makes a :class:`Case`.
        order: the highest derivative to check; 0 if the op has no gradient.
        covers: public names that the row stands for.
        rtol: how exact float32 is, relative to the largest value.
    """

    name: str
    fn: Callable[..., Any]
    reference: Callable[..., Any]
    draw: Callable[[Draw], Case]
    order: int = 2
    covers: tuple[str, ...] = ()
    rtol: float = 2e-6

    def __post_init__(self) -> None:
        object.__setattr__(self, "covers", self.covers or (self.name,))


def like(array: np.ndarray, x: Any) -> Any:
    r"""A host array as what ``x`` is, tensor or array, on its device and with its dtype."""
    data = x.data if isinstance(x, mg.Tensor) else x
    array = to_device(array.astype(data.dtype), device_of(data))
    return mg.Tensor(array) if isinstance(x, mg.Tensor) else array


def unary(low: float = -2.0, high: float = 2.0, away: Sequence[float] = (), **params: Any) -> Any:
    r"""One array of any shape; every parameter is a tuple of choices."""

    def draw(d: Draw) -> Case:
        x = d.floats(d.shape(), low, high, away)
        return Case((x,), {k: d.of(*v) for k, v in params.items()})

    return draw


def binary(draw_x: Any = None, draw_y: Any = None, **params: Any) -> Any:
    r"""Two arrays whose shapes broadcast."""

    def draw(d: Draw) -> Case:
        a, b = d.broadcast()
        x = (draw_x or Draw.floats)(d, a)
        y = (draw_y or Draw.floats)(d, b)
        return Case((x, y), {k: d.of(*v) for k, v in params.items()})

    return draw
