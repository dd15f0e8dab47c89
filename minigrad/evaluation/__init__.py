r"""Evaluation: figures that a trained model is measured by, and those that it must beat.

Belongs here: baselines without a network (PCA, the best linear map), what is exact (the posterior
of a Gaussian process), what codes and samples are worth. Does not belong here: metrics that are
collected during training (``minigrad.train``), distances between images (``minigrad.vision``).

Arguments are arrays, tensors or lists; all is computed on the host, in float64, once a model is
trained. Only :func:`importance_weighted_bound` takes part in training, and stays on its device.
"""

from __future__ import annotations

from .baselines import PCA, LinearMap
from .codes import active_units, factor_r2, knn_accuracy, knn_predict, linear_probe, r2_score
from .gp import GaussianProcess
from .likelihood import bits_per_dim, effective_sample_size, importance_weighted_bound
from .samples import energy_distance, mmd, nearest_neighbour_distance

__all__ = [
    "PCA",
    "GaussianProcess",
    "LinearMap",
    "active_units",
    "bits_per_dim",
    "effective_sample_size",
    "energy_distance",
    "factor_r2",
    "importance_weighted_bound",
    "knn_accuracy",
    "knn_predict",
    "linear_probe",
    "mmd",
    "nearest_neighbour_distance",
    "r2_score",
]
