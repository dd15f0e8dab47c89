r"""Transforms: what happens to an image between the file and the network.

Belongs here: functions of images ``(C, H, W)`` or batches ``(N, C, H, W)``, given as arrays.
Does not belong here: anything that records gradients (``ops/``), and augmentation that needs more
than the image, such as boxes (``vision/``).

Every transform works on one image and on a whole batch alike, so that a loader can make a batch
with a few array operations. Random ones draw from the stream of the batch they work for: inside a
:class:`~minigrad.data.DataLoader` that stream depends on the epoch and the batch alone, never on
which worker made the batch or how many there are; elsewhere it is the default generator.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..backend import (
    Generator,
    default_generator,
    device_of,
    get_array_module,
    get_default_dtype,
    to_device,
)

__all__ = [
    "BernoulliBinarize",
    "Binarize",
    "Compose",
    "Normalize",
    "Pad",
    "ToTensor",
    "Transform",
    "current_generator",
]


class Transform:
    r"""Base class of the transforms here. ``batched = True`` is the promise that the transform
    takes ``(C, H, W)`` and ``(N, C, H, W)`` alike; a transform of your own may make it too."""

    batched = True

    def __call__(self, images: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __call__")

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k[0] != "_")
        return f"{type(self).__name__}({arguments})"


def is_batched(transform: Callable[[Any], Any]) -> bool:
    r"""True if ``transform`` promises to work on whole batches."""
    return bool(getattr(transform, "batched", False))


class Compose(Transform):
    r"""One transform after another.

    >>> to_unit = Compose([ToTensor(), Normalize(0.5, 0.5)])
    >>> to_unit(np.array([[[0, 255]]], dtype=np.uint8))
    array([[[-1.,  1.]]], dtype=float32)
    """

    def __init__(self, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self.transforms = list(transforms)
        self.batched = all(is_batched(t) for t in self.transforms)

    def __call__(self, images: Any) -> Any:
        for transform in self.transforms:
            images = transform(images)
        return images

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


class ToTensor(Transform):
    r"""uint8 levels 0..255 to floats in [0, 1] (of the default dtype); floats pass unchanged.

    The name is PyTorch's. The result is an array still: the loader makes the Tensor.
    """

    def __call__(self, images: Any) -> Any:
        if images.dtype == np.uint8:
            dtype = get_default_dtype()
            return images.astype(dtype) / dtype.type(255)
        if images.dtype.kind != "f":
            raise TypeError(f"ToTensor: expected uint8 or floating images, got {images.dtype}")
        return images


class Normalize(Transform):
    r"""``(x - mean) / std`` for each channel.

    Args:
        mean, std: one number for all channels, or one for each ``(C,)``.
    """

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        self.mean, self.std = mean, std
        self._mean, self._std = (np.asarray(v, np.float64).reshape(-1) for v in (mean, std))
        if (self._std <= 0).any() or not np.isfinite(self._std).all():
            raise ValueError(f"Normalize: expected std > 0, got {std}")
        if len({1, len(self._mean), len(self._std)}) > 2:
            raise ValueError(
                "Normalize: expected as many means as standard deviations, "
                f"got {len(self._mean)} and {len(self._std)}"
            )

    def __call__(self, images: Any) -> Any:
        _check_floating("Normalize", images)
        channels = max(len(self._mean), len(self._std))
        if channels > 1 and (images.ndim < 3 or images.shape[-3] != channels):
            raise ValueError(
                f"Normalize: expected images ({channels}, H, W) or (N, {channels}, H, W), "
                f"got shape {images.shape}"
            )
        mean, std = (
            to_device(v.astype(images.dtype), device_of(images))[:, None, None]  # (C, 1, 1)
            for v in (self._mean, self._std)
        )
        if images.ndim < 3:  # one number for all, whatever the shape
            mean, std = mean[0, 0, 0], std[0, 0, 0]
        return (images - mean) / std


class Binarize(Transform):
    r"""1 where a pixel is above ``threshold``, else 0, in the images' dtype."""

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = threshold

    def __call__(self, images: Any) -> Any:
        _check_floating("Binarize", images)
        return (images > self.threshold).astype(images.dtype)


class BernoulliBinarize(Transform):
    r"""Dynamic binarisation [1]: each pixel is 1 with the probability that its value states,
    drawn anew every time.

    [1] Salakhutdinov, Murray: On the quantitative analysis of deep belief networks, ICML 2008.
    """

    def __call__(self, images: Any) -> Any:
        _check_floating("BernoulliBinarize", images)
        uniform = current_generator().numpy.random(images.shape, dtype=np.float32)
        return (to_device(uniform, device_of(images)) < images).astype(images.dtype)


class Pad(Transform):
    r"""Pad height and width.

    Args:
        padding: one number for all sides, ``(left and right, top and bottom)``, or
            ``(left, top, right, bottom)``, as in torchvision.
        fill: the value there, for ``padding_mode="constant"``.
        padding_mode: "constant", "edge", "reflect" or "symmetric".
    """

    def __init__(
        self, padding: int | Sequence[int], fill: float = 0, padding_mode: str = "constant"
    ) -> None:
        sides = (padding,) if isinstance(padding, int) else tuple(padding)
        if len(sides) not in (1, 2, 4) or any(side < 0 for side in sides):
            raise ValueError(f"Pad: expected 1, 2 or 4 numbers >= 0, got {padding}")
        if padding_mode not in ("constant", "edge", "reflect", "symmetric"):
            raise ValueError(
                "Pad: expected padding_mode constant, edge, reflect or symmetric, "
                f"got {padding_mode!r}"
            )
        left, top, right, bottom = (sides * 4)[:4]
        self.padding, self.fill, self.padding_mode = padding, fill, padding_mode
        self._widths = ((top, bottom), (left, right))

    def __call__(self, images: Any) -> Any:
        if images.ndim < 2:
            raise ValueError(f"Pad: expected images (..., H, W), got shape {images.shape}")
        widths = ((0, 0),) * (images.ndim - 2) + self._widths
        options = {"constant_values": self.fill} if self.padding_mode == "constant" else {}
        xp = get_array_module(images)
        return xp.pad(images, widths, mode=self.padding_mode, **options)


def _check_floating(name: str, images: Any) -> None:
    if images.dtype.kind != "f":
        raise TypeError(
            f"{name}: expected floating images, got {images.dtype}; put ToTensor() before it"
        )


# ------------------------------------------------------------------------- streams of a batch
_local = threading.local()


def current_generator() -> Generator:
    r"""The generator that random transforms draw from: that of the batch being made if a
    :class:`~minigrad.data.DataLoader` is at work in this thread, else the default one."""
    stream = getattr(_local, "stream", None)
    if stream is None:
        return default_generator()
    if isinstance(stream, tuple):  # made on first use: most batches draw nothing
        words = np.random.SeedSequence(stream).generate_state(1, np.uint64)
        stream = _local.stream = Generator(int(words[0] >> np.uint64(1)))
    return stream


@contextmanager
def batch_stream(seed: int, batch: int) -> Iterator[None]:
    r"""Within it, :func:`current_generator` is the stream of this batch of this epoch."""
    outer = getattr(_local, "stream", None)
    _local.stream = (seed, batch)
    try:
        yield
    finally:
        _local.stream = outer
