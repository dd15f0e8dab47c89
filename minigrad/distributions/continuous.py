r"""Continuous distributions of one number whose samples are a simple function of noise.

Belongs here: Normal, LogNormal, Uniform, Laplace, Exponential, Gumbel. Does not belong here: the
gamma family (``gamma.py``), vectors (``multivariate.py``), relaxed discrete ones (``relaxed.py``).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import creation, ops
from ..backend import Generator, check_later
from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .distribution import Distribution
from .transformed import TransformedDistribution
from .transforms import ExpTransform
from .utils import broadcast_parameters, exponential_noise, uniform_noise

__all__ = ["Exponential", "Gumbel", "Laplace", "LogNormal", "Normal", "Uniform"]

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
_SQRT2 = math.sqrt(2.0)


class Normal(Distribution):
    r"""The Gaussian of mean ``loc`` and standard deviation ``scale``:

    .. math:: p(x) = \frac{1}{\sigma\sqrt{2\pi}}\, e^{-(x-\mu)^2 / 2\sigma^2}

    >>> import minigrad as mg
    >>> from minigrad.distributions import Normal
    >>> Normal(0.0, 1.0).log_prob(mg.tensor([0.0, 1.0]))
    tensor([-0.9189, -1.4189])
    """

    has_rsample = True
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_parameters("Normal", loc, scale)
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.real

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale

    @property
    def variance(self) -> Tensor:
        return self.scale**2

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r""":math:`\mu + \sigma\varepsilon,\ \varepsilon \sim N(0, 1)`."""
        noise = creation.randn(
            *self._extended_shape(sample_shape),
            generator=generator,
            dtype=self.loc.dtype,
            device=self.loc.device,
        )
        return self.loc + self.scale * noise

    def log_prob(self, value: Any) -> Tensor:
        z = (self._value(value) - self.loc) / self.scale
        return z * z * -0.5 - ops.log(self.scale) - _HALF_LOG_2PI

    def cdf(self, value: Any) -> Tensor:
        z = (self._value(value, "cdf") - self.loc) / self.scale
        return 0.5 * ops.erfc(z * (-1 / _SQRT2))

    def icdf(self, value: Any) -> Tensor:
        p = self._value(value, "icdf", check=False)
        return self.loc + self.scale * (ops.erfinv(2 * p - 1) * _SQRT2)

    def entropy(self) -> Tensor:
        return ops.log(self.scale) + (0.5 + _HALF_LOG_2PI)


class LogNormal(TransformedDistribution):
    r"""The distribution of :math:`e^x` for x of ``Normal(loc, scale)``.

    >>> from minigrad.distributions import LogNormal
    >>> LogNormal(0.0, 1.0).mean.item()  # the square root of e
    1.6487212181091309
    """

    base_dist: Normal

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(Normal(loc, scale, validate_args), ExpTransform(), validate_args)

    @property
    def loc(self) -> Tensor:
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        return ops.exp(self.loc + self.scale**2 * 0.5)

    @property
    def mode(self) -> Tensor:
        return ops.exp(self.loc - self.scale**2)

    @property
    def variance(self) -> Tensor:
        squared = self.scale**2
        return ops.expm1(squared) * ops.exp(2 * self.loc + squared)

    def entropy(self) -> Tensor:
        return self.base_dist.entropy() + self.loc


class Uniform(Distribution):
    r"""Constant density :math:`1 / (b - a)` on [a, b) = [``low``, ``high``).

    >>> from minigrad.distributions import Uniform
    >>> Uniform(0.0, 4.0).entropy().item()  # ln 4
    1.3862943649291992
    """

    has_rsample = True
    arg_constraints = {"low": constraints.real, "high": constraints.real}

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_parameters("Uniform", low, high)
        super().__init__(self.low.shape, (), validate_args)
        if self._validate_args:
            empty = ~(self.low.data < self.high.data)
            if not isinstance(empty, (np.ndarray, np.generic)):
                check_later(empty.any(), ValueError("Uniform: expected low < high"))
            elif empty.any():
                i = np.unravel_index(int(np.argmax(empty)), self.low.shape)
                raise ValueError(
                    f"Uniform: expected low < high, got {self.low.data[i]} and {self.high.data[i]}"
                )

    @property
    def support(self) -> Constraint:
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return (self.low + self.high) * 0.5

    @property
    def mode(self) -> Tensor:  # every place is one
        return self.low * math.nan

    @property
    def variance(self) -> Tensor:
        return (self.high - self.low) ** 2 * (1 / 12)

    @property
    def stddev(self) -> Tensor:
        return (self.high - self.low) * (1 / math.sqrt(12))

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r""":math:`a + (b - a) u` with u uniform on [0, 1)."""
        u = uniform_noise(self._extended_shape(sample_shape), self.low, generator)
        return self.low + (self.high - self.low) * u

    def log_prob(self, value: Any) -> Tensor:
        x = self._value(value)
        inside = ops.logical_and(x >= self.low, x < self.high)
        return ops.where(inside, -ops.log(self.high - self.low), -math.inf)

    def cdf(self, value: Any) -> Tensor:
        x = self._value(value, "cdf", check=False)
        return ops.clamp((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def icdf(self, value: Any) -> Tensor:
        return self.low + (self.high - self.low) * self._value(value, "icdf", check=False)

    def entropy(self) -> Tensor:
        return ops.log(self.high - self.low)


class Laplace(Distribution):
    r"""Two exponentials back to back: :math:`p(x) = \frac{1}{2b} e^{-|x-\mu|/b}` with
    :math:`\mu` = ``loc`` and b = ``scale``.

    >>> from minigrad.distributions import Laplace
    >>> Laplace(0.0, 1.0).variance.item()
    2.0
    """

    has_rsample = True
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_parameters("Laplace", loc, scale)
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.real

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        return 2 * self.scale**2

    @property
    def stddev(self) -> Tensor:
        return _SQRT2 * self.scale

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r""":math:`\mu + b (e_1 - e_2)` with standard exponential noises."""
        shape = self._extended_shape(sample_shape)
        noise = exponential_noise((2, *shape), self.loc, generator)
        return self.loc + self.scale * (noise[0] - noise[1])

    def log_prob(self, value: Any) -> Tensor:
        return -ops.log(2 * self.scale) - ops.abs(self._value(value) - self.loc) / self.scale

    def cdf(self, value: Any) -> Tensor:
        z = (self._value(value, "cdf") - self.loc) / self.scale
        tail = 0.5 * ops.exp(-ops.abs(z))
        return ops.where(z < 0, tail, 1 - tail)

    def icdf(self, value: Any) -> Tensor:
        term = self._value(value, "icdf", check=False) - 0.5
        return self.loc - self.scale * ops.sign(term) * ops.log1p(-2 * ops.abs(term))

    def entropy(self) -> Tensor:
        return 1 + ops.log(2 * self.scale)


class Exponential(Distribution):
    r""":math:`p(x) = \lambda e^{-\lambda x}` for x >= 0, with :math:`\lambda` = ``rate``.

    >>> from minigrad.distributions import Exponential
    >>> Exponential(2.0).mean.item()
    0.5
    """

    has_rsample = True
    arg_constraints = {"rate": constraints.positive}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_parameters("Exponential", rate)
        super().__init__(self.rate.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.nonnegative

    @property
    def mean(self) -> Tensor:
        return ops.reciprocal(self.rate)

    @property
    def mode(self) -> Tensor:
        return creation.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        return ops.reciprocal(self.rate)

    @property
    def variance(self) -> Tensor:
        return self.rate**-2

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r"""Standard exponential noise over the rate."""
        return exponential_noise(self._extended_shape(sample_shape), self.rate, generator) / (
            self.rate
        )

    def log_prob(self, value: Any) -> Tensor:
        return ops.log(self.rate) - self.rate * self._value(value)

    def cdf(self, value: Any) -> Tensor:
        return -ops.expm1(-self.rate * self._value(value, "cdf"))

    def icdf(self, value: Any) -> Tensor:
        return -ops.log1p(-self._value(value, "icdf", check=False)) / self.rate

    def entropy(self) -> Tensor:
        return 1 - ops.log(self.rate)


class Gumbel(Distribution):
    r"""The limit law of maxima: :math:`P(x \le t) = \exp(-e^{-(t-\mu)/\beta})` with :math:`\mu` =
    ``loc`` and :math:`\beta` = ``scale``.

    >>> from minigrad.distributions import Gumbel
    >>> Gumbel(0.0, 1.0).mean.item()  # Euler's constant
    0.5772156715393066
    """

    has_rsample = True
    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_parameters("Gumbel", loc, scale)
        super().__init__(self.loc.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.real

    @property
    def mean(self) -> Tensor:
        return self.loc + self.scale * float(np.euler_gamma)

    @property
    def mode(self) -> Tensor:
        return self.loc

    @property
    def stddev(self) -> Tensor:
        return self.scale * (math.pi / math.sqrt(6))

    @property
    def variance(self) -> Tensor:
        return self.scale**2 * (math.pi**2 / 6)

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r""":math:`\mu - \beta \ln e` with standard exponential noise e."""
        noise = exponential_noise(self._extended_shape(sample_shape), self.loc, generator)
        return self.loc - self.scale * ops.log(noise)

    def log_prob(self, value: Any) -> Tensor:
        y = (self.loc - self._value(value)) / self.scale
        return y - ops.exp(y) - ops.log(self.scale)

    def cdf(self, value: Any) -> Tensor:
        return ops.exp(-ops.exp((self.loc - self._value(value, "cdf")) / self.scale))

    def icdf(self, value: Any) -> Tensor:
        p = self._value(value, "icdf", check=False)
        return self.loc - self.scale * ops.log(-ops.log(p))

    def entropy(self) -> Tensor:
        return ops.log(self.scale) + (1 + float(np.euler_gamma))
