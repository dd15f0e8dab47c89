r"""Data: datasets, the loader, transforms, and generators of small data sets.

MNIST is here in full. Importing this package reads no data; making a dataset does.
"""

from __future__ import annotations

from . import transforms
from .cifar import CIFAR10
from .curves import make_gp_curves, rbf_kernel
from .datasets import (
    ConcatDataset,
    Dataset,
    FreshDataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)
from .images import ImageDataset
from .loader import DataLoader
from .mnist import MNIST, FashionMNIST, read_idx
from .polynomials import make_polynomials
from .potentials import POTENTIALS, log_partition, potential
from .shapes import make_coloured_shapes, make_sprites
from .synthetic import (
    grid_centres,
    make_gaussian_grid,
    make_gaussian_ring,
    make_linear,
    make_moons,
    make_spirals,
    ring_centres,
)

__all__ = [
    "CIFAR10",
    "MNIST",
    "POTENTIALS",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "FashionMNIST",
    "FreshDataset",
    "ImageDataset",
    "Subset",
    "TensorDataset",
    "default_collate",
    "grid_centres",
    "log_partition",
    "make_coloured_shapes",
    "make_gaussian_grid",
    "make_gaussian_ring",
    "make_gp_curves",
    "make_linear",
    "make_moons",
    "make_polynomials",
    "make_spirals",
    "make_sprites",
    "potential",
    "random_split",
    "rbf_kernel",
    "read_idx",
    "ring_centres",
    "transforms",
]
