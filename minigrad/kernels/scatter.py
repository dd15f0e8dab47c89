r"""Adding values at positions that may repeat: the adjoint of indexing with integer arrays.

Belongs here: :func:`scatter_add`. Does not belong here: which positions an op means, and the
gradient (``ops/indexing.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..backend import get_array_module

__all__ = ["scatter_add"]


def scatter_add(out: Any, index: Any, values: Any) -> None:
    r"""out[index] += values in place, where a position that ``index`` names twice gets both values.

    What ``np.add.at(out, index, values)`` does. On the CPU it is several times faster wherever
    rows or single entries of a contiguous array are named: ``np.add.at`` is quick with one flat
    index and slow with every other. Equal positions are added in the order of ``values``. On a GPU
    the order is the device's, so sums may differ in their last bits from run to run.

    Args:
        out: array of any shape; changed.
        index: anything that may stand between the brackets of ``out[...]``.
        values: array that broadcasts to the shape of ``out[index]``, or a number.

    Raises:
        IndexError: an index is out of range (on the CPU; CuPy would wrap it silently).

    >>> out = np.zeros(3)
    >>> scatter_add(out, np.array([0, 2, 2]), np.array([1.0, 2.0, 3.0]))
    >>> out.tolist()
    [1.0, 0.0, 5.0]
    """
    xp = get_array_module(out)
    if xp is not np:
        xp.add.at(out, index, values)
        return
    parts = index if isinstance(index, tuple) else (index,)
    values = np.asarray(values)
    if parts and all(isinstance(p, np.ndarray) and p.dtype.kind in "iu" for p in parts):
        if out.flags.c_contiguous and out.dtype == values.dtype and out.size:
            positions = _flat_positions(out, parts)
            values = np.broadcast_to(values, positions.shape)
            np.add.at(out.reshape(-1), positions.ravel(), values.ravel())
            return
    elif len(parts) == 1 and isinstance(parts[0], np.ndarray) and parts[0].dtype == bool:
        out[parts[0]] += values  # a mask names no position twice
        return
    np.add.at(out, index, values)


def _flat_positions(out: np.ndarray, indices: tuple[np.ndarray, ...]) -> np.ndarray:
    r"""The positions in ``out.reshape(-1)`` of ``out[indices]``; the indices name leading axes."""
    rows = np.zeros((), np.intp)
    for axis, index in enumerate(indices):
        n = out.shape[axis]
        if index.size:
            low, high = int(index.min()), int(index.max())
            if low < -n or high >= n:
                raise IndexError(
                    f"scatter_add: index {high if high >= n else low} is out of range "
                    f"for axis {axis} of length {n}"
                )
            if low < 0:
                index = np.where(index < 0, index + n, index)
        rows = rows * n + index.astype(np.intp, copy=False)
    inner = out.shape[len(indices) :]
    if not inner:
        return rows
    length = math.prod(inner)
    positions = rows[..., None] * length + np.arange(length)
    return positions.reshape(*rows.shape, *inner)
