r"""Images of another size: interpolation, and pixels traded for channels.

Belongs here: maps along the spatial axes that are linear in the image with fixed weights, and the
op that carries them out, :class:`Resample`. Padding is in ``padding.py``, windows in ``window.py``.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..kernels import resample as kernels
from ..kernels.resample import Taps
from ._base import Function, raw, shape_of
from .shape import permute, reshape

__all__ = ["channel_shuffle", "interpolate", "pixel_shuffle", "pixel_unshuffle"]


class Resample(Function):
    r"""y = A x along an axis, with the sparse matrix A in a table of taps;  x̄ = Aᵀ ȳ."""

    def __init__(self, axis: int, taps: Taps, adjoint: Taps) -> None:
        self.axis, self.taps, self.adjoint = axis, taps, adjoint

    def forward(self, x):
        return kernels.resample(x, self.axis, self.taps)

    def backward(self, g):
        return Resample.apply(g, axis=self.axis, taps=self.adjoint, adjoint=self.taps)


# ---------------------------------------------------------------------------------- interpolation
_SPATIAL = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}
_MODES = ("nearest", "nearest-exact", "area", *_SPATIAL)


def _nearest(n: int, m: int, scale: float | None, half: float) -> Taps:
    r"""Place k of m takes ⌊(k + half) n/m⌋, reckoned in float32, as PyTorch does."""
    k = np.arange(m, dtype=np.float32)
    step = np.float32(n) / np.float32(m) if scale is None else np.float32(1 / scale)
    index = np.floor((k + np.float32(half)) * step).astype(np.int64)
    return Taps(np.minimum(index, n - 1)[None], np.ones((1, m)))


def _positions(n: int, m: int, align_corners: bool, scale: float | None) -> np.ndarray:
    r"""Where the m places of the result lie on the axis of the n given ones: with the corners'
    centres on each other, or the corners' edges."""
    k = np.arange(m)
    if align_corners:
        return k * ((n - 1) / (m - 1) if m > 1 else 0.0)
    return (k + 0.5) * (n / m if scale is None else 1 / scale) - 0.5


def _linear(n: int, m: int, align_corners: bool, scale: float | None) -> Taps:
    if m == n:  # a copy, in PyTorch also where a scale was rounded down to it
        return Taps(np.arange(n)[None], np.ones((1, n)))
    x = np.maximum(_positions(n, m, align_corners, scale), 0.0)
    low = np.minimum(x.astype(np.int64), n - 1)
    t = np.clip(x - low, 0.0, 1.0)
    return Taps(np.stack([low, np.minimum(low + 1, n - 1)]), np.stack([1 - t, t]))


def _cubic(n: int, m: int, align_corners: bool, scale: float | None) -> Taps:
    r"""Keys' cubic convolution with a = -3/4."""
    x = _positions(n, m, align_corners, scale)
    low = np.floor(x).astype(np.int64)
    a = -0.75
    index, weight = [], []
    for i in (-1, 0, 1, 2):
        d = np.abs(x - low - i)
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        weight.append(np.where(d <= 1, near, far))
        index.append(np.clip(low + i, 0, n - 1))
    return Taps(np.stack(index), np.stack(weight))


@functools.lru_cache(maxsize=256)
def _tables(
    n: int, m: int, mode: str, align_corners: bool, scale: float | None
) -> tuple[Taps, Taps]:
    r"""The table from n places to m, and its adjoint."""
    if mode.startswith("nearest"):
        taps = _nearest(n, m, scale, 0.5 if mode == "nearest-exact" else 0.0)
    elif mode == "bicubic":
        taps = _cubic(n, m, align_corners, scale)
    else:
        taps = _linear(n, m, align_corners, scale)
    return taps, kernels.transposed(taps, n)


