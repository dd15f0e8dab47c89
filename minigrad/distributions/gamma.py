r"""The gamma family: Gamma, Beta, Dirichlet.

Belongs here: these three, and the derivative of a gamma sample by its shape parameter. Samples are
drawn on the host, in logarithms, so that tiny concentrations do not underflow to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import creation, ops
from ..autograd import Function
from ..backend import Generator, to_numpy
from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .distribution import Distribution
from .utils import broadcast_parameters, generator_of, xlogy

__all__ = ["Beta", "Dirichlet", "Gamma"]


def gamma_slope(concentration: np.ndarray, z: np.ndarray) -> np.ndarray:
    r""":math:`dz / d\alpha` of a standard gamma sample z at a fixed quantile,
    :math:`-\frac{\partial F(z; \alpha)}{\partial \alpha} / p(z; \alpha)`, in float64.

    With :math:`F = \sum_n z^{\alpha+n} e^{-z} / \Gamma(\alpha+n+1)`, term by term:

    .. math:: \frac{dz}{d\alpha} = \sum_{n \ge 0} r_n\, (\psi(\alpha + n + 1) - \ln z), \qquad
        r_n = \prod_{k=0}^{n} \frac{z}{\alpha + k}

    Reference: Figurnov, Mohamed and Mnih, Implicit reparameterization gradients, 2018.
    """
    a, z = np.broadcast_arrays(np.asarray(concentration, np.float64), np.asarray(z, np.float64))
    shape, a, z = a.shape, a.ravel(), z.ravel()
    total = np.zeros(a.shape)
    place = np.arange(a.size)
    r, log_z, psi = z / a, np.log(z), np.asarray(ops.digamma(a + 1))
    n = 0
    while place.size:
        step = r * (psi - log_z)
        total[place] += step
        n += 1
        # Terms fall once n > z - a; those that count no more are left out from here on.
        going = ~((np.abs(step) < 1e-17 * np.abs(total[place])) & (a + n > z))
        if not going.all():
            a, z, r, log_z, psi, place = (v[going] for v in (a, z, r, log_z, psi, place))
        r = r * z / (a + n)
        psi = psi + 1 / (a + n)
    return total.reshape(shape)


def _log_gamma_sample(
    concentration: Tensor, shape: tuple[int, ...], generator: Generator | None
) -> Tensor:
    r"""The logarithm of standard gamma samples, differentiable once by the concentration.

    A sample of Gamma(α) is one of Gamma(α + 1) times :math:`u^{1/\alpha}`. That is used below 1,
    where the sample itself would underflow (Marsaglia and Tsang, 2000).
    """
    rng = generator_of(generator)
    a = np.broadcast_to(to_numpy(concentration.data).astype(np.float64), shape)
    small = a < 1
    boosted = a + small
    z = np.maximum(rng.standard_gamma(boosted), np.finfo(np.float64).tiny)
    log_u = -rng.standard_exponential(shape)
    log_z = np.log(z) + np.where(small, log_u / a, 0.0)

    def on_device(array: np.ndarray, like: Any) -> Any:
        return creation.tensor(array.astype(like.dtype), device=concentration.device).data

    class LogGammaSample(Function):
        r"""y = ln z;  ᾱ = ȳ d ln z / dα."""

        def forward(self, alpha: Any) -> Any:
            return on_device(log_z, alpha)

        def backward(self, g: Any, alpha: Any) -> Any:
            return g * Slope.apply(alpha)

    class Slope(Function):
        r"""d ln z / dα, known as a number only."""

        def forward(self, alpha: Any) -> Any:
            boost = np.where(small, log_u / (a * a), 0.0)
            return on_device(gamma_slope(boosted, z) / z - boost, alpha)

        def backward(self, g: Any) -> Any:
            raise RuntimeError(
                "rsample: the gradient of a gamma sample (Gamma, Beta, Dirichlet) by its "
                "concentration cannot be differentiated again"
            )

    return LogGammaSample.apply(ops.broadcast_to(concentration, shape))


class Gamma(Distribution):
    r""":math:`p(x) = \frac{\beta^\alpha}{\Gamma(\alpha)} x^{\alpha-1} e^{-\beta x}` with
    :math:`\alpha` = ``concentration`` and :math:`\beta` = ``rate``.

    >>> from minigrad.distributions import Gamma
    >>> Gamma(3.0, 2.0).mean.item()
    1.5
    """

    has_rsample = True
    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_parameters("Gamma", concentration, rate)
        super().__init__(self.concentration.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.nonnegative

    @property
    def mean(self) -> Tensor:
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        return ops.clamp((self.concentration - 1) / self.rate, min=0.0)

    @property
    def variance(self) -> Tensor:
        return self.concentration / self.rate**2

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r"""Differentiable once (implicit reparameterisation). Waits for the device."""
        shape = self._extended_shape(sample_shape)
        log_z = _log_gamma_sample(self.concentration, shape, generator)
        x = ops.exp(log_z) / self.rate
        return ops.clamp(x, min=float(np.finfo(x.dtype).tiny))

    def log_prob(self, value: Any) -> Tensor:
        x, a, b = self._value(value), self.concentration, self.rate
        return xlogy(a, b) + xlogy(a - 1, x) - b * x - ops.lgamma(a)

    def entropy(self) -> Tensor:
        a = self.concentration
        return a - ops.log(self.rate) + ops.lgamma(a) + (1 - a) * ops.digamma(a)


class Beta(Distribution):
    r""":math:`p(x) = x^{a-1} (1-x)^{b-1} / B(a, b)` on [0, 1], with a = ``concentration1`` and b =
    ``concentration0``.

    >>> from minigrad.distributions import Beta
    >>> Beta(1.0, 3.0).mean.item()
    0.25
    """

    has_rsample = True
    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }

    def __init__(
        self, concentration1: Any, concentration0: Any, validate_args: bool | None = None
    ) -> None:
        self.concentration1, self.concentration0 = broadcast_parameters(
            "Beta", concentration1, concentration0
        )
        super().__init__(self.concentration1.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.unit_interval

    @property
    def mean(self) -> Tensor:
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        pair = ops.stack([self.concentration1, self.concentration0], -1)
        return _dirichlet_mode(pair)[..., 0]

    @property
    def variance(self) -> Tensor:
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total**2 * (total + 1))

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r"""Differentiable once (implicit reparameterisation). Waits for the device."""
        shape = self._extended_shape(sample_shape)
        log_x = _log_gamma_sample(self.concentration1, shape, generator)
        log_y = _log_gamma_sample(self.concentration0, shape, generator)
        return _inside(ops.sigmoid(log_x - log_y))

    def log_prob(self, value: Any) -> Tensor:
        x, a, b = self._value(value), self.concentration1, self.concentration0
        return xlogy(a - 1, x) + xlogy(b - 1, 1 - x) - _log_beta(a, b)

    def entropy(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return (
            _log_beta(a, b)
            - (a - 1) * ops.digamma(a)
            - (b - 1) * ops.digamma(b)
            + (a + b - 2) * ops.digamma(a + b)
        )


def _log_beta(a: Tensor, b: Tensor) -> Tensor:
    return ops.lgamma(a) + ops.lgamma(b) - ops.lgamma(a + b)


def _dirichlet_mode(a: Tensor) -> Tensor:
    r"""(a - 1) over its sum; if all a are below 1 the density is infinite at every corner, and
    the first is taken, as in PyTorch."""
    over = ops.clamp(a - 1, min=0.0)
    corner = ops.cast(ops.one_hot(ops.argmax(over, -1), a.shape[-1]), a.dtype)
    at_corner = ops.all(a < 1, -1, keepdim=True)
    total = ops.sum(over, -1, keepdim=True)
    return ops.where(at_corner, corner, over / ops.where(at_corner, 1.0, total))


def _inside(x: Tensor) -> Tensor:
    r"""Away from 0 and 1, where the density may be infinite, by the dtype's rounding."""
    info = np.finfo(x.dtype)
    return ops.clamp(x, float(info.tiny), 1 - float(info.eps))


