r"""RealNVP on MNIST, in bits per dimension.

Paper: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, ICLR 2017,
arXiv:1605.08803

Expect: 1.55 bits per dimension or less on the test images after eight epochs, 1.80 after two, 2.05
after one, and strokes in the samples with a digit among them here and there (no knowledge: 8;
independent Gaussians in logit space: 4.9; one Gaussian with all covariances: 3.9; a table of how
often each pixel has each level: 1.69)

The flow of ``realnvp.py`` on images: log p(y) = log N(f(y); 0, I) + log |det df/dy|, with affine
couplings whose s and t are convolutional networks, masks that alternate, and two scales:

    scale 1   1 x 28 x 28   3 couplings with a checkerboard mask
              4 x 14 x 14   (squeezed: each 2 x 2 square becomes four channels)
                            3 couplings with a channel mask
              half of the channels are done, they go to z; half go on
    scale 2   2 x 14 x 14   4 couplings with a checkerboard mask

**Bits per dimension.** The levels v of a pixel are 0 ... 255. A density on whole numbers could be
infinite there, so noise is added, x = (v + u) / 256 with u ~ U[0, 1), and the logit makes x in
[0, 1] a y without bounds:

    y = logit(p),   p = a + (1 - 2 a) x,   a = 0.05
    log p(x) = log p(y) + sum_i [log(1 - 2 a) - log p_i - log(1 - p_i)]      the logit's Jacobian
    log P(v) >= E_u [log p(x)] - D log 256                                   Jensen; D = 784
    bits per dimension = -log P(v) / (D log 2) = 8 - log p(x) / (D log 2)

It is an upper bound of a code's length: a uniform code takes 8, and no model has less than 0. What
a wrong account gives for the same weights is reported beside it:

- without the logit's Jacobian (``bits_without_logit``) 4.0 more: log p(y) is no density of pixels;
- without the 256 levels (``bits_without_levels``) 8 less, below 0, as if x were the data;
- without noise on the levels there is no number: where pixels are always black the density grows
  without bound, and the "bits" fall for as long as one trains.

Where it differs from the paper: MNIST instead of CIFAR-10 and ImageNet. For a CPU's sake networks
are three convolutions (3 x 3, 1 x 1, 3 x 3) instead of 8 residual blocks (``--blocks 8``), without
batch norm. A learned scale and shift of each pixel stand in front; they begin with the mean and
deviation of the training images, so that training starts from independent Gaussians. Checkerboard
couplings work on the squeezed image too, where the mask is a choice of two channels in four: the
networks see the same pixels at a quarter of the cost of an image half of which is set to zero.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader
from minigrad.data.transforms import Transform, current_generator
from minigrad.evaluation import bits_per_dim
from minigrad.train import Result, Run, main, mean_values
from minigrad.visualize import image_grid, plot_curves, plot_images
from models.mnist import load_mnist
from models.training import ImageTrainingConfig, make_schedule

PIXELS = 28 * 28


@dataclass
class Config(ImageTrainingConfig):
    r"""The options; the defaults give the figure above."""

    hidden: int = 48  #: filters of the networks in scale 1; scale 2 has twice as many
    blocks: int = 0  #: residual blocks of a network, as in the paper; 0: a 1 x 1 layer
    alpha: float = 0.05  #: keeps the logit from its ends
    lr: float = 3e-3  #: learning rate of Adam at the beginning
    batch_size: int = 64  #: images in a step
    epochs: int = 8  #: passes over the training images
    validation: int = 2000  #: training images held out for the curves

    quick_values: ClassVar = {
        "epochs": 1,
        "hidden": 8,
        "train_images": 2000,
        "validation": 200,
        "test_images": 500,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "hidden")
        self.expect_at_least(0, "blocks")
        self.expect("alpha", 0 < self.alpha < 0.5, "a number between 0 and 0.5")


# ----------------------------------------------------------------------- pixels to numbers and back
class Dequantize(Transform):
    r"""Levels v in 0 ... 255, uint8, to (v + u) / 256 with u ~ U[0, 1)."""

    def __call__(self, images: Any) -> Any:
        if images.dtype != np.uint8:
            raise TypeError(f"Dequantize: expected uint8 levels, got {images.dtype}")
        u = current_generator().numpy.random(images.shape, np.float32)
        return (images.astype(np.float32) + u) / np.float32(256)


def to_logits(x: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    r"""x in [0, 1] to y = logit(alpha + (1 - 2 alpha) x), and log |det dy/dx| (N,)."""
    p = alpha + (1 - 2 * alpha) * x
    log_p, log_1p = p.log(), (1 - p).log()
    log_det = (math.log(1 - 2 * alpha) - log_p - log_1p).sum((1, 2, 3))
    return log_p - log_1p, log_det


def from_logits(y: Tensor, alpha: float) -> Tensor:
    r"""y back to x; what f^-1 made of noise may lie a little outside [0, 1]."""
    return (y.sigmoid() - alpha) / (1 - 2 * alpha)


# -------------------------------------------------------------------------------------- the network
def squeeze(x: Tensor) -> Tensor:
    r"""(N, C, 2 H, 2 W) to (N, C, 2, 2, H, W). The two new axes say where in its 2 x 2 square a
    pixel was: the first its colour on a checkerboard, the second its row."""
    n, c, h, w = x.shape
    x = x.reshape(n, c, h // 2, 2, w // 2, 2)
    top, bottom = x[:, :, :, 0], x[:, :, :, 1]  # (N, C, H, W, 2)
    white = mg.stack([top[..., 0], bottom[..., 1]], 2)
    black = mg.stack([top[..., 1], bottom[..., 0]], 2)
    return mg.stack([white, black], 2)


def unsqueeze(x: Tensor) -> Tensor:
    r"""The inverse of :func:`squeeze`."""
    n, c, _, _, h, w = x.shape
    top = mg.stack([x[:, :, 0, 0], x[:, :, 1, 0]], -1)  # (N, C, H, W, 2)
    bottom = mg.stack([x[:, :, 1, 1], x[:, :, 0, 1]], -1)
    return mg.stack([top, bottom], 3).reshape(n, c, 2 * h, 2 * w)


class Residual(nn.Module):
    r"""x + conv(relu(conv(relu(x))))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class Coupling(nn.Module):
    r"""Half of a squeezed image stays; s and t of it change the other half.

    Args:
        channels: C of the squeezed image (N, C, 2, 2, H, W).
        mask: "checkerboard": one colour stays. "channels": one row of each square stays, two of
            its four pixels that no checkerboard has held together.
        turn: which colour or row stays, 0 or 1.
    """

    def __init__(self, channels: int, mask: str, turn: int, hidden: int, blocks: int) -> None:
        super().__init__()
        self.axis, self.turn = (2 if mask == "checkerboard" else 3), turn
        middle: list[nn.Module] = [Residual(hidden) for _ in range(blocks)]
        if not blocks:
            middle = [nn.ReLU(), nn.Conv2d(hidden, hidden, 1)]
        self.network = nn.Sequential(
            nn.Conv2d(2 * channels, hidden, 3, padding=1),
            *middle,
            nn.ReLU(),
            nn.Conv2d(hidden, 4 * channels, 3, padding=1),
        )
        nn.init.zeros_(self.network[-1].weight)  # s = t = 0: nothing changes
        nn.init.zeros_(self.network[-1].bias)
        self.scale = nn.Parameter(mg.full((channels, 2, 1, 1), 2.0))  # |s| stays below it

    def split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""What stays and what changes, (N, C, 2, H, W) each."""
        halves = (x[:, :, 0], x[:, :, 1]) if self.axis == 2 else (x[:, :, :, 0], x[:, :, :, 1])
        return halves[self.turn], halves[1 - self.turn]

    def join(self, kept: Tensor, changed: Tensor) -> Tensor:
        r"""The inverse of :meth:`split`."""
        return mg.stack([changed, kept] if self.turn else [kept, changed], self.axis)

    def scale_and_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        r"""s and t of what changes, (N, C, 2, H, W) each."""
        s, t = self.network(kept.flatten(1, 2)).chunk(2, 1)
        return self.scale * s.reshape(*kept.shape).tanh(), t.reshape(*kept.shape)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""x (N, C, 2, 2, H, W) to y and log |det dy/dx| (N,)."""
        kept, changed = self.split(x)
        s, t = self.scale_and_shift(kept)
        return self.join(kept, changed * s.exp() + t), s.sum((1, 2, 3, 4))

    def inverse(self, y: Tensor) -> Tensor:
        r"""y (N, C, 2, 2, H, W) back to x."""
        kept, changed = self.split(y)
        s, t = self.scale_and_shift(kept)
        return self.join(kept, (changed - t) * (-s).exp())


