r"""Matrix products: right at every size, and on one thread where more would not pay."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest

from minigrad.kernels import gemm
from minigrad.kernels.gemm import product

# (m, k, n), and whether BLAS is to be held to one thread
SIZES = [
    ((3, 4, 5), False),
    ((64, 64, 64), False),  # 2^18: OpenBLAS takes one thread by itself
    ((64, 64, 65), True),
    ((128, 128, 256), True),  # 2^22
    ((128, 128, 257), False),
    ((None, 64, 128), False),  # a vector and a matrix: 2^13
    ((None, 64, 129), True),
]


@pytest.mark.parametrize("sizes, held", SIZES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_product(monkeypatch, sizes, held, dtype):
    entered = []

    @contextlib.contextmanager
    def note(n):
        entered.append(n)
        yield

    monkeypatch.setattr(gemm, "blas_threads", note)
    m, k, n = sizes
    rng = np.random.default_rng(0)
    a = rng.standard_normal(k if m is None else (m, k)).astype(dtype)
    b = rng.standard_normal((n, k)).astype(dtype).T
    out = product(a, b)
    assert out.dtype == dtype
    expected = np.einsum("...k,kn->...n", a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-4 if dtype == np.float32 else 1e-12)
    assert entered == ([1] if held else [])


def test_no_rows():
    assert product(np.zeros((0, 3)), np.zeros((3, 2))).shape == (0, 2)
    assert (product(np.zeros((2, 0)), np.zeros((0, 3))) == np.zeros((2, 3))).all()


def test_inner_sizes_differ():
    with pytest.raises(ValueError, match="mismatch"):
        product(np.zeros((2, 3)), np.zeros((2, 3)))
