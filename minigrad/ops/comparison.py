r"""Comparisons and logic: elementwise functions without a gradient.

Belongs here: what returns booleans (or bits). The result never requires gradients.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._base import get_array_module, raw, run

__all__ = [
    "bitwise_and", "bitwise_not", "bitwise_or", "eq", "ge", "gt", "isfinite", "isinf", "isnan",
    "le", "logical_and", "logical_not", "logical_or", "logical_xor", "lt", "ne",
]  # fmt: skip


def eq(input: Any, other: Any) -> Any:
    r"""Where the two are equal."""
    if not (hasattr(other, "shape") or isinstance(other, (int, float))):
        return NotImplemented  # tensor == None is False, as Python has it
    return run(lambda x, y: x == y, input, other)


def ne(input: Any, other: Any) -> Any:
    r"""Where the two differ."""
    if not (hasattr(other, "shape") or isinstance(other, (int, float))):
        return NotImplemented
    return run(lambda x, y: x != y, input, other)


def lt(input: Any, other: Any) -> Any:
    r"""Where ``input < other``."""
    return run(lambda x, y: x < y, input, other)


def le(input: Any, other: Any) -> Any:
    r"""Where ``input <= other``."""
    return run(lambda x, y: x <= y, input, other)


def gt(input: Any, other: Any) -> Any:
    r"""Where ``input > other``."""
    return run(lambda x, y: x > y, input, other)


def ge(input: Any, other: Any) -> Any:
    r"""Where ``input >= other``."""
    return run(lambda x, y: x >= y, input, other)


def isfinite(input: Any) -> Any:
    r"""Where neither infinite nor NaN."""
    return run(lambda x: get_array_module(x).isfinite(x), input)


def isinf(input: Any) -> Any:
    r"""Where infinite."""
    return run(lambda x: get_array_module(x).isinf(x), input)


def isnan(input: Any) -> Any:
    r"""Where not a number."""
    return run(lambda x: get_array_module(x).isnan(x), input)


def logical_and(input: Any, other: Any) -> Any:
    r"""Where both are true (nonzero)."""
    return run(lambda x, y: get_array_module(x, y).logical_and(x, y), input, other)


def logical_or(input: Any, other: Any) -> Any:
    r"""Where either is true (nonzero)."""
    return run(lambda x, y: get_array_module(x, y).logical_or(x, y), input, other)


def logical_xor(input: Any, other: Any) -> Any:
    r"""Where exactly one is true (nonzero)."""
    return run(lambda x, y: get_array_module(x, y).logical_xor(x, y), input, other)


def logical_not(input: Any) -> Any:
    r"""Where false (zero)."""
    return run(lambda x: get_array_module(x).logical_not(x), input)


def _whole(name: str, *inputs: Any) -> None:
    r"""Raise unless all of ``inputs`` are integers or booleans."""
    for x in inputs:
        dtype = getattr(raw(x), "dtype", np.dtype(type(x)))
        if dtype.kind not in "iub":
            raise TypeError(f"{name}: expected integers or booleans, got {dtype}")


def bitwise_and(input: Any, other: Any) -> Any:
    r"""``input & other`` of integers or booleans."""
    _whole("bitwise_and", input, other)
    return run(lambda x, y: x & y, input, other)


def bitwise_or(input: Any, other: Any) -> Any:
    r"""``input | other`` of integers or booleans."""
    _whole("bitwise_or", input, other)
    return run(lambda x, y: x | y, input, other)


def bitwise_not(input: Any) -> Any:
    r"""``~input`` of integers or booleans."""
    _whole("bitwise_not", input)
    return run(lambda x: ~x, input)
