r"""The engine: what an op is, the tape it leaves, and the walk back along it.

Belongs here: :class:`Function`, :func:`grad`, the backward pass, grad mode, anomaly mode.
Does not belong here: any particular op (``ops/``) or the tensor's methods (``tensor.py``).

How it works, in four sentences. Calling an op on tensors runs its ``forward`` on their raw arrays
and, if a gradient may be wanted, keeps the op itself as a *node* with an *edge* to the node (or
leaf tensor) that made each input. ``backward`` visits nodes from the newest to the oldest, which
is a topological order because an op's inputs exist before it, and sums what flows into each.
Each op states its gradient once, with operators and other ops, all of which accept arrays *or*
tensors. A plain ``backward()`` runs the rule on arrays, so nothing is recorded; with
``create_graph=True`` the same lines run on tensors, so the gradient has a graph of its own.
"""

from __future__ import annotations

import itertools
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import device_of, get_array_module, get_default_dtype, is_array
from .gradmode import (
    detect_anomaly,
    enable_grad,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
    state,
)

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "Function",
    "backward",
    "checkpoint",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "hessian",
    "hvp",
    "is_grad_enabled",
    "jacobian",
    "jvp",
    "no_grad",
    "set_grad_enabled",
    "vhp",
    "vjp",
]


# ------------------------------------------------------------------------------------- Function
_SCALARS = frozenset((int, float, bool, type(None)))
_sequence = itertools.count()


