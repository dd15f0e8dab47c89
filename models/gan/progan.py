r"""ProGAN: both networks learn on 4 x 4 pixels first, and grow by layers to 8, 16 and 32.

Paper: Karras, Aila, Laine and Lehtinen, Progressive growing of GANs for improved quality,
stability, and variation, ICLR 2018, arXiv:1710.10196; its loss: Gulrajani et al., Improved training
of Wasserstein GANs, NeurIPS 2017, arXiv:1704.00028

Expect: a judge's score of 5 or more at 32 pixels (real digits of 4, 8, 16 and 32 pixels: 1.5, 3.8,
8.9 and 9.7; noise: 1.0). Largest run: a quarter of the filters, 16,000 images at 4, 8 and 16
pixels, each, and 32,000 at 32: 6.0

A layer that is new at 2n x 2n pixels fades in, beside what was there before:

    G(z) = a new(h) + (1 - a) up(old(h))                     h: the layers so far, a from 0 to 1
    D(x) : h = a block(new(x)) + (1 - a) old(down(x))        then the layers so far
    x    = a x + (1 - a) up(down(x))                         the real images, too

where old and new are convolutions 1 x 1 between channels and pixels, one pair for each size, up
repeats pixels and down averages them. a = 0 is the network before, a = 1 the one after. The losses
are those of a critic whose slope is held near 1, and whose scores are kept from drifting away:

    L_D = mean D(G(z)) - mean D(x) + 10 mean (|grad D(y)| - 1)^2 + .001 mean D(x)^2
    L_G = - mean D(G(z))                                     y between x and G(z) at random

And four more things that the paper has:

    equalised learning rate   weights w ~ N(0, 1), used as w sqrt(2 / fan_in) at every step: Adam's
                              steps, which are of one size, are then of one size relative to each
                              layer's weights
    pixel norm                in G, after each convolution: the channels of a pixel have mean square
                              1. Neither network has batch norm
    minibatch deviation       D sees how much four images differ (one more channel at 4 x 4)
    moving average            samples come from the mean of G's weights, of the last 1000 steps

Stages are counted in images: 55,000 at each size (``--stage-epochs 1``), with a new layer fading in
during the first half of them, and the rest of ``--epochs`` at 32 x 32. MNIST has a border of 2
black pixels then, which is cut off before the judge looks. What he says of each stage stands beside
what he says of real images that were shrunk as much: of 4 x 4 pixels nobody reads a digit.

Where it differs from the paper: up to 128 filters instead of 512 (``--filters 512 512 512 512
--latent 512 --width 1`` has the paper's, 4.2 million numbers in the layer after z and 2.4 in each
other), a sigmoid at the end, 55,000 images in a stage instead of 1.6 million, and Adam's averages
are not reset when a layer is added. The sources tell of this model and have no code of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn, optim
from minigrad.data import CIFAR10, DataLoader, Subset, random_split
from minigrad.evaluation import energy_distance, frechet_distance
from minigrad.nn import adversarial
from minigrad.train import Result, Run, main
from minigrad.visualize import image_grid
from models import judge
from models.gan.common import LOOKED_AT, Figures, Game, GANConfig, Loaders, Look, pictures, play
from models.gan.networks import filters

PIXELS = (4, 8, 16, 32)  # of a side, stage by stage
BORDER = 2  # pixels around a digit of 28 x 28
#: what is measured after each epoch, in panels
PANELS = {
    "mnist": {
        "judge's score": {"samples": "judge_score", "real images of this size": "real_score"},
        "Fréchet distance": {"samples to real images": "val_frechet"},
    },
    "cifar": {"energy distance": {"samples to real images": "energy"}},
}
GROUP = 4  # images whose deviation the critic sees


@dataclass
class Config(GANConfig):
    r"""The options."""

    data: Literal["mnist", "cifar"] = "mnist"  #: cifar: CIFAR-10 in colour, which does not ship
    filters: tuple[int, ...] = (128, 128, 64, 32)  #: at 4, 8, 16 and 32 pixels; times the width
    stage_epochs: int = 1  #: passes over the training images at 4, 8 and 16 pixels, each
    penalty: float = 10.0  #: weight of the critic's slope
    drift: float = 0.001  #: weight of the critic's squared scores
    noise: Literal["uniform", "normal"] = "normal"
    optimizer: Literal["adam", "rmsprop"] = "adam"  #: adam with betas 0 and 0.99
    lr: float = 1e-3
    batch_size: int = 16  #: real images in a step of the discriminator, a multiple of 4
    epochs: int = 6  #: passes over the training images, all stages together
    ema: float = (
        0.999  #: samples come from a moving average of the generator's weights; 0: from them
    )

    quick_values: ClassVar = {
        **GANConfig.quick_values,
        "epochs": 4,
        "train_images": 500,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "stage_epochs")
        self.expect_at_least(0, "penalty", "drift")
        four = len(self.filters) == len(PIXELS) and min(self.filters) >= 1
        self.expect("filters", four, f"{len(PIXELS)} positive numbers")
        self.expect("batch_size", self.batch_size % GROUP == 0, f"a multiple of {GROUP}")


# -------------------------------------------------------------------------------- the networks
class Equalised(nn.Module):
    r"""A linear layer or a convolution with weights from N(0, 1), times gain / sqrt(fan_in).

    Args:
        shape: of the weights, (outputs, inputs) or (outputs, inputs, kernel, kernel).
    """

    def __init__(self, *shape: int, padding: int = 0, gain: float = math.sqrt(2)) -> None:
        super().__init__()
        self.weight = nn.Parameter(mg.randn(*shape))
        self.bias = nn.Parameter(mg.zeros(shape[0]))
        self.padding = padding
        self.scale = gain / math.sqrt(math.prod(shape[1:]))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight * self.scale
        if weight.ndim == 2:
            return nn.functional.linear(x, weight, self.bias)
        return nn.functional.conv2d(x, weight, self.bias, padding=self.padding)


def conv3(inputs: int, outputs: int, *after: nn.Module) -> list[nn.Module]:
    return [Equalised(outputs, inputs, 3, 3, padding=1), nn.LeakyReLU(0.2), *after]


def up(x: Tensor) -> Tensor:
    r"""Twice as many pixels: each becomes four."""
    return nn.functional.interpolate(x, scale_factor=2, mode="nearest")


def down(x: Tensor, times: int = 2) -> Tensor:
    r"""Squares of ``times`` x ``times`` pixels to their means."""
    return x if times == 1 else nn.functional.avg_pool2d(x, times)


class Generator(nn.Module):
    r"""Noise (N, latent) to images (N, channels, p, p) in [0, 1], p = ``PIXELS[stage]``.

    ``alpha`` says how far the stage's own layers have faded in.
    """

    def __init__(self, latent: int, counts: tuple[int, ...], channels: int = 1) -> None:
        super().__init__()
        first = counts[0]
        start = nn.Sequential(
            nn.PixelNorm(),
            Equalised(16 * first, latent),
            nn.Unflatten(1, (first, 4, 4)),
            nn.LeakyReLU(0.2),
            nn.PixelNorm(),
            *conv3(first, first, nn.PixelNorm()),
        )
        grown = [
            nn.Sequential(
                nn.Upsample(scale_factor=2),
                *conv3(before, after, nn.PixelNorm()),
                *conv3(after, after, nn.PixelNorm()),
            )
            for before, after in zip(counts, counts[1:])
        ]
        self.blocks = nn.ModuleList([start, *grown])
        self.to_image = nn.ModuleList(
            nn.Sequential(Equalised(channels, count, 1, 1, gain=1), nn.Sigmoid())
            for count in counts
        )
        self.stage, self.alpha = len(counts) - 1, 1.0

    def forward(self, z: Tensor) -> Tensor:
        h, before = z, z
        for block in list(self.blocks)[: self.stage + 1]:
            before, h = h, block(h)
        image = self.to_image[self.stage](h)
        if self.stage == 0 or self.alpha == 1:
            return image
        old = up(self.to_image[self.stage - 1](before))
        return self.alpha * image + (1 - self.alpha) * old


class Discriminator(nn.Module):
    r"""Images (N, channels, p, p), p = ``PIXELS[stage]``, to scores (N,), as a mirror would."""

    def __init__(self, counts: tuple[int, ...], channels: int = 1) -> None:
        super().__init__()
        first = counts[0]
        end = nn.Sequential(
            nn.MinibatchStdDev(GROUP),
            *conv3(first + 1, first),
            Equalised(first, first, 4, 4),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            Equalised(1, first, gain=1),
        )
        grown = [
            nn.Sequential(*conv3(count, count), *conv3(count, before), nn.AvgPool2d(2))
            for before, count in zip(counts, counts[1:])
        ]
        self.blocks = nn.ModuleList([end, *grown])
        self.from_image = nn.ModuleList(
            nn.Sequential(Equalised(count, channels, 1, 1), nn.LeakyReLU(0.2)) for count in counts
        )
        self.stage, self.alpha = len(counts) - 1, 1.0

    def forward(self, x: Tensor) -> Tensor:
        h = self.from_image[self.stage](x)
        if self.stage > 0:
            h = self.blocks[self.stage](h)
            if self.alpha != 1:
                old = self.from_image[self.stage - 1](down(x))
                h = self.alpha * h + (1 - self.alpha) * old
        for block in reversed(list(self.blocks)[: max(1, self.stage)]):
            h = block(h)
        return h.squeeze(1)


# ------------------------------------------------------------------------------------ the game
class ProGAN(Game):
    r"""The game of a critic whose slope is penalised, at the stage that :meth:`before_step` sets.

    Args:
        stage_steps: how many steps a stage has; the last one has all that remain.
    """

    kind = "wasserstein"
    config: Config

    def __init__(self, config: Config, device: Any, stage_steps: int) -> None:
        self.channels = 3 if config.data == "cifar" else 1
        counts = tuple(filters(config.width, *config.filters))
        super().__init__(
            config,
            device,
            Generator(config.latent, counts, self.channels),
            Discriminator(counts, self.channels),
        )
        self.stage_steps = stage_steps
        self.before_step(0)

    def make_optimizer(self, module: nn.Module, lr: float) -> optim.Optimizer:
        if self.config.optimizer == "adam":
            return optim.Adam(module.parameters(), lr=lr, betas=(0.0, 0.99))
        return super().make_optimizer(module, lr)

    def before_step(self, step: int) -> None:
        r"""A stage fades in over the first half of its steps, beginning with a = 0."""
        self.stage = min(step // self.stage_steps, len(PIXELS) - 1)
        within = step - self.stage * self.stage_steps
        self.alpha = 1.0 if self.stage == 0 else min(1.0, within / max(1, self.stage_steps // 2))
        self.pixels = PIXELS[self.stage]
        for network in (self.generator, self.shown, self.discriminator):
            network.stage, network.alpha = self.stage, self.alpha

    def shrink(self, x: Tensor) -> Tensor:
        r"""Real images (N, C, 28, 28) or (N, C, 32, 32) as the critic is shown them: with a border,
        of the stage's size, and as far from the size before as the generator's are."""
        if x.shape[-1] != PIXELS[-1]:
            x = nn.functional.pad(x, (BORDER,) * 4)
        x = down(x, PIXELS[-1] // self.pixels)
        return x if self.alpha == 1 else self.alpha * x + (1 - self.alpha) * up(down(x))

    def discriminator_loss(
        self, real: Tensor, labels: Tensor, fake: Tensor, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, Figures]:
        real = self.shrink(real)
        on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        distance = -adversarial.discriminator_loss(on_real, on_fake, self.kind)
        penalty = adversarial.gradient_penalty(self.discriminator, real, fake)
        loss = -distance + self.config.penalty * penalty
        loss = loss + self.config.drift * (on_real**2).mean()
        return loss, {"discriminator_loss": loss, "distance": distance, "gradient_penalty": penalty}

    def images(self, inputs: tuple[Tensor, ...]) -> np.ndarray:
        r"""Images of the data's size, (N, 1, 28, 28) or (N, 3, 32, 32), whatever the stage."""
        return self.enlarge(super().images(inputs))

    def enlarge(self, images: np.ndarray) -> np.ndarray:
        r"""(N, C, p, p) to the data's size: pixels repeated, the border cut off."""
        times = PIXELS[-1] // images.shape[-1]
        images = images.repeat(times, 2).repeat(times, 3)
        return images[..., BORDER:-BORDER, BORDER:-BORDER] if self.channels == 1 else images

    def real(self, x: Tensor) -> np.ndarray:
        r"""Real images with as much detail as this stage has, of the data's size."""
        with mg.no_grad():
            return self.enlarge(self.shrink(x).cpu().numpy())


