r"""Arrays by name in NumPy's ``.npz``. Object arrays, which are pickles, are refused."""

from __future__ import annotations

import zipfile

import numpy as np

from ..tensor import Tensor
from .files import CheckpointError

__all__ = ["is_npz", "load"]


def is_npz(path: str) -> bool:
    r"""Whether all members of a zip file are arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def load(path: str) -> dict[str, Tensor]:
    r"""The arrays of the file as tensors."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"load: {path} cannot be read: {error}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise CheckpointError(
                f"load: {path}: expected arrays of numbers, got {array.dtype} at {name!r}"
            )
    return {name: Tensor(array) for name, array in arrays.items()}
