r"""Plots of a plane: densities and points of two-dimensional data.

Belongs here: pictures of what lives in two dimensions and has no images. Does not belong here:
latent planes of images, curves (``plots.py``).

As in ``plots.py``, each function returns a ``matplotlib.figure.Figure``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .grid import host_array
from .plots import _figure

__all__ = ["plot_densities", "plot_points"]

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
    left, right, bottom, top = extent
    for ax, (name, values) in zip(axes, arrays.items()):
        rows, cols = values.shape
        dx, dy = (right - left) / max(1, cols - 1) / 2, (top - bottom) / max(1, rows - 1) / 2
        ax.imshow(
            values,
            origin="lower",
            extent=(left - dx, right + dx, bottom - dy, top + dy),
            vmin=0,
            cmap="viridis",
            interpolation="nearest",
        )
        ax.set_xlim(left, right)
        ax.set_ylim(bottom, top)
        ax.set_title(name, fontsize=10)
    if title:
        figure.suptitle(title)
    return figure


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
