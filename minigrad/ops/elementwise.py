r"""Elementwise ops: arithmetic, powers, selection, rounding, copies.

Belongs here: ops whose output at one place depends on the inputs at that place alone.
Exponentials and angles (``transcendental.py``), activations and comparisons have files of
their own.
Inputs broadcast; the engine sums gradients back, so no rule mentions it. In the formulas
:math:`\bar y` is the gradient of the loss by the output, ``g`` in the code.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import get_default_dtype
from ._base import Function, get_array_module, is_tensor, raw, run
from .comparison import eq, ge, gt, le, logical_and, logical_or, lt, ne

__all__ = [
    "abs", "add", "addcdiv", "addcmul", "cast", "ceil", "clamp", "clamp_max", "clamp_min", "clip",
    "clone", "contiguous", "div", "floor", "floor_divide", "lerp", "maximum", "minimum", "move",
    "mul", "neg", "reciprocal", "remainder", "round", "sign", "square", "sub", "true_divide",
    "trunc", "where",
]  # fmt: skip


class Elementwise(Function):
    r"""An op whose inputs broadcast."""

    broadcasts = True


class RealFunction(Function):
    r"""A function of one real variable: integers become floats first."""

    broadcasts = True
    to_float = True


# ----------------------------------------------------------------------------------- arithmetic
class Add(Elementwise):
    r"""z = x + y;  x̄ = z̄, ȳ = z̄."""

    def forward(self, x, y):
        return x + y

    def backward(self, g):
        return g, g


class Sub(Elementwise):
    r"""z = x - y;  x̄ = z̄, ȳ = -z̄."""

    def forward(self, x, y):
        return x - y

    def backward(self, g):
        return g, -g if self.needs_input_grad[1] else None


class Mul(Elementwise):
    r"""z = x y;  x̄ = z̄ y, ȳ = z̄ x."""

    def forward(self, x, y):
        return x * y

    def backward(self, g, x, y):
        need_x, need_y = self.needs_input_grad
        return g * y if need_x else None, g * x if need_y else None


class Div(Elementwise):
    r"""z = x / y;  x̄ = z̄ / y, ȳ = -z̄ z / y."""

    to_float = True

    def forward(self, x, y):
        return x / y

    def backward(self, g, y, out):
        g_over_y = g / y
        return g_over_y, -g_over_y * out if self.needs_input_grad[1] else None


class Neg(Elementwise):
    r"""y = -x;  x̄ = -ȳ."""

    def forward(self, x):
        return -x

    def backward(self, g):
        return -g


class Abs(Elementwise):
    r"""y = |x|;  x̄ = ȳ sign(x), 0 at 0."""

    def forward(self, x):
        return get_array_module(x).abs(x)

    def backward(self, g, x):
        return g * sign(x)


class Square(Elementwise):
    r"""y = x²;  x̄ = 2 x ȳ."""

    def forward(self, x):
        return x * x

    def backward(self, g, x):
        return g * (2 * x)


class Reciprocal(RealFunction):
    r"""y = 1/x;  x̄ = -ȳ y²."""

    def forward(self, x):
        return 1 / x

    def backward(self, g, out):
        return -g * out * out


class Maximum(Elementwise):
    r"""z = max(x, y); the gradient goes to the larger, half to each where they are equal."""

    def forward(self, x, y):
        return get_array_module(x, y).maximum(x, y)

    def backward(self, g, x, y):
        return _share(g, gt(x, y), eq(x, y)), _share(g, lt(x, y), eq(x, y))


class Minimum(Elementwise):
    r"""z = min(x, y); the gradient goes to the smaller, half to each where they are equal."""

    def forward(self, x, y):
        return get_array_module(x, y).minimum(x, y)

    def backward(self, g, x, y):
        return _share(g, lt(x, y), eq(x, y)), _share(g, gt(x, y), eq(x, y))


def _share(g: Any, mine: Any, tie: Any) -> Any:
    return where(mine, g, where(tie, g * 0.5, 0.0))


class Remainder(Elementwise):
    r"""z = x - y floor(x / y), of the sign of y;  x̄ = z̄, ȳ = -z̄ floor(x / y)."""

    def forward(self, x, y):
        return x % y

    def backward(self, g, x, y):
        return g, -g * floor(x / y) if self.needs_input_grad[1] else None


# --------------------------------------------------------------- selection, clipping and rounding
class Where(Function):
    r"""z = x where the condition holds, else y; each gets z̄ at its own places and 0 elsewhere."""

    broadcasts = True
    converts = False

    def forward(self, condition, x, y):
        return get_array_module(condition, x, y).where(condition, x, y)

    def backward(self, g, condition):
        _, need_x, need_y = self.needs_input_grad
        gx = where(condition, g, 0.0) if need_x else None
        gy = where(condition, 0.0, g) if need_y else None
        return None, gx, gy


class Clamp(Elementwise):
    r"""y = min(max(x, low), high) for numbers low, high;  x̄ = ȳ where low <= x <= high, else 0."""

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low, self.high = low, high

    def forward(self, x):
        return get_array_module(x).clip(x, self.low, self.high)

    def backward(self, g, x):
        inside = True
        if self.low is not None:
            inside = ge(x, self.low)
        if self.high is not None:
            below = le(x, self.high)
            inside = below if inside is True else logical_and(inside, below)
        return where(inside, g, 0.0)


class _Step(RealFunction):
    r"""A piecewise constant function: its gradient is 0 wherever it has one."""

    to_float = False

    def backward(self, g):
        return g * 0


class Sign(_Step):
    r"""y = -1, 0 or 1, of NaN 0;  x̄ = 0."""

    def forward(self, x):
        xp = get_array_module(x)
        return xp.where(x == x, xp.sign(x), 0) if x.dtype.kind == "f" else xp.sign(x)


class Floor(_Step):
    r"""y = the largest integer <= x;  x̄ = 0."""

    def forward(self, x):
        return get_array_module(x).floor(x)


class Ceil(_Step):
    r"""y = the smallest integer >= x;  x̄ = 0."""

    def forward(self, x):
        return get_array_module(x).ceil(x)


class Round(_Step):
    r"""y = the nearest integer, halves to even;  x̄ = 0."""

    def forward(self, x):
        return get_array_module(x).rint(x)


class Trunc(_Step):
    r"""y = x rounded towards 0;  x̄ = 0."""

    def forward(self, x):
        return get_array_module(x).trunc(x)


# ------------------------------------------------------------------------------- copies and moves
class Clone(Elementwise):
    r"""A copy;  x̄ = ȳ."""

    def forward(self, x):
        return x.copy()

    def backward(self, g):
        return g


class Contiguous(Elementwise):
    r"""The same values in row-major memory;  x̄ = ȳ."""

    def forward(self, x):
        return x.copy()

    def backward(self, g):
        return g


class Cast(Function):
    r"""Another dtype;  x̄ = ȳ in x's dtype."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = np.dtype(dtype)

    def forward(self, x):
        self.source = x.dtype
        return x.astype(self.dtype)

    def backward(self, g):
        return cast(g, self.source)


