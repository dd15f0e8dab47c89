r"""Denoising autoencoder, on MNIST.

Paper: Vincent et al., Extracting and composing robust features with denoising autoencoders, 2008

Expect: mean squared error of .012 or less between decoded and *clean* test images after 6 epochs
(the noisy images as they are: .329; the best linear denoiser: .025; the mean image: .0675)

The network of ``conv.py`` with 64 numbers in its code; what differs is what it is asked for:

    noisy = clip(x + mean + std * eps, 0, 1),    eps ~ N(0, I), drawn anew for every image and step
    x_hat = sigmoid(decoder(encoder(noisy)))
    loss  = mean_ni (x_hat_ni - x_ni)^2          against x, not against noisy

With mean = std = 0.5 the noise is cruel: it is not centred, and the clip turns more than half of
the background white or black. The smallest error has the conditional mean E[x | noisy], whatever
the network, and that is what the network learns: where the noise hides a stroke, its answer is
the blurred average of the digits that it could have been. An autoencoder without noise may learn to
copy; this one has to know what digits look like, and a wide code would not help it to cheat.

The bar is the best *linear* map from noisy to clean pixels, in closed form (``linear_mse``).

Mistakes to avoid: noise on the target too (then the network learns to draw noise); no clip (pixels
that no image can have give the noise away); one fixed noisy copy of the training images (with 6
epochs of fresh noise the network never sees an input twice).

Options: ``--latent 16`` is the source's code, narrow for the doubt that noise leaves (after 1,000
steps here .0263, against .0217 with 64). ``--noise-mean 0`` is the other source's noise, and
``--network pool`` its network (``conv_pool.py``), whose code is wider than the image. Where it
differs from the paper: which sets random pixels to 0, trains layer by layer and uses the
cross-entropy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import minigrad as mg
from minigrad import Generator, Tensor
from minigrad.evaluation import LinearMap
from minigrad.train import Result, Run, main
from minigrad.visualize import plot_images
from models.autoencoders.common import (
    Autoencoder,
    AutoencoderConfig,
    Objective,
    all_inputs,
    first_images,
    picture_curves,
    squared_error,
    train_autoencoder,
)
from models.autoencoders.conv import ConvAutoencoder
from models.autoencoders.conv_pool import PoolAutoencoder
from models.mnist import load_mnist


@dataclass
class Config(AutoencoderConfig):
    r"""The options; the defaults give the figure above."""

    network: Literal["conv", "pool"] = "conv"  #: that of conv.py or that of conv_pool.py
    latent: int = 64  #: numbers in the code of the conv network
    noise_mean: float = 0.5  #: added to every pixel
    noise_std: float = 0.5  #: standard deviation of what is added
    epochs: int = 6  #: passes over the training images
    batch_size: int = 32  #: images in a step

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent")
        self.expect_at_least(0, "noise_std")


def add_noise(
    x: Tensor, mean: float = 0.5, std: float = 0.5, generator: Generator | None = None
) -> Tensor:
    r"""clip(x + mean + std * eps, 0, 1): images again."""
    eps = mg.randn(*x.shape, generator=generator, device=x.device, dtype=x.dtype)
    return (x + mean + std * eps).clip(0, 1)


def make_objective(mean: float, std: float) -> Objective:
    r"""The squared error of what came of the noisy images, against the clean ones."""

    def objective(model: Any, batch: Any, generator: Generator | None = None) -> dict[str, Tensor]:
        x, _ = batch
        noisy = add_noise(x, mean, std, generator)
        return {"mse": squared_error(model(noisy), x)}

    return objective


def linear_errors(train_data: Any, test_data: Any, mean: float, std: float) -> tuple[float, float]:
    r"""The mean squared error of noisy test images as they are, and that of the best linear map
    from noisy to clean pixels."""
    x, test_x = all_inputs(train_data), all_inputs(test_data)
    noisy, test_noisy = (
        add_noise(mg.tensor(images), mean, std, Generator(seed)).numpy()
        for seed, images in ((1, x), (0, test_x))
    )
    denoiser = LinearMap(noisy, x, ridge=1e-4)
    return float(((test_noisy - test_x) ** 2).mean()), denoiser.mse(test_noisy, test_x)


def train(config: Config) -> Result:
    r"""Train, keep the epoch that is best on the validation images, and test it."""
    run = Run(config)
    data = load_mnist(config.validation, config.train_images, config.test_images)
    model: Autoencoder = PoolAutoencoder()
    if config.network == "conv":
        model = ConvAutoencoder(config.latent)
    model.to(run.device)
    noise = (config.noise_mean, config.noise_std)
    found = train_autoencoder(run, model, make_objective(*noise), config, data)

    noisy_mse, linear_mse = linear_errors(data[0], data[2], *noise)
    picture_denoised(run, model, data[2], *noise)
    picture_curves(run, {"mean squared error": "mse"}, "Denoising autoencoder on MNIST")
    return run.finish(model, **found, noisy_mse=noisy_mse, linear_mse=linear_mse)


def picture_denoised(run: Run, model: Any, data: Any, mean: float, std: float) -> None:
    r"""``denoised``: test images, with noise, and what the network makes of that."""
    x = first_images(run, data)
    model.eval()
    with mg.no_grad():
        noisy = add_noise(x, mean, std, Generator(0))
        rows = {"test image": x, "noisy": noisy, "decoded": model.reconstruct(noisy)}
    run.picture("denoised", plot_images(rows, "Denoising"))


if __name__ == "__main__":
    main(train, Config)
