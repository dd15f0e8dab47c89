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

import contextlib
import itertools
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import device_of, get_array_module, get_default_dtype, is_array

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = [
    "Function",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]


# ------------------------------------------------------------------------------------ grad mode
class _State(threading.local):
    grad_enabled = True
    anomaly = False


_state = _State()


def is_grad_enabled() -> bool:
    r"""True if ops on tensors that require gradients are being recorded in this thread."""
    return _state.grad_enabled


class _Switch(contextlib.ContextDecorator):
    r"""Sets one field of the thread's state for a ``with`` block or a decorated function."""

    _field = "grad_enabled"

    def __init__(self, value: bool) -> None:
        self._value = value
        self._previous: list[bool] = []  # a stack: the same object may be entered repeatedly

    def __enter__(self) -> None:
        self._previous.append(getattr(_state, self._field))
        setattr(_state, self._field, self._value)

    def __exit__(self, *exc: object) -> None:
        setattr(_state, self._field, self._previous.pop())

    def _recreate_cm(self) -> _Switch:  # each call of a decorated function gets its own stack
        return _with_value(type(self), self._value)


def _with_value(cls: type[_Switch], value: bool) -> _Switch:
    switch = cls.__new__(cls)
    _Switch.__init__(switch, value)
    return switch


class no_grad(_Switch):  # noqa: N801 - PyTorch's name
    r"""Ops inside are not recorded. A context manager and a decorator.

    >>> import minigrad as mg
    >>> x = mg.ones(2, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Switch):  # noqa: N801
    r"""Ops inside are recorded, also within :class:`no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_Switch):  # noqa: N801
    r"""Record ops, or not, according to ``mode``: at once when called, and for the block or the
    function only when used as a context manager or a decorator."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._before = _state.grad_enabled
        _state.grad_enabled = self._value

    def __enter__(self) -> None:
        self._previous.append(self._before)
        _state.grad_enabled = self._value

    def __call__(self, function: Any) -> Any:
        _state.grad_enabled = self._before  # the call that made the decorator changes nothing
        return super().__call__(function)

    def _recreate_cm(self) -> _Switch:
        return set_grad_enabled(self._value)


class detect_anomaly(_Switch):  # noqa: N801
    r"""Inside, the first NaN or infinity raises an error that names the op, whether it came out of
    the forward or of the gradient rule, and the line of the program that called the forward.

    Slow (every result is examined), so meant for finding a fault.

    >>> import minigrad as mg
    >>> x = mg.zeros(1, requires_grad=True)
    >>> with mg.autograd.detect_anomaly():
    ...     mg.sqrt(x).sum().backward()
    Traceback (most recent call last):
        ...
    FloatingPointError: anomaly: the gradient rule of Sqrt gave inf for input 0; its forward ran ...
    """

    _field = "anomaly"

    def __init__(self, mode: bool = True) -> None:
        super().__init__(bool(mode))


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
    ...     def forward(self, x):
    ...         return x * x * x
    ...     def backward(self, g, x):
    ...         return g * 3 * x * x
    >>> x = mg.tensor([2.0], requires_grad=True)
    >>> (dy,) = mg.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    >>> dy.sum().backward(); dy.item(), x.grad.item()   # 3 x^2 and 6 x
    (12.0, 12.0)
    """

    broadcasts = False
    converts = True
    to_float = False
    is_view = False

    recording = False  # True during forward if the op will become a node of the graph
    needs_input_grad: tuple[bool, ...] = ()

    # Of a node, set when the op is recorded:
    _edges: tuple[tuple[Any, int] | None, ...]  # (node or leaf tensor, which of its outputs)
    _saved: list[tuple[Any, Any, list[int] | None, int]]  # (array, tensor, version now, then)
    _order: int
    _n_outputs: int
    _input_shapes: tuple[Any, ...] | None = None
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
        is_tensor = record = mixed = False
        first: Any = None
        for x in inputs:
            if isinstance(x, _Tensor):
                is_tensor = True
                needed = x._requires_grad
                needs.append(needed)
                record |= needed
                x = x.data
            else:
                needs.append(False)
            arrays.append(x)
            kind = type(x)
            if kind in _SCALARS:
                mixed |= kind is float and first is not None and first.dtype.kind != "f"
            elif first is None:
                first = x
            elif kind is not type(first) or x.dtype != first.dtype:
                mixed = True
        if is_tensor:
            if (mixed or type(inputs[0]) is float) and cls.converts:
                converted = _convert(cls, inputs, arrays)
                if converted is not None:
                    return cls.apply(*converted, **constants)
            if cls.to_float and first is not None and first.dtype.kind != "f":
                return cls.apply(*_to_float(inputs, arrays), **constants)
        if not is_tensor:
            op.needs_input_grad = (True,) * len(arrays)
            op.recording = bool(cls._saves)
            return op.forward(*arrays)
        record = record and _state.grad_enabled
        op.needs_input_grad = tuple(needs)
        op.recording = record
        try:
            out = op.forward(*arrays)
        except ValueError as error:
            if cls.broadcasts:
                _check_broadcast(cls, arrays)
            raise error
        if _state.anomaly:
            op._line = _calling_line()
            _check_finite(op, arrays, out if type(out) is tuple else (out,), "forward")
        if type(out) is tuple:
            results = tuple([_wrap(a) for a in out])
            if record:
                op._record(inputs, arrays, results)
            return results
        result = _wrap(out)
        if record:
            op._record(inputs, arrays, (result,))
        if cls.is_view:
            result._version = inputs[0]._version
        return result

    def _record(self, inputs: Sequence[Any], arrays: Sequence[Any], outputs: tuple) -> None:
        r"""Become a node of the graph: keep edges to where the inputs came from, and what the rule
        wants. Tensors that are not saved are not held, so their memory can go."""
        edges: list[tuple[Any, int] | None] = []
        for x, needed in zip(inputs, self.needs_input_grad):
            if needed:
                edges.append((x, 0) if x._node is None else (x._node, x._index))
            else:
                edges.append(None)
        self._edges = tuple(edges)
        saved: dict[int | None, Any] = {}
        for position in self._saves:
            if position == -1:  # the array alone: the tensor would close a reference cycle
                saved[-1] = tuple([(t.data, None, t._version, t._version[0]) for t in outputs])
            elif position is None:
                n = self._n_named
                saved[None] = tuple([_keep(x, a) for x, a in zip(inputs[n:], arrays[n:])])
            else:
                saved[position] = _keep(inputs[position], arrays[position])
        self._saved = saved
        if self.broadcasts:
            self._input_shapes = tuple([getattr(a, "shape", ()) for a in arrays])
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
            if position == -1:
                values = []
                for index, entry in enumerate(kept):
                    array = self._unpack(entry, False)
                    if as_tensors:
                        tensor = _wrap(array)
                        tensor._version = entry[2]
                        if array.dtype.kind == "f":
                            tensor._node, tensor._index = self, index
                            tensor._requires_grad = True
                        array = tensor
                    values.append(array)
                fetched.append(values[0] if self._n_outputs == 1 else tuple(values))
            elif position is None:
                fetched.append(tuple([self._unpack(entry, as_tensors) for entry in kept]))
            else:
                fetched.append(self._unpack(kept, as_tensors))
        return fetched

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
    r"""``tensor.py`` introduces its class: it needs this module first, and the two are one engine."""
    global _Tensor, _wrap
    _Tensor, _wrap = tensor_type, wrap


# ------------------------------------------------- inputs that differ in type, device or dtype
def _convert(cls: type[Function], inputs: Sequence[Any], arrays: Sequence[Any]) -> list | None:
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
    for i, a in enumerate(values):
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
            if a.dtype != target and (a.dtype.kind == "f" or cls.broadcasts):
                values[i], changed = _cast(values[i], target), True
    return values if changed else None


def _to_float(inputs: Sequence[Any], arrays: Sequence[Any]) -> list:
    r"""Integer and boolean inputs as floats of the default dtype."""
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


# ------------------------------------------------------------------------------------- backward
def _sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    r"""Undo broadcasting: sum ``g`` over the axes along which ``shape`` was repeated."""
    lead = g.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        [i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1]
    )
    if isinstance(g, _Tensor):
        from .ops import reshape
        from .ops import sum as sum_

        return reshape(sum_(g, axes, keepdim=True) if axes else g, shape)
    return (g.sum(axis=axes, keepdims=True) if axes else g).reshape(shape)


def _own(g: Any) -> Any:
    r"""``g``, or a copy of it if anybody else may hold its memory.

    A gradient that is handed to the user must not share memory with another gradient, the seed,
    or a saved value. Counting references finds the usual case, a fresh result, without copying.
    """
    # References to a fresh array: the caller's list, our argument, getrefcount's argument.
    if sys.getrefcount(g) <= 3 + _REFERENCES_OF_CALL:
        base = getattr(g, "base", g)
        if base is None:
            return g
        # A view of an array that only this view holds, and as large (not a broadcast view).
        if base is not g and is_array(base) and sys.getrefcount(base) <= 3 and base.size == g.size:
            return g
    return g.copy()


def _count_call_references() -> int:
    holder = [object()]

    def count(g: object) -> int:
        return sys.getrefcount(g)

    return count(holder[0]) - 3


_REFERENCES_OF_CALL = _count_call_references()  # 0 or 1, depending on the interpreter


class _Pending:
    r"""What has flowed into one node or leaf so far: a gradient for each output."""

    __slots__ = ("grads", "mine")

    def __init__(self, n: int) -> None:
        self.grads: list[Any] = [None] * n
        self.mine: list[bool] = [False] * n  # made here, so it may be added to in place

    def add(self, index: int, g: Any) -> None:
        held = self.grads[index]
        if held is None:
            self.grads[index] = g
        elif isinstance(g, _Tensor) or not self.mine[index]:
            self.grads[index] = held + g
            self.mine[index] = True
        else:
            held += g


def _run_hooks(hooks: Iterable[Callable[[Tensor], Any]], g: Any) -> Any:
    for hook in tuple(hooks):
        tensor = g if isinstance(g, _Tensor) else _wrap(g)
        result = hook(tensor)
        if result is not None:
            if tuple(result.shape) != tuple(tensor.shape):
                raise ValueError(
                    f"hook: expected a gradient of shape {tuple(tensor.shape)}, "
                    f"got {tuple(result.shape)}"
                )
            tensor = result
        g = tensor if isinstance(g, _Tensor) else tensor.data
    return g


class _Locally(Function):
    r"""y = x, which depends on the other inputs with derivative 0.

    The gradient of a piecewise linear op (relu) takes a value that only *selects* from the input.
    Its own derivative by that input is then 0, as in PyTorch, rather than an error.
    """

    is_view = True
    converts = False

    def forward(self, x, *others):
        return x

    def backward(self, g, others):
        return (g, *[o * 0 if needed else None for o, needed in zip(others, self.needs_input_grad[1:])])


def _depend(results: tuple[Any, ...], saved: Sequence[Any]) -> tuple[Any, ...]:
    r"""Let gradients that came out constant depend, with derivative 0, on what the rule read."""
    if all(g is None or g._requires_grad for g in results):
        return results
    read: list[Any] = []
    for value in saved:
        parts = value if type(value) is tuple else (value,)
        read += [t for t in parts if isinstance(t, _Tensor) and t._requires_grad]
    if not read:
        return results
    return tuple([g if g is None or g._requires_grad else _Locally.apply(g, *read) for g in results])


def _call_rule(node: Function, grads: list[Any], create_graph: bool) -> tuple[Any, ...]:
    g = grads[0] if node._n_outputs == 1 else tuple(grads)
    if create_graph:
        saved = node._fetch(node._wants, True)
        result = node.backward(g, *saved)
        result = _depend(result if type(result) is tuple else (result,), saved)
    elif node.backward_array is not None:
        result = node.backward_array(g, *node._fetch(node._wants_array, False))
    else:
        result = node.backward(g, *node._fetch(node._wants, False))
    if type(result) is not tuple:
        result = (result,)
    if _state.anomaly:
        _check_finite(node, grads, result, "backward")
    return result


def _walk(
    roots: Sequence[Tensor],
    seeds: Sequence[Any],
    retain_graph: bool,
    create_graph: bool,
    wanted: dict[tuple[int, int], int] | None,
) -> tuple[dict[int, tuple[Tensor, _Pending]], dict[int, Any]]:
    r"""Send the seeds down the graph. Returns what reached each leaf, and, if ``wanted`` names
    places ``(id of node or leaf, output)``, what passed through those."""
    pending: dict[Function, _Pending] = {}
    leaves: dict[int, tuple[Tensor, _Pending]] = {}
    caught: dict[int, Any] = {}
    heap: list[tuple[int, Function]] = []
    useful = None if wanted is None else _useful(roots, wanted)

    def leads(edge: tuple[Any, int]) -> bool:  # to a wanted place
        return (id(edge[0]), edge[1]) in wanted or edge[0] in useful

    def send(edge: tuple[Any, int], g: Any) -> None:
        target, index = edge
        if isinstance(target, Function):
            entry = pending.get(target)
            if entry is None:
                if target._freed:
                    raise _freed_error(target)
                entry = pending[target] = _Pending(target._n_outputs)
                heappush(heap, (-target._order, target))
            entry.add(index, g)
        else:
            entry_of_leaf = leaves.get(id(target))
            if entry_of_leaf is None:
                entry_of_leaf = leaves[id(target)] = (target, _Pending(1))
            entry_of_leaf[1].add(0, g)

    for root, seed in zip(roots, seeds):
        send((root, 0) if root._node is None else (root._node, root._index), seed)
    del seeds, seed

    while heap:
        node = heappop(heap)[1]
        grads = pending.pop(node).grads
        if node._output_hooks:
            for index, hooks in node._output_hooks.items():
                if grads[index] is not None:
                    grads[index] = _run_hooks(hooks, grads[index])
        if node._retained:
            for index, reference in node._retained.items():
                tensor = reference()
                if tensor is not None and grads[index] is not None and wanted is None:
                    _accumulate(tensor, grads[index], owned=False)
        if wanted is not None:
            for index in range(node._n_outputs):
                if (id(node), index) in wanted and grads[index] is not None:
                    caught[wanted[id(node), index]] = grads[index]
            if node not in useful:
                continue
        edges, needs = node._edges, node.needs_input_grad
        if useful is not None:
            node.needs_input_grad = tuple([e is not None and leads(e) for e in edges])
        try:
            results = _call_rule(node, grads, create_graph)
            asked = node.needs_input_grad
        finally:
            node.needs_input_grad = needs
        shapes = node._input_shapes
        del grads
        for i, edge in enumerate(edges):
            if edge is None or not asked[i]:
                continue
            g = results[i]
            if g is None:
                continue
            if shapes is not None and g.shape != shapes[i]:
                g = _sum_to(g, shapes[i])
            send(edge, g)
        del results
        g = None
        if not retain_graph:
            # Everything the op held goes, and whoever comes again is told so.
            node.__dict__.clear()
            node._freed = True
    return leaves, caught


def _freed_error(node: Function) -> RuntimeError:
    return RuntimeError(
        f"backward: the graph behind {type(node).__name__} was freed by an earlier backward; pass "
        "retain_graph=True to that one to walk it again"
    )


def _useful(roots: Sequence[Tensor], wanted: dict[tuple[int, int], int]) -> set[Function]:
    r"""The nodes from which a wanted place can be reached; the others need no work."""
    useful: set[Function] = set()
    seen: set[Function] = set()
    stack: list[tuple[Function, bool]] = [(r._node, False) for r in roots if r._node is not None]
    while stack:
        node, returning = stack.pop()
        if returning:
            for edge in node._edges:
                if edge is not None and (
                    (id(edge[0]), edge[1]) in wanted or edge[0] in useful
                ):
                    useful.add(node)
                    break
        elif node not in seen:
            if node._freed:
                raise _freed_error(node)
            seen.add(node)
            stack.append((node, True))
            for edge in node._edges:
                if edge is not None and isinstance(edge[0], Function):
                    stack.append((edge[0], False))
    return useful


def _accumulate(tensor: Tensor, g: Any, owned: bool) -> None:
    r"""Add ``g`` to ``tensor.grad``, out of place: the user may hold the old value."""
    if isinstance(g, _Tensor):
        tensor.grad = g.clone() if tensor.grad is None else tensor.grad + g
        return
    if g.dtype != tensor.data.dtype:
        g = g.astype(tensor.data.dtype)
    elif not owned and tensor.grad is None:
        g = g.copy()
    tensor.grad = _wrap(g if tensor.grad is None else tensor.grad.data + g)


def _seeds(
    outputs: Sequence[Tensor], grads: Sequence[Any] | None, name: str, create_graph: bool
) -> list[Any]:
    r"""One gradient for each output: what was given, or one for a scalar."""
    if grads is None:
        grads = [None] * len(outputs)
    if len(grads) != len(outputs):
        raise ValueError(f"{name}: expected {len(outputs)} gradients, got {len(grads)}")
    seeds = []
    for output, g in zip(outputs, grads):
        if not output._requires_grad:
            raise RuntimeError(
                f"{name}: the tensor of shape {tuple(output.shape)} does not require gradients and "
                "has no graph behind it"
            )
        if g is None:
            if output.data.size != 1:
                raise RuntimeError(
                    f"{name}: a gradient can be left out only for a scalar, got a tensor of shape "
                    f"{tuple(output.shape)}; pass one of that shape, or reduce with sum() or mean()"
                )
            g = get_array_module(output.data).ones_like(output.data)
            seeds.append(_wrap(g) if create_graph else g)
            continue
        array = g.data if isinstance(g, _Tensor) else g
        if not is_array(array) or tuple(array.shape) != tuple(output.shape):
            raise ValueError(
                f"{name}: expected a gradient of shape {tuple(output.shape)}, "
                f"got {getattr(array, 'shape', array)!r}"
            )
        if device_of(array) != output.device:
            raise RuntimeError(
                f"{name}: expected a gradient on {output.device}, got {device_of(array)}"
            )
        if array.dtype != output.data.dtype:
            raise TypeError(
                f"{name}: expected a gradient of dtype {output.dtype}, got {array.dtype}"
            )
        seeds.append((g if isinstance(g, _Tensor) else _wrap(g)) if create_graph else array)
    return seeds


def backward(
    outputs: Sequence[Tensor],
    grad_outputs: Sequence[Any] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Sequence[Tensor] | None = None,
) -> None:
    r"""Add d(sum of <output, gradient>)/d(leaf) to ``leaf.grad`` for every leaf behind ``outputs``.

    See :meth:`minigrad.Tensor.backward`, which calls it with one output. With ``inputs``, only
    the gradients of those tensors are computed and accumulated.
    """
    if inputs is not None:
        found = grad(outputs, inputs, grad_outputs, retain_graph, create_graph, allow_unused=True)
        for tensor, g in zip(inputs, found):
            if g is not None:
                _accumulate(tensor, g if create_graph else g.data, owned=True)
        return
    retain = create_graph if retain_graph is None else retain_graph
    seeds = _seeds(outputs, grad_outputs, "backward", create_graph)
    with set_grad_enabled(create_graph):
        leaves, _ = _walk(outputs, seeds, retain, create_graph, None)
        arrived = []
        for tensor, entry in leaves.values():
            if tensor._hooks:
                entry.grads[0] = _run_hooks(tensor._hooks, entry.grads[0])
            arrived.append((tensor, entry.grads))
        del seeds, leaves
        for tensor, grads in arrived:
            if create_graph:
                _accumulate(tensor, grads[0], owned=False)
            else:
                grads[0] = _own(grads[0])
                _accumulate(tensor, grads[0], owned=True)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Any | Sequence[Any] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    r"""The gradients :math:`\sum_k g_k\, \partial\,\text{outputs}_k / \partial\,\text{inputs}_i`.

    Nothing is accumulated: every ``.grad`` stays as it was, and only what lies between ``inputs``
    and ``outputs`` is computed.

    Args:
        outputs: a tensor or several.
        inputs: the tensors, leaves or not, to differentiate by.
        grad_outputs: :math:`g_k`, of the outputs' shapes; may be left out for scalars.
        retain_graph: keep the graph for another walk; by default the value of ``create_graph``.
        create_graph: make the results differentiable themselves.
        allow_unused: give None for an input that the outputs do not depend on.

    Raises:
        RuntimeError: an input does not require gradients, or is not used and ``allow_unused`` is
            False; an output is not a scalar and has no gradient; the graph was freed.

    >>> import minigrad as mg
    >>> x = mg.tensor([3.0], requires_grad=True)
    >>> (dy,) = mg.autograd.grad((x ** 3).sum(), x, create_graph=True)   # 3 x^2
    >>> (d2y,) = mg.autograd.grad(dy.sum(), x)                            # 6 x
    >>> dy.item(), d2y.item()
    (27.0, 18.0)
    """
    outputs = [outputs] if isinstance(outputs, _Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, _Tensor) else list(inputs)
    if grad_outputs is not None and (isinstance(grad_outputs, _Tensor) or is_array(grad_outputs)):
        grad_outputs = [grad_outputs]
    for i, x in enumerate(inputs):
        if not isinstance(x, _Tensor):
            raise TypeError(f"grad: expected tensors as inputs, got {type(x).__name__} at {i}")
        if not x._requires_grad:
            raise RuntimeError(
                f"grad: input {i} of shape {tuple(x.shape)} does not require gradients"
            )
    retain = create_graph if retain_graph is None else retain_graph
    seeds = _seeds(outputs, grad_outputs, "grad", create_graph)
    wanted: dict[tuple[int, int], int] = {}
    place = []
    for x in inputs:
        key = (id(x), 0) if x._node is None else (id(x._node), x._index)
        place.append(wanted.setdefault(key, len(wanted)))
    with set_grad_enabled(create_graph):
        leaves, caught = _walk(outputs, seeds, retain, create_graph, wanted)
        for key, (tensor, entry) in leaves.items():
            if (key, 0) in wanted:
                g = entry.grads[0]
                caught[wanted[key, 0]] = _run_hooks(tensor._hooks, g) if tensor._hooks else g
    del seeds, leaves
    results: list[Tensor | None] = []
    used: set[int] = set()
    for i, x in enumerate(inputs):
        g = caught.get(place[i])
        if g is None:
            if not allow_unused:
                raise RuntimeError(
                    f"grad: the outputs do not depend on input {i} of shape {tuple(x.shape)}; "
                    "pass allow_unused=True to get None for it"
                )
            results.append(None)
            continue
        if not create_graph:
            g = _wrap(g.copy() if g.dtype == x.data.dtype else g.astype(x.data.dtype))
        elif place[i] in used:
            g = g.clone()
        used.add(place[i])
        results.append(g)
    return tuple(results)
