r"""What the GANs share: options, the game, its measure, pictures.

Belongs here: what is the same in every file of the family. Does not belong here: networks
(``networks.py``, or the model's own file), losses (``minigrad.nn.adversarial``), the judge
(``models/judge.py``), a rule of one model.

A generator G makes an image of noise z, a discriminator D gives an image a score, and each learns
with the other one standing still:

    discriminator   lower  L_D(D(x), D(G(z)))      x real, z drawn afresh, G frozen
    generator       lower  L_G(D(G(z)))            z drawn afresh, D frozen

The discriminator's step is taken for every batch of real images, the generator's after every
``critic_steps`` of them. Frozen means frozen: neither the weights of the one that stands still nor
its batch norm's statistics move.

Losses say little about the samples: at the equilibrium of the first GANs D is right half of the
time, L_D = 2 ln 2 and L_G = ln 2, but so it is when both are bad. So samples are shown to a judge
that was trained apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.backend import get_array_module, to_numpy
from minigrad.data import DataLoader
from minigrad.nn import adversarial
from minigrad.nn.utils import clip_grad_value_, frozen
from minigrad.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from minigrad.train import Run, RunError
from minigrad.visualize import image_grid, plot_curves, save_animation
from models import judge
from models.gan.networks import CLASSES
from models.mnist import KINDS, load_mnist
from models.training import ImageTrainingConfig, TrainingConfig, make_schedule

#: the losses at which neither side has an advantage: of the discriminator and of the generator
EQUILIBRIUM = {
    "minimax": (2 * math.log(2), -math.log(2)),
    "non_saturating": (2 * math.log(2), math.log(2)),
    "least_squares": (0.25, 0.125),
}
WON = 1e-3  # mean cross-entropy of a discriminator that leaves the generator nothing to learn
LOOKED_AT = 1000  # samples that the judge sees after each epoch

Figures = dict[str, Tensor]


@dataclass
class GameConfig(TrainingConfig):
    r"""The options that all games have, whatever is generated."""

    latent: int = 100  #: dimensions of the noise z
    noise: Literal["uniform", "normal"] = "uniform"  #: z from U(-1, 1) or N(0, 1)
    optimizer: Literal["adam", "rmsprop"] = "adam"  #: adam with betas 0.5 and 0.999
    lr: float = 2e-4  #: learning rate of the discriminator at the beginning
    lr_generator: float | None = None  #: of the generator; none: the same
    schedule: Literal["constant", "cosine"] = "constant"  #: cosine: lr falls to 0 over the run
    batch_size: int = 64  #: real examples in a step of the discriminator
    critic_steps: int = 1  #: steps of the discriminator for one of the generator
    clip_value: float | None = None  #: each number of a gradient is cut to this size
    ema: float = 0.0  #: samples are of a moving average of the generator's weights; 0: of them
    film: int = 250  #: steps between two pictures of the film
    looks: int = 1  #: times an epoch that samples are judged for the curves

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent", "critic_steps", "film", "looks")
        rate = self.lr_generator
        self.expect("lr_generator", rate is None or rate > 0, "a positive number or none")
        clip = self.clip_value
        self.expect("clip_value", clip is None or clip > 0, "a positive number or none")
        self.expect("ema", 0 <= self.ema < 1, "a number in [0, 1)")

    @property
    def axis(self) -> str:
        r"""What curves are drawn over: with several looks an epoch, steps."""
        return "epoch" if self.looks == 1 else "step"


@dataclass
class GANConfig(GameConfig, ImageTrainingConfig):
    r"""The options that all GANs of MNIST have."""

    width: float = 0.5  #: multiplies the numbers of filters; 1: the sources' networks
    epochs: int = 5  #: passes over the training images
    samples: int = 20_000  #: to be judged at the end; 1-NN errors fall with their number
    validation: int = 5000  #: training images held out for the curves

    quick_values: ClassVar = {
        **ImageTrainingConfig.quick_values,
        "width": 0.125,
        "samples": 500,
        "film": 10,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "samples")
        self.expect("width", self.width > 0, "a positive number")


@dataclass
class DigitsConfig(GANConfig):
    r"""A way to train GANs of digits that a CPU has the time for: a quarter of the width, and many
    steps of few images."""

    lr: float = 5e-4  #: learning rate of the discriminator at the beginning
    lr_generator: float | None = 1e-3  #: of the generator; none: the same
    schedule: Literal["constant", "cosine"] = "cosine"  #: cosine: lr falls to 0 over the run
    batch_size: int = 32  #: real examples in a step of the discriminator
    ema: float = 0.999  #: samples are of a moving average of the generator's weights; 0: of them
    epochs: int = 6  #: passes over the training images
    film: int = 500  #: steps between two pictures of the film
    width: float = 0.25  #: multiplies the numbers of filters; 1: the sources' networks
    width_discriminator: float | None = None  #: the width of the discriminator; none: the same

    quick_values: ClassVar = {**GANConfig.quick_values, "ema": 0.9, "width_discriminator": 0.125}

    def check(self) -> None:
        super().check()
        own = self.width_discriminator
        self.expect("width_discriminator", own is None or own > 0, "a positive number or none")

    @property
    def discriminator_width(self) -> float:
        return self.width_discriminator or self.width


@dataclass
class BodyConfig(DigitsConfig):
    r"""The options of the GANs that have the common body (``networks.py``). Their discriminators
    are not as small as their generators: what the one knows is what the other can learn."""

    width_discriminator: float | None = 0.5  #: the width of the discriminator; none: the same
    batch_norm: bool = True  #: in the discriminator too

    @property
    def judging(self) -> tuple[float, bool]:
        r"""The discriminator's width, and whether it has batch norm."""
        return self.discriminator_width, self.batch_norm


