r"""What distributions refuse, and how they say so; shapes and dtypes of what they accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import distributions as D

ERRORS: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: D.Normal(0.0, -1.0), ValueError, r"Normal: expected scale to be positive, got -1\."),
    (
        lambda: D.Normal(mg.tensor([0.0, np.nan]), 1.0),
        ValueError,
        "expected loc to be a number, got",
    ),
    (lambda: D.Normal(mg.zeros(3), mg.ones(2)), ValueError, r"broadcast, got \(3,\) and \(2,\)"),
    (
        lambda: D.Normal(mg.zeros(3), mg.ones(3).double()),
        TypeError,
        "one floating dtype, got float3",
    ),
    (lambda: D.Normal("0", 1.0), TypeError, "Normal: expected numbers or tensors, got str"),
    (
        lambda: D.Uniform(mg.zeros(2), mg.tensor([1.0, 0.0])),
        ValueError,
        "low < high, got 0.0 and 0",
    ),
    (
        lambda: D.Bernoulli(),
        ValueError,
        "Bernoulli: expected exactly one of probs and logits, got no",
    ),
    (
        lambda: D.Bernoulli(0.5, logits=0.0),
        ValueError,
        "one of probs and logits, got probs and log",
    ),
    (lambda: D.Bernoulli(1.5), ValueError, r"expected probs to be in \[0, 1\], got 1.5"),
    (lambda: D.Categorical(), ValueError, "Categorical: expected exactly one of probs and logits"),
    (lambda: D.Categorical(0.5), ValueError, r"at least one class along the last axis, got shape"),
    (lambda: D.Categorical(mg.zeros(2, 0)), ValueError, r"got shape \(2, 0\)"),
    (lambda: D.Categorical(mg.tensor([0.5, -0.5])), ValueError, "probs to be at least 0, got -0.5"),
    (lambda: D.Categorical(mg.zeros(3)), ValueError, "the sum of probs to be positive, got 0"),
    (lambda: D.OneHotCategorical(), ValueError, "OneHotCategorical: expected exactly one of"),
    (
        lambda: D.RelaxedBernoulli(0.0, 0.5),
        ValueError,
        "expected temperature to be positive, got 0",
    ),
    (
        lambda: D.RelaxedOneHotCategorical(-1.0, mg.ones(2)),
        ValueError,
        "temperature to be positive",
    ),
    (lambda: D.Binomial(1.5, 0.5), ValueError, "total_count to be an integer that is at least 0"),
    (lambda: D.Poisson(-1.0), ValueError, "rate to be at least 0, got -1"),
    (lambda: D.Gamma(0.0, 1.0), ValueError, "Gamma: expected concentration to be positive, got 0"),
    (
        lambda: D.Dirichlet(1.0),
        ValueError,
        r"Dirichlet: expected concentration \(..., K\), got shape",
    ),
    (
        lambda: D.MultivariateNormal(mg.zeros(2)),
        ValueError,
        "exactly one of covariance_matrix and ",
    ),
    (lambda: D.MultivariateNormal(mg.zeros(2), mg.eye(3)), ValueError, r"got \(2,\) and \(3, 3\)"),
    (
        lambda: D.MultivariateNormal(mg.zeros(2), -mg.eye(2)),
        ValueError,
        "symmetric and positive defi",
    ),
    (
        lambda: D.MultivariateNormal(mg.zeros(2), scale_tril=mg.ones(2, 2)),
        ValueError,
        "scale_tril to be lower triangular with a positive diagonal",
    ),
    (
        lambda: D.Independent(D.Normal(0.0, 1.0), 1),
        ValueError,
        "from 0 to 0, the number of batch axes",
    ),
    (
        lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), [mg.exp]),
        TypeError,
        "expected transforms",
    ),
    (
        lambda: D.MixtureSameFamily(D.Normal(0.0, 1.0), D.Normal(0.0, 1.0)),
        TypeError,
        "expected a Categorical as mixture_distribution, got Normal",
    ),
    (
        lambda: D.MixtureSameFamily(D.Categorical(mg.ones(3)), D.Normal(mg.zeros(2), 1.0)),
        ValueError,
        r"got \(2,\) and \(3,\)",
    ),
    (
        lambda: D.Normal(0.0, 1.0).log_prob("x"),
        TypeError,
        "log_prob: expected a tensor or a number",
    ),
    (lambda: D.Normal(0.0, 1.0).log_prob(np.nan), ValueError, "the value to be a number, got nan"),
    (lambda: D.Exponential(1.0).log_prob(-1.0), ValueError, "the value to be at least 0, got -1"),
    (lambda: D.LogNormal(0.0, 1.0).log_prob(-1.0), ValueError, "the value to be positive, got -1"),
    (
        lambda: D.Bernoulli(0.5).log_prob(0.5),
        ValueError,
        "expected the value to be 0 or 1, got 0.5",
    ),
    (lambda: D.Categorical(mg.ones(3)).log_prob(3), ValueError, r"an integer in \[0, 2\], got 3"),
    (lambda: D.Categorical(mg.ones(3)).log_prob(-1), ValueError, r"an integer in \[0, 2\], got -1"),
    (lambda: D.Binomial(3, 0.5).log_prob(4), ValueError, "an integer in .0, 3.0., got 4"),
    (
        lambda: D.OneHotCategorical(mg.ones(3)).log_prob(mg.ones(3)),
        ValueError,
        "the value to be one-hot",
    ),
    (
        lambda: D.Dirichlet(mg.ones(3)).log_prob(mg.ones(3)),
        ValueError,
        "a vector of probabilities that sum to 1",
    ),
    (
        lambda: D.Normal(mg.zeros(3), 1.0).log_prob(mg.zeros(2)),
        ValueError,
        r"broadcasts with the shape \(3,\), got \(2,\)",
    ),
    (
        lambda: D.Dirichlet(mg.ones(3)).log_prob(mg.ones(2)),
        ValueError,
        r"ends in the event's shape \(3,\), got \(2,\)",
    ),
    (
        lambda: D.Normal(0.0, 1.0).sample((-1,)),
        ValueError,
        "a sample_shape of non-negative integers",
    ),
    (
        lambda: D.Normal(0.0, 1.0).sample((1.5,)),
        ValueError,
        "a sample_shape of non-negative integers",
    ),
    (
        lambda: D.Normal(mg.zeros(3), 1.0).expand((2,)),
        ValueError,
        r"\(3,\) broadcasts to, got \(2,\)",
    ),
    (
        lambda: D.Bernoulli(0.5).rsample(),
        NotImplementedError,
        "Bernoulli.rsample: its draws are not",
    ),
    (lambda: D.Gamma(1.0, 1.0).cdf(1.0), NotImplementedError, "Gamma.cdf: there is no closed form"),
    (
        lambda: D.kl_divergence(D.Beta(1.0, 1.0), D.Gumbel(0.0, 1.0)),
        NotImplementedError,
        "no closed form is registered for Beta and Gumbel",
    ),
    (
        lambda: D.kl_divergence(D.Binomial(2, 0.5), D.Binomial(3, 0.5)),
        NotImplementedError,
        "different total_count",
    ),
    (
        lambda: D.kl_divergence(D.Categorical(mg.ones(2)), D.Categorical(mg.ones(3))),
        ValueError,
        "as many classes, got 2 and 3",
    ),
    (lambda: D.register_kl(D.Normal, int), TypeError, "expected subclasses of Distribution"),
]


@pytest.mark.parametrize("call, error, message", ERRORS)
def test_errors(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_checks_can_be_switched_off() -> None:
    assert np.isnan(D.Normal(np.nan, 1.0, validate_args=False).mean.data)
    outside = D.Uniform(0.0, 1.0, validate_args=False).log_prob(mg.tensor([-1.0, 0.0, 1.0]))
    assert outside.tolist() == [-np.inf, 0.0, -np.inf]
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(np.nan, 1.0)
        with pytest.raises(ValueError, match="expected loc"):
            D.Normal(np.nan, 1.0, validate_args=True)
    finally:
        D.Distribution.set_default_validate_args(True)


def test_a_broken_rule_on_a_device_is_told_when_the_host_waits() -> None:
    from minigrad import backend

    scale = mg.tensor([1.0, -1.0], device="strict")
    p = D.Normal(0.0, scale)
    with pytest.raises(ValueError, match="Normal: expected scale to be positive"):
        p.mean.cpu()
    assert not backend._unchecked


def test_parameters_may_be_numbers_arrays_and_integers() -> None:
    p = D.Normal(0, np.ones(3))
    assert p.batch_shape == (3,) and p.loc.dtype == np.float64
    assert D.Normal(mg.zeros(2, dtype=mg.float64), 1).scale.dtype == np.float64
    assert D.Normal(mg.arange(3), 1).loc.dtype == np.float32
    assert D.Normal(mg.zeros(2), mg.tensor(1.0, dtype=mg.float64)).scale.dtype == np.float32
    assert D.Poisson(3).log_prob(mg.tensor([1, 2])).dtype == np.float32


def test_empty_batches() -> None:
    p = D.Normal(mg.zeros(0, 3), 1.0)
    assert p.sample((2,)).shape == (2, 0, 3)
    assert p.log_prob(mg.zeros(0, 3)).shape == (0, 3)
    assert D.Categorical(mg.ones(0, 3)).sample().shape == (0,)
    assert D.Categorical(mg.ones(1)).entropy().item() == pytest.approx(0, abs=1e-6)
    assert D.Independent(p, 2).log_prob(mg.zeros(0, 3)).item() == 0


def test_what_was_first_computed_without_recording_has_a_gradient_later() -> None:
    logits = mg.zeros(3, requires_grad=True)
    p = D.Bernoulli(logits=logits)
    p.sample()  # computes the probabilities under no_grad
    p.probs.sum().backward()
    assert logits.grad.tolist() == [0.25, 0.25, 0.25]


def test_samples_have_no_graph_and_rsamples_do() -> None:
    loc = mg.zeros(2, requires_grad=True)
    p = D.Normal(loc, 1.0)
    assert not p.sample().requires_grad and p.rsample().requires_grad
    flow = D.TransformedDistribution(p, [D.TanhTransform()])
    assert not flow.sample().requires_grad and flow.rsample().requires_grad


def test_a_formula_of_ones_own() -> None:
    class Mine(D.Normal):
        pass

    assert D.kl_divergence(Mine(1.0, 1.0), D.Normal(0.0, 1.0)).item() == 0.5

    @D.register_kl(Mine, D.Normal)
    def formula(p: Any, q: Any) -> mg.Tensor:
        return mg.tensor(7.0)

    assert D.kl_divergence(Mine(1.0, 1.0), D.Normal(0.0, 1.0)).item() == 7
    assert D.kl_divergence(D.Normal(1.0, 1.0), Mine(0.0, 1.0)).item() == 0.5


def test_divergence_of_transformed_distributions() -> None:
    p, q = D.Normal(mg.zeros(3), 1.0), D.Normal(mg.ones(3), 2.0)
    f = D.AffineTransform(1.0, 2.0, event_dim=1)
    a, b = (D.TransformedDistribution(d, [f]) for d in (p, q))
    want = D.kl_divergence(p, q).sum().item()
    assert D.kl_divergence(a, b).item() == pytest.approx(want)
    with pytest.raises(NotImplementedError, match="do not have the same transforms"):
        other = D.TransformedDistribution(q, [D.AffineTransform(1.0, 3.0, event_dim=1)])
        D.kl_divergence(a, other)
