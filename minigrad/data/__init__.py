r"""Data: datasets, the loader, transforms, and generators of small data sets.

MNIST is here in full. Importing this package reads no data; making a dataset does.
"""

from __future__ import annotations

from . import transforms
from .cifar import CIFAR10
from .datasets import (
    ConcatDataset,
    Dataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)
from .loader import DataLoader
from .mnist import MNIST, FashionMNIST, read_idx
from .synthetic import make_gaussian_ring, make_linear, make_moons, make_spirals

__all__ = [
    "CIFAR10",
    "MNIST",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "FashionMNIST",
    "Subset",
    "TensorDataset",
    "default_collate",
    "make_gaussian_ring",
    "make_linear",
    "make_moons",
    "make_spirals",
    "random_split",
    "read_idx",
    "transforms",
]
