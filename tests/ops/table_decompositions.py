r"""The op table: factorisations and triangular systems."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from minigrad import ops
from tests.ops.row import Case, Draw, Row, like


def _positive(x: Any) -> Any:
    r"""X Xᵀ + I: symmetric and positive definite, whatever X is."""
    swapped = x.swapaxes(-1, -2)
    return x @ swapped + like(np.eye(x.shape[-1]), x)


def _factor(x: Any, upper: bool) -> Any:
    return ops.cholesky(_positive(x), upper=upper)


def _factor_reference(x: np.ndarray, upper: bool) -> np.ndarray:
    r"""Cholesky and Banachiewicz's recurrence, entry by entry."""
    a = x @ x.swapaxes(-1, -2) + np.eye(x.shape[-1])
    l = np.zeros_like(a)
    for i in range(a.shape[-1]):
        for j in range(i + 1):
            rest = a[..., i, j] - (l[..., i, :j] * l[..., j, :j]).sum(-1)
            l[..., i, j] = np.sqrt(rest) if i == j else rest / l[..., j, j]
    return l.swapaxes(-1, -2) if upper else l


def _squares(d: Draw) -> Case:
    n = d.int(1, 4)
    return Case((d.floats((*d.shape(0, 2), n, n)),), {"upper": d.bool()})


def _triangle(d: Draw) -> Case:
    n = d.int(1, 4)
    batch_a, batch_b = d.broadcast()
    a = d.floats((*batch_a[-2:], n, n)) + 4 * np.eye(n)  # the other triangle must not be read
    return Case((a, d.floats((*batch_b[-2:], n, d.int(1, 3)))), {"upper": d.bool()})


def _solve_reference(a: np.ndarray, b: np.ndarray, upper: bool) -> np.ndarray:
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, batch + a.shape[-2:])
    b = np.broadcast_to(b, batch + b.shape[-2:])
    x = np.zeros(b.shape)
    for i in np.ndindex(batch):
        x[i] = linalg.solve_triangular(a[i], b[i], lower=not upper)
    return x


ROWS = [
    Row("cholesky", _factor, _factor_reference, _squares, rtol=1e-5),
    Row("solve_triangular", ops.solve_triangular, _solve_reference, _triangle, rtol=1e-5),
]
