r"""GANs of a plane: six losses on eight or twenty-five Gaussians.

Paper: Goodfellow et al., Generative adversarial networks, NeurIPS 2014, arXiv:1406.2661; the
points: Metz et al., Unrolled generative adversarial networks, ICLR 2017, arXiv:1611.02163

Expect: on the ring all 8 modes, and 95 % of the samples within three deviations of one (of the
data: 98.9 %); with --data grid --epochs 24 all 25 modes and 93.7 %; the first GAN hits 1 of 8
without a penalty, all 8 with one

A generator and a discriminator of a few dense layers, and data that say at once what goes wrong:
eight narrow Gaussians on a ring (deviation 0.02, radius 2) or twenty-five on a grid (deviation
0.05, spacing 2). A GAN that drops modes drops whole Gaussians, and one that is not sharp puts
points between them:

    modes       Gaussians to which at least a fifth of their share of the samples comes near
    quality     share of the samples within three deviations of a centre (of the data: 98.9 %)

The losses (``minigrad.nn.adversarial`` has their formulas):

    minimax            the first paper's theory; flat for the generator where D is sure
    non_saturating     the first paper's practice
    least_squares      squares of scores
    hinge              margins of scores
    wasserstein        a critic whose weights are clipped
    wasserstein_gp     a critic whose slope is brought to 1 by a penalty

As they were first written, ``--penalty 0``, the first four compare samples and data where both are;
between the Gaussians, where nobody is, the slope of the discriminator is a whim of its weights. So
all samples end on one of the K Gaussians: there the best score is ln 1/K, and the losses of the
first GAN are L_G = ln(1 + K) = 2.197 and L_D = ln(1 + K) / K + ln(1 + 1/K) = 0.392, as the run has
them: ``--loss non_saturating --lr 1e-3 --lr-generator 1e-3 --ema 0 --epochs 3 --penalty 0``. With
the same options hinge ends on one Gaussian too, least squares beside all, and in minimax the
discriminator wins, which ends the run. Clipping (``--loss wasserstein --lr 1e-3 --lr-generator 2e-3
--critic-steps 3 --epochs 6``) reached three. A critic of bounded slope falls evenly from where data
lack to where samples are too many.

That is not the Wasserstein loss's own merit. With a penalty that brings the slope of their
discriminator to 0, which smooths it, the first four hit all eight as well: what is between the
Gaussians is no whim then. The film shows it: the discriminator's field, the way that it pushes,
samples and data.

Dense layers learn what varies slowly first, and a Gaussian is a hundredth of the picture: beside a
point's coordinates the discriminator sees waves of them, sin(2^i x) and cos(2^i x), and so does
the generator, which has to tear a square of noise into eight or twenty-five pieces (``--frequencies
0 --noise-frequencies 0`` leaves them out). Points are drawn afresh for every step, so there is
nothing to overfit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import (
    DataLoader,
    FreshDataset,
    grid_centres,
    make_gaussian_grid,
    make_gaussian_ring,
    ring_centres,
)
from minigrad.evaluation import mode_coverage
from minigrad.nn.adversarial import generator_loss, gradient_penalty
from minigrad.nn.utils import clip_parameters_, frozen
from minigrad.train import Result, Run, main
from minigrad.visualize import Field, plot_field
from models.gan.common import Figures, Game, GameConfig, pictures, play

Loss = Literal[
    "minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "wasserstein_gp"
]
#: data -> points of it, centres, deviation, half the side of what is shown
DATA = {
    "ring": (make_gaussian_ring, ring_centres(), 0.02, 3.0),
    "grid": (make_gaussian_grid, grid_centres(), 0.05, 6.0),
}


@dataclass
class Config(GameConfig):
    r"""The options; the defaults give the figure above."""

    data: Literal["ring", "grid"] = "ring"  #: eight Gaussians on a ring or 25 on a grid
    loss: Loss = "wasserstein_gp"  #: what both sides lower
    hidden: int = 64  #: units of each hidden layer
    frequencies: int = 5  #: waves by which the discriminator sees a coordinate; 0: itself alone
    noise_frequencies: int = 6  #: waves by which the generator sees a number of the noise
    latent: int = 2
    lr: float = 3e-3
    lr_generator: float | None = 6e-3
    ema: float = (
        0.99  #: samples come from a moving average of the generator's weights; 0: from them
    )
    schedule: Literal["constant", "cosine"] = "cosine"  #: cosine: lr falls to 0 over the run
    batch_size: int = 128  #: points in a step of the discriminator, drawn afresh
    steps: int = 500  #: steps of the discriminator in an epoch
    epochs: int = 10  #: 10 epochs of 500 steps are 5,000 steps
    film: int = 500
    penalty: float = 1.0  #: weight of the slope's penalty; not in wasserstein; 0: none
    clip: float = 0.1  #: weights of the critic are cut to this size in wasserstein
    validation: int = 2500  #: samples to be counted after each epoch, for the curves
    samples: int = 10_000  #: samples to be counted at the end

    quick_values: ClassVar = {"epochs": 3, "steps": 60, "samples": 1000, "film": 60}

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "hidden", "steps", "validation", "samples")
        self.expect_at_least(0, "frequencies", "noise_frequencies")
        self.expect("penalty", self.penalty >= 0, "a number >= 0")
        self.expect("clip", self.clip > 0, "a positive number")


class Network(nn.Module):
    r"""Vectors (N, D), and waves of their numbers, through three hidden layers."""

    def __init__(self, inputs: int, hidden: int, outputs: int, frequencies: int) -> None:
        super().__init__()
        self.frequencies = frequencies
        layers: list[nn.Module] = []
        for before in (inputs * (1 + 2 * frequencies), hidden, hidden):
            layers += [nn.Linear(before, hidden), nn.LeakyReLU(0.2)]
        self.body = nn.Sequential(*layers, nn.Linear(hidden, outputs))

    def see(self, x: Tensor) -> Tensor:
        r"""x, sin(2^i x) and cos(2^i x): (N, D) to (N, D (1 + 2 frequencies))."""
        waves = [2**i * x for i in range(self.frequencies)]
        return mg.cat([x, *(w.sin() for w in waves), *(w.cos() for w in waves)], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.see(x))


class Discriminator(Network):
    r"""Points (N, 2) to scores (N,)."""

    def __init__(self, hidden: int, frequencies: int) -> None:
        super().__init__(2, hidden, 1, frequencies)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).squeeze(1)


class Toy(Game):
    r"""The game on points, with any of the losses."""

    config: Config

    def __init__(self, config: Config, device: Any) -> None:
        self.kind = "wasserstein" if config.loss == "wasserstein_gp" else config.loss
        generator = Network(config.latent, config.hidden, 2, config.noise_frequencies)
        super().__init__(
            config, device, generator, Discriminator(config.hidden, config.frequencies)
        )

    def make_optimizer(self, module: nn.Module, lr: float) -> optim.Optimizer:
        if self.config.loss == "wasserstein":  # momentum makes a clipped critic unstable
            return optim.RMSprop(module.parameters(), lr=lr)
        return optim.Adam(module.parameters(), lr=lr, betas=(0.5, 0.99))

    def discriminator_loss(
        self, real: Tensor, labels: Tensor, fake: Tensor, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, Figures]:
        loss, figures = super().discriminator_loss(real, labels, fake, inputs)
        if self.config.penalty and self.config.loss != "wasserstein":
            slope = float(self.config.loss == "wasserstein_gp")
            penalty = gradient_penalty(self.discriminator, real, fake, slope=slope)
            loss = loss + self.config.penalty * penalty
        return loss, figures

    def after_discriminator_step(self) -> None:
        if self.config.loss == "wasserstein":
            clip_parameters_(self.discriminator.parameters(), self.config.clip)

    def places(self, n: int) -> np.ndarray:
        r"""A grid of the plane, row by row from below: (n * n, 2)."""
        line = np.linspace(-1, 1, n, dtype=np.float32) * np.float32(DATA[self.config.data][3])
        return np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)

    def push(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        r"""Places (n * n, 2), and which way a sample there lowers the generator's loss."""
        places = self.places(n)
        x = mg.tensor(places, device=self.device, requires_grad=True)
        with frozen(self.discriminator):
            loss = generator_loss(self.discriminator(x), self.kind) * len(places)
        (slope,) = mg.autograd.grad(loss, x)
        assert slope is not None
        return places, -slope.cpu().numpy()

    def picture(self) -> Any:
        r"""The discriminator's scores in colours, which way they push, samples and data."""
        half = DATA[self.config.data][3]
        with mg.no_grad():
            scores = self.discriminator(mg.tensor(self.places(121), device=self.device))
        field = Field(
            scores.cpu().numpy().reshape(121, 121),
            self.push(21)[1].reshape(21, 21, 2),
            DATA[self.config.data][0](500, generator=mg.Generator(0))[0],
            self.samples(1000)[0],
        )
        return plot_field({self.config.loss: field}, (-half, half, -half, half))


