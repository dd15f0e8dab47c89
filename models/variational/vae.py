r"""Variational autoencoder on MNIST.

Paper: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114

Expect: negative ELBO of 112 nats or less on the test images after 5 epochs, KL between 15 and 30
(a collapsed posterior: 206 nats; the class means as decoder: 172; less than 45.5 is impossible)

A latent code z with a standard normal prior explains an image x through the decoder p(x|z); the
encoder q(z|x) approximates the posterior p(z|x):

    p(z)   = N(z; 0, I)                                  z: (N, 20)
    p(x|z) = prod_i Bernoulli(x_i; sigmoid(logits_i(z)))      784 pixels
    q(z|x) = N(z; mean(x), diag exp(log_var(x)))

Training maximises a lower bound of the likelihood, the ELBO:

    log p(x) >= E_q [log p(x|z)] - KL(q(z|x) || p(z))
    KL        = 1/2 sum_j (exp(log_var_j) + mean_j^2 - 1 - log_var_j)

The gap is KL(q(z|x) || p(z|x)), the divergence to the *true* posterior. The expectation is
estimated with one reparameterised sample, through which gradients reach the encoder:

    z = mean + exp(log_var / 2) * eps,   eps ~ N(0, I)

Both terms are *sums*, over pixels and over latent dimensions, averaged over the images of a batch.
An average over pixels would weigh the KL 784 times as much, and the code would collapse.

With K samples the importance-weighted bound (Burda, Grosse and Salakhutdinov, 2016) is tighter:

    log p(x) >= E log 1/K sum_k p(x, z_k) / q(z_k|x),    increasing in K; K = 1 is the ELBO

Where it differs from the paper: 256 ReLUs instead of 500 tanh units, Adam instead of Adagrad. Grey
pixels are used as Bernoulli targets as they are, as most code does: their cross-entropy cannot
fall below their own entropy, 45.5 nats an image on the test images, and is not comparable with
figures for binarised MNIST (``--binarize`` draws pixels afresh at each use). The last epoch is
tested; the validation images are for the curves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader
from minigrad.data.transforms import BernoulliBinarize, Compose, ToTensor
from minigrad.train import Mean, Result, Run, RunConfig, main
from minigrad.visualize import image_grid, plot_curves, plot_images
from models.mnist import load_mnist


@dataclass
class Config(RunConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 20  #: dimensions of z
    hidden: int = 256  #: units of the hidden layer of encoder and decoder
    lr: float = 1e-3  #: learning rate of Adam
    batch_size: int = 100  #: images in a step
    epochs: int = 5  #: passes over the training images
    binarize: bool = False  #: draw each pixel as 0 or 1 with its grey level as probability
    iwae_images: int = 500  #: test images for the importance-weighted bound with 100 samples
    validation: int = 5000  #: training images held out for the curves
    train_images: int | None = None  #: train on this many only
    test_images: int | None = None  #: test on this many only

    quick_values: ClassVar = {
        "epochs": 1,
        "train_images": 6000,
        "validation": 500,
        "test_images": 1000,
        "iwae_images": 50,
    }

    def check(self) -> None:
        self.expect_at_least(
            1, "latent", "hidden", "batch_size", "epochs", "validation", "iwae_images"
        )
        self.expect("lr", self.lr > 0, "a positive number")


class VAE(nn.Module):
    r"""Encoder 784 -> hidden -> (mean, log_var), decoder latent -> hidden -> 784 logits."""

    def __init__(self, latent: int = 20, hidden: int = 256) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(nn.Linear(784, hidden), nn.ReLU())
        self.mean = nn.Linear(hidden, latent)
        self.log_var = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.ReLU(), nn.Linear(hidden, 784))

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Pixels (N, 784) to mean and log-variance (N, latent) of q(z|x)."""
        h = self.encoder(x)
        return self.mean(h), self.log_var(h)

    def decode(self, z: Tensor) -> Tensor:
        r"""Codes (N, latent) to the logits (N, 784) of p(x|z)."""
        return self.decoder(z)

    def forward(
        self, x: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(x)
        z = mg.gaussian_sample(mean, log_var, generator=generator)
        return self.decode(z), mean, log_var


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""KL(N(mean, exp(log_var)) || N(0, I)), summed over the latent dimensions: (N, D) -> (N,)."""
    return 0.5 * (log_var.exp() + mean**2 - 1.0 - log_var).sum(1)


def reconstruction_loss(logits: Tensor, x: Tensor) -> Tensor:
    r"""-log p(x|z), summed over the pixels: (N, 784) -> (N,)."""
    return nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


def importance_weighted_bound(
    model: VAE, x: Tensor, samples: int, generator: Generator | None = None
) -> Tensor:
    r"""E log 1/K sum_k w_k with log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x): (N,) nats."""
    n = len(x)
    mean, log_var = model.encode(x)
    mean = mean.unsqueeze(0).expand(samples, n, model.latent)  # (K, N, D)
    log_var = log_var.unsqueeze(0).expand(samples, n, model.latent)
    z = mg.gaussian_sample(mean, log_var, generator=generator)
    log_prior = -0.5 * (z**2 + math.log(2 * math.pi)).sum(2)  # (K, N)
    log_q = -0.5 * ((z - mean) ** 2 * (-log_var).exp() + log_var + math.log(2 * math.pi)).sum(2)
    logits = model.decode(z.reshape(samples * n, model.latent))
    repeated = x.unsqueeze(0).expand(samples, n, x.shape[1]).reshape(samples * n, x.shape[1])
    log_likelihood = -reconstruction_loss(logits, repeated).reshape(samples, n)
    log_weights = log_likelihood + log_prior - log_q
    return mg.logsumexp(log_weights, 0) - math.log(samples)


def evaluate(
    model: VAE, loader: Iterable[tuple[Tensor, Tensor]], seed: int = 0
) -> dict[str, float]:
    r"""Means over all images of the negative ELBO and its two parts, with one sample of z each,
    from a generator of its own, so that evaluating does not change the training that follows."""
    generator = Generator(seed)
    parts = {"reconstruction": Mean(), "kl": Mean()}
    with mg.no_grad():
        for images, _ in loader:
            x = images.flatten(1)
            logits, mean, log_var = model(x, generator)
            parts["reconstruction"].update(reconstruction_loss(logits, x).mean(), len(x))
            parts["kl"].update(kl_divergence(mean, log_var).mean(), len(x))
    values = {name: mean.compute() for name, mean in parts.items()}
    return {"negative_elbo": values["reconstruction"] + values["kl"], **values}


def train(config: Config) -> Result:
    r"""Train for the epochs of the configuration, and test what came of it."""
    run = Run(config)
    transform = Compose([ToTensor(), BernoulliBinarize()]) if config.binarize else None
    train_data, val_data, test_data = load_mnist(
        config.validation, config.train_images, config.test_images, transform
    )
    loader = DataLoader(train_data, config.batch_size, shuffle=True, device=run.device)
    val_loader = DataLoader(val_data, 1000, device=run.device)
    test_loader = DataLoader(test_data, 1000, device=run.device)

    model = VAE(config.latent, config.hidden).to(run.device)
    optimizer = optim.Adam(model.parameters(), lr=config.lr)

    run.track(model=model, optimizer=optimizer, loader=loader)
    for _ in run.epochs(config.epochs):
        for images, _ in run.batches(loader):
            x = images.flatten(1)  # (N, 784)
            logits, mean, log_var = model(x)
            reconstruction = reconstruction_loss(logits, x).mean()
            kl = kl_divergence(mean, log_var).mean()
            loss = reconstruction + kl  # the negative ELBO
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.record(len(x), negative_elbo=loss, reconstruction=reconstruction, kl=kl)
        run.log(**{f"val_{name}": v for name, v in evaluate(model, val_loader).items()})

    test = evaluate(model, test_loader)
    few = next(iter(DataLoader(test_data, config.iwae_images, device=run.device)))[0].flatten(1)
    with mg.no_grad():
        bound = importance_weighted_bound(model, few, 100, Generator(0)).mean()
    pictures(run, model, test_loader)
    return run.finish(
        model,
        test_negative_elbo=test["negative_elbo"],
        test_reconstruction=test["reconstruction"],
        test_kl=test["kl"],
        test_nll_iwae_100=-bound.item(),
    )


def pictures(run: Run, model: VAE, loader: DataLoader) -> None:
    r"""Reconstructions, samples from the prior, and curves."""
    images = next(iter(loader))[0][:12]
    with mg.no_grad():
        mean, _ = model.encode(images.flatten(1))
        reconstructed = model.decode(mean).sigmoid().reshape(-1, 1, 28, 28)
        z = mg.randn(100, model.latent, generator=Generator(0), device=run.device)
        samples = model.decode(z).sigmoid().reshape(-1, 1, 28, 28)
    rows = {"test image": images, "reconstruction": reconstructed}
    run.picture("reconstructions", plot_images(rows, title=f"{model.latent}-dimensional code"))
    run.picture("samples", image_grid(samples, columns=10))
    run.picture(
        "curves",
        plot_curves(
            run.history,
            {
                "negative ELBO (nats)": {
                    "training": "negative_elbo",
                    "validation": "val_negative_elbo",
                },
                "KL (nats)": {"training": "kl", "validation": "val_kl"},
            },
            title="VAE on MNIST",
        ),
    )


if __name__ == "__main__":
    main(train, Config)
