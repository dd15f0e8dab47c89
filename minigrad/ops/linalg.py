r"""Products of matrices: matmul, linear, einsum, outer.

Belongs here: ops that contract axes. Their rules are contractions again. On a GPU, matrices are
brought to two axes first, which is where the fast GEMM is.
"""

from __future__ import annotations

import math
from typing import Any

from ..kernels.gemm import product
from ._base import Function, get_array_module, is_array, is_tensor, shape_of
from .reduction import sum as sum_
from .reduction import sum_to
from .shape import broadcast_to, reshape, transpose, unsqueeze

__all__ = [
    "addmm", "baddbmm", "bmm", "dot", "einsum", "linear", "matmul", "mm", "mv", "outer",
]  # fmt: skip


class MatMul(Function):
    r"""Z = X Y over the last two axes, the others broadcasting;  X̄ = Z̄ Yᵀ, Ȳ = Xᵀ Z̄."""

    def forward(self, x, y):
        if x.ndim > 2 and y.ndim == 2:  # one large product instead of a batch of small ones
            rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
            return product(rows, y).reshape(*x.shape[:-1], y.shape[-1])
        return product(x, y) if x.ndim == y.ndim == 2 else x @ y

    def backward(self, g, x, y):
        need_x, need_y = self.needs_input_grad
        gx = gy = None
        if need_x:
            gx = sum_to(matmul(g, transpose(y, -1, -2)), shape_of(x))
        if need_y:
            if len(shape_of(x)) > 2 and len(shape_of(y)) == 2:
                n = math.prod(shape_of(x)[:-1])
                rows = reshape(x, (n, shape_of(x)[-1]))
                gy = matmul(transpose(rows, 0, 1), reshape(g, (n, shape_of(g)[-1])))
            else:
                gy = sum_to(matmul(transpose(x, -1, -2), g), shape_of(y))
        return gx, gy


class Linear(Function):
    r"""Y = X Wᵀ + b, X (..., in), W (out, in), b (out,);  X̄ = Ȳ W, W̄ = Ȳᵀ X, b̄ = Σ ȳ."""

    def forward(self, x, w, b):
        rows = x if x.ndim <= 2 else x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
        y = product(rows, w.T)
        if b is not None:
            y += b
        return y if x.ndim <= 2 else y.reshape(*x.shape[:-1], w.shape[0])

    def backward(self, g, x, w):
        need_x, need_w, need_b = self.needs_input_grad
        n_in, n_out = shape_of(w)[1], shape_of(w)[0]
        rows = g if g.ndim == 2 else reshape(g, (math.prod(g.shape[:-1]), n_out))
        gx = gw = gb = None
        if need_x:
            gx = matmul(g, w)
        if need_w:
            x = x if len(shape_of(x)) == 2 else reshape(x, (rows.shape[0], n_in))
            gw = matmul(rows.T, x)
        if need_b:
            gb = rows.sum(0)
        return gx, gw, gb

    def backward_array(self, g, x, w):
        need_x, need_w, need_b = self.needs_input_grad
        n_out, n_in = w.shape
        shape = x.shape
        if g.ndim != 2:
            n = math.prod(g.shape[:-1])
            g, x = g.reshape(n, n_out), x.reshape(n, n_in)
        gx = product(g, w).reshape(shape) if need_x else None
        gw = product(g.T, x) if need_w else None
        # A product with a row of ones is the sum over rows at the speed of BLAS.
        gb = product(_ones(g), g) if need_b else None
        return gx, gw, gb


_ones_cache: dict[tuple[Any, ...], Any] = {}


def _ones(g: Any) -> Any:
    xp = get_array_module(g)
    key = (xp, g.shape[0], g.dtype)
    ones = _ones_cache.get(key)
    if ones is None:
        if len(_ones_cache) > 64:
            _ones_cache.clear()
        ones = _ones_cache[key] = xp.ones(g.shape[0], g.dtype)
    return ones


