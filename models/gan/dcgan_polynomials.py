r"""DCGAN on polynomials: images that a formula can check.

Paper: Radford, Metz and Chintala, Unsupervised representation learning with deep convolutional
generative adversarial networks, ICLR 2016, arXiv:1511.06434

Expect: a residual of 0.006, the share of a row's squared length that no polynomial of degree 4 has
(real images: 0; white noise: 0.875), and rows of length 0.93, which is short of 1, 0.19 off on the
average, at a quarter of the width

The images, 40 x 40, are polynomials in two variables of degree 0 to 4, each row scaled to length 1
(``minigrad.data.make_polynomials``). What a sample must be is known to the last digit: no judge is
asked, and a generator that makes something else that looks smooth is found out.

    residual   min over polynomials p of degree 4 of |row - p|^2 / |row|^2       real: 0
    row norm   |row|                                                             real: 1
    constant   share of images that are nearly constant, as all of degree 0      real: 0.24
    frechet    Fréchet distance of the rows' coefficients

The game and the losses of ``dcgan.py``; the noise has two dimensions only, so that the samples are
a surface in the space of all images:

    generator       z ~ N(0, I), 2 - 10 x 10 x 128 - batch norm - leaky ReLU - [twice as large -
                    convolution 3 x 3 - batch norm - leaky ReLU] with 128 and 64 filters -
                    convolution to 1 - tanh
    discriminator   [convolution 3 x 3 - batch norm - leaky ReLU - dropout .25] with 16, 32, 64, 128
                    filters and strides 2, 2, 2, 1, no batch norm in the first, a row and a column
                    of zeros after the second - one score

Pixels are as small as 1 / sqrt(40), so the discriminator sees sqrt(40) times as much.

The rates decide who is ahead. With half the rate in the discriminator (``--lr 2e-4``) its loss is
1.43 at the end: above 2 ln 2 = 1.39, it is worse than one that does not look, the samples are
grainy, and the residual is 0.038. With the defaults it is 1.39. The length of rows comes last (0.75
after three epochs): the discriminator's batch norm divides real and generated images by their own
deviations, and leaves of their size only what the biases before it show. The critic of
``wgan_polynomials.py`` has none, and its generator makes rows of length 1.00; its Fréchet distance
is 0.6 where this one's is 4.2 (as many real images: 0.09).

What a popular source reports as this generator's loss is its discriminator's accuracy: that one has
a loss of 1e-4 and is always right, so the generator has lost, and its 1,000 "epochs" are 1,000
batches. It says that degrees go up to 5, where ``randint(0, 5)`` ends with 4, and that the scaling
brings values to [-1, 1], where it brings *rows* to length 1. Here such a game would end with the
message that the discriminator has won.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from minigrad import Generator as RandomGenerator
from minigrad import Tensor, nn
from minigrad.data import DataLoader, TensorDataset, make_polynomials
from minigrad.evaluation import (
    frechet_distance,
    polynomial_coefficients,
    polynomial_residual,
    row_norms,
)
from minigrad.train import Result, Run, main
from minigrad.visualize import image_grid
from models.gan.common import Game, GameConfig, pictures, play
from models.gan.networks import filters, initialise

SIZE = 40  # pixels of a side
MEASURED = {
    "residual": {"samples": "val_residual"},
    "Fréchet distance": {"samples to validation images": "val_frechet"},
}
VALIDATION_SEED, TEST_SEED = 1_000_000, 2_000_000  # of the images that are held out


@dataclass
class PolynomialConfig(GameConfig):
    r"""The options that both GANs of polynomials have."""

    width: float = 0.25  #: multiplies the numbers of filters; 1: the source's
    latent: int = 2
    noise: Literal["uniform", "normal"] = "normal"
    schedule: Literal["constant", "cosine"] = "cosine"
    batch_size: int = 64
    ema: float = 0.99
    epochs: int = 10
    train_samples: int = 20_000  #: images to learn from
    validation: int = 1000  #: images, and samples, of the curves
    test_samples: int = 2000  #: images, and samples, of the test

    quick_values: ClassVar = {
        "epochs": 1,
        "width": 0.0625,
        "train_samples": 1500,
        "validation": 300,
        "test_samples": 300,
        "ema": 0.9,
        "film": 5,
    }

    def check(self) -> None:
        super().check()
        self.expect("width", self.width > 0, "a positive number")
        self.expect_at_least(2, "train_samples", "validation", "test_samples")


@dataclass
class Config(PolynomialConfig):
    r"""The options; the defaults give the figures above."""

    lr: float = 4e-4
    lr_generator: float | None = 1e-3


# ---------------------------------------------------------------------------------- the networks
class Generator(nn.Module):
    r"""z (N, latent) to images (N, 1, 40, 40) in [-1, 1]."""

    def __init__(self, latent: int = 2, width: float = 1.0) -> None:
        super().__init__()
        self.channels, first, second = filters(width, 128, 128, 64)
        self.dense = nn.Linear(latent, 10 * 10 * self.channels)
        layers: list[nn.Module] = [nn.BatchNorm2d(self.channels), nn.LeakyReLU(0.2)]
        before = self.channels
        for count in (first, second):
            layers += [
                nn.Upsample(scale_factor=2),
                nn.Conv2d(before, count, 3, padding=1),
                nn.BatchNorm2d(count),
                nn.LeakyReLU(0.2),
            ]
            before = count
        self.body = nn.Sequential(*layers, nn.Conv2d(before, 1, 3, padding=1), nn.Tanh())
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.body(self.dense(z).reshape(-1, self.channels, 10, 10))


class Discriminator(nn.Module):
    r"""Images (N, 1, 40, 40) to scores (N,).

    Args:
        counts: numbers of filters.
        norm: whether there are batch norm and dropout.
    """

    def __init__(
        self,
        counts: tuple[int, ...] = (16, 32, 64, 128),
        width: float = 1.0,
        norm: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 1
        for i, count in enumerate(filters(width, *counts)):
            layers.append(nn.Conv2d(before, count, 3, 1 if i == 3 else 2, padding=1))
            if i == 1:
                layers.append(nn.ZeroPad2d((0, 1, 0, 1)))  # (N, 32, 11, 11)
            if norm and i > 0:
                layers.append(nn.BatchNorm2d(count, momentum=0.2))
            layers.append(nn.LeakyReLU(0.2))
            if norm:
                layers.append(nn.Dropout(0.25))
            before = count
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.score = nn.Linear(6 * 6 * before, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.features(math.sqrt(SIZE) * x)).squeeze(1)


# ------------------------------------------------------------------------------------ the measure
def evaluate(images: np.ndarray, real: np.ndarray) -> dict[str, float]:
    r"""The figures of samples (N, 1, 40, 40) beside real images (M, 1, 40, 40)."""
    coefficients = [polynomial_coefficients(part).reshape(len(part), -1) for part in (images, real)]
    norms = row_norms(images)
    constant = images.std((1, 2, 3)) < 0.05 * np.sqrt((images**2).mean((1, 2, 3)))
    return {
        "residual": float(polynomial_residual(images).mean()),
        "row_norm": float(norms.mean()),
        "row_norm_deviation": float(np.abs(norms - 1).mean()),
        "constant": float(constant.mean()),
        "frechet": frechet_distance(*coefficients),
    }


def real_images(n: int, seed: int) -> np.ndarray:
    r"""Images (n, 1, 40, 40) that are held out."""
    return make_polynomials(n, SIZE, RandomGenerator(seed))[0]


def train_on_polynomials(
    config: PolynomialConfig, make: Callable[[Run], Game], title: str
) -> Result:
    r"""Play the game that ``make`` makes, and measure what came of it."""
    run = Run(config)
    data = TensorDataset(*make_polynomials(config.train_samples, SIZE))
    batch = min(config.batch_size, len(data))
    loader = DataLoader(data, batch, shuffle=True, drop_last=True, device=run.device)
    validation = real_images(config.validation, VALIDATION_SEED)
    game = make(run)

    def look(game: Game) -> dict[str, float]:
        figures = evaluate(game.samples(config.validation, seed=1)[0], validation)
        return {f"val_{name}": value for name, value in figures.items()}

    play(run, game, config, loader, look)
    test = real_images(config.test_samples, TEST_SEED)
    found = evaluate(game.samples(config.test_samples, seed=2)[0], test)
    floor = evaluate(real_images(config.test_samples, TEST_SEED + 1), test)
    run.picture("real", as_picture(test[:100]))
    pictures(run, game, title, MEASURED)
    return run.finish(
        game.shown,
        **found,
        constant_of_real=floor["constant"],
        frechet_floor=floor["frechet"],
    )


def as_picture(images: np.ndarray) -> np.ndarray:
    r"""Images of rows of length 1 as grey levels: middle grey is 0, white 2.5 times a typical
    pixel or more."""
    return image_grid(np.clip(0.5 + 0.2 * math.sqrt(SIZE) * images, 0, 1), columns=10)


class PolynomialGame(Game):
    r"""The game, with pictures of pixels that may be negative."""

    def picture(self) -> Any:
        return as_picture(self.samples(100)[0])


def train(config: Config) -> Result:
    r"""Play the game, and measure what came of it."""

    def make(run: Run) -> Game:
        generator = Generator(config.latent, config.width)
        return PolynomialGame(config, run.device, generator, Discriminator(width=config.width))

    return train_on_polynomials(config, make, "DCGAN on polynomials")


if __name__ == "__main__":
    main(train, Config)