class Function:
    r"""An op: its forward on raw arrays, and its gradient rule, stated once.

    ``forward(self, x, y, ...)`` receives raw arrays (or Python scalars, or None) and returns an
    array, or a tuple of arrays for an op with several outputs. It must not change its inputs.

    ``backward(self, g, ...)`` receives the gradient of the loss by the output and returns one
    gradient for each input, or None. The *names* of its further parameters say what is kept from
    the forward: a name of one of forward's parameters gets that input, ``out`` the output. They
    are arrays on a plain ``backward()`` and tensors under ``create_graph=True``; written with
    operators and the functions of :mod:`minigrad.ops`, the same lines serve both, and
    every order of derivative follows. ``self.needs_input_grad`` says which gradients are wanted.

    ``backward_array``, optional, is a faster rule for arrays only, used at first order.

    Constants (an axis, a stride) are keyword arguments of ``__init__``. Attributes that forward
    sets on ``self`` are constants of the rule too: they must not depend differentiably on inputs,
    except for use in ``backward_array``.

    Class attributes: ``broadcasts``: elementwise op, whose inputs broadcast; the engine sums the
    gradients back to the inputs' shapes. ``to_float``: integer inputs become floats first.
    ``converts = False``: inputs may differ in dtype (a condition, an index).
    ``is_view``: the output shares memory with the first input.

    >>> import minigrad as mg
    >>> class Cube(mg.autograd.Function):
    ...     r"y = x^3,  dy/dx = 3 x^2."
    ...
    ...     def forward(self, x):
    ...         return x * x * x
    ...
    ...     def backward(self, g, x):
    ...         return g * 3 * x * x
    >>> x = mg.tensor([2.0], requires_grad=True)
    >>> (dy,) = mg.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    >>> dy.sum().backward()
    >>> dy.item(), x.grad.item()  # 3 x^2 and 6 x
    (12.0, 12.0)
    """

    broadcasts = False
    converts = True
    to_float = False
    is_view = False

    recording = False  # True during forward if the op will become a node of the graph
    needs_input_grad: Sequence[bool] = ()

    # Of a node, set when the op is recorded:
    _edges: list[tuple[Any, int] | None]  # (node or leaf tensor, which of its outputs)
    _saved: dict[int | None, Any]  # of (array, tensor, version now, version then)
    _order: int
    _n_outputs: int
    _input_shapes: list[Any] | None = None
    _output_hooks: dict[int, list[Callable[[Tensor], Tensor | None]]] | None = None
    _retained: dict[int, weakref.ref[Tensor]] | None = None
    _freed = False
    _line = ""

    # Of a class: where the extra parameters of backward / backward_array come from: the position
    # of an input, -1 for the output, None for those that forward takes as *inputs.
    _wants: tuple[int | None, ...] = ()
    _wants_array: tuple[int | None, ...] = ()
    _saves: tuple[int | None, ...] = ()
    _n_named = 0

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.forward is not defined")

    def backward(self, g: Any, *saved: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no gradient rule")

    backward_array: Callable[..., Any] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        code = cls.forward.__code__
        inputs = code.co_varnames[1 : code.co_argcount]
        variadic = code.co_varnames[code.co_argcount] if code.co_flags & 0x04 else None

        def wants(rule: Any) -> tuple[int | None, ...]:
            names = rule.__code__.co_varnames[2 : rule.__code__.co_argcount]
            found: list[int | None] = []
            for name in names:
                if name in inputs:
                    found.append(inputs.index(name))
                elif name == "out":
                    found.append(-1)
                elif name == variadic:
                    found.append(None)
                else:
                    raise TypeError(
                        f"{cls.__name__}.{rule.__name__} asks for {name!r}, which is neither 'out' "
                        f"nor a parameter of forward ({', '.join(inputs) or variadic})"
                    )
            return tuple(found)

        cls._wants = wants(cls.backward) if cls.backward is not Function.backward else ()
        cls._wants_array = wants(cls.backward_array) if cls.backward_array else cls._wants
        cls._n_named = len(inputs)
        cls._saves = tuple(dict.fromkeys(cls._wants + cls._wants_array))

    @classmethod
    def apply(cls, *inputs: Any, **constants: Any) -> Any:
        r"""Run the op. With a tensor among ``inputs`` the result is a tensor, recorded if a
        gradient may be wanted; with raw arrays alone it is a raw array."""
        op = cls(**constants)
        arrays = []
        needs = []
        is_tensor = record = mixed = has_float = False
        first: Any = None
        for x in inputs:
            if isinstance(x, _Tensor):
                is_tensor = True
                needed = x._requires_grad
                needs.append(needed)
                if needed:
                    record = True
                x = x.data
            else:
                needs.append(False)
            arrays.append(x)
            kind = type(x)
            if kind in _SCALARS:
                if kind is float:
                    has_float = True
            elif first is None:
                first = x
            elif kind is not type(first) or x.dtype != first.dtype:
                mixed = True
        if not is_tensor:
            op.needs_input_grad = (True,) * len(arrays)
            op.recording = bool(cls._saves)
            return op.forward(*arrays)
        integers = first is not None and first.dtype.kind != "f"
        if (mixed or (has_float and integers)) and cls.converts:
            converted = _convert(cls, inputs, arrays)
            if converted is not None:
                return cls.apply(*converted, **constants)
        if integers and cls.to_float:
            return cls.apply(*_to_float(cls, inputs, arrays), **constants)
        record = record and state.grad_enabled
        op.needs_input_grad = needs
        op.recording = record
        try:
            out = op.forward(*arrays)
        except ValueError:
            if cls.broadcasts:
                _check_broadcast(cls, arrays)
            raise
        except TypeError as error:
            if "ufunc" not in str(error) and "numpy boolean" not in str(error):
                raise
            dtypes = ", ".join([str(a.dtype) for a in arrays if is_array(a)])
            raise TypeError(f"{cls.__name__.lower()}: not defined for {dtypes}") from error
        if state.anomaly:
            op._line = _calling_line()
            _check_finite(op, arrays, out if type(out) is tuple else (out,), "forward")
        if type(out) is tuple:
            results = tuple([_wrap(a) for a in out])
            if record:
                op._record(inputs, arrays, results)
            if cls.is_view:
                for result in results:
                    result._version = inputs[0]._version
            return results
        result = _wrap(out)
        if record:
            op._record(inputs, arrays, (result,))
        if cls.is_view:
            result._version = inputs[0]._version
        return result

    def _record(
        self, inputs: Sequence[Any], arrays: Sequence[Any], outputs: tuple[Tensor, ...]
    ) -> None:
        r"""Become a node of the graph: keep edges to where the inputs came from, and what the rule
        wants. Tensors that are not saved are not held, so their memory can go."""
        self._edges = [
            ((x, 0) if x._node is None else (x._node, x._index)) if needed else None
            for x, needed in zip(inputs, self.needs_input_grad)
        ]
        if self._saves:
            saved: dict[int | None, Any] = {}
            for position in self._saves:
                if position == -1:  # the array alone: the tensor would close a reference cycle
                    saved[-1] = [(t.data, None, t._version, t._version[0]) for t in outputs]
                elif position is None:
                    n = self._n_named
                    saved[None] = [_keep(x, a) for x, a in zip(inputs[n:], arrays[n:])]
                else:
                    saved[position] = _keep(inputs[position], arrays[position])
            self._saved = saved
        if self.broadcasts:
            shape = outputs[0].data.shape
            for a in arrays:
                if getattr(a, "shape", ()) != shape:
                    self._input_shapes = [getattr(a, "shape", ()) for a in arrays]
                    break
        self._order = next(_sequence)
        self._n_outputs = len(outputs)
        for index, t in enumerate(outputs):
            if t.data.dtype.kind == "f":
                t._node = self
                t._index = index
                t._requires_grad = True

    def _fetch(self, wants: Sequence[int | None], as_tensors: bool) -> list[Any]:
        r"""What the rule asked for, as arrays or as tensors with their history."""
        fetched: list[Any] = []
        for position in wants:
            kept = self._saved[position]
            if type(kept) is tuple:
                fetched.append(self._unpack(kept, as_tensors))
            elif position is None:
                fetched.append(tuple([self._unpack(entry, as_tensors) for entry in kept]))
            else:
                outputs = [self._unpack(entry, False) for entry in kept]
                if as_tensors:
                    outputs = [self._own_output(i, a) for i, a in enumerate(outputs)]
                fetched.append(outputs[0] if len(outputs) == 1 else tuple(outputs))
        return fetched

    def _own_output(self, index: int, array: Any) -> Tensor:
        r"""Output ``index`` as a tensor again, with this node behind it."""
        tensor = _wrap(array)
        tensor._version = self._saved[-1][index][2]
        if array.dtype.kind == "f":
            tensor._node, tensor._index, tensor._requires_grad = self, index, True
        return tensor

    def _unpack(self, entry: tuple[Any, Any, list[int] | None, int], as_tensor: bool) -> Any:
        array, tensor, version, then = entry
        if version is not None and version[0] != then:
            raise RuntimeError(
                f"backward: {type(self).__name__} needs a value of shape {tuple(array.shape)} that "
                f"was changed in place after it was used (version {version[0]}, expected {then}). "
                "Use an out-of-place operation, or change a clone()"
            )
        if as_tensor and tensor is not None:
            if tensor.data is not array:
                raise RuntimeError(
                    f"backward: the .data of a tensor that {type(self).__name__} needs was replaced"
                )
            return tensor
        return array

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _keep(x: Any, array: Any) -> tuple[Any, Any, list[int] | None, int]:
    if isinstance(x, _Tensor):
        return (array, x, x._version, x._version[0])
    return (array, None, None, 0)


_Tensor: Any = None
_wrap: Callable[[Any], Any]


def _connect(tensor_type: type, wrap: Callable[[Any], Any]) -> None:
    r"""``tensor.py`` introduces its class: it needs this module first; the two are one engine."""
    global _Tensor, _wrap
    _Tensor, _wrap = tensor_type, wrap


# ------------------------------------------------- inputs that differ in type, device or dtype
def _convert(cls: type[Function], inputs: Sequence[Any], arrays: Sequence[Any]) -> list[Any] | None:
    r"""Inputs of one device and one dtype, or None if they already are fit for ``cls``.

    PyTorch's rules, except that two *arrays* of different floating dtypes are an error: no
    promotion is silent. Integers take the float's dtype; a 0-d tensor takes the others' dtype;
    NumPy scalars count as Python scalars (``np.sqrt(2)`` would turn float32 into float64).
    """
    name = cls.__name__.lower()
    changed = False
    values = list(inputs)
    for i, a in enumerate(arrays):
        if isinstance(a, np.generic):
            values[i], changed = a.item(), True
    entries = [
        (i, a) for i, a in enumerate(arrays) if not isinstance(a, np.generic) and is_array(a)
    ]
    devices = {str(device_of(a)) for _, a in entries}
    if len(devices) > 1:
        raise RuntimeError(
            f"{name}: expected all tensors on one device, got {', '.join(sorted(devices))}; "
            "move them with .to(device)"
        )
    for a in values:
        if not (isinstance(a, _Tensor) or type(a) in _SCALARS or is_array(a)):
            raise TypeError(f"{name}: expected tensors or numbers, got {type(a).__name__}")
    floats = {a.dtype for _, a in entries if a.dtype.kind == "f" and a.ndim} or {
        a.dtype for _, a in entries if a.dtype.kind == "f"
    }
    if len(floats) > 1:
        if all(a.ndim == 0 for _, a in entries if a.dtype.kind == "f"):
            floats = {max(floats, key=lambda d: d.itemsize)}
        else:
            names = ", ".join(str(d) for d in sorted(floats, key=lambda d: d.itemsize))
            raise TypeError(
                f"{name}: expected one floating dtype, got {names}; nothing is promoted silently, "
                "convert with .to(dtype)"
            )
    target = floats.pop() if floats else None
    if target is None and cls.broadcasts and any(type(v) is float for v in values):
        target = get_default_dtype()  # an integer tensor and a Python float
    if target is not None:
        for i, a in entries:
            if a.dtype != target:
                values[i], changed = _cast(values[i], target), True
    return values if changed else None


def _to_float(cls: type[Function], inputs: Sequence[Any], arrays: Sequence[Any]) -> list[Any]:
    r"""Integer and boolean inputs as floats of the default dtype."""
    for a in arrays:
        if is_array(a) and a.dtype.kind not in "fiub":
            raise TypeError(f"{cls.__name__.lower()}: expected real numbers, got {a.dtype}")
    dtype = get_default_dtype()
    return [
        _cast(x, dtype) if is_array(a) and a.dtype.kind != "f" else x
        for x, a in zip(inputs, arrays)
    ]


def _cast(x: Any, dtype: Any) -> Any:
    return x.to(dtype) if isinstance(x, _Tensor) else x.astype(dtype)


def _check_broadcast(cls: type[Function], arrays: Sequence[Any]) -> None:
    shapes = [tuple(a.shape) for a in arrays if hasattr(a, "shape")]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"{cls.__name__.lower()}: expected shapes that broadcast, got "
            + " and ".join(str(s) for s in shapes)
        ) from None


