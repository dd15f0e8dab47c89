r"""Memory that is used again, so that work does not pay for fresh pages from the system.

Belongs here: scratch memory of a thread, and the C library's policy for freed memory.
Does not belong here: arrays that anybody keeps.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading
from typing import Any

import numpy as np

__all__ = ["keep_freed_memory", "scratch"]

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


def keep_freed_memory() -> None:
    r"""Ask the C library to keep freed memory for the next array, as frameworks with an allocator
    of their own do. Otherwise every large array of every training step is returned to the system
    and its pages are mapped and cleared anew, which can take as long as the arithmetic on it.

    A setting of the whole process, made when ``minigrad`` is imported. It is left alone where the
    user has made one (``MALLOC_TRIM_THRESHOLD_`` or ``MALLOC_MMAP_THRESHOLD_`` in the environment;
    they are glibc's), and on other systems than Linux with glibc.
    """
    if sys.platform != "linux" or any(
        name in os.environ for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")
    ):
        return
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return
    trim_threshold, mmap_max = -1, -4  # glibc's M_TRIM_THRESHOLD and M_MMAP_MAX
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(mmap_max, 0)
