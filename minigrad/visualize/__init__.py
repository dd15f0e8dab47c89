r"""Pictures: image grids and films, curves, latent planes, densities, points and fields of a plane,
policies of small worlds.

Image files are written with the standard library alone, films with Pillow. The ``plot_`` functions
return a ``matplotlib.figure.Figure``; they touch no global state of matplotlib and need no display.
"""

from __future__ import annotations

from .grid import image_grid, save_animation, save_image
from .planes import Field, plot_densities, plot_field, plot_points, plot_policy
from .plots import plot_confusion, plot_curves, plot_images, plot_latent, plot_manifold

__all__ = [
    "Field",
    "image_grid",
    "plot_confusion",
    "plot_curves",
    "plot_densities",
    "plot_field",
    "plot_images",
    "plot_latent",
    "plot_manifold",
    "plot_points",
    "plot_policy",
    "save_animation",
    "save_image",
]
