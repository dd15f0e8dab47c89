r"""What ``x + y``, ``x[i]``, ``x += y`` and ``x.add_(y)`` do.

Belongs here: the operators of :class:`~minigrad.Tensor` and its in-place methods, with the rule for
when a tensor may be changed. Does not belong here: mathematics (``ops/``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from . import autograd, ops
from .backend import Device, device_of, get_array_module, is_array, to_device
from .ops._base import is_tensor

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["Operators"]


class Operators:
    r"""The part of a tensor that operators reach; :class:`~minigrad.Tensor` is the only heir."""

    __slots__ = ()

    if TYPE_CHECKING:  # what the heir has
        data: Any
        _node: Any
        _requires_grad: bool
        _version: list[int]

        @property
        def shape(self) -> tuple[int, ...]: ...
        @property
        def dtype(self) -> np.dtype: ...
        @property
        def device(self) -> Device: ...

    # -------------------------------------------------------------------------------- in place
    def _change(self, name: str, value: Any) -> Any:
        r"""``value`` as an array, if an in-place change by it is allowed."""
        if autograd.is_grad_enabled() and (
            self._requires_grad or (is_tensor(value) and value._requires_grad)
        ):
            raise RuntimeError(
                f"{name}: an in-place change is not recorded and the tensor requires gradients; "
                "use the out-of-place operation, or no_grad()"
            )
        array = value.data if is_tensor(value) else value
        if is_array(array) and not isinstance(array, np.generic):
            if device_of(array) != self.device:
                raise RuntimeError(
                    f"{name}: expected a tensor on {self.device}, got {device_of(array)}"
                )
        return array

    def _update(
        self, name: str, value: Any, change: Callable[[Any], Any], where: Any = None
    ) -> Self:
        r"""Run ``change(array of value)``; an error names the operation and changes nothing."""
        array = self._change(name, value)
        try:
            change(array)
        except (ValueError, TypeError) as error:
            got = f"shape {tuple(array.shape)} of {array.dtype}" if is_array(array) else repr(array)
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(
                f"{name}: expected a value that fits {where or self.shape} of {self.dtype}, "
                f"got {got}"
            ) from None
        self._version[0] += 1
        return self

    def copy_(self, source: Any) -> Self:
        r"""Overwrite with ``source``, which must broadcast to this shape; any dtype or device."""
        array = source.data if is_tensor(source) else np.asarray(source)
        array = to_device(array, self.device)
        self._change("copy_", source)

        def change(value: Any) -> None:
            self.data[...] = value

        return self._update("copy_", array, change)

    def zero_(self) -> Self:
        return self.fill_(0)

    def fill_(self, value: Any) -> Self:
        return self._update("fill_", value, self.data.fill)

    def add_(self, other: Any, alpha: Any = 1) -> Self:
        def change(value: Any) -> None:
            self.data.__iadd__(value if alpha == 1 else value * alpha)

        return self._update("add_", other, change)

    def sub_(self, other: Any) -> Self:
        return self._update("sub_", other, lambda v: self.data.__isub__(v))

    def mul_(self, other: Any) -> Self:
        return self._update("mul_", other, lambda v: self.data.__imul__(v))

    def div_(self, other: Any) -> Self:
        return self._update("div_", other, lambda v: self.data.__itruediv__(v))

    def clamp_(self, min: Any = None, max: Any = None) -> Self:
        xp = get_array_module(self.data)
        return self._update("clamp_", None, lambda _: xp.clip(self.data, min, max, out=self.data))

    def __setitem__(self, index: Any, value: Any) -> None:
        index = ops.indexing.raw_index(index, self.data)

        def change(array: Any) -> None:
            self.data[index] = array

        self._update("setitem", value, change, self.data[index].shape)

    def _augmented(self, name: str, other: Any, in_place: Any, out_of_place: Any) -> Any:
        r"""``x += y``: in place where nothing is recorded; otherwise a new, recorded tensor takes
        the name. On a leaf that requires gradients, where that would lose the leaf, an error."""
        if not autograd.is_grad_enabled():
            return in_place(other)
        if self._requires_grad and self._node is None:
            raise RuntimeError(
                f"{name}: a leaf that requires gradients cannot be changed in place; use no_grad()"
            )
        if self._requires_grad or (is_tensor(other) and other._requires_grad):
            return out_of_place(self, other)
        return in_place(other)

    def __iadd__(self, other: Any) -> Tensor:
        return self._augmented("iadd", other, self.add_, ops.add)

    def __isub__(self, other: Any) -> Tensor:
        return self._augmented("isub", other, self.sub_, ops.sub)

    def __imul__(self, other: Any) -> Tensor:
        return self._augmented("imul", other, self.mul_, ops.mul)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._augmented("itruediv", other, self.div_, ops.div)

    # ------------------------------------------------------------------------------- operators
    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return ops.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.sub(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return ops.mul(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.div(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return ops.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return ops.floor_divide(other, self)

    def __rmod__(self, other: Any) -> Tensor:
        return ops.remainder(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return ops.remainder(self, other)

    def __pow__(self, other: Any) -> Tensor:
        return ops.pow(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return ops.pow(other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.neg(self)

    def __pos__(self) -> Self:
        return self

    def __abs__(self) -> Tensor:
        return ops.abs(self)

    def __invert__(self) -> Tensor:
        return ops.logical_not(self) if self.dtype == np.bool_ else ops.bitwise_not(self)

    def __and__(self, other: Any) -> Tensor:
        return ops.bitwise_and(self, other)

    def __or__(self, other: Any) -> Tensor:
        return ops.bitwise_or(self, other)

    def __eq__(self, other: Any) -> Any:
        return ops.eq(self, other)

    def __ne__(self, other: Any) -> Any:
        return ops.ne(self, other)

    def __lt__(self, other: Any) -> Tensor:
        return ops.lt(self, other)

    def __le__(self, other: Any) -> Tensor:
        return ops.le(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return ops.gt(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return ops.ge(self, other)

    __hash__ = object.__hash__

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)
