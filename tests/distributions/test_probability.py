r"""Densities, moments and divergences against SciPy and against what must hold of any distribution.

Densities integrate to one; the entropy is -E[ln p], the divergence E[ln p - ln q], mean and
variance are those integrals: by quadrature over a quantile range, or by exact sums.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import integrate, stats

import minigrad as mg
from minigrad import distributions as D


def t(x: Any) -> mg.Tensor:
    return mg.tensor(np.asarray(x, np.float64))


# ours, SciPy's, points
SCIPY: list[tuple[str, Callable[[], D.Distribution], Any, Any]] = [
    ("normal", lambda: D.Normal(t(0.3), t(1.7)), stats.norm(0.3, 1.7), (-30, -1, 0, 2, 9)),
    ("lognormal", lambda: D.LogNormal(t(0.3), t(0.7)), stats.lognorm(0.7, scale=np.exp(0.3)),
     (1e-3, 0.5, 1, 20)),
    ("uniform", lambda: D.Uniform(t(-1), t(3)), stats.uniform(-1, 4), (-0.9, 0, 2.5)),
    ("laplace", lambda: D.Laplace(t(0.3), t(1.7)), stats.laplace(0.3, 1.7), (-30, -1, 0.3, 9)),
    ("exponential", lambda: D.Exponential(t(2.5)), stats.expon(scale=0.4), (0, 0.1, 5)),
    ("gumbel", lambda: D.Gumbel(t(0.3), t(1.7)), stats.gumbel_r(0.3, 1.7), (-4, 0, 1, 60)),
    ("gamma", lambda: D.Gamma(t(2.5), t(0.5)), stats.gamma(2.5, scale=2), (1e-4, 1, 40)),
    ("gamma-flat", lambda: D.Gamma(t(0.4), t(3)), stats.gamma(0.4, scale=1 / 3), (1e-4, 1, 9)),
    ("beta", lambda: D.Beta(t(2.5), t(0.7)), stats.beta(2.5, 0.7), (1e-4, 0.5, 0.999)),
    ("bernoulli", lambda: D.Bernoulli(t(0.3)), stats.bernoulli(0.3), (0, 1)),
    ("binomial", lambda: D.Binomial(6, t(0.3)), stats.binom(6, 0.3), tuple(range(7))),
    ("poisson", lambda: D.Poisson(t(3.5)), stats.poisson(3.5), (0, 1, 5, 30)),
    ("tanh-normal",
     lambda: D.TransformedDistribution(D.Laplace(t(0), t(1)), [D.AffineTransform(1.0, 2.0)]),
     stats.laplace(1, 2), (-3, 0, 1, 7)),
]  # fmt: skip
ROWS = pytest.mark.parametrize("name, make, other, points", SCIPY, ids=[r[0] for r in SCIPY])


@ROWS
def test_against_scipy(name: str, make: Any, other: Any, points: Any) -> None:
    ours, x = make(), np.array(points, np.float64)
    discrete = hasattr(other, "pmf")
    want = (other.logpmf if discrete else other.logpdf)(x)
    np.testing.assert_allclose(ours.log_prob(t(x)).data, want, rtol=1e-11, atol=1e-12)
    for what, value in (("mean", other.mean()), ("variance", other.var()), ("stddev", other.std()),
                        ("entropy", other.entropy())):  # fmt: skip
        try:
            found = getattr(ours, what)
            found = found() if callable(found) else found
        except NotImplementedError:
            assert (name, what) in NOT_THERE or name == "tanh-normal"
            continue
        np.testing.assert_allclose(found.data, value, rtol=1e-9)
    for what, inverse, argument in (("cdf", "cdf", x), ("icdf", "ppf", [0.01, 0.4, 0.97])):
        try:
            found = getattr(ours, what)(t(argument))
        except NotImplementedError:
            assert discrete or name.startswith(("gamma", "beta"))
            continue
        np.testing.assert_allclose(found.data, getattr(other, inverse)(argument), rtol=1e-9)


NOT_THERE = {("poisson", "entropy")}


def expectation(p: D.Distribution, other: Any, f: Callable[[mg.Tensor], mg.Tensor]) -> float:
    r"""E_p[f(x)] by quadrature between far quantiles, in pieces, or by an exact sum."""
    if hasattr(other, "pmf"):
        k = np.arange(0, 200.0)
        k = k[other.pmf(k) > 0]
        return float((np.exp(p.log_prob(t(k)).data) * f(t(k)).data).sum())
    tail = 10.0 ** np.array([-300, -100, -30, *np.linspace(-15, -1, 43)])
    edges = other.ppf([*tail, 0.3, 0.5, 0.7, *(1 - tail[:5:-1])])
    edges = edges[edges < other.support()[1]]  # far quantiles may round to the end
    # 1 is where the Laplace distributions below, as q, have their tip.
    edges = np.sort(np.append(edges, np.clip(1.0, edges[0], edges[-1])))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    low_, width = edges[:-1, None], np.diff(edges)[:, None]
    x = (low_ + width * (nodes + 1) / 2)[width[:, 0] > 0]
    values = (mg.exp(p.log_prob(t(x))) * f(t(x))).data
    return float((values * weights * (width[width[:, 0] > 0] / 2)).sum())


@ROWS
def test_identities(name: str, make: Any, other: Any, points: Any) -> None:
    p = make()
    tolerance = {"rtol": 1e-6, "atol": 1e-7}
    np.testing.assert_allclose(expectation(p, other, mg.ones_like), 1, **tolerance)
    if name == "tanh-normal":
        return
    np.testing.assert_allclose(expectation(p, other, lambda x: x), p.mean.data, **tolerance)
    spread = expectation(p, other, lambda x: (x - p.mean) ** 2)
    np.testing.assert_allclose(spread, p.variance.data, **tolerance)
    if (name, "entropy") not in NOT_THERE:
        entropy = expectation(p, other, lambda x: -p.log_prob(x))
        np.testing.assert_allclose(entropy, p.entropy().data, **tolerance)


PAIRS = [
    ("normal", D.Normal(t(1), t(0.6))),
    ("lognormal", D.LogNormal(t(-0.5), t(1.2))),
    ("uniform", D.Uniform(t(-3), t(4))),
    ("uniform", D.Normal(t(1), t(2))),
    ("laplace", D.Laplace(t(1), t(0.6))),
    ("laplace", D.Normal(t(1), t(0.9))),
    ("exponential", D.Exponential(t(0.3))),
    ("exponential", D.Gamma(t(2.2), t(0.7))),
    ("gumbel", D.Gumbel(t(1), t(2.2))),
    ("gamma", D.Gamma(t(1.2), t(0.7))),
    ("gamma", D.Exponential(t(0.7))),
    ("beta", D.Beta(t(1.2), t(3))),
    ("beta", D.Uniform(t(-1), t(1.5))),
    ("beta", D.Normal(t(0.3), t(0.5))),
    ("gumbel", D.Normal(t(1), t(3))),
    ("exponential", D.Normal(t(0.3), t(0.5))),
    ("gamma", D.Normal(t(4), t(5))),
    ("normal", D.Laplace(t(1), t(0.6))),
    ("normal", D.Gumbel(t(1), t(1.6))),
    ("bernoulli", D.Poisson(t(0.6))),
    ("bernoulli", D.Bernoulli(t(0.8))),
    ("binomial", D.Binomial(6, t(0.8))),
    ("poisson", D.Poisson(t(1.2))),
]


@pytest.mark.parametrize(
    "name, q", PAIRS, ids=lambda x: x if isinstance(x, str) else type(x).__name__
)
def test_divergences(name: str, q: D.Distribution) -> None:
    _, make, other, _ = next(row for row in SCIPY if row[0] == name)
    p = make()
    want = expectation(p, other, lambda x: p.log_prob(x) - q.log_prob(x))
    np.testing.assert_allclose(D.kl_divergence(p, q).data, want, rtol=1e-6, atol=1e-7)
    assert abs(D.kl_divergence(p, p).item()) < 1e-12
    assert D.kl_divergence(p, q).item() > 0


@pytest.mark.parametrize("kind", [D.Categorical, D.OneHotCategorical, D.Bernoulli])
def test_enumerable(kind: Any) -> None:
    rng = np.random.default_rng(0)
    shape = (3,) if kind is D.Bernoulli else (3, 5)
    p, q = (kind(logits=t(rng.normal(size=shape) * 2)) for _ in range(2))
    values = p.enumerate_support()
    assert values.shape[1 : 1 + len(p.batch_shape)] == p.batch_shape
    log_p, log_q = p.log_prob(values).data, q.log_prob(values).data
    np.testing.assert_allclose(np.exp(log_p).sum(0), 1)
    np.testing.assert_allclose(-(np.exp(log_p) * log_p).sum(0), p.entropy().data)
    divergence = (np.exp(log_p) * (log_p - log_q)).sum(0)
    np.testing.assert_allclose(D.kl_divergence(p, q).data, divergence)
    narrow = p.enumerate_support(expand=False)
    assert narrow.shape == (len(values), *(1,) * len(p.batch_shape), *p.event_shape)


def test_impossible_classes_and_extreme_logits() -> None:
    r"""0 ln 0 is 0, a divergence from what q rules out is infinite, and nothing is NaN."""
    p = D.Categorical(logits=mg.tensor([0.0, -np.inf, 1e4, -1e4]))
    q = D.Categorical(logits=mg.tensor([0.0, -np.inf, -1e4, 1e4]))
    assert p.entropy().item() == 0
    assert D.kl_divergence(p, p).item() == 0
    assert D.kl_divergence(p, q).item() == np.inf
    one, zero = D.Bernoulli(probs=t(1.0)), D.Bernoulli(probs=t(0.0))
    assert D.kl_divergence(one, zero).item() == np.inf == D.kl_divergence(zero, one).item()
    assert D.kl_divergence(one, one).item() == 0 == D.kl_divergence(zero, zero).item()
    logits = mg.tensor([1e4, -1e4], requires_grad=True)
    b = D.Bernoulli(logits=logits)
    total = b.entropy().sum() + b.log_prob(mg.tensor([0.0, 1.0])).sum()
    total.backward()
    assert np.isfinite(logits.grad.data).all() and total.item() == -2e4
    assert D.Poisson(0.0).log_prob(0.0).item() == 0


def test_vectors() -> None:
    rng = np.random.default_rng(1)
    a = np.exp(rng.normal(size=3))
    x = rng.dirichlet(a, 4)
    ours, other = D.Dirichlet(t(a)), stats.dirichlet(a)
    np.testing.assert_allclose(ours.log_prob(t(x)).data, other.logpdf(x.T), rtol=1e-9)
    np.testing.assert_allclose(ours.entropy().data, other.entropy())
    np.testing.assert_allclose(ours.variance.data, other.var())
    l = np.tril(rng.normal(size=(3, 3)), -1) + np.diag([1.0, 0.5, 2.0])
    loc, x = rng.normal(size=3), rng.normal(size=(4, 3))
    other = stats.multivariate_normal(loc, l @ l.T)
    covariance = l @ l.T
    for given in (
        {"scale_tril": t(l)},
        {"covariance_matrix": t(covariance)},
        {"precision_matrix": t(np.linalg.inv(covariance))},
    ):
        ours = D.MultivariateNormal(t(loc), **given)
        np.testing.assert_allclose(ours.log_prob(t(x)).data, other.logpdf(x))
        np.testing.assert_allclose(ours.entropy().data, other.entropy())
        np.testing.assert_allclose(ours.scale_tril.data, l, atol=1e-12)
        np.testing.assert_allclose(ours.covariance_matrix.data, covariance, atol=1e-12)
        np.testing.assert_allclose(ours.precision_matrix.data @ covariance, np.eye(3), atol=1e-10)
        np.testing.assert_allclose(ours.variance.data, np.diag(covariance))


def test_mixture() -> None:
    w, m, s = np.array([0.2, 0.5, 0.3]), np.array([-3.0, 0.0, 2.0]), np.array([0.5, 1.0, 2.0])
    p = D.MixtureSameFamily(D.Categorical(t(w)), D.Normal(t(m), t(s)))
    x = np.linspace(-5, 5, 7)
    each = stats.norm(m, s)
    np.testing.assert_allclose(np.exp(p.log_prob(t(x)).data), each.pdf(x[:, None]) @ w)
    np.testing.assert_allclose(p.cdf(t(x)).data, each.cdf(x[:, None]) @ w)
    np.testing.assert_allclose(p.mean.data, w @ m)
    np.testing.assert_allclose(p.variance.data, w @ (s**2 + m**2) - (w @ m) ** 2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_relaxed_densities_integrate_to_one(dtype: Any) -> None:
    x = np.linspace(1e-4, 1 - 1e-4, 20001).astype(dtype)
    p = D.RelaxedBernoulli(mg.tensor(np.array(0.8, dtype)), probs=mg.tensor(np.array(0.3, dtype)))
    density = np.exp(p.log_prob(mg.tensor(x)).data)
    assert density.dtype == dtype
    np.testing.assert_allclose(integrate.simpson(density, x=x), 1, atol=3e-3)
    q = D.RelaxedOneHotCategorical(
        mg.tensor(np.array(1.3, dtype)), mg.tensor(np.array([0.3, 0.7], dtype))
    )
    both = np.stack([x, 1 - x], -1)
    np.testing.assert_allclose(
        integrate.simpson(np.exp(q.log_prob(mg.tensor(both)).data), x=x), 1, atol=3e-3
    )