class Einsum(Function):
    r"""Einstein summation. The gradient of an operand is the einsum of Z̄ with the other operands,
    with the operand's own letters as the result; letters that only it has are broadcast."""

    def __init__(self, inputs: tuple[str, ...], output: str) -> None:
        self.inputs, self.output = inputs, output

    def forward(self, *operands):
        self.shapes = [x.shape for x in operands]
        xp = get_array_module(*operands)
        y = xp.einsum(f"{','.join(self.inputs)}->{self.output}", *operands, optimize=True)
        return y.copy() if len(operands) == 1 else y  # NumPy transposes one operand by a view

    def backward(self, g, operands):
        sizes = {c: n for s, shape in zip(self.inputs, self.shapes) for c, n in zip(s, shape)}
        grads: list[Any] = []
        for i, letters in enumerate(self.inputs):
            if not self.needs_input_grad[i]:
                grads.append(None)
                continue
            others = [s for j, s in enumerate(self.inputs) if j != i]
            available = set(self.output).union(*others)
            kept = "".join([c for c in letters if c in available])
            terms = [g] + [x for j, x in enumerate(operands) if j != i]
            part = Einsum.apply(*terms, inputs=(self.output, *others), output=kept)
            for axis, c in enumerate(letters):
                if c not in available:
                    part = unsqueeze(part, axis)
            grads.append(broadcast_to(part, [sizes[c] for c in letters]))
        return tuple(grads)


# ---------------------------------------------------------------------------- the public functions
def matmul(input: Any, other: Any) -> Any:
    r"""The matrix product over the last two axes; the leading axes broadcast. A 1-d operand is a
    row on the left, a column on the right, and that axis vanishes from the result.

    >>> import minigrad as mg
    >>> mg.matmul(mg.ones(2, 3), mg.ones(3)).tolist()
    [3.0, 3.0]
    """
    a, b = shape_of(input), shape_of(other)
    if not a or not b:
        raise ValueError(f"matmul: expected tensors of at least 1 axis, got {a} and {b}")
    if a[-1] != (b[-2] if len(b) > 1 else b[0]):
        raise ValueError(
            f"matmul: expected equal inner dimensions, got {a} and {b} "
            f"({a[-1]} != {b[-2] if len(b) > 1 else b[0]})"
        )
    if len(a) > 1 and len(b) > 1:
        if len(a) > 2 and len(b) > 2 and a[:-2] != b[:-2]:
            for n, m in zip(a[-3::-1], b[-3::-1]):
                if n != m and 1 not in (n, m):
                    raise ValueError(f"matmul: leading axes of {a} and {b} do not broadcast")
        return MatMul.apply(input, other)
    if len(a) == 1:
        input = reshape(input, (1, a[0]))
    if len(b) == 1:
        other = reshape(other, (b[0], 1))
    product = MatMul.apply(input, other)
    shape = list(shape_of(product))
    if len(b) == 1:
        shape.pop(-1)
    if len(a) == 1:
        shape.pop(-2 if len(b) > 1 else -1)
    return reshape(product, shape)


def mm(input: Any, mat2: Any) -> Any:
    r"""The product of two matrices."""
    _expect_ndim("mm", (input, 2), (mat2, 2))
    return matmul(input, mat2)


def mv(input: Any, vec: Any) -> Any:
    r"""The product of a matrix and a vector."""
    _expect_ndim("mv", (input, 2), (vec, 1))
    return matmul(input, vec)


def bmm(input: Any, mat2: Any) -> Any:
    r"""The products of two batches of matrices, (B, n, m) and (B, m, p)."""
    _expect_ndim("bmm", (input, 3), (mat2, 3))
    if shape_of(input)[0] != shape_of(mat2)[0]:
        raise ValueError(
            f"bmm: expected batches of one size, got {shape_of(input)} and {shape_of(mat2)}"
        )
    return matmul(input, mat2)


def dot(input: Any, other: Any) -> Any:
    r"""The inner product of two vectors."""
    _expect_ndim("dot", (input, 1), (other, 1))
    if shape_of(input) != shape_of(other):
        raise ValueError(
            f"dot: expected equal lengths, got {shape_of(input)} and {shape_of(other)}"
        )
    return sum_(input * other)


def outer(input: Any, vec2: Any) -> Any:
    r"""All products of the entries of two vectors, (n,) and (m,) -> (n, m)."""
    _expect_ndim("outer", (input, 1), (vec2, 1))
    return reshape(input, (-1, 1)) * vec2


def _expect_ndim(name: str, *pairs: tuple[Any, int]) -> None:
    if any(len(shape_of(x)) != n for x, n in pairs):
        wanted = " and ".join([f"{n} axes" for _, n in pairs])
        raise ValueError(
            f"{name}: expected {wanted}, got {' and '.join([str(shape_of(x)) for x, _ in pairs])}"
        )


