r"""Derivatives of functions: jacobian, hessian, and products with them.

Belongs here: functions of a function, under the names and with the shapes of
``torch.autograd.functional``; :mod:`minigrad.autograd` shows them. All are walks along the tape, of
which the second order ones differentiate a gradient. Does not belong here: the walk (``walk.py``).

``func`` takes the inputs as separate arguments. In the names, v stands left of the Jacobian J or
the Hessian H (vjp = vᵀJ, vhp = vᵀH) or right of it (jvp = J v, hvp = H v). Every function leaves
the ``grad`` of the inputs as it was. With ``create_graph`` the results can be differentiated, by
the inputs and by whatever else ``func`` uses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from . import autograd as tape
from .gradmode import enable_grad
from .walk import grad

if TYPE_CHECKING:
    from .tensor import Tensor

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


# ------------------------------------------------------------------- inputs, outputs, directions
def _inputs(given: Any, name: str, create_graph: bool) -> tuple[tuple[Tensor, ...], bool]:
    r"""Tensors of our own that require gradients, and whether a sequence was given. With
    ``create_graph`` those that require gradients stay connected to what was given."""
    many = isinstance(given, (tuple, list))
    tensors = []
    for i, x in enumerate(given if many else (given,)):
        if not isinstance(x, tape._Tensor):
            raise TypeError(f"{name}: expected tensors as inputs, got {type(x).__name__} at {i}")
        if x.data.dtype.kind != "f":
            raise TypeError(f"{name}: expected inputs of a floating dtype, got {x.dtype} at {i}")
        if create_graph and x.requires_grad:
            tensors.append(x.reshape(x.shape))
        else:
            tensors.append(x.detach().requires_grad_())
    return tuple(tensors), many


def _call(func: Callable[..., Any], inputs: Sequence[Tensor], name: str) -> tuple[Any, bool]:
    r"""The outputs of ``func`` as a tuple, and whether it returned a sequence."""
    outputs = func(*inputs)
    many = isinstance(outputs, (tuple, list))
    outputs = tuple(outputs) if many else (outputs,)
    for y in outputs:
        if not isinstance(y, tape._Tensor):
            raise TypeError(f"{name}: expected func to return tensors, got {type(y).__name__}")
    return outputs, many


def _scalar(outputs: Sequence[Tensor], name: str) -> Tensor:
    if len(outputs) != 1 or outputs[0].data.size != 1:
        shapes = ", ".join(str(y.shape) for y in outputs)
        raise ValueError(f"{name}: expected func to return one number, got shape {shapes}")
    return outputs[0].reshape(())


def _directions(v: Any, like: Sequence[Tensor], name: str, what: str) -> tuple[Tensor, ...]:
    r"""``v`` as tensors of the shapes of ``like``; ones for scalars if it was left out."""
    if v is None:
        if len(like) != 1 or like[0].data.size != 1:
            raise ValueError(
                f"{name}: v can be left out only if there is one {what} of one element, got shape "
                + ", ".join(str(t.shape) for t in like)
            )
        return (tape._wrap(like[0].data * 0 + 1),)
    vs = tuple(v) if isinstance(v, (tuple, list)) else (v,)
    if len(vs) != len(like):
        raise ValueError(f"{name}: expected {len(like)} tensors as v, got {len(vs)}")
    for t, x in zip(vs, like):
        if not isinstance(t, tape._Tensor):
            raise TypeError(f"{name}: expected tensors as v, got {type(t).__name__}")
        if t.shape != x.shape:
            raise ValueError(f"{name}: expected v of the {what}'s shape {x.shape}, got {t.shape}")
    return vs


def _grad(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    v: Sequence[Tensor] | None,
    create_graph: bool,
    strict: bool,
    name: str,
    retain_graph: bool = True,
) -> list[Tensor]:
    r"""vᵀJ, with zeros where nothing depends (or an error, if ``strict``)."""
    pairs = [(y, None if v is None else v[i]) for i, y in enumerate(outputs) if y.requires_grad]
    found: Sequence[Tensor | None] = [None] * len(inputs)
    if pairs:
        seeds = None if v is None else [u for _, u in pairs]
        found = grad(
            [y for y, _ in pairs],
            inputs,
            seeds,
            retain_graph=retain_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    if strict and any(g is None for g in found):
        i = next(i for i, g in enumerate(found) if g is None)
        raise RuntimeError(f"{name}: the outputs of func do not depend on input {i}")
    return [tape._wrap(x.data * 0) if g is None else g for g, x in zip(found, inputs)]


def _result(tensors: Sequence[Tensor], many: bool, create_graph: bool) -> Any:
    done = tuple(tensors) if create_graph else tuple(t.detach() for t in tensors)
    return done if many else done[0]


# ------------------------------------------------------------------------- the public functions
@enable_grad()
def jacobian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False
) -> Any:
    r"""All derivatives :math:`J_{a,i} = \partial y_a / \partial x_i`, a walk for each output entry.

    Args:
        func: of the inputs; returns a tensor or a tuple of tensors.
        inputs: a tensor or a tuple of tensors.
        create_graph: make the result differentiable.
        strict: an error instead of zeros where an output does not depend on an input.

    Returns:
        For one input x and one output y, a tensor of shape ``y.shape + x.shape``. For several
        inputs a tuple of those, for several outputs a tuple over outputs (of tuples over inputs).

    >>> import minigrad as mg
    >>> mg.autograd.jacobian(lambda x: x**2, mg.tensor([1.0, 2.0]))
    tensor([[2., 0.],
            [0., 4.]])
    """
    from .ops import reshape, stack

    xs, many_inputs = _inputs(inputs, "jacobian", create_graph)
    ys, many_outputs = _call(func, xs, "jacobian")
    rows = []
    for y in ys:
        parts: list[list[Tensor]] = [[] for _ in xs]
        for entry in reshape(y, (y.data.size,)):
            gs = _grad([entry], xs, None, create_graph, strict, "jacobian")
            for part, g in zip(parts, gs):
                part.append(g)
        row = [
            reshape(stack(part, 0) if part else tape._wrap(x.data[None][:0]), y.shape + x.shape)
            for part, x in zip(parts, xs)
        ]
        rows.append(_result(row, many_inputs, create_graph))
    return tuple(rows) if many_outputs else rows[0]


@enable_grad()
def hessian(
    func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False
) -> Any:
    r"""All second derivatives :math:`H_{ij} = \partial^2 y / \partial x_i \partial x_j` of a
    function that returns one number.

    Returns:
        For one input x a tensor of shape ``x.shape + x.shape``; for several a tuple of tuples,
        ``hessian[i][j]`` of shape ``inputs[i].shape + inputs[j].shape``.

    >>> import minigrad as mg
    >>> mg.autograd.hessian(lambda x: x[0] ** 2 * x[1], mg.tensor([3.0, 2.0]))
    tensor([[4., 6.],
            [6., 0.]])
    """
    many = isinstance(inputs, (tuple, list))

    def gradient(*xs: Tensor) -> Any:
        y = _scalar(_call(func, xs, "hessian")[0], "hessian")
        return tuple(_grad([y], xs, None, True, strict, "hessian"))

    rows = jacobian(gradient, inputs, create_graph, strict)
    return rows if many else rows[0]


@enable_grad()
def vjp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    r"""The outputs, and :math:`v^T J`, one walk: ``v`` has the outputs' shapes (it may be left out
    for a single number), the product those of the inputs.

    >>> import minigrad as mg
    >>> mg.autograd.vjp(mg.exp, mg.tensor([0.0, 0.0]), mg.tensor([1.0, 2.0]))
    (tensor([1., 1.]), tensor([1., 2.]))
    """
    xs, many_inputs = _inputs(inputs, "vjp", create_graph)
    ys, many_outputs = _call(func, xs, "vjp")
    vs = _directions(v, ys, "vjp", "output")
    products = _grad(ys, xs, vs, create_graph, strict, "vjp")
    outputs = _result(ys, many_outputs, create_graph)
    return outputs, _result(products, many_inputs, create_graph)


@enable_grad()
def jvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    r"""The outputs, and :math:`J v`: the derivative in the direction ``v``, which has the inputs'
    shapes (it may be left out for a single number).

    By double backward: :math:`w^T J` is linear in w, and its Jacobian by w is :math:`J^T`.

    >>> import minigrad as mg
    >>> mg.autograd.jvp(lambda x: (x**2).sum(), mg.tensor([1.0, 2.0]), mg.tensor([1.0, 1.0]))
    (tensor(5.), tensor(6.))
    """
    xs, many_inputs = _inputs(inputs, "jvp", create_graph)
    vs = _directions(v, xs, "jvp", "input")
    ys, many_outputs = _call(func, xs, "jvp")
    ws = [tape._wrap(y.data * 0).requires_grad_() for y in ys]
    gs = _grad(ys, xs, ws, True, strict, "jvp")
    products = _grad(gs, ws, vs, create_graph, strict, "jvp")
    outputs = _result(ys, many_outputs, create_graph)
    return outputs, _result(products, many_outputs, create_graph)


def _hessian_product(
    func: Callable[..., Any], inputs: Any, v: Any, create_graph: bool, strict: bool, name: str
) -> tuple[Any, Any]:
    r"""Both vhp and hvp: a Hessian is symmetric."""
    xs, many = _inputs(inputs, name, create_graph)
    vs = _directions(v, xs, name, "input")
    outputs, _ = _call(func, xs, name)
    y = _scalar(outputs, name)
    gs = _grad([y], xs, None, True, strict, name)
    products = _grad(gs, xs, vs, create_graph, strict, name)
    return _result(outputs, False, create_graph), _result(products, many, create_graph)


@enable_grad()
def vhp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    r"""The number that ``func`` returns, and :math:`v^T H`, of the inputs' shapes."""
    return _hessian_product(func, inputs, v, create_graph, strict, "vhp")


@enable_grad()
def hvp(
    func: Callable[..., Any],
    inputs: Any,
    v: Any = None,
    create_graph: bool = False,
    strict: bool = False,
) -> tuple[Any, Any]:
    r"""The number that ``func`` returns, and :math:`H v`, of the inputs' shapes: the derivative of
    the gradient in the direction ``v``, at the cost of about two gradients.

    >>> import minigrad as mg
    >>> mg.autograd.hvp(lambda x: (x**3).sum(), mg.tensor([1.0, 2.0]), mg.tensor([1.0, 1.0]))[1]
    tensor([ 6., 12.])
    """
    return _hessian_product(func, inputs, v, create_graph, strict, "hvp")
