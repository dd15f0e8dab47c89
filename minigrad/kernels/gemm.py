r"""The product of two matrices, on as many of BLAS's threads as it is worth.

Belongs here: :func:`product`. Does not belong here: gradients and broadcasting (``ops/linalg.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import get_array_module
from .parallel import blas_threads, in_region

__all__ = ["product"]

# Multiply-adds up to which OpenBLAS uses one thread by itself (of a vector and a matrix, of two
# matrices), and up to which it should.
_ALONE = {1: 1 << 13, 2: 1 << 18}
_SERIAL = 1 << 22


def product(a: Any, b: Any, out: Any = None) -> Any:
    r"""``a @ b`` for a matrix or vector and a matrix; products of less than about 0.1 ms run on one
    thread.

    OpenBLAS's threads wait for each other in a loop. On a quiet machine a second thread gains
    nothing for a product that small; on a busy one it makes it wait until the system runs the other
    thread again, and 0.02 ms become 5. Which way is taken depends on the shapes alone, because the
    last bits of a product depend on it: the same program gives the same bits.

    >>> product(np.eye(2), np.array([[1.0], [2.0]])).tolist()
    [[1.0], [2.0]]
    """
    if type(a) is not np.ndarray:
        return get_array_module(a).matmul(a, b, out=out)
    if _ALONE[a.ndim] < a.size * b.shape[1] <= _SERIAL and not in_region():
        with blas_threads(1):
            return np.matmul(a, b, out)
    return np.matmul(a, b, out)
