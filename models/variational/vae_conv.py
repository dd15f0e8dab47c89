r"""Convolutional variational autoencoder with a two-dimensional code, on MNIST.

Paper: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114

Expect: negative ELBO of 150 to 160 nats on the test images after 4 epochs, digits recognised from
the two numbers of the code with 62 to 71 % accuracy (a collapsed posterior: 206 nats, 10 %)

The model and its bound are those of ``vae.py``: with a standard normal prior on z,

    log p(x) >= E_q [log p(x|z)] - KL(q(z|x) || p(z))                    (the ELBO)
    KL        = 1/2 sum_j (exp(log_var_j) + mean_j^2 - 1 - log_var_j)
    z         = mean + exp(log_var / 2) * eps,   eps ~ N(0, I)

Convolutions with stride 2 encode, transposed convolutions decode:

    encoder  conv(32, stride 2) - conv(64, stride 2) - linear(16) - mean(2), log_var(2)   69,076
    decoder  linear(7*7*64) - convT(64, stride 2) - convT(32, stride 2) - convT(1)        65,089

all with 3 x 3 filters and ReLUs between. Two dimensions are few for ten digits; they are chosen
because one can look at them. The pictures show where the encoder puts the test images
(``latent``), what the decoder makes of each place of the plane (``manifold``), reconstructions,
samples from the prior, and the curves.

Variants that are found in popular sources, as options:

- ``--likelihood gaussian``: 784 times the mean squared error instead of the cross-entropy. That is
  -log p(x|z), but for a constant, of a Gaussian with variance 1/2 for each pixel: another model,
  whose bound is not comparable with that of the Bernoulli pixels.
- ``--kl-average``: the KL averaged over the latent dimensions instead of summed, which weighs it
  half as much here: no bound on log p(x) any more. The figures reported are those of the ELBO in
  any case.
- ``--batch-norm --hidden 20``: batch norm after each convolution and the dense layer.

Where it differs from the paper: the paper has one hidden layer of tanh units and Adagrad. Grey
pixels are Bernoulli targets as they are, so 45.5 nats an image cannot be undercut (see ``vae.py``).
Popular versions train for 30 epochs with batches of 128 at a constant rate of 0.001
(``--epochs 30 --batch-size 128 --lr 1e-3 --schedule constant``), which reached 160 nats after 3
epochs here. Batches of 64 and a rate that falls from 0.002 along half a cosine reached 153 in as
many, and 4 epochs take minutes on two cores. RMSprop is the sources' choice, and a good one: in the
runs tried with Adam, one of the two dimensions stayed idle for most of the first epoch. The epoch
that is best on 5,000 held-out training images is the one that is tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import minigrad as mg
from minigrad import Generator, Tensor, nn
from minigrad.evaluation import knn_accuracy
from minigrad.train import Result, Run, main
from models.variational.elbo import (
    Loaders,
    VariationalConfig,
    encode,
    evaluate,
    fit,
    kl_divergence,
    pictures,
    reconstruction_loss,
)


@dataclass
class Config(VariationalConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 2  #: dimensions of z
    hidden: int = 16  #: units of the dense layer of the encoder
    batch_norm: bool = False  #: after each layer of the encoder but the last
    kl_average: bool = False  #: average the KL over the latent dimensions in training
    optimizer: Literal["adam", "rmsprop"] = "rmsprop"  #: rmsprop with alpha 0.9
    batch_size: int = 64  #: images in a step
    epochs: int = 4  #: passes over the training images

    quick_values: ClassVar = {**VariationalConfig.quick_values, "train_images": 2000}

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent", "hidden")


def convolutions(channels: int, hidden: int, batch_norm: bool = False) -> nn.Sequential:
    r"""The body of an encoder: images (N, channels, 28, 28) to features (N, hidden)."""

    def normed(layer: nn.Module, norm: nn.Module) -> list[nn.Module]:
        return [layer, norm, nn.ReLU()] if batch_norm else [layer, nn.ReLU()]

    return nn.Sequential(
        *normed(nn.Conv2d(channels, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32)),  # 14 x 14
        *normed(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64)),  # 7 x 7
        nn.Flatten(),  # (N, 3136)
        *normed(nn.Linear(7 * 7 * 64, hidden), nn.BatchNorm1d(hidden)),
    )


def transposed_convolutions(features: int) -> nn.Sequential:
    r"""A decoder: what (N, features) a picture is made of to logits (N, 1, 28, 28)."""
    return nn.Sequential(
        nn.Linear(features, 7 * 7 * 64),
        nn.Unflatten(1, (64, 7, 7)),
        nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),  # 14 x 14
        nn.ReLU(),
        nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),  # 28 x 28
        nn.ReLU(),
        nn.ConvTranspose2d(32, 1, 3, padding=1),
    )


class Encoder(nn.Module):
    r"""Images (N, 1, 28, 28) to mean and log-variance (N, latent) of q(z|x)."""

    def __init__(self, latent: int = 2, hidden: int = 16, batch_norm: bool = False) -> None:
        super().__init__()
        self.layers = convolutions(1, hidden, batch_norm)
        self.mean = nn.Linear(hidden, latent)
        self.log_var = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.layers(x)
        return self.mean(h), self.log_var(h)


class Decoder(nn.Module):
    r"""Codes (N, latent) to logits (N, 1, 28, 28); their sigmoids are the means of p(x|z)."""

    def __init__(self, latent: int = 2) -> None:
        super().__init__()
        self.layers = transposed_convolutions(latent)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class VAE(nn.Module):
    r"""Encoder, a sample of the code, decoder."""

    def __init__(self, latent: int = 2, hidden: int = 16, batch_norm: bool = False) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = Encoder(latent, hidden, batch_norm)
        self.decoder = Decoder(latent)

    def forward(
        self, x: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encoder(x)
        z = mg.gaussian_sample(mean, log_var, generator=generator)
        return self.decoder(z), mean, log_var


def train(config: Config) -> Result:
    r"""Train, keep the epoch with the best validation ELBO, and test it."""
    run = Run(config)
    loaders = Loaders.of_mnist(config, run)
    model = VAE(config.latent, config.hidden, config.batch_norm).to(run.device)

    def terms(x: Tensor, _: Tensor, generator: Generator | None) -> dict[str, Tensor]:
        logits, mean, log_var = model(x, generator)  # x: (N, 1, 28, 28)
        return {
            "reconstruction": reconstruction_loss(logits, x, config.likelihood),
            "kl": kl_divergence(mean, log_var),
        }

    kl_weight = config.beta / config.latent if config.kl_average else config.beta
    fit(run, model, terms, config, loaders, {"kl": kl_weight})
    test = evaluate(model, terms, loaders.test)
    codes, labels = encode(model, model.encoder, loaders.test)
    known = encode(model, model.encoder, loaders.known)
    model.eval()
    pictures(
        run,
        loaders.test,
        model.encoder,
        model.decoder,
        model.latent,
        "Convolutional VAE on MNIST",
        codes,
        labels,
    )
    return run.finish(
        model,
        **{f"test_{name}": value for name, value in test.items()},
        knn_accuracy=knn_accuracy(codes, labels, *known),
        val_negative_elbo=run.best["value"],
        best_epoch=run.best["epoch"],
    )


if __name__ == "__main__":
    main(train, Config)