class RealNVP(nn.Module):
    r"""f: logits of images (N, 1, 28, 28) to noise (N, 784)."""

    def __init__(self, hidden: int = 48, blocks: int = 0) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(mg.zeros(1, 28, 28))
        self.shift = nn.Parameter(mg.zeros(1, 28, 28))
        masks = ["checkerboard"] * 3 + ["channels"] * 3
        self.fine = nn.ModuleList(  # on 1 x 2 x 2 x 14 x 14
            Coupling(1, mask, i % 2, hidden, blocks) for i, mask in enumerate(masks)
        )
        self.coarse = nn.ModuleList(  # on 2 x 2 x 2 x 7 x 7
            Coupling(2, "checkerboard", i % 2, 2 * hidden, blocks) for i in range(4)
        )

    def standardize(self, y: Tensor) -> None:
        r"""Let the scale and shift of each pixel give the images ``y`` mean 0 and deviation 1.
        Where the deviation is below 0.1, nearly all images are black there; to divide by it would
        make an outlier of a hundred deviations of the next image that is not."""
        self.log_scale.data = -y.std(0).clamp(min=0.1).log().data
        self.shift.data = -(y.mean(0).data)

    def forward(self, y: Tensor) -> tuple[Tensor, Tensor]:
        r"""y (N, 1, 28, 28) to z (N, 784) and log |det dz/dy| (N,)."""
        x = (y + self.shift) * self.log_scale.exp()
        total = self.log_scale.sum()
        x = squeeze(x)  # (N, 1, 2, 2, 14, 14)
        for layer in self.fine:
            x, log_det = layer(x)
            total = total + log_det
        done, x = x[:, 0, :, 0], x[:, 0, :, 1]  # one row of each square each: (N, 2, 14, 14)
        x = squeeze(x)  # (N, 2, 2, 2, 7, 7)
        for layer in self.coarse:
            x, log_det = layer(x)
            total = total + log_det
        return mg.cat([done.flatten(1), x.flatten(1)], 1), total

    def inverse(self, z: Tensor) -> Tensor:
        r"""z (N, 784) back to y (N, 1, 28, 28)."""
        half = PIXELS // 2
        done, x = z[:, :half].reshape(-1, 2, 14, 14), z[:, half:].reshape(-1, 2, 2, 2, 7, 7)
        for layer in reversed(list(self.coarse)):
            x = layer.inverse(x)
        x = mg.stack([done, unsqueeze(x)], 2).unsqueeze(1)  # (N, 1, 2, 2, 14, 14)
        for layer in reversed(list(self.fine)):
            x = layer.inverse(x)
        return unsqueeze(x) * (-self.log_scale).exp() - self.shift

    def log_prob(self, y: Tensor) -> Tensor:
        r"""log p(y): (N, 1, 28, 28) -> (N,), exact, in nats."""
        z, log_det = self(y)
        return log_det - 0.5 * (z**2 + math.log(2 * math.pi)).sum(1)


