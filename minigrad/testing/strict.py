r"""The strict array module: NumPy underneath, CuPy's manners on top. For tests only.

Belongs here: an array type and an array module that behave as CuPy does where that differs from
NumPy, so that a machine without a GPU finds code that would fail, wait or go wrong on one.
Does not belong here: anything that runs outside tests.

Importing this module registers the device ``"strict"``. What it enforces:

- only names that CuPy 14 has: ``strict.errstate`` is an ``AttributeError``;
- no implicit way to the host: ``float(x)``, ``if x:``, ``np.asarray(x)`` are a ``TypeError``;
- no operands from two libraries: ``x + np.ones(3)`` is a ``TypeError``;
- no NumPy scalars: a full reduction gives a 0-d array;
- an integer-array index out of range wraps silently, as on a GPU: the op must have checked it;
- kernel launches, synchronisations and copies to the device are counted.

>>> import numpy as np
>>> from minigrad.testing.strict import strict
>>> x = strict.asarray(np.arange(3.0))
>>> with strict.count() as c:
...     y = (x * x).sum()
>>> c.launches, c.synchronisations, y.get().item()
(2, 0, 5.0)
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from minigrad.backend import register_array_type
from minigrad.testing import _cupy_names as names

__all__ = ["Counts", "StrictArray", "strict"]

_HINT = "say so with backend.to_numpy(x) or x.get(), which wait for the device"


@dataclasses.dataclass
class Counts:
    r"""What the device was asked to do. One call counts as one launch, although some of CuPy's
    functions need several: a lower bound. Views cost nothing."""

    launches: int = 0
    synchronisations: int = 0
    copies_to_device: int = 0


counts = Counts()
_counters: list[Counts] = [counts]


@contextlib.contextmanager
def count() -> Iterator[Counts]:
    r"""Count what happens inside the ``with`` block."""
    counter = Counts()
    _counters.append(counter)
    try:
        yield counter
    finally:
        # By identity: two counters with the same figures are equal.
        _counters[:] = [c for c in _counters if c is not counter]


def _launch() -> None:
    for counter in _counters:
        counter.launches += 1


def _synchronise() -> None:
    for counter in _counters:
        counter.synchronisations += 1


def _copy_to_device() -> None:
    for counter in _counters:
        counter.copies_to_device += 1


# ---------------------------------------------------------------------------- wrap and unwrap
def _refuse(what: str) -> Callable[..., Any]:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(f"strict array: {what} would copy it to the host silently; {_HINT}")

    return method


def _unwrap(value: Any, name: str) -> Any:
    r"""NumPy arrays for strict ones, also inside lists and tuples; NumPy arrays are refused."""
    if type(value) is StrictArray:
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(
            f"strict.{name}: expected arrays of the strict module, got a numpy.ndarray of shape "
            f"{value.shape}; move it with backend.to_device first"
        )
    if isinstance(value, (list, tuple)):
        return type(value)(_unwrap(v, name) for v in value)
    return value


def _arrays_in(values: Any) -> Iterator[StrictArray]:
    for value in values:
        if type(value) is StrictArray:
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _arrays_in(value)


def _wrap(result: Any, inputs: list[StrictArray]) -> Any:
    r"""A StrictArray for an array or a NumPy scalar; one launch if it is no view of an input."""
    if isinstance(result, tuple) and hasattr(result, "_fields"):  # linalg's named tuples
        return type(result)(*(_wrap(r, inputs) for r in result))
    if isinstance(result, (list, tuple)):
        return type(result)(_wrap(r, inputs) for r in result)
    if not isinstance(result, (np.ndarray, np.generic, bool)):
        return result
    array = np.asarray(result)
    for x in inputs:
        if array is x._a:
            return x
        if array.size and array.base is not None and np.may_share_memory(array, x._a):
            return StrictArray(array, x if x._base is None else x._base)
    if array.size:
        _launch()
    return StrictArray(array)


def _call(name: str, function: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    r"""Run NumPy's ``function`` on what is inside the strict arrays, and wrap what it returns."""
    inputs = list(_arrays_in(args)) + list(_arrays_in(kwargs.values()))
    out = kwargs.get("out")
    if isinstance(out, tuple):
        (out,) = out
    if out is not None and type(out) is not StrictArray:
        raise TypeError(f"strict.{name}: expected out= a strict array, got {type(out).__name__}")
    result = function(
        *(_unwrap(a, name) for a in args), **{k: _unwrap(v, name) for k, v in kwargs.items()}
    )
    if out is not None:
        _launch()
        return out
    return _wrap(result, inputs)


