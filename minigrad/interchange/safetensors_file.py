r"""Weights as safetensors: named arrays, little-endian and row-major, and nothing else.

Belongs here: that format, read and written by the safetensors library. What the library does not
do is done here: it writes the memory of an array as it lies, whatever the strides say; it does not
give NumPy bfloat16; and it overwrites the old file before it has the new one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import is_array, to_numpy
from ..tensor import Tensor
from .files import CheckpointError, PathLike, write_atomically

__all__ = ["load_safetensors", "pack", "save_safetensors", "unpack", "widen_bfloat16"]


def _safetensors() -> Any:
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError("checkpoints need safetensors: pip install 'minigrad[models]'") from None
    return safetensors


def host_array(name: str, value: Any) -> np.ndarray:
    r"""``value`` as a little-endian row-major array: safetensors stores the buffer as it lies in
    memory, whatever the strides say, so a transposed array would come back with its values mixed
    up. ``asarray(order="C")`` keeps 0-d arrays 0-d, unlike ``ascontiguousarray``."""
    array = value.data if isinstance(value, Tensor) else value
    if not is_array(array):
        raise TypeError(f"save: expected tensors or arrays, got {type(value).__name__} at {name!r}")
    array = to_numpy(array)
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise TypeError(f"save: cannot store dtype {array.dtype} at {name!r}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("<"), order="C")


def pack(arrays: Mapping[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    r"""The content of a file with these arrays."""
    safetensors = _safetensors()
    for name in arrays:
        if not isinstance(name, str):
            raise TypeError(f"save: expected strings as names, got {name!r}")
    host = {name: host_array(name, value) for name, value in arrays.items()}
    return bytes(safetensors.numpy.save(host, metadata=metadata))


def unpack(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    r"""Arrays and metadata of the file. bfloat16 becomes float32."""
    safetensors = _safetensors()
    if not path.is_file():
        raise FileNotFoundError(f"load: expected the file {path}, found none")
    arrays: dict[str, np.ndarray] = {}
    raw: dict[str, Any] | None = None
    try:
        with safetensors.safe_open(str(path), framework="numpy") as file:
            for name in file.keys():
                dtype = file.get_slice(name).get_dtype()
                if dtype == "BF16":
                    if raw is None:
                        raw = dict(safetensors.deserialize(path.read_bytes()))
                    bits = np.frombuffer(raw[name]["data"], "<u2")
                    arrays[name] = widen_bfloat16(bits).reshape(raw[name]["shape"])
                elif dtype not in _DTYPES:
                    raise CheckpointError(
                        f"load: {path}: {name!r} has dtype {dtype}; expected one of "
                        + ", ".join([*_DTYPES, "BF16"])
                    )
                else:
                    arrays[name] = file.get_tensor(name)
            return arrays, dict(file.metadata() or {})
    except (safetensors.SafetensorError, ValueError, OverflowError) as error:
        size = path.stat().st_size
        raise CheckpointError(
            f"load: {path} is truncated or not a safetensors file ({size} bytes): {error}"
        ) from None


_DTYPES = ("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64")


def widen_bfloat16(bits: np.ndarray) -> np.ndarray:
    r"""bfloat16 numbers, given as uint16, as float32: they are its upper half.

    >>> widen_bfloat16(np.array([0x3F80, 0xC000], np.uint16))
    array([ 1., -2.], dtype=float32)
    """
    return (bits.astype(np.uint32) << 16).view(np.float32)


def save_safetensors(tensors: Any, path: Any, metadata: dict[str, str] | None = None) -> None:
    r"""Write a module's state, or tensors or arrays by name, as safetensors.

    The file is written at once or not at all. PyTorch reads it with ``safetensors.torch``.

    Args:
        tensors: a module (or anything with ``state_dict()``), or name -> Tensor or array on any
            device, of any memory layout. Tensors that share memory are stored one by one.
        path: where to; its folder must exist. ``save_safetensors(path, tensors)``, the order of
            :func:`minigrad.train.save_checkpoint`, means the same.
        metadata: strings to keep beside them.

    Raises:
        TypeError: a value that is neither tensor nor array, or of a dtype that cannot be stored.
        OSError: the file could not be written; what was at ``path`` is still there.

    >>> import tempfile, minigrad as mg
    >>> path = tempfile.mkdtemp() + "/weights.safetensors"
    >>> save_safetensors({"weight": mg.ones(2, 3).T}, path)
    >>> load_safetensors(path)["weight"].shape
    (3, 2)
    """
    if isinstance(tensors, str | os.PathLike):
        tensors, path = path, tensors
    if callable(getattr(tensors, "state_dict", None)):
        tensors = tensors.state_dict()
    if not isinstance(tensors, Mapping) or not isinstance(path, str | os.PathLike):
        raise TypeError(
            "save_safetensors: expected a module or a dictionary of tensors, and a path; got "
            f"{type(tensors).__name__} and {type(path).__name__}"
        )
    write_atomically(path, pack(tensors, metadata))


def load_safetensors(path: PathLike) -> dict[str, Tensor]:
    r"""The tensors of a safetensors file, by name, on the CPU. bfloat16 becomes float32.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: the file is truncated or of another format.
    """
    arrays, _ = unpack(Path(path))
    return {name: Tensor(array) for name, array in arrays.items()}
