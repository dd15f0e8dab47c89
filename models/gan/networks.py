r"""The bodies that the GANs of MNIST share, so that each model's file shows its difference.

Belongs here: networks that more than one model has. Does not belong here: losses
(``minigrad.nn.adversarial``), the game (``common.py``), a network of one model.

    generator       inputs - 7 x 7 x 128 - [batch norm - ReLU - transposed convolution 5 x 5] with
                    128, 64, 32, 1 filters and strides 2, 2, 1, 1 - sigmoid, images of 28 x 28
    discriminator   image - [leaky ReLU .2 - convolution 5 x 5] with 32, 64, 128, 256 filters and
                    strides 2, 2, 2, 1 - 4 x 4 x 256 numbers - one score

The discriminator has no sigmoid: a score is a logit, a distance or a critic's opinion, as the loss
takes it. It has no batch norm unless asked for one. ``width`` multiplies the numbers of filters:
the cost of a step grows with its square. At the same width a discriminator's pass costs a fifth of
a generator's.
"""

from __future__ import annotations

import minigrad as mg
from minigrad import Tensor, nn

SIDE = 28  # pixels of a side of an image
CLASSES = 10


def filters(width: float, *counts: int) -> list[int]:
    r"""``counts`` times ``width``, at least 1 each."""
    return [max(1, round(width * count)) for count in counts]


def initialise(module: nn.Module) -> None:
    r"""Glorot's uniform weights, biases 0, batch norm as it is.

    Radford et al. have weights from N(0, .02^2), and batch norm in the discriminator too. Without
    it such small weights let each layer shrink what it is given, and in the first hundred steps
    the discriminator goes so far ahead that the generator makes one picture of all noise.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def up(
    inputs: int, outputs: int, stride: int, kernel: int = 5, bias: bool = True
) -> nn.ConvTranspose2d:
    r"""A transposed convolution whose images are ``stride`` times as large; of stride 1 always with
    a kernel of 5."""
    if stride > 1 and kernel == 4:
        return nn.ConvTranspose2d(inputs, outputs, 4, stride, padding=1, bias=bias)
    return nn.ConvTranspose2d(
        inputs, outputs, 5, stride, padding=2, output_padding=stride - 1, bias=bias
    )


class Generator(nn.Module):
    r"""What an image is made of, (N, inputs), to images (N, 1, 28, 28) in [0, 1].

    Several inputs (noise, a class, a code) are joined: ``generator(z, c)``.

    Args:
        kernel: of the layers with stride 2. 5 does not divide by 2: a pixel is made by 4, 6 or 9
            places of the layer before, in turn, which shows as a checkerboard; 4 is even.
    """

    def __init__(self, inputs: int = 100, width: float = 1.0, kernel: int = 5) -> None:
        super().__init__()
        self.channels, *rest = filters(width, 128, 128, 64, 32)
        self.dense = nn.Linear(inputs, 7 * 7 * self.channels)
        layers: list[nn.Module] = []
        before = self.channels
        for count, stride in zip([*rest, 1], (2, 2, 1, 1)):
            layers += [nn.BatchNorm2d(before), nn.ReLU(), up(before, count, stride, kernel)]
            before = count
        self.body = nn.Sequential(*layers, nn.Sigmoid())
        initialise(self)

    def forward(self, *inputs: Tensor) -> Tensor:
        h = self.dense(mg.cat(inputs, 1) if len(inputs) > 1 else inputs[0])
        return self.body(h.reshape(-1, self.channels, 7, 7))


class Discriminator(nn.Module):
    r"""Images (N, channels, 28, 28) to scores (N,).

    Args:
        batch_norm: whether there is one after each convolution but the first. The real images of a
            step and the generated ones are normalised apart.
        dropout: of the numbers that each convolution gives.
    """

    def __init__(
        self,
        width: float = 1.0,
        batch_norm: bool = False,
        channels: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = channels
        for count, stride in zip(filters(width, 32, 64, 128, 256), (2, 2, 2, 1)):
            layers += [nn.LeakyReLU(0.2), nn.Conv2d(before, count, 5, stride, padding=2)]
            if batch_norm and len(layers) > 2:
                layers.append(nn.BatchNorm2d(count))
            if dropout:
                layers.append(nn.Dropout(dropout))
            before = count
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.outputs = 4 * 4 * before  # numbers that ``features`` gives
        self.score = nn.Linear(self.outputs, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.features(x)).squeeze(1)


class TwoHeaded(Discriminator):
    r"""Images to scores (N,) and, from the same features, to what they show or were made of,
    (N, answers): 4 x 4 x 256 numbers - 128 - leaky ReLU .2 - ``answers``."""

    def __init__(self, answers: int, width: float = 1.0, batch_norm: bool = False) -> None:
        super().__init__(width, batch_norm)
        self.answer = nn.Sequential(
            nn.Linear(self.outputs, 128), nn.LeakyReLU(0.2), nn.Linear(128, answers)
        )
        initialise(self.answer)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.features(x)
        return self.score(h).squeeze(1), self.answer(h)


def one_hot(labels: Tensor, classes: int = CLASSES) -> Tensor:
    r"""Classes (N,) as float32 rows (N, classes)."""
    return nn.functional.one_hot(labels, classes).to(mg.float32)


# ------------------------------------------------------------- the two DCGANs with a smaller body
class FromTanh(nn.Module):
    r"""(1 + tanh(h)) / 2: what a tanh gives, as pixels in [0, 1]."""

    def forward(self, h: Tensor) -> Tensor:
        return 0.5 * h.tanh() + 0.5


class ShallowDiscriminator(nn.Module):
    r"""Images (N, 1, 28, 28) to scores (N,): two convolutions 5 x 5 with stride 2, 64 and 128
    filters, leaky ReLU .2, dropout. It sees pixels in [-1, 1], as a tanh makes them."""

    def __init__(self, width: float = 1.0, dropout: float = 0.25) -> None:
        super().__init__()
        first, second = filters(width, 64, 128)
        self.features = nn.Sequential(
            nn.Conv2d(1, first, 5, 2, padding=2),  # (N, 64, 14, 14)
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Conv2d(first, second, 5, 2, padding=2),  # (N, 128, 7, 7)
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Flatten(),
        )
        self.score = nn.Linear(7 * 7 * second, 1)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.features(2 * x - 1)).squeeze(1)
