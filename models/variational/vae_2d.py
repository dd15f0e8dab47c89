r"""Variational autoencoder with a two-dimensional code, on MNIST.

Paper: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114

Expect: negative ELBO of 150 nats or less on the test images after 40 epochs, digits recognised from
the two numbers of the code with 65 % accuracy or more (a collapsed posterior: 206 nats, 10 %)

The model and its bound are those of ``vae.py``, with two latent dimensions instead of twenty and
a wider layer, so that one can look at the code:

    encoder  784 - 512 ReLU - mean(2), log_var(2)   403,972 parameters
    decoder  2 - 512 ReLU - 784 logits              403,728

    log p(x) >= E_q [log p(x|z)] - KL(q(z|x) || p(z))

The prior is one normal distribution. Where it shows clusters, one a digit, they are of the
*aggregate* posterior, the mean of q(z|x) over all images, which the KL pulls towards the prior
without ever reaching it. The map (``latent``) and the plane decoded (``manifold``) are the pictures
of the paper's figure 4.

Where it differs from the paper: one layer of 512 ReLUs instead of 500 tanh units, and Adam instead
of Adagrad. Popular versions train for 50 epochs with batches of 128 and minimise 784 times the mean
squared error plus the KL (``--likelihood gaussian``). That is the negative ELBO of Gaussian pixels
with variance 1/2, but for a constant, and so not comparable with that of Bernoulli pixels; nor is
its balance of the two terms the same. The epoch that is best on 5,000 held-out training images is
the one that is tested.
"""

from __future__ import annotations

from dataclasses import dataclass

from minigrad import Generator, Tensor
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
from models.variational.vae import VAE


@dataclass
class Config(VariationalConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 2  #: dimensions of z
    hidden: int = 512  #: units of the hidden layer of encoder and decoder

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent", "hidden")


def train(config: Config) -> Result:
    r"""Minimise the negative ELBO, go back to the best epoch, test it, and look at the plane."""
    run = Run(config)
    loaders = Loaders.of_mnist(config, run)
    model = VAE(config.latent, config.hidden).to(run.device)

    def terms(x: Tensor, _: Tensor, generator: Generator | None) -> dict[str, Tensor]:
        x = x.flatten(1)  # (N, 784)
        logits, mean, log_var = model(x, generator)
        return {
            "reconstruction": reconstruction_loss(logits, x, config.likelihood),
            "kl": kl_divergence(mean, log_var),
        }

    def encoder(x: Tensor) -> tuple[Tensor, Tensor]:
        return model.encode(x.flatten(1))

    fit(run, model, terms, config, loaders)
    test = evaluate(model, terms, loaders.test)
    codes, labels = encode(model, encoder, loaders.test)
    known = encode(model, encoder, loaders.known)
    title = "VAE with a plane for a code"
    pictures(run, loaders.test, encoder, model.decode, model.latent, title, codes, labels)
    return run.finish(
        model,
        **{f"test_{name}": value for name, value in test.items()},
        knn_accuracy=knn_accuracy(codes, labels, *known),
        val_negative_elbo=run.best["value"],
        best_epoch=run.best["epoch"],
    )


if __name__ == "__main__":
    main(train, Config)
