r"""Scratch memory that a thread reuses, so that a block of work does not pay for fresh pages.

Belongs here: :func:`scratch`. Does not belong here: anything that outlives a kernel call.
"""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

__all__ = ["scratch"]

_local = threading.local()
_KEEP_BYTES = 1 << 25  # larger pieces are not kept


def scratch(name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    r"""An uninitialised C-contiguous array. The same thread asking again for the same ``name`` gets
    the same memory, so the array may be used only until then."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    if size > _KEEP_BYTES:
        return np.empty(shape, dtype)
    pieces = _local.__dict__  # a dictionary of this thread's own
    memory = pieces.get(name)
    if memory is None or len(memory) < size:
        memory = pieces[name] = np.empty(max(size, 1 << 16), np.uint8)
    return np.ndarray(shape, dtype, memory)
