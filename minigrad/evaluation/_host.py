r"""Arguments on the host, as float64 matrices or as labels.

Does not belong here: anything computed from them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend import is_array, to_numpy
from ..tensor import Tensor

__all__ = ["host", "labels_of", "matrix", "pair"]


def host(value: Any) -> np.ndarray:
    """The values of a tensor, array or nested list, on the host, with their dtype."""
    if isinstance(value, Tensor):
        value = value.data
    return to_numpy(value) if is_array(value) else np.asarray(value)


def matrix(value: Any, name: str) -> np.ndarray:
    """(N, ...) as float64 (N, D); one axis is N numbers, (N, 1)."""
    array = host(value)
    if array.ndim < 1 or array.size == 0 or array.dtype.kind not in "fiub":
        raise ValueError(
            f"{name}: expected numbers (N, ...) with N >= 1, got {array.dtype} {array.shape}"
        )
    array = array.reshape(len(array), -1).astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got nan or inf")
    return array


def pair(x: Any, y: Any, function: str, names: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Two matrices with as many columns."""
    a, b = matrix(x, f"{function}: {names[0]}"), matrix(y, f"{function}: {names[1]}")
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{function}: expected {names[0]} and {names[1]} of the same size, "
            f"got {a.shape[1]} and {b.shape[1]} numbers each"
        )
    return a, b


def labels_of(value: Any, n: int | None, name: str) -> np.ndarray:
    """(n,) integers from 0, as int64; one or more if n is not given."""
    y = host(value)
    n = max(1, y.size) if n is None else n
    if y.dtype.kind not in "iub" or y.shape != (n,) or (y < 0).any():
        raise ValueError(f"{name}: expected {n} integers from 0, got {y.dtype} {y.shape}")
    return y.astype(np.int64)
