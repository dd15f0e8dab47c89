r"""InfoGAN: codes that the generator must make visible, found without a label.

Paper: Chen et al., InfoGAN: interpretable representation learning by information maximizing
generative adversarial nets, NeurIPS 2016, arXiv:1606.03657

Expect: without labels, a purity of 94 %: real test digits sorted into ten classes by the code
(k-means on pixels: 53; chance: 10; the paper: 95); the code read back from 99.9 % of the generated
images (chance: 10); a continuous code in rank correlation of 0.90 with slant (a code that is
ignored: 0); half the width

G makes an image of noise z and of codes: a class c, one of ten, and two numbers u. Nothing in the
game of ``dcgan.py`` keeps G from ignoring them. So G is asked for images that tell their codes, by
their mutual information, I(c; G(z, c, u)) = H(c) - H(c|G(z, c, u)). It needs the posterior of the
codes given an image; any Q in its place gives a lower bound, which Q and G raise together:

    I(c; x) >= L_I = H(c) + E ln Q(c|x)         x = G(z, c, u);  H(c) = ln 10 = 2.303 nats
    I(u; x) >= H(u) + E ln Q(u|x)               H(u) = ln 2 = 0.693 nats for each number

    L_D = -mean ln sigma(D(x)) - mean ln(1 - sigma(D(G)))   - mean ln Q(c|G) - w mean ln Q(u|G)
    L_G = -mean ln sigma(D(G))                              - mean ln Q(c|G) - w mean ln Q(u|G)

    z ~ U(-1, 1)^62      c ~ Categorical(10)      u ~ U(-1, 1)^2
    Q(c|x) = softmax of 10 logits        Q(u|x) = N(u; mean(x), deviation^2 I)

Q is a second head of D. It learns from generated images only: there the codes are known, and
*unsupervised* means that nobody looks at the label of a real one. That the ten classes are the ten
digits is a discovery (or is not: nothing asks for it), and which code is which digit is found out
at the end, by the best assignment. As L_I is a bound it cannot be above ln 10.

    generator       (z, c, u), 62 + 10 + 2 numbers - the common body                 1,138,433
    discriminator   the common body - one score; and - 128 - 10 logits and 2 means   1,606,541

Where it differs from the paper: the popular version's convolutions; u has a weight of its own, w =
0.3; Q's deviation is fixed at 1/2 where the paper's code has 1.

The popular version has u ~ N(0, 1/4) (``--codes normal``), and three mistakes. It trains the class
head with the *labels of real images*, which makes an ACGAN of it; for the continuous codes it has
-mean(u ln q) with a sigmoid q, which is no likelihood, since u is no probability, and without a
lower bound; and its target for *real* images are codes drawn at random.

That the classes become digits takes a D that knows digits, a G that can draw them, and time. G
shows a code by what it can draw when Q first reads it, which are not digits yet: after an epoch
with a quarter of the width and a D as narrow as G, without batch norm (``--epochs 1 --schedule
constant --ema 0.995 --width 0.25 --width-discriminator none --no-batch-norm --code-weight 0.5``)
the purity was 38 %. With a quarter of the width in G alone, and a tenth of the codes' weight
(``--epochs 6 --width 0.25 --code-weight 0.1``), it was 84 %, two classes being mixtures of 4s, 7s
and 9s to the end; the best continuous code had 0.33.

One code goes with slant, the other with width (0.42), and 99 % of the images stay the same digit as
a code goes from -1 to 1. In the first of those runs it was 69 %. One seed was run, and not
``--width 1``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

import minigrad as mg
from minigrad import Generator as Random
from minigrad import Tensor, nn
from minigrad.evaluation import cluster_accuracy, slant_and_width, spearman
from minigrad.nn import adversarial
from minigrad.train import Result, Run, main
from minigrad.visualize import image_grid, plot_curves
from models import judge
from models.gan.common import BodyConfig, Figures, Game, Loaders, judged, pictures, play
from models.gan.networks import CLASSES, Generator, TwoHeaded, one_hot

CODES = 2  # continuous ones
MEASURES = ("slant", "width")
DEVIATION_OF_NORMAL = 0.5  # of a normal code


@dataclass
class Config(BodyConfig):
    r"""The options; the defaults give the figures above."""

    latent: int = 62
    codes: Literal["uniform", "normal"] = "uniform"  #: the two numbers, U(-1, 1) or N(0, 1/4)
    class_weight: float = 1.0  #: of the class code's part of the losses
    code_weight: float = 0.3  #: of the continuous codes'
    deviation: float = 0.5  #: of Q(u|x)
    width: float = 0.5
    epochs: int = 7

    def check(self) -> None:
        super().check()
        self.expect_at_least(0, "class_weight", "code_weight")
        self.expect("deviation", self.deviation > 0, "a positive number")


class InfoGAN(Game):
    r"""The game with codes that are to be read back. No label of a real image is looked at."""

    config: Config

    def draw(
        self, n: int, labels: Tensor | None = None, generator: Random | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""z (n, latent), one-hot class codes (n, 10), drawn evenly unless ``labels`` gives them,
        and continuous codes (n, 2)."""
        z = self.noise(n, generator)
        if labels is None:
            labels = mg.randint(CLASSES, (n,), generator=generator, device=self.device)
        if self.config.codes == "normal":
            u = mg.randn(n, CODES, generator=generator, device=self.device) * DEVIATION_OF_NORMAL
        else:
            u = 2 * mg.rand(n, CODES, generator=generator, device=self.device) - 1
        return z, one_hot(labels), u

    def log_q(self, answer: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        r"""The means over images of ln Q(c|x) and of ln Q(u|x), nats.

        Args:
            answer: (N, 12), ten logits and two means, of images made of ``inputs``.
        """
        _, c, u = inputs
        logits, means = answer[:, :CLASSES], answer[:, CLASSES:]
        of_class = -nn.functional.cross_entropy(logits, c)
        variance = self.config.deviation**2
        each = -nn.functional.gaussian_nll_loss(means, u, variance, full=True)
        return of_class, CODES * each  # a sum over the codes

    def entropies(self) -> tuple[float, float]:
        r"""H(c) and H(u), nats."""
        one = math.log(2)
        if self.config.codes == "normal":
            one = 0.5 * math.log(2 * math.pi * math.e * DEVIATION_OF_NORMAL**2)
        return math.log(CLASSES), CODES * one

    def information(self, answer: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Figures]:
        r"""What both sides raise, and the lower bounds of the two mutual informations."""
        of_class, of_codes = self.log_q(answer, inputs)
        raised = self.config.class_weight * of_class + self.config.code_weight * of_codes
        h_class, h_codes = self.entropies()
        return raised, {
            "class_information": h_class + of_class,
            "code_information": h_codes + of_codes,
        }

    def discriminator_loss(
        self, real: Tensor, labels: Tensor | None, fake: Tensor, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, Figures]:
        on_real, _ = self.discriminator(real)
        on_fake, answer = self.discriminator(fake)
        loss = adversarial.discriminator_loss(on_real, on_fake, self.kind)
        raised, figures = self.information(answer, inputs)
        return loss - raised, {"discriminator_loss": loss, **figures}

    def generator_loss(self, fake: Tensor, inputs: tuple[Tensor, ...]) -> tuple[Tensor, Figures]:
        on_fake, answer = self.discriminator(fake)
        loss = adversarial.generator_loss(on_fake, self.kind)
        return loss - self.information(answer, inputs)[0], {"generator_loss": loss}

    def answers(self, images: Tensor) -> Tensor:
        r"""What Q says of images (N, 1, 28, 28): (N, 12)."""
        self.discriminator.eval()
        with mg.no_grad():
            parts = [self.discriminator(images[i : i + 500])[1] for i in range(0, len(images), 500)]
        self.discriminator.train()
        return mg.cat(parts, 0)


# ------------------------------------------------------------------------- what became of the codes
def recovery(game: InfoGAN, n: int) -> dict[str, float]:
    r"""What Q reads from ``n`` generated images: how often the class, and how many nats."""
    inputs = game.draw(n, generator=Random(2))
    answer = game.answers(mg.tensor(game.images(inputs), device=game.device))
    figures = game.information(answer, inputs)[1]
    right = answer[:, :CLASSES].argmax(1).cpu().numpy() == inputs[1].argmax(1).cpu().numpy()
    return {
        "code_recovery": float(right.mean()),
        **{name: nats.item() for name, nats in figures.items()},
    }


def purity(game: InfoGAN, images: Tensor, labels: Tensor) -> float:
    r"""The share of real images that Q sorts as their labels do, each code standing for one digit,
    in the best way."""
    said = game.answers(images.to(game.device))[:, :CLASSES].argmax(1)
    return cluster_accuracy(labels, said)


def rank_correlation(code: np.ndarray, seen: np.ndarray) -> float:
    r"""Spearman's; 0 where all images are alike."""
    return spearman(code, seen) if np.ptp(seen) > 0 else 0.0


def effects(game: InfoGAN, n: int) -> dict[str, float]:
    r"""Rank correlations of each continuous code with slant and width, each the mean of those
    within the ten classes, over ``n`` images of all kinds of noise; the largest of them."""
    classes = np.arange(n) % CLASSES
    inputs = game.draw(n, mg.tensor(classes, device=game.device), Random(3))
    seen, u = slant_and_width(game.images(inputs)), inputs[2].cpu().numpy()
    found = {}
    for j in range(CODES):
        for name, values in zip(MEASURES, seen):
            within = (classes == k for k in range(CLASSES))
            each = [rank_correlation(u[some, j], values[some]) for some in within]
            found[f"code_{j + 1}_{name}"] = float(np.mean(each))
    return {**found, "code_correlation": max(abs(value) for value in found.values())}


def traverse(game: InfoGAN, code: int, n: int, values: np.ndarray, seed: int = 4) -> np.ndarray:
    r"""``n`` images, of the ten classes in turn, as the continuous ``code`` (0 or 1) takes the
    ``values`` (V,) and all else stays: (n, V, 1, 28, 28)."""
    classes = mg.tensor(np.arange(n) % CLASSES, device=game.device)
    z, c, u = (part.cpu().numpy() for part in game.draw(n, classes, Random(seed)))
    z, c, u = (part.repeat(len(values), axis=0) for part in (z, c, u))
    u[:, code] = np.tile(values, n)
    made = game.images(tuple(mg.tensor(part, device=game.device) for part in (z, c, u)))
    return made.reshape(n, len(values), 1, 28, 28)


def unchanged(game: InfoGAN, n: int) -> float:
    r"""How often the judge says the same of an image as of the one with the code in the middle, as
    a continuous code goes from -1 to 1."""
    values = np.linspace(-1, 1, 9, dtype=np.float32)
    same = []
    for code in range(CODES):
        images = traverse(game, code, n, values)
        said = judge.opinions(images.reshape(-1, 784)).argmax(1).reshape(n, len(values))
        same.append(said == said[:, 4:5])
    return float(np.mean(same))


def train(config: Config) -> Result:
    r"""Play the game, and find out what the codes have come to mean."""
    run = Run(config)
    loaders = Loaders.of_mnist(config, run)
    game = InfoGAN(
        config,
        run.device,
        Generator(config.latent + CLASSES + CODES, config.width),
        TwoHeaded(CLASSES + CODES, *config.judging),
    )
    play(run, game, config, loaders.train, judged(loaders.validation))
    figures = {
        "purity": purity(game, loaders.test, loaders.test_labels),
        **recovery(game, config.samples),
        **effects(game, config.samples),
        "class_unchanged": unchanged(game, max(CLASSES, config.samples // 25)),
    }
    verdict = judge.verdict(game.samples(config.samples, seed=2)[0])
    pictures(run, game, "InfoGAN on MNIST")
    nats = {"ln 10": math.log(CLASSES)}
    panels = {
        "bound for the class code (nats)": {"mean": "class_information"},
        "bound for the continuous codes (nats)": {"mean": "code_information"},
    }
    lines = {next(iter(panels)): nats}
    figure = plot_curves(run.history, panels, "Mutual information", config.axis, lines)
    run.picture("information", figure)
    for code in range(CODES):
        images = traverse(game, code, CLASSES, np.linspace(-1, 1, 10, dtype=np.float32))
        run.picture(f"code_{code + 1}", image_grid(images.reshape(-1, 1, 28, 28), columns=10))
    return run.finish(game.shown, **figures, **verdict)


if __name__ == "__main__":
    main(train, Config)
