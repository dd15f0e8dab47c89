r"""The tensor: an array, perhaps its gradient, and the operators and methods people type.

Belongs here: :class:`Tensor`, whose methods are thin calls of :mod:`minigrad.ops`. Does not belong
here: mathematics (``ops/``), the tape (``autograd.py``), creation (``creation.py``).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import autograd, backend, ops
from .backend import Device, device_of, get_array_module, is_array, to_device, to_numpy

__all__ = ["Tensor"]


def _array(data: Any, dtype: Any = None) -> np.ndarray:
    r"""Numbers and nested lists as an array: floats get the default dtype, integers int64."""
    if isinstance(data, (list, tuple)) and any(isinstance(x, Tensor) for x in data):
        data = [x.tolist() if isinstance(x, Tensor) else x for x in data]
    try:
        array = np.asarray(data)
    except ValueError:
        raise ValueError("tensor: expected nested lists of equal lengths") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"tensor: expected numbers, got {type(data).__name__} of {array.dtype}")
    if dtype is None:
        if array.dtype.kind == "f" and not isinstance(data, np.generic):
            dtype = backend.get_default_dtype()
        elif array.dtype.kind in "iu" and not isinstance(data, np.generic):
            dtype = np.int64
    return array if dtype is None else array.astype(dtype)


class RemovableHandle:
    r"""What ``register_hook`` returns: ``remove()`` takes the hook away again."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        r"""Take the hook away; a second call does nothing."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)