def evaluate(model: RealNVP, loader: Iterable[Any], alpha: float) -> dict[str, float]:
    r"""Means over all images, noise drawn once each: the bits per dimension, and what they would
    be without the logit's Jacobian and without the 256 levels' share."""

    def values(batch: Any) -> dict[str, Tensor]:
        y, log_det = to_logits(batch[0], alpha)
        log_py = model.log_prob(y)
        return {
            "bits_per_dim": bits_per_dim(log_py + log_det, PIXELS),
            "bits_without_logit": bits_per_dim(log_py, PIXELS),
        }

    found = mean_values(values, loader)
    return {**found, "bits_without_levels": found["bits_per_dim"] - 8.0}


def train(config: Config) -> Result:
    r"""Minimise the bits per dimension, and test what came of it."""
    run = Run(config)
    train_data, val_data, test_data = load_mnist(
        config.validation, config.train_images, config.test_images, Dequantize()
    )
    loader = DataLoader(train_data, config.batch_size, shuffle=True, device=run.device)
    val_loader = DataLoader(val_data, 250, device=run.device)
    test_loader = DataLoader(test_data, 250, device=run.device)

    model = RealNVP(config.hidden, config.blocks).to(run.device)
    first = next(iter(DataLoader(train_data, 5000, device=run.device)))[0]
    with mg.no_grad():
        model.standardize(to_logits(first, config.alpha)[0])
    optimizer = optim.Adam(model.parameters(), lr=config.lr)
    schedule = make_schedule(config.schedule, optimizer, config.epochs * len(loader))

    run.track(model=model, optimizer=optimizer, schedule=schedule, loader=loader)
    for _ in run.epochs(config.epochs):
        for x, _ in run.batches(loader):  # (N, 1, 28, 28)
            y, log_det = to_logits(x, config.alpha)
            loss = bits_per_dim(model.log_prob(y) + log_det, PIXELS).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            run.record(len(x), bits_per_dim=loss)
        run.log(val_bits_per_dim=evaluate(model, val_loader, config.alpha)["bits_per_dim"])

    test = evaluate(model, test_loader, config.alpha)
    pictures(run, model, test_loader, config.alpha)
    return run.finish(model, **{f"test_{name}": value for name, value in test.items()})


