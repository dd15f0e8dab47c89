r"""Less memory for more time: activations that are computed again when the gradient needs them.

Belongs here: :func:`checkpoint`. Does not belong here: saved runs (``train/checkpoint.py``).

The function runs once, and its graph is thrown away except for what it hangs from: the tensors from
outside that it used, whether as arguments or otherwise. They and the outputs become one node. When
the walk comes to that node, the function runs again, with the same random numbers, and the walk
goes through the new graph and on from where that ends.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from . import autograd as tape
from .autograd import Function
from .backend import generators_restored, generators_used
from .gradmode import enable_grad, is_grad_enabled, set_grad_enabled
from .walk import _walk

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["checkpoint"]

_Place = tuple[Any, int]  # a node or leaf tensor, and which of its outputs


def _place(tensor: Tensor) -> _Place:
    return (tensor, 0) if tensor._node is None else (tensor._node, tensor._index)


def _is_newer(target: Any, start: int) -> bool:
    # A node that was freed has no order any more; it is of an older graph.
    return isinstance(target, Function) and getattr(target, "_order", -1) > start


def _crossings(outputs: Sequence[Tensor], start: int) -> Iterator[tuple[Function, int, _Place]]:
    r"""The edges that lead from nodes newer than ``start`` to what is older: the node, which of its
    edges, and the place where it ends."""
    stack = [y._node for y in outputs if y._node is not None and _is_newer(y._node, start)]
    seen = set(stack)
    while stack:
        node = stack.pop()
        for k, edge in enumerate(node._edges):
            if edge is None:
                continue
            if not _is_newer(edge[0], start):
                yield node, k, edge
            elif edge[0] not in seen:
                seen.add(edge[0])
                stack.append(edge[0])


def _tensors(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (tuple, list)) else [outputs]


def _recorded(outputs: Sequence[Any]) -> list[Any]:
    r"""The outputs that have a gradient."""
    return [y for y in outputs if isinstance(y, tape._Tensor) and y._requires_grad]


class _Pass(Function):
    r"""y = x: stands between a recomputed graph and the place outside where it ends."""

    def backward(self, g: Any) -> Any:
        return g

    @classmethod
    def after(cls, place: _Place) -> _Pass:
        op = cls()
        op._edges = [place]
        op._saved = {}
        op._order = next(tape._sequence)
        op._n_outputs = 1
        op.needs_input_grad = (True,)
        return op


class Checkpoint(Function):
    r"""The outputs of a function, whose rule runs it again."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Any) -> None:
        self.call = functools.partial(function, *args, **kwargs)
        self.args = [*args, *kwargs.values()]
        self.places: list[_Place] = []  # what the graph hangs from; the edges of this node

    def run(self) -> Any:
        r"""Run the function and become the node of what it returns."""
        start = next(tape._sequence)
        with generators_used() as self.states:
            outputs = self.call()
        many, results = type(outputs), _tensors(outputs)
        recorded = _recorded(results)
        if not recorded:
            return outputs
        # What the graph hangs from, each place once, in the order in which it was found.
        outside = {(id(p[0]), p[1]): p for _, _, p in _crossings(recorded, start)}
        for y in recorded:
            target, index = _place(y)
            if not _is_newer(target, start):  # handed through
                outside[id(target), index] = (target, index)
        self.positions = {key: i for i, key in enumerate(outside)}
        used = [x for x in self.args if isinstance(x, tape._Tensor)]
        used += [target for target, _ in outside.values() if isinstance(target, tape._Tensor)]
        self.versions = [(x, x._version, x._version[0]) for x in used]
        self.shapes = [getattr(y, "shape", None) for y in results]
        self.places = list(outside.values())
        self._edges = [*self.places]
        self.needs_input_grad = [True] * len(outside)
        self._saved = {}
        self._order = next(tape._sequence)
        self._n_outputs = len(results)
        for i, y in enumerate(results):
            if isinstance(y, tape._Tensor) and y._requires_grad:
                results[i] = tape._wrap(y.data)
                results[i]._version = y._version
                results[i]._node, results[i]._index = self, i
                results[i]._requires_grad = True
        return many(results) if many in (tuple, list) else results[0]

    def run_again(self) -> list[Any]:
        r"""The same outputs with their graph, from the same random numbers."""
        for x, version, then in self.versions:
            if version[0] != then or x._version is not version:
                raise RuntimeError(
                    f"checkpoint: a tensor of shape {x.shape} was changed in place after the "
                    "function used it, so the function cannot be run again"
                )
        with enable_grad(), generators_restored(self.states):
            outputs = _tensors(self.call())
        shapes = [getattr(y, "shape", None) for y in outputs]
        if shapes != self.shapes:
            raise RuntimeError(
                f"checkpoint: the function returned shapes {self.shapes} and, run again, {shapes}; "
                "it must do the same each time"
            )
        return outputs

    def backward(self, g: Any) -> Any:
        given = list(g) if isinstance(g, tuple) else [g]
        create_graph = any(isinstance(x, tape._Tensor) for x in given)
        # What the new graph is to hang from instead of the places outside: leaves of our own, or,
        # if the gradient is to be differentiated, nodes in front of those places.
        ends: list[Any] = [
            _Pass.after(place) if create_graph else tape._wrap(0.0) for place in self.places
        ]
        start = next(tape._sequence)
        outputs = self.run_again()
        for node, k, (target, index) in list(_crossings(_recorded(outputs), start)):
            if isinstance(target, Function) or (id(target), index) in self.positions:
                node._edges[k] = (self._end(ends, target, index), 0)
            # else a leaf that the function made for itself, of whose gradient nobody knows
        roots, seeds = [], []
        for y, seed in zip(outputs, given):
            if seed is None:
                continue
            target, index = _place(y)
            if not _is_newer(target, start):
                y = self._stand_in(self._end(ends, target, index))
            roots.append(y)
            seeds.append(seed)
        wanted = {(id(end), 0): i for i, end in enumerate(ends) if self.needs_input_grad[i]}
        if create_graph:
            for end in ends:
                end._edges = []  # the walk is to end here
            _, caught = _walk(roots, seeds, True, True, wanted)
            for end, place in zip(ends, self.places):
                end._edges = [place]
            return tuple([caught.get(i) for i in range(len(ends))])
        with set_grad_enabled(False):
            leaves, _ = _walk(roots, seeds, False, False, wanted)
        return tuple([leaves[end][0] if end in leaves else None for end in ends])

    def _end(self, ends: list[Any], target: Any, index: int) -> Any:
        i = self.positions.get((id(target), index))
        if i is None:
            raise RuntimeError(
                "checkpoint: the function, run again, used a tensor that it had not used before; "
                "it must do the same each time"
            )
        return ends[i]

    @staticmethod
    def _stand_in(end: Any) -> Any:
        r"""A tensor at ``end``, for an output that the function handed through."""
        if isinstance(end, tape._Tensor):
            return end
        tensor = tape._wrap(0.0)
        tensor._node, tensor._requires_grad = end, True
        return tensor


