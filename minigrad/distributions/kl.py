r"""Kullback-Leibler divergences in closed form, by a registry of pairs.

Belongs here: :func:`kl_divergence`, :func:`register_kl`, and one short function a pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from .. import ops
from ..tensor import Tensor
from .continuous import Exponential, Gumbel, Laplace, Normal, Uniform
from .discrete import Bernoulli, Binomial, Categorical, OneHotCategorical, Poisson
from .distribution import Distribution
from .gamma import Beta, Dirichlet, Gamma
from .multivariate import MultivariateNormal
from .transformed import Independent, TransformedDistribution
from .utils import softplus, sum_rightmost

__all__ = ["kl_divergence", "register_kl"]

_Formula = TypeVar("_Formula", bound=Callable[..., Tensor])
_REGISTRY: dict[tuple[type[Distribution], type[Distribution]], Callable[..., Tensor]] = {}


def register_kl(
    type_p: type[Distribution], type_q: type[Distribution]
) -> Callable[[_Formula], _Formula]:
    r"""A decorator for the formula of KL(p || q) of two types; their heirs use it too, unless they
    have one of their own."""
    for t in (type_p, type_q):
        if not (isinstance(t, type) and issubclass(t, Distribution)):
            raise TypeError(f"register_kl: expected subclasses of Distribution, got {t!r}")

    def register(formula: _Formula) -> _Formula:
        _REGISTRY[type_p, type_q] = formula
        return formula

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    r""":math:`KL(p \| q) = E_p[\ln p(x) - \ln q(x)]` in nats, of the batch's shape.

    Raises:
        NotImplementedError: no closed form is registered for the pair.

    >>> from minigrad.distributions import Normal, kl_divergence
    >>> kl_divergence(Normal(1.0, 1.0), Normal(0.0, 1.0)).item()
    0.5
    """
    for type_p in type(p).__mro__:
        for type_q in type(q).__mro__:
            formula = _REGISTRY.get((type_p, type_q))
            if formula is not None:
                return formula(p, q)
    raise NotImplementedError(
        f"kl_divergence: no closed form is registered for {type(p).__name__} and "
        f"{type(q).__name__}; see register_kl"
    )


# -------------------------------------------------------------------------------- continuous pairs
@register_kl(Normal, Normal)
def _normal_normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale) ** 2
    shift = ((p.loc - q.loc) / q.scale) ** 2
    return 0.5 * (ratio + shift - 1 - ops.log(ratio))


@register_kl(Laplace, Laplace)
def _laplace_laplace(p: Laplace, q: Laplace) -> Tensor:
    distance = ops.abs(p.loc - q.loc)
    ratio = p.scale / q.scale
    return -ops.log(ratio) + distance / q.scale + ratio * ops.exp(-distance / p.scale) - 1


@register_kl(Beta, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Uniform, Normal)
def _any_normal(p: Distribution, q: Normal) -> Tensor:
    r"""-E_p[ln q] takes no more of p than its mean and variance."""
    square = (p.variance + (p.mean - q.loc) ** 2) / q.scale**2
    return 0.5 * square + ops.log(q.scale) + 0.5 * math.log(2 * math.pi) - p.entropy()


@register_kl(Normal, Laplace)
def _normal_laplace(p: Normal, q: Laplace) -> Tensor:
    shift = (p.loc - q.loc) / (p.scale * math.sqrt(2))
    # E|x - m| of a Gaussian x
    distance = (
        p.scale
        * math.sqrt(2)
        * (ops.exp(-(shift**2)) * (1 / math.sqrt(math.pi)) + shift * ops.erf(shift))
    )
    return ops.log(2 * q.scale) + distance / q.scale - p.entropy()


@register_kl(Normal, Gumbel)
def _normal_gumbel(p: Normal, q: Gumbel) -> Tensor:
    shift = (p.loc - q.loc) / q.scale
    spread = 0.5 * (p.scale / q.scale) ** 2
    return ops.log(q.scale) + shift + ops.exp(spread - shift) - p.entropy()


@register_kl(Beta, Uniform)
def _beta_uniform(p: Beta, q: Uniform) -> Tensor:
    inside = ops.logical_and(q.low <= 0, q.high >= 1)
    return ops.where(inside, ops.log(q.high - q.low) - p.entropy(), math.inf)


@register_kl(Uniform, Uniform)
def _uniform_uniform(p: Uniform, q: Uniform) -> Tensor:
    inside = ops.logical_and(q.low <= p.low, p.high <= q.high)
    return ops.where(inside, ops.log((q.high - q.low) / (p.high - p.low)), math.inf)


@register_kl(Exponential, Exponential)
def _exponential_exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - ops.log(ratio) - 1


@register_kl(Gumbel, Gumbel)
def _gumbel_gumbel(p: Gumbel, q: Gumbel) -> Tensor:
    euler = float(np.euler_gamma)
    ratio = p.scale / q.scale
    shift = (p.loc - q.loc) / q.scale
    return (
        -ops.log(ratio) + euler * (ratio - 1) + shift + ops.exp(ops.lgamma(1 + ratio) - shift) - 1
    )


@register_kl(Gamma, Gamma)
def _gamma_gamma(p: Gamma, q: Gamma) -> Tensor:
    a, b = p.concentration, q.concentration
    return (
        b * ops.log(p.rate / q.rate)
        + ops.lgamma(b)
        - ops.lgamma(a)
        + (a - b) * ops.digamma(a)
        + (q.rate - p.rate) * (a / p.rate)
    )


@register_kl(Exponential, Gamma)
def _exponential_gamma(p: Exponential, q: Gamma) -> Tensor:
    return _gamma_gamma(Gamma(p.rate * 0 + 1, p.rate, validate_args=False), q)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p: Gamma, q: Exponential) -> Tensor:
    return _gamma_gamma(p, Gamma(q.rate * 0 + 1, q.rate, validate_args=False))


@register_kl(Beta, Beta)
def _beta_beta(p: Beta, q: Beta) -> Tensor:
    a, b, c, d = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    log_beta_p = ops.lgamma(a) + ops.lgamma(b) - ops.lgamma(a + b)
    log_beta_q = ops.lgamma(c) + ops.lgamma(d) - ops.lgamma(c + d)
    return (
        log_beta_q
        - log_beta_p
        + (a - c) * ops.digamma(a)
        + (b - d) * ops.digamma(b)
        + (c + d - a - b) * ops.digamma(a + b)
    )


@register_kl(Dirichlet, Dirichlet)
def _dirichlet_dirichlet(p: Dirichlet, q: Dirichlet) -> Tensor:
    a, b = p.concentration, q.concentration
    total = ops.sum(a, -1)
    expected_log = ops.digamma(a) - ops.digamma(total).unsqueeze(-1)
    return (
        ops.lgamma(total)
        - ops.lgamma(ops.sum(b, -1))
        + (ops.lgamma(b) - ops.lgamma(a) + (a - b) * expected_log).sum(-1)
    )


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate_normal(p: MultivariateNormal, q: MultivariateNormal) -> Tensor:
    if p.event_shape != q.event_shape:
        raise ValueError(
            "kl_divergence: expected MultivariateNormals of one event_shape, got "
            f"{p.event_shape} and {q.event_shape}"
        )
    ratio = ops.solve_triangular(q.scale_tril, p.scale_tril, upper=False)  # L_q⁻¹ L_p
    shift = ops.solve_triangular(q.scale_tril, ops.unsqueeze(q.loc - p.loc, -1), upper=False)
    squares = (ratio**2).sum((-2, -1)) + (shift**2).sum((-2, -1))
    return q._half_log_det() - p._half_log_det() + 0.5 * (squares - p.event_shape[0])


# ---------------------------------------------------------------------------------- discrete pairs
@register_kl(Bernoulli, Bernoulli)
def _bernoulli_bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    one = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    zero = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    return _outside(one, p.probs, q.probs) + _outside(zero, 1 - p.probs, 1 - q.probs)


def _outside(term: Tensor, p: Tensor, q: Tensor) -> Tensor:
    r"""``term`` = p ln(p/q), with its limits: infinite where q alone is 0, and 0 where p is."""
    return ops.where(ops.eq(p, 0), 0.0, ops.where(ops.eq(q, 0), math.inf, term))


@register_kl(Binomial, Binomial)
def _binomial_binomial(p: Binomial, q: Binomial) -> Tensor:
    same = ops.eq(p.total_count, q.total_count)
    if not bool(same.all()):
        raise NotImplementedError(
            "kl_divergence: for Binomials of different total_count there is no closed form"
        )
    return p.total_count * _bernoulli_bernoulli(p, q)  # type: ignore[arg-type]


@register_kl(Categorical, Categorical)
def _categorical_categorical(p: Categorical, q: Categorical) -> Tensor:
    if p._num_events != q._num_events:
        raise ValueError(
            "kl_divergence: expected Categoricals of as many classes, got "
            f"{p._num_events} and {q._num_events}"
        )
    # Logits of -inf, for impossible classes, would give NaN before they are left out.
    lowest = float(np.finfo(p.logits.dtype).min)
    difference = ops.clamp(p.logits, min=lowest) - ops.clamp(q.logits, min=lowest)
    return ops.sum(_outside(p.probs * difference, p.probs, q.probs), -1)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot_one_hot(p: OneHotCategorical, q: OneHotCategorical) -> Tensor:
    return _categorical_categorical(p._categorical, q._categorical)


@register_kl(Poisson, Poisson)
def _poisson_poisson(p: Poisson, q: Poisson) -> Tensor:
    return p.rate * (ops.log(p.rate) - ops.log(q.rate)) - (p.rate - q.rate)


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p: Bernoulli, q: Poisson) -> Tensor:
    return q.rate - p.probs * ops.log(q.rate) - p.entropy()


# ----------------------------------------------------------------------------- made from others
@register_kl(Independent, Independent)
def _independent_independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError(
            "kl_divergence: expected Independents with as many reinterpreted axes, got "
            f"{p.reinterpreted_batch_ndims} and {q.reinterpreted_batch_ndims}"
        )
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed_transformed(p: TransformedDistribution, q: TransformedDistribution) -> Tensor:
    r"""The divergence does not change under an invertible map that both have."""
    if not _same_transforms(p.transforms, q.transforms) or p.event_shape != q.event_shape:
        raise NotImplementedError(
            f"kl_divergence: {p!r} and {q!r} do not have the same transforms and event_shape"
        )
    extra = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), extra)


def _same_transforms(one: list[Any], other: list[Any]) -> bool:
    r"""The same objects, or the same classes without parameters."""
    return len(one) == len(other) and all(
        a is b or (type(a) is type(b) and vars(a).keys() == {"_cache_size", "_cached"})
        for a, b in zip(one, other)
    )