def _is_mask(key: Any) -> bool:
    keys = key if isinstance(key, tuple) else (key,)
    return any(getattr(k, "dtype", None) == np.bool_ for k in keys)


def _index(array: np.ndarray, key: Any, name: str) -> Any:
    r"""The index on NumPy arrays. Integer arrays wrap around, as CuPy's do."""
    keys = list(key) if isinstance(key, tuple) else [key]
    consumed = sum(
        k._a.ndim if type(k) is StrictArray and k.dtype == bool else 1
        for k in keys
        if k is not None and k is not Ellipsis
    )
    axis = 0
    result: list[Any] = []
    for k in keys:
        if k is None:
            result.append(None)
        elif k is Ellipsis:
            axis += array.ndim - consumed
            result.append(k)
        elif type(k) is StrictArray and k.dtype == bool:
            axis += k._a.ndim
            result.append(k._a)
        elif type(k) is StrictArray:
            size = array.shape[axis] if axis < array.ndim else 0
            result.append(k._a % size if size else k._a)
            axis += 1
        else:
            result.append(_unwrap(k, name))
            axis += 1
    return tuple(result) if isinstance(key, tuple) else result[0]


# ------------------------------------------------------------------------------- the array
class _Pointer:
    r"""``x.data.ptr``, as CuPy has it."""

    def __init__(self, ptr: int) -> None:
        self.ptr = ptr


class _Flags:
    def __init__(self, flags: Any) -> None:
        self.c_contiguous: bool = flags.c_contiguous
        self.f_contiguous: bool = flags.f_contiguous
        self.owndata: bool = flags.owndata

    def __getitem__(self, name: str) -> bool:
        return bool(getattr(self, name.lower()))


