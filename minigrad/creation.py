r"""Functions that create tensors.

Belongs here: ``tensor``, ``zeros``, ``randn``, ... with PyTorch's arguments. Random numbers are
drawn on the host from a :class:`minigrad.Generator`, so that every device gets the same ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import backend, ops
from .backend import is_array, to_device
from .tensor import Tensor, _array, _spread

__all__ = [
    "arange",
    "as_tensor",
    "bernoulli",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "normal",
    "ones",
    "ones_like",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "tensor",
    "zeros",
    "zeros_like",
]


def _finish(array: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise TypeError(f"tensor: expected real numbers, got an array of {array.dtype}")
    if dtype is not None and array.dtype != np.dtype(dtype):
        array = array.astype(dtype)
    if device is not None:
        array = to_device(array, device)
    return Tensor(array, requires_grad)


def tensor(data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    r"""A tensor with a *copy* of ``data``: numbers, nested lists, an array or a tensor.

    Python floats get the default dtype (float32), integers int64; arrays keep theirs.

    >>> import minigrad as mg
    >>> mg.tensor([[1, 2], [3, 4]]).dtype, mg.tensor([1.5]).dtype
    (dtype('int64'), dtype('float32'))
    """
    if isinstance(data, Tensor):
        data = data.data
    array = data.copy() if is_array(data) and not np.isscalar(data) else _array(data, dtype)
    return _finish(array, dtype, device, requires_grad)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    r"""A tensor that shares memory with ``data`` where that is possible."""
    if isinstance(data, Tensor):
        return data.to(device=device, dtype=dtype)
    array = data if is_array(data) and not np.isscalar(data) else _array(data, dtype)
    return _finish(array, dtype, device, False)


def from_numpy(array: np.ndarray) -> Tensor:
    r"""A CPU tensor that shares memory with ``array``."""
    if not isinstance(array, np.ndarray):
        raise TypeError(f"from_numpy: expected a numpy.ndarray, got {type(array).__name__}")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"from_numpy: expected real numbers, got an array of {array.dtype}")
    return Tensor(array)


def from_dlpack(ext_tensor: Any) -> Tensor:
    r"""A tensor that shares memory with ``ext_tensor``: a tensor of PyTorch, an array of CuPy, or
    anything else with ``__dlpack__``. On the CPU or a CUDA device; it stays there.

    Memory that its owner declares read-only stays so: changing the tensor in place is an error.

    Raises:
        TypeError: it does not speak DLPack.
        BufferError: it cannot be shared; it requires gradients, say, or is of a dtype (bfloat16)
            or on a device that NumPy and CuPy do not know.

    >>> import numpy as np
    >>> array = np.zeros(2)
    >>> tensor = from_dlpack(array)
    >>> array[0] = 5.0
    >>> tensor
    tensor([5., 0.], dtype=float64)
    """
    if not hasattr(ext_tensor, "__dlpack__") or not hasattr(ext_tensor, "__dlpack_device__"):
        raise TypeError(
            f"from_dlpack: expected an object with __dlpack__, got {type(ext_tensor).__name__}"
        )
    if isinstance(ext_tensor, Tensor):
        return ext_tensor.detach()
    kind = int(ext_tensor.__dlpack_device__()[0])
    if kind not in (1, 2):
        raise BufferError(f"from_dlpack: expected memory of the CPU or CUDA, got device {kind}")
    module = backend.module_of_device("cpu" if kind == 1 else "cuda")
    try:
        return Tensor(module.from_dlpack(ext_tensor))
    except (BufferError, RuntimeError, ValueError) as error:
        raise BufferError(f"from_dlpack: {error}") from None


def _shape(size: tuple[Any, ...]) -> tuple[int, ...]:
    shape = _spread(size)
    if any(not isinstance(n, (int, np.integer)) or n < 0 for n in shape):
        raise ValueError(f"size: expected non-negative integers, got {shape}")
    return tuple(int(n) for n in shape)


def full(
    size: Any, fill_value: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    r"""A tensor of shape ``size`` filled with ``fill_value``."""
    if dtype is None:
        dtype = _array(fill_value).dtype
    size = (size,) if isinstance(size, int) else size
    xp = np if device is None else backend.module_of_device(device)
    return _finish(xp.full(_shape((size,)), fill_value, dtype), None, device, requires_grad)


def zeros(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    r"""Zeros of shape ``size``, given as ``zeros(2, 3)`` or ``zeros((2, 3))``."""
    dtype = backend.get_default_dtype() if dtype is None else dtype
    xp = np if device is None else backend.module_of_device(device)
    return _finish(xp.zeros(_shape(size), dtype), None, device, requires_grad)


def ones(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    r"""Ones of shape ``size``."""
    return full(_shape(size), 1, dtype or backend.get_default_dtype(), device, requires_grad)


def empty(*size: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Tensor:
    r"""Uninitialised memory of shape ``size``."""
    dtype = backend.get_default_dtype() if dtype is None else dtype
    xp = np if device is None else backend.module_of_device(device)
    return _finish(xp.empty(_shape(size), dtype), None, device, requires_grad)


def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    r"""``start, start + step, ...`` below ``end`` (``arange(end)`` starts at 0)."""
    if end is None:
        start, end = 0, start
    if dtype is None:
        floats = any(isinstance(v, (float, np.floating)) for v in (start, end, step))
        dtype = backend.get_default_dtype() if floats else np.int64
    return _finish(np.arange(start, end, step), dtype, device, requires_grad)


def linspace(
    start: Any,
    end: Any,
    steps: int,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    r"""``steps`` equally spaced values from ``start`` to ``end``, both included."""
    dtype = backend.get_default_dtype() if dtype is None else dtype
    return _finish(np.linspace(start, end, steps), dtype, device, requires_grad)


def eye(
    n: int, m: int | None = None, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    r"""The (n, m) matrix with ones on its diagonal."""
    dtype = backend.get_default_dtype() if dtype is None else dtype
    return _finish(np.eye(n, m, dtype=dtype), None, device, requires_grad)


def _draw(generator: backend.Generator | None) -> np.random.Generator:
    return (backend.default_generator() if generator is None else generator).numpy


def _draw_float(
    method: str, shape: tuple[int, ...], dtype: Any, generator: backend.Generator | None
) -> np.ndarray:
    # Drawn in the dtype that is asked for: NumPy draws float32 twice as fast.
    dtype = np.dtype(backend.get_default_dtype() if dtype is None else dtype)
    draw = getattr(_draw(generator), method)
    if dtype in (np.float32, np.float64):
        return np.asarray(draw(shape, dtype=dtype))
    return np.asarray(draw(shape)).astype(dtype)


def rand(
    *size: Any,
    generator: backend.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    r"""Uniform on [0, 1). Drawn on the host, so every device gets the same numbers."""
    array = _draw_float("random", _shape(size), dtype, generator)
    return _finish(array, None, device, requires_grad)


def randn(
    *size: Any,
    generator: backend.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    r"""Standard normal. Drawn on the host, so every device gets the same numbers."""
    array = _draw_float("standard_normal", _shape(size), dtype, generator)
    return _finish(array, None, device, requires_grad)


def randint(
    low: int,
    high: Any = None,
    size: Any = None,
    generator: backend.Generator | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    r"""Integers from ``low`` to ``high - 1``; ``randint(high, size)`` starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    array = np.asarray(_draw(generator).integers(low, high, _shape((size,))))
    return _finish(array, np.int64 if dtype is None else dtype, device, False)


