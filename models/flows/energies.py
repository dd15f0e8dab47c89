r"""Planar and radial flows fitted to the energies U1 to U4.

Paper: Rezende and Mohamed, Variational inference with normalizing flows, ICML 2015,
arXiv:1505.05770

Expect: KL(q || p) of 0.60, 0.25 and 0.06 nats or less with 2, 8 and 32 planar layers, means of the
four energies (the best Gaussian: 1.55; less than 0 is impossible)

A density p(z) = exp(-U(z)) / Z in the plane is given by its energy alone: two ends of a ring, a
wave, a wave that splits, a wave that forks. Nothing is sampled from it. A flow of K layers makes of
a Gaussian z_0 a density q of its own, whose free energy can be estimated and minimised:

    z_0 ~ N(mean, diag exp(log_var)),   z_K = f_K(... f_1(z_0))                    z: (N, 2)
    log q(z_K) = log N(z_0) - sum_k log |det df_k/dz_{k-1}|
    F = E_q [log q(z_K) + U(z_K)] = KL(q || p) - log Z  >=  -log Z

    planar   f(z) = z + u tanh(w.z + b)                    K = 2, 8 and 32
    radial   f(z) = z + beta / (alpha + |z - c|) (z - c)   (``--flow radial``)

A planar layer moves all points along one direction, so a few cannot bend a Gaussian into a wave;
more can. In the plane Z is computed on a grid, so what is reported is KL(q || p) = F + log Z
itself, in nats: 0 is perfect, less is impossible (but for the sampling error, which is reported
too). In training the energy is annealed, so that q finds all the modes before it settles:

    loss = E_q [log q(z_K) + beta_t U(z_K)],   beta_t = min(1, 0.01 + t / anneal)

Where it differs from the paper: as printed, U2 to U4 are waves that go on for ever, so that p has
no finite integral and F no bound; here walls at |z_1| = ``--wall`` end them (the paper shows
[-4, 4]^2 and does not say). Adam with a falling rate and some thousand steps, where the paper has
RMSprop, a rate of 0.00001 and 500,000. The twelve flows share a loop and nothing else: their
losses are added and no parameter belongs to two.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader, Dataset
from minigrad.data.potentials import POTENTIALS, log_partition, potential
from minigrad.data.transforms import current_generator
from minigrad.distributions import PlanarTransform, RadialTransform, Transform
from minigrad.train import Result, Run, main
from minigrad.visualize import plot_curves, plot_densities, plot_points
from models.training import TrainingConfig, make_schedule

IDENTITY = math.log(math.e - 1)  # softplus of it is 1
SIDE = 5.5  # the pictures show [-5.5, 5.5]^2


@dataclass
class Config(TrainingConfig):
    r"""The options; the defaults give the figure above."""

    flow: Literal["planar", "radial"] = "planar"  #: the kind of layer
    lengths: tuple[int, ...] = (2, 8, 32)  #: numbers of layers: a flow for each and each energy
    wall: float = 4.0  #: |z_1| beyond which the energies rise
    lr: float = 1e-2  #: learning rate of Adam at the beginning
    anneal: int = 2500  #: steps until the energy counts in full
    batch_size: int = 256  #: samples in a step, for each flow
    steps: int = 500  #: steps in an epoch
    epochs: int = 10  #: 10 epochs of 500 steps are 5,000 steps
    validation: int = 5000  #: samples for the curves
    test_samples: int = 50_000  #: samples for the figures

    quick_values: ClassVar = {
        "epochs": 3,
        "steps": 100,
        "anneal": 100,
        "lengths": (2, 8),
        "test_samples": 5000,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "anneal", "steps", "wall", "validation")
        self.expect_at_least(2, "test_samples")
        good = len(self.lengths) > 0 and all(length >= 1 for length in self.lengths)
        self.expect("lengths", good and len(set(self.lengths)) == len(self.lengths), "numbers >= 1")


class Flow(nn.Module):
    r"""A Gaussian and ``length`` layers, for each of four energies: axis 0 of all parameters.

    Parameters: 4 for the Gaussian and 5 (planar) or 4 (radial) a layer, times four.
    """

    def __init__(self, kind: str, length: int) -> None:
        super().__init__()
        self.kind, self.length, e = kind, length, len(POTENTIALS)
        self.mean, self.log_var = nn.Parameter(mg.zeros(e, 1, 2)), nn.Parameter(mg.zeros(e, 1, 2))
        if kind == "planar":
            w = mg.randn(length, e, 1, 2)
            u = IDENTITY * w / (w**2).sum(-1, keepdim=True)  # w.u = log(e - 1): nothing moves
            self.w, self.u = nn.Parameter(w), nn.Parameter(u)
            self.b = nn.Parameter(mg.zeros(length, e, 1))
        else:
            self.center = nn.Parameter(mg.randn(length, e, 1, 2))
            self.log_alpha = nn.Parameter(mg.zeros(length, e, 1))
            self.beta = nn.Parameter(mg.full((length, e, 1), IDENTITY))  # nothing moves

    def layers(self) -> list[Transform]:
        r"""f_1 to f_K, on points (4, N, 2)."""
        if self.kind == "planar":
            return [PlanarTransform(self.w[k], self.u[k], self.b[k]) for k in range(self.length)]
        return [
            RadialTransform(self.center[k], self.log_alpha[k], self.beta[k])
            for k in range(self.length)
        ]

    def base_log_prob(self, z: Tensor) -> Tensor:
        r"""log N(z_0; mean, diag exp(log_var)): (4, N, 2) -> (4, N)."""
        square = (z - self.mean) ** 2 * (-self.log_var).exp()
        return -0.5 * (square + self.log_var + math.log(2 * math.pi)).sum(-1)

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        r"""Standard normal noise (4, N, 2) to samples z_K (4, N, 2) and log q(z_K) (4, N)."""
        z = self.mean + (0.5 * self.log_var).exp() * noise
        log_q = self.base_log_prob(z)
        for layer in self.layers():
            z, log_det = layer.forward_and_log_det(z)
            log_q = log_q - log_det
        return z, log_q

    def log_prob(self, z: Tensor) -> Tensor:
        r"""log q at given points: (4, N, 2) -> (4, N). Inverts the layers, which sampling never
        has to."""
        log_q: Tensor | float = 0.0
        for layer in reversed(self.layers()):
            before = layer.inv(z)
            log_q = log_q - layer.log_abs_det_jacobian(before, z)
            z = before
        return self.base_log_prob(z) + log_q


def energies(z: Tensor, wall: float) -> Tensor:
    r"""U1 to U4 of their samples: (4, N, 2) -> (4, N)."""
    return mg.stack([potential(z[i], name, wall) for i, name in enumerate(POTENTIALS)])


class Noise(Dataset):
    r"""Standard normal numbers (4, 2), drawn anew each time they are asked for."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def get_batch(self, indices: np.ndarray) -> Any:
        shape = (len(POTENTIALS), len(indices), 2)
        return (current_generator().numpy.standard_normal(shape, np.float32),)  # (4, N, 2)

    def __getitem__(self, index: int) -> Any:
        return (self.get_batch(np.zeros(1, np.int64))[0][:, 0],)