def checkpoint(
    function: Callable[..., Any], *args: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    r"""``function(*args, **kwargs)`` without keeping its activations: the backward pass runs it a
    second time. A network of n equal blocks, each in a checkpoint, keeps n inputs and the
    activations of one block, for about a third more time.

    Gradients, also of second order, reach the arguments and every other tensor that the function
    uses, such as the weights of its layers; they are the same to the bit, as long as a tensor's
    uses inside and outside need not be summed in another order. What the function draws from any
    :class:`~minigrad.Generator` it draws again (the masks of dropout), and the generators go on
    as if it had run once. Checkpoints may stand inside checkpoints. Under ``no_grad`` this is a
    plain call.

    Args:
        function: returns a tensor, or a tuple or list of tensors and other values. It must do the
            same each time; batch normalisation moves its running averages twice.
        use_reentrant: accepted for PyTorch's sake; there is one kind, and it does both.

    Raises:
        RuntimeError: in the backward pass, if the function did something else the second time, or
            an argument was changed in place since.

    Reference: Chen et al., Training deep nets with sublinear memory cost, 2016.

    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> y = mg.autograd.checkpoint(lambda x: mg.exp(x) * x, x)
    >>> y.sum().backward()
    >>> x.grad  # (1 + x) e^x
    tensor([ 5.4366, 22.1672])
    """
    if not is_grad_enabled():
        return function(*args, **kwargs)
    return Checkpoint(function, args, kwargs).run()