class Dirichlet(Distribution):
    r"""Probabilities of K classes: :math:`p(x) = \Gamma(\textstyle\sum a_k)
    \prod_k x_k^{a_k - 1} / \Gamma(a_k)`, with ``concentration`` (..., K).

    >>> import minigrad as mg
    >>> from minigrad.distributions import Dirichlet
    >>> Dirichlet(mg.tensor([1.0, 1.0, 2.0])).mean
    tensor([0.25, 0.25, 0.5 ])
    """

    has_rsample = True
    arg_constraints = {"concentration": constraints.positive.independent(1)}

    def __init__(self, concentration: Any, validate_args: bool | None = None) -> None:
        (self.concentration,) = broadcast_parameters("Dirichlet", concentration)
        if self.concentration.ndim < 1:
            raise ValueError("Dirichlet: expected concentration (..., K), got shape ()")
        shape = self.concentration.shape
        super().__init__(shape[:-1], shape[-1:], validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.simplex

    @property
    def mean(self) -> Tensor:
        return self.concentration / ops.sum(self.concentration, -1, keepdim=True)

    @property
    def mode(self) -> Tensor:
        return _dirichlet_mode(self.concentration)

    @property
    def variance(self) -> Tensor:
        total = ops.sum(self.concentration, -1, keepdim=True)
        return self.concentration * (total - self.concentration) / (total**2 * (total + 1))

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r"""Differentiable once (implicit reparameterisation). Waits for the device."""
        shape = self._extended_shape(sample_shape)
        log_z = _log_gamma_sample(self.concentration, shape, generator)
        return ops.clamp(ops.softmax(log_z, -1), min=float(np.finfo(log_z.dtype).tiny))

    def log_prob(self, value: Any) -> Tensor:
        x, a = self._value(value), self.concentration
        return ops.sum(xlogy(a - 1, x) - ops.lgamma(a), -1) + ops.lgamma(ops.sum(a, -1))

    def entropy(self) -> Tensor:
        a = self.concentration
        total, k = ops.sum(a, -1), self._event_shape[0]
        return (
            ops.lgamma(a).sum(-1)
            - ops.lgamma(total)
            - (k - total) * ops.digamma(total)
            - ((a - 1) * ops.digamma(a)).sum(-1)
        )
