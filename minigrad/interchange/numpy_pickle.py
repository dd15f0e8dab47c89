r"""Pickles that hold NumPy arrays, read without unpickling them.

Belongs here: what the machine of ``pickles.py`` needs to know of NumPy: an array is a shape, a
dtype and its bytes. Arrays of numbers only; objects, dates and structures are refused.
Does not belong here: the machine itself, and ``.npy`` files (``numpy_file.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .files import CheckpointError
from .pickles import Buildable, Call, read_pickle

__all__ = ["read_numpy_pickle"]

_KINDS = "biuf"


class _Dtype(Buildable):
    name = "numpy.dtype"

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or len(code) > 2 or code[:1] not in _KINDS:
            raise ValueError(f"expected a dtype of numbers, got {code!r}")
        self.dtype = np.dtype(code)

    def build(self, state: tuple[Any, ...]) -> None:
        # (version, byte order, subdtype, names, fields, ...): only plain dtypes have no fields
        if len(state) < 5 or state[2:5] != (None, None, None):
            raise ValueError("expected a plain dtype")
        if state[1] not in ("<", ">", "|", "="):
            raise ValueError(f"expected a byte order, got {state[1]!r}")
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array(Buildable):
    name = "numpy.ndarray"

    def __init__(self, *_: Any) -> None:
        self.array: np.ndarray | None = None

    def build(self, state: tuple[Any, ...]) -> None:
        if len(state) != 5:
            raise ValueError("expected the state of an array")
        _, shape, dtype, fortran, content = state
        if not isinstance(dtype, _Dtype) or not isinstance(shape, tuple):
            raise ValueError("expected a shape and a dtype")
        if any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"expected a shape, got {shape}")
        if isinstance(content, str):  # Python 2 wrote bytes as text
            content = content.encode("latin-1")
        size = math.prod(shape) * dtype.dtype.itemsize
        if not isinstance(content, bytes) or len(content) != size:
            raise ValueError(f"expected {size} bytes for shape {shape}")
        flat = np.frombuffer(content, dtype.dtype)
        self.array = flat.reshape(shape, order="F" if fortran else "C")


def read_numpy_pickle(file: Any, source: str = "the file") -> Any:
    r"""The object in a pickle of numbers, strings, containers and NumPy arrays of numbers.

    Args:
        file: a binary file at the pickle's first byte.
        source: what to call the file in errors.

    The arrays are read-only, and may lie in dictionaries and lists. Strings that Python 2 wrote are
    text, as if decoded from Latin-1.

    Raises ``CheckpointError`` for anything else; nothing in the file is ever run.

    >>> import io, pickle
    >>> read_numpy_pickle(io.BytesIO(pickle.dumps({"x": np.arange(3)}, 2)))
    {'x': array([0, 1, 2])}
    """
    result = read_pickle(file, _ALLOWED, source=source)
    if isinstance(result, _Array):
        return _values(result, source)
    todo, seen = [result], set()
    while todo:  # no recursion, and everything once: containers may hold each other
        container = todo.pop()
        if id(container) in seen:
            continue
        seen.add(id(container))
        if isinstance(container, (dict, list)):
            items = container.items() if isinstance(container, dict) else enumerate(container)
            arrays = {key: item for key, item in items if isinstance(item, _Array)}
            for key, item in arrays.items():
                container[key] = _values(item, source)
            todo.extend(container.values() if isinstance(container, dict) else container)
        elif isinstance(container, tuple):
            if any(isinstance(item, (_Array, _Dtype)) for item in container):
                raise CheckpointError(f"load: {source}: an array in a tuple, which is not read")
            todo.extend(container)
    return result


def _values(stand_in: _Array, source: str) -> np.ndarray:
    if stand_in.array is None:
        raise CheckpointError(f"load: {source}: an array without values")
    return stand_in.array


def _encode(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("expected text in Latin-1")
    return text.encode("latin-1")


_ALLOWED: dict[str, Any] = {
    "numpy.ndarray": "numpy.ndarray",
    "numpy.dtype": Call("numpy.dtype", _Dtype),
    "numpy.core.multiarray._reconstruct": Call("numpy._reconstruct", _Array),
    "numpy._core.multiarray._reconstruct": Call("numpy._reconstruct", _Array),
    # How Python 3 writes bytes with the pickle protocol 2.
    "_codecs.encode": Call("_codecs.encode", _encode),
}
