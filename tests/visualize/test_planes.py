r"""Plots of a plane: what is drawn where."""

from __future__ import annotations

import numpy as np
import pytest

from minigrad.visualize import Field, plot_densities, plot_field, plot_points, plot_policy

pytest.importorskip("matplotlib")

EXTENT = (-1.0, 3.0, 0.0, 2.0)


def test_densities() -> None:
    values = np.arange(15.0).reshape(3, 5)
    figure = plot_densities({"one": values, "two": values * 9}, EXTENT, "A title", columns=1)
    assert figure.get_suptitle() == "A title"
    assert [ax.get_title() for ax in figure.axes] == ["one", "two"]
    for ax, scale in zip(figure.axes, (1, 9)):
        assert (*ax.get_xlim(), *ax.get_ylim()) == EXTENT
        (image,) = ax.images
        np.testing.assert_array_equal(image.get_array(), values * scale)
        assert image.origin == "lower"  # the first row lies at the bottom
        assert image.get_clim() == (0, 14 * scale)  # each panel to its own largest value
        # Pixels are centred on the grid: the outer ones stick out by half.
        assert image.get_extent() == [-1.5, 3.5, -0.5, 2.5]


def test_points() -> None:
    points = np.array([[0.0, 1.0], [2.0, 0.5], [1.0, 1.5]])
    figure = plot_points(
        {"a": points, "b": points + 0.1, "c": points}, EXTENT, labels=[7, 3, 7], columns=2
    )
    drawn = [ax for ax in figure.axes if ax.collections]
    assert [ax.get_title() for ax in drawn] == ["a", "b", "c"] and len(figure.axes) == 4
    np.testing.assert_array_equal(drawn[1].collections[0].get_offsets(), points + 0.1)
    colours = drawn[0].collections[0].get_facecolors()
    assert (colours[0] == colours[2]).all() and (colours[0] != colours[1]).any()
    assert len(plot_points({"a": points}, EXTENT).axes) == 1


def test_fields() -> None:
    values = np.linspace(0.2, 0.8, 15).reshape(3, 5)
    arrows = np.zeros((3, 3, 2))
    arrows[0, 2] = (3.0, 4.0)  # bottom right; 5 long
    points = np.array([[0.0, 1.0], [2.0, 0.5]])
    field = Field(values, arrows, real=points, fake=points + 0.1)
    figure = plot_field({"a": field, "b": Field(values)}, EXTENT, "T", limits=(0, 1), label="D(x)")
    first, second, bar = figure.axes
    assert [first.get_title(), second.get_title(), bar.get_ylabel()] == ["a", "b", "D(x)"]
    assert (*first.get_xlim(), *first.get_ylim()) == EXTENT
    (image,) = first.images
    np.testing.assert_array_equal(image.get_array(), values)
    assert image.get_clim() == (0, 1) and image.origin == "lower"
    quiver, real, fake = first.collections
    np.testing.assert_array_equal(quiver.U, arrows[..., 0].ravel())
    np.testing.assert_array_equal(quiver.V, arrows[..., 1].ravel())
    np.testing.assert_array_equal(quiver.get_offsets()[2], (3.0, 0.0))
    assert quiver.scale == 5.0  # the longest spans the narrower step, which is 1
    np.testing.assert_array_equal(real.get_offsets(), points)
    np.testing.assert_array_equal(fake.get_offsets(), points + 0.1)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["real", "fake"]
    assert not second.collections


def test_fields_have_their_own_extremes_unless_told() -> None:
    values = np.arange(4.0).reshape(2, 2)
    fields = {"a": Field(values), "b": Field(10 * values, np.zeros((2, 2, 2)))}
    figure = plot_field(fields, EXTENT)
    assert [ax.images[0].get_clim() for ax in figure.axes] == [(0, 3), (0, 30)]
    assert not figure.legends and not figure.axes[1].collections  # arrows of length 0


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: plot_densities({}, EXTENT), "one panel and one column or more"),
        (lambda: plot_densities({"a": np.ones(3)}, EXTENT), "finite values .H, W. >= 0 in 'a'"),
        (lambda: plot_densities({"a": -np.ones((2, 2))}, EXTENT), "finite values .H, W. >= 0"),
        (lambda: plot_densities({"a": np.ones((2, 2))}, (1, 0, 0, 1)), "left < right"),
        (lambda: plot_points({"a": np.ones((2, 3))}, EXTENT), "points .N, 2. in 'a', got shape"),
        (lambda: plot_points({"a": np.ones((2, 2))}, EXTENT, [1]), r"labels \(2,\) for 'a'"),
        (lambda: plot_field({"a": Field(np.ones(3))}, EXTENT), "finite values .H, W. in 'a'"),
        (lambda: plot_field({"a": Field(None)}, EXTENT), "finite values .H, W. in 'a'"),
        (
            lambda: plot_field({"a": Field(np.ones((2, 2)), np.ones((2, 2)))}, EXTENT),
            "finite arrows .h, w, 2. in 'a', got shape .2, 2.",
        ),
        (
            lambda: plot_field({"a": Field(np.ones((2, 2)), fake=np.ones((2, 3)))}, EXTENT),
            "finite fake .N, 2.",
        ),
        (
            lambda: plot_field({"a": Field(np.ones((2, 2)), real=[[0.0, np.nan]])}, EXTENT),
            "finite real .N, 2.",
        ),
    ],
)
def test_mistakes(call, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=message):
        call()


def test_policies() -> None:
    """Numbers in the cells, an arrow where the policy goes, nothing where nobody stands."""
    values = np.array([[1.0, np.nan, 3.5], [0.25, 2.0, 3.0]])
    arrows = np.zeros((2, 3, 2))
    arrows[0, 0], arrows[1, 2] = (1, 0), (0, -1)
    ax = plot_policy(values, arrows, "A title").axes[0]
    assert ax.get_title() == "A title"
    written = {t.get_position(): t.get_text() for t in ax.texts if t.get_text()}
    assert written == {
        (0, -0.25): "1", (2, -0.25): "3.5", (0, 0.75): "0.25", (1, 0.75): "2", (2, 0.75): "3",
    }  # fmt: skip
    heads = [(t.xy[0] - t.xyann[0], t.xy[1] - t.xyann[1]) for t in ax.texts if not t.get_text()]
    np.testing.assert_allclose(heads, [(0.4, 0), (0, -0.4)], atol=1e-9)  # the picture's y is down
    nothing = plot_policy(np.full_like(values, np.nan), arrows).axes[0]  # nothing was tried yet
    assert not nothing.texts
    with pytest.raises(ValueError, match="plot_policy: expected values"):
        plot_policy(values, arrows[:1])
