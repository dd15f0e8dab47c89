r"""Variational autoencoder on MNIST.

Paper: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114

Expect: negative ELBO of 106 nats or less on the test images after 40 epochs, 112 or less after 5,
KL between 15 and 30 (a collapsed posterior: 206 nats; the class means as decoder: 172; less than
45.5 is impossible)

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
figures for binarised MNIST (``--binarize`` draws pixels afresh at each use). The rate falls along
half a cosine; popular versions stop after a few epochs at a constant rate
(``--epochs 5 --lr 1e-3 --schedule constant``). The epoch that is best on 5,000 held-out training
images is the one that is tested.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import minigrad as mg
from minigrad import Generator, Tensor, nn
from minigrad.data import DataLoader
from minigrad.data.transforms import BernoulliBinarize, Compose, ToTensor
from minigrad.evaluation import importance_weighted_bound
from minigrad.train import Result, Run, main
from models.variational.elbo import (
    Loaders,
    VariationalConfig,
    evaluate,
    fit,
    kl_divergence,
    log_weights,
    pictures,
    reconstruction_loss,
)


@dataclass
class Config(VariationalConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 20  #: dimensions of z
    hidden: int = 256  #: units of the hidden layer of encoder and decoder
    binarize: bool = False  #: draw each pixel as 0 or 1 with its grey level as probability
    iwae_images: int = 500  #: test images for the importance-weighted bound with 100 samples

    quick_values: ClassVar = {**VariationalConfig.quick_values, "iwae_images": 50}

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent", "hidden", "iwae_images")


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


def train(config: Config) -> Result:
    r"""Minimise the negative ELBO, go back to the best epoch, and test it."""
    run = Run(config)
    transform = Compose([ToTensor(), BernoulliBinarize()]) if config.binarize else None
    loaders = Loaders.of_mnist(config, run, transform)
    model = VAE(config.latent, config.hidden).to(run.device)

    def terms(x: Tensor, _: Tensor, generator: Generator | None) -> dict[str, Tensor]:
        x = x.flatten(1)  # (N, 784)
        logits, mean, log_var = model(x, generator)
        return {
            "reconstruction": reconstruction_loss(logits, x, config.likelihood),
            "kl": kl_divergence(mean, log_var),
        }

    fit(run, model, terms, config, loaders)
    test = evaluate(model, terms, loaders.test)
    few = DataLoader(loaders.test.dataset, config.iwae_images, device=run.device)
    with mg.no_grad():
        x = next(iter(few))[0].flatten(1)
        bound = importance_weighted_bound(log_weights(model, x, 100, Generator(0))).mean()
    pictures(
        run,
        loaders.test,
        lambda x: model.encode(x.flatten(1)),
        model.decode,
        model.latent,
        "VAE on MNIST",
    )
    return run.finish(
        model,
        **{f"test_{name}": value for name, value in test.items()},
        test_nll_iwae_100=-bound.item(),
        val_negative_elbo=run.best["value"],
        best_epoch=run.best["epoch"],
    )


if __name__ == "__main__":
    main(train, Config)
