r"""Beta-VAE: a heavier KL, and what becomes of the code, on sprites with known factors.

Paper: Higgins et al., beta-VAE: learning basic visual concepts with a constrained variational
framework, ICLR 2017

Expect: along beta 1, 4, 9, 20 a KL that falls and a reconstruction error that rises; at the best
beta R^2 of 0.9 or more of each factor with one dimension (0.5: a code turned by 45 degrees)

The loss of ``vae.py`` with one weight:

    E_q [-log p(x|z)] + beta KL(q(z|x) || p(z))

beta = 1 is the VAE. (Conditioning on a label is another matter, see ``cvae.py``.) For beta > 1 it
is a loose bound only, but the Lagrangian of the best reconstruction for a limited KL: at the
minimum, the larger beta, the smaller the KL and the larger the reconstruction error. And dimensions
that do not earn their price are switched off. A dimension i is *active* if its posterior mean moves
with the image: Var_x mean_i(x) > 0.01 (Burda, Grosse and Salakhutdinov, 2016).

Why factors come apart: the posterior is diagonal, so noise is added along the axes, and a code
whose axes are the directions in which the image changes independently pays least for it. Without
this pressure a rotated code is as good: N(0, I) is the same in all directions. And the pressure is
weak where two factors change the image alike: with the two coordinates of the place
(``--factors x,y``) the best R^2 after 6,000 steps was 0.5 to 0.8 here, which is why the default is
one coordinate and the size. The measure here is
R^2 of each known factor with the *one* dimension that explains it best, by a curve of degree 3,

    R2_k = max_i (1 - residual of factor_k given mean_i / its variance)

which is 0.5 for a code that is turned by 45 degrees, however good its reconstructions.

One model for each of ``betas`` is trained on the same batches; they share nothing else. The data
are sprites that differ in the factors given, drawn as dSprites are, or MNIST (``--data mnist``),
where nothing is known but the KL and the active units.

    encoder  1024 (784) - 256 - 256 - mean(4), log_var(4)     decoder  4 - 256 - 256 - 1024 (784)

Where it differs from the paper: dense networks of this size instead of its larger ones, sprites of
32 x 32 pixels drawn afresh instead of the 737,280 of dSprites, and R^2 instead of its accuracy of a
linear classifier of differences (99.23 % at beta = 4), which needs many pairs for one number. How
much a beta means depends on the number of pixels and of latent dimensions (the paper's beta_norm =
beta dim z / dim x), so betas of different data do not compare: popular pages report the best
disentangling at 9 and a single active dimension from 10 on, for two latent dimensions and the
squares of 784 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import TensorDataset, make_sprites
from minigrad.evaluation import active_units, factor_r2
from minigrad.train import Mean, Result, Run, main
from minigrad.visualize import image_grid, plot_curves, plot_images
from models.training import TEST_BATCH, make_schedule
from models.variational.elbo import (
    Loaders,
    VariationalConfig,
    encode,
    kl_divergence,
    reconstruction_loss,
)


@dataclass
class Config(VariationalConfig):
    r"""The options; the defaults give the figure above."""

    betas: tuple[float, ...] = (1.0, 4.0, 9.0, 20.0)  #: weights of the KL, one model each
    data: Literal["sprites", "mnist"] = "sprites"  #: what is coded
    factors: tuple[str, ...] = ("x", "scale")  #: of the sprites: x, y, scale, rotation, shape
    latent: int = 4  #: dimensions of z
    hidden: int = 256  #: units of the hidden layer of encoder and decoder
    beta: float = 1.0  #: a further factor of all betas
    lr: float = 2e-3  #: learning rate at the beginning
    epochs: int = 10  #: passes over the training images
    train_images: int | None = 20_000  #: train on this many only; sprites need a number
    test_images: int | None = 5000  #: test on this many only; sprites need a number
    validation: int = 2000  #: images held out to choose the beta

    quick_values: ClassVar = {
        "epochs": 2,
        "train_images": 2000,
        "validation": 200,
        "test_images": 500,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent", "hidden")
        self.expect("betas", min(self.betas, default=-1) >= 0, "numbers >= 0, at least one")
        self.expect("betas", len(set(self.betas)) == len(self.betas), "each number once")
        known = ("x", "y", "scale", "rotation", "shape")
        some = bool(self.factors) and set(self.factors) <= set(known)
        self.expect("factors", some, f"some of {', '.join(known)}")
        self.expect(
            "data",
            self.data == "mnist" or None not in (self.train_images, self.test_images),
            "mnist where train_images or test_images is none",
        )


class VAE(nn.Module):
    r"""Images (N, 1, H, W) of ``pixels`` to a code and back to logits (N, pixels)."""

    def __init__(self, pixels: int, latent: int = 4, hidden: int = 256) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU()
        )
        self.mean = nn.Linear(hidden, latent)
        self.log_var = nn.Linear(hidden, latent)
        self.decoder = nn.Sequential(
            nn.Linear(latent, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, pixels),
        )

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean and log-variance (N, latent) of q(z|x)."""
        h = self.encoder(x)
        return self.mean(h), self.log_var(h)

    def forward(
        self, x: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(x)
        z = mg.gaussian_sample(mean, log_var, generator=generator)
        return self.decoder(z), mean, log_var


def load_sprites(config: Config) -> tuple[Any, Any, Any]:
    r"""Training, validation and test sprites with their factors. The latter two are the same for
    all seeds, as MNIST's are."""
    assert config.train_images is not None and config.test_images is not None
    parts = (
        (config.train_images, None),
        (config.validation, Generator(1)),
        (
            config.test_images,
            Generator(2),
        ),
    )
    made = [make_sprites(n, config.factors, generator=generator) for n, generator in parts]
    train, validation, test = (TensorDataset(images, values) for images, values in made)
    return train, validation, test


def losses(
    model: VAE, x: Tensor, likelihood: str, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    r"""The two terms of a batch, each averaged over its images."""
    logits, mean, log_var = model(x, generator)
    reconstruction = reconstruction_loss(logits, x.flatten(1), likelihood).mean()
    return reconstruction, kl_divergence(mean, log_var).mean()


def evaluate(
    models: Sequence[VAE], loader: Any, likelihood: str, seed: int = 0
) -> tuple[list[float], list[float]]:
    r"""Reconstruction and KL of each model, means over all images, with noise of its own."""
    generator = Generator(seed)
    found = [(Mean(), Mean()) for _ in models]
    with mg.no_grad():
        for x, _ in loader:
            for model, means in zip(models, found):
                for mean, value in zip(means, losses(model, x, likelihood, generator)):
                    mean.update(value, len(x))
    return [r.compute() for r, _ in found], [k.compute() for _, k in found]


def train(config: Config) -> Result:
    r"""Train one model for each beta on the same batches, and compare their codes."""
    run = Run(config)
    if config.data == "mnist":
        loaders = Loaders.of_mnist(config, run)
    else:
        loaders = Loaders.of(load_sprites(config), config, run, TEST_BATCH)
    pixels = next(iter(loaders.test))[0][0].numel()
    models = nn.ModuleList([VAE(pixels, config.latent, config.hidden) for _ in config.betas])
    models.to(run.device)
    # Adam treats every number by itself, so one optimiser is as good as one for each model.
    optimizer = optim.Adam(models.parameters(), lr=config.lr)
    schedule = make_schedule(config.schedule, optimizer, config.epochs * len(loaders.train))

    run.track(models=models, optimizer=optimizer, schedule=schedule, loader=loaders.train)
    for _ in run.epochs(config.epochs):
        for x, _ in run.batches(loaders.train):
            objectives = []
            for beta, model in zip(config.betas, models):
                reconstruction, kl = losses(model, x, config.likelihood)
                objectives.append(reconstruction + beta * config.beta * kl)
                run.record(
                    len(x), **{f"reconstruction_{beta:g}": reconstruction, f"kl_{beta:g}": kl}
                )
            optimizer.zero_grad()
            sum(objectives[1:], objectives[0]).backward()
            optimizer.step()
            schedule.step()
        run.log()

    reconstructions, kls = evaluate(models, loaders.test, config.likelihood)
    codes = [encode(model, model.encode, loaders.test) for model in models]
    active = [active_units(mean) for mean, _ in codes]
    figures: dict[str, Any] = {}
    best = 0
    if config.data == "sprites":
        held_out = [encode(model, model.encode, loaders.validation) for model in models]
        best = int(np.argmax([factor_r2(*pair).max(0).min() for pair in held_out]))
        r2 = [factor_r2(*pair).max(0) for pair in codes]
        figures["r2_worst_factor"] = float(r2[best].min())
        figures["best_beta"] = config.betas[best]
        for k, name in enumerate(config.factors):
            figures[f"r2_{name}"] = [round(float(values[k]), 3) for values in r2]
    pictures(run, config, models, best, loaders, (reconstructions, kls, active))
    return run.finish(
        models,
        **figures,
        negative_elbo_of_first_beta=reconstructions[0] + kls[0],
        kl_of_last_beta=kls[-1],
        betas=list(config.betas),
        reconstruction=[round(value, 3) for value in reconstructions],
        kl=[round(value, 3) for value in kls],
        active_units=active,
    )


def pictures(
    run: Run, config: Config, models: Any, best: int, loaders: Loaders, sweep: Any
) -> None:
    r"""What each dimension of the best code does, reconstructions for each beta, and curves."""
    x = next(iter(loaders.test))[0][:12]
    shape = (-1, *x.shape[1:])
    with mg.no_grad():
        rows = {"test": x}
        for beta, model in zip(config.betas, models):
            logits = model.decoder(model.encode(x)[0])
            rows[f"β = {beta:g}"] = logits.sigmoid().reshape(shape)
        run.picture("reconstructions", plot_images(rows, "Reconstructions"))

        steps = np.linspace(-2, 2, 11, dtype=np.float32)
        z = np.zeros((config.latent, len(steps), config.latent), np.float32)
        for i in range(config.latent):
            z[i, :, i] = steps
        flat = mg.tensor(z.reshape(-1, config.latent), device=run.device)
        walked = models[best].decoder(flat).sigmoid().reshape(shape)
    run.picture("traversal", image_grid(walked, columns=len(steps)))

    table = [
        {"beta": beta, "reconstruction": r, "kl": k, "active": a}
        for beta, r, k, a in zip(config.betas, *sweep)
    ]
    panels = {
        "reconstruction (nats)": {"test images": "reconstruction"},
        "KL (nats)": {"test images": "kl"},
        "active dimensions": {"test images": "active"},
    }
    run.picture("sweep", plot_curves(table, panels, title="What beta does", x="beta"))
    names = [f"{beta:g}" for beta in config.betas]
    panels = {
        "reconstruction (nats)": {f"β = {b}": f"reconstruction_{b}" for b in names},
        "KL (nats)": {f"β = {b}": f"kl_{b}" for b in names},
    }
    run.picture("curves", plot_curves(run.history, panels, title="One model for each beta"))


if __name__ == "__main__":
    main(train, Config)
