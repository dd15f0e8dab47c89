r"""Where parameters and values of distributions may lie.

Belongs here: :class:`Constraint`, the constraints under PyTorch's names, and :func:`require`, which
raises when one is broken. On a GPU the answer is looked at when the host next waits for the device,
so that a check costs no synchronisation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend import check_later, get_array_module
from ..tensor import Tensor

__all__ = [
    "Constraint",
    "boolean",
    "greater_than_eq",
    "integer_interval",
    "interval",
    "lower_cholesky",
    "nonnegative",
    "nonnegative_integer",
    "one_hot",
    "open_interval",
    "positive",
    "positive_definite",
    "real",
    "real_vector",
    "require",
    "simplex",
    "unit_interval",
]


class Constraint:
    r"""A set of values: ``check(x)`` says elementwise whether a tensor lies in it.

    Args:
        name: how an error calls it ("expected scale to be {name}").
        test: from the array module and an array to booleans, without the event's axes.
        event_dim: how many trailing axes make one value.

    >>> import minigrad as mg
    >>> positive.check(mg.tensor([1.0, -1.0, float("nan")]))
    tensor([ True, False, False])
    """

    def __init__(self, name: str, test: Callable[[Any, Any], Any], event_dim: int = 0) -> None:
        self.name, self.test, self.event_dim = name, test, event_dim

    def check(self, value: Tensor) -> Tensor:
        r"""Whether each value lies in the set; False for NaN."""
        return Tensor(
            np.asarray(self._inside(value)) if value.device == "cpu" else self._inside(value)
        )

    def _inside(self, value: Tensor) -> Any:
        return self.test(get_array_module(value.data), value.data)

    def independent(self, ndims: int) -> Constraint:
        r"""The same set for events with ``ndims`` more axes."""
        if not ndims:
            return self

        def test(xp: Any, x: Any) -> Any:
            inside = self.test(xp, x)
            return inside.all(axis=tuple(range(inside.ndim - ndims, inside.ndim)))

        return Constraint(self.name, test, self.event_dim + ndims)

    def __repr__(self) -> str:
        return f"<constraint: {self.name}>"


def require(name: str, what: str, constraint: Constraint, value: Tensor) -> None:
    r"""Raise ``ValueError`` unless all of ``value`` lies in the set.

    The message names the distribution, what was wrong, and the first value that broke the rule.
    """
    inside = constraint._inside(value)
    if not isinstance(value.data, np.ndarray):
        message = f"{name}: expected {what} to be {constraint.name}"
        check_later(~inside.all(), ValueError(message))
    elif not inside.all():
        inside = np.asarray(inside)
        first = value.data[np.unravel_index(int(np.argmin(inside)), inside.shape)]
        got = np.array2string(np.asarray(first), threshold=20)
        raise ValueError(
            f"{name}: expected {what} to be {constraint.name}, got {got}"
            f" in a tensor of shape {value.shape}"
        )


def interval(low: Any, high: Any) -> Constraint:
    r"""[low, high]; the bounds are numbers or tensors that broadcast."""
    a, b = _data(low), _data(high)
    return Constraint(f"in [{_show(low)}, {_show(high)}]", lambda xp, x: (x >= a) & (x <= b))


def open_interval(low: Any, high: Any) -> Constraint:
    r"""(low, high), without its ends."""
    a, b = _data(low), _data(high)
    return Constraint(f"in ({_show(low)}, {_show(high)})", lambda xp, x: (x > a) & (x < b))


def integer_interval(low: Any, high: Any) -> Constraint:
    r"""The integers of [low, high]."""
    a, b = _data(low), _data(high)
    return Constraint(
        f"an integer in [{_show(low)}, {_show(high)}]",
        lambda xp, x: (x >= a) & (x <= b) & (xp.floor(x) == x),
    )


def greater_than_eq(low: Any) -> Constraint:
    r"""At least ``low``."""
    a = _data(low)
    return Constraint(f"at least {_show(low)}", lambda xp, x: x >= a)


def _data(bound: Any) -> Any:
    return bound.data if isinstance(bound, Tensor) else bound


def _show(bound: Any) -> Any:
    if isinstance(bound, Tensor):
        return bound.item() if bound.device == "cpu" and bound.data.size == 1 else "its bound"
    return bound


def _one_hot(xp: Any, x: Any) -> Any:
    return ((x == 0) | (x == 1)).all(axis=-1) & (x.sum(axis=-1) == 1)


def _simplex(xp: Any, x: Any) -> Any:
    return (x >= 0).all(axis=-1) & (xp.abs(x.sum(axis=-1) - 1) < 1e-6)


def _finite_steps(xp: Any, x: Any) -> Any:
    return (x >= 0) & (xp.floor(x) == x)


def _lower_cholesky(xp: Any, x: Any) -> Any:
    lower = (xp.tril(x) == x).all(axis=(-2, -1))
    return lower & (xp.diagonal(x, 0, -2, -1) > 0).all(axis=-1)


def _positive_definite(xp: Any, x: Any) -> Any:
    size = xp.abs(x).max(axis=(-2, -1), keepdims=True)
    symmetric = (xp.abs(x - xp.swapaxes(x, -2, -1)) <= 1e-5 * size).all(axis=(-2, -1))
    return symmetric & (xp.linalg.eigvalsh(x)[..., 0] > 0)


real = Constraint("a number", lambda xp, x: x == x)
real_vector = real.independent(1)
positive = Constraint("positive", lambda xp, x: x > 0)
nonnegative = Constraint("at least 0", lambda xp, x: x >= 0)
unit_interval = interval(0, 1)
boolean = Constraint("0 or 1", lambda xp, x: (x == 0) | (x == 1))
nonnegative_integer = Constraint("an integer that is at least 0", _finite_steps)
one_hot = Constraint("one-hot", _one_hot, 1)
simplex = Constraint("a vector of probabilities that sum to 1", _simplex, 1)
lower_cholesky = Constraint("lower triangular with a positive diagonal", _lower_cholesky, 2)
positive_definite = Constraint("symmetric and positive definite", _positive_definite, 2)