def free_energies(flow: Flow, wall: float, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    r"""F of the four flows, (4,) nats, from ``n`` samples each, and the standard errors (4,)."""
    noise = Generator(seed).numpy.standard_normal((len(POTENTIALS), n, 2), np.float32)
    with mg.no_grad():
        z, log_q = flow(mg.tensor(noise, device=flow.mean.device))
        values = (log_q + energies(z, wall)).cpu().numpy().astype(np.float64)
    return values.mean(1), values.std(1) / math.sqrt(n)


def train(config: Config) -> Result:
    r"""Minimise the annealed free energies, and measure KL(q || p) at the end."""
    run = Run(config)
    loader = DataLoader(
        Noise(config.steps * config.batch_size),
        config.batch_size,
        shuffle=True,  # each epoch draws a seed, and its noise from that
        device=run.device,
    )
    flows = nn.ModuleList(Flow(config.flow, length) for length in config.lengths).to(run.device)
    optimizer = optim.Adam(flows.parameters(), lr=config.lr)
    schedule = make_schedule(config.schedule, optimizer, config.epochs * config.steps)
    log_z = np.array([log_partition(name, config.wall) for name in POTENTIALS])

    run.track(flows=flows, optimizer=optimizer, schedule=schedule, loader=loader)
    for _ in run.epochs(config.epochs):
        for (noise,) in run.batches(loader):  # (4, N, 2)
            beta = min(1.0, 0.01 + run.step / config.anneal)
            loss: Tensor | float = 0.0
            for flow in flows:
                z, log_q = flow(noise)
                loss = (log_q + beta * energies(z, config.wall)).mean(1).sum() + loss
            assert isinstance(loss, Tensor)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            run.record(annealed_free_energy=loss)
        kls = {
            f"kl_{n}_layers": (
                free_energies(flow, config.wall, config.validation)[0] + log_z
            ).mean()
            for n, flow in zip(config.lengths, flows)
        }
        run.log(**kls)

    means, single = {}, {}
    worst = 0.0
    for n, flow in sorted(zip(config.lengths, flows), key=lambda pair: -pair[0]):
        values, errors = free_energies(flow, config.wall, config.test_samples, seed=1)
        means[f"kl_{n}_layers"] = float((values + log_z).mean())
        for name, value in zip(POTENTIALS, values + log_z):
            single[f"kl_{name}_{n}_layers"] = float(value)
        worst = max(worst, float(errors.max()))
    pictures(run, flows, config)
    return run.finish(flows, **means, **single, largest_standard_error=worst)


def density_on_grid(flow: Flow, count: int = 120) -> np.ndarray:
    r"""q of the four flows at ``count`` x ``count`` points of [-5.5, 5.5]^2, in float64:
    (4, count, count), the lowest row first."""
    exact = Flow(flow.kind, flow.length)
    exact.load_state_dict(flow.state_dict())
    exact = exact.double()
    z = np.broadcast_to(grid(count), (len(POTENTIALS), count**2, 2))
    with mg.no_grad():
        log_q = exact.log_prob(mg.tensor(np.ascontiguousarray(z))).numpy()
    return np.exp(log_q).reshape(-1, count, count)


def grid(count: int) -> np.ndarray:
    r"""The points (count^2, 2) of the pictures, the lowest row first."""
    side = np.linspace(-SIDE, SIDE, count)
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)