def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    r""":math:`y = x W^\top + b`: input (..., in), weight (out, in), bias (out,) -> (..., out)."""
    x, w = input.shape, weight.shape
    if len(w) != 2 or not x or x[-1] != w[1]:
        raise ValueError(f"linear: expected input (..., in) and weight (out, in), got {x} and {w}")
    if bias is not None and bias.shape != w[:1]:
        raise ValueError(f"linear: expected a bias of shape {w[:1]}, got {bias.shape}")
    return Linear.apply(input, weight, bias)


def einsum(equation: str, *operands: Any) -> Any:
    r"""Einstein summation: letters name axes, repeated letters are summed unless in the result.

    A letter may not appear twice within one operand (take :func:`diagonal` first); ``...`` stands
    for leading axes that all operands share.

    >>> import minigrad as mg
    >>> mg.einsum("ij,jk->ik", mg.ones(2, 3), mg.ones(3, 4)).shape
    (2, 4)
    """
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = tuple(operands[0])
    if not all(is_tensor(x) or is_array(x) for x in operands):
        raise TypeError("einsum: expected an equation and then tensors")
    left, arrow, output = equation.replace(" ", "").partition("->")
    inputs = left.split(",")
    if len(inputs) != len(operands):
        raise ValueError(f"einsum: {equation!r} names {len(inputs)} operands, got {len(operands)}")
    if "..." in equation:
        inputs, output = _expand_ellipsis(equation, inputs, output, operands)
    if not arrow:  # implicit: letters that appear once, in alphabetical order
        output = "".join(sorted([c for c in set(left) if c.isalpha() and left.count(c) == 1]))
        if "..." in equation:
            output = "".join([c for c in inputs[0] if c not in left]) + output
    sizes: dict[str, int] = {}
    for letters, x in zip(inputs, operands):
        shape = shape_of(x)
        if len(letters) != len(shape) or not letters.isalpha() and letters:
            raise ValueError(f"einsum: {letters!r} does not name the axes of shape {shape}")
        if len(set(letters)) != len(letters):
            raise ValueError(f"einsum: a letter appears twice in {letters!r}; use diagonal() first")
        for c, n in zip(letters, shape):
            if sizes.setdefault(c, n) != n:
                raise ValueError(f"einsum: axis {c!r} has lengths {sizes[c]} and {n}")
    if any(c not in sizes for c in output) or len(set(output)) != len(output):
        raise ValueError(f"einsum: the result {output!r} is not made of distinct input letters")
    return Einsum.apply(*operands, inputs=tuple(inputs), output=output)


def _expand_ellipsis(
    equation: str, inputs: list[str], output: str, operands: Any
) -> tuple[list[str], str]:
    r"""Letters for the axes behind ``...``; they must agree in all operands."""
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in equation]
    counts = {
        len(shape_of(x)) - len(s.replace("...", "")) for s, x in zip(inputs, operands) if "..." in s
    }
    if len(counts) != 1:
        raise ValueError("einsum: '...' must stand for the same number of axes in every operand")
    letters = "".join(free[: counts.pop()])
    return [s.replace("...", letters) for s in inputs], output.replace("...", letters)


def _expands(input: Any, product: Any, name: str) -> None:
    r"""Raise unless ``input`` broadcasts to the product's shape, which stays."""
    shape, wanted = shape_of(input), shape_of(product)
    fits = [n in (1, size) for n, size in zip(shape[::-1], wanted[::-1])]
    if len(shape) > len(wanted) or not all(fits):
        raise ValueError(f"{name}: expected input to broadcast to {wanted}, got {shape}")


def addmm(input: Any, mat1: Any, mat2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    r"""``beta input + alpha mat1 @ mat2`` of matrices; ``input`` broadcasts, and with beta = 0 it
    is not looked at."""
    product = mm(mat1, mat2)
    _expands(input, product, "addmm")
    scaled = product if alpha == 1 else product * alpha
    return scaled if beta == 0 else (input if beta == 1 else input * beta) + scaled


def baddbmm(input: Any, batch1: Any, batch2: Any, *, beta: float = 1, alpha: float = 1) -> Any:
    r""":func:`addmm` of batches of matrices (N, n, m) and (N, m, p)."""
    product = bmm(batch1, batch2)
    _expands(input, product, "baddbmm")
    scaled = product if alpha == 1 else product * alpha
    return scaled if beta == 0 else (input if beta == 1 else input * beta) + scaled
