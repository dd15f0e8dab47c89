r"""Weights in and out: files of other programs, and memory that they share.

Belongs here: reading and writing the file formats that weights travel in. Does not belong here:
the checkpoints of a run (``train/checkpoint.py``), and what a tensor offers to NumPy and to other
libraries in the same process (``protocols.py``).

Nothing here runs code from a file. See ``pickles.py`` for how a PyTorch file, which is a pickle, is
read without unpickling it.
"""

from __future__ import annotations

import os
from typing import Any

from .files import CheckpointError
from .safetensors_file import load_safetensors, save_safetensors

__all__ = ["CheckpointError", "load", "load_safetensors", "save_safetensors"]


def load(path: str | os.PathLike[str]) -> Any:
    r"""What a file of weights holds, recognised by its content.

    ===================== ====================================================================
    ``.safetensors``      a dictionary of tensors
    ``.pth``, ``.pt``     what PyTorch's ``torch.save`` wrote, in its formats of today and before
                          1.6: tensors, parameters (as tensors), numbers, strings, sizes, dtypes,
                          and dictionaries, lists and tuples of them; ordered dictionaries as
                          plain ones. Anything else is refused, and nothing in the file is run.
    ``.npz``              a dictionary of tensors
    ===================== ====================================================================

    Everything lands on the CPU. bfloat16, which NumPy does not have, becomes float32. Tensors that
    shared memory when they were saved share it again.

    Raises:
        FileNotFoundError: there is no such file.
        CheckpointError: it is truncated or damaged, of another format, or holds something else
            than weights; the message names it.

    >>> import tempfile, minigrad as mg
    >>> path = tempfile.mkdtemp() + "/weights.safetensors"
    >>> mg.save_safetensors(mg.nn.Linear(3, 2), path)
    >>> {name: tensor.shape for name, tensor in sorted(mg.load(path).items())}
    {'bias': (2,), 'weight': (2, 3)}
    """
    from . import numpy_file, torch_file

    file = os.fspath(path)
    if not os.path.isfile(file):
        raise FileNotFoundError(f"load: expected the file {file}, found none")
    with open(file, "rb") as opened:
        start = opened.read(512)
    if start.startswith(b"PK\x03\x04"):
        return numpy_file.load(file) if numpy_file.is_npz(file) else torch_file.load_zip(file)
    if start.startswith(torch_file.LEGACY_STARTS):
        return torch_file.load_legacy(file)
    if len(start) > 9 and start[8:9] == b"{":
        return load_safetensors(file)
    raise CheckpointError(
        f"load: {file}: expected a file of safetensors, PyTorch or NumPy (.npz), got one that "
        f"begins with {start[:8]!r} ({os.path.getsize(file)} bytes)"
    )
