r"""The op table: products."""

from __future__ import annotations

import numpy as np

from minigrad import ops
from tests.ops.row import Case, Draw, Row


def _matmul(d: Draw) -> Case:
    n, k, m = d.int(0, 3), d.int(0, 3), d.int(0, 3)
    kind = d.of("mm", "batch", "mv", "vm", "vv", "batch-matrix", "batch-vector")
    a, b = {
        "mm": ((n, k), (k, m)),
        "batch": ((2, n, k), (d.of(1, 2), k, m)),
        "mv": ((n, k), (k,)),
        "vm": ((k,), (k, m)),
        "vv": ((k,), (k,)),
        "batch-matrix": ((2, n, k), (k, m)),
        "batch-vector": ((2, n, k), (k,)),
    }[kind]
    return Case((d.floats(a), d.floats(b)))


def _shapes(*patterns: str):
    r"""Arrays whose axes have the lengths of their letters."""

    def draw(d: Draw) -> Case:
        sizes = {c: d.int(0, 3) for c in sorted(set("".join(patterns)))}
        return Case(tuple(d.floats([sizes[c] for c in p]) for p in patterns))

    return draw


def _product(x, y):
    r"""Sums of products, one entry at a time."""
    result = np.zeros((x.shape[0], y.shape[1]))
    for i in range(x.shape[0]):
        for j in range(y.shape[1]):
            for k in range(x.shape[1]):
                result[i, j] += x[i, k] * y[k, j]
    return result


def _matmul_reference(x, y):
    r"""All products in one large array, then summed."""
    a = x[None] if x.ndim == 1 else x
    b = y[:, None] if y.ndim == 1 else y
    product = (a[..., :, :, None] * b[..., None, :, :]).sum(-2)
    if y.ndim == 1:
        product = product[..., 0]
    return (
        product[..., 0]
        if x.ndim == 1 and y.ndim == 1
        else (product[..., 0, :] if x.ndim == 1 else product)
    )


def _linear(d: Draw) -> Case:
    n_in, n_out = d.int(0, 3), d.int(0, 3)
    lead = d.shape(0, 2)
    bias = d.floats((n_out,)) if d.bool() else None
    return Case((d.floats((*lead, n_in)), d.floats((n_out, n_in)), bias))


def _linear_reference(x, w, b):
    y = np.zeros((*x.shape[:-1], w.shape[0]))
    for o in range(w.shape[0]):
        y[..., o] = (x * w[o]).sum(-1) + (0.0 if b is None else b[o])
    return y


EQUATIONS = (
    "ij,jk->ik", "ij,ij->", "ij->ji", "ij->i", "i,j->ij", "bij,bjk->bik", "ij,jk,kl->il",
    "ij,kl->il", "bi,ij,bj->b", "ij,jk", "i->", "ij,i,j->ij", "...i,ij->...j", "...i,...i->...",
)  # fmt: skip


def _einsum(d: Draw) -> Case:
    equation = d.of(*EQUATIONS)
    sizes = {c: d.int(1, 3) for c in "bijkl"}
    lead = d.shape(0, 2, 1)
    arrays = []
    for letters in equation.split("->")[0].split(","):
        shape = lead if "..." in letters else ()
        arrays.append(d.floats((*shape, *[sizes[c] for c in letters.replace("...", "")])))
    return Case(tuple(arrays), {"equation": equation})


def _einsum_reference(*arrays, equation):
    r"""Every operand spread over the axes of all letters, then multiplied and summed."""
    left, arrow, right = equation.partition("->")
    inputs = left.split(",")
    widths = [x.ndim - len(t.replace("...", "")) for t, x in zip(inputs, arrays) if "..." in t]
    free = "XYZ"[: max(widths, default=0)]
    if not arrow:
        right = "".join(sorted(c for c in left if c.isalpha() and left.count(c) == 1))
    inputs = [t.replace("...", free) for t in inputs]
    right = right.replace("...", free)
    letters = right + "".join(sorted(set("".join(inputs)) - set(right)))
    product = np.ones([1] * len(letters))
    for t, x in zip(inputs, arrays):
        order = sorted(range(len(t)), key=lambda i: letters.index(t[i]))
        shape = [x.shape[t.index(c)] if c in t else 1 for c in letters]
        product = product * np.transpose(x, order).reshape(shape)
    return product.sum(axis=tuple(range(len(right), len(letters))))


ROWS = [
    Row("matmul", ops.matmul, _matmul_reference, _matmul, rtol=1e-5),
    Row("mm", ops.mm, _product, _shapes("ij", "jk"), rtol=1e-5),
    Row("mv", ops.mv, lambda x, y: (x * y).sum(1), _shapes("ij", "j"), rtol=1e-5),
    Row("bmm", ops.bmm,
        lambda x, y: np.stack([_product(a, b) for a, b in zip(x, y)])
        if len(x) else np.zeros((0, x.shape[1], y.shape[2])),
        _shapes("bij", "bjk"), rtol=1e-5),
    Row("dot", ops.dot, lambda x, y: sum((a * b for a, b in zip(x, y)), 0.0), _shapes("i", "i"),
        rtol=1e-5),
    Row("outer", ops.outer, lambda x, y: x[:, None] * y[None, :], _shapes("i", "j")),
    Row("linear", ops.linear, _linear_reference, _linear, rtol=1e-5),
    Row("einsum", lambda *x, equation: ops.einsum(equation, *x),
        _einsum_reference, _einsum, rtol=1e-5),
]  # fmt: skip
