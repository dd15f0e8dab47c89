r"""Deep autoencoder, on MNIST.

Paper: Hinton and Salakhutdinov, Reducing the dimensionality of data, Science 313, 2006

Expect: binary cross-entropy of .083 nats a pixel or less on the test images after 40 epochs, where
.0581 is the pixels' own entropy (one hidden layer with as many numbers, ``dense.py``: .091)

Three layers to a code of 32 ReLUs, and three back:

    z    = relu(W3 relu(W2 relu(W1 x)))        784 - 128 - 64 - 32
    p    = sigmoid(W6 relu(W5 relu(W4 z)))      32 - 64 - 128 - 784, 222,384 parameters with biases
    loss = mean_ni -x_ni log p_ni - (1 - x_ni) log(1 - p_ni)

The code is as wide as that of ``dense.py``; what is gained is that images lie on a curved surface,
which a deep encoder and decoder can follow. The hidden layers cost capacity too: 784 - 128 can only
pass on what 128 ReLUs say of the image.

Where it differs from the paper: 784-1000-500-250-30 with logistic units and a linear code, trained
layer by layer as Boltzmann machines first, because deep networks were believed not to learn
otherwise. With ReLUs, Glorot's weights and Adam they do. Popular versions keep the rate at 1e-3 for
50 epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

from minigrad import nn
from minigrad.train import Result, Run, main
from models.autoencoders.common import (
    Autoencoder,
    AutoencoderConfig,
    picture_curves,
    picture_interpolation,
    picture_reconstructions,
    train_autoencoder,
)
from models.autoencoders.dense import objective
from models.mnist import load_mnist


@dataclass
class Config(AutoencoderConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 32  #: numbers in the code
    hidden: tuple[int, ...] = (128, 64)  #: units of the encoder's layers before it
    epochs: int = 40  #: passes over the training images

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent")
        self.expect("hidden", all(n > 0 for n in self.hidden), "numbers of units >= 1")


class DeepAutoencoder(Autoencoder):
    r"""784 - hidden - latent - hidden reversed - 784 logits, a ReLU after every layer but the last.

    Args:
        code_relu: also after the code; if false the code is linear.
    """

    def __init__(
        self, latent: int = 32, hidden: tuple[int, ...] = (128, 64), code_relu: bool = True
    ) -> None:
        widths = [784, *hidden, latent]

        def layers(sizes: list[int]) -> list[nn.Module]:
            pairs = zip(sizes, sizes[1:])
            return [part for a, b in pairs for part in (nn.Linear(a, b), nn.ReLU())]

        encoder, decoder = layers(widths), layers(widths[::-1])[:-1]
        super().__init__(
            encoder=nn.Sequential(nn.Flatten(), *(encoder if code_relu else encoder[:-1])),
            decoder=nn.Sequential(*decoder, nn.Unflatten(1, (1, 28, 28))),
        )


def train(config: Config) -> Result:
    r"""Train, keep the epoch that is best on the validation images, and test it."""
    run = Run(config)
    data = load_mnist(config.validation, config.train_images, config.test_images)
    model = DeepAutoencoder(config.latent, config.hidden).to(run.device)
    found = train_autoencoder(run, model, objective, config, data)

    picture_reconstructions(run, model, data[2], f"Through {config.latent} numbers and back")
    picture_interpolation(run, model, data[2])
    picture_curves(run, {"cross-entropy (nats a pixel)": "bce"}, "Deep autoencoder on MNIST")
    return run.finish(model, **found)


if __name__ == "__main__":
    main(train, Config)