def pictures(run: Run, flows: nn.ModuleList, config: Config, count: int = 120) -> None:
    r"""p beside q, samples of the longest flow, and curves."""
    found = {n: density_on_grid(flow, count) for n, flow in zip(config.lengths, flows)}
    panels = {}
    for i, name in enumerate(POTENTIALS):
        energy = potential(grid(count), name, config.wall)
        panels[f"{name}: exp(-U)"] = np.exp(-energy).reshape(count, count)
        for length, density in found.items():
            panels[f"{name}: {length} layers"] = density[i]
    extent = (-SIDE, SIDE, -SIDE, SIDE)
    title = f"{config.flow.capitalize()} flows".strip()
    run.picture("densities", plot_densities(panels, extent, title, columns=1 + len(found)))
    noise = Generator(0).numpy.standard_normal((len(POTENTIALS), 2000, 2), np.float32)
    with mg.no_grad():
        z = flows[-1](mg.tensor(noise, device=run.device))[0].cpu().numpy()
    samples = {f"{name}: {config.lengths[-1]} layers": z[i] for i, name in enumerate(POTENTIALS)}
    run.picture("samples", plot_points(samples, extent, title="Samples"))
    run.picture(
        "curves",
        plot_curves(
            run.history,
            {
                "KL(q || p), mean of four (nats)": {
                    f"{n} layers": f"kl_{n}_layers" for n in config.lengths
                }
            },
            title=title,
        ),
    )


if __name__ == "__main__":
    main(train, Config)
