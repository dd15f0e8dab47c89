r"""Autoencoder of the states of a control task: two numbers through a code of 32, for MountainCar.

Paper: Lange and Riedmiller, Deep auto-encoder neural networks in reinforcement learning, 2010

Expect: R² of .999 or more for position *and* velocity on test states after 10 epochs (the mean as
answer: 0)

A car in a valley has a position in [-1.2, .6] and a velocity in [-.07, .07]. States are drawn
evenly from that box, which is the observation space of gymnasium's MountainCar; no episode is
played. The encoder becomes a fixed map from states to 32 features, on which policy and value
functions can be linear:

    s     = (state - centre) / half_width                      (N, 2), evenly in [-1, 1]^2
    z     = relu(W3 relu(W2 relu(W1 s)))                        2 - 256 - 128 - 32
    s_hat = W6 relu(W5 relu(W4 z))                              32 - 128 - 256 - 2, 75,554 in all
    loss  = mean_ni (s_hat_ni - s_ni)^2

**The scale matters.** The box is 1.8 long and .14 wide. On raw states (``--raw``, the source's
way) the velocity is 1/165 of the variance, so an encoder that ignores it has a loss of .0008, which
looks like success; and the velocity is what decides whether the car gets up the hill. Hence the
error is reported as R² of each coordinate: 1 - (mean squared error) / variance.

The encoder is used *frozen*: ``frozen_encoder`` gives a copy whose parameters need no gradients, so
that what is trained on top of it does not change it.

A code of 32 numbers for 2 compresses nothing; what is gained is a smooth set of features, as with
radial basis functions. Where it differs: the paper encodes camera images.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn
from minigrad.data import TensorDataset
from minigrad.evaluation import r2_score
from minigrad.train import Result, Run, RunError, main, predict
from minigrad.visualize import image_grid
from models.autoencoders.common import initialise, picture_curves, train_autoencoder
from models.training import TrainingConfig


@dataclass
class Config(TrainingConfig):
    r"""The options; the defaults give the figure above."""

    raw: bool = False  #: leave the states as they are instead of scaling them to [-1, 1]
    train_samples: int = 200_000  #: states to train on
    validation: int = 5000  #: further states, to choose the epoch
    test_samples: int = 20_000  #: further states, to test

    quick_values: ClassVar = {"epochs": 2, "train_samples": 20_000}

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "validation")
        self.expect_at_least(2, "train_samples", "test_samples")


class Scale(nn.Module):
    r"""The box from ``low`` to ``high`` to [-1, 1] in each coordinate: (N, D) -> (N, D)."""

    def __init__(self, low: Any, high: Any) -> None:
        super().__init__()
        low, high = (np.asarray(v, np.float32) for v in (low, high))
        self.register_buffer("centre", mg.tensor((low + high) / 2))
        self.register_buffer("half_width", mg.tensor((high - low) / 2))

    def forward(self, states: Tensor) -> Tensor:
        return (states - self.centre) / self.half_width


class StateAutoencoder(nn.Module):
    r"""States (N, 2) to features (N, 32), and those to *scaled* states (N, 2): 75,554 parameters.

    Args:
        low, high: the corners of the box of states; (-1, -1) and (1, 1) scale nothing.
    """

    def __init__(self, low: Any = (-1.0, -1.0), high: Any = (1.0, 1.0)) -> None:
        super().__init__()

        def layers(*sizes: int) -> list[nn.Module]:
            pairs = zip(sizes, sizes[1:])
            return [part for a, b in pairs for part in (nn.Linear(a, b), nn.ReLU())]

        self.encoder = nn.Sequential(Scale(low, high), *layers(2, 256, 128, 32))
        self.decoder = nn.Sequential(*layers(32, 128, 256, 2)[:-1])
        initialise(self)

    def forward(self, states: Tensor) -> Tensor:
        return self.decoder(self.encoder(states))


def mountain_car_box() -> tuple[np.ndarray, np.ndarray]:
    r"""Lower and upper ends of position and velocity, each (2,)."""
    try:
        import gymnasium
    except ImportError:
        raise RunError("states need gymnasium: pip install 'minigrad[models]'") from None
    space: Any = gymnasium.make("MountainCar-v0").observation_space
    return space.low, space.high


def draw_states(n: int, generator: Generator) -> np.ndarray:
    r"""(n, 2) float32 states, evenly from the box."""
    low, high = mountain_car_box()
    return generator.numpy.uniform(low, high, (n, 2)).astype(np.float32)


def frozen_encoder(model: StateAutoencoder) -> nn.Module:
    r"""A copy of the encoder that learns nothing: no parameter of it requires gradients."""
    return copy.deepcopy(model.encoder).eval().requires_grad_(False)


def objective(model: Any, batch: Any, generator: Generator | None = None) -> dict[str, Tensor]:
    r"""The mean squared error of the scaled states (N, 2) that come back."""
    states = model.encoder[0](batch[0])
    return {"mse": nn.functional.mse_loss(model(batch[0]), states)}


def train(config: Config) -> Result:
    r"""Train, keep the epoch that is best on the validation states, and test it."""
    run = Run(config)
    generator = Generator(config.seed)
    sizes = (config.train_samples, config.validation, config.test_samples)
    data = [TensorDataset(draw_states(n, generator)) for n in sizes]

    model = StateAutoencoder() if config.raw else StateAutoencoder(*mountain_car_box())
    model.to(run.device)
    found = train_autoencoder(run, model, objective, config, data)

    states = data[2].tensors[0].to(run.device)
    output = predict(model, states).cpu().numpy()
    position, velocity = r2_score(output, predict(model.encoder[0], states).cpu().numpy())
    features = predict(frozen_encoder(model), states).cpu().numpy()
    picture_features(run, model)
    picture_curves(run, {"mean squared error": "mse"}, "States of MountainCar, 2 - 32 - 2")
    return run.finish(
        model,
        velocity_r2=velocity,
        position_r2=position,
        **found,
        active_features=int((features.var(0) > 1e-4).sum()),
    )


def picture_features(run: Run, model: StateAutoencoder, side: int = 24) -> None:
    r"""``features``: each of the 32 as an image over the box, position to the right, velocity up,
    brightest where it is largest."""
    low, high = mountain_car_box()
    position, velocity = (np.linspace(a, b, side) for a, b in zip(low, high))
    grid = np.stack(np.meshgrid(position, velocity[::-1]), axis=-1).reshape(-1, 2)
    features = predict(model.encoder, mg.tensor(grid, dtype=mg.float32, device=run.device))
    images = features.cpu().numpy().T.reshape(-1, 1, side, side)
    images = images / np.maximum(images.max((1, 2, 3), keepdims=True), 1e-6)
    run.picture("features", image_grid(images, columns=8))


if __name__ == "__main__":
    main(train, Config)
