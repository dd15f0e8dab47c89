r"""Sprites are where their factors say, and coloured shapes are as bright as their grey level."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.backend import Generator
from minigrad.data import make_coloured_shapes, make_sprites


def centre(images: np.ndarray) -> np.ndarray:
    """Centre of mass (x, y) in widths of the image: (n, 2)."""
    weight = images[:, 0] / images[:, 0].sum((1, 2), keepdims=True)
    places = (np.arange(images.shape[-1]) + 0.5) / images.shape[-1]
    return np.stack([(weight * places).sum((1, 2)), (weight * places[:, None]).sum((1, 2))], 1)


@pytest.mark.parametrize("size", [16, 32])
def test_sprites_are_where_the_factors_say(size):
    images, values = make_sprites(200, ("x", "y", "scale", "rotation"), size, Generator(0))
    assert images.shape == (200, 1, size, size) and images.dtype == np.float32
    assert values.shape == (200, 4) and values.dtype == np.float32
    assert images.min() == 0 and images.max() == 1
    np.testing.assert_allclose(centre(images), 0.25 + 0.5 * values[:, :2], atol=0.2 / size)
    area = images.mean((1, 2, 3))
    expected = np.pi * 0.6 * (0.09 + 0.09 * values[:, 2]) ** 2  # an ellipse
    np.testing.assert_allclose(area, expected, rtol=0.2 if size == 16 else 0.1)


def test_rotation_goes_around():
    """The ellipse's long axis is at the angle that the factor says: twice around in one turn."""
    images, values = make_sprites(100, ("rotation",), 64, Generator(1))
    places = (np.arange(64) + 0.5) / 64 - 0.5
    w = images[:, 0] / images[:, 0].sum((1, 2), keepdims=True)
    xx, yy = (w * places**2).sum((1, 2)), (w * places[:, None] ** 2).sum((1, 2))
    xy = (w * places * places[:, None]).sum((1, 2))
    double = np.arctan2(2 * xy, xx - yy)  # twice the axis' angle
    difference = double - 4 * np.pi * values[:, 0]
    np.testing.assert_allclose(np.cos(difference), 1, atol=0.02)


def test_factors_are_independent_and_complete():
    _, values = make_sprites(3000, ("shape", "scale", "x"), 8, Generator(2))
    assert set(values[:, 0]) == {0, 1, 2}
    correlation = np.corrcoef(values.T) - np.eye(3)
    assert abs(correlation).max() < 4 / np.sqrt(3000)
    assert values[:, 1:].min() < 0.01 and values[:, 1:].max() > 0.99


def test_shapes_differ_and_the_heart_is_upright():
    """A square fills more of its circle than an ellipse; the upper half of a heart is wider."""
    images, values = make_sprites(300, ("shape",), 64, Generator(3))
    area = [images[values[:, 0] == k].mean() for k in range(3)]
    assert area[0] > 1.2 * area[1] and abs(area[2] / area[1] - 1) > 0.1
    heart = images[values[:, 0] == 2][0, 0]
    rows = np.flatnonzero(heart.sum(1))
    width = (heart > 0.5).sum(1)
    third = len(rows) // 3
    assert width[rows[:third]].sum() > 1.5 * width[rows[-third:]].sum()


def test_a_small_move_is_a_small_change():
    images, values = make_sprites(400, ("x",), 32, Generator(4))
    order = np.argsort(values[:, 0])
    step = abs(np.diff(images[order], axis=0)).sum((1, 2, 3))
    assert step.max() < 4  # of about 60 white pixels


def test_coloured_shapes():
    images, masks = make_coloured_shapes(300, generator=Generator(0))
    assert images.shape == (300, 3, 32, 32) and images.dtype == np.float32
    assert masks.shape == (300, 32, 32) and masks.dtype == np.int64
    assert set(np.unique(masks)) == {0, 1, 2, 3}
    assert images.min() >= 0 and images.max() <= 1
    r, g, b = images.transpose(1, 0, 2, 3)
    corner = masks[:, 0, 0] == 0
    for other in (g, b):
        np.testing.assert_array_equal(r[corner, 0, 0], other[corner, 0, 0])
    # The colour that a shape is named for leads wherever it covers most of a pixel.
    images, masks = make_coloured_shapes(300, shapes=1, generator=Generator(0))
    r, g, b = images.transpose(1, 0, 2, 3)
    for kind, leads, others in ((1, r, (g, b)), (2, g, (r, b)), (3, b, (r, g))):
        where = masks == kind
        for other in others:
            assert (leads[where] > other[where]).all()


def test_colour_cannot_be_told_from_brightness():
    """The grey levels of the three kinds have the same distribution: means within 4 errors."""
    images, masks = make_coloured_shapes(2000, shapes=1, generator=Generator(1))
    grey = (images * np.array([0.299, 0.587, 0.114], np.float32)[:, None, None]).sum(1)
    levels = []
    for kind in (1, 2, 3):
        of_kind = [g[m == kind] for g, m in zip(grey, masks) if (m == kind).any()]
        levels.append(np.array([np.median(level) for level in of_kind]))
    assert all(len(level) > 500 for level in levels)
    for level in levels:
        assert 0.29 < level.min() and level.max() < 0.71
        assert abs(level.mean() - 0.5) < 4 * level.std() / np.sqrt(len(level))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make_sprites(0), "make_sprites: expected n >= 1"),
        (lambda: make_sprites(1, size=4), "make_sprites: expected .* size >= 8"),
        (lambda: make_sprites(1, ("z",)), "make_sprites: expected some of x, y, scale"),
        (lambda: make_sprites(1, ("x", "x")), "each once"),
        (lambda: make_sprites(1, ()), "expected some of"),
        (lambda: make_coloured_shapes(0), "make_coloured_shapes: expected n >= 1"),
        (lambda: make_coloured_shapes(1, shapes=0), "expected shapes >= 1"),
    ],
)
def test_bad_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