class Tensor:
    r"""An n-dimensional array that remembers how it was computed.

    ``data`` is the raw NumPy or CuPy array, ``grad`` the accumulated gradient (a tensor) or None.
    Layout and names are PyTorch's: images are (N, C, H, W), weights (out, in).

    Args:
        data: an array (shared, not copied), number, or nested list.
        requires_grad: record what is computed from it, so that ``backward`` fills ``grad``.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    __slots__ = (
        "__weakref__",
        "_hooks",
        "_index",
        "_node",
        "_requires_grad",
        "_version",
        "data",
        "grad",
    )
    # NumPy defers to our operators: `array * tensor` is a tensor, not an object array.
    __array_priority__ = 1000
    __array_ufunc__ = None

    data: Any
    grad: Tensor | None

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if isinstance(data, Tensor):
            data = data.data
        self.data = data if is_array(data) and not isinstance(data, np.generic) else _array(data)
        self.grad = None
        self._node: autograd.Function | None = None
        self._index = 0
        self._version = [0]
        self._hooks: list[Any] | None = None
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    # ------------------------------------------------------------------------------ what it is
    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def device(self) -> Device:
        return device_of(self.data)

    @property
    def is_leaf(self) -> bool:
        r"""True if it was made by the user, not by a recorded op."""
        return self._node is None

    @property
    def requires_grad(self) -> bool:
        r"""Whether ops on this tensor are recorded. Can be set on leaves of floating dtype."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.data.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: expected a floating dtype, got {self.data.dtype}; only functions "
                "of real numbers have gradients"
            )
        if self._node is not None and not value:
            raise RuntimeError(
                "requires_grad: cannot be cleared on the result of an op; use detach()"
            )
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        r"""Set :attr:`requires_grad` and return the tensor."""
        self.requires_grad = requires_grad
        return self

    def size(self, dim: int | None = None) -> Any:
        r"""The shape, or its entry ``dim``."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        r"""The number of axes."""
        return self.data.ndim

    def numel(self) -> int:
        r"""The number of elements."""
        return self.data.size

    def __len__(self) -> int:
        if self.data.ndim == 0:
            raise TypeError("len: a 0-d tensor has no length")
        return self.data.shape[0]

    def __format__(self, spec: str) -> str:
        r"""``f"{loss:.3f}"`` formats the number in a 0-d tensor. Waits for the device."""
        return format(self.item(), spec) if spec and self.data.ndim == 0 else str(self)

    def __repr__(self) -> str:
        text = np.array2string(
            to_numpy(self.data), separator=", ", precision=4, prefix="tensor(", threshold=1000
        )
        extra = ""
        if self.dtype != backend.get_default_dtype() and self.dtype.kind not in "ib":
            extra += f", dtype={self.dtype}"
        elif self.dtype.kind == "i" and self.dtype != np.int64:
            extra += f", dtype={self.dtype}"
        if self.device != "cpu":
            extra += f", device='{self.device}'"
        if self._node is not None:
            extra += f", grad_fn={self._node!r}"
        elif self._requires_grad:
            extra += ", requires_grad=True"
        return f"tensor({text}{extra})"

    # ------------------------------------------------------------------------ out of the tensor
    def item(self) -> Any:
        r"""The only element as a Python number. Waits for the device."""
        if self.data.size != 1:
            raise ValueError(f"item: expected a tensor of one element, got shape {self.shape}")
        return to_numpy(self.data).item()

    def numpy(self) -> np.ndarray:
        r"""The array on the host, sharing memory with a CPU tensor.

        Raises:
            RuntimeError: the tensor requires gradients (use ``detach()`` first) or is not on the
                CPU (use ``cpu()`` first); nothing is copied silently.
        """
        if self._requires_grad:
            raise RuntimeError("numpy: the tensor requires gradients; call detach() first")
        if self.device != "cpu":
            raise RuntimeError(f"numpy: the tensor is on {self.device}; call cpu() first")
        return self.data

    def tolist(self) -> Any:
        r"""The elements as nested lists of Python numbers."""
        return to_numpy(self.data).tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            return array.astype(dtype)
        return array.copy() if copy else array

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise ValueError(f"bool: the truth of a tensor of shape {self.shape} is ambiguous")
        return bool(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iub" or self.data.size != 1:
            raise TypeError("index: only an integer tensor of one element is an index")
        return int(self.item())

    def __iter__(self) -> Any:
        if self.data.ndim == 0:
            raise TypeError("iter: a 0-d tensor cannot be iterated over")
        return iter(ops.unbind(self, 0))

    # ----------------------------------------------------------------------------------- moves
    def detach(self) -> Tensor:
        r"""The same values, cut off from the graph. Shares memory."""
        result = _wrap(self.data)
        result._version = self._version
        return result

    def clone(self) -> Tensor:
        r"""A copy, through which gradients flow."""
        return ops.clone(self)

    def to(self, *args: Any, device: Any = None, dtype: Any = None) -> Tensor:
        r"""On another device and/or with another dtype: ``to("cuda")``, ``to(minigrad.float64)``,
        ``to("cuda:1", minigrad.float32)``, ``to(other)``. Gradients flow back through it.

        >>> import minigrad as mg
        >>> mg.ones(2).to(mg.float64).dtype
        dtype('float64')
        """
        for a in args:
            if isinstance(a, Tensor):
                device, dtype = a.device, a.dtype
            elif isinstance(a, Device) or (isinstance(a, str) and not _is_dtype_name(a)):
                device = Device(a)
            else:
                dtype = np.dtype(a)
        result = self
        if dtype is not None and np.dtype(dtype) != self.data.dtype:
            result = ops.cast(result, np.dtype(dtype))
        if device is not None and Device(device) != result.device:
            result = ops.move(result, Device(device))
        return result

    def cpu(self) -> Tensor:
        r"""On the host."""
        return self.to("cpu")

    def cuda(self, index: int | None = None) -> Tensor:
        r"""On the GPU, or on GPU ``index``."""
        return self.to("cuda" if index is None else f"cuda:{index}")

    def float(self) -> Tensor:
        return self.to(np.float32)

    def double(self) -> Tensor:
        return self.to(np.float64)

    def half(self) -> Tensor:
        return self.to(np.float16)

    def long(self) -> Tensor:
        return self.to(np.int64)

    def int(self) -> Tensor:
        return self.to(np.int32)

    def bool(self) -> Tensor:
        return self.to(np.bool_)

    def type_as(self, other: Tensor) -> Tensor:
        return self.to(other.dtype)

    def contiguous(self) -> Tensor:
        r"""The same values in row-major memory."""
        return self if self.data.flags.c_contiguous else ops.contiguous(self)

    def is_contiguous(self) -> Any:
        return bool(self.data.flags.c_contiguous)

    # ------------------------------------------------------------------------------- gradients
    def backward(
        self,
        gradient: Any = None,
        retain_graph: Any = None,
        create_graph: Any = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        r"""Add :math:`\partial \langle\text{self}, \text{gradient}\rangle / \partial x` to
        ``x.grad`` of every leaf ``x`` behind this tensor.

        Gradients *add up* over calls until ``optimizer.zero_grad()`` or ``x.grad = None``. Those
        of intermediate tensors are kept only where ``retain_grad()`` was called. The graph is freed
        unless ``retain_graph``; a second walk over a freed graph is an error.

        Args:
            gradient: of this tensor's shape; may be left out for a scalar (then 1).
            retain_graph: keep the graph; by default the value of ``create_graph``.
            create_graph: record the walk itself, so that the gradients can be differentiated.
            inputs: accumulate only into these tensors.
        """
        given = None if gradient is None else [gradient]
        autograd.backward([self], given, retain_graph, create_graph, inputs)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        r"""Call ``hook(gradient)`` when this tensor's gradient is complete; a tensor that it
        returns takes the gradient's place."""
        if not self._requires_grad:
            raise RuntimeError("register_hook: the tensor does not require gradients")
        if self._node is None:
            if self._hooks is None:
                self._hooks = []
            hooks = self._hooks
        else:
            if self._node._output_hooks is None:
                self._node._output_hooks = {}
            hooks = self._node._output_hooks.setdefault(self._index, [])
        hooks.append(hook)
        return RemovableHandle(hooks, hook)

    def retain_grad(self) -> None:
        r"""Keep the gradient of this intermediate tensor in ``grad`` on ``backward``."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: the tensor does not require gradients")
        if self._node is not None:
            if self._node._retained is None:
                self._node._retained = {}
            self._node._retained[self._index] = weakref.ref(self)

    # -------------------------------------------------------------------------------- in place
    def _change(self, name: str, value: Any) -> Any:
        r"""``value`` as an array, if an in-place change by it is allowed."""
        if autograd.is_grad_enabled() and (
            self._requires_grad or (isinstance(value, Tensor) and value._requires_grad)
        ):
            raise RuntimeError(
                f"{name}: an in-place change is not recorded and the tensor requires gradients; "
                "use the out-of-place operation, or no_grad()"
            )
        array = value.data if isinstance(value, Tensor) else value
        if is_array(array) and not isinstance(array, np.generic):
            if device_of(array) != self.device:
                raise RuntimeError(
                    f"{name}: expected a tensor on {self.device}, got {device_of(array)}"
                )
        return array

    def _update(
        self, name: str, value: Any, change: Callable[[Any], Any], where: Any = None
    ) -> Tensor:
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

    def copy_(self, source: Any) -> Tensor:
        r"""Overwrite with ``source``, which must broadcast to this shape; any dtype or device."""
        array = source.data if isinstance(source, Tensor) else np.asarray(source)
        array = to_device(array, self.device)
        self._change("copy_", source)

        def change(value: Any) -> None:
            self.data[...] = value

        return self._update("copy_", array, change)

    def zero_(self) -> Tensor:
        return self.fill_(0)

    def fill_(self, value: Any) -> Tensor:
        return self._update("fill_", value, self.data.fill)

    def add_(self, other: Any, alpha: Any = 1) -> Tensor:
        def change(value: Any) -> None:
            self.data.__iadd__(value if alpha == 1 else value * alpha)

        return self._update("add_", other, change)

    def sub_(self, other: Any) -> Tensor:
        return self._update("sub_", other, lambda v: self.data.__isub__(v))

    def mul_(self, other: Any) -> Tensor:
        return self._update("mul_", other, lambda v: self.data.__imul__(v))

    def div_(self, other: Any) -> Tensor:
        return self._update("div_", other, lambda v: self.data.__itruediv__(v))

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        xp = get_array_module(self.data)
        return self._update("clamp_", None, lambda _: xp.clip(self.data, min, max, out=self.data))

    def __setitem__(self, index: Any, value: Any) -> None:
        index = ops.indexing.raw_index(index, self.data)

        def change(array: Any) -> None:
            self.data[index] = array

        self._update("setitem", value, change, self.data[index].shape)

    def _augmented(self, name: str, other: Any, in_place: Any, out_of_place: Any) -> Tensor:
        r"""``x += y``: in place where nothing is recorded; otherwise a new, recorded tensor takes
        the name. On a leaf that requires gradients, where that would lose the leaf, an error."""
        if not autograd.is_grad_enabled():
            return in_place(other)
        if self._requires_grad and self._node is None:
            raise RuntimeError(
                f"{name}: a leaf that requires gradients cannot be changed in place; use no_grad()"
            )
        if self._requires_grad or (isinstance(other, Tensor) and other._requires_grad):
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

    def __pos__(self) -> Tensor:
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

    # ------------------------------------------------- methods that take the shape as arguments
    @property
    def T(self) -> Tensor:
        r"""All axes reversed."""
        return ops.permute(self, tuple(range(self.ndim))[::-1])

    @property
    def mT(self) -> Tensor:
        r"""The last two axes swapped."""
        return ops.transpose(self, -1, -2)

    def reshape(self, *shape: Any) -> Tensor:
        return ops.reshape(self, _spread(shape))

    def view(self, *shape: Any) -> Tensor:
        return ops.reshape(self, _spread(shape))

    def view_as(self, other: Tensor) -> Tensor:
        return ops.reshape(self, other.shape)

    reshape_as = view_as

    def permute(self, *dims: Any) -> Tensor:
        return ops.permute(self, _spread(dims))

    def expand(self, *shape: Any) -> Tensor:
        return ops.expand(self, _spread(shape))

    def expand_as(self, other: Tensor) -> Tensor:
        return ops.expand(self, other.shape)

    def repeat(self, *repeats: Any) -> Tensor:
        return ops.repeat(self, _spread(repeats))

    def tile(self, *repeats: Any) -> Tensor:
        return ops.tile(self, _spread(repeats))

    def flip(self, *dims: Any) -> Tensor:
        return ops.flip(self, _spread(dims))

    def t(self) -> Tensor:
        r"""The transpose of a matrix (a vector or scalar stays as it is)."""
        if self.ndim > 2:
            raise ValueError(f"t: expected at most 2 axes, got shape {self.shape}")
        return self.T


def _spread(args: tuple[Any, ...]) -> tuple[Any, ...]:
    r"""``f(2, 3)`` and ``f((2, 3))`` mean the same."""
    if len(args) == 1 and isinstance(args[0], (tuple, list)):
        return tuple(args[0])
    return args


def _is_dtype_name(name: str) -> bool:
    try:
        np.dtype(name)
    except TypeError:
        return False
    return True


# Methods that are an op with the tensor as its first argument, under the same name.
_METHODS = """
    add sub mul div true_divide pow neg abs sign exp log log1p expm1 log2 log10 sqrt rsqrt square
    reciprocal sin cos tan asin acos atan sinh cosh tanh sigmoid erf clamp clip maximum minimum
    floor ceil round trunc remainder floor_divide where
    eq ne lt le gt ge isfinite isnan isinf logical_and logical_or logical_xor logical_not
    relu softmax log_softmax logsumexp logsigmoid
    sum mean var std max min amax amin argmax argmin prod cumsum norm any all
    transpose swapaxes movedim flatten unflatten squeeze unsqueeze broadcast_to roll chunk split
    unbind gather scatter_add take_along_dim index_select masked_fill masked_select
    matmul mm bmm dot outer allclose sort argsort topk diagonal
""".split()


def _bind(name: str) -> Callable[..., Any]:
    function = getattr(ops, name)

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Any:
        return function(self, *args, **kwargs)

    method.__name__ = name
    method.__qualname__ = f"Tensor.{name}"
    method.__doc__ = f"See :func:`minigrad.{name}`."
    return method


for _name in _METHODS:
    if hasattr(ops, _name):
        setattr(Tensor, _name, _bind(_name))


_new = Tensor.__new__


def _wrap(array: Any) -> Tensor:
    r"""A tensor around an array that an op made: no checks, no copies."""
    t = _new(Tensor)
    t.data = array if type(array) is np.ndarray else _as_array(array)
    t.grad = None
    t._node = None
    t._index = 0
    t._version = [0]
    t._hooks = None
    t._requires_grad = False
    return t


def _as_array(array: Any) -> Any:
    # NumPy's reductions return scalars; a tensor always holds an array.
    return np.asarray(array) if isinstance(array, (np.generic, int, float, bool)) else array


autograd._connect(Tensor, _wrap)
