r"""The plainest autoencoder: three numbers through two, all linear.

Paper: Baldi and Hornik, Neural networks and principal component analysis, Neural Networks 2, 1989

Expect: error on test points within 2 % of that of the exact solution by PCA, .0033, after 200
epochs, and a plane less than 2 degrees from PCA's (the mean as answer: .32)

Points that lie near a plane in space, of which two numbers should say nearly all:

    z     = W1 x + b1                      x: (N, 3), z: (N, 2)
    x_hat = W2 z + b2                      17 parameters
    loss  = mean_n mean_i (x_hat_ni - x_ni)^2

Everything about it is known. However long it is trained, it cannot beat the principal components:
with the covariance's eigenvalues l1 >= l2 >= l3, the least possible error is l3 / 3, and at every
minimum the columns of W2 span the plane of the first two eigenvectors. There are no other minima,
only saddles (Baldi and Hornik). But W1 and W2 are not the eigenvectors themselves: for any
invertible A, the pair (A W1, W2 A^-1) does the same.

So the code of a linear autoencoder is PCA's plane in oblique coordinates, which the picture
``codes`` shows, and no more. What is gained by a network begins with the first ReLU (``dense.py``).

Where it differs: the paper has no biases and centred data. Popular versions report the training
loss; the error here is of points that were not trained on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import TensorDataset
from minigrad.evaluation import PCA
from minigrad.train import Result, Run, main, predict
from minigrad.visualize import plot_latent
from models.autoencoders.common import initialise, picture_curves, train_autoencoder
from models.training import TrainingConfig


@dataclass
class Config(TrainingConfig):
    r"""The options; the defaults give the figure above."""

    lr: float = 0.1  #: learning rate of plain SGD
    schedule: Literal["constant", "cosine"] = "constant"  #: cosine: lr falls to 0 over the run
    batch_size: int = 32  #: points in a step
    epochs: int = 200  #: passes over the training points
    noise: float = 0.1  #: standard deviation of each coordinate's distance from the plane
    train_samples: int = 1000  #: points to train on
    validation: int = 500  #: further points, to choose the epoch
    test_samples: int = 5000  #: further points, to test

    quick_values: ClassVar = {"epochs": 50}

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "validation", "test_samples")
        self.expect_at_least(4, "train_samples")
        self.expect_at_least(0, "noise")


class LinearAutoencoder(nn.Module):
    r"""3 -> 2 -> 3 without non-linearity: 17 parameters."""

    def __init__(self, inputs: int = 3, latent: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Linear(inputs, latent)
        self.decoder = nn.Linear(latent, inputs)
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))


def make_points(n: int, noise: float, generator: Generator) -> np.ndarray:
    r"""(n, 3) float32 points near a plane: an arc of an ellipse in two coordinates, a mixture of
    both in the third, and noise in all three."""
    rng = generator.numpy
    angle = rng.uniform(-0.5, 1.5 * np.pi - 0.5, n)
    arc = np.stack([np.cos(angle) + np.sin(angle) / 2, 0.7 * np.sin(angle)], axis=1)  # (n, 2)
    points = arc @ np.array([[1.0, 0.0, 0.1], [0.0, 1.0, 0.3]])  # (n, 3)
    return (points + noise * rng.standard_normal((n, 3))).astype(np.float32)


def plane_angle(a: np.ndarray, b: np.ndarray) -> float:
    r"""The largest principal angle, in degrees, between the column spaces of two (3, 2)."""
    a, b = (np.linalg.qr(m)[0] for m in (a, b))
    cosines = np.linalg.svd(a.T @ b, compute_uv=False)
    return float(np.degrees(np.arccos(np.clip(cosines.min(), -1, 1))))


def objective(model: Any, batch: Any, generator: Generator | None = None) -> dict[str, Tensor]:
    r"""The mean squared error of points (N, 3) that come back."""
    return {"mse": nn.functional.mse_loss(model(batch[0]), batch[0])}


def train(config: Config) -> Result:
    r"""Train, and compare with the exact solution."""
    run = Run(config)
    generator = Generator(config.seed)
    sizes = (config.train_samples, config.validation, config.test_samples)
    data = [TensorDataset(make_points(n, config.noise, generator)) for n in sizes]

    model = LinearAutoencoder().to(run.device)
    optimizer = optim.SGD(model.parameters(), lr=config.lr)
    found = train_autoencoder(run, model, objective, config, data, optimizer)

    train_x, test_x = (data[i].tensors[0].numpy() for i in (0, 2))
    pca = PCA(train_x, 2)
    pca_mse = pca.mse(test_x)
    weight = model.decoder.weight.detach().cpu().numpy()  # (3, 2)
    pictures(run, model, test_x, pca.encode(test_x))
    return run.finish(
        model,
        test_mse=found["test_mse"],
        pca_mse=pca_mse,
        over_pca=found["test_mse"] / pca_mse - 1,
        angle_to_pca=plane_angle(weight, pca.components.T),
        best_epoch=found["best_epoch"],
    )


def pictures(run: Run, model: LinearAutoencoder, x: np.ndarray, pca: np.ndarray) -> None:
    r"""The codes, coloured by sixths of the angle in PCA's plane, and the curve."""
    codes = predict(model.encoder, mg.tensor(x, device=run.device)).cpu().numpy()
    sixth = np.floor((np.arctan2(pca[:, 1], pca[:, 0]) / (2 * np.pi) % 1) * 6).astype(int) % 6
    names = [f"{60 * i}°-{60 * (i + 1)}°" for i in range(6)]
    title = "Codes; colours are angles in PCA's plane"
    run.picture("codes", plot_latent(codes[:2000], sixth[:2000], title, names))
    picture_curves(run, {"mean squared error": "mse"}, "3 - 2 - 3")


if __name__ == "__main__":
    main(train, Config)
