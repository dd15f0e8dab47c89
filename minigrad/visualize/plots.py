r"""Plots: curves of a run, latent planes, labelled rows of images.

Belongs here: figures with axes. Does not belong here: images without (``grid.py``).

Each function returns a ``matplotlib.figure.Figure``: show it in a notebook, or
``figure.savefig("name.png")``. No window is opened and pyplot is not used.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from .grid import host_array, image_grid

__all__ = ["plot_confusion", "plot_curves", "plot_images", "plot_latent", "plot_manifold"]

_DPI = 130


def _figure(width: float, height: float) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ImportError("plots need matplotlib: pip install 'minigrad[models]'") from None
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def plot_curves(
    history: Iterable[Mapping[str, Any]],
    panels: Mapping[str, Mapping[str, str]],
    title: str = "",
    x: str = "epoch",
    lines: Mapping[str, float | Mapping[str, float]] | None = None,
    log: Collection[str] = (),
) -> Any:
    r"""Numbers over the epochs, a panel for each quantity.

    Args:
        history: dicts, as in ``run.history`` or what ``fit`` returns.
        panels: label of a panel's vertical axis -> {label of a curve: its name in the history}.
        title: above all panels.
        x: the name of the horizontal quantity.
        lines: horizontal lines, label -> value: a floor, a figure to reach. In every panel, or,
            under a panel's label, {label -> value} in that panel.
        log: labels of panels with a logarithmic vertical axis, for positive numbers.

    Raises:
        ValueError: a name that no dict has; a number that has no logarithm.
    """
    records = list(history)
    figure = _figure(4.8 * len(panels), 3.6)
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, (label, curves) in zip(axes, panels.items()):
        for curve, name in curves.items():
            points = [(r[x], r[name]) for r in records if name in r and x in r]
            if not points:
                raise ValueError(f"plot_curves: no {name!r} with {x!r} in the history")
            xs, ys = zip(*points)
            if label in log and min(ys) <= 0:
                raise ValueError(f"plot_curves: {name} is {min(ys)}, which has no logarithm")
            ax.plot(xs, ys, marker="o" if len(xs) <= 30 else None, markersize=3.5, label=curve)
        own: dict[str, float] = {}
        for name, value in (lines or {}).items():
            if not isinstance(value, Mapping):
                own[name] = value
            elif name == label:
                own |= value
        for (name, level), style in zip(own.items(), itertools.cycle(("--", ":", "-."))):
            ax.axhline(level, color="0.5", linewidth=1, linestyle=style, label=name)
        ax.set_xlabel(x)
        ax.set_ylabel(label)
        if label in log:
            _log_scale(ax)
        ax.xaxis.get_major_locator().set_params(integer=True)
        ax.grid(alpha=0.3)
        if len(curves) + len(own) > 6:  # beside the panel: it would hide the curves
            ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
        elif len(curves) + len(own) > 1:
            ax.legend()
    if title:
        figure.suptitle(title)
    return figure


def _log_scale(ax: Any) -> None:
    """A logarithmic vertical axis with plain numbers: 1, 2, 5, 10, ..., or with 1, 10, 100, ...
    where those would be too many."""
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_yscale("log")
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def plot_latent(
    codes: Any,
    labels: Any,
    title: str = "",
    names: Sequence[str] | None = None,
    limit: float | None = None,
) -> Any:
    r"""Points of a latent plane, coloured by class.

    Args:
        codes: (N, 2).
        labels: (N,) integers.
        names: of the classes; by default their numbers.
        limit: show [-limit, limit] in both directions; by default all points.
    """
    z, y = host_array(codes), host_array(labels)
    if z.ndim != 2 or z.shape[1] != 2 or y.shape != (len(z),):
        raise ValueError(
            f"plot_latent: expected codes (N, 2) and labels (N,), got {z.shape} and {y.shape}"
        )
    from_class = np.unique(y)
    figure = _figure(6.4, 5.6)
    ax = figure.subplots()
    import matplotlib

    count = 10 if len(from_class) <= 10 else 20
    colours = matplotlib.colormaps[f"tab{count}"](range(count))  # (count, 4)
    # One scatter in random order: drawn class by class, the last would cover the others.
    order = np.random.default_rng(0).permutation(len(z))
    index = np.searchsorted(from_class, y)
    rgb = np.array([colours[i % len(colours)] for i in index]).reshape(-1, 4)
    ax.scatter(*z[order].T, c=rgb[order], s=5, alpha=0.7, linewidths=0)
    for i, k in enumerate(from_class):  # empty scatters make the legend
        name = str(k) if names is None else names[int(k)]
        ax.scatter([], [], color=colours[i % len(colours)], s=30, label=name)
    ax.legend(title="class", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    ax.set_xlabel("$z_1$")
    ax.set_ylabel("$z_2$")
    ax.set_aspect("equal", adjustable="datalim" if limit is None else "box")
    if limit is not None:
        ax.set_xlim(-limit, limit)
        ax.set_ylim(-limit, limit)
    ax.grid(alpha=0.2)
    ax.set_title(title)
    return figure


def plot_manifold(
    decode: Callable[[np.ndarray], Any],
    n: int = 20,
    limit: float = 3.0,
    title: str = "",
    centre: tuple[float, float] = (0.0, 0.0),
) -> Any:
    r"""What a decoder makes of each place of a latent plane.

    Args:
        decode: codes (n * n, 2) float32 -> images (n * n, H, W) or (n * n, C, H, W) in [0, 1].
        n: images in each direction.
        limit: the plane shown is centre + [-limit, limit]^2; the images' centres are on it evenly.
        centre: its middle, for codes that are not around 0.
    """
    ticks = np.linspace(-limit, limit, n, dtype=np.float32)
    # The first row of the grid is at the top, so z_2 goes down from limit to -limit.
    z2, z1 = np.meshgrid(ticks[::-1], ticks, indexing="ij")
    codes = np.stack([z1.ravel(), z2.ravel()], axis=1)  # (n*n, 2)
    codes += np.array(centre, dtype=np.float32)
    grid = image_grid(decode(codes), columns=n, padding=0)
    half = limit / max(1, n - 1)  # half an image: the outer images stick out by it
    figure = _figure(6.4, 6.4)
    ax = figure.subplots()
    x, y, edge = *centre, limit + half
    extent = (x - edge, x + edge, y - edge, y + edge)
    ax.imshow(grid, cmap="gray", vmin=0, vmax=1, extent=extent, interpolation="nearest")
    ax.set_xlabel("$z_1$")
    ax.set_ylabel("$z_2$")
    ax.set_title(title)
    return figure


def plot_images(rows: Mapping[str, Any], title: str = "", dark: bool = True) -> Any:
    r"""Rows of images of one size, each with a label: inputs above their reconstructions, say.

    Args:
        rows: label -> images (N, H, W) or (N, C, H, W) in [0, 1], N the same in all rows; an empty
            label leaves a row without one.
        dark: grey images on black, as MNIST is; False shows high values dark.
    """
    arrays = {label: host_array(images) for label, images in rows.items()}
    if not arrays or len({a.shape for a in arrays.values()}) != 1:
        raise ValueError(
            "plot_images: expected rows of images of one shape, got "
            + ", ".join(f"{label!r}: {a.shape}" for label, a in arrays.items())
        )
    n = len(next(iter(arrays.values())))
    height, width = next(iter(arrays.values())).shape[-2:]
    inches = min(0.62, 11 / n)
    figure = _figure(inches * n + 1.3, inches * height / width * len(arrays) * 1.06 + 0.45)
    axes = figure.subplots(len(arrays), 1, squeeze=False)[:, 0]
    for ax, (label, images) in zip(axes, arrays.items()):
        grid = image_grid(images, columns=n, padding=1, background=0.35)
        ax.imshow(grid, cmap="gray" if dark else "gray_r", vmin=0, vmax=1, interpolation="nearest")
        ax.set_xticks([])
        ax.set_yticks([grid.shape[0] / 2], [label])
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    if title:
        figure.suptitle(title)
    return figure


def plot_confusion(counts: Any, names: Sequence[str] | None = None, title: str = "") -> Any:
    r"""A confusion matrix (K, K): labels down, predictions across, counts written in."""
    matrix = host_array(counts)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"plot_confusion: expected a matrix (K, K), got {matrix.shape}")
    k = len(matrix)
    share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    figure = _figure(0.5 * k + 1.6, 0.5 * k + 1.2)
    ax = figure.subplots()
    # The square root lets the few mistakes be seen beside the many right answers.
    ax.imshow(np.sqrt(share), cmap="Blues", vmin=0, vmax=1)
    for i in range(k):
        for j in range(k):
            if matrix[i, j]:
                ax.text(
                    j,
                    i,
                    str(int(matrix[i, j])),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white" if share[i, j] > 0.4 else "black",
                )
    labels = [str(i) for i in range(k)] if names is None else list(names)
    ax.set_xticks(range(k), labels)
    ax.set_yticks(range(k), labels)
    ax.set_xlabel("prediction")
    ax.set_ylabel("label")
    ax.set_title(title)
    return figure
