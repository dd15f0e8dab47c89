r"""One step of both networks of a convolutional GAN for MNIST (Radford et al., 2015): the critic of
real and generated images, then the generator against it."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step, images, initial, load

TITLE = "DCGAN for MNIST, both networks, batch 64, Adam"
ROWS = 64


def build_generator(torch: Any) -> Any:
    r"""(N, 100) -> (N, 1, 28, 28), for PyTorch and minigrad."""
    nn = torch.nn
    return nn.Sequential(
        nn.Linear(100, 128 * 7 * 7),
        nn.Unflatten(1, (128, 7, 7)),
        nn.BatchNorm2d(128),
        nn.ReLU(),
        nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),  # (N, 64, 14, 14)
        nn.BatchNorm2d(64),
        nn.ReLU(),
        nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1),
        nn.Tanh(),
    )


def build_discriminator(torch: Any) -> Any:
    r"""(N, 1, 28, 28) -> logits (N, 1), for PyTorch and minigrad."""
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(1, 64, 4, stride=2, padding=1),  # (N, 64, 14, 14)
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, stride=2, padding=1),  # (N, 128, 7, 7)
        nn.BatchNorm2d(128),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(128 * 7 * 7, 1),
    )


def arrays(rng: np.random.Generator) -> Arrays:
    x, _ = images(rng, ROWS)
    return {
        "x": 2 * x - 1,
        "noise": rng.standard_normal((BATCHES, ROWS, 100), np.float32),
        **initial(rng, generator=build_generator, discriminator=build_discriminator),
    }


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    generator = load(torch, build_generator(torch), arrays, "generator")
    discriminator = load(torch, build_discriminator(torch), arrays, "discriminator")
    options = {"lr": 2e-5, "betas": (0.5, 0.999), **adam}
    g_optimizer = torch.optim.Adam(generator.parameters(), **options)
    d_optimizer = torch.optim.Adam(discriminator.parameters(), **options)
    batches = list(zip(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["noise"])))
    real, fake = torch.ones(ROWS, 1), torch.zeros(ROWS, 1)

    def step(i: int) -> Any:
        x, noise = batches[i]
        made = generator(noise)

        d_loss = bce(discriminator(x), real) + bce(discriminator(made.detach()), fake)
        d_optimizer.zero_grad()
        d_loss.backward()
        d_optimizer.step()

        g_loss = bce(discriminator(made), real)
        g_optimizer.zero_grad()
        g_loss.backward()
        g_optimizer.step()
        return d_loss.detach() + g_loss.detach()

    return step


SIDES = {"minigrad": start, "torch": start}
CANNOT = {
    "dezero": "not written for it",
    "autograd": "has no convolution with a usable gradient rule for batches of images",
}
