r"""DCGAN with dropout in its discriminator, and two learning rates.

Paper: Radford, Metz and Chintala, Unsupervised representation learning with deep convolutional
generative adversarial networks, ICLR 2016, arXiv:1511.06434

Expect: a judge's score of 8.5 or more (real digits: 9.7; noise: 1.0), every class between 5 and 20
% of the samples. Largest run: a quarter of the width, with a discriminator of the whole width: 7.4,
which is short of it, and 7 to 13 %. The defaults: 7.1, and 8 to 13 %

The game and the losses of ``dcgan.py``, with a smaller body, batch norm *before* the activation,
normal noise, a tanh, and a discriminator that is held back twice: by dropout, and by half the
generator's learning rate:

    generator       z ~ N(0, I), 100 - 7 x 7 x 256 - [batch norm - leaky ReLU .2 - transposed
                    convolution 5 x 5] with 128, 64, 1 filters and strides 1, 2, 2 - tanh
    discriminator   [convolution 5 x 5, stride 2 - leaky ReLU .2 - dropout .25] with 64 and 128
                    filters - one score

The tanh's [-1, 1] is brought to pixels in [0, 1], and the discriminator begins by bringing it back.
Without dropout and with equal rates the discriminator is ahead: its loss falls far below 2 ln 2.

With both, at a quarter of the width, its loss stays at 1.34, near 2 ln 2 = 1.39: it knows little,
and the generator learns no more than that. The Fréchet distance is 0.54 in the end (untrained: 27;
``dcgan.py``, whose discriminator has batch norm: 0.08). With all of its filters
(``--width-discriminator 1``, twice the time) the loss is 1.15 and the distance 0.31. ``--width 1``
was not run.

A popular version trains for 500 epochs with batches of 256 (``--epochs 500 --batch-size 256 --lr
5e-5 --lr-generator 1e-4 --schedule constant --ema 0 --width 1``), after which its losses are .730
and 1.361, near ln 2 and 2 ln 2. Its batch norm remembers .8 of its statistics, which is momentum .2
here.
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

    noise: Literal["uniform", "normal"] = "normal"
    dropout: float = 0.25  #: in the discriminator

    def check(self) -> None:
        super().check()
        self.expect("dropout", 0 <= self.dropout < 1, "a number in [0, 1)")


class Generator(nn.Module):
    r"""z (N, latent) to images (N, 1, 28, 28) in [0, 1]."""

    def __init__(self, latent: int = 100, width: float = 1.0) -> None:
        super().__init__()
        self.channels, *rest = filters(width, 256, 128, 64)
        self.dense = nn.Linear(latent, 7 * 7 * self.channels, bias=False)
        self.norm = nn.BatchNorm1d(7 * 7 * self.channels, momentum=0.2)
        layers: list[nn.Module] = [nn.LeakyReLU(0.2)]
        before = self.channels
        for count, stride in zip(rest, (1, 2)):
            layer = up(before, count, stride, bias=False)
            layers += [layer, nn.BatchNorm2d(count, momentum=0.2), nn.LeakyReLU(0.2)]
            before = count
        self.body = nn.Sequential(*layers, up(before, 1, 2, bias=False), FromTanh())
        initialise(self)

    def forward(self, z: Tensor) -> Tensor:
        return self.body(self.norm(self.dense(z)).reshape(-1, self.channels, 7, 7))


def train(config: Config) -> Result:
    r"""Play the game, and show what came of it to the judge."""
    run = Run(config)
    loaders = Loaders.of_mnist(config, run)
    generator = Generator(config.latent, config.width)
    discriminator = ShallowDiscriminator(config.discriminator_width, config.dropout)
    game = Game(config, run.device, generator, discriminator)
    play(run, game, config, loaders.train, judged(loaders.validation))
    verdict = judge.verdict(game.samples(config.samples, seed=2)[0])
    pictures(run, game, "DCGAN with dropout on MNIST")
    return run.finish(game.shown, **verdict)


if __name__ == "__main__":
    main(train, Config)
