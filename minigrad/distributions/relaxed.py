r"""Continuous relaxations of discrete distributions, and what sampling layers make of them.

Belongs here: RelaxedBernoulli and RelaxedOneHotCategorical with the distributions they transform.

At temperature 0 they are Bernoulli and OneHotCategorical; above it their samples are differentiable
functions of the parameters.

References: Maddison, Mnih and Teh, The concrete distribution, 2017. Jang, Gu and Poole, Categorical
reparameterization with Gumbel-softmax, 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import ops
from ..backend import Generator
from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .discrete import BinaryParameters, Categorical
from .distribution import Distribution
from .transformed import TransformedDistribution
from .transforms import ExpTransform, SigmoidTransform
from .utils import broadcast_parameters, exponential_noise, one_of, softplus, uniform_noise

__all__ = [
    "ExpRelaxedCategorical",
    "LogitRelaxedBernoulli",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
]


class LogitRelaxedBernoulli(BinaryParameters):
    r"""The logit of a :class:`RelaxedBernoulli`: (l + logistic noise) / temperature."""

    has_rsample = True
    arg_constraints = {
        "temperature": constraints.positive,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        (self.temperature,) = self._take(probs, logits, temperature)
        super().__init__(self._parameter.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.real

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        u = uniform_noise(self._extended_shape(sample_shape), self._parameter, generator)
        info = np.finfo(u.dtype)
        u = ops.clamp(u, float(info.tiny), 1 - float(info.eps))
        return (ops.log(u) - ops.log1p(-u) + self.logits) / self.temperature

    def log_prob(self, value: Any) -> Tensor:
        difference = self.logits - self._value(value) * self.temperature
        return ops.log(self.temperature) + difference - 2 * softplus(difference)


class RelaxedBernoulli(TransformedDistribution):
    r"""A number in (0, 1) that is close to 0 or 1 at a low ``temperature``.

    >>> from minigrad.distributions import RelaxedBernoulli
    >>> x = RelaxedBernoulli(0.5, probs=0.3).rsample((100,))
    >>> bool((x > 0).all()) and bool((x < 1).all())
    True
    """

    base_dist: LogitRelaxedBernoulli

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        one_of("RelaxedBernoulli", probs=probs, logits=logits)
        base = LogitRelaxedBernoulli(temperature, probs, logits, validate_args)
        super().__init__(base, SigmoidTransform(), validate_args)

    @property
    def temperature(self) -> Tensor:
        return self.base_dist.temperature

    @property
    def probs(self) -> Tensor:
        return self.base_dist.probs

    @property
    def logits(self) -> Tensor:
        return self.base_dist.logits


class ExpRelaxedCategorical(Distribution):
    r"""The logarithm of a :class:`RelaxedOneHotCategorical`, a point of the log-simplex:
    log-softmax of (l + Gumbel noise) / temperature."""

    has_rsample = True

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        one_of(name, probs=probs, logits=logits)
        self._categorical = Categorical(probs, logits, validate_args)
        parameter = self._categorical.logits if probs is None else self._categorical.probs
        self.temperature = broadcast_parameters(name, temperature, parameter.detach()[..., 0])[0]
        if self._validate_args if validate_args is None else validate_args:
            constraints.require(name, "temperature", constraints.positive, self.temperature)
        batch = self.temperature.shape
        self._categorical = self._categorical.expand(batch)
        super().__init__(batch, parameter.shape[-1:], validate_args)

    def _expanded(self, batch_shape: tuple[int, ...]) -> Any:
        new = self._copy(batch_shape)
        new._categorical = self._categorical.expand(batch_shape)
        new.temperature = ops.broadcast_to(self.temperature, batch_shape)
        return new

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def support(self) -> Constraint:
        return constraints.real_vector

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        noise = exponential_noise(self._extended_shape(sample_shape), self.logits, generator)
        scores = (self.logits - ops.log(noise)) / ops.unsqueeze(self.temperature, -1)
        return ops.log_softmax(scores, -1)

    def log_prob(self, value: Any) -> Tensor:
        t, k = self.temperature, self._event_shape[0]
        score = self.logits - self._value(value) * ops.unsqueeze(t, -1)
        score = ops.log_softmax(score, -1).sum(-1)
        log_factorial = float(np.log(np.arange(1, k)).sum())  # ln (K - 1)!
        return score + log_factorial + (k - 1) * ops.log(t)


class RelaxedOneHotCategorical(TransformedDistribution):
    r"""A point of the simplex that is close to a corner at a low ``temperature`` (Gumbel-softmax).

    >>> import minigrad as mg
    >>> from minigrad.distributions import RelaxedOneHotCategorical
    >>> x = RelaxedOneHotCategorical(0.5, logits=mg.zeros(3)).rsample((4,))
    >>> bool((abs(x.sum(-1) - 1) < 1e-6).all())
    True
    """

    base_dist: ExpRelaxedCategorical

    def __init__(
        self,
        temperature: Any,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        one_of("RelaxedOneHotCategorical", probs=probs, logits=logits)
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args)
        super().__init__(base, ExpTransform(), validate_args)

    @property
    def temperature(self) -> Tensor:
        return self.base_dist.temperature

    @property
    def probs(self) -> Tensor:
        return self.base_dist.probs

    @property
    def logits(self) -> Tensor:
        return self.base_dist.logits

    @property
    def support(self) -> Constraint:
        return constraints.simplex
