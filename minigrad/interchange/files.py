r"""What all formats share: the error, and writing a file so that it is never seen half written."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["CheckpointError", "PathLike", "write_atomically"]

PathLike = str | os.PathLike[str]


class CheckpointError(RuntimeError):
    r"""A file that is not the checkpoint that was asked for: truncated, of another program, of a
    newer format, of another architecture, or with contents that are not weights. The message says
    what was expected and what came."""


def write_atomically(path: PathLike, content: bytes) -> None:
    r"""Write ``content`` to ``path`` such that ``path`` always holds the old bytes or the new.

    The bytes go to ``<path>.tmp``, reach the disk (fsync), and only then take the name. If
    anything fails (a full disk, say), ``path`` is as it was and no temporary file is left.

    Raises:
        OSError: what the operating system said.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    # The new name itself must reach the disk too. Not every system can sync a directory.
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
