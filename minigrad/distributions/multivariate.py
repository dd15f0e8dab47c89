r"""The multivariate normal distribution.

Belongs here: distributions of vectors whose entries depend on each other linearly. Does not belong
here: independent entries (``Independent``), the simplex (``gamma.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import creation, ops
from ..backend import Generator
from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .distribution import Distribution
from .utils import broadcast_parameters, expand, lazy_property, one_of

__all__ = ["MultivariateNormal"]


class MultivariateNormal(Distribution):
    r"""The Gaussian of vectors,

    .. math:: p(x) = (2\pi)^{-D/2} |\Sigma|^{-1/2} e^{-\frac12 (x-\mu)^T \Sigma^{-1} (x-\mu)}

    Args:
        loc: the mean (..., D).
        covariance_matrix, precision_matrix, scale_tril: exactly one of :math:`\Sigma`,
            :math:`\Sigma^{-1}` and the lower triangular L with :math:`\Sigma = L L^T`, (..., D, D).
            L is what is computed with; given the others, it is found by a Cholesky factorisation.

    >>> import minigrad as mg
    >>> from minigrad.distributions import MultivariateNormal
    >>> d = MultivariateNormal(mg.zeros(2), scale_tril=mg.tensor([[1.0, 0.0], [1.0, 1.0]]))
    >>> d.covariance_matrix
    tensor([[1., 1.],
            [1., 2.]])
    """

    has_rsample = True
    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }

    def __init__(
        self,
        loc: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name = "MultivariateNormal"
        given = {
            "covariance_matrix": covariance_matrix,
            "precision_matrix": precision_matrix,
            "scale_tril": scale_tril,
        }
        key = one_of(name, **given)
        (loc,) = broadcast_parameters(name, loc)
        (matrix,) = broadcast_parameters(name, given[key])
        if loc.ndim < 1 or matrix.ndim < 2 or matrix.shape[-2:] != (loc.shape[-1],) * 2:
            raise ValueError(
                f"{name}: expected loc (..., D) and {key} (..., D, D), got {loc.shape} and "
                f"{matrix.shape}"
            )
        if loc.dtype != matrix.dtype:
            raise TypeError(
                f"{name}: expected parameters of one floating dtype, got {loc.dtype} and "
                f"{matrix.dtype}"
            )
        d = loc.shape[-1]
        batch = np.broadcast_shapes(loc.shape[:-1], matrix.shape[:-2])
        self.loc = expand(loc, (*batch, d))
        self.__dict__[key] = expand(matrix, (*batch, d, d))
        super().__init__(batch, (d,), validate_args)

    @lazy_property
    def scale_tril(self) -> Tensor:
        if "covariance_matrix" in self.__dict__:
            return ops.cholesky(self.covariance_matrix)
        # P = U Uᵀ with U upper triangular, by flipping both axes; then L = U⁻ᵀ.
        flipped = ops.cholesky(ops.flip(self.precision_matrix, (-2, -1)))
        upper = ops.flip(flipped, (-2, -1))
        return ops.solve_triangular(upper.mT, self._eye(), upper=False)

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        return self.scale_tril @ self.scale_tril.mT

    @lazy_property
    def precision_matrix(self) -> Tensor:
        inverse = ops.solve_triangular(self.scale_tril, self._eye(), upper=False)
        return inverse.mT @ inverse

    def _eye(self) -> Tensor:
        return creation.eye(self._event_shape[0], dtype=self.loc.dtype, device=self.loc.device)

    @property
    def support(self) -> Constraint:
        return constraints.real_vector

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return (self.scale_tril**2).sum(-1)

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r""":math:`\mu + L \varepsilon` with standard normal :math:`\varepsilon`."""
        noise = creation.randn(
            *self._extended_shape(sample_shape),
            generator=generator,
            dtype=self.loc.dtype,
            device=self.loc.device,
        )
        return self.loc + ops.squeeze(self.scale_tril @ ops.unsqueeze(noise, -1), -1)

    def log_prob(self, value: Any) -> Tensor:
        offset = ops.unsqueeze(self._value(value) - self.loc, -1)
        z = ops.solve_triangular(self.scale_tril, offset, upper=False).squeeze(-1)
        constant = 0.5 * self._event_shape[0] * math.log(2 * math.pi)
        return (z * z).sum(-1) * -0.5 - self._half_log_det() - constant

    def _half_log_det(self) -> Tensor:
        return ops.log(ops.diagonal(self.scale_tril, 0, -2, -1)).sum(-1)

    def entropy(self) -> Tensor:
        return self._half_log_det() + 0.5 * self._event_shape[0] * (1 + math.log(2 * math.pi))
