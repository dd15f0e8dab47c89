r"""Plots of a plane: densities, points and fields of two-dimensional data, worlds of cells.

Belongs here: pictures of what lives in two dimensions and has no images. Does not belong here:
latent planes of images, curves (``plots.py``).

As in ``plots.py``, each function returns a ``matplotlib.figure.Figure``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .grid import host_array
from .plots import _figure

__all__ = ["Field", "plot_densities", "plot_field", "plot_points", "plot_policy"]

Extent = tuple[float, float, float, float]


def _panels(count: int, columns: int, extent: Extent) -> tuple[Any, Any]:
    """A figure with a grid of ``count`` axes that show ``extent``, without ticks inside."""
    if columns < 1 or count < 1:
        raise ValueError(f"expected one panel and one column or more, got {count} and {columns}")
    columns = min(columns, count)
    rows = -(-count // columns)
    left, right, bottom, top = extent
    if not (left < right and bottom < top):
        raise ValueError(f"extent: expected left < right and bottom < top, got {extent}")
    width = min(3.6, 12.0 / columns)
    height = width * (top - bottom) / (right - left)
    figure = _figure(width * columns, (height + 0.3) * rows + 0.4)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[count:]:
        ax.set_axis_off()
    for ax in axes.flat[:count]:
        ax.set_xlim(left, right)
        ax.set_ylim(bottom, top)
        ax.set_aspect("equal")
    return figure, axes.flat


def plot_densities(
    panels: Mapping[str, Any], extent: Extent, title: str = "", columns: int = 4
) -> Any:
    r"""Densities on one grid, side by side, each from 0 to its own largest value.

    Args:
        panels: title of a panel -> values (H, W) that are not negative; row i lies at the i-th
            height from the bottom.
        extent: (left, right, bottom, top) of the grid's outer values.
        columns: panels in a row, at most.
    """
    arrays = {name: host_array(values) for name, values in panels.items()}
    for name, values in arrays.items():
        if values.ndim != 2 or not np.isfinite(values).all() or values.min() < 0:
            raise ValueError(
                f"plot_densities: expected finite values (H, W) >= 0 in {name!r}, got shape "
                f"{values.shape}"
            )
    figure, axes = _panels(len(arrays), columns, extent)
    for ax, (name, values) in zip(axes, arrays.items()):
        _values(ax, values, extent, vmin=0, cmap="viridis")
        ax.set_title(name, fontsize=10)
    if title:
        figure.suptitle(title)
    return figure


def _values(ax: Any, values: np.ndarray, extent: Extent, **options: Any) -> Any:
    """Draw (H, W) with its outer values on the edges of ``extent``: their pixels stick out."""
    left, right, bottom, top = extent
    rows, cols = values.shape
    dx, dy = (right - left) / max(1, cols - 1) / 2, (top - bottom) / max(1, rows - 1) / 2
    outer = (left - dx, right + dx, bottom - dy, top + dy)
    image = ax.imshow(values, origin="lower", extent=outer, interpolation="nearest", **options)
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    return image


@dataclass
class Field:
    r"""One panel of :func:`plot_field`.

    Attributes:
        values: (H, W), as a discriminator's answer at each place; row i lies at the i-th height
            from the bottom.
        arrows: (h, w, 2), directions (to the right, up) on a coarser grid with the same outer
            places, as the way that the discriminator pushes a sample there; or None.
        real, fake: points (N, 2) and (M, 2), or None.
    """

    values: Any
    arrows: Any = None
    real: Any = None
    fake: Any = None


def plot_field(
    panels: Mapping[str, Field],
    extent: Extent,
    title: str = "",
    columns: int = 4,
    limits: tuple[float, float] | None = None,
    label: str = "discriminator",
    size: float = 4.0,
) -> Any:
    r"""What a discriminator thinks of each place of the plane, the way that it pushes samples, and
    where real and generated points are: side by side, at several moments of training.

    Args:
        panels: title of a panel -> :class:`Field`.
        extent: (left, right, bottom, top) of the grids' outer places, and of what is shown.
        columns: panels in a row, at most.
        limits: the values that are darkest blue and darkest red, (0, 1) for probabilities, with a
            colour bar; by default each panel's own extremes, without.
        label: of the colour bar.
        size: of a point, in square points of print.

    The longest arrow of a panel reaches as far as the next one begins.
    """
    arrays = {name: _field(name, field) for name, field in panels.items()}
    figure, axes = _panels(len(arrays), columns, extent)
    left, right, bottom, top = extent
    low, high = limits or (None, None)
    drawn = list(zip(axes, arrays.items()))
    for ax, (name, field) in drawn:
        image = _values(ax, field.values, extent, vmin=low, vmax=high, cmap="RdBu_r", alpha=0.7)
        if field.arrows is not None and field.arrows.any():
            h, w, _ = field.arrows.shape
            x, y = np.linspace(left, right, w), np.linspace(bottom, top, h)
            step = min((right - left) / max(1, w - 1), (top - bottom) / max(1, h - 1))
            scale = np.linalg.norm(field.arrows, axis=2).max() / step
            u, v = field.arrows.transpose(2, 0, 1)
            options = {"angles": "xy", "scale_units": "xy", "scale": scale, "width": 0.004}
            ax.quiver(x, y, u, v, color="0.35", zorder=2, **options)
        for points, colour, who in ((field.real, "black", "real"), (field.fake, "gold", "fake")):
            if points is not None:
                ax.scatter(
                    *points.T,
                    c=colour,
                    s=size,
                    label=who,
                    linewidths=0.3 if who == "fake" else 0,
                    edgecolors="black",
                    zorder=3,
                )
        ax.set_title(name, fontsize=10)
    if limits is not None:
        figure.colorbar(image, ax=[ax for ax, _ in drawn], label=label, shrink=0.8)
    handles, labels = drawn[0][0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=2, markerscale=2)
    if title:
        figure.suptitle(title)
    return figure


def _field(name: str, field: Field) -> Field:
    """``field`` with arrays on the host, which are what they should be."""
    shapes = {"values": "(H, W)", "arrows": "(h, w, 2)", "real": "(N, 2)", "fake": "(N, 2)"}
    found: dict[str, Any] = {}
    for key, shape in shapes.items():
        given = getattr(field, key)
        if given is None and key != "values":
            continue
        array = found[key] = host_array(given)
        pairs = key == "values" or array.shape[-1:] == (2,)
        if (
            array.dtype.kind not in "fiu"
            or array.ndim != shape.count(",") + 1
            or not pairs
            or not np.isfinite(array).all()
        ):
            raise ValueError(
                f"plot_field: expected finite {key} {shape} in {name!r}, got shape {array.shape}"
            )
    return Field(**found)


def plot_points(
    panels: Mapping[str, Any],
    extent: Extent,
    labels: Any = None,
    title: str = "",
    columns: int = 4,
    size: float = 2.0,
) -> Any:
    r"""Clouds of points, side by side.

    Args:
        panels: title of a panel -> points (N, 2).
        extent: (left, right, bottom, top) of what is shown.
        labels: (N,) integers that colour the points of every panel alike; None: one colour.
        columns: panels in a row, at most.
        size: of a point, in square points of print.
    """
    arrays = {name: host_array(points) for name, points in panels.items()}
    classes = None if labels is None else host_array(labels)
    for name, points in arrays.items():
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(
                f"plot_points: expected points (N, 2) in {name!r}, got shape {points.shape}"
            )
        if classes is not None and classes.shape != (len(points),):
            raise ValueError(
                f"plot_points: expected labels ({len(points)},) for {name!r}, got {classes.shape}"
            )
    figure, axes = _panels(len(arrays), columns, extent)
    colours: Any = "tab:blue"
    if classes is not None:
        import matplotlib

        colours = matplotlib.colormaps["tab10"](np.unique(classes, return_inverse=True)[1] % 10)
    for ax, (name, points) in zip(axes, arrays.items()):
        ax.scatter(*points.T, c=colours, s=size, linewidths=0, alpha=0.7)
        ax.set_title(name, fontsize=10)
        ax.grid(alpha=0.2)
    if title:
        figure.suptitle(title)
    return figure


def plot_policy(values: Any, arrows: Any, title: str = "", label: str = "value") -> Any:
    r"""What a world of cells is worth, cell by cell, and where a policy goes from each.

    Args:
        values: (H, W), written in; the first row is at the top. Cells of nan are left white.
        arrows: (H, W, 2), directions (to the right, down); (0, 0) draws none.
        title: above it.
        label: of the colour bar.

    Raises:
        ValueError: shapes do not match.
    """
    numbers, ways = host_array(values), host_array(arrows)
    if numbers.ndim != 2 or ways.shape != (*numbers.shape, 2):
        raise ValueError(
            "plot_policy: expected values (H, W) and arrows (H, W, 2), "
            f"got {numbers.shape} and {ways.shape}"
        )
    height, width = numbers.shape
    figure = _figure(0.9 * width + 1.6, 0.9 * height + 0.7)
    ax = figure.subplots()
    image = ax.imshow(numbers, cmap="Blues")
    known = numbers[np.isfinite(numbers)]
    middle = known.min() + 0.6 * np.ptp(known) if known.size else 0.0
    for row, column in np.argwhere(np.isfinite(numbers)):
        value, (right, down) = numbers[row, column], ways[row, column]
        colour = "white" if value > middle else "black"
        text = {"ha": "center", "va": "center", "fontsize": 8, "color": colour}
        ax.text(column, row - 0.25, f"{value:.3g}", **text)
        if right or down:
            tail = (column - 0.2 * right, row + 0.17 - 0.2 * down)
            head = (column + 0.2 * right, row + 0.17 + 0.2 * down)
            ax.annotate("", head, tail, arrowprops={"arrowstyle": "->", "color": colour})
    ax.set_xticks([])
    ax.set_yticks([])
    figure.colorbar(image, label=label)
    ax.set_title(title, fontsize=10)
    return figure