class Game:
    r"""A generator and a discriminator, and the rules that both learn by.

    These are the rules of the GAN. A model overrides what it does differently: ``kind``, the losses
    of ``minigrad.nn.adversarial``; :meth:`draw`, what the generator is given; the two losses;
    :meth:`after_discriminator_step`.

    Args:
        generator: from what :meth:`draw` gives to images.
        discriminator: from images to scores (N,).
    """

    kind = "non_saturating"

    def __init__(
        self, config: GameConfig, device: Any, generator: nn.Module, discriminator: nn.Module
    ) -> None:
        self.config, self.device = config, device
        self.generator, self.discriminator = generator.to(device), discriminator.to(device)
        self.d_optimizer = self.make_optimizer(discriminator, config.lr)
        self.g_optimizer = self.make_optimizer(generator, config.lr_generator or config.lr)
        #: where samples come from
        self.shown = generator
        self.average: AveragedModel | None = None
        if config.ema:
            self.average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(config.ema))
            self.shown = self.average.module

    def make_optimizer(self, module: nn.Module, lr: float) -> optim.Optimizer:
        if self.config.optimizer == "adam":
            return optim.Adam(module.parameters(), lr=lr, betas=(0.5, 0.999))
        return optim.RMSprop(module.parameters(), lr=lr, alpha=0.9)

    # ------------------------------------------------------------------------------- the rules
    def noise(self, n: int, generator: Generator | None = None) -> Tensor:
        r"""z (n, latent)."""
        shape = (n, self.config.latent)
        if self.config.noise == "normal":
            return mg.randn(*shape, generator=generator, device=self.device)
        return 2 * mg.rand(*shape, generator=generator, device=self.device) - 1

    def draw(
        self, n: int, labels: Tensor | None = None, generator: Generator | None = None
    ) -> tuple[Tensor, ...]:
        r"""What the generator makes ``n`` images of: tensors (n, ...).

        Args:
            labels: the classes (n,) to make, for a generator that can be told; else None.
        """
        return (self.noise(n, generator),)

    def discriminator_loss(
        self, real: Tensor, labels: Tensor, fake: Tensor, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, Figures]:
        r"""What the discriminator lowers, and figures of the step.

        Args:
            real, labels: images (N, 1, 28, 28) and their classes (N,).
            fake, inputs: images (N, 1, 28, 28), and what the generator made them of.
        """
        on_real, on_fake = self.discriminator(real), self.discriminator(fake)
        loss = adversarial.discriminator_loss(on_real, on_fake, self.kind)
        return loss, {"discriminator_loss": loss}

    def generator_loss(self, fake: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Figures]:
        r"""What the generator lowers, and figures of the step."""
        loss = adversarial.generator_loss(self.discriminator(fake), self.kind)
        return loss, {"generator_loss": loss}

    def after_discriminator_step(self) -> None:
        r"""What is done to the discriminator's weights after each of its steps: nothing."""

    # ------------------------------------------------------------------------------- the steps
    def before_step(self, step: int) -> None:
        r"""Called before each step of the discriminator, with how many there were: nothing."""

    def discriminator_step(self, real: Tensor, labels: Tensor) -> Figures:
        r"""One step of the discriminator; the generator is left as it is to the last bit."""
        inputs = self.draw(len(real))
        with mg.no_grad(), frozen(self.generator):
            fake = self.generator(*inputs)
        loss, figures = self.discriminator_loss(real, labels, fake, inputs)
        self.descend(loss, self.discriminator, self.d_optimizer)
        self.after_discriminator_step()
        return figures

    def generator_step(self, n: int) -> Figures:
        r"""One step of the generator, with ``n`` images; the discriminator is left as it is."""
        inputs = self.draw(n)
        fake = self.generator(*inputs)
        with frozen(self.discriminator):
            loss, figures = self.generator_loss(fake, inputs)
        self.descend(loss, self.generator, self.g_optimizer)
        if self.average is not None:
            self.average.update_parameters(self.generator)
        return figures

    def descend(self, loss: Tensor, network: nn.Module, optimizer: optim.Optimizer) -> None:
        r"""One step of ``network`` down the gradient of ``loss``."""
        optimizer.zero_grad()
        loss.backward()
        if self.config.clip_value is not None:
            clip_grad_value_(network.parameters(), self.config.clip_value)
        optimizer.step()

    def parts(self) -> dict[str, Any]:
        r"""What a checkpoint must hold."""
        parts = {
            "generator_network": self.generator,
            "discriminator_network": self.discriminator,
            "discriminator_optimizer": self.d_optimizer,
            "generator_optimizer": self.g_optimizer,
        }
        return parts if self.average is None else {**parts, "average": self.average}

    # ----------------------------------------------------------------------------- the samples
    def images(self, inputs: tuple[Tensor, ...]) -> np.ndarray:
        r"""Inputs to images (N, 1, 28, 28) in [0, 1] on the host, in eval mode."""
        self.shown.eval()
        with mg.no_grad():
            parts = [
                self.shown(*(part[i : i + 500] for part in inputs)).cpu().numpy()
                for i in range(0, len(inputs[0]), 500)
            ]
        self.shown.train()
        return np.concatenate(parts)

    def samples(self, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        r"""``n`` images (n, 1, 28, 28), always of the same noise, and the classes (n,) that were
        asked for, in turn; a generator that cannot be told does not look at them."""
        labels = np.arange(n) % CLASSES
        inputs = self.draw(n, mg.tensor(labels, device=self.device), Generator(seed))
        return self.images(inputs), labels

    def picture(self) -> Any:
        r"""A hundred samples of the same noise as ever, as :meth:`Run.picture` takes pictures."""
        return image_grid(self.samples(100)[0], columns=10)


# ------------------------------------------------------------------------------------ the loop
@dataclass
class Loaders:
    r"""Training images in batches, images of the validation and the test, and the latter's labels,
    for whoever judges."""

    train: DataLoader
    validation: Tensor
    test: Tensor
    test_labels: Tensor

    @classmethod
    def of_mnist(cls, config: GANConfig, run: Run, data: str = "mnist") -> Loaders:
        r"""MNIST or Fashion-MNIST ("fashion"), as ``models/mnist.py`` divides them. Batches are
        full: an average over a few images would be noise for batch norm."""
        train, validation, test = load_mnist(
            config.validation, config.train_images, config.test_images, kind=KINDS[data]
        )
        batch = min(config.batch_size, len(train))
        (known, _), (tests, labels) = (
            next(iter(DataLoader(data, len(data)))) for data in (validation, test)
        )
        loader = DataLoader(train, batch, shuffle=True, drop_last=True, device=run.device)
        return cls(loader, known, tests, labels)


Look = Callable[[Game], Mapping[str, float]]


def play(
    run: Run, game: Game, config: GameConfig, loader: DataLoader, look: Look | None = None
) -> None:
    r"""Let both sides learn for ``config.epochs``.

    Args:
        look: figures of the generator, measured ``config.looks`` times an epoch and logged.

    Raises:
        FloatingPointError: losses or weights are nan or infinite; RunError: the discriminator has
            won. The last checkpoint is of a time when all was well.
    """
    length = len(loader)
    turns = config.epochs * length
    looks = {round(length * k / config.looks) for k in range(1, config.looks)} - {0}
    schedules = {
        "discriminator": make_schedule(config.schedule, game.d_optimizer, turns),
        "generator": make_schedule(
            config.schedule, game.g_optimizer, max(1, turns // config.critic_steps)
        ),
    }
    run.track(
        **game.parts(),
        **{f"{name}_schedule": schedule for name, schedule in schedules.items()},
        loader=loader,
    )
    run.guard = lambda: check(run, game, run.means())

    def log() -> None:
        check(run, game, run.means())
        run.log(**(look(game) if look is not None else {}))

    for _ in run.epochs(config.epochs):
        for x, y in run.batches(loader):
            if run.step % length in looks:
                log()
            game.before_step(run.step)
            run.record(**game.discriminator_step(x, y))
            schedules["discriminator"].step()
            if (run.step + 1) % config.critic_steps == 0:
                run.record(**game.generator_step(len(x)))
                schedules["generator"].step()
            if (run.step + 1) % config.film == 0:
                run.picture(f"film-{run.step + 1:07d}", game.picture())
        log()


def check(run: Run, game: Game, means: Mapping[str, float]) -> None:
    r"""Raise an error of one line if the game is over, before its remains are saved."""
    advice = f"the last good checkpoint, after step {run.saved_step}, is in {run.folder}"
    for name, value in means.items():
        if not math.isfinite(value):
            raise FloatingPointError(f"{name} is {value} after step {run.step}; {advice}")
    for name, network in (("generator", game.generator), ("discriminator", game.discriminator)):
        if not all(_finite(p) for p in network.parameters()):
            raise FloatingPointError(
                f"weights of the {name} are nan or infinite after step {run.step}; {advice}"
            )
    loss = means.get("discriminator_loss", math.inf)
    if game.kind in ("minimax", "non_saturating") and loss < WON and run.step >= 100:
        raise RunError(
            f"the discriminator has won: its loss is {loss:.1e} up to step {run.step} and the "
            f"generator learns nothing from it; a smaller --lr may help; {advice}"
        )


def _finite(tensor: Tensor) -> bool:
    return bool(to_numpy(get_array_module(tensor.data).isfinite(tensor.data).all()))


def judged(validation: Tensor, data: str = "mnist") -> Look:
    r"""What the judge makes of some samples after each epoch: its score, and the Fréchet distance
    of their features from the validation images'."""
    known = judge.features(validation, data)

    def look(game: Game) -> dict[str, float]:
        seen = judge.glance(game.samples(LOOKED_AT, seed=1)[0], known, data)
        return {"judge_score": seen["judge_score"], "val_frechet": seen["frechet"]}

    return look


# --------------------------------------------------------------------------------- the pictures
#: what :func:`judged` measures, in panels
JUDGED = {
    "judge's score": {"samples": "judge_score"},
    "Fréchet distance": {"samples to validation images": "val_frechet"},
}
LOGARITHMIC = ("Fréchet distance",)  #: panels of what falls by a factor of a hundred


def pictures(
    run: Run, game: Game, title: str, figures: Mapping[str, Mapping[str, str]] = JUDGED
) -> None:
    r"""Samples, the film of how they came about, losses with what they are at the equilibrium,
    figures over the epochs.

    Args:
        figures: panels of what was measured after each epoch, as ``plot_curves`` takes them.
    """
    run.picture("samples", game.picture())
    film = sorted(run.folder.glob("film-*.png"))
    if film:
        save_animation(run.folder / "film.gif", film)
    panels = {
        "discriminator's loss": {"mean": "discriminator_loss"},
        "generator's loss": {"mean": "generator_loss"},
    }
    lines: dict[str, Any] = {}
    if game.kind in EQUILIBRIUM:
        lines = {
            panel: {f"undecided: {value:.3f}": value}
            for panel, value in zip(panels, EQUILIBRIUM[game.kind])
        }
    panels |= {label: dict(curves) for label, curves in figures.items()}
    figure = plot_curves(run.history, panels, title, game.config.axis, lines, log=LOGARITHMIC)
    run.picture("curves", figure)
