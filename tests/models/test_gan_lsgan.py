r"""The least-squares GAN: a sample that is taken for real and is far off still has a gradient."""

from __future__ import annotations

from pathlib import Path

import pytest

import minigrad as mg
from minigrad import Tensor, nn
from models.gan import lsgan
from models.gan.common import Game
from models.gan.networks import Discriminator, Generator

pytest.importorskip("matplotlib")


class Sure(nn.Module):
    """A linear discriminator, whose score grows with the mean of the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(mg.tensor(40.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.slope * x.mean((1, 2, 3))


@pytest.mark.parametrize("level, score", [(0.5, 20.0), (0.9, 36.0)])
def test_the_gradient_at_a_fake_that_is_far_on_the_right_side(level: float, score: float) -> None:
    """With respect to the pixels: (score - 1) times the slope of the score, back to where the data
    are; for cross-entropy less than a thousandth of it."""
    slopes = {}
    for kind in (lsgan.LSGAN, Game):
        config = lsgan.Config(width=0.125)
        one = kind(config, "cpu", Generator(100, 0.125), Sure())
        fake = mg.full((1, 1, 28, 28), level, requires_grad=True)
        loss, _ = one.generator_loss(fake, ())
        loss.backward()
        slopes[kind] = fake.grad.numpy().sum()  # type: ignore[union-attr]
    assert slopes[lsgan.LSGAN] == pytest.approx(40 * (score - 1), rel=1e-5)  # towards the data
    assert abs(slopes[Game]) < 1e-3 * abs(slopes[lsgan.LSGAN])


def test_the_game_is_the_one_of_squares() -> None:
    config = lsgan.Config(width=0.125, latent=7)
    one = lsgan.LSGAN(config, "cpu", Generator(7, 0.125), Discriminator(0.125))
    x, y = mg.rand(2, 4, 1, 28, 28)
    loss, figures = one.discriminator_loss(x, mg.arange(4), y, ())
    real, fake = (one.discriminator(part).detach().numpy() for part in (x, y))
    assert loss.item() == pytest.approx(((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2)
    assert figures["discriminator_loss"] is loss
    loss, _ = one.generator_loss(y, ())
    assert loss.item() == pytest.approx(((fake - 1) ** 2).mean() / 2)


def test_it_learns(tmp_path: Path) -> None:
    """Budget: 300 steps at an eighth of the width, 20 s. One seed reached a score of 4.4 and a
    Fréchet distance of 5; an untrained generator has 1 and 26."""
    config = lsgan.Config(
        out=str(tmp_path / "run"),
        width=0.125,
        width_discriminator=None,
        batch_norm=False,
        lr=1e-3,
        schedule="constant",
        ema=0.0,
        train_images=4800,
        epochs=2,
        samples=1000,
    )
    figures = lsgan.train(config).metrics
    assert figures["judge_score"] >= 3 and figures["frechet"] <= 9