def _per_axis(value: Any, axes: int, what: str) -> list[Any]:
    values = list(value) if isinstance(value, (tuple, list)) else [value] * axes
    if len(values) != axes:
        raise ValueError(f"interpolate: expected {what} for {axes} axes, got {value!r}")
    return values


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Any:
    r"""(N, C, ...) with spatial axes of another size.

    Args:
        input: (N, C, L), (N, C, H, W) or (N, C, D, H, W).
        size: the new size, an integer or one for each axis; or
        scale_factor: what the size is multiplied with (and rounded down).
        mode: "nearest", "nearest-exact", "linear" (one axis), "bilinear" and "bicubic" (two),
            "trilinear" (three) or "area" (adaptive average pooling).
        align_corners: the centres of the corner pixels coincide; otherwise (None, False) their
            outer edges do. For the linear and cubic modes.
        recompute_scale_factor: reckon with the ratio of the two sizes instead of ``scale_factor``.

    Raises:
        ValueError: both or neither of size and scale_factor, a mode that does not fit the axes, or
            an empty axis.

    >>> import minigrad as mg
    >>> mg.interpolate(mg.tensor([[[1.0, 2.0]]]), scale_factor=2)
    tensor([[[1., 1., 2., 2.]]])
    """
    shape = shape_of(input)
    axes = len(shape) - 2
    if mode not in _MODES:
        raise ValueError(f"interpolate: expected mode to be one of {_MODES}, got {mode!r}")
    if axes not in (1, 2, 3) or _SPATIAL.get(mode, axes) != axes:
        wanted = f"{_SPATIAL[mode]}" if mode in _SPATIAL else "1 to 3"
        raise ValueError(
            f"interpolate: expected (N, C) and {wanted} spatial axes for {mode}, got {shape}"
        )
    if align_corners is not None and (mode.startswith("nearest") or mode == "area"):
        raise ValueError(f"interpolate: align_corners has no meaning for {mode}")
    if (size is None) == (scale_factor is None):
        raise ValueError(
            f"interpolate: expected either size or scale_factor, got {size} and {scale_factor}"
        )
    scales: list[float | None] = [None] * axes
    if size is not None:
        if recompute_scale_factor:
            raise ValueError("interpolate: recompute_scale_factor has no meaning with size")
        sizes = _per_axis(size, axes, "size")
        if any(isinstance(n, bool) or not isinstance(n, (int, np.integer)) for n in sizes):
            raise TypeError(f"interpolate: expected integers as size, got {size!r}")
    else:
        factors = [float(s) for s in _per_axis(scale_factor, axes, "scale_factor")]
        sizes = [math.floor(n * s) for n, s in zip(shape[2:], factors)]
        if not recompute_scale_factor:
            scales = [*factors]
    if any(n < 1 for n in (*sizes, *shape[1:])):
        raise ValueError(f"interpolate: expected axes of at least 1, got {shape} to {sizes}")
    dtype = raw(input).dtype
    if dtype.kind != "f" and not mode.startswith("nearest"):
        raise TypeError(f"interpolate: expected a floating dtype for {mode}, got {dtype}")
    if mode == "area":
        return _area(input, sizes)
    for axis in reversed(range(axes)):  # the last first: along it the array is still small
        n, m, scale = shape[2 + axis], int(sizes[axis]), scales[axis]
        if mode == "nearest" and axes == 2 and m in (n, 2 * n):
            scale = None  # as PyTorch has it for images, but not for sequences and volumes
        taps, adjoint = _tables(n, m, mode, bool(align_corners), scale)
        input = Resample.apply(input, axis=2 + axis, taps=taps, adjoint=adjoint)
    return input


def _area(input: Any, sizes: list[int]) -> Any:
    from .pool import adaptive_avg_pool1d, adaptive_avg_pool2d

    if len(sizes) == 3:
        raise ValueError("interpolate: expected 1 or 2 spatial axes for area, got 3")
    pool = adaptive_avg_pool1d if len(sizes) == 1 else adaptive_avg_pool2d
    return pool(input, tuple(sizes))


# ----------------------------------------------------------------------------- pixels and channels
def _factor(value: Any, name: str, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"{name}: expected a positive integer as {what}, got {value!r}")
    return int(value)


def pixel_shuffle(input: Any, upscale_factor: int) -> Any:
    r"""Channels become pixels: (..., C r², H, W) to (..., C, H r, W r), r = ``upscale_factor``
    (Shi et al., 2016)."""
    shape, r = shape_of(input), _factor(upscale_factor, "pixel_shuffle", "upscale_factor")
    if len(shape) < 3 or shape[-3] % (r * r):
        raise ValueError(f"pixel_shuffle: expected (..., C {r}², H, W), got {shape}")
    *lead, c, h, w = shape
    k = len(lead)
    split = reshape(input, (*lead, c // (r * r), r, r, h, w))
    order = (*range(k), k, k + 3, k + 1, k + 4, k + 2)
    return reshape(permute(split, order), (*lead, c // (r * r), h * r, w * r))


def pixel_unshuffle(input: Any, downscale_factor: int) -> Any:
    r"""Pixels become channels: (..., C, H r, W r) to (..., C r², H, W), the inverse of
    :func:`pixel_shuffle`."""
    shape, r = shape_of(input), _factor(downscale_factor, "pixel_unshuffle", "downscale_factor")
    if len(shape) < 3 or shape[-1] % r or shape[-2] % r:
        raise ValueError(f"pixel_unshuffle: expected (..., C, H {r}, W {r}), got {shape}")
    *lead, c, h, w = shape
    k = len(lead)
    split = reshape(input, (*lead, c, h // r, r, w // r, r))
    order = (*range(k), k, k + 2, k + 4, k + 1, k + 3)
    return reshape(permute(split, order), (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Any, groups: int) -> Any:
    r"""The channels of (N, C, ...) interleaved: the first of each group, then the second of each
    (Zhang et al., 2018)."""
    shape, groups = shape_of(input), _factor(groups, "channel_shuffle", "groups")
    if len(shape) < 3 or shape[1] % groups:
        raise ValueError(f"channel_shuffle: expected (N, C, ...), {groups} dividing C, got {shape}")
    split = reshape(input, (shape[0], groups, shape[1] // groups, *shape[2:]))
    return reshape(permute(split, (0, 2, 1, *range(3, len(shape) + 1))), shape)
