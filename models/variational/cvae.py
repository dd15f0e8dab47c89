r"""Conditional variational autoencoder on MNIST: the digit is told, the code is the hand.

Paper: Sohn, Lee and Yan, Learning structured output representation using deep conditional
generative models, NeurIPS 2015; Kingma et al., Semi-supervised learning with deep generative
models, NeurIPS 2014, arXiv:1406.5298 (its M2 with all labels known)

Expect: 97 % or more of the generated digits recognised as what was asked for, by a classifier that
was trained apart (a model that ignores the label: 10 %; real digits: 99.25), after 5 epochs

Everything is conditioned on the label y:

    log p(x|y) >= E_q(z|x,y) [log p(x|z, y)] - KL(q(z|x, y) || p(z))

The prior p(z) = N(0, I) is the same for all digits, so z need not say which digit it is, and the KL
charges for everything that it says. What is left for it is what digits have in common: slant,
thickness, size. One z decoded under all ten labels (a row of the picture ``styles``) is one hand
that writes ten digits. To generate a digit c, draw z from the prior and decode (z, c).

The label enters both networks as a one-hot vector. A dense layer makes an image of it, which is the
encoder's second channel; the decoder has it beside the code:

    encoder  y - linear(784) -> plane; (x, plane) - conv(32, stride 2) - conv(64, stride 2)
             - linear(16) - mean(2), log_var(2)                                            77,988
    decoder  (z, y) - linear(7*7*64) - convT(64, stride 2) - convT(32, stride 2) - convT(1)  96,449

Where it differs from the papers: convolutions instead of dense layers; Sohn et al. predict a
structured *output* from an image and learn the prior p(z|x), here the image is what is generated,
from a label, and the prior is fixed, as in M2. Popular versions call the plain VAE a special case
with weight 1 of the beta-VAE *and* this one the conditional of either: conditioning and the weight
of the KL (``--beta``) are independent of one another. They train for 30 epochs with batches of 128
at a constant rate (``--epochs 30 --batch-size 128 --lr 1e-3 --schedule constant``), or minimise 784
times the mean squared error (``--likelihood gaussian``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn
from minigrad.train import Result, Run, main
from minigrad.visualize import image_grid, plot_images, plot_latent
from models import judge
from models.variational.elbo import (
    Loaders,
    VariationalConfig,
    curves,
    evaluate,
    fit,
    kl_divergence,
    reconstruction_loss,
)
from models.variational.vae_conv import convolutions, transposed_convolutions


@dataclass
class Config(VariationalConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 2  #: dimensions of z
    hidden: int = 16  #: units of the dense layer of the encoder
    optimizer: Literal["adam", "rmsprop"] = "rmsprop"  #: rmsprop with alpha 0.9
    batch_size: int = 64  #: images in a step
    epochs: int = 5  #: passes over the training images
    generated: int = 10_000  #: images that the judge looks at, as many of each digit

    quick_values: ClassVar = {
        **VariationalConfig.quick_values,
        "train_images": 2000,
        "generated": 1000,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent", "hidden")
        self.expect_at_least(10, "generated")


class Encoder(nn.Module):
    r"""Images (N, 1, 28, 28) and one-hot labels (N, 10) to mean and log-variance (N, latent)."""

    def __init__(self, latent: int = 2, hidden: int = 16) -> None:
        super().__init__()
        self.plane = nn.Linear(10, 784)
        self.layers = convolutions(2, hidden)
        self.mean = nn.Linear(hidden, latent)
        self.log_var = nn.Linear(hidden, latent)

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        plane = self.plane(y).reshape(-1, 1, 28, 28)
        h = self.layers(mg.cat([x, plane], 1))  # (N, 2, 28, 28) -> (N, hidden)
        return self.mean(h), self.log_var(h)


class Decoder(nn.Module):
    r"""Codes (N, latent) and one-hot labels (N, 10) to logits (N, 1, 28, 28)."""

    def __init__(self, latent: int = 2) -> None:
        super().__init__()
        self.layers = transposed_convolutions(latent + 10)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.layers(mg.cat([z, y], 1))


class CVAE(nn.Module):
    r"""Encoder, a sample of the code, decoder; all are told the label."""

    def __init__(self, latent: int = 2, hidden: int = 16) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = Encoder(latent, hidden)
        self.decoder = Decoder(latent)

    def forward(
        self, x: Tensor, labels: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        y = one_hot(labels, x)
        mean, log_var = self.encoder(x, y)
        z = mg.gaussian_sample(mean, log_var, generator=generator)
        return self.decoder(z, y), mean, log_var

    def generate(self, z: Tensor, labels: Tensor) -> Tensor:
        r"""Codes (N, latent) and labels (N,) to the means (N, 1, 28, 28) of p(x|z, y)."""
        with mg.no_grad():
            return self.decoder(z, one_hot(labels, z)).sigmoid()


def one_hot(labels: Tensor, like: Tensor) -> Tensor:
    r"""Labels (N,) to rows (N, 10) of zeros and a one, of the dtype of ``like``."""
    return nn.functional.one_hot(labels, 10).to(like.dtype)


def generate_digits(
    model: CVAE, n: int, device: object = "cpu", seed: int = 0
) -> tuple[Tensor, np.ndarray]:
    r"""``n`` images from the prior and the digits asked for, 0 to 9 in turn."""
    labels = np.arange(n) % 10
    z = mg.randn(n, model.latent, generator=Generator(seed), device=device)
    images = [
        model.generate(z[i : i + 500], mg.tensor(labels[i : i + 500], device=device))
        for i in range(0, n, 500)
    ]
    return mg.cat(images, 0), labels


def train(config: Config) -> Result:
    r"""Minimise the negative ELBO of p(x|y), go back to the best epoch, and have digits judged."""
    run = Run(config)
    loaders = Loaders.of_mnist(config, run)
    model = CVAE(config.latent, config.hidden).to(run.device)

    def terms(x: Tensor, labels: Tensor, generator: Generator | None) -> dict[str, Tensor]:
        logits, mean, log_var = model(x, labels, generator)
        return {
            "reconstruction": reconstruction_loss(logits, x, config.likelihood),
            "kl": kl_divergence(mean, log_var),
        }

    fit(run, model, terms, config, loaders)
    test = evaluate(model, terms, loaders.test)
    model.eval()
    images, labels = generate_digits(model, config.generated, run.device)
    pictures(run, model, loaders)
    return run.finish(
        model,
        recognised_accuracy=judge.recognised(images, labels),
        **{f"test_{name}": value for name, value in test.items()},
        judge_score=judge.score(images),
        val_negative_elbo=run.best["value"],
        best_epoch=run.best["epoch"],
    )


def pictures(run: Run, model: CVAE, loaders: Loaders) -> None:
    r"""Reconstructions, one hand a row, samples, curves, and the map of a plane."""
    x, labels = next(iter(loaders.test))
    with mg.no_grad():
        mean, _ = model.encoder(x, one_hot(labels, x))
    rows = {"test": x[:12], "decoded": model.generate(mean[:12], labels[:12])}
    run.picture("reconstructions", plot_images(rows, f"{model.latent} numbers and the digit"))

    # Ten hands: evenly along the first dimension, or what the prior gives where there are more.
    z = np.zeros((10, model.latent), np.float32)
    if model.latent == 2:
        angle = 2 * np.pi * np.arange(10) / 10
        z = 1.5 * np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)
    else:
        z = mg.randn(10, model.latent, generator=Generator(0)).numpy()
    hands = mg.tensor(z.repeat(10, axis=0), device=run.device)  # each hand ten times
    digits = mg.tensor(np.tile(np.arange(10), 10), device=run.device)
    run.picture("styles", image_grid(model.generate(hands, digits), columns=10))
    samples, _ = generate_digits(model, 100, run.device)
    run.picture("samples", image_grid(samples, columns=10))
    curves(run, "Conditional VAE on MNIST")
    if model.latent == 2:
        title = "Posterior means of the test images: the digit is not in them"
        codes, known = encode_all(model, loaders)
        run.picture("latent", plot_latent(codes, known, title))


def encode_all(model: CVAE, loaders: Loaders) -> tuple[np.ndarray, np.ndarray]:
    r"""The posterior means (N, latent) of the test images, and their labels (N,)."""
    means, labels = [], []
    with mg.no_grad():
        for x, y in loaders.test:
            means.append(model.encoder(x, one_hot(y, x))[0].cpu().numpy())
            labels.append(y.cpu().numpy())
    return np.concatenate(means), np.concatenate(labels)


if __name__ == "__main__":
    main(train, Config)
