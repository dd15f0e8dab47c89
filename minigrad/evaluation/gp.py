r"""The exact posterior of a Gaussian process: the best that any model of its curves can predict.

Belongs here: prediction with a known kernel. Does not belong here: drawing curves
(``minigrad.data``), learning a kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..data.curves import rbf_kernel
from ._host import host

__all__ = ["GaussianProcess"]


class GaussianProcess:
    r"""A Gaussian process with an :func:`~minigrad.data.rbf_kernel` and observation noise, as
    :func:`~minigrad.data.make_gp_curves` draws from it, given some points of its curves.

    With the kernel matrices :math:`K_{cc}` of the context, :math:`K_{tc}` of targets and context,
    and :math:`A = K_{cc} + \text{noise}^2 I` (Rasmussen and Williams, Gaussian processes for
    machine learning, 2006, algorithm 2.1):

    .. math::
        \mathbb{E}[f_t] = K_{tc} A^{-1} y_c, \qquad
        \mathrm{Cov}[f_t] = K_{tt} - K_{tc} A^{-1} K_{ct}

    Args:
        x, y: the context, (n,), or (B, n) of B curves at once; a last axis of 1 may follow.
        length_scale, variance, noise: of the process; ``noise`` is a standard deviation.

    >>> gp = GaussianProcess([0.0], [1.0], noise=0.0)
    >>> mean, std = gp.predict([0.0, 100.0], observed=False)
    >>> mean.round(3), std.round(3)
    (array([1., 0.]), array([0., 1.]))
    """

    def __init__(
        self,
        x: Any,
        y: Any,
        length_scale: float = 0.4,
        variance: float = 1.0,
        noise: float = 0.02,
    ) -> None:
        self.length_scale, self.variance, self.noise = length_scale, variance, noise
        if noise < 0:
            raise ValueError(f"GaussianProcess: expected noise >= 0, got {noise}")
        self.x, values = _points(x, "x"), _points(y, "y")
        if self.x.shape != values.shape:
            raise ValueError(
                "GaussianProcess: expected x and y of one shape, "
                f"got {self.x.shape} and {values.shape}"
            )
        n = self.x.shape[-1]
        covariance = self._kernel(self.x, self.x) + self._jitter() * np.eye(n)
        self._factor = np.linalg.cholesky(covariance)  # (..., n, n)
        self._whitened = np.linalg.solve(self._factor, values[..., None])  # (..., n, 1)

    def _kernel(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return rbf_kernel(a, b, self.length_scale, self.variance)

    def _jitter(self) -> float:
        return self.noise**2 + 1e-9 * self.variance  # as make_gp_curves has it

    def posterior(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        r"""Mean (..., m) and covariance (..., m, m) of the curve itself, without noise, at the
        places ``x`` (..., m)."""
        places = _points(x, "x")
        cross = np.linalg.solve(self._factor, self._kernel(self.x, places))  # (..., n, m)
        mean = np.swapaxes(cross, -1, -2) @ self._whitened  # (..., m, 1)
        covariance = self._kernel(places, places) - np.swapaxes(cross, -1, -2) @ cross
        return mean[..., 0], covariance

    def predict(self, x: Any, observed: bool = True) -> tuple[np.ndarray, np.ndarray]:
        r"""Mean and standard deviation at each place on its own, both (..., m): of an observation
        if ``observed``, which has noise, otherwise of the curve."""
        mean, covariance = self.posterior(x)
        variance = np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), 0)
        return mean, np.sqrt(variance + (self.noise**2 if observed else 0.0))

    def log_prob(self, x: Any, y: Any, joint: bool = False) -> np.ndarray:
        r"""Log-density of observations ``y`` at places ``x``, both (..., m), given the context.

        By default each on its own, (..., m), which is what a model predicts that gives a mean and
        a standard deviation for every place. With ``joint`` all together, (...): of all that can
        be said of the curve it is the largest in expectation.
        """
        values = _points(y, "y")
        if not joint:
            mean, std = self.predict(x)
            return -0.5 * (((values - mean) / std) ** 2 + math.log(2 * math.pi)) - np.log(std)
        mean, covariance = self.posterior(x)
        m = values.shape[-1]
        factor = np.linalg.cholesky(covariance + self._jitter() * np.eye(m))
        whitened = np.linalg.solve(factor, (values - mean)[..., None])[..., 0]  # (..., m)
        half_log_det = np.log(np.diagonal(factor, axis1=-2, axis2=-1)).sum(-1)
        return -0.5 * ((whitened**2).sum(-1) + m * math.log(2 * math.pi)) - half_log_det


def _points(value: Any, name: str) -> np.ndarray:
    """(..., n) float64; (..., n, 1) loses its last axis."""
    array = host(value)
    if array.ndim >= 2 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.ndim < 1 or array.dtype.kind not in "fiu":
        raise ValueError(
            f"GaussianProcess: {name}: expected numbers (n,), (B, n) or (B, n, 1), "
            f"got {array.dtype} {array.shape}"
        )
    return array.astype(np.float64)
