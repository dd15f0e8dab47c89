r"""Images: many laid out as one, and one, or a film of them, written to a file.

Belongs here: what needs pixels only. Does not belong here: anything with axes (``plots.py``).
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.backend import is_array, to_numpy
from minigrad.tensor import Tensor

__all__ = ["image_grid", "save_animation", "save_image"]


def host_array(value: Any) -> np.ndarray:
    """The values of a tensor, array or nested list, on the host."""
    if isinstance(value, Tensor):
        value = value.data
    return to_numpy(value) if is_array(value) else np.asarray(value)


def image_grid(
    images: Any, columns: int | None = None, padding: int = 2, background: float = 1.0
) -> np.ndarray:
    r"""Lay images out row by row.

    Args:
        images: (N, H, W), (N, 1, H, W) or (N, 3, H, W), floats in [0, 1] or uint8.
        columns: images in a row; by default a square.
        padding: pixels between images and around them.
        background: the value of these pixels, and of places without an image.

    Returns:
        One image, (height, width) or (height, width, 3), float32 in [0, 1].

    >>> image_grid(np.zeros((6, 28, 28)), columns=3).shape
    (62, 92)
    """
    array = host_array(images)
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4 or array.shape[1] not in (1, 3) or len(array) == 0:
        raise ValueError(
            "image_grid: expected images (N, H, W), (N, 1, H, W) or (N, 3, H, W) with N >= 1, "
            f"got {np.shape(host_array(images))}"
        )
    array = _unit(array)
    n, channels, height, width = array.shape
    columns = int(np.ceil(np.sqrt(n))) if columns is None else columns
    if columns < 1 or padding < 0:
        raise ValueError(
            f"image_grid: expected columns >= 1 and padding >= 0, got {columns} and {padding}"
        )
    rows = -(-n // columns)
    step_y, step_x = height + padding, width + padding
    grid = np.full(
        (rows * step_y + padding, columns * step_x + padding, channels), background, np.float32
    )
    for i in range(n):
        y, x = padding + i // columns * step_y, padding + i % columns * step_x
        grid[y : y + height, x : x + width] = array[i].transpose(1, 2, 0)  # (H, W, C)
    return grid[:, :, 0] if channels == 1 else grid


def _unit(array: np.ndarray) -> np.ndarray:
    """Values as float32 in [0, 1]; what lies outside is cut off."""
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if array.dtype.kind not in "fb":
        raise TypeError(f"image: expected floats in [0, 1] or uint8, got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError("image: expected finite values, got nan or inf")
    return np.clip(array.astype(np.float32), 0, 1)


def save_image(path: str | os.PathLike[str], image: Any, scale: int = 1) -> None:
    r"""Write one image as PNG.

    Args:
        path: ends in ``.png``.
        image: (H, W), (H, W, 3), (1, H, W) or (3, H, W), floats in [0, 1] or uint8.
        scale: make each pixel a square of this many.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"save_image: expected a name that ends in .png, got {path.name!r}")
    path.write_bytes(_png(_bytes(image, scale, "save_image")))


def save_animation(
    path: str | os.PathLike[str], frames: Iterable[Any], scale: int = 1, seconds: float = 0.2
) -> None:
    r"""Write images, one after the other and from the start again, as GIF. It needs Pillow.

    Args:
        path: ends in ``.gif``.
        frames: images as for :func:`save_image`, figures of the ``plot_`` functions, or paths of
            image files, all of one size.
        scale: make each pixel a square of this many.
        seconds: how long each is shown; the last five times as long.

    Raises:
        ImportError: Pillow is missing.
        ValueError: no frames, or frames of different sizes.
    """
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise ValueError(f"save_animation: expected a name that ends in .gif, got {path.name!r}")
    if not seconds > 0:
        raise ValueError(f"save_animation: expected seconds > 0, got {seconds}")
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("animations need Pillow: pip install 'minigrad[models]'") from None

    def read(frame: Any) -> Any:
        if not isinstance(frame, str | os.PathLike):
            return frame
        with Image.open(frame) as file:
            return np.asarray(file.convert("L" if file.mode == "L" else "RGB"))

    pixels = [_bytes(read(frame), scale, "save_animation") for frame in frames]
    if len({p.shape for p in pixels}) != 1:
        raise ValueError(
            "save_animation: expected frames of one size, "
            f"got {sorted({p.shape for p in pixels}) or 'none'}"
        )
    first, *rest = (Image.fromarray(p) for p in pixels)
    durations = [round(1000 * seconds)] * len(rest) + [round(5000 * seconds)]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0)


def _bytes(image: Any, scale: int, name: str) -> np.ndarray:
    """Grey (H, W) or colour (H, W, 3) bytes of an image or a figure."""
    if hasattr(image, "savefig"):
        image.canvas.draw()
        image = np.asarray(image.canvas.buffer_rgba())[:, :, :3]  # (H, W, 3) uint8
    array = host_array(image)
    if array.ndim == 3 and array.shape[-1] != 3 and array.shape[0] in (1, 3):
        array = array.transpose(1, 2, 0)  # (H, W, C)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or array.size == 0:
        raise ValueError(
            f"{name}: expected an image (H, W), (H, W, 3), (1, H, W) or (3, H, W), "
            f"got shape {host_array(image).shape}"
        )
    pixels = np.round(_unit(array) * 255).astype(np.uint8)
    return pixels.repeat(scale, axis=0).repeat(scale, axis=1)


def _png(pixels: np.ndarray) -> bytes:
    """The PNG file of (H, W) grey or (H, W, 3) colour bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)

    height, width = pixels.shape[:2]
    colour_type = 0 if pixels.ndim == 2 else 2
    header = struct.pack(">IIBBBBB", width, height, 8, colour_type, 0, 0, 0)
    rows = pixels.reshape(height, -1)
    unfiltered = np.zeros((height, 1), np.uint8)  # each row begins with its filter: none
    body = zlib.compress(np.concatenate([unfiltered, rows], axis=1).tobytes(), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
