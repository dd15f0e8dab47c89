r"""Layers that sample, Gumbel-softmax and straight-through gradients.

Laws are tested by chi-square with a fixed seed; by chance each would fail once in 1e6.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

import minigrad as mg
from minigrad import nn
from minigrad.autograd import grad

F = nn.functional
LOGITS = np.array([0.5, -1.0, 2.0, 0.0])


def rows(n: int = 20_000) -> mg.Tensor:
    return mg.tensor(np.broadcast_to(LOGITS, (n, 4)), dtype=mg.float64).requires_grad_()


@pytest.mark.parametrize("temperature", [None, 0.3, 5.0])
def test_laws(temperature: float | None) -> None:
    n = 20_000
    x = nn.BernoulliSample(temperature, generator=mg.Generator(0))(rows(n)).detach().data
    assert set(np.unique(x)) == {0.0, 1.0}
    for seen, p in zip(x.sum(0), special.expit(LOGITS)):
        assert stats.chisquare([seen, n - seen], [n * p, n * (1 - p)]).pvalue > 1e-6
    layer = nn.CategoricalSample(temperature, generator=mg.Generator(0))
    x = layer.eval()(rows(n)).detach().data
    assert set(np.unique(x)) == {0.0, 1.0} and (x.sum(-1) == 1).all()
    assert stats.chisquare(x.sum(0), n * special.softmax(LOGITS)).pvalue > 1e-6


def test_straight_through_gradient_is_that_of_the_probabilities() -> None:
    x, weights = rows(3), mg.randn(3, 4, dtype=mg.float64)
    for layer, probabilities in (
        (nn.BernoulliSample(), mg.sigmoid),
        (nn.CategoricalSample(), lambda x: mg.softmax(x, -1)),
    ):
        (got,) = grad((layer(x) * weights).sum(), x)
        (want,) = grad((probabilities(x) * weights).sum(), x)
        np.testing.assert_array_equal(got.data, want.data)
        np.testing.assert_array_equal(layer(x, sample=False).data, probabilities(x).data)


def test_hard_draws_are_rounded_soft_ones_with_their_gradient() -> None:
    x, weights = rows(5), mg.randn(5, 4, dtype=mg.float64)
    for make, rounded in (
        (nn.BernoulliSample, lambda y: (y > 0.5).astype(float)),
        (nn.CategoricalSample, lambda y: np.eye(4)[y.argmax(-1)]),
    ):
        soft, hard = (make(0.7, h, generator=mg.Generator(3))(x) for h in (False, True))
        np.testing.assert_array_equal(hard.data, rounded(soft.data))
        assert ((soft.data > 0) & (soft.data < 1)).all()
        (got,) = grad((hard * weights).sum(), x)
        (want,) = grad((soft * weights).sum(), x)
        np.testing.assert_array_equal(got.data, want.data)


def test_gumbel_softmax_is_the_relaxed_distribution() -> None:
    r"""Its largest entry falls as the probabilities say, and its log-odds are logistic."""
    y = F.gumbel_softmax(rows()[:, :2], 0.5, generator=mg.Generator(1)).detach().data
    odds = np.log(y[:, 0] / y[:, 1])
    assert stats.kstest(odds, stats.logistic((LOGITS[0] - LOGITS[1]) / 0.5, 2).cdf).pvalue > 1e-6


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -3])
@pytest.mark.parametrize("hard", [False, True])
def test_axis(dim: int, hard: bool) -> None:
    y = F.gumbel_softmax(mg.randn(3, 4, 5), dim=dim, hard=hard)
    assert y.shape == (3, 4, 5) and y.dtype == np.float32
    np.testing.assert_allclose(y.data.sum(dim), 1, rtol=1e-6)
    if hard:
        assert set(np.unique(y.data)) == {0.0, 1.0}


def test_extreme_logits_and_devices(device: str) -> None:
    x = mg.tensor([1e4, -1e4, 0.0], device=device).requires_grad_()
    for layer in (
        nn.BernoulliSample(),
        nn.BernoulliSample(0.1, hard=False),
        nn.CategoricalSample(),
        nn.CategoricalSample(0.1),
    ):
        y = layer(x)
        (g,) = grad(y.sum(), x)
        assert y.device == device and y.dtype == np.float32
        np.testing.assert_allclose(y.detach().cpu().data[:2], [1.0, 0.0], atol=1e-30)
        assert np.isfinite(g.cpu().data).all()


def test_generator_and_printing() -> None:
    x = mg.zeros(50)
    layer = nn.BernoulliSample(generator=mg.Generator(0))
    state = mg.default_generator().get_state()
    first = layer(x).tolist()
    assert mg.default_generator().get_state() == state
    assert first == nn.BernoulliSample(generator=mg.Generator(0))(x).tolist() != layer(x).tolist()
    assert repr(layer) == "BernoulliSample(temperature=None, hard=True)"
    assert (
        repr(nn.CategoricalSample(0.5)) == "CategoricalSample(temperature=0.5, hard=True, dim=-1)"
    )


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: nn.BernoulliSample(0.0),
            "BernoulliSample: expected a temperature above 0 or None",
        ),
        (lambda: nn.CategoricalSample(-1.0), "CategoricalSample: expected a temperature above 0"),
        (lambda: nn.BernoulliSample(hard=False), "expected a temperature for hard=False"),
        (lambda: nn.CategoricalSample(hard=False), "expected a temperature for hard=False"),
        (
            lambda: F.gumbel_softmax(mg.zeros(3), tau=0),
            "gumbel_softmax: expected tau above 0, got 0",
        ),
        (lambda: F.straight_through(mg.zeros(3), mg.zeros(2)), r"one shape, got \(3,\) and \(2,\)"),
    ],
)
def test_errors(call, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
