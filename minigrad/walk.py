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
        elif isinstance(g, tape._Tensor) or not self.mine[index]:
            self.grads[index] = held + g
            self.mine[index] = True
        else:
            held += g


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
        return (
            g,
            *[o * 0 if needed else None for o, needed in zip(others, self.needs_input_grad[1:])],
        )


def _depend(results: tuple[Any, ...], saved: Sequence[Any]) -> tuple[Any, ...]:
    r"""Let gradients that came out constant depend, with derivative 0, on what the rule read."""
    if all(g is None or g._requires_grad for g in results):
        return results
    read: list[Any] = []
    for value in saved:
        parts = value if type(value) is tuple else (value,)
        read += [t for t in parts if isinstance(t, tape._Tensor) and t._requires_grad]
    if not read:
        return results
    return tuple(
        [g if g is None or g._requires_grad else _Locally.apply(g, *read) for g in results]
    )


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
    if state.anomaly:
        tape._check_finite(node, grads, result, "backward")
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
    useful: set[Any] = set() if wanted is None else _useful(roots, wanted)

    def leads(edge: tuple[Any, int]) -> bool:  # to a wanted place
        return wanted is not None and ((id(edge[0]), edge[1]) in wanted or edge[0] in useful)

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
        if wanted is not None:
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
        for leaf_id, (tensor, entry) in leaves.items():
            if (leaf_id, 0) in wanted:
                g = entry.grads[0]
                caught[wanted[leaf_id, 0]] = _run_hooks(tensor._hooks, g) if tensor._hooks else g
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