# --------------------------------------------------------------------------------- anomaly mode
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def _calling_line() -> str:
    r"""File and line of the innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _first_bad(values: Iterable[Any]) -> tuple[int, str] | None:
    for i, a in enumerate(values):
        a = a.data if isinstance(a, _Tensor) else a
        if not is_array(a) or a.dtype.kind != "f":
            continue
        xp = get_array_module(a)
        if not xp.isfinite(a).all().item():
            return i, "nan" if xp.isnan(a).any().item() else "inf"
    return None


def _check_finite(op: Function, given: Iterable[Any], results: Iterable[Any], what: str) -> None:
    if _first_bad(given) is not None:  # not where it appeared first
        return
    bad = _first_bad(results)
    if bad is None:
        return
    if what == "forward":
        raise FloatingPointError(
            f"anomaly: the forward of {type(op).__name__} gave {bad[1]} from finite inputs, at "
            f"{op._line}"
        )
    raise FloatingPointError(
        f"anomaly: the gradient rule of {type(op).__name__} gave {bad[1]} for input {bad[0]}; its "
        f"forward ran at {op._line or 'a line that was not recorded (outside detect_anomaly)'}"
    )


# The rest of the engine, which needs Function; last, so that it finds it.
from .walk import backward, grad  # noqa: E402, I001
from .derivatives import hessian, hvp, jacobian, jvp, vhp, vjp  # noqa: E402
from .recompute import checkpoint  # noqa: E402
