r"""The walk back along the tape: from a loss to the gradients of what it was computed from.

Belongs here: the order of the visits, what flows into a node, hooks, and what happens at leaves;
:func:`backward` and :func:`grad`. Does not belong here: what a node is (``autograd.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from . import autograd as tape
from .autograd import Function
from .backend import device_of, get_array_module, is_array
from .gradmode import set_grad_enabled, state

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["backward", "grad"]


def _sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    r"""Undo broadcasting: sum ``g`` over the axes along which ``shape`` was repeated."""
    lead = g.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        [i + lead for i, n in enumerate(shape) if n == 1 and g.shape[i + lead] != 1]
    )
    if isinstance(g, tape._Tensor):
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
        only_view = sys.getrefcount(base) <= 3 + _REFERENCES_OF_CALL
        if base is not g and is_array(base) and only_view and base.size == g.size:
            return g
    return g.copy()


def _count_call_references() -> int:
    holder = [object()]

    def count(g: object) -> int:
        return sys.getrefcount(g)

    return count(holder[0]) - 3


_REFERENCES_OF_CALL = _count_call_references()  # 0 or 1, depending on the interpreter


def _run_hooks(hooks: Iterable[Callable[[Tensor], Any]], g: Any) -> Any:
    for hook in tuple(hooks):
        tensor = g if isinstance(g, tape._Tensor) else tape._wrap(g)
        result = hook(tensor)
        if result is not None:
            if tuple(result.shape) != tuple(tensor.shape):
                raise ValueError(
                    f"hook: expected a gradient of shape {tuple(tensor.shape)}, "
                    f"got {tuple(result.shape)}"
                )
            tensor = result
        g = tensor if isinstance(g, tape._Tensor) else tensor.data
    return g


class _Locally(Function):
    r"""y = x, which depends on the other inputs with derivative 0.

    The gradient of a piecewise linear op (relu) takes a value that only *selects* from the input.
    Its own derivative by that input is then 0, as in PyTorch, rather than an error.
    """

    is_view = True
    converts = False

    def forward(self, x: Any, *others: Any) -> Any:
        return x

    def backward(self, g: Any, others: Any) -> Any:
        needs = self.needs_input_grad
        return (g if needs[0] else None, *map(_zeros_like, others, needs[1:]))


def _zeros_like(value: Any, wanted: bool) -> Any:
    r"""Zeros, a tensor for a tensor; not ``0 * value``, which is NaN at infinity."""
    if not wanted:
        return None
    if isinstance(value, tape._Tensor):
        return tape._wrap(_zeros_like(value.data, True))
    return get_array_module(value).zeros_like(value)


def _place(tensor: Tensor) -> tuple[int, int]:
    return (id(tensor if tensor._node is None else tensor._node), tensor._index)


def _reads(result: Any, places: set[tuple[int, int]], first: int) -> bool:
    r"""Whether ``result`` depends on any of ``places`` through nodes from number ``first`` on."""
    if not result._requires_grad:
        return False
    if _place(result) in places:
        return True
    stack, seen = [result._node], set()
    while stack:
        node = stack.pop()
        if node is None or node._order < first or node in seen:
            continue
        seen.add(node)
        for edge in node._edges:
            if edge is not None:
                if (id(edge[0]), edge[1]) in places:
                    return True
                if isinstance(edge[0], Function):
                    stack.append(edge[0])
    return False


def _depend(results: tuple[Any, ...], saved: Sequence[Any], first: int) -> tuple[Any, ...]:
    r"""Let gradients that came out independent of everything the rule read, by nodes from number
    ``first`` on, depend on it with derivative 0."""
    read: list[Any] = []
    for value in saved:
        parts = value if type(value) is tuple else (value,)
        read += [t for t in parts if isinstance(t, tape._Tensor) and t._requires_grad]
    if not read:
        return results
    places = {_place(t) for t in read}
    return tuple(
        [g if g is None or _reads(g, places, first) else _Locally.apply(g, *read) for g in results]
    )


def _call_rule(node: Function, grads: list[Any], create_graph: bool) -> tuple[Any, ...]:
    g = grads[0] if node._n_outputs == 1 else tuple(grads)
    if create_graph:
        saved, first = node._fetch(node._wants, True), next(tape._sequence)
        result = node.backward(g, *saved)
        result = _depend(result if type(result) is tuple else (result,), saved, first)
    elif node.backward_array is not None:
        result = node.backward_array(g, *node._fetch(node._wants_array, False))
    else:
        result = node.backward(g, *node._fetch(node._wants, False))
    if type(result) is not tuple:
        result = (result,)
    if state.anomaly:
        tape._check_finite(node, grads, result, "backward")
    return result


# What flows along an edge ends in a node or in a leaf tensor.
_Place = Any


def _walk(
    roots: Sequence[Tensor],
    seeds: Sequence[Any],
    retain_graph: bool,
    create_graph: bool,
    wanted: dict[tuple[int, int], int] | None,
) -> tuple[dict[_Place, list[Any]], dict[int, Any]]:
    r"""Send the seeds down the graph. Returns what reached each leaf, and, if ``wanted`` names
    places ``(id of node or leaf, output)``, what passed through those."""
    pending: dict[_Place, list[Any]] = {}  # what has flowed in so far, a gradient for each output
    ours: set[tuple[_Place, int]] = set()  # sums made here, which may be added to in place
    caught: dict[int, Any] = {}
    heap: list[tuple[int, Function]] = []
    useful: set[_Place] = set() if wanted is None else _useful(roots, wanted)

    def send(target: _Place, index: int, g: Any) -> None:
        entry = pending.get(target)
        if entry is None:
            if isinstance(target, Function):
                if target._freed:
                    raise _freed_error(target)
                heappush(heap, (-target._order, target))
                entry = pending[target] = [None] * target._n_outputs
            else:
                entry = pending[target] = [None]
        held = entry[index]
        if held is None:
            entry[index] = g
        elif create_graph or (target, index) not in ours:
            entry[index] = held + g
            ours.add((target, index))
        else:
            held += g
            entry[index] = held  # a 0-d NumPy result is a scalar: += made a new one

    for root, seed in zip(roots, seeds):
        send(root if root._node is None else root._node, root._index, seed)
    del seeds, seed

    while heap:
        node = heappop(heap)[1]
        grads = pending.pop(node)
        if node._output_hooks or node._retained:
            _show(node, grads, wanted is None)
        edges, needs = node._edges, node.needs_input_grad
        if wanted is not None:
            for index, g in enumerate(grads):
                if g is not None and (id(node), index) in wanted:
                    caught[wanted[id(node), index]] = g
            if node not in useful:
                continue
            edges = [  # those that lead to a wanted place
                e if e and (e[0] in useful or (id(e[0]), e[1]) in wanted) else None for e in edges
            ]
            node.needs_input_grad = [e is not None for e in edges]
        try:
            results = _call_rule(node, grads, create_graph)
        finally:
            node.needs_input_grad = needs
        if len(results) < len(edges) and any(edges[len(results) :]):
            raise RuntimeError(
                f"backward: the gradient rule of {type(node).__name__} returned {len(results)} "
                f"gradients for {len(edges)} inputs"
            )
        shapes = node._input_shapes
        del grads
        for i, edge in enumerate(edges):
            if edge is not None:
                g = results[i]
                if g is not None:
                    if shapes is not None and g.shape != shapes[i]:
                        g = _sum_to(g, shapes[i])
                    send(edge[0], edge[1], g)
        del results
        g = None
        if not retain_graph:
            # Everything the op held goes, and whoever comes again is told so.
            node.__dict__.clear()
            node._freed = True
    return pending, caught


def _show(node: Function, grads: list[Any], keep: bool) -> None:
    r"""Run the hooks of a node's outputs and keep the gradients that were asked for."""
    for index, hooks in (node._output_hooks or {}).items():
        if grads[index] is not None:
            grads[index] = _run_hooks(hooks, grads[index])
    for index, reference in (node._retained or {}).items():
        tensor = reference()
        if keep and tensor is not None and grads[index] is not None:
            _accumulate(tensor, grads[index], owned=False)


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
                if edge is not None and ((id(edge[0]), edge[1]) in wanted or edge[0] in useful):
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
    if tuple(g.shape) != tuple(tensor.shape):
        raise RuntimeError(
            f"backward: a gradient rule gave shape {tuple(g.shape)} for a tensor of shape "
            f"{tuple(tensor.shape)}"
        )
    if isinstance(g, tape._Tensor):
        tensor.grad = g.clone() if tensor.grad is None else tensor.grad + g
        return
    if g.dtype != tensor.data.dtype:
        g = g.astype(tensor.data.dtype)
    elif not owned and tensor.grad is None:
        g = g.copy()
    tensor.grad = tape._wrap(g if tensor.grad is None else tensor.grad.data + g)


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
            seeds.append(tape._wrap(g) if create_graph else g)
            continue
        array = g.data if isinstance(g, tape._Tensor) else g
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
        seeds.append(
            (g if isinstance(g, tape._Tensor) else tape._wrap(g)) if create_graph else array
        )
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
        del seeds
        for tensor, grads in leaves.items():
            if tensor._hooks:
                grads[0] = _run_hooks(tensor._hooks, grads[0])
        for tensor, grads in leaves.items():
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
    >>> (dy,) = mg.autograd.grad((x**3).sum(), x, create_graph=True)  # 3 x^2
    >>> (d2y,) = mg.autograd.grad(dy.sum(), x)  # 6 x
    >>> dy.item(), d2y.item()
    (27.0, 18.0)
    """
    outputs = [outputs] if isinstance(outputs, tape._Tensor) else list(outputs)
    inputs = [inputs] if isinstance(inputs, tape._Tensor) else list(inputs)
    if grad_outputs is not None and (
        isinstance(grad_outputs, tape._Tensor) or is_array(grad_outputs)
    ):
        grad_outputs = [grad_outputs]
    for i, x in enumerate(inputs):
        if not isinstance(x, tape._Tensor):
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
        for leaf, (g,) in leaves.items():
            if (id(leaf), 0) in wanted:
                caught[wanted[id(leaf), 0]] = _run_hooks(leaf._hooks, g) if leaf._hooks else g
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
            g = tape._wrap(g.copy() if g.dtype == x.data.dtype else g.astype(x.data.dtype))
        elif place[i] in used:
            g = g.clone()
        used.add(place[i])
        results.append(g)
    return tuple(results)
