r"""CGAN and ACGAN: who is told what, what the losses say, that they make what is asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from models import judge
from models.gan import acgan, cgan
from models.gan.networks import Generator, TwoHeaded, one_hot

pytest.importorskip("matplotlib")

TINY: dict[str, Any] = {"width": 0.125, "latent": 7}


def count(module: nn.Module) -> int:
    """As the sources count: batch norm's statistics too."""
    statistics = sum(b.numel() for n, b in module.named_buffers() if "running" in n)
    return sum(p.numel() for p in module.parameters()) + statistics


def told(**options: Any) -> cgan.CGAN:
    config = cgan.Config(**{**TINY, **options})
    return cgan.CGAN(config, "cpu", Generator(17, 0.125), cgan.ConditionalDiscriminator(0.125))


def saying(**options: Any) -> acgan.ACGAN:
    config = acgan.Config(**{**TINY, **options})
    return acgan.ACGAN(config, "cpu", Generator(17, 0.125), TwoHeaded(10, 0.125))


def test_parameter_counts() -> None:
    assert count(Generator(110, 1.0)) == 1_364_225
    assert count(cgan.ConditionalDiscriminator(1.0)) == 1_090_001
    assert count(TwoHeaded(10, 1.0)) == 1_606_283


@pytest.mark.parametrize("game", [told, saying])
def test_what_the_generator_is_given(game: Any) -> None:
    mg.manual_seed(0)
    one = game()
    z, c = one.draw(5000)
    assert z.shape == (5000, 7) and c.shape == (5000, 10) and c.dtype == mg.float32
    assert (c.numpy().sum(1) == 1).all() and abs(c.numpy().mean(0) - 0.1).max() < 0.02
    _, c = one.draw(3, mg.tensor([7, 0, 7]))
    assert c.argmax(1).tolist() == [7, 0, 7]
    for a, b in zip(one.draw(4, None, mg.Generator(1)), one.draw(4, None, mg.Generator(1))):
        assert a.tolist() == b.tolist()
    _, asked = one.samples(20)
    assert asked.tolist() == [*range(10), *range(10)]


def test_the_discriminator_is_told_of_both_what_they_should_show() -> None:
    """A real image with its label, a generated one with what it was made of."""
    one = told()
    seen: list[tuple[mg.Tensor, mg.Tensor]] = []

    def score(x: mg.Tensor, c: mg.Tensor) -> mg.Tensor:
        seen.append((x, c))
        return x.mean((1, 2, 3)) * 0

    one.discriminator.forward = score  # type: ignore[method-assign]
    real, fake, labels = mg.rand(3, 1, 28, 28), mg.rand(3, 1, 28, 28), mg.tensor([4, 1, 1])
    inputs = one.draw(3, mg.tensor([9, 8, 7]))
    loss, _ = one.discriminator_loss(real, labels, fake, inputs)
    assert loss.item() == pytest.approx(2 * math.log(2))
    assert seen[0][0] is real and seen[0][1].argmax(1).tolist() == [4, 1, 1]
    assert seen[1][0] is fake and seen[1][1].argmax(1).tolist() == [9, 8, 7]
    loss, _ = one.generator_loss(fake, inputs)
    assert loss.item() == pytest.approx(math.log(2))
    assert seen[2][0] is fake and seen[2][1].argmax(1).tolist() == [9, 8, 7]


def test_the_plane_reaches_the_score() -> None:
    d, x = cgan.ConditionalDiscriminator(0.125), mg.rand(1, 1, 28, 28).expand(10, 1, 28, 28)
    scores = d(x, one_hot(mg.arange(10))).detach().numpy()
    assert scores.shape == (10,) and len(np.unique(scores)) == 10


def test_the_losses_of_an_acgan() -> None:
    """With logits that say nothing each cross-entropy is ln 10; it is added for real and generated
    images, the former against their labels, the latter against what was asked for."""
    one, weighted = saying(), saying(class_weight=0.5)
    for game in (one, weighted):
        game.discriminator.forward = lambda x: (x.mean((1, 2, 3)) * 0, mg.zeros(len(x), 10))  # type: ignore[method-assign]
    x, labels, inputs = mg.rand(3, 1, 28, 28), mg.tensor([4, 1, 1]), one.draw(3)
    loss, figures = one.discriminator_loss(x, labels, x, inputs)
    assert loss.item() == pytest.approx(2 * math.log(2) + 2 * math.log(10))
    assert figures["discriminator_loss"].item() == pytest.approx(2 * math.log(2))
    loss, _ = weighted.discriminator_loss(x, labels, x, inputs)
    assert loss.item() == pytest.approx(2 * math.log(2) + math.log(10))
    assert one.generator_loss(x, inputs)[0].item() == pytest.approx(math.log(2) + math.log(10))

    answers = iter([mg.tensor([4, 1, 1]), mg.tensor([9, 8, 7])])
    one.discriminator.forward = lambda x: (x.mean((1, 2, 3)) * 0, 30 * one_hot(next(answers)))  # type: ignore[method-assign]
    _, figures = one.discriminator_loss(x, labels, x, one.draw(3, mg.tensor([9, 8, 7])))
    assert figures["real_class"].item() < 1e-6 and figures["fake_class"].item() < 1e-6


