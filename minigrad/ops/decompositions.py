r"""Cholesky factors and triangular systems.

Belongs here: ops that factor or solve, over the last two axes of any batch. Their rules are
products and triangular systems again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import check_later
from ._base import Function, get_array_module, raw, shape_of
from .linalg import matmul
from .reduction import sum_to
from .shape import transpose, tril, triu

__all__ = ["cholesky", "solve_triangular"]


class Cholesky(Function):
    r"""L lower triangular with A = L Lᵀ;  Ā = S(L⁻ᵀ Φ(Lᵀ L̄) L⁻¹), where Φ takes the lower
    triangle with half the diagonal and S the symmetric part (Murray, 2016)."""

    to_float = True

    def forward(self, a):
        xp = get_array_module(a)
        try:
            factor = xp.linalg.cholesky(a)
        except np.linalg.LinAlgError:
            raise ValueError("cholesky: expected positive definite matrices") from None
        if not isinstance(a, np.ndarray):  # where no error is raised, NaN comes out
            failed = xp.isnan(factor).any() & ~xp.isnan(a).any()
            check_later(failed, ValueError("cholesky: expected positive definite matrices"))
        return factor

    def backward(self, g, out):
        product = matmul(transpose(out, -1, -2), g)
        phi = (tril(product) + tril(product, -1)) * 0.5
        # L⁻ᵀ Φ L⁻¹ by two solves with Lᵀ: X = L⁻ᵀ Φ, then (L⁻ᵀ Xᵀ)ᵀ.
        upper = transpose(out, -1, -2)
        x = solve_triangular(upper, phi, upper=True)
        y = transpose(solve_triangular(upper, transpose(x, -1, -2), upper=True), -1, -2)
        return (y + transpose(y, -1, -2)) * 0.5


class SolveTriangular(Function):
    r"""X = A⁻¹ B with A triangular;  B̄ = A⁻ᵀ X̄, Ā = -(B̄ Xᵀ) on A's triangle."""

    to_float = True

    def __init__(self, upper: bool) -> None:
        self.upper = upper

    def forward(self, a, b):
        xp = get_array_module(a)
        return xp.linalg.solve(xp.triu(a) if self.upper else xp.tril(a), b)

    def backward(self, g, a, out):
        need_a, need_b = self.needs_input_grad
        gb = solve_triangular(transpose(a, -1, -2), g, upper=not self.upper)
        ga = None
        if need_a:
            ga = -matmul(gb, transpose(out, -1, -2))
            ga = sum_to(triu(ga) if self.upper else tril(ga), shape_of(a))
        return ga, gb if need_b else None


# ---------------------------------------------------------------------------- the public functions
def _square(name: str, a: Any) -> None:
    shape = shape_of(a)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise ValueError(f"{name}: expected square matrices (..., N, N), got shape {shape}")
    if raw(a).dtype == np.float16:
        raise TypeError(f"{name}: expected float32 or float64, got float16")


def cholesky(input: Any, upper: bool = False) -> Any:
    r"""The lower triangular L, with a positive diagonal, for which :math:`A = L L^T`; with
    ``upper`` its transpose. Only A's lower triangle is read, and A is taken to be symmetric.

    Raises:
        ValueError: a matrix is not positive definite.

    >>> import minigrad as mg
    >>> mg.cholesky(mg.tensor([[4.0, 2.0], [2.0, 2.0]]))
    tensor([[2., 0.],
            [1., 1.]])
    """
    _square("cholesky", input)
    factor = Cholesky.apply(input)
    return transpose(factor, -1, -2) if upper else factor


def solve_triangular(input: Any, b: Any, *, upper: bool) -> Any:
    r"""The X (..., N, K) with A X = B for the triangular A (..., N, N) in ``input``; the other
    triangle is not read. As ``torch.linalg.solve_triangular``.

    Raises:
        ValueError: a 0 on the diagonal.

    >>> import minigrad as mg
    >>> a = mg.tensor([[2.0, 0.0], [1.0, 1.0]])
    >>> mg.solve_triangular(a, mg.tensor([[4.0], [5.0]]), upper=False)
    tensor([[2.],
            [3.]])
    """
    _square("solve_triangular", input)
    shape, other = shape_of(input), shape_of(b)
    if len(other) < 2 or other[-2] != shape[-1]:
        raise ValueError(
            f"solve_triangular: expected B (..., {shape[-1]}, K) for A {shape}, got {other}"
        )
    lead = np.broadcast_shapes(shape[:-2], other[:-2])
    if other[:-2] != lead:
        from .shape import broadcast_to

        b = broadcast_to(b, lead + other[-2:])
    try:
        return SolveTriangular.apply(input, b, upper=bool(upper))
    except np.linalg.LinAlgError:
        raise ValueError("solve_triangular: expected no 0 on the diagonal") from None
