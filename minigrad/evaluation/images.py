r"""Measures of what an image shows, from its moments.

Belongs here: figures that need the pixels of one image alone. Does not belong here: distances
between images (``minigrad.vision``), anything that a trained network says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._host import host, matrix

__all__ = ["slant_and_width"]


def slant_and_width(images: Any) -> tuple[np.ndarray, np.ndarray]:
    r"""How far the bright part of each image leans to the right, and how wide it is without that.

    With a pixel's brightness as its weight, x to the right and y *upwards* of the centre of
    gravity,

    .. math::
        \text{slant} = \frac{\overline{xy}}{\overline{y^2}}, \qquad
        \text{width} = \sqrt{\overline{x^2} - \overline{xy}^2 / \overline{y^2}}

    The slant is the slope of the regression of x on y: pixels to the right for each pixel up, and
    0.5 more in an image that is sheared by 0.5. The width is what that regression leaves of the
    deviation of x, in pixels, and the same after shearing.

    Args:
        images: (N, H, W) or (N, 1, H, W), not negative.

    Returns:
        slant and width, (N,) each; both 0 where nothing is bright, and a slant of 0 where all
        brightness is in one row.

    Raises:
        ValueError: another shape, or negative values.

    >>> image = np.zeros((1, 5, 5))
    >>> image[0, [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]] = 1.0  # a line up to the right
    >>> slant_and_width(image)
    (array([1.]), array([0.]))
    """
    shape = host(images).shape
    if len(shape) == 4 and shape[1] == 1:
        shape = (shape[0], *shape[2:])
    if len(shape) != 3:
        raise ValueError(
            f"slant_and_width: expected images (N, H, W) or (N, 1, H, W), got {host(images).shape}"
        )
    weight = matrix(images, "slant_and_width: images").reshape(shape)
    if (weight < 0).any():
        raise ValueError("slant_and_width: expected no negative values")
    total = weight.sum((1, 2), keepdims=True)
    weight /= np.where(total > 0, total, 1)
    y, x = -np.arange(shape[1], dtype=float), np.arange(shape[2], dtype=float)
    x = x - (weight.sum(1) @ x)[:, None]  # (N, W)
    y = y - (weight.sum(2) @ y)[:, None]  # (N, H)
    xx = (weight.sum(1) * x**2).sum(1)
    yy = (weight.sum(2) * y**2).sum(1)
    xy = np.einsum("nhw,nh,nw->n", weight, y, x)
    slant = np.where(yy > 1e-12, xy / np.where(yy > 1e-12, yy, 1), 0)
    return slant, np.sqrt(np.maximum(xx - slant * xy, 0))
