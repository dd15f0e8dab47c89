r"""Image grids and the PNG writer, read back by Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.visualize import image_grid, save_image


@given(
    n=st.integers(1, 7),
    channels=st.sampled_from([None, 1, 3]),
    columns=st.none() | st.integers(1, 4),
    padding=st.integers(0, 2),
)
def test_every_image_is_in_its_place(
    n: int, channels: int | None, columns: int | None, padding: int
) -> None:
    shape = (n, 4, 5) if channels is None else (n, channels, 4, 5)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    grid = image_grid(images, columns, padding, background=0.25)
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    colour = (3,) if channels == 3 else ()
    assert grid.shape == (
        rows * (4 + padding) + padding,
        columns * (5 + padding) + padding,
        *colour,
    )
    seen = np.zeros(grid.shape[:2], bool)
    for i in range(n):
        y, x = padding + i // columns * (4 + padding), padding + i % columns * (5 + padding)
        part = grid[y : y + 4, x : x + 5]
        image = images[i] if channels is None else np.squeeze(images[i].transpose(1, 2, 0))
        np.testing.assert_array_equal(part, image)
        seen[y : y + 4, x : x + 5] = True
    assert (grid[~seen] == np.float32(0.25)).all()


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3), (1, 4, 6), (3, 4, 6), (1, 1), (5, 3)])
@pytest.mark.parametrize("scale", [1, 2])
def test_png_is_read_back_by_pillow(tmp_path: Path, shape: tuple[int, ...], scale: int) -> None:
    image_module = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = pixels.transpose(1, 2, 0) if len(shape) == 3 and shape[-1] != 3 else pixels
    expected = expected[:, :, 0] if expected.ndim == 3 and expected.shape[2] == 1 else expected
    for value in (pixels, mg.tensor(pixels.astype(np.float32) / 255)):
        save_image(tmp_path / "i.png", value, scale)
        with image_module.open(tmp_path / "i.png") as read:
            got = np.asarray(read)
        np.testing.assert_array_equal(got[::scale, ::scale], expected)
        np.testing.assert_array_equal(got[scale - 1 :: scale, scale - 1 :: scale], expected)


def test_values_outside_are_cut_off() -> None:
    assert image_grid(np.array([[[-1.0, 2.0]]]), padding=0).tolist() == [[0.0, 1.0]]


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"image_grid: expected images .* got \(3, 3\)"):
        image_grid(np.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"got \(2, 4, 3, 3\)"):
        image_grid(np.zeros((2, 4, 3, 3)))
    with pytest.raises(ValueError, match="N >= 1"):
        image_grid(np.zeros((0, 3, 3)))
    with pytest.raises(TypeError, match="expected floats in .* or uint8, got int64"):
        image_grid(np.zeros((1, 3, 3), np.int64))
    with pytest.raises(ValueError, match="finite"):
        image_grid(np.full((1, 3, 3), np.nan))
    with pytest.raises(ValueError, match=r"save_image: expected an image .* got shape \(2, 3, 4\)"):
        save_image(tmp_path / "i.png", np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match="ends in .png, got 'i.jpg'"):
        save_image(tmp_path / "i.jpg", np.zeros((2, 2)))
    assert list(tmp_path.iterdir()) == []
