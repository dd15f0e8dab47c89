r"""The GAN of dense layers: its networks, and that it learns some digits at once."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import minigrad as mg
from minigrad import nn
from models.gan import dense

pytest.importorskip("matplotlib")


def test_networks() -> None:
    generator, discriminator = dense.Generator(), dense.Discriminator()
    numbers = [sum(p.numel() for p in m.parameters()) for m in (generator, discriminator)]
    assert numbers == [111_568, 108_801]
    x = generator(mg.randn(3, 32))
    assert x.shape == (3, 1, 28, 28) and 0 <= x.min().item() <= x.max().item() <= 1
    assert discriminator(x).shape == (3,)
    for layer in discriminator.modules():
        if isinstance(layer, nn.Linear) and layer.weight.numel() > 5000:  # lecun: 1 / fan_in
            deviation = layer.weight.detach().numpy().std()
            assert deviation == pytest.approx(1 / math.sqrt(layer.in_features), rel=0.03)
            assert not layer.bias.detach().numpy().any()


def test_units_normalise_themselves() -> None:
    """Through all hidden layers the mean stays near 0 and the variance near 1; with ReLUs from the
    same weights the variance falls to a quarter and less."""
    mg.manual_seed(0)
    h = r = mg.randn(2000, 784)
    for layer in dense.Discriminator().body:
        if isinstance(layer, nn.Linear) and layer.out_features > 1:
            h, r = nn.functional.selu(layer(h)), nn.functional.relu(layer(r))
    seen, other = h.detach().numpy(), r.detach().numpy()
    assert abs(seen.mean()) < 0.1 and 0.8 < seen.var() < 1.2 and other.var() < 0.25


def test_it_learns_some_digits(tmp_path: Path) -> None:
    """Budget: 2 epochs, 858 steps, 10 s. Two seeds reached a Fréchet distance of 8.6 and 9.6 and a
    score of 3.2 and 3.0; untrained it is 31 and 1. Both seeds lack a digit."""
    config = dense.Config(out=str(tmp_path / "run"), epochs=2, samples=1000)
    figures = dense.train(config).metrics
    assert figures["frechet"] <= 12 and figures["judge_score"] >= 2.5
    assert figures["least_class"] < 0.01  # loses digits, as it says
