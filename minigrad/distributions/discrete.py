r"""Discrete distributions.

Belongs here: Bernoulli, Categorical, OneHotCategorical and its straight-through twin, Binomial,
Poisson. Does not belong here: their continuous relaxations (``relaxed.py``).

Those with ``probs`` or ``logits`` take exactly one of the two and give the other. With logits,
every formula holds for logits of any size; probabilities are kept from 0 and 1 by the dtype's
rounding before a logarithm is taken, as in PyTorch.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .. import creation, ops
from ..backend import Generator, get_array_module, to_device, to_numpy
from ..tensor import Tensor
from . import constraints
from .constraints import Constraint
from .distribution import Distribution
from .utils import (
    broadcast_parameters,
    expand,
    generator_of,
    lazy_property,
    logits_to_probs,
    one_of,
    probs_to_logits,
    softplus,
    uniform_noise,
    xlogy,
)

__all__ = [
    "Bernoulli",
    "Binomial",
    "Categorical",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "Poisson",
]


class BinaryParameters(Distribution):
    r"""A distribution whose parameter is ``probs``, in [0, 1], or ``logits``."""

    def _take(self, probs: Any, logits: Any, *others: Any) -> list[Tensor]:
        r"""Keep the one that was given; return the others, of the same shape."""
        name = type(self).__name__
        key = one_of(name, probs=probs, logits=logits)
        given, *rest = broadcast_parameters(name, probs if logits is None else logits, *others)
        self.__dict__[key] = given
        self._parameter = given
        return rest

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits, is_binary=True)

    @lazy_property
    def logits(self) -> Tensor:
        return probs_to_logits(self.probs, is_binary=True)


class Bernoulli(BinaryParameters):
    r"""1 with probability p, else 0; p is ``probs`` or the sigmoid of ``logits``.

    >>> import minigrad as mg
    >>> from minigrad.distributions import Bernoulli
    >>> Bernoulli(logits=mg.tensor([1e4, -1e4])).log_prob(mg.tensor([0.0, 1.0]))
    tensor([-10000., -10000.])
    """

    has_enumerate_support = True
    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._take(probs, logits)
        super().__init__(self._parameter.shape, (), validate_args)

    @property
    def param_shape(self) -> tuple[int, ...]:
        r"""The shape of ``probs``."""
        return self.probs.shape

    @property
    def support(self) -> Constraint:
        return constraints.boolean

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        certain = ops.cast(self.probs >= 0.5, self.probs.dtype)
        return ops.where(ops.eq(self.probs, 0.5), math.nan, certain)

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        u = uniform_noise(shape, self.probs, generator)
        return ops.cast(u < self.probs, self.probs.dtype)

    def log_prob(self, value: Any) -> Tensor:
        return -_cross_entropy(self.logits, self._value(value))

    def entropy(self) -> Tensor:
        return _cross_entropy(self.logits, self.probs)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return _enumerate(2, self, self.probs.dtype, expand)


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    r"""-t ln σ(l) - (1 - t) ln(1 - σ(l)), elementwise with broadcasting."""
    shape = np.broadcast_shapes(logits.shape, target.shape)
    return ops.binary_cross_entropy_with_logits(
        expand(logits, shape), expand(target.to(logits.dtype), shape), reduction="none"
    )


def _enumerate(n: int, distribution: Distribution, dtype: Any, expand_batch: bool) -> Tensor:
    r"""0 ... n - 1 along a new first axis, over a batch of scalar distributions."""
    device = distribution.mean.device
    batch = distribution.batch_shape
    values = creation.arange(n, dtype=dtype, device=device).reshape(n, *(1,) * len(batch))
    return expand(values, (n, *batch)) if expand_batch else values


class Categorical(Distribution):
    r"""One of 0 ... K - 1, with probabilities along the last axis of ``probs`` (normalised to sum
    to 1) or of the softmax of ``logits``. Samples are int64.

    >>> import minigrad as mg
    >>> from minigrad.distributions import Categorical
    >>> Categorical(probs=mg.tensor([1.0, 3.0])).log_prob(mg.tensor([0, 1])).exp()
    tensor([0.25, 0.75])
    """

    has_enumerate_support = True
    arg_constraints = {"probs": constraints.real_vector, "logits": constraints.real_vector}

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = type(self).__name__
        key = one_of(name, probs=probs, logits=logits)
        (given,) = broadcast_parameters(name, probs if logits is None else logits)
        if given.ndim < 1 or given.shape[-1] < 1:
            raise ValueError(
                f"{name}: expected {key} with at least one class along the last axis, "
                f"got shape {given.shape}"
            )
        if key == "probs":
            if self._validate_args if validate_args is None else validate_args:
                constraints.require(name, "probs", constraints.nonnegative, given)
                total = ops.sum(given.detach(), -1)
                constraints.require(name, "the sum of probs", constraints.positive, total)
            self.probs = given / ops.sum(given, -1, keepdim=True)
        else:
            self.logits = ops.log_softmax(given, -1)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], (), validate_args)

    @lazy_property
    def probs(self) -> Tensor:
        return logits_to_probs(self.logits)

    @lazy_property
    def logits(self) -> Tensor:
        r"""The logarithms of the probabilities, whatever logits were given."""
        return probs_to_logits(self.probs)

    @property
    def param_shape(self) -> tuple[int, ...]:
        r"""The shape of ``probs``: that of the batch, and the number of classes."""
        return (*self._batch_shape, self._num_events)

    @property
    def support(self) -> Constraint:
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def mean(self) -> Tensor:  # classes are not numbers
        return creation.full_like(self.probs[..., 0], math.nan)

    @property
    def mode(self) -> Tensor:
        return ops.argmax(self.probs, -1)

    @property
    def variance(self) -> Tensor:
        return self.mean

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        return Tensor(_draw_classes(self.probs.data, shape, generator))

    def log_prob(self, value: Any) -> Tensor:
        value = ops.cast(self._value(value), np.dtype(np.int64))
        shape = np.broadcast_shapes(value.shape, self._batch_shape)
        log_p = expand(self.logits, (*shape, self._num_events))
        index = ops.unsqueeze(expand(value, shape), -1)
        return ops.squeeze(ops.gather(log_p, -1, index), -1)

    def entropy(self) -> Tensor:
        # A class of probability 0 counts for 0, not for 0 · (-inf).
        log_p = ops.clamp(self.logits, min=float(np.finfo(self.logits.dtype).min))
        return -(self.probs * log_p).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return _enumerate(self._num_events, self, np.dtype(np.int64), expand)


def _draw_classes(probs: Any, shape: tuple[int, ...], generator: Generator | None) -> Any:
    r"""Class numbers of the given shape, by where a uniform number falls in the cumulative sum.
    A class of probability 0 is never drawn, and rounding cannot lead past the last class."""
    xp = get_array_module(probs)
    total = xp.cumsum(probs.astype(np.float64), axis=-1)  # (..., K)
    u = to_device(np.asarray(generator_of(generator).random(shape)), Tensor(probs).device)
    last = total[..., -1]
    u = xp.minimum(u * last, xp.nextafter(last, xp.zeros_like(last)))
    return (total <= u[..., None]).sum(axis=-1).astype(np.int64)


class OneHotCategorical(Distribution):
    r"""A class as a vector with a single 1; ``probs`` and ``logits`` as for :class:`Categorical`.

    >>> import minigrad as mg
    >>> from minigrad.distributions import OneHotCategorical
    >>> OneHotCategorical(probs=mg.tensor([0.0, 1.0, 0.0])).sample()
    tensor([0., 1., 0.])
    """

    has_enumerate_support = True

    def __init__(
        self, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = type(self).__name__
        one_of(name, probs=probs, logits=logits)
        self._categorical = Categorical(probs, logits, validate_args)
        shape = (*self._categorical.batch_shape, self._categorical._num_events)
        super().__init__(shape[:-1], shape[-1:], validate_args)

    def _expanded(self, batch_shape: tuple[int, ...]) -> Any:
        new = self._copy(batch_shape)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def probs(self) -> Tensor:
        return self._categorical.probs

    @property
    def logits(self) -> Tensor:
        return self._categorical.logits

    @property
    def param_shape(self) -> tuple[int, ...]:
        r"""The shape of ``probs``: that of the batch, and the number of classes."""
        return self._batch_shape + self._event_shape

    @property
    def support(self) -> Constraint:
        return constraints.one_hot

    @property
    def mean(self) -> Tensor:
        return self.probs

    @property
    def mode(self) -> Tensor:
        return self._hot(ops.argmax(self.probs, -1))

    @property
    def variance(self) -> Tensor:
        return self.probs * (1 - self.probs)

    def _hot(self, classes: Tensor) -> Tensor:
        return ops.cast(ops.one_hot(classes, self._event_shape[0]), self.probs.dtype)

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        return self._hot(self._categorical._sample(shape[:-1], generator))

    def log_prob(self, value: Any) -> Tensor:
        return self._categorical.log_prob(ops.argmax(self._value(value), -1))

    def entropy(self) -> Tensor:
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._hot(self._categorical.enumerate_support(expand))


class OneHotCategoricalStraightThrough(OneHotCategorical):
    r"""One-hot samples whose gradient is that of the probabilities: ``sample + p - p.detach()``.

    The gradient is biased: it is not that of the expectation, but often good enough to learn with.

    Reference: Bengio, Léonard and Courville, Estimating or propagating gradients through
    stochastic neurons for conditional computation, 2013.

    >>> import minigrad as mg
    >>> from minigrad.distributions import OneHotCategoricalStraightThrough
    >>> p = mg.tensor([0.25, 0.75], requires_grad=True)
    >>> OneHotCategoricalStraightThrough(probs=p).rsample()[1].backward()
    >>> p.grad  # that of the second probability, after normalising
    tensor([-0.75,  0.25])
    """

    has_rsample = True

    def rsample(self, sample_shape: Any = (), generator: Generator | None = None) -> Tensor:
        r"""One-hot to the bit; gradients pass straight through to the probabilities."""
        hard = self.sample(sample_shape, generator)
        return hard + (self.probs - self.probs.detach())


class Binomial(BinaryParameters):
    r"""The number of successes in ``total_count`` independent trials of probability p, which is
    ``probs`` or the sigmoid of ``logits``.

    >>> from minigrad.distributions import Binomial
    >>> Binomial(2, probs=0.5).log_prob(1.0).exp().item()
    0.5
    """

    has_enumerate_support = True
    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }

    def __init__(
        self,
        total_count: Any = 1,
        probs: Any = None,
        logits: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        (self.total_count,) = self._take(probs, logits, total_count)
        super().__init__(self._parameter.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        return ops.minimum(ops.floor((self.total_count + 1) * self.probs), self.total_count)

    @property
    def variance(self) -> Tensor:
        return self.total_count * self.probs * (1 - self.probs)

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        n, p = to_numpy(self.total_count.data), to_numpy(self.probs.data)
        draws = generator_of(generator).binomial(n.astype(np.int64), p.astype(np.float64), shape)
        return creation.tensor(np.asarray(draws), dtype=p.dtype, device=self.probs.device)

    def log_prob(self, value: Any) -> Tensor:
        k, n = self._value(value), self.total_count
        choose = ops.lgamma(n + 1) - ops.lgamma(k + 1) - ops.lgamma(n - k + 1)
        return choose + k * self.logits - n * softplus(self.logits)

    def entropy(self) -> Tensor:
        r"""By a sum over all values; ``total_count`` must be the same everywhere."""
        log_p = self.log_prob(self.enumerate_support(expand=False))
        return -ops.sum(ops.exp(log_p) * log_p, 0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        counts = to_numpy(self.total_count.data)
        if counts.size == 0 or (counts != counts.flat[0]).any():
            raise NotImplementedError(
                "Binomial.enumerate_support: only for a total_count that is the same everywhere"
            )
        return _enumerate(int(counts.flat[0]) + 1, self, self.probs.dtype, expand)


class Poisson(Distribution):
    r"""The number of events at a mean of ``rate``: :math:`P(k) = \lambda^k e^{-\lambda} / k!`.

    >>> from minigrad.distributions import Poisson
    >>> Poisson(2.0).log_prob(0.0).item()
    -2.0
    """

    arg_constraints = {"rate": constraints.nonnegative}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_parameters("Poisson", rate)
        super().__init__(self.rate.shape, (), validate_args)

    @property
    def support(self) -> Constraint:
        return constraints.nonnegative_integer

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def mode(self) -> Tensor:
        return ops.floor(self.rate)

    @property
    def variance(self) -> Tensor:
        return self.rate

    def _sample(self, shape: tuple[int, ...], generator: Generator | None) -> Tensor:
        rate = to_numpy(self.rate.data)
        draws = np.asarray(generator_of(generator).poisson(rate.astype(np.float64), shape))
        return creation.tensor(draws, dtype=rate.dtype, device=self.rate.device)

    def log_prob(self, value: Any) -> Tensor:
        k = self._value(value)
        return xlogy(k, self.rate) - self.rate - ops.lgamma(k + 1)