# ----------------------------------------------------------------------------------- the judge
def load(config: Config, run: Run) -> Loaders:
    r"""MNIST, or CIFAR-10 divided in the same way."""
    if config.data == "mnist":
        return Loaders.of_mnist(config, run)
    images, tests = CIFAR10(train=True), CIFAR10(train=False)
    rest, held_out = random_split(
        images, [len(images) - config.validation, config.validation], mg.Generator(0)
    )
    training = Subset(images, rest.indices[: config.train_images])
    batch = min(config.batch_size, len(training))
    count = min(LOOKED_AT, len(tests))  # from first to last: an archive may be ordered by class
    spaced = Subset(tests, np.arange(count) * len(tests) // count)
    (known, _), (seen, labels) = (
        next(iter(DataLoader(part, LOOKED_AT, device=run.device))) for part in (held_out, spaced)
    )
    loader = DataLoader(training, batch, shuffle=True, drop_last=True, device=run.device)
    return Loaders(loader, known, seen, labels)


def judged(run: Run, validation: Tensor) -> Look:
    r"""What is thought of some samples at the end of each epoch, beside the same of real images
    that were shrunk as much. Of colours there is no judge; pixels have a distance."""

    def look(game: Game) -> Mapping[str, float]:
        assert isinstance(game, ProGAN)
        images, real = game.samples(LOOKED_AT, seed=1)[0], game.real(validation)
        run.picture(f"stage-{game.pixels:02d}", image_grid(images[:100], columns=10))
        figures: dict[str, float] = {"pixels": game.pixels, "alpha": game.alpha}
        if game.channels == 3:
            return figures | {"energy": energy_distance(images.reshape(LOOKED_AT, -1), flat(real))}
        features = judge.features(real)
        return figures | {
            "judge_score": judge.score(images),
            "real_score": judge.score(real),
            "val_frechet": frechet_distance(judge.features(images), features),
        }

    return look


def flat(images: Any) -> np.ndarray:
    r"""At most 1000 images as rows."""
    array = images if isinstance(images, np.ndarray) else images.cpu().numpy()
    return array[:LOOKED_AT].reshape(len(array[:LOOKED_AT]), -1)


def verdict(game: ProGAN, loaders: Loaders, samples: int) -> dict[str, float]:
    r"""The judge's verdict on digits; of colours, the energy distance of 1000 samples from test
    images, and that of as many validation images, the floor."""
    images, _ = game.samples(samples, seed=2)
    if game.channels == 1:
        return judge.verdict(images)
    test = flat(loaders.test)
    return {
        "energy_distance": energy_distance(flat(images), test),
        "energy_floor": energy_distance(flat(loaders.validation), test),
        "energy_noise": energy_distance(np.random.default_rng(0).random(test.shape), test),
    }


def train(config: Config) -> Result:
    r"""Play the game stage by stage, and show what came of each to the judge."""
    run = Run(config)
    loaders = load(config, run)
    game = ProGAN(config, run.device, config.stage_epochs * len(loaders.train))
    play(run, game, config, loaders.train, judged(run, loaders.validation))
    game.before_step(run.step - 1)  # a run that is resumed at its end takes no step
    figures = verdict(game, loaders, config.samples)
    stages = {line["pixels"]: line for line in run.history}
    for pixels, line in stages.items():
        for name in ("judge_score", "real_score"):
            if name in line:
                figures[f"{name}_{pixels}"] = line[name]
    pictures(run, game, "ProGAN", PANELS[config.data])
    return run.finish(game.shown, **figures)


if __name__ == "__main__":
    main(train, Config)
