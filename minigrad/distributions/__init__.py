r"""Probability distributions, divergences and invertible transforms, with PyTorch's names.

Belongs here: the public names. A file a kind: ``continuous``, ``discrete``, ``gamma``,
``multivariate``, ``relaxed``, ``transformed`` (distributions made from others), ``transforms`` and
``flows`` (invertible maps), ``kl``, ``constraints``.

>>> import minigrad as mg
>>> from minigrad.distributions import Normal, kl_divergence
>>> q = Normal(mg.tensor([0.5], requires_grad=True), 1.0)
>>> z = q.rsample((3,))  # gradients flow to the mean
>>> z.shape, z.requires_grad
((3, 1), True)
"""

from __future__ import annotations

from . import constraints
from .continuous import Exponential, Gumbel, Laplace, LogNormal, Normal, Uniform
from .discrete import (
    Bernoulli,
    Binomial,
    Categorical,
    OneHotCategorical,
    OneHotCategoricalStraightThrough,
    Poisson,
)
from .distribution import Distribution
from .flows import AffineCoupling, PermutationTransform, PlanarTransform, RadialTransform
from .gamma import Beta, Dirichlet, Gamma
from .kl import kl_divergence, register_kl
from .multivariate import MultivariateNormal
from .relaxed import (
    ExpRelaxedCategorical,
    LogitRelaxedBernoulli,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
)
from .transformed import Independent, MixtureSameFamily, TransformedDistribution
from .transforms import (
    AffineTransform,
    ComposeTransform,
    ExpTransform,
    IndependentTransform,
    SigmoidTransform,
    SoftplusTransform,
    TanhTransform,
    Transform,
)

__all__ = [
    "AffineCoupling",
    "AffineTransform",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "ComposeTransform",
    "Dirichlet",
    "Distribution",
    "ExpRelaxedCategorical",
    "ExpTransform",
    "Exponential",
    "Gamma",
    "Gumbel",
    "Independent",
    "IndependentTransform",
    "Laplace",
    "LogNormal",
    "LogitRelaxedBernoulli",
    "MixtureSameFamily",
    "MultivariateNormal",
    "Normal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "PermutationTransform",
    "PlanarTransform",
    "Poisson",
    "RadialTransform",
    "RelaxedBernoulli",
    "RelaxedOneHotCategorical",
    "SigmoidTransform",
    "SoftplusTransform",
    "TanhTransform",
    "Transform",
    "TransformedDistribution",
    "Uniform",
    "constraints",
    "kl_divergence",
    "register_kl",
]