def randperm(n: int, generator: backend.Generator | None = None, device: Any = None) -> Tensor:
    r"""A random permutation of 0 ... n-1."""
    return _finish(_draw(generator).permutation(n), np.int64, device, False)


def normal(
    mean: Any, std: Any, size: Any = None, generator: backend.Generator | None = None
) -> Tensor:
    r"""Normal with the given mean and standard deviation (numbers with ``size``, or tensors)."""
    mean_, std_ = as_tensor(mean).detach(), as_tensor(std).detach()
    if size is None:
        size = np.broadcast_shapes(mean_.shape, std_.shape)
    noise = randn(*_spread((size,)), generator=generator, device=mean_.device)
    return mean_ + std_ * noise


def bernoulli(p: Tensor, generator: backend.Generator | None = None) -> Tensor:
    r"""1 with probability ``p``, else 0, elementwise, in p's dtype."""
    u = rand(*p.shape, generator=generator, dtype=p.dtype, device=p.device)
    return ops.cast(u < p.detach(), p.dtype)


def zeros_like(input: Tensor, dtype: Any = None, device: Any = None) -> Tensor:
    r"""Zeros of the shape, dtype and device of ``input``."""
    return zeros(*input.shape, dtype=dtype or input.dtype, device=device or input.device)


def ones_like(input: Tensor, dtype: Any = None, device: Any = None) -> Tensor:
    r"""Ones of the shape, dtype and device of ``input``."""
    return ones(*input.shape, dtype=dtype or input.dtype, device=device or input.device)


def empty_like(input: Tensor, dtype: Any = None, device: Any = None) -> Tensor:
    r"""Uninitialised memory of the shape, dtype and device of ``input``."""
    return empty(*input.shape, dtype=dtype or input.dtype, device=device or input.device)


def full_like(input: Tensor, fill_value: Any, dtype: Any = None, device: Any = None) -> Tensor:
    r"""``fill_value`` in the shape, dtype and device of ``input``."""
    return full(input.shape, fill_value, dtype or input.dtype, device or input.device)


def rand_like(input: Tensor, generator: backend.Generator | None = None) -> Tensor:
    r"""Uniform on [0, 1) in the shape, dtype and device of ``input``."""
    return rand(*input.shape, generator=generator, dtype=input.dtype, device=input.device)


def randn_like(input: Tensor, generator: backend.Generator | None = None) -> Tensor:
    r"""Standard normal in the shape, dtype and device of ``input``."""
    return randn(*input.shape, generator=generator, dtype=input.dtype, device=input.device)
