"""Normalisation layers that PyTorch lacks, and what all of them refuse."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.testing import gradcheck
from minigrad.testing.strict import strict


def test_pixel_norm():
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    expected = np.empty_like(x)
    for n, i, j in np.ndindex(2, 4, 5):
        v = x[n, :, i, j]
        expected[n, :, i, j] = v / np.sqrt(v @ v / 3 + 1e-8)
    np.testing.assert_allclose(nn.PixelNorm()(mg.tensor(x)).numpy(), expected, rtol=1e-12)
    assert not nn.PixelNorm()(mg.zeros(2, 3)).numpy().any()


@pytest.mark.parametrize("group_size", [None, 1, 2, 4, 8])
@pytest.mark.parametrize("features", [1, 3])
def test_minibatch_standard_deviation(group_size, features):
    n, c, h, w = 4, 6, 2, 3
    x = np.random.default_rng(0).normal(size=(n, c, h, w))
    y = nn.MinibatchStdDev(group_size, features)(mg.tensor(x)).numpy()
    assert y.shape == (n, c + features, h, w)
    np.testing.assert_array_equal(y[:, :c], x)
    groups = 1 if group_size is None else max(n // group_size, 1)
    for i in range(n):
        together = x[i % groups :: groups]
        for f in range(features):
            part = together[:, f * c // features : (f + 1) * c // features]
            spread = np.sqrt(part.var(0) + 1e-8).mean()
            np.testing.assert_allclose(y[i, c + f], spread, rtol=1e-12)


def test_minibatch_standard_deviation_tells_a_collapsed_generator():
    same = mg.tensor(np.repeat(np.random.default_rng(0).normal(size=(1, 3, 4, 4)), 4, axis=0))
    assert nn.MinibatchStdDev()(same)[:, -1].numpy().max() == pytest.approx(1e-4)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.PixelNorm(), (2, 3, 2, 2)),
        (nn.MinibatchStdDev(2), (4, 2, 2, 2)),
        (nn.LocalResponseNorm(3), (2, 3, 2)),
        (nn.InstanceNorm2d(3), (2, 3, 2, 2)),
    ],
)
def test_second_order(layer, shape):
    x = mg.tensor(np.random.default_rng(0).normal(size=shape), requires_grad=True)
    assert gradcheck(layer, x, order=2)


def test_rows_of_equal_values_become_the_bias():
    layer = nn.LayerNorm(3)
    x = mg.full((2, 3), 7.0).requires_grad_()
    y = layer(x)
    assert y.tolist() == [[0.0] * 3] * 2
    y.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    assert nn.LayerNorm(1)(mg.tensor([[5.0]])).tolist() == [[0.0]]


def test_far_from_zero():
    r"""The mean is subtracted first: the mean of squares would have no digits left."""
    x = mg.tensor((np.random.default_rng(0).normal(size=(4, 256)) + 1000).astype(np.float32))
    np.testing.assert_allclose(nn.LayerNorm(256)(x).detach().numpy().std(1), 1, rtol=1e-3)


def test_parameters_can_be_reset():
    for layer in (
        nn.LayerNorm(3),
        nn.GroupNorm(1, 3),
        nn.RMSNorm(3),
        nn.InstanceNorm1d(3, affine=True),
    ):
        for p in layer.parameters():
            p.data[...] = 5.0
        layer.reset_parameters()
        assert layer.weight.tolist() == [1.0] * 3
        assert "bias" not in dict(layer.named_parameters()) or layer.bias.tolist() == [0.0] * 3


@pytest.mark.parametrize(
    "layer", [nn.LayerNorm(4), nn.GroupNorm(1, 3), nn.InstanceNorm1d(3, track_running_stats=True)]
)
def test_a_step_on_a_device_never_waits(layer):
    there = layer.to("strict")
    x = mg.Tensor(strict.asarray(np.ones((2, 3, 4), np.float32)))
    there(x)
    with strict.count() as count:
        there(x).sum()
    assert count.synchronisations == 0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LayerNorm(0), "LayerNorm: expected positive integers"),
        (lambda: nn.LayerNorm(()), "LayerNorm: expected positive integers"),
        (lambda: nn.LayerNorm(3)(mg.zeros(2, 4)), "layer_norm: expected an input whose last axes"),
        (lambda: nn.LayerNorm((2, 3))(mg.zeros(3)), "layer_norm: expected an input whose last"),
        (lambda: nn.RMSNorm(3)(mg.zeros(2, 4)), "rms_norm"),
        (lambda: nn.GroupNorm(2, 3), "GroupNorm: expected num_groups to divide"),
        (lambda: nn.GroupNorm(2, 4)(mg.zeros(2, 6)), "weight of shape"),
        (lambda: nn.GroupNorm(1, 4, affine=False)(mg.zeros(4)), "group_norm: expected input"),
        (lambda: nn.GroupNorm(3, 3)(mg.zeros(1, 3)), "more than 1 value a group"),
        (lambda: nn.InstanceNorm1d(3)(mg.zeros(2, 3, 1)), "more than 1 value a channel"),
        (lambda: nn.InstanceNorm1d(3)(mg.zeros(2, 4, 5)), "expected 3 channels"),
        (lambda: nn.InstanceNorm2d(3)(mg.zeros(3, 4)), "InstanceNorm2d: expected a 3-d or 4-d"),
        (lambda: nn.LocalResponseNorm(0)(mg.zeros(1, 2, 3)), "positive size"),
        (lambda: nn.PixelNorm()(mg.zeros(3)), "PixelNorm"),
        (lambda: nn.MinibatchStdDev(3)(mg.zeros(4, 2, 2, 2)), "groups of 3 to divide the batch"),
        (lambda: nn.MinibatchStdDev()(mg.zeros(4, 2)), "MinibatchStdDev: expected"),
        (lambda: nn.MinibatchStdDev(0), "positive integers"),
    ],
)  # fmt: skip
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_empty_batch_stays_empty():
    for layer in (nn.LayerNorm(4), nn.GroupNorm(1, 3), nn.InstanceNorm1d(3), nn.RMSNorm(4)):
        x = mg.zeros(0, 3, 4).requires_grad_()
        y = layer(x)
        y.sum().backward()
        assert y.shape == x.grad.shape == (0, 3, 4)
