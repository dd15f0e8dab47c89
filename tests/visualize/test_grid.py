r"""Image grids and the PNG writer, read back by Pillow."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad.visualize import image_grid, plot_curves, save_animation, save_image


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


def frames_of(path: Path) -> tuple[list[np.ndarray], list[int]]:
    """The frames of a GIF, (H, W, 3) each, and how long each is shown, in milliseconds."""
    image_module = pytest.importorskip("PIL.Image")
    frames, durations = [], []
    with image_module.open(path) as film:
        assert film.info["loop"] == 0  # for ever
        for k in range(film.n_frames):
            film.seek(k)
            frames.append(np.asarray(film.convert("RGB")).copy())
            durations.append(film.info["duration"])
    return frames, durations


@pytest.mark.parametrize("channels", [1, 3])
def test_animations_are_read_back_by_pillow(tmp_path: Path, channels: int) -> None:
    """Grey levels come back as they are; colours of few kinds too."""
    levels = np.random.default_rng(0).choice([0, 80, 160, 255], (3, channels, 5, 4))
    film = levels.astype(np.uint8)
    save_animation(tmp_path / "film.gif", mg.tensor(film.astype(np.float32) / 255), 3, seconds=0.1)
    frames, durations = frames_of(tmp_path / "film.gif")
    assert durations == [100, 100, 500] and len(frames) == 3
    for got, expected in zip(frames, film):
        assert got.shape == (15, 12, 3)
        np.testing.assert_array_equal(
            got[1::3, 1::3], np.broadcast_to(expected.transpose(1, 2, 0), (5, 4, 3))
        )


def test_animations_of_figures(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    history = [{"epoch": k, "loss": 1 / k} for k in range(1, 4)]
    figures = [plot_curves(history[:k], {"loss": {"loss": "loss"}}) for k in (2, 3)]
    save_animation(tmp_path / "film.gif", figures)
    frames, _ = frames_of(tmp_path / "film.gif")
    width, height = figures[0].canvas.get_width_height()
    assert [f.shape for f in frames] == [(height, width, 3)] * 2
    assert frames[0].min() < 50 and frames[0].max() == 255 and (frames[0] != frames[1]).any()


@pytest.mark.parametrize("colour", [(), (3,)])
def test_animations_of_files(tmp_path: Path, colour: tuple[int, ...]) -> None:
    """What a run wrote step by step, maybe before it was resumed."""
    film = np.random.default_rng(0).choice([0, 255], (2, 5, 4, *colour)).astype(np.uint8)
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, image in zip(paths, film):
        save_image(path, image)
    save_animation(tmp_path / "film.gif", [paths[0], str(paths[1])])
    frames, _ = frames_of(tmp_path / "film.gif")
    for got, expected in zip(frames, film):
        np.testing.assert_array_equal(
            got, expected if colour else expected[:, :, None].repeat(3, 2)
        )


def test_animations_without_pillow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(
        ImportError, match=r"^animations need Pillow: pip install 'minigrad.models.'"
    ):
        save_animation(tmp_path / "film.gif", np.zeros((2, 3, 3)))


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
    pytest.importorskip("PIL")
    with pytest.raises(ValueError, match="ends in .gif, got 'i.png'"):
        save_animation(tmp_path / "i.png", np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="frames of one size, got none"):
        save_animation(tmp_path / "i.gif", [])
    with pytest.raises(ValueError, match=r"frames of one size, got \[\(2, 2\), \(3, 3\)\]"):
        save_animation(tmp_path / "i.gif", [np.zeros((2, 2)), np.zeros((3, 3))])
    with pytest.raises(ValueError, match="expected seconds > 0, got 0"):
        save_animation(tmp_path / "i.gif", np.zeros((2, 3, 3)), seconds=0)
    with pytest.raises(ValueError, match=r"save_animation: expected an image .* shape \(2, 3, 4\)"):
        save_animation(tmp_path / "i.gif", [np.zeros((2, 3, 4))])
    assert list(tmp_path.iterdir()) == []
