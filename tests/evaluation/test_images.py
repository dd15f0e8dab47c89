r"""Measures of images: on images whose slant and width are known."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.evaluation import slant_and_width

Y, X = np.mgrid[0:41, 0:41] - 20.0  # y downwards


def blob(slant: float = 0.0, width: float = 3.0, height: float = 5.0) -> np.ndarray:
    """A normal density, sheared: pixels to the right for each pixel up."""
    return np.exp(-0.5 * ((X + slant * Y) / width) ** 2 - 0.5 * (Y / height) ** 2)


@pytest.mark.parametrize("shear", [-0.7, 0.0, 0.3, 1.0])
def test_slant_and_width_of_sheared_images(shear):
    images = np.stack([blob(shear, w) for w in (1.5, 2.0, 3.0)])
    slant, width = slant_and_width(images)
    np.testing.assert_allclose(slant, shear, atol=0.02)
    np.testing.assert_allclose(width, [1.5, 2.0, 3.0], rtol=0.01)


def test_where_it_stands_and_how_bright_it_is_do_not_matter():
    image = blob(0.4, 2.0, 3.0)
    moved = 0.3 * np.roll(image, (4, -5), (0, 1))
    for a, b in zip(slant_and_width(image[None]), slant_and_width(moved[None])):
        np.testing.assert_allclose(a, b, atol=1e-3)
    mirrored, _ = slant_and_width(image[None, :, ::-1])
    np.testing.assert_allclose(mirrored, -slant_and_width(image[None])[0])


def test_shapes_and_dtypes():
    images = mg.tensor(np.stack([blob(), blob(0.5)])[:, None], dtype=mg.float32)
    before = images.numpy().copy()
    slant, width = slant_and_width(images)
    assert slant.shape == width.shape == (2,) and slant.dtype == width.dtype == np.float64
    np.testing.assert_allclose(slant, [0.0, 0.5], atol=0.02)
    assert (images.numpy() == before).all()


def test_nothing_bright_and_one_row():
    images = np.zeros((2, 5, 5))
    images[1, 2, 1:4] = 1.0
    slant, width = slant_and_width(images)
    assert slant.tolist() == [0.0, 0.0]
    np.testing.assert_allclose(width, [0.0, (2 / 3) ** 0.5])


@pytest.mark.parametrize(
    "images, message",
    [
        (np.zeros((5, 5)), r"expected images \(N, H, W\) or \(N, 1, H, W\), got \(5, 5\)"),
        (np.zeros((2, 3, 5, 5)), r"got \(2, 3, 5, 5\)"),
        (-np.ones((1, 5, 5)), "no negative values"),
        (np.full((1, 5, 5), np.nan), "finite"),
    ],
)
def test_mistakes(images, message):
    with pytest.raises(ValueError, match=message):
        slant_and_width(images)
