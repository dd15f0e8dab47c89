r"""RealNVP on two moons.

Paper: Dinh, Sohl-Dickstein and Bengio, Density estimation using Real NVP, ICLR 2017,
arXiv:1605.08803

Expect: test NLL between 0.257 and 0.327 nats after 5,000 steps (the entropy of the data: 0.289; one
Gaussian: 1.889; less than the entropy, but for the test points' chance of 0.03, is impossible)

An invertible network f makes noise of data; the change of variables gives every point its exact
density, and the inverse makes data of noise:

    z = f(x),   log p(x) = log N(z; 0, I) + log |det df/dx|            x, z: (N, 2)
    x = f^-1(z),   z ~ N(0, I)

A layer of f, the affine coupling, leaves the coordinates where the mask b is 1 and scales and
shifts the others by what two networks s and t read from those that stay:

    y = b x + (1 - b) (x exp(s(b x)) + t(b x))
    x = b y + (1 - b) (y - t(b y)) exp(-s(b y))        since b x = b y
    log |det dy/dx| = sum_i (1 - b_i) s_i(b x)         the Jacobian is triangular

s and t need not be invertible. Six layers take turns in which coordinate stays; s and t are
networks 2-256-256-2 with ReLUs, so 6 * 2 * 67,074 = 804,888 parameters. Training minimises the
exact mean of -log p(x), in the direction x -> z: nothing is sampled from the model.

The moons' own density is known (an integral over the angle), and so is the least NLL that any model
can have, their entropy: 0.289 nats at noise 0.05. A figure clearly below it means a wrong
determinant, not a good model: with the sign of log |det| turned round the "NLL" falls without end.
A single Gaussian has 1.889.

Where it differs from the paper: two dimensions instead of images (those are in
``realnvp_mnist.py``), no batch norm, |s| kept below ``--scale-limit`` by a tanh (the paper scales
its tanh by a learned factor). Popular versions have s unbounded (``--scale-limit none``), which can
explode, and a rate of 0.0001 throughout (``--lr 1e-4 --schedule constant``). Points are drawn
afresh for every step, so there is nothing to overfit. The density is continuous and f a continuous
map of the whole plane: a thin bridge between the moons always remains, however good the NLL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader, FreshDataset, make_moons
from minigrad.evaluation import energy_distance
from minigrad.train import Result, Run, main
from minigrad.visualize import plot_curves, plot_densities, plot_points
from models.training import TrainingConfig, make_schedule

EXTENT = (-1.75, 2.75, -1.25, 1.75)  # left, right, bottom, top: the moons and five deviations more
TEST_SEED, VALIDATION_SEED = 2_000_000, 1_000_000  # of the points that are held out


@dataclass
class Config(TrainingConfig):
    r"""The options; the defaults give the figure above."""

    noise: float = 0.05  #: standard deviation of the moons' noise
    couplings: int = 6  #: layers of f
    hidden: int = 256  #: units of the two hidden layers of s and of t
    scale_limit: float | None = 3.0  #: |s| stays below it; none: unbounded
    batch_size: int = 100  #: points in a step, drawn afresh
    steps: int = 250  #: steps in an epoch
    epochs: int = 20  #: 20 epochs of 250 steps are 5,000 steps
    validation: int = 2000  #: points for the curves
    test_points: int = 10_000  #: points for the test
    grid: float = 0.01  #: spacing of the grid on which the density is integrated

    quick_values: ClassVar = {"epochs": 3, "steps": 60, "test_points": 2000, "grid": 0.025}

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "couplings", "hidden", "steps", "validation", "test_points")
        self.expect("noise", self.noise > 0, "a positive number")
        self.expect("grid", self.grid > 0, "a positive number")
        limit = self.scale_limit
        self.expect("scale_limit", limit is None or limit > 0, "a positive number or none")


class Coupling(nn.Module):
    r"""The coordinates where ``mask`` is 1 stay, and say how to scale and shift the others."""

    mask: Tensor

    def __init__(self, mask: list[float], hidden: int, limit: float | None) -> None:
        super().__init__()
        self.limit = limit
        self.register_buffer("mask", mg.tensor(mask))

        def network() -> nn.Module:
            return nn.Sequential(
                nn.Linear(len(mask), hidden),
                nn.ReLU(),
                nn.Linear(hidden, hidden),
                nn.ReLU(),
                nn.Linear(hidden, len(mask)),
            )

        self.s, self.t = network(), network()

    def scale_and_shift(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        r"""s and t (N, D), 0 where the mask is 1."""
        s, t = self.s(kept), self.t(kept)
        if self.limit is not None:
            s = self.limit * (s / self.limit).tanh()
        return s * (1 - self.mask), t * (1 - self.mask)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""x (N, D) to y (N, D) and log |det dy/dx| (N,)."""
        s, t = self.scale_and_shift(x * self.mask)
        return x * s.exp() + t, s.sum(1)

    def inverse(self, y: Tensor) -> Tensor:
        r"""y (N, D) back to x."""
        s, t = self.scale_and_shift(y * self.mask)
        return (y - t) * (-s).exp()