@pytest.mark.parametrize("game", [told, saying])
def test_who_stands_still(game: Any) -> None:
    """To the last bit, with the second head and the plane too."""
    one = game()
    one.generator.train()

    def values(module: nn.Module) -> dict[str, bytes]:
        return {n: v.detach().numpy().tobytes() for n, v in module.state_dict().items()}

    g, d = values(one.generator), values(one.discriminator)
    one.discriminator_step(mg.rand(20, 1, 28, 28), mg.arange(20) % 10)
    assert values(one.generator) == g
    assert not d.items() & values(one.discriminator).items()
    g, d = values(one.generator), values(one.discriminator)
    one.generator_step(4)
    assert values(one.discriminator) == d and not g.items() & values(one.generator).items()


def test_diversity_sees_a_class_that_always_looks_the_same() -> None:
    """The figure beside the accuracy: ten images, a hundred times each, are recognised."""
    from minigrad.data import MNIST

    images, labels = MNIST(train=False).arrays()
    ten = np.stack([images[labels == k][3] for k in range(10)])
    assert judge.recognised(np.tile(ten, (30, 1, 1, 1)), np.arange(300) % 10) == 1.0
    assert judge.diversity(np.tile(ten, (30, 1, 1, 1)), np.arange(300) % 10) < 1e-6


# ------------------------------------------------------------------------------------ learning
SMALL: dict[str, Any] = {"width": 0.125, "batch_size": 32, "epochs": 1, "train_images": 16_000}
SMALL |= {"validation": 500, "samples": 1000, "schedule": "constant", "ema": 0.99}
SMALL |= {"width_discriminator": None, "batch_norm": False}
BETTER: dict[str, Any] = {"width_discriminator": 0.5, "batch_norm": True, "schedule": "cosine"}


def test_acgan_learns(tmp_path: Path) -> None:
    """500 steps of 32 images at an eighth of the width: 60 % recognised as what was asked for, with
    half of the real diversity. Two seeds gave 78.9 and 76.1 %, 0.63 and 0.70. Miss: 10 %; of ten
    images by heart a diversity of 0."""
    metrics = acgan.train(acgan.Config(out=str(tmp_path / "run"), **SMALL)).metrics
    assert metrics["recognised_accuracy"] >= 0.6 and metrics["diversity"] >= 0.5


@pytest.mark.slow
def test_cgan_learns(tmp_path: Path) -> None:
    """A class beside the image is learned later than one in the loss. The same budget, with a
    better discriminator: 22 % recognised as what was asked for. Seed 0 gave 33.9 %, diversity 0.93.
    Miss: 10 %."""
    better = {**BETTER, "width_discriminator": 0.25}
    metrics = cgan.train(cgan.Config(out=str(tmp_path / "run"), **{**SMALL, **better})).metrics
    assert metrics["recognised_accuracy"] >= 0.22 and metrics["diversity"] >= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("model, body, bar", [(cgan, BETTER, 0.8), (acgan, {}, 0.85)])
def test_digits_to_order(tmp_path: Path, model: Any, body: dict[str, Any], bar: float) -> None:
    """An epoch in steps of 32 images at a quarter of the width, two to four minutes: 80 % and 85 %
    recognised as what was asked for, every class between 5 and 20 %. Seed 0 gave 85.9 and 93.1 %,
    diversity 1.01 and 0.82. Miss: 10 %."""
    longer = {**SMALL, "width": 0.25, "train_images": None, "validation": 5000, "samples": 5000}
    config = model.Config(out=str(tmp_path / "run"), **{**longer, **body, "ema": 0.995})
    metrics = model.train(config).metrics
    assert metrics["recognised_accuracy"] >= bar and metrics["diversity"] >= 0.5
    assert 0.05 <= metrics["least_class"] <= metrics["greatest_class"] <= 0.2