def pictures(run: Run, model: RealNVP, loader: Iterable[Any], alpha: float) -> None:
    r"""Samples, also with less noise than the model asks for, ways between test images, curves."""

    def decode(z: Tensor) -> np.ndarray:
        with mg.no_grad():
            return from_logits(model.inverse(z), alpha).cpu().numpy()

    z = mg.randn(64, PIXELS, generator=Generator(0), device=run.device)
    run.picture("samples", image_grid(decode(z), columns=8))
    run.picture("samples_cooler", image_grid(decode(0.7 * z), columns=8))
    x = next(iter(loader))[0][:10]
    with mg.no_grad():
        ends, _ = model(to_logits(x, alpha)[0])
    rows = {}
    for i in range(0, 10, 2):
        # Along the arc, so that the noise keeps its length.
        angle = np.linspace(0, math.pi / 2, 10, dtype=np.float32)[:, None]
        c, s = (mg.tensor(f(angle), device=run.device) for f in (np.cos, np.sin))
        rows[" " * i] = decode(c * ends[i : i + 1] + s * ends[i + 1 : i + 2])
    run.picture("interpolations", plot_images(rows, "From test image to test image, through z"))
    run.picture(
        "curves",
        plot_curves(
            run.history,
            {"bits per dimension": {"training": "bits_per_dim", "validation": "val_bits_per_dim"}},
            title="RealNVP on MNIST",
        ),
    )


if __name__ == "__main__":
    main(train, Config)
