r"""Figures: what is drawn, where, and with which labels."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.visualize import (
    plot_confusion,
    plot_curves,
    plot_images,
    plot_latent,
    plot_manifold,
)

pytest.importorskip("matplotlib")

HISTORY = [{"epoch": i, "loss": 3.0 / i, "val_loss": 4.0 / i, "acc": i / 4} for i in (1, 2, 3)]


def saved(figure: Any, tmp_path: Path) -> Any:
    """The figure, after it was drawn and written; nothing may stick out of it."""
    path = tmp_path / "figure.png"
    figure.savefig(path)
    assert path.stat().st_size > 1000
    width, height = figure.canvas.get_width_height()
    box = figure.get_tightbbox()
    assert box.x0 >= -0.02 and box.y0 >= -0.02
    assert box.x1 * figure.dpi <= width + 2 and box.y1 * figure.dpi <= height + 2
    return figure


def test_curves(tmp_path: Path) -> None:
    panels = {"loss (nats)": {"training": "loss", "validation": "val_loss"}, "acc": {"all": "acc"}}
    figure = saved(plot_curves(HISTORY, panels, "A title", lines={"floor": 1.0}), tmp_path)
    left, right = figure.axes
    assert [ax.get_ylabel() for ax in figure.axes] == ["loss (nats)", "acc"]
    assert left.get_xlabel() == "epoch" and figure.get_suptitle() == "A title"
    assert [t.get_text() for t in left.get_legend().get_texts()] == [
        "training",
        "validation",
        "floor",
    ]
    assert left.lines[1].get_ydata().tolist() == [4.0, 2.0, 4.0 / 3]
    assert right.lines[0].get_xdata().tolist() == [1, 2, 3]
    figure = plot_curves(HISTORY, panels, lines={"acc": {"chance": 0.1}, "floor": 1.0})
    found = [[str(line.get_label()) for line in ax.lines] for ax in figure.axes]
    assert found == [["training", "validation", "floor"], ["all", "chance", "floor"]]
    with pytest.raises(ValueError, match="no 'nothing' with 'epoch' in the history"):
        plot_curves(HISTORY, {"y": {"a": "nothing"}})


def test_curves_on_a_logarithmic_axis(tmp_path: Path) -> None:
    panels = {"loss (nats)": {"training": "loss"}, "acc": {"all": "acc"}}
    figure = saved(plot_curves(HISTORY, panels, log=["acc"]), tmp_path)
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "log"]
    with pytest.raises(ValueError, match="plot_curves: acc is -1, which has no logarithm"):
        plot_curves([{"epoch": 1, "acc": -1}], {"acc": {"all": "acc"}}, log=["acc"])


@pytest.mark.parametrize(
    "low, high, numbers", [(0.07, 30.0, "0.1 0.2 0.5 1 2 5 10 20"), (0.003, 30.0, "0.01 0.1 1 10")]
)
def test_a_logarithmic_axis_has_plain_numbers(low: float, high: float, numbers: str) -> None:
    history = [{"epoch": 1, "y": high}, {"epoch": 2, "y": low}]
    (ax,) = plot_curves(history, {"y": {"all": "y"}}, log=["y"]).axes
    bottom, top = ax.get_ylim()
    shown = [
        label.get_text()
        for label, at in zip(ax.get_yticklabels(), ax.get_yticks())
        if bottom <= at <= top
    ]
    assert " ".join(shown) == numbers
    assert not any(label.get_text() for label in ax.get_yticklabels(minor=True))


def test_latent_plane(tmp_path: Path) -> None:
    z = mg.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    figure = saved(plot_latent(z, np.array([7, 1, 7]), "T", limit=6), tmp_path)
    (ax,) = figure.axes
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["1", "7"]
    points = ax.collections[0]
    order = np.argsort(points.get_offsets()[:, 0])
    np.testing.assert_allclose(points.get_offsets()[order], z.numpy())
    colours = points.get_facecolors()[order]
    assert (colours[0] == colours[2]).all() and (colours[0] != colours[1]).any()
    assert ax.get_xlim() == (-6, 6) and ax.get_aspect() == 1
    with pytest.raises(ValueError, match=r"expected codes \(N, 2\) and labels \(N,\)"):
        plot_latent(np.zeros((3, 3)), np.zeros(3))


@pytest.mark.parametrize("centre", [(0.0, 0.0), (4.0, -2.0)])
def test_manifold_has_each_image_where_its_code_is(
    centre: tuple[float, float], tmp_path: Path
) -> None:
    def decode(z: np.ndarray) -> np.ndarray:
        """A 2 x 2 image: z_1 on the left, z_2 on the right, scaled to [0, 1]."""
        assert z.dtype == np.float32 and z.shape == (9, 2)
        return (z[:, None, None, :].repeat(2, axis=2) - np.float32(centre) + 1) / 2

    figure = saved(plot_manifold(decode, n=3, limit=1.0, title="T", centre=centre), tmp_path)
    (ax,) = figure.axes
    image = ax.images[0]
    left, right, bottom, top = image.get_extent()
    x, y = centre
    assert (left, right, bottom, top) == (x - 1.5, x + 1.5, y - 1.5, y + 1.5)
    assert image.origin == "upper"
    pixels = np.asarray(image.get_array())  # (6, 6)
    for z1 in (-1, 0, 1):
        for z2 in (-1, 0, 1):
            row, column = int((top - (y + z2) - 0.5) * 2), int((x + z1 - left - 0.5) * 2)
            assert pixels[row, column] == (z1 + 1) / 2
            assert pixels[row, column + 1] == (z2 + 1) / 2


def test_rows_of_images(tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((6, 1, 8, 8))
    figure = saved(plot_images({"input": images, "output": mg.tensor(images)}, "T"), tmp_path)
    assert [ax.get_yticklabels()[0].get_text() for ax in figure.axes] == ["input", "output"]
    assert all(ax.get_aspect() == 1 for ax in figure.axes)
    with pytest.raises(ValueError, match="expected rows of images of one shape"):
        plot_images({"a": images, "b": images[:3]})


def test_confusion(tmp_path: Path) -> None:
    figure = saved(plot_confusion(np.array([[8, 2], [0, 5]]), ["cat", "dog"], "T"), tmp_path)
    (ax,) = figure.axes
    written = {t.get_position(): t.get_text() for t in ax.texts}
    assert written == {(0, 0): "8", (1, 0): "2", (1, 1): "5"}  # (column, row)
    assert ax.get_xlabel() == "prediction" and ax.get_ylabel() == "label"
    with pytest.raises(ValueError, match=r"expected a matrix \(K, K\)"):
        plot_confusion(np.zeros((2, 3)))


@pytest.mark.parametrize(
    "plot",
    [
        lambda: plot_curves(HISTORY, {"y": {"a": "loss"}}),
        lambda: plot_images({"": np.zeros((1, 2, 2))}),
    ],
)
def test_without_matplotlib_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, plot: Callable[[], Any]
) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        ImportError, match=r"^plots need matplotlib: pip install 'minigrad\[models\]'$"
    ):
        plot()


def test_pyplot_is_left_alone() -> None:
    before = "matplotlib.pyplot" in sys.modules
    plot_curves(HISTORY, {"y": {"a": "loss"}})
    assert ("matplotlib.pyplot" in sys.modules) == before
