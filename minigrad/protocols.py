r"""What a tensor offers to other libraries in the same process: NumPy's protocols, and DLPack.

Belongs here: ``np.asarray(tensor)``, ``np.add(array, tensor)``, ``array += tensor``, and memory
shared through DLPack. Does not belong here: files (``interchange/``), and what operators between
tensors do (``operators.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import ops
from .ops._base import is_tensor

__all__ = ["Protocols"]

# NumPy's name -> the op. NumPy calls its functions so whether they are called or stand behind an
# operator, as np.multiply behind `array * tensor`.
_UFUNCS = {
    "add": "add",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "power": "pow",
    "floor_divide": "floor_divide",
    "remainder": "remainder",
    "matmul": "matmul",
    "negative": "neg",
    "absolute": "abs",
    "rint": "round",
    "equal": "eq",
    "not_equal": "ne",
    "less": "lt",
    "less_equal": "le",
    "greater": "gt",
    "greater_equal": "ge",
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    **{
        name: name
        for name in (
            "bitwise_and", "bitwise_or", "ceil", "cos", "cosh", "exp", "expm1", "floor",
            "isfinite", "isinf", "isnan", "log", "log10", "log1p", "log2", "logical_and",
            "logical_not", "logical_or", "logical_xor", "maximum", "minimum", "reciprocal", "sign",
            "sin", "sinh", "sqrt", "square", "tan", "tanh", "trunc",
        )
    },
}  # fmt: skip


def _array_ufunc(self: Any, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
    r"""NumPy's function ``ufunc`` of arrays and tensors: the op of that name, recorded as ever.
    Where the result goes to an array (``array += tensor``), the tensors are read as arrays."""
    out = options.pop("out", (None,))[0]
    if method != "__call__" or ufunc.__name__ not in _UFUNCS or options:
        return NotImplemented  # from which NumPy makes a TypeError
    if out is None:
        return getattr(ops, _UFUNCS[ufunc.__name__])(*inputs)
    if is_tensor(out):
        return NotImplemented
    return ufunc(*[x.numpy() if is_tensor(x) else x for x in inputs], out=out)


class _ArrayUfunc:
    r"""The attribute ``__array_ufunc__``. NumPy asks the class for it, and gets the function above;
    CuPy asks the tensor, and gets None, which tells it to leave operators to the tensor."""

    def __get__(self, tensor: Any, owner: type) -> Any:
        return _array_ufunc if tensor is None else None


class Protocols:
    r"""The part of a tensor that other libraries reach; :class:`~minigrad.Tensor` is the only
    heir."""

    __slots__ = ()

    if TYPE_CHECKING:  # what the heir has
        data: Any
        _requires_grad: bool

        def numpy(self) -> np.ndarray: ...

    __array_priority__ = 1000  # `array * tensor` is a tensor, whoever comes first
    __array_ufunc__ = _ArrayUfunc()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        r"""What ``np.asarray`` takes: the tensor's own memory, where it can."""
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"asarray: {array.dtype} cannot become {dtype} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **options: Any) -> Any:
        r"""The memory as a DLPack capsule, for ``torch.from_dlpack(tensor)`` and the like: shared,
        not copied. The options are the array library's (``stream``, ``max_version``,
        ``dl_device``, ``copy``).

        Raises:
            BufferError: the tensor requires gradients, which the other side would not know (use
                ``detach()``), or the array cannot be shared (read-only, say, with a library that
                would write into it).
        """
        if self._requires_grad:
            raise BufferError("dlpack: the tensor requires gradients; call detach() first")
        if not hasattr(self.data, "__dlpack__"):
            raise BufferError(f"dlpack: {type(self.data).__name__} cannot be shared")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        r"""DLPack's number for the kind of device (1: CPU, 2: CUDA) and the device's own."""
        if not hasattr(self.data, "__dlpack_device__"):
            raise BufferError(f"dlpack: {type(self.data).__name__} cannot be shared")
        return self.data.__dlpack_device__()