class StrictArray:
    r"""An array on the device ``"strict"``. Made by ``strict.asarray`` and the like."""

    __slots__ = ("__weakref__", "_a", "_base")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, array: np.ndarray, base: StrictArray | None = None) -> None:
        if type(array) is not np.ndarray:
            raise TypeError(f"StrictArray: expected a numpy.ndarray, got {type(array).__name__}")
        self._a = array
        self._base = base

    # What the host knows without asking the device.
    shape = property(lambda self: self._a.shape)
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    strides = property(lambda self: self._a.strides)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    flags = property(lambda self: _Flags(self._a.flags))
    base = property(lambda self: self._base)
    data = property(lambda self: _Pointer(self._a.__array_interface__["data"][0]))
    T = property(lambda self: _call("T", lambda a: a.T, (self,), {}))
    mT = property(lambda self: _call("mT", lambda a: a.mT, (self,), {}))
    real = property(lambda self: _call("real", lambda a: a.real, (self,), {}))
    imag = property(lambda self: _call("imag", lambda a: a.imag, (self,), {}))

    def __len__(self) -> int:
        return len(self._a)

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self._a)))

    # The explicit ways to the host. Each waits for the device.
    def get(self) -> np.ndarray:
        r"""A copy on the host."""
        _synchronise()
        return self._a.copy()

    def item(self, *args: int) -> Any:
        r"""One element as a Python number."""
        _synchronise()
        return self._a.item(*args)

    def tolist(self) -> Any:
        r"""The elements as nested lists."""
        _synchronise()
        return self._a.tolist()

    def tobytes(self) -> bytes:
        r"""The elements as bytes."""
        _synchronise()
        return self._a.tobytes()

    def __repr__(self) -> str:
        _synchronise()
        return f"strict.{self._a!r}"

    # The implicit ways: refused.
    __array__ = _refuse("np.asarray(x)")
    __float__ = _refuse("float(x)")
    __int__ = _refuse("int(x)")
    __complex__ = _refuse("complex(x)")
    __index__ = _refuse("the use of it as a Python index")
    __bool__ = _refuse("bool(x) (`if x`, `x and y`)")
    __contains__ = _refuse("`in`")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        # np.float64(2) * x arrives here, and is fine, as it is in CuPy.
        if method != "__call__" or not any(isinstance(x, np.generic) for x in inputs):
            for x in inputs:
                _unwrap(x, ufunc.__name__)  # a mixed operand gets the clearer message
            raise TypeError(f"np.{ufunc.__name__} of a strict array: call its own module's")
        return _call(ufunc.__name__, ufunc, inputs, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        raise TypeError(f"np.{function.__name__} of a strict array: call its own module's")

    # Indexing.
    def __getitem__(self, key: Any) -> Any:
        if _is_mask(key):
            _synchronise()  # the size of the result is known to the device only
        index = _index(self._a, key, "getitem")
        return _wrap(self._a[index], [self])

    def __setitem__(self, key: Any, value: Any) -> None:
        value = _unwrap(value, "setitem")
        if isinstance(value, (list, tuple)):
            raise TypeError("strict setitem: expected an array or a scalar, got a sequence")
        if _is_mask(key) and np.size(value) != 1:
            _synchronise()
        self._a[_index(self._a, key, "setitem")] = value
        _launch()

    # Methods that change the array, or that need more than a plain call.
    def fill(self, value: Any) -> None:
        r"""Set every element to ``value``."""
        self._a.fill(_unwrap(value, "fill"))
        _launch()

    def set(self, array: np.ndarray) -> None:
        r"""Copy an array of the host into this one."""
        np.copyto(self._a, array)
        _copy_to_device()

    def sort(self, axis: int = -1) -> None:
        r"""Sort in place."""
        self._a.sort(axis=axis)
        _launch()

    def nonzero(self) -> tuple[StrictArray, ...]:
        r"""The indices of the elements that are not zero."""
        return strict.nonzero(self)

    def scatter_add(self, indices: Any, values: Any) -> None:
        r"""``strict.add.at``."""
        strict.add.at(self, indices, values)

    def __copy__(self) -> StrictArray:
        return self.copy()  # type: ignore[attr-defined]

    def __deepcopy__(self, memo: Any) -> StrictArray:
        return self.copy()  # type: ignore[attr-defined]


def _method(name: str) -> Callable[..., Any]:
    def method(self: StrictArray, *args: Any, **kwargs: Any) -> Any:
        _check_keywords(name, kwargs)
        return _call(name, getattr(np.ndarray, name), (self, *args), kwargs)

    method.__name__ = name
    return method


def _operator(name: str, ufunc: Any, kind: str) -> Callable[..., Any]:
    def method(self: StrictArray, other: Any = None) -> Any:
        if kind == "unary":
            return _call(name, ufunc, (self,), {})
        if not isinstance(other, (StrictArray, bool, int, float, complex, np.generic, np.ndarray)):
            return NotImplemented
        if kind == "reflected":
            return _call(name, ufunc, (other, self), {})
        return _call(name, ufunc, (self, other), {"out": self} if kind == "inplace" else {})

    return method


def _check_keywords(name: str, kwargs: dict[str, Any]) -> None:
    for key in kwargs:
        if key in names.KEYWORDS_OF_NUMPY_ONLY and key not in names.KEYWORDS.get(name, ()):
            raise TypeError(f"strict.{name}: CuPy's {name} has no argument {key!r}")


for _name in names.ARRAY_METHODS:
    setattr(StrictArray, _name, _method(_name))
for _name, _ufunc in names.BINARY_OPERATORS.items():
    setattr(StrictArray, f"__{_name}__", _operator(_name, getattr(np, _ufunc), "binary"))
    if _name not in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(StrictArray, f"__r{_name}__", _operator(_name, getattr(np, _ufunc), "reflected"))
        if _name not in ("matmul", "divmod"):
            setattr(StrictArray, f"__i{_name}__", _operator(_name, getattr(np, _ufunc), "inplace"))
for _name, _ufunc in names.UNARY_OPERATORS.items():
    setattr(StrictArray, f"__{_name}__", _operator(_name, getattr(np, _ufunc), "unary"))


# ------------------------------------------------------------------------------- the module
class _Ufunc:
    r"""A ufunc with the arguments and methods that CuPy's have."""

    def __init__(self, name: str) -> None:
        self.name = self.__name__ = name
        self._ufunc = getattr(np, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        extra = set(kwargs) - {"out", "dtype", "casting", *names.KEYWORDS.get(self.name, ())}
        if extra:
            raise TypeError(f"strict.{self.name}: CuPy's ufuncs have no argument {extra}")
        if not all(isinstance(a, (StrictArray, int, float, complex, np.generic)) for a in args):
            for a in args:
                _unwrap(a, self.name)
            raise TypeError(f"strict.{self.name}: expected arrays or scalars, got {args!r}")
        return _call(self.name, self._ufunc, args, kwargs)

    def _only(self, method: str, allowed: tuple[str, ...]) -> None:
        if self.name not in allowed:
            raise NotImplementedError(f"CuPy lacks {self.name}.{method}")

    def at(self, a: StrictArray, indices: Any, b: Any) -> None:
        r"""Unbuffered ``a[indices] op= b``: on a GPU by atomics, so for some dtypes only."""
        self._only("at", ("add", "subtract", "maximum", "minimum"))
        if a.dtype.name not in names.ATOMIC_DTYPES:
            raise TypeError(f"strict.{self.name}.at: CuPy has none for {a.dtype}")
        if _is_mask(indices):
            _synchronise()
        self._ufunc.at(a._a, _index(a._a, indices, "at"), _unwrap(b, self.name + ".at"))
        _launch()

    def reduce(self, array: StrictArray, axis: Any = 0, **kwargs: Any) -> Any:
        r"""Reduce along ``axis``."""
        self._only("reduce", ("add", "multiply", "maximum", "minimum"))
        _check_keywords("reduce", kwargs)
        return _call(self.name + ".reduce", self._ufunc.reduce, (array, axis), kwargs)

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Any:
        r"""The ufunc of every pair."""
        return _call(self.name + ".outer", self._ufunc.outer, (a, b), kwargs)

    def accumulate(self, array: StrictArray, axis: int = 0, **kwargs: Any) -> Any:
        r"""Running sum or product."""
        self._only("accumulate", ("add", "multiply"))
        return _call(self.name + ".accumulate", self._ufunc.accumulate, (array, axis), kwargs)


def _function(name: str, function: Callable[..., Any], *, creates: bool) -> Callable[..., Any]:
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _check_keywords(name, kwargs)
        if not creates and next(_arrays_in((*args, *kwargs.values())), None) is None:
            for a in (*args, *kwargs.values()):
                _unwrap(a, name)
            raise TypeError(f"strict.{name}: expected a strict array, got none")
        if name in names.SYNCHRONISING or (name == "where" and len(args) == 1):
            _synchronise()
        if name in names.WRAPPING_INDEX:
            args, kwargs = _wrap_indices(name, args, kwargs)
        return _call(name, function, args, kwargs)

    wrapped.__name__ = name
    wrapped.__doc__ = f"NumPy's ``{name}`` with CuPy's manners."
    return wrapped


def _wrap_indices(name: str, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    r"""``take`` and the like with indices that wrap around, as CuPy's do."""
    arguments = dict(zip(names.WRAPPING_INDEX[name], args, strict=False)) | kwargs
    array, indices, axis = arguments["a"], arguments["indices"], arguments.get("axis")
    if type(array) is StrictArray and type(indices) is StrictArray and array.size:
        size = array.size if axis is None else array.shape[axis]
        arguments["indices"] = StrictArray(indices._a % size)
    positional = [arguments.pop(p) for p in names.WRAPPING_INDEX[name] if p in arguments]
    return tuple(positional), arguments


def _from_host(name: str) -> Callable[..., Any]:
    def wrapped(a: Any, *args: Any, **kwargs: Any) -> Any:
        if type(a) is StrictArray:
            return _call(name, getattr(np, name), (a, *args), kwargs)
        if next(_arrays_in((a,)), None) is not None:
            raise TypeError(f"strict.{name}: expected an array or numbers; use stack for a list")
        _copy_to_device()
        array = getattr(np, name)(a, *args, **kwargs)
        return StrictArray(array.copy(order="K") if array is a or array.base is not None else array)

    return wrapped


def _metadata(name: str) -> Callable[..., Any]:
    r"""A function that asks for shapes and dtypes only, and answers with a host value."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return getattr(np, name)(*(a._a if type(a) is StrictArray else a for a in args), **kwargs)

    return wrapped


class _StrictModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"module {self.__name__!r} has no attribute {name!r}: CuPy lacks it, or it makes no "
            "sense without a GPU, or it is not listed in minigrad/testing/_cupy_names.py yet"
        )


def _namespace(name: str, functions: tuple[str, ...], source: Any, creates: bool) -> _StrictModule:
    module = _StrictModule(name)
    for f in functions:
        setattr(module, f, _function(f, getattr(source, f), creates=creates))
    return module


class _Generator:
    r"""``cupy.random.Generator``: no ``permutation``, ``shuffle``, ``choice``, ``normal``."""

    def __init__(self, seed: int | None = None) -> None:
        generator = np.random.default_rng(seed)
        for name in names.GENERATOR_METHODS:
            setattr(self, name, _function(name, getattr(generator, name), creates=True))


def _build() -> _StrictModule:
    module = _StrictModule("strict", __doc__)
    for name in names.UFUNCS:
        setattr(module, name, _Ufunc(name))
    for name in names.FUNCTIONS:
        if hasattr(np, name):  # an older NumPy lacks some
            setattr(module, name, _function(name, getattr(np, name), creates=False))
    for name in names.CREATION:
        setattr(module, name, _function(name, getattr(np, name), creates=True))
    for name in names.FROM_HOST:
        setattr(module, name, _from_host(name))
    for name in names.METADATA:
        setattr(module, name, _metadata(name))
    for name in names.CONSTANTS:
        setattr(module, name, getattr(np, name))
    tricks = ("as_strided", "sliding_window_view")
    parts: dict[str, Any] = {
        "linalg": _namespace("strict.linalg", names.LINALG, np.linalg, creates=False),
        "fft": _namespace("strict.fft", names.FFT, np.fft, creates=False),
        "random": _namespace("strict.random", names.RANDOM, np.random, creates=True),
        "lib": _StrictModule("strict.lib"),
        "ndarray": StrictArray,
        "asnumpy": lambda a: a.get() if type(a) is StrictArray else np.asarray(a),
        "count": count,
        "counts": counts,
    }
    for name, part in parts.items():
        setattr(module, name, part)
    module.linalg.LinAlgError = np.linalg.LinAlgError
    module.random.default_rng = _Generator
    module.random.Generator = _Generator
    module.lib.stride_tricks = _namespace(
        "strict.lib.stride_tricks", tricks, np.lib.stride_tricks, creates=False
    )
    return module


strict: Any = _build()
register_array_type(StrictArray, strict, "strict")
