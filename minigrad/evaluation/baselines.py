r"""What no network is needed for: principal components, and the best linear map.

Belongs here: closed solutions that a network has to beat. Does not belong here: measures of codes
(``codes.py``) and samples (``samples.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._host import host, matrix

__all__ = ["PCA", "LinearMap"]


class PCA:
    r"""Principal components: of all linear autoencoders with ``components`` numbers in the middle,
    the one with the smallest mean squared error on the data that it is fitted to.

    With the mean :math:`\mu` and the matrix :math:`V` of the leading eigenvectors of the
    covariance, :math:`z = V^\top (x - \mu)` and :math:`\hat x = \mu + V z`.

    Args:
        x: (N, ...) data to fit.
        components: numbers in a code.

    Attributes: ``mean`` (D,), ``components`` (k, D), orthonormal rows, the largest variance first;
    ``variance`` (k,), of the codes.

    >>> x = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]])  # on a line
    >>> pca = PCA(x, 1)
    >>> pca.mse(x) < 1e-30, pca.encode(x).shape
    (True, (3, 1))
    """

    def __init__(self, x: Any, components: int) -> None:
        data = matrix(x, "PCA: x")
        if not 1 <= components <= data.shape[1]:
            raise ValueError(f"PCA: expected 1 to {data.shape[1]} components, got {components}")
        self.shape = host(x).shape[1:]
        self.mean = data.mean(0)
        centred = data - self.mean
        values, vectors = np.linalg.eigh(centred.T @ centred / len(data))  # the smallest first
        self.components = vectors[:, ::-1][:, :components].T.copy()
        self.variance = np.maximum(values[::-1][:components], 0)

    def encode(self, x: Any) -> np.ndarray:
        r"""Codes (N, k) of data (N, ...)."""
        return (self._data(x) - self.mean) @ self.components.T

    def decode(self, codes: Any) -> np.ndarray:
        r"""Data (N, ...) from codes (N, k)."""
        z = matrix(codes, "PCA: codes")
        if z.shape[1] != len(self.components):
            raise ValueError(
                f"PCA: expected codes of {len(self.components)} numbers, got {z.shape[1]}"
            )
        return (z @ self.components + self.mean).reshape(-1, *self.shape)

    def mse(self, x: Any, clip: bool = False) -> float:
        r"""Mean squared error of a number after encoding and decoding, over all of ``x``; with
        ``clip``, of images in [0, 1], which are cut to it."""
        restored = self.decode(self.encode(x)).reshape(len(host(x)), -1)
        if clip:
            restored = restored.clip(0, 1)
        return float(((restored - self._data(x)) ** 2).mean())

    def _data(self, x: Any) -> np.ndarray:
        data = matrix(x, "PCA: x")
        if data.shape[1] != len(self.mean):
            raise ValueError(
                f"PCA: expected data of {len(self.mean)} numbers each, got {data.shape[1]}"
            )
        return data


class LinearMap:
    r"""The best linear map from ``x`` to ``y``, as a denoiser for instance:
    :math:`\hat y = x W + b` with

    .. math:: W, b = \arg\min \sum_n |x_n W + b - y_n|^2 + \lambda N |W|^2

    Args:
        x: (N, ...) inputs.
        y: (N, ...) targets.
        ridge: :math:`\lambda`. With 0, of all solutions the smallest.

    Attributes: ``weight`` (D, E) and ``bias`` (E,).

    >>> rng = np.random.default_rng(0)
    >>> clean = rng.normal(size=(1000, 1)) * [1.0, 1.0, 1.0]  # three equal numbers
    >>> noisy = clean + rng.normal(size=(1000, 3))
    >>> round(LinearMap(noisy, clean).mse(noisy, clean), 2)  # 1/4 is possible; 1 before
    0.25
    """

    def __init__(self, x: Any, y: Any, ridge: float = 0.0) -> None:
        a, b = matrix(x, "LinearMap: x"), matrix(y, "LinearMap: y")
        if len(a) != len(b):
            raise ValueError(
                f"LinearMap: expected as many inputs as targets, got {len(a)} and {len(b)}"
            )
        if ridge < 0:
            raise ValueError(f"LinearMap: expected ridge >= 0, got {ridge}")
        self.shape = host(y).shape[1:]
        mean_x, mean_y = a.mean(0), b.mean(0)
        centred = a - mean_x
        gram = centred.T @ centred / len(a) + ridge * np.eye(a.shape[1])
        cross = centred.T @ (b - mean_y) / len(a)
        # Border pixels are 0 in all images: the matrix may be singular.
        self.weight = np.linalg.pinv(gram, hermitian=True) @ cross
        self.bias = mean_y - mean_x @ self.weight

    def __call__(self, x: Any) -> np.ndarray:
        r"""Predictions (N, ...) in the form of the targets."""
        data = matrix(x, "LinearMap: x")
        if data.shape[1] != len(self.weight):
            raise ValueError(
                f"LinearMap: expected inputs of {len(self.weight)} numbers, got {data.shape[1]}"
            )
        return (data @ self.weight + self.bias).reshape(-1, *self.shape)

    def mse(self, x: Any, y: Any, clip: bool = False) -> float:
        r"""Mean squared error of a number; with ``clip`` predictions are cut to [0, 1]."""
        predicted, target = matrix(self(x), "LinearMap: x"), matrix(y, "LinearMap: y")
        if predicted.shape != target.shape:
            raise ValueError(f"LinearMap: expected targets {predicted.shape}, got {target.shape}")
        if clip:
            predicted = predicted.clip(0, 1)
        return float(((predicted - target) ** 2).mean())
