r"""Samples have the law they should, and reparameterised ones its derivatives.

Every test of a law states how often it would fail by chance: 1e-6, with a fixed seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

import minigrad as mg
from minigrad import distributions as D
from minigrad.autograd import grad

FALSE_ALARM = 1e-6
N = 20_000


def t(x: Any) -> mg.Tensor:
    return mg.tensor(np.asarray(x, np.float64))


CONTINUOUS: list[tuple[str, Callable[[], D.Distribution], Any]] = [
    ("normal", lambda: D.Normal(t(0.3), t(1.7)), stats.norm(0.3, 1.7)),
    ("lognormal", lambda: D.LogNormal(t(0.3), t(0.7)), stats.lognorm(0.7, scale=np.exp(0.3))),
    ("uniform", lambda: D.Uniform(t(-1), t(3)), stats.uniform(-1, 4)),
    ("laplace", lambda: D.Laplace(t(0.3), t(1.7)), stats.laplace(0.3, 1.7)),
    ("exponential", lambda: D.Exponential(t(2.5)), stats.expon(scale=0.4)),
    ("gumbel", lambda: D.Gumbel(t(0.3), t(1.7)), stats.gumbel_r(0.3, 1.7)),
    ("gamma", lambda: D.Gamma(t(2.5), t(0.5)), stats.gamma(2.5, scale=2)),
    ("gamma-flat", lambda: D.Gamma(t(0.3), t(2)), stats.gamma(0.3, scale=0.5)),
    ("beta", lambda: D.Beta(t(2.5), t(0.7)), stats.beta(2.5, 0.7)),
    ("tanh", lambda: D.TransformedDistribution(D.Normal(t(0.2), t(0.5)), D.TanhTransform()),
     stats.rv_continuous),
    ("logistic", lambda: D.LogitRelaxedBernoulli(t(0.5), logits=t(1.0)), stats.logistic(2, 2)),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name, make, other", CONTINUOUS, ids=[row[0] for row in CONTINUOUS])
def test_law(name: str, make: Any, other: Any, dtype: Any) -> None:
    r"""Kolmogorov and Smirnov's test."""
    cdf = (lambda x: stats.norm(0.2, 0.5).cdf(np.arctanh(x))) if name == "tanh" else other.cdf
    p = make()
    for draw in (p.sample, p.rsample):
        x = draw((N,), generator=mg.Generator(1)).data
        assert x.shape == (N,)
        assert stats.kstest(x, cdf).pvalue > FALSE_ALARM


def classes(p: D.Distribution, other: Any, k: int) -> None:
    r"""Pearson's chi-square test of counts of 0 ... k - 1 and the rest."""
    x = p.sample((N,), generator=mg.Generator(2)).data
    seen = np.bincount(np.minimum(x.astype(int), k), minlength=k + 1)
    want = np.append(other.pmf(np.arange(k)), other.sf(k - 1)) * N
    assert not seen[want == 0].any()
    assert stats.chisquare(seen[want > 0], want[want > 0]).pvalue > FALSE_ALARM


def test_discrete_laws() -> None:
    classes(D.Bernoulli(t(0.3)), stats.bernoulli(0.3), 2)
    classes(D.Bernoulli(logits=t(-1.0)), stats.bernoulli(special.expit(-1.0)), 2)
    classes(D.Binomial(6, t(0.3)), stats.binom(6, 0.3), 7)
    classes(D.Poisson(t(3.5)), stats.poisson(3.5), 9)
    p = np.array([0.1, 0.0, 0.4, 0.5, 0.0])
    law = stats.rv_discrete(values=(np.arange(5), p))
    classes(D.Categorical(t(3 * p)), law, 5)
    hot = D.OneHotCategorical(t(p)).sample((N,))
    assert (hot.data.sum(-1) == 1).all()
    counts = hot.data.sum(0)
    assert not counts[p == 0].any()
    assert stats.chisquare(counts[p > 0], N * p[p > 0]).pvalue > FALSE_ALARM


