"""Random activations and SELU's companions, extremes of activations, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn import functional as F


@pytest.mark.parametrize("layer", [nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)])
def test_alpha_dropout_keeps_mean_and_variance(layer):
    x = mg.randn(2000, 50, dtype=mg.float64)
    y = layer(x).numpy()
    # 10^5 draws; three standard deviations, for a fourth moment of about 3.
    assert abs(y.mean()) < 3 / np.sqrt(1e5)
    assert abs(y.var() - 1) < 3 * np.sqrt(2 / 1e5)
    assert layer.eval()(x) is x


def test_feature_alpha_dropout_drops_whole_channels():
    y = nn.FeatureAlphaDropout(0.5)(mg.ones(20, 30, 4, 4)).numpy().reshape(600, 16)
    assert (y == y[:, :1]).all()
    assert len(np.unique(y)) == 2


def test_selu_keeps_its_own_statistics():
    r"""Sixteen layers of LeCun's weights and SELU: mean 0 and variance 1 stay; with ReLU they
    do not."""
    mg.manual_seed(0)

    def run(activation):
        x = mg.randn(200, 256)
        for _ in range(16):
            w = nn.init.lecun_normal_(mg.zeros(256, 256))
            x = activation(F.linear(x, w))
        return x.numpy()

    y = run(F.selu)
    assert abs(y.mean()) < 0.1 and abs(y.var() - 1) < 0.2
    assert run(F.relu).var() < 0.01


def test_rrelu():
    x = -mg.ones(200, 200)
    layer = nn.RReLU(0.1, 0.3, generator=mg.Generator(0))
    y = -layer(x).numpy()
    assert y.min() >= 0.1 and y.max() <= 0.3
    assert abs(y.mean() - 0.2) < 3 * 0.2 / np.sqrt(12 * 40_000)
    np.testing.assert_allclose(layer.eval()(x).numpy(), -0.2, rtol=1e-6)
    assert layer(mg.ones(3)).tolist() == [1, 1, 1]
    assert repr(layer) == "RReLU(lower=0.1, upper=0.3)"


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (F.celu, [-1, 0, 1e4]),
        (F.softsign, [-1e4 / (1 + 1e4), 0, 1e4 / (1 + 1e4)]),
        (F.hardsigmoid, [0, 0.5, 1]),
        (F.hardswish, [0, 0, 1e4]),
        (F.mish, [0, 0, 1e4]),
        (F.tanhshrink, [1 - 1e4, 0, 1e4 - 1]),
        (F.softshrink, [0.5 - 1e4, 0, 1e4 - 0.5]),
        (F.hardshrink, [-1e4, 0, 1e4]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_extremes(f, expected, dtype):
    x = mg.tensor(np.array([-1e4, 0, 1e4], dtype), requires_grad=True)
    y = f(x)
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-6, atol=1e-30)
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize(
    ("f", "at", "slope"),
    [
        (F.prelu, 0.0, 0.25), (F.celu, 0.0, 1.0), (F.hardsigmoid, 3.0, 0.0),
        (F.hardsigmoid, -3.0, 0.0), (F.hardswish, 3.0, 1.0), (F.hardswish, -3.0, 0.0),
        (F.softshrink, 0.5, 0.0), (F.hardshrink, -0.5, 0.0), (F.softsign, 0.0, 1.0),
    ],
)  # fmt: skip
def test_slopes_at_kinks_are_pytorchs(f, at, slope):
    x = mg.tensor([at], requires_grad=True)
    y = f(x, mg.tensor([0.25])) if f is F.prelu else f(x)
    y.sum().backward()
    assert x.grad.item() == pytest.approx(slope)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.GLU()(mg.zeros(2, 3)), "glu: expected an even size"),
        (lambda: nn.PReLU(2)(mg.zeros(4, 3)), "prelu: expected weight of shape"),
        (lambda: nn.Softshrink(-1.0)(mg.zeros(2)), "softshrink: expected lambd >= 0"),
        (lambda: nn.CELU(0.0)(mg.zeros(2)), "celu"),
        (lambda: nn.Softmax2d()(mg.zeros(2, 3)), "Softmax2d: expected"),
        (lambda: nn.RReLU(1.0, 0.5)(mg.zeros(2)), "rrelu: expected lower <= upper"),
        (lambda: nn.AlphaDropout(2.0), "AlphaDropout: expected 0 <= p <= 1"),
        (lambda: nn.FeatureAlphaDropout()(mg.zeros(2)), "feature_alpha_dropout: expected"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
