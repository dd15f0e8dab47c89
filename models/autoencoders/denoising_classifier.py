r"""Autoencoder that removes noise and reads the digit, from one code, on MNIST.

Paper: Le, Patterson and White, Supervised autoencoders, NeurIPS 2018; Vincent et al., 2008

Expect: 95 % test accuracy or more on *noisy* images after 2 epochs, and a mean squared error of
.021 or less against the clean ones (linear regression on noisy pixels: 78 %; the best linear
denoiser: .025)

Noisy images, one encoder, and two heads on its 16 numbers:

    noisy  = clip(x + 0.5 + 0.5 eps, 0, 1)                      as in denoising.py
    z      = linear(16)(two of [BN - ReLU - conv - maxpool2])           32 and 64 filters, 69,074
    x_hat  = sigmoid(convT(1)(two of [BN - ReLU - convT - up2](linear(7*7*64)(z))))       109,249
    logits = linear(10)(two of [linear - ReLU - dropout 0.4](z))          512 and 256,    142,602
    loss   = mean_n -log softmax(logits_n)[label_n] + weight * mean_ni (x_hat_ni - x_ni)^2

Batch norm and ReLU stand *before* each convolution. The first of them sees the image itself, one
channel: it subtracts the mean grey, and the ReLU cuts off what is darker, so the strokes pass.

The two losses have different sizes, 2.3 and .07 at the start. Added as they are, which is the
source's choice (``--weight 1``), nearly all of the gradient is the classifier's; the weight of 10
brings both to one size. Whoever reports one of two heads should say what the other did. Both
figures are of test images with noise that was never seen.

Where it differs from the source: which has clean images as input (``--noise-mean 0 --noise-std 0``)
and a constant rate of 1e-3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from minigrad import Generator, Tensor, nn
from minigrad.train import Result, Run, main
from models.autoencoders.common import (
    Autoencoder,
    AutoencoderConfig,
    Objective,
    picture_curves,
    squared_error,
    train_autoencoder,
)
from models.autoencoders.denoising import add_noise, picture_denoised
from models.mnist import load_mnist


@dataclass
class Config(AutoencoderConfig):
    r"""The options; the defaults give the figure above."""

    weight: float = 10.0  #: of the squared error, that of the classifier's loss being 1
    noise_mean: float = 0.5  #: added to every pixel
    noise_std: float = 0.5  #: standard deviation of what is added
    dropout: float = 0.4  #: probability to drop a unit of the classifier
    epochs: int = 2  #: passes over the training images

    def check(self) -> None:
        super().check()
        self.expect_at_least(0, "weight", "noise_std")
        self.expect("dropout", 0 <= self.dropout < 1, "a probability below 1")


class Network(Autoencoder):
    r"""Encoder to 16 numbers, decoder, classifier: 320,925 parameters."""

    def __init__(self, latent: int = 16, dropout: float = 0.4) -> None:
        def down(inputs: int, outputs: int) -> list[nn.Module]:
            convolution = nn.Conv2d(inputs, outputs, 3, padding=1)
            return [nn.BatchNorm2d(inputs), nn.ReLU(), convolution, nn.MaxPool2d(2)]

        def up(inputs: int, outputs: int) -> list[nn.Module]:
            convolution = nn.ConvTranspose2d(inputs, outputs, 3, padding=1)
            return [nn.BatchNorm2d(inputs), nn.ReLU(), convolution, nn.Upsample(scale_factor=2)]

        def dense(inputs: int, outputs: int) -> list[nn.Module]:
            return [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(dropout)]

        super().__init__(
            encoder=nn.Sequential(
                *down(1, 32), *down(32, 64), nn.Flatten(), nn.Linear(7 * 7 * 64, latent)
            ),
            decoder=nn.Sequential(
                nn.Linear(latent, 7 * 7 * 64),
                nn.Unflatten(1, (64, 7, 7)),
                *up(64, 64),
                *up(64, 32),
                nn.ConvTranspose2d(32, 1, 3, padding=1),
            ),
        )
        self.classifier = nn.Sequential(*dense(latent, 512), *dense(512, 256), nn.Linear(256, 10))


def make_objective(mean: float, std: float, weight: float) -> Objective:
    r"""Both losses of noisy images, then each, and how many labels were right."""

    def objective(model: Any, batch: Any, generator: Generator | None = None) -> dict[str, Tensor]:
        x, label = batch
        z = model.encoder(add_noise(x, mean, std, generator))  # (N, 16), for both heads
        logits = model.classifier(z)
        label_loss = nn.functional.cross_entropy(logits, label)
        mse = squared_error(model.decoder(z), x)
        return {
            "loss": label_loss + weight * mse,
            "mse": mse,
            "label_loss": label_loss,
            "accuracy": (logits.detach().argmax(1) == label).float().mean(),
        }

    return objective


def train(config: Config) -> Result:
    r"""Train, keep the epoch that is best on the validation images, and test it."""
    run = Run(config)
    data = load_mnist(config.validation, config.train_images, config.test_images)
    model = Network(dropout=config.dropout).to(run.device)
    noise = (config.noise_mean, config.noise_std)
    objective = make_objective(*noise, config.weight)
    found = train_autoencoder(run, model, objective, config, data)

    picture_denoised(run, model, data[2], *noise)
    panels = {"mean squared error": "mse", "accuracy": "accuracy"}
    picture_curves(run, panels, "Denoising and classifying, on MNIST")
    return run.finish(model, test_accuracy=found.pop("test_accuracy"), **found)


if __name__ == "__main__":
    main(train, Config)
