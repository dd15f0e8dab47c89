r"""What the datasets of labelled images share: samples, batches, everything as arrays.

Belongs here: what happens to images once they are in memory. Does not belong here: finding and
reading files (``mnist.py``, ``cifar.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .datasets import Dataset, default_collate
from .transforms import ToTensor, is_batched

__all__ = ["ImageDataset"]


class ImageDataset(Dataset):
    r"""Images of one size with integer labels, all in memory.

    A subclass sets ``images``, uint8 ``(N, H, W)`` (grey) or ``(N, C, H, W)``, and ``labels``,
    int64 ``(N,)``. A sample is ``(transform(image), target_transform(label))`` with the image as
    uint8 ``(C, H, W)``.

    >>> class Dots(ImageDataset):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.images = np.full((5, 2, 2), 255, np.uint8)
    ...         self.labels = np.arange(5)
    >>> image, label = Dots()[3]
    >>> image.tolist(), label
    ([[[1.0, 1.0], [1.0, 1.0]]], 3)
    """

    images: np.ndarray
    labels: np.ndarray

    def __init__(
        self,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        self.transform = ToTensor() if transform is None else transform
        self.target_transform = target_transform

    def _with_channels(self, images: np.ndarray) -> np.ndarray:
        """(..., H, W) of grey images to (..., 1, H, W); others as they are."""
        return images[..., None, :, :] if self.images.ndim == 3 else images

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        label = int(self.labels[index])
        image = self.transform(self._with_channels(self.images[index]))  # (C, H, W)
        return image, label if self.target_transform is None else self.target_transform(label)

    def get_batch(self, indices: np.ndarray) -> tuple[Any, Any]:
        images = self._with_channels(self.images[indices])  # (B, C, H, W)
        if is_batched(self.transform):
            x = self.transform(images)
        else:
            x = default_collate([self.transform(image) for image in images])
        y = self.labels[indices]
        if self.target_transform is None:
            return x, y
        return x, default_collate([self.target_transform(int(label)) for label in y])

    def arrays(
        self, flatten: bool = False, dtype: Any = np.float32
    ) -> tuple[np.ndarray, np.ndarray]:
        r"""All images with values in [0, 1], ``(N, C, H, W)`` or ``(N, C H W)`` if ``flatten``,
        and all labels ``(N,)`` int64. New arrays at each call; ``transform`` plays no part."""
        dtype = np.dtype(dtype)
        if dtype.kind != "f":
            raise TypeError(f"{type(self).__name__}.arrays: expected a floating dtype, got {dtype}")
        images = self._with_channels(self.images)
        x = (images.reshape(len(self), -1) if flatten else images).astype(dtype)
        x /= dtype.type(255)
        return x, self.labels.copy()
