r"""The networks that translate images, and those that look at their parts.

Belongs here: the U-Net and the PatchGAN of ``cyclegan.py``. Does not belong here: the game.

U-Net: Ronneberger, Fischer and Brox, U-Net: convolutional networks for biomedical image
segmentation, 2015. Instance norm: Ulyanov, Vedaldi and Lempitsky, Instance normalization: the
missing ingredient for fast stylization, 2016.
"""

from __future__ import annotations

import minigrad as mg
from minigrad import Tensor, nn
from models.gan.networks import filters, initialise


def convolution(inputs: int, outputs: int, stride: int, kernel: int) -> nn.Conv2d:
    r"""With ``stride`` 1 a kernel of 4 is one of 3, which keeps the size."""
    kernel = 3 if stride == 1 and kernel == 4 else kernel
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2)


def back(inputs: int, outputs: int, stride: int, kernel: int) -> nn.Module:
    r"""The transposed convolution to :func:`convolution`."""
    kernel = 3 if stride == 1 and kernel == 4 else kernel
    return nn.ConvTranspose2d(
        inputs,
        outputs,
        kernel,
        stride,
        padding=(kernel - 1) // 2,
        output_padding=stride - 1 if kernel % 2 else 0,
    )


def layer(
    conv: nn.Module, before: int, after: int, slope: float, norm_first: bool, norm: bool = True
) -> nn.Sequential:
    r"""A convolution with instance norm and (leaky) ReLU after it or before it."""
    size = before if norm_first else after
    rest = [nn.InstanceNorm2d(size)] if norm or norm_first else []
    rest = [*rest, nn.LeakyReLU(slope)]
    return nn.Sequential(*rest, conv) if norm_first else nn.Sequential(conv, *rest)


class UNet(nn.Module):
    r"""Images (N, inputs, p, p) to images (N, outputs, p, p) in [0, 1], p a multiple of 8."""

    def __init__(
        self,
        inputs: int = 1,
        outputs: int = 1,
        width: float = 1.0,
        kernel: int = 4,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        counts = filters(width, 32, 64, 128, 256)
        self.down = nn.ModuleList()
        before = inputs
        for i, count in enumerate(counts):
            conv = convolution(before, count, 1 if i == 0 else 2, kernel)
            # The image's contrast is in its mean and deviation: the first layer has no norm.
            self.down.append(layer(conv, before, count, 0.2, norm_first, norm=i > 0))
            before = count
        self.up = nn.ModuleList()
        for count in reversed(counts[:-1]):
            conv = back(before, count, 2, kernel)
            self.up.append(layer(conv, before, count, 0.0, norm_first))
            before = 2 * count  # with the encoder's
        last = back(before, outputs, 1, kernel)
        self.last = layer(last, before, outputs, 0.0, True) if norm_first else last
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for down in self.down:
            x = down(x)
            maps.append(x)
        maps.pop()
        for up in self.up:
            x = mg.cat([up(x), maps.pop()], 1)
        return self.last(x).sigmoid()


class PatchGAN(nn.Module):
    r"""Images (N, channels, size, size) to scores (N, 1, 4, 4) of their parts."""

    def __init__(
        self,
        channels: int = 1,
        size: int = 16,
        width: float = 1.0,
        kernel: int = 4,
        norm_first: bool = False,
    ) -> None:
        super().__init__()
        strides = (2, 2, 2, 1) if size == 32 else (2, 2, 1, 1)
        layers: list[nn.Module] = []
        before = channels
        for i, (count, stride) in enumerate(zip(filters(width, 32, 64, 128, 256), strides)):
            conv = convolution(before, count, stride, kernel)
            layers.append(layer(conv, before, count, 0.2, norm_first, norm=i > 0))
            before = count
        self.body = nn.Sequential(*layers, convolution(before, 1, 1, 3))
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)