def coverage(points: np.ndarray, data: str) -> dict[str, float]:
    r"""Of points (N, 2): how many of the data's modes they hit, and their quality."""
    _, centres, deviation, _ = DATA[data]
    modes, quality = mode_coverage(points, centres, deviation)
    return {"modes": modes, "quality": quality}


def train(config: Config) -> Result:
    r"""Play the game on fresh points, and count the modes."""
    run = Run(config)
    loader = DataLoader(
        FreshDataset(config.steps * config.batch_size, DATA[config.data][0]),
        config.batch_size,
        shuffle=True,  # each epoch draws a seed, and its points from that
        device=run.device,
    )
    game = Toy(config, run.device)

    def look(game: Game, n: int = config.validation, seed: int = 1) -> dict[str, float]:
        return coverage(game.samples(n, seed)[0], config.data)

    play(run, game, config, loader, look)
    figures = look(game, config.samples, 2)
    real, _ = DATA[config.data][0](config.samples, generator=mg.Generator(0))
    panels = {"modes hit": {"samples": "modes"}, "quality": {"samples": "quality"}}
    pictures(run, game, f"{config.loss} on a {config.data}", panels)
    return run.finish(game.shown, **figures, quality_of_data=coverage(real, config.data)["quality"])


if __name__ == "__main__":
    main(train, Config)
