r"""What the variational autoencoders share: the two terms of the bound, its measure, the loop.

Belongs here: what is the same in every file of the family: options, losses, the loop that minimises
them, evaluation, pictures. Does not belong here: networks and what a model adds to the bound (each
in its own file), which images are for what (``models/mnist.py``).

A model says what it minimises by a function of a batch, its *terms*: one number for each image,
each under its name. ``reconstruction`` and ``kl`` are always there, and their sum is the negative
ELBO, whatever weights the terms have in training:

    -log p(x) <= E_q [-log p(x|z)] + KL(q(z|x) || p(z))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader, Subset
from minigrad.train import Run, mean_values
from minigrad.visualize import image_grid, plot_curves, plot_images, plot_latent, plot_manifold
from models.mnist import load_mnist
from models.training import TEST_BATCH, ImageTrainingConfig, make_schedule

#: images (N, ...), labels (N,), generator of the noise -> name of a term: (N,)
Terms = Callable[[Tensor, Tensor, Generator | None], Mapping[str, Tensor]]


@dataclass
class VariationalConfig(ImageTrainingConfig):
    r"""The options that all models of the family have."""

    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"  #: of a pixel given z
    beta: float = 1.0  #: weight of the KL in training
    anneal: float = 0.0  #: share of the steps in which that weight rises from a hundredth
    optimizer: Literal["adam", "rmsprop"] = "adam"  #: rmsprop with alpha 0.9
    lr: float = 2e-3  #: learning rate at the beginning
    batch_size: int = 100  #: images in a step
    epochs: int = 40  #: passes over the training images

    quick_values: ClassVar = {**ImageTrainingConfig.quick_values, "train_images": 6000}

    def check(self) -> None:
        super().check()
        self.expect_at_least(0, "beta")
        self.expect("anneal", 0 <= self.anneal <= 1, "a number in [0, 1]")


# ---------------------------------------------------------------------------- the bound's two terms
def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""KL(N(mean, exp(log_var)) || N(0, I)), summed over the latent dimensions: (N, D) -> (N,)."""
    return 0.5 * (log_var.exp() + mean**2 - 1.0 - log_var).sum(1)


def log_normal(z: Tensor, mean: Tensor | float = 0.0, log_var: Tensor | float = 0.0) -> Tensor:
    r"""log N(z; mean, diag exp(log_var)), *summed* over the dimensions: (..., D) -> (...)."""
    if isinstance(log_var, float):
        square = (z - mean) ** 2 * math.exp(-log_var)
    else:
        square = (z - mean) ** 2 * (-log_var).exp()
    return -0.5 * (square + log_var + math.log(2 * math.pi)).sum(-1)


def reconstruction_loss(logits: Tensor, x: Tensor, likelihood: str = "bernoulli") -> Tensor:
    r"""-log p(x|z), summed over the pixels: (N, ...) -> (N,). For a Gaussian with variance 1/2 it
    is the sum of squares; the constant, 1/2 log(pi) a pixel, is left out, as in most sources."""
    pixels = tuple(range(1, x.ndim))
    if likelihood == "gaussian":
        return ((logits.sigmoid() - x) ** 2).sum(pixels)
    losses = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return losses.sum(pixels)


class Coder(Protocol):
    r"""A model with a code: what the importance-weighted bound asks of one."""

    latent: int

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]: ...

    def decode(self, z: Tensor) -> Tensor: ...


def log_weights(
    model: Coder, x: Tensor, samples: int, generator: Generator | None = None
) -> Tensor:
    r"""log w_k = log p(x|z_k) + log p(z_k) - log q(z_k|x), for ``samples`` codes z_k ~ q(z|x) of an
    image: (N, 784) -> (K, N) nats. ``minigrad.evaluation.importance_weighted_bound`` makes a bound
    of them."""
    n = len(x)
    mean, log_var = model.encode(x)
    mean = mean.unsqueeze(0).expand(samples, n, model.latent)  # (K, N, D)
    log_var = log_var.unsqueeze(0).expand(samples, n, model.latent)
    z = mg.gaussian_sample(mean, log_var, generator=generator)
    logits = model.decode(z.reshape(samples * n, model.latent))
    repeated = x.unsqueeze(0).expand(samples, n, x.shape[1]).reshape(samples * n, x.shape[1])
    log_likelihood = -reconstruction_loss(logits, repeated).reshape(samples, n)
    return log_likelihood + log_normal(z) - log_normal(z, mean, log_var)


# ------------------------------------------------------------------------- data, loop, measure
@dataclass
class Loaders:
    r"""Training, validation and test images in batches; ``known``: up to 10,000 of the training
    images in order, whose labels a test image may be compared with."""

    train: DataLoader
    validation: DataLoader
    test: DataLoader
    known: DataLoader

    @classmethod
    def of_mnist(
        cls,
        config: VariationalConfig,
        run: Run,
        transform: Callable[[Any], Any] | None = None,
        batch: int = TEST_BATCH,
    ) -> Loaders:
        r"""MNIST, as ``models/mnist.py`` divides it."""
        return cls.of(
            load_mnist(config.validation, config.train_images, config.test_images, transform),
            config,
            run,
            batch,
        )

    @classmethod
    def of(
        cls, parts: tuple[Any, Any, Any], config: VariationalConfig, run: Run, batch: int
    ) -> Loaders:
        r"""Three data sets."""
        train, validation, test = parts
        return cls(
            DataLoader(train, config.batch_size, shuffle=True, device=run.device),
            DataLoader(validation, batch, device=run.device),
            DataLoader(test, batch, device=run.device),
            DataLoader(Subset(train, range(min(10_000, len(train)))), batch, device=run.device),
        )


