r"""Convolutional autoencoder with pooling and upsampling, on Fashion-MNIST.

Paper: Masci et al., Stacked convolutional auto-encoders, ICANN 2011

Expect: binary cross-entropy of .27 nats a pixel or less on the test images of Fashion-MNIST after
one epoch, where .2422 is the pixels' own entropy (the mean image: .491; the source after 40: .2464)

Convolutions with pooling encode, convolutions with upsampling decode, all 3 x 3:

    h1 = maxpool2(relu(conv(x;  64)))       (N,  64, 14, 14)      640 parameters
    h2 = maxpool2(relu(conv(h1; 128)))      (N, 128,  7,  7)   73,856
    z  = relu(conv(h2; 256))                (N, 256,  7,  7)  295,168
    h3 = up2(relu(conv(z;  128)))           (N, 128, 14, 14)  295,040
    h4 = up2(relu(conv(h3; 64)))            (N,  64, 28, 28)   73,792
    p  = sigmoid(conv(h4; 1))               (N,   1, 28, 28)      577
    loss = mean_ni -x_ni log p_ni - (1 - x_ni) log(1 - p_ni)

**The code is no bottleneck.** It has 12,544 numbers for 784 pixels; nothing in it has to be left
out, so a loss near the pixels' own entropy would show that copying was learnt, nothing else. What
is blurred after one epoch is so for want of steps, not of room. Such a network earns its keep when
the input is damaged (``denoising.py --network pool``).

The data are Fashion-MNIST where its files are (they do not ship), and MNIST otherwise; the names of
the figures say which.

Where it differs: the paper has one convolution a layer and shares its weights with the decoder.
Popular versions train for 40 epochs at a constant rate; one takes five minutes of a core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from minigrad import nn
from minigrad.data import MNIST, FashionMNIST
from minigrad.train import Result, Run, main
from models.autoencoders.common import (
    Autoencoder,
    AutoencoderConfig,
    picture_curves,
    picture_reconstructions,
    pixel_entropy,
    train_autoencoder,
)
from models.autoencoders.dense import objective
from models.mnist import load_mnist


@dataclass
class Config(AutoencoderConfig):
    r"""The options; the defaults give the figure above."""

    data: Literal["auto", "fashion", "mnist"] = "auto"  #: auto: fashion if its files are there
    lr: float = 1e-3  #: learning rate at the beginning
    epochs: int = 1  #: passes over the training images
    batch_size: int = 64  #: images in a step

    quick_values: ClassVar = {
        "epochs": 1,
        "train_images": 1000,
        "validation": 200,
        "test_images": 200,
    }


class PoolAutoencoder(Autoencoder):
    r"""Images (N, 1, 28, 28) to a code (N, 256, 7, 7) and back: 739,073 parameters."""

    def __init__(self) -> None:
        def block(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]

        super().__init__(
            encoder=nn.Sequential(
                *block(1, 64), nn.MaxPool2d(2), *block(64, 128), nn.MaxPool2d(2), *block(128, 256)
            ),
            decoder=nn.Sequential(
                *block(256, 128),
                nn.Upsample(scale_factor=2),
                *block(128, 64),
                nn.Upsample(scale_factor=2),
                nn.Conv2d(64, 1, 3, padding=1),
            ),
        )


def choose_data(wanted: str) -> tuple[str, type[MNIST]]:
    r"""The data set's name and class: for ``auto`` Fashion-MNIST if it can be read, else MNIST."""
    if wanted == "mnist":
        return "mnist", MNIST
    try:
        FashionMNIST(train=False)
    except FileNotFoundError:
        if wanted == "fashion":
            raise
        print("Fashion-MNIST is not here; training on MNIST", flush=True)
        return "mnist", MNIST
    return "fashion", FashionMNIST


def train(config: Config) -> Result:
    r"""Train, keep the epoch that is best on the validation images, and test it."""
    run = Run(config)
    name, kind = choose_data(config.data)
    data = load_mnist(config.validation, config.train_images, config.test_images, kind=kind)
    model = PoolAutoencoder().to(run.device)
    found = train_autoencoder(run, model, objective, config, data)

    picture_reconstructions(run, model, data[2], "Through 256 maps of 7 x 7 and back")
    picture_curves(run, {"cross-entropy (nats a pixel)": "bce"}, f"Pooling autoencoder on {name}")
    figures = {f"{name}_{key}": value for key, value in found.items()}
    return run.finish(model, **figures, **{f"{name}_entropy": pixel_entropy(data[2])})


if __name__ == "__main__":
    main(train, Config)