class RealNVP(nn.Module):
    r"""f: ``couplings`` layers whose masks take turns, and N(0, I) behind them."""

    def __init__(self, couplings: int = 6, hidden: int = 256, limit: float | None = 3.0) -> None:
        super().__init__()
        masks = ([0.0, 1.0], [1.0, 0.0])
        self.layers = nn.ModuleList(Coupling(masks[i % 2], hidden, limit) for i in range(couplings))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Points (N, 2) to noise z (N, 2) and log |det dz/dx| (N,)."""
        total: Tensor | float = 0.0
        for layer in self.layers:
            x, log_det = layer(x)
            total = log_det + total
        assert isinstance(total, Tensor)
        return x, total

    def inverse(self, z: Tensor) -> Tensor:
        r"""Noise (N, 2) to points (N, 2)."""
        for layer in reversed(list(self.layers)):
            z = layer.inverse(z)
        return z

    def log_prob(self, x: Tensor) -> Tensor:
        r"""log p(x): (N, 2) -> (N,), exact, in nats."""
        z, log_det = self(x)
        return log_det - 0.5 * (z**2).sum(1) - math.log(2 * math.pi)

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        r"""``n`` points (n, 2)."""
        place = self.layers[0].mask
        z = mg.randn(n, 2, generator=generator, device=place.device, dtype=place.dtype)
        return self.inverse(z)


# ----------------------------------------------------------------------------------- the data
def moons_log_density(x: np.ndarray, noise: float, angles: int = 2000) -> np.ndarray:
    r"""log p(x) of the moons, points (N, 2) to (N,) nats:

        p(x) = 1/2 sum_k 1/pi int_0^pi N(x; c_k(t), noise^2 I) dt

    by the midpoint rule, which is exact to many digits while the noise spans several angles.
    """
    t = (np.arange(angles) + 0.5) * (math.pi / angles)
    upper = np.stack([np.cos(t), np.sin(t)], 1)
    centres = np.concatenate([upper, [1, 0.5] - upper])  # (2 angles, 2)
    found = []
    for part in np.array_split(x.astype(np.float64), max(1, len(x) // 500)):
        squares = ((part[:, None] - centres) ** 2).sum(2) / (-2 * noise**2)
        top = squares.max(1)
        found.append(top + np.log(np.exp(squares - top[:, None]).mean(1)))
    return np.concatenate(found) - math.log(2 * math.pi * noise**2)


# ------------------------------------------------------------------------------------ the measures
def nll(model: RealNVP, x: Tensor) -> float:
    r"""The mean of -log p(x) over points (N, 2), in nats."""
    with mg.no_grad():
        return -float(model.log_prob(x).mean().item())


def density_on_grid(model: RealNVP, step: float, extent: tuple[float, ...] = EXTENT) -> np.ndarray:
    r"""p(x) at the points of a grid: (rows, columns), the lowest row first."""
    left, right, bottom, top = extent
    xs, ys = np.arange(left, right + step / 2, step), np.arange(bottom, top + step / 2, step)
    grid = np.stack(np.meshgrid(xs, ys), -1).reshape(-1, 2)
    place = model.layers[0].mask
    with mg.no_grad():
        found = [
            model.log_prob(mg.tensor(part.astype(place.dtype), device=place.device)).cpu().numpy()
            for part in np.array_split(grid, max(1, len(grid) // 5000))
        ]
    return np.exp(np.concatenate(found).astype(np.float64)).reshape(len(ys), len(xs))


def inverse_error(model: RealNVP, x: np.ndarray) -> float:
    r"""The largest \|f^-1(f(x)) - x\| over points (N, 2), in float64."""
    exact = RealNVP(len(model.layers), model.layers[0].s[0].out_features, model.layers[0].limit)
    exact.load_state_dict(model.state_dict())
    exact = exact.double()
    with mg.no_grad():
        points = mg.tensor(x.astype(np.float64))
        back = exact.inverse(exact(points)[0])
    return float(abs(back.numpy() - x).max())


def train(config: Config) -> Result:
    r"""Minimise -log p(x) on fresh points, and test the density that came of it."""
    run = Run(config)
    loader = DataLoader(
        FreshDataset(config.steps * config.batch_size, partial(make_moons, noise=config.noise)),
        config.batch_size,
        shuffle=True,  # each epoch draws a seed, and its points from that
        device=run.device,
    )
    val_x, _ = make_moons(config.validation, config.noise, Generator(VALIDATION_SEED))
    test_x, test_y = make_moons(config.test_points, config.noise, Generator(TEST_SEED))
    val, test = (mg.tensor(x, device=run.device) for x in (val_x, test_x))

    model = RealNVP(config.couplings, config.hidden, config.scale_limit).to(run.device)
    optimizer = optim.Adam(model.parameters(), lr=config.lr)
    schedule = make_schedule(config.schedule, optimizer, config.epochs * config.steps)

    run.track(model=model, optimizer=optimizer, schedule=schedule, loader=loader)
    for _ in run.epochs(config.epochs):
        for x, _ in run.batches(loader):  # (N, 2)
            loss = -model.log_prob(x).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            run.record(nll=loss)
        run.log(val_nll=nll(model, val))

    entropy = -float(moons_log_density(test_x, config.noise).mean())
    test_nll = nll(model, test)
    density = density_on_grid(model, config.grid)
    samples = model.sample(2000, Generator(0)).detach().cpu().numpy()
    fresh = [make_moons(2000, config.noise, Generator(seed))[0] for seed in (1, 2)]
    pictures(run, model, config, samples, test_x[:2000], test_y[:2000])
    return run.finish(
        model,
        test_nll=test_nll,
        true_nll=entropy,  # of the same points under the density that they are from
        excess_nll=test_nll - entropy,
        density_integral=float(density.sum() * config.grid**2),
        inverse_error=inverse_error(model, test_x[:1000]),
        energy_distance=energy_distance(samples, fresh[0]),
        energy_distance_of_data=energy_distance(fresh[1], fresh[0]),
    )


def pictures(
    run: Run, model: RealNVP, config: Config, samples: np.ndarray, x: np.ndarray, y: np.ndarray
) -> None:
    r"""The density beside the true one, samples beside data, the way to noise, and curves."""
    step = 2 * config.grid
    left, right, bottom, top = EXTENT
    grid = np.stack(
        np.meshgrid(
            np.arange(left, right + step / 2, step), np.arange(bottom, top + step / 2, step)
        ),
        -1,
    )
    true = np.exp(moons_log_density(grid.reshape(-1, 2), config.noise, 400)).reshape(grid.shape[:2])
    densities = {"RealNVP": density_on_grid(model, step), "true density": true}
    run.picture("density", plot_densities(densities, EXTENT, "Two moons"))
    run.picture("samples", plot_points({"samples": samples, "data": x}, EXTENT, title="Two moons"))
    stages = {"data": x}
    with mg.no_grad():
        z = mg.tensor(x, device=run.device)
        for i, layer in enumerate(model.layers, 1):
            z, _ = layer(z)
            stages[f"after coupling {i}"] = z.cpu().numpy()
    far = max(float(np.quantile(abs(points), 0.999)) for points in stages.values())
    title = "From data to noise, layer by layer"
    run.picture("stages", plot_points(stages, (-far, far, -far, far), y, title))
    run.picture(
        "curves",
        plot_curves(
            run.history,
            {"NLL (nats)": {"training": "nll", "validation": "val_nll"}},
            title="RealNVP on two moons",
            lines={"entropy of the data": 0.289} if config.noise == 0.05 else None,
        ),
    )


if __name__ == "__main__":
    main(train, Config)