class Move(Function):
    r"""The same values on another device;  x̄ = ȳ on x's device."""

    def __init__(self, device: Any) -> None:
        self.device = device

    def forward(self, x):
        from ..backend import device_of, to_device

        self.source = device_of(x)
        return to_device(x, self.device)

    def backward(self, g):
        return move(g, self.source)


# ---------------------------------------------------------------------------- the public functions
def add(input: Any, other: Any, alpha: float = 1) -> Any:
    r"""``input + alpha * other``, with broadcasting."""
    return Add.apply(input, other if alpha == 1 else mul(other, alpha))


def sub(input: Any, other: Any, alpha: float = 1) -> Any:
    r"""``input - alpha * other``, with broadcasting."""
    return Sub.apply(input, other if alpha == 1 else mul(other, alpha))


def mul(input: Any, other: Any) -> Any:
    r"""The elementwise product, with broadcasting."""
    return Mul.apply(input, other)


def div(input: Any, other: Any, *, rounding_mode: str | None = None) -> Any:
    r"""The elementwise quotient, with broadcasting; integers become floats.

    Args:
        rounding_mode: "floor" rounds down and "trunc" towards 0; integers then stay integers.
    """
    if rounding_mode is None:
        return Div.apply(input, other)
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(f"div: expected rounding_mode floor or trunc, got {rounding_mode!r}")
    if rounding_mode == "floor":
        return floor_divide(input, other)
    whole = all(getattr(raw(x), "dtype", np.dtype(type(x))).kind in "iub" for x in (input, other))
    if whole:
        # One up from the floor where a remainder is left and the signs differ.
        return run(lambda x, y: x // y + ((x % y != 0) & ((x < 0) != (y < 0))), input, other)
    return trunc(Div.apply(input, other))


true_divide = div


def neg(input: Any) -> Any:
    r"""``-input``."""
    return Neg.apply(input)


def abs(input: Any) -> Any:
    r"""The absolute value; its derivative at 0 is taken as 0."""
    return Abs.apply(input)


def square(input: Any) -> Any:
    r"""``input * input``."""
    return Square.apply(input)


def reciprocal(input: Any) -> Any:
    r"""``1 / input``."""
    return Reciprocal.apply(input)


def maximum(input: Any, other: Any) -> Any:
    r"""The larger of the two, elementwise; equal values share the gradient."""
    return Maximum.apply(input, other)


def minimum(input: Any, other: Any) -> Any:
    r"""The smaller of the two, elementwise; equal values share the gradient."""
    return Minimum.apply(input, other)


def remainder(input: Any, other: Any) -> Any:
    r"""The remainder of division, of the divisor's sign (Python's ``%``)."""
    return Remainder.apply(input, other)


def floor_divide(input: Any, other: Any) -> Any:
    r"""``floor(input / other)``; no gradient."""
    return run(lambda x, y: x // y, input, other)


def sign(input: Any) -> Any:
    r"""-1, 0 or 1."""
    return Sign.apply(input)


def floor(input: Any) -> Any:
    r"""The largest integer not above ``input``."""
    return Floor.apply(input)


def ceil(input: Any) -> Any:
    r"""The smallest integer not below ``input``."""
    return Ceil.apply(input)


def round(input: Any, *, decimals: int = 0) -> Any:
    r"""The nearest integer, or the nearest multiple of :math:`10^{-\text{decimals}}`; halves to
    even."""
    if raw(input).dtype.kind in "iu" and decimals >= 0:
        return input * 1
    if not decimals:
        return Round.apply(input)
    return Round.apply(input * 10.0**decimals) / 10.0**decimals


def trunc(input: Any) -> Any:
    r"""``input`` without its fraction."""
    return Trunc.apply(input)


def where(condition: Any, input: Any, other: Any) -> Any:
    r"""``input`` where ``condition`` holds, else ``other``; all three broadcast.

    >>> import minigrad as mg
    >>> x = mg.tensor([-1.0, 2.0])
    >>> mg.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if is_tensor(input) or is_tensor(other):
        input, other = _same_dtype(input, other)
    elif (
        is_tensor(condition) and isinstance(input, (int, float)) and isinstance(other, (int, float))
    ):
        # Two Python numbers: the dtype that a tensor made of them would have.
        whole = isinstance(input, int) and isinstance(other, int)
        dtype = np.int64 if whole else get_default_dtype()
        input = get_array_module(condition.data).full((), input, dtype)
    return Where.apply(condition, input, other)


def _same_dtype(x: Any, y: Any) -> tuple[Any, Any]:
    r"""The engine's conversions, for the two values of ``where`` (its condition stays boolean)."""
    from ..autograd import _convert

    return tuple(_convert(Where, [x, y], [raw(x), raw(y)]) or (x, y))


def _limited(input: Any, limit: Any, beyond: Any) -> Any:
    r"""``limit`` where ``input`` is beyond it, or where it is NaN."""
    outside = beyond(input, limit)
    if is_tensor(limit) and limit.dtype.kind == "f":
        outside = logical_or(outside, ne(limit, limit))
    return where(outside, limit, input)


def clamp(input: Any, min: Any = None, max: Any = None) -> Any:
    r"""``input`` limited to [``min``, ``max``], numbers or tensors; None leaves a side open. Where
    it is at a limit, the gradient goes to ``input`` alone.

    Raises:
        ValueError: neither limit is given.
    """
    if min is None and max is None:
        raise ValueError("clamp: expected min or max, got neither")
    if is_tensor(min) or is_tensor(max):
        result = input if min is None else _limited(input, min, lt)
        return result if max is None else _limited(result, max, gt)
    real = isinstance(min, float) or isinstance(max, float)
    if real and is_tensor(input) and input.dtype.kind != "f":
        input = cast(input, get_default_dtype())
    return Clamp.apply(input, low=min, high=max)


clip = clamp


def clamp_min(input: Any, min: Any) -> Any:
    r"""``input``, at least ``min``."""
    return clamp(input, min=min)


def clamp_max(input: Any, max: Any) -> Any:
    r"""``input``, at most ``max``."""
    return clamp(input, max=max)


def lerp(input: Any, end: Any, weight: Any) -> Any:
    r"""``input + weight (end - input)``, all three broadcast; from the nearer end, so that a weight
    of 1 gives ``end`` itself."""
    if isinstance(weight, (int, float)):
        base, share = (input, weight) if weight < 0.5 else (end, weight - 1)
    else:
        near = lt(weight, 0.5)
        base, share = where(near, input, end), where(near, weight, weight - 1)
    return base + share * (end - input)


def addcmul(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    r"""``input + value tensor1 tensor2``."""
    return input + value * (tensor1 * tensor2)


def addcdiv(input: Any, tensor1: Any, tensor2: Any, *, value: float = 1) -> Any:
    r"""``input + value tensor1 / tensor2``."""
    return input + value * (tensor1 / tensor2)


def clone(input: Any) -> Any:
    r"""A copy, through which gradients flow."""
    return Clone.apply(input)


def contiguous(input: Any) -> Any:
    r"""A copy in row-major memory."""
    return Contiguous.apply(input)


def cast(input: Any, dtype: Any) -> Any:
    r"""``input`` with another dtype; the gradient comes back in the first one."""
    return Cast.apply(input, dtype=dtype)


def move(input: Any, device: Any) -> Any:
    r"""``input`` on another device; the gradient comes back to the first one."""
    return Move.apply(input, device=device)
