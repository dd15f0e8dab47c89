r"""The tensor: an array, perhaps its gradient, and the methods people type.

Belongs here: :class:`Tensor`, whose methods are thin calls of :mod:`minigrad.ops`. Does not belong
here: operators and in-place changes (``operators.py``), what other libraries see of a tensor
(``protocols.py``), mathematics (``ops/``), the tape (``autograd.py``), creation (``creation.py``).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import autograd, backend, ops
from .backend import Device, device_of, is_array, to_numpy
from .operators import Operators
from .protocols import Protocols

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


class Tensor(Operators, Protocols):
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

    def where(self, condition: Tensor, other: Any) -> Tensor:
        r"""This tensor where ``condition`` holds, else ``other``."""
        return ops.where(condition, self, other)

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
    reciprocal sin cos tan asin acos atan atan2 sinh cosh tanh sigmoid erf erfc erfinv lgamma
    digamma logaddexp logit nan_to_num xlogy lerp addcmul addcdiv
    clamp clamp_min clamp_max clip maximum minimum floor ceil round trunc remainder fmod
    floor_divide
    eq ne lt le gt ge isfinite isnan isinf logical_and logical_or logical_xor logical_not
    relu prelu softmax log_softmax logsumexp logsigmoid
    sum mean var std max min amax amin argmax argmin median prod norm any all count_nonzero
    cumsum cumprod logcumsumexp diff bincount nonzero
    transpose swapaxes movedim flatten unflatten squeeze unsqueeze broadcast_to roll chunk split
    unbind repeat_interleave tril triu gather scatter scatter_add take_along_dim index_select
    masked_fill masked_select
    matmul mm bmm addmm baddbmm dot outer allclose sort argsort topk diagonal
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
