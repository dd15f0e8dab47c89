r"""DCGAN with self-normalising units (SELU) in its generator.

Paper: Klambauer et al., Self-normalizing neural networks, NeurIPS 2017, arXiv:1706.02515; the game:
Radford, Metz and Chintala, 2016, arXiv:1511.06434

Expect: a judge's score of 8.5 or more (real digits: 9.7; noise: 1.0), every class between 5 and 20
% of the samples. Largest run: a quarter of the width: 6.4, which is short of it, and 7 to 16 %

The game and the losses of ``dcgan.py``. The generator's one hidden map has

    SELU(h) = 1.0507 h                       h > 0
              1.0507 * 1.6733 (e^h - 1)      else

which brings activations of any mean and variance near 0 and 1 by itself, given weights of variance
1 / fan_in; here there is batch norm as well. It is *not* there to take noise out of z:

    generator       z ~ N(0, I), 32 - 7 x 7 x 128 - batch norm - transposed convolution 5 x 5,
                    stride 2, 64 filters - SELU - batch norm - transposed convolution to 1 - tanh
    discriminator   [convolution 5 x 5, stride 2 - leaky ReLU .2 - dropout .4] with 64 and 128
                    filters - one score

These are the smallest networks of the family. At a quarter of the width, with so much dropout, the
discriminator stays nearly undecided, at a loss of 1.34 where 2 ln 2 is 1.39, and the score rises by
0.4 after the third of six epochs. The Fréchet distance is 1.3 in the end (untrained: 27).
``--width 1`` was not run.

``--data fashion`` has the clothes of Fashion-MNIST, as the popular version, whose optimiser is
RMSprop at 1e-3 for both sides (``--optimizer rmsprop --lr 1e-3 --schedule constant --ema 0``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from minigrad import Tensor, nn
from minigrad.train import Result, Run, main
from models import judge
from models.gan.common import DigitsConfig, Game, Loaders, judged, pictures, play
from models.gan.networks import FromTanh, ShallowDiscriminator, filters, initialise, up


@dataclass
class Config(DigitsConfig):
    r"""The options."""

    data: Literal["mnist", "fashion"] = "mnist"  #: digits or clothes
    latent: int = 32
    noise: Literal["uniform", "normal"] = "normal"
    dropout: float = 0.4  #: in the discriminator

    def check(self) -> None:
        super().check()
        self.expect("dropout", 0 <= self.dropout < 1, "a number in [0, 1)")


class Generator(nn.Module):
    r"""z (N, latent) to images (N, 1, 28, 28) in [0, 1]."""

    def __init__(self, latent: int = 32, width: float = 1.0) -> None:
        super().__init__()
        self.channels, hidden = filters(width, 128, 64)
        self.dense = nn.Linear(latent, 7 * 7 * self.channels)
        self.body = nn.Sequential(
            nn.BatchNorm2d(self.channels),
            up(self.channels, hidden, 2),
            nn.SELU(),
            nn.BatchNorm2d(hidden),
            up(hidden, 1, 2),
            FromTanh(),
        )
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.body(self.dense(z).reshape(-1, self.channels, 7, 7))


def train(config: Config) -> Result:
    r"""Play the game, and show what came of it to the judge."""
    run = Run(config)
    loaders = Loaders.of_mnist(config, run, config.data)
    generator = Generator(config.latent, config.width)
    discriminator = ShallowDiscriminator(config.discriminator_width, config.dropout)
    game = Game(config, run.device, generator, discriminator)
    play(run, game, config, loaders.train, judged(loaders.validation, config.data))
    verdict = judge.verdict(game.samples(config.samples, seed=2)[0], data=config.data)
    pictures(run, game, "DCGAN with SELU")
    return run.finish(game.shown, **verdict)


if __name__ == "__main__":
    main(train, Config)