def evaluate(
    model: nn.Module, terms: Terms, loader: Iterable[Any], seed: int = 0
) -> dict[str, float]:
    r"""Means over all images of the negative ELBO and of each term, with one sample of z each, from
    a generator of its own, so that evaluating does not change the training that follows."""
    generator = Generator(seed)
    model.eval()
    found = mean_values(lambda batch: terms(*batch, generator), loader)
    model.train()
    return {"negative_elbo": found["reconstruction"] + found["kl"], **found}


def annealed(step: int, steps: float) -> float:
    r"""What the KL's weight is multiplied by after ``step`` steps: 0.01 at first, 1 from ``steps``
    on (Rezende and Mohamed, 2015, equation 20)."""
    return min(1.0, 0.01 + step / steps) if steps else 1.0


def fit(
    run: Run,
    model: nn.Module,
    terms: Terms,
    config: VariationalConfig,
    loaders: Loaders,
    weights: Mapping[str, float] | None = None,
) -> None:
    r"""Minimise the weighted sum of the terms, and go back to the epoch in which it was smallest on
    the validation images.

    Args:
        weights: of the terms in training, 1 where nothing is said. With ``kl`` at 1 and no further
            terms the sum is the negative ELBO.
    """
    if config.optimizer == "adam":
        optimizer: optim.Optimizer = optim.Adam(model.parameters(), lr=config.lr)
    else:
        optimizer = optim.RMSprop(model.parameters(), lr=config.lr, alpha=0.9)
    steps = config.epochs * len(loaders.train)
    schedule = make_schedule(config.schedule, optimizer, steps)
    weight = {"kl": config.beta, **(weights or {})}

    def weighted(values: Mapping[str, Any], warmth: float = 1.0) -> Any:
        now = {**weight, "kl": warmth * weight["kl"]}
        first, *rest = ((now.get(name, 1.0), value) for name, value in values.items())
        loss = first[1] if first[0] == 1.0 else first[0] * first[1]
        for factor, value in rest:
            loss = loss + (value if factor == 1.0 else factor * value)
        return loss

    run.track(model=model, optimizer=optimizer, schedule=schedule, loader=loaders.train)
    for _ in run.epochs(config.epochs):
        for x, y in run.batches(loaders.train):
            means = {name: value.mean() for name, value in terms(x, y, None).items()}
            warmth = annealed(run.step, config.anneal * steps)
            optimizer.zero_grad()
            weighted(means, warmth).backward()
            optimizer.step()
            schedule.step()
            run.record(len(x), negative_elbo=means["reconstruction"] + means["kl"], **means)
        validation = evaluate(model, terms, loaders.validation)
        run.log(**{f"val_{name}": value for name, value in validation.items()})
        del validation["negative_elbo"]
        run.keep_best(weighted(validation), model)
    run.load_best(model)


def encode(
    model: nn.Module, encoder: Callable[[Tensor], tuple[Tensor, Tensor]], loader: Iterable[Any]
) -> tuple[np.ndarray, np.ndarray]:
    r"""The posterior means (N, latent) of all images, and their labels (N,)."""
    means, labels = [], []
    model.eval()
    with mg.no_grad():
        for x, y in loader:
            means.append(encoder(x)[0].cpu().numpy())
            labels.append(y.cpu().numpy())
    return np.concatenate(means), np.concatenate(labels)


# ----------------------------------------------------------------------------------- pictures
def curves(run: Run, title: str, **more: Mapping[str, str]) -> None:
    r"""The negative ELBO and the KL over the epochs; ``more`` panels as for ``plot_curves``."""
    panels = {
        "negative ELBO (nats)": {"training": "negative_elbo", "validation": "val_negative_elbo"},
        "KL (nats)": {"training": "kl", "validation": "val_kl"},
        **more,
    }
    run.picture("curves", plot_curves(run.history, panels, title=title))


def pictures(
    run: Run,
    loader: Iterable[Any],
    encoder: Callable[[Tensor], tuple[Tensor, Tensor]],
    decoder: Callable[[Tensor], Tensor],
    latent: int,
    title: str,
    codes: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    limit: float = 2.0,
) -> None:
    r"""Reconstructions, samples from the prior, curves; for a plane its map and its manifold.

    Args:
        encoder: images (N, 1, 28, 28) to mean and log-variance (N, latent).
        decoder: codes (N, latent) to logits of as many pixels. The model is in eval mode.
        codes, labels: of the test images, for the map of a plane.
        limit: of the plane that is decoded, in each direction; 95 % of the prior is within 2.
    """
    x = next(iter(loader))[0][:12]

    def decode(z: Tensor) -> np.ndarray:
        with mg.no_grad():
            return decoder(z).sigmoid().reshape(-1, 1, 28, 28).cpu().numpy()

    with mg.no_grad():
        mean, _ = encoder(x)
    heading = f"Reconstructions from {latent} numbers"
    run.picture("reconstructions", plot_images({"test": x, "decoded": decode(mean)}, heading))
    z = mg.randn(100, latent, generator=Generator(0), device=run.device)
    run.picture("samples", image_grid(decode(z), columns=10))
    curves(run, title)
    if latent == 2 and codes is not None:
        run.picture("latent", plot_latent(codes, labels, "Posterior means of the test images"))
        run.picture(
            "manifold",
            plot_manifold(
                lambda z: decode(mg.tensor(z, device=run.device)),
                limit=limit,
                title="Decoded latent plane",
            ),
        )
