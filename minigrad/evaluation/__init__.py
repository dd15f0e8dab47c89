r"""Evaluation: figures that a trained model is measured by, and those that it must beat.

Belongs here: baselines without a network (PCA, the best linear map), what is exact (the posterior
of a Gaussian process), what codes, clusters and samples are worth, what an image shows. Does not
belong here: metrics that are collected during training (``minigrad.train``), distances between
images (``minigrad.vision``).

Arguments are arrays, tensors or lists; all is computed on the host, in float64, once a model is
trained. Only :func:`importance_weighted_bound` takes part in training, and stays on its device.
"""

from __future__ import annotations

from .assignment import cluster_accuracy, linear_assignment
from .baselines import PCA, LinearMap
from .codes import (
    active_units,
    factor_r2,
    knn_accuracy,
    knn_predict,
    linear_probe,
    r2_score,
    spearman,
)
from .gp import GaussianProcess
from .images import slant_and_width
from .likelihood import bits_per_dim, effective_sample_size, importance_weighted_bound
from .polynomials import polynomial_coefficients, polynomial_residual, row_norms
from .samples import (
    energy_distance,
    frechet_distance,
    mmd,
    mode_coverage,
    nearest_neighbour_distance,
    precision_recall,
)

__all__ = [
    "PCA",
    "GaussianProcess",
    "LinearMap",
    "active_units",
    "bits_per_dim",
    "cluster_accuracy",
    "effective_sample_size",
    "energy_distance",
    "factor_r2",
    "frechet_distance",
    "importance_weighted_bound",
    "knn_accuracy",
    "knn_predict",
    "linear_assignment",
    "linear_probe",
    "mmd",
    "mode_coverage",
    "nearest_neighbour_distance",
    "polynomial_coefficients",
    "polynomial_residual",
    "precision_recall",
    "r2_score",
    "row_norms",
    "slant_and_width",
    "spearman",
]