@pytest.mark.parametrize("u", [0.0, 1 - 2.0**-53])
def test_an_impossible_class_is_never_drawn(u: float) -> None:
    r"""Not by the smallest and largest uniform numbers either."""

    class Extreme:
        numpy = property(lambda self: self)

        def random(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.full(shape, u)

    for dtype in (np.float32, np.float64):
        p = mg.tensor(np.array([0.0, 0.1, 0.2, 0.7, 0.0], dtype))
        drawn = D.Categorical(p).sample((3,), generator=Extreme()).data
        assert drawn.tolist() == [1 if u == 0 else 3] * 3


def test_each_row_of_a_batch_has_its_own_law() -> None:
    p = np.array([[0.2, 0.8, 0.0], [0.0, 0.5, 0.5]])
    x = D.Categorical(t(p)).sample((N,)).data
    for i in range(2):
        counts = np.bincount(x[:, i], minlength=3)
        assert stats.chisquare(counts[p[i] > 0], N * p[i][p[i] > 0]).pvalue > FALSE_ALARM
    means = np.array([[-5.0], [5.0]])
    x = D.Normal(t(means), t([1.0, 2.0])).sample((N,)).data
    for i, j in np.ndindex(2, 2):
        assert stats.kstest(x[:, i, j], stats.norm(means[i, 0], j + 1).cdf).pvalue > FALSE_ALARM


def test_laws_of_vectors() -> None:
    a = np.array([0.5, 1.5, 3.0])
    x = D.Dirichlet(t(a)).sample((N,)).data
    np.testing.assert_allclose(x.sum(-1), 1)
    for i in range(3):  # a share of a Dirichlet is Beta distributed
        assert stats.kstest(x[:, i], stats.beta(a[i], a.sum() - a[i]).cdf).pvalue > FALSE_ALARM
    l = np.array([[2.0, 0.0], [1.0, 0.5]])
    x = D.MultivariateNormal(t([1.0, -1.0]), scale_tril=t(l)).sample((N,)).data
    white = np.linalg.solve(l, (x - [1.0, -1.0]).T)
    for row in (*white, (white[0] + white[1]) / np.sqrt(2), (white[0] - white[1]) / np.sqrt(2)):
        assert stats.kstest(row, stats.norm.cdf).pvalue > FALSE_ALARM
    # Above temperature 0 the largest entry still falls as the probabilities say.
    p = np.array([0.2, 0.5, 0.3])
    soft = D.RelaxedOneHotCategorical(t(0.7), t(p)).sample((N,)).data
    counts = np.bincount(soft.argmax(-1), minlength=3)
    assert stats.chisquare(counts, N * p).pvalue > FALSE_ALARM
    parts = D.Normal(t([-3.0, 2.0]), t([0.5, 1.0]))
    x = D.MixtureSameFamily(D.Categorical(t([0.3, 0.7])), parts).sample((N,)).data
    cdf = lambda x: 0.3 * stats.norm(-3, 0.5).cdf(x) + 0.7 * stats.norm(2, 1).cdf(x)  # noqa: E731
    assert stats.kstest(x, cdf).pvalue > FALSE_ALARM


def test_tiny_concentrations_do_not_underflow() -> None:
    for dtype in (np.float32, np.float64):
        a = mg.tensor(np.full(3, 1e-3, dtype), requires_grad=True)
        x = D.Dirichlet(a).rsample((100,))
        assert x.dtype == dtype
        np.testing.assert_allclose(x.data.sum(-1), 1, rtol=1e-5)
        x.sum().backward()
        b = D.Beta(a, a).sample((200,)).data
        assert ((b > 0) & (b < 1)).all()
        assert (D.Gamma(a, a).sample((200,)).data > 0).all()
        assert np.isfinite(a.grad.data).all()


# ------------------------------------------------------------------------------ reparameterisation
REPARAMETERISED = {
    "normal": (D.Normal, (0.3, 1.7), stats.norm, lambda m, s: ((), {"loc": m, "scale": s})),
    "laplace": (D.Laplace, (0.3, 1.7), stats.laplace, lambda m, s: ((), {"loc": m, "scale": s})),
    "uniform": (D.Uniform, (-1.0, 3.0), stats.uniform,
                lambda a, b: ((), {"loc": a, "scale": b - a})),
    "exponential": (D.Exponential, (2.5,), stats.expon, lambda r: ((), {"scale": 1 / r})),
    "gumbel": (D.Gumbel, (0.3, 1.7), stats.gumbel_r, lambda m, s: ((), {"loc": m, "scale": s})),
    "gamma": (D.Gamma, (2.5, 0.5), stats.gamma, lambda a, b: ((a,), {"scale": 1 / b})),
    "lognormal": (D.LogNormal, (0.3, 0.7), stats.lognorm,
                  lambda m, s: ((s,), {"scale": np.exp(m)})),
}  # fmt: skip


@pytest.mark.parametrize("name", REPARAMETERISED)
def test_slope_of_a_sample(name: str) -> None:
    r"""dx/dθ = -∂F(x; θ)/∂θ / p(x; θ): at a fixed quantile, for every sample on its own."""
    make, parameters, scipy, arguments = REPARAMETERISED[name]

    def law(*values: float) -> Any:
        positional, named = arguments(*values)
        return scipy(*positional, **named)

    leaves = [mg.tensor(np.full(50, v), requires_grad=True) for v in parameters]
    x = make(*leaves).rsample(generator=mg.Generator(4))
    slopes = grad(x.sum(), leaves)
    h = 1e-6
    for i, slope in enumerate(slopes):
        high, low = (
            law(*[v + (k == i) * d for k, v in enumerate(parameters)]).cdf(x.data) for d in (h, -h)
        )
        want = -(high - low) / (2 * h) / law(*parameters).pdf(x.data)
        np.testing.assert_allclose(slope.data, want, rtol=1e-6, atol=1e-7)


def test_gamma_slope_at_every_size() -> None:
    r"""Against differences of SciPy's quantile function."""
    from minigrad.distributions.gamma import gamma_slope

    a, u = np.meshgrid([1.0, 1.3, 2.0, 7.0, 40.0, 500.0, 5000.0], [1e-6, 0.01, 0.3, 0.9, 1 - 1e-6])
    z = special.gammaincinv(a, u)
    h = 1e-5 * a
    want = (special.gammaincinv(a + h, u) - special.gammaincinv(a - h, u)) / (2 * h)
    np.testing.assert_allclose(gamma_slope(a, z), want, rtol=2e-6)


@pytest.mark.parametrize("a", [0.3, 2.5])
def test_expected_slopes(a: float) -> None:
    r"""The mean of a reparameterised gradient is the gradient of the mean: within five standard
    errors (false alarm: 6e-7)."""
    leaf = mg.tensor(np.full(N, a), requires_grad=True)
    for make, slope in (
        (lambda x: D.Gamma(x, t(2.0)), 1 / 2),  # of a / 2
        (lambda x: D.Beta(x, t(1.5)), 1.5 / (a + 1.5) ** 2),
        (lambda x: D.Beta(t(1.5), x), -1.5 / (a + 1.5) ** 2),
    ):
        g = grad(make(leaf).rsample(generator=mg.Generator(5)).sum(), leaf)[0].data
        assert abs(g.mean() - slope) < 5 * g.std() / np.sqrt(N)


def test_second_derivative_of_a_gamma_sample_is_an_error() -> None:
    a = t(2.0).requires_grad_()
    rate = t(3.0).requires_grad_()
    g, h = grad(D.Gamma(a, rate).rsample(), [a, rate], create_graph=True)
    x = -h.item() * 3
    np.testing.assert_allclose(grad(h, rate, retain_graph=True)[0].data, 2 * x / 9)
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        grad(g, a)


def test_straight_through() -> None:
    logits = t([0.5, -0.5, 0.0]).requires_grad_()
    p = D.OneHotCategoricalStraightThrough(logits=logits)
    x = p.rsample((7,))
    assert set(np.unique(x.data)) == {0.0, 1.0}
    weights = t(np.arange(21.0).reshape(7, 3))
    (got,) = grad((x * weights).sum(), logits)
    (want,) = grad((mg.softmax(logits, 0) * weights).sum(), logits)
    np.testing.assert_allclose(got.data, want.data)


# ------------------------------------------------------------------------------------ generators
@pytest.mark.parametrize(
    "make",
    [
        lambda: D.Normal(0.0, 1.0),
        lambda: D.Bernoulli(0.5),
        lambda: D.Categorical(logits=mg.zeros(9)),
        lambda: D.Gamma(2.0, 1.0),
        lambda: D.Poisson(5.0),
        lambda: D.Binomial(9, 0.5),
        lambda: D.Laplace(0.0, 1.0),
        lambda: D.MixtureSameFamily(D.Categorical(mg.ones(2)), D.Normal(mg.zeros(2), 1.0)),
        lambda: D.Independent(D.Bernoulli(mg.full((3,), 0.5)), 1),
    ],
)
def test_the_generator_decides(make: Callable[[], D.Distribution]) -> None:
    def numbers(generator: mg.Generator | None) -> Any:
        return make().sample((20,), generator=generator).tolist()

    state = mg.default_generator().get_state()
    assert numbers(mg.Generator(0)) == numbers(mg.Generator(0)) != numbers(mg.Generator(1))
    assert mg.default_generator().get_state() == state
    mg.manual_seed(5)
    first = numbers(None)
    mg.manual_seed(5)
    assert numbers(None) == first


def test_float32_stays_and_device_too(device: str) -> None:
    f = mg.full((3,), 0.5, device=device)
    for p in (
        D.Normal(f, 1.0), D.LogNormal(0.0, f), D.Uniform(0.0, f), D.Laplace(0.0, f), D.Gamma(f, f),
        D.Exponential(f), D.Gumbel(0.0, f), D.Beta(f, 2.0), D.Dirichlet(f), D.Bernoulli(f),
        D.Bernoulli(logits=f), D.Binomial(3, f), D.Poisson(f), D.Categorical(f),
        D.OneHotCategorical(logits=f), D.RelaxedBernoulli(f, logits=f),
        D.Independent(D.Normal(f, f), 1), D.RelaxedOneHotCategorical(0.5, logits=f),
        D.MixtureSameFamily(D.Categorical(f), D.Normal(f, f)),
        D.TransformedDistribution(D.Normal(f, f), [D.AffineTransform(f, 2.0), D.TanhTransform()]),
        D.TransformedDistribution(D.Normal(f, f), D.PlanarTransform(f, f)),
        D.TransformedDistribution(D.Normal(f, f), D.PermutationTransform([2, 0, 1])),
        D.MultivariateNormal(f, scale_tril=mg.eye(3, device=device)),
    ):  # fmt: skip
        x = p.sample((2,))
        assert x.device == device and not x.requires_grad
        assert x.dtype == (np.int64 if isinstance(p, D.Categorical) else np.float32), p
        log_p = p.log_prob(x)
        assert log_p.dtype == np.float32 and log_p.device == device
        assert np.isfinite(log_p.cpu().data).all()


def test_no_wait_for_the_device() -> None:
    r"""A loss with distributions in a training step does not stall a GPU."""
    from minigrad.testing.strict import strict

    loc = mg.zeros(4, device="strict", requires_grad=True)
    with strict.count() as counts:
        q, p = D.Normal(loc, mg.exp(loc)), D.Normal(mg.zeros_like(loc), mg.ones_like(loc))
        z = q.rsample((3,))
        loss = q.log_prob(z).sum() + D.kl_divergence(q, p).sum()
        classes = D.Categorical(logits=loc)
        loss = loss + classes.log_prob(classes.sample()) + classes.entropy()
        loss = loss + D.Bernoulli(logits=loc).log_prob(mg.ones_like(loc)).sum()
        loss.backward()
    assert counts.synchronisations == 0
    assert loc.grad is not None
