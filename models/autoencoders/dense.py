r"""Autoencoder of one hidden layer, on MNIST.

Paper: Bourlard and Kamp, Auto-association by multilayer perceptrons, Biological Cybernetics, 1988

Expect: binary cross-entropy of .093 nats a pixel or less on the test images after 30 epochs, where
.0581 is the pixels' own entropy (the mean image: .263), and a squared error of .010 (PCA with 32
components: .017)

784 pixels through 32 ReLUs and back:

    z     = relu(W1 x + b1)                      x: (N, 784), z: (N, 32)
    p     = sigmoid(W2 z + b2)                   (N, 784), 50,992 parameters
    loss  = mean_ni -x_ni log p_ni - (1 - x_ni) log(1 - p_ni)

The cross-entropy is computed on the logits W2 z + b2, where it cannot overflow. Grey pixels are
targets as they are; the best answer to a pixel of 0.4 is p = 0.4, which costs 0.67 nats. So the
loss does not go to 0: with p = x everywhere it is the mean entropy of the pixels, .0581 on the test
images (45.5 nats an image). Whoever prints less has made a mistake, and "loss .09" means less than
it seems: .032 above a perfect copy.

``deep.py`` puts more layers around the same 32 numbers. Where it differs from the paper: which has
linear outputs and the squared error, for which a single hidden layer gains nothing over PCA;
sigmoid and cross-entropy are what makes this network better than it. Popular versions keep the rate
at 1e-3 for 50 epochs and print the error on the images that they chose the epoch by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigrad import Generator, Tensor, nn
from minigrad.train import Result, Run, main
from models.autoencoders.common import (
    Autoencoder,
    AutoencoderConfig,
    cross_entropy,
    picture_curves,
    picture_interpolation,
    picture_reconstructions,
    squared_error,
    train_autoencoder,
)
from models.mnist import load_mnist


@dataclass
class Config(AutoencoderConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 32  #: units of the hidden layer
    epochs: int = 30  #: passes over the training images

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent")


class DenseAutoencoder(Autoencoder):
    r"""784 -> latent, ReLU -> 784 logits."""

    def __init__(self, latent: int = 32) -> None:
        super().__init__(
            encoder=nn.Sequential(nn.Flatten(), nn.Linear(784, latent), nn.ReLU()),
            decoder=nn.Sequential(nn.Linear(latent, 784), nn.Unflatten(1, (1, 28, 28))),
        )


def objective(model: Any, batch: Any, generator: Generator | None = None) -> dict[str, Tensor]:
    r"""The cross-entropy a pixel; beside it the squared error, which is not minimised."""
    x, _ = batch
    logits = model(x)
    return {"bce": cross_entropy(logits, x), "mse": squared_error(logits, x)}


def train(config: Config) -> Result:
    r"""Train, keep the epoch that is best on the validation images, and test it."""
    run = Run(config)
    data = load_mnist(config.validation, config.train_images, config.test_images)
    model = DenseAutoencoder(config.latent).to(run.device)
    found = train_autoencoder(run, model, objective, config, data)

    picture_reconstructions(run, model, data[2], f"Through {config.latent} numbers and back")
    picture_interpolation(run, model, data[2])
    picture_curves(run, {"cross-entropy (nats a pixel)": "bce"}, "Dense autoencoder on MNIST")
    return run.finish(model, **found)


if __name__ == "__main__":
    main(train, Config)
