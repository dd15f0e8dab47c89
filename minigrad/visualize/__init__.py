r"""Pictures: image grids, curves, latent planes, densities and points of a plane.

Image files are written with the standard library alone. The ``plot_`` functions return a
``matplotlib.figure.Figure``; they touch no global state of matplotlib and need no display.
"""

from __future__ import annotations

from .grid import image_grid, save_image
from .planes import plot_densities, plot_points
from .plots import plot_confusion, plot_curves, plot_images, plot_latent, plot_manifold

__all__ = [
    "image_grid",
    "plot_confusion",
    "plot_curves",
    "plot_densities",
    "plot_images",
    "plot_latent",
    "plot_manifold",
    "plot_points",
    "save_image",
]
