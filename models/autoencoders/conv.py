r"""Convolutional autoencoder with a code of 16 numbers, on MNIST.

Paper: Masci et al., Stacked convolutional auto-encoders, ICANN 2011 (pooling; here strides)

Expect: mean squared error of .008 or less on the test images after 7 epochs (PCA with 16
components: .0269, or .0254 with its values cut to [0, 1]; the mean image: .0675)

Convolutions with stride 2 encode, transposed convolutions decode, all 3 x 3, ReLUs between:

    encoder  conv(32, stride 2) - conv(64, stride 2) - linear(16)                  69,008
    decoder  linear(7*7*64) - convT(64, stride 2) - convT(32, stride 2) - convT(1)  108,993
    loss   = mean_ni (sigmoid(decoder(encoder(x)))_ni - x_ni)^2

The code is linear: no ReLU, so every direction has both signs. PCA is the honest thing to beat: it
is the best that *linear* maps to 16 numbers and back can do, so an error above .0269 means that the
network has learnt nothing worth its while.

``--latent 2`` is the same network with a code that one can look at (pictures ``latent`` and
``manifold``); ``plane.py`` makes that point with dense layers. ``denoising.py`` trains this network
on noisy inputs.

Where it differs from the paper: strides instead of max pooling, all layers at once instead of one
after another, and no classifier afterwards. Popular versions train for one epoch with batches of 32
and the rate at 1e-3; that is ``--epochs 1 --batch-size 32 --lr 1e-3 --schedule constant``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigrad import Generator, Tensor, nn
from minigrad.train import Result, Run, main
from models.autoencoders.common import (
    Autoencoder,
    AutoencoderConfig,
    encode,
    pca_error,
    picture_curves,
    picture_interpolation,
    picture_plane,
    picture_reconstructions,
    squared_error,
    train_autoencoder,
)
from models.mnist import load_mnist


@dataclass
class Config(AutoencoderConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 16  #: numbers in the code
    epochs: int = 7  #: passes over the training images
    batch_size: int = 32  #: images in a step

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent")


class Encoder(nn.Sequential):
    r"""Images (N, 1, 28, 28) to codes (N, latent), without a non-linearity at the end."""

    def __init__(self, latent: int = 16) -> None:
        super().__init__(
            nn.Conv2d(1, 32, 3, stride=2, padding=1),  # (N, 32, 14, 14)
            nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),  # (N, 64, 7, 7)
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(7 * 7 * 64, latent),
        )


class Decoder(nn.Sequential):
    r"""Codes (N, latent) to logits (N, 1, 28, 28)."""

    def __init__(self, latent: int = 16) -> None:
        super().__init__(
            nn.Linear(latent, 7 * 7 * 64),
            nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),  # 14 x 14
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),  # 28 x 28
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 3, padding=1),
        )


class ConvAutoencoder(Autoencoder):
    r"""Encoder and decoder: 178,001 parameters with 16 numbers in between."""

    def __init__(self, latent: int = 16) -> None:
        super().__init__(Encoder(latent), Decoder(latent))


def objective(model: Any, batch: Any, generator: Generator | None = None) -> dict[str, Tensor]:
    r"""The mean squared error of a pixel."""
    x, _ = batch
    return {"mse": squared_error(model(x), x)}


def train(config: Config) -> Result:
    r"""Train, keep the epoch that is best on the validation images, and test it."""
    run = Run(config)
    data = load_mnist(config.validation, config.train_images, config.test_images)
    model = ConvAutoencoder(config.latent).to(run.device)
    found = train_autoencoder(run, model, objective, config, data)

    picture_reconstructions(run, model, data[2], f"Through {config.latent} numbers and back")
    picture_interpolation(run, model, data[2])
    picture_curves(run, {"mean squared error": "mse"}, "Convolutional autoencoder on MNIST")
    if config.latent == 2:
        codes, labels = encode(run, model, data[2])
        picture_plane(run, model, codes, labels, "Codes of the test images")
    return run.finish(model, **found, pca_mse=pca_error(data[0], data[2], config.latent))


if __name__ == "__main__":
    main(train, Config)
