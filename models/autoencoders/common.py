r"""What the autoencoders share: options, the network's frame, the training run, pictures.

Belongs here: what is the same in all of them. Does not belong here: layers, losses and noise (each
in its own file, where the difference between the variants is), which images are for what
(``models/mnist.py``).

An autoencoder is two functions and one demand. The encoder makes a code z of an input x, the
decoder an input of a code, and both are trained to make one particular x come back:

    z = encoder(x),    x_hat = decoder(z),    minimise  mean_n loss(x_hat_n, x_n)

Nothing is said about the *distribution* of the codes: that is what a variational autoencoder adds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader
from minigrad.evaluation import PCA
from minigrad.train import Run, mean_values, predict
from minigrad.visualize import plot_curves, plot_images, plot_latent, plot_manifold
from models.training import TEST_BATCH, ImageTrainingConfig, TrainingConfig, make_schedule

#: ``(model, batch, generator)`` to named means over the batch. The first is what training
#: minimises, the rest is shown. ``generator`` is where noise comes from; None is the default one.
Objective = Callable[[Any, Sequence[Tensor], Generator | None], dict[str, Tensor]]


@dataclass
class AutoencoderConfig(ImageTrainingConfig):
    r"""The options that all autoencoders of images have."""

    lr: float = 2e-3  #: learning rate at the beginning
    #: cosine: lr falls to 0 over the run; plateau: by sqrt(10) after 5 epochs without a gain
    schedule: Literal["constant", "cosine", "plateau"] = "cosine"  # type: ignore[assignment]


class Autoencoder(nn.Module):
    r"""An encoder to codes and a decoder to *logits*, whose sigmoids are pixels in [0, 1]."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        r"""Images to the logits of their reconstructions, of the same shape."""
        return self.decoder(self.encoder(x))

    def reconstruct(self, x: Tensor) -> Tensor:
        r"""Images to images, both in [0, 1]."""
        return self(x).sigmoid()

    def decode(self, z: Tensor) -> Tensor:
        r"""Codes to images in [0, 1]."""
        return self.decoder(z).sigmoid()


def initialise(model: nn.Module) -> None:
    r"""Glorot's uniform weights and zero biases, as in the frameworks that the sources used."""
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def squared_error(logits: Tensor, x: Tensor) -> Tensor:
    r"""Mean over images *and pixels* of (sigmoid(logits) - x)^2."""
    return nn.functional.mse_loss(logits.sigmoid(), x)


def cross_entropy(logits: Tensor, x: Tensor) -> Tensor:
    r"""Mean over images and pixels of -x log p - (1 - x) log(1 - p), p = sigmoid(logits), in nats.
    Grey pixels have an entropy of their own, below which it cannot fall."""
    return nn.functional.binary_cross_entropy_with_logits(logits, x)


def pixel_entropy(data: Any) -> float:
    r"""Mean of -x log x - (1 - x) log(1 - x) over images and pixels: what :func:`cross_entropy` is
    for perfect reconstructions, and cannot be below."""
    x = all_inputs(data).astype(np.float64)
    parts = [np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0) for p in (x, 1 - x)]
    return float(-(parts[0] + parts[1]).mean())


def evaluate(model: nn.Module, objective: Objective, loader: Iterable[Any]) -> dict[str, float]:
    r"""The objective's means over all of ``loader``, in evaluation mode. Noise comes from a
    generator of its own: the same at each call, and the training that follows is not changed."""
    generator = Generator(0)
    model.eval()
    found = mean_values(lambda batch: objective(model, batch, generator), loader)
    model.train()
    return found


def train_autoencoder(
    run: Run,
    model: nn.Module,
    objective: Objective,
    config: TrainingConfig,
    data: Sequence[Any],
    optimizer: optim.Optimizer | None = None,
    choose_by: str | None = None,
) -> dict[str, Any]:
    r"""Minimise the first value of ``objective``, go back to the epoch in which ``choose_by`` was
    least on the validation data, and test that one, once.

    Args:
        data: training, validation and test data.
        optimizer: of the model's parameters; Adam with ``config.lr`` by default.
        choose_by: one of the objective's values; the first by default.

    Returns:
        The objective's values as ``test_...``, then the best validation value and its epoch.
    """
    train_data, val_data, test_data = data
    loader = DataLoader(train_data, config.batch_size, shuffle=True, device=run.device)
    val_loader = DataLoader(val_data, TEST_BATCH, device=run.device)
    if optimizer is None:
        optimizer = optim.Adam(model.parameters(), lr=config.lr)
    schedule = make_schedule(config.schedule, optimizer, config.epochs * len(loader))
    plateau = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1**0.5, patience=5)

    run.track(plateau=plateau, model=model, optimizer=optimizer, schedule=schedule, loader=loader)
    for _ in run.epochs(config.epochs):
        for batch in run.batches(loader):
            values = objective(model, batch, None)
            loss = next(iter(values.values()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            run.record(len(batch[0]), **values)
        validation = evaluate(model, objective, val_loader)
        run.log(**{f"val_{name}": value for name, value in validation.items()})
        choose_by = choose_by or next(iter(validation))
        run.keep_best(validation[choose_by], model)
        if config.schedule == "plateau":
            plateau.step(validation[choose_by])

    run.load_best(model)
    model.eval()
    test = evaluate(model, objective, DataLoader(test_data, TEST_BATCH, device=run.device))
    assert run.best is not None
    return {
        **{f"test_{name}": value for name, value in test.items()},
        f"val_{choose_by or next(iter(test))}": run.best["value"],
        "best_epoch": run.best["epoch"],
    }


def encode(run: Run, model: Any, data: Any) -> tuple[np.ndarray, np.ndarray]:
    r"""The codes (N, D) of all of ``data``, and the labels (N,), on the host."""
    loader = DataLoader(data, TEST_BATCH, device=run.device)
    codes = predict(model.encoder, loader).cpu().numpy()
    return codes, np.concatenate([batch[1].cpu().numpy() for batch in loader])


def all_inputs(data: Any) -> np.ndarray:
    r"""The inputs of all samples (N, ...), on the host."""
    return data.get_batch(np.arange(len(data)))[0]


def pca_error(train_data: Any, test_data: Any, components: int) -> float:
    r"""The mean squared error a pixel on ``test_data`` of the best *linear* way through as many
    numbers, fitted to ``train_data``: what an autoencoder has to beat."""
    return PCA(all_inputs(train_data), components).mse(all_inputs(test_data))


# ---------------------------------------------------------------------------------- pictures
def first_images(run: Run, data: Any, count: int = 12) -> Tensor:
    r"""The first ``count`` inputs of ``data``, on the run's device."""
    return next(iter(DataLoader(data, count, device=run.device)))[0]


def picture_curves(run: Run, panels: Mapping[str, str], title: str) -> None:
    r"""``curves``: label of the axis -> name of the value, training and validation in one panel."""
    run.picture(
        "curves",
        plot_curves(
            run.history,
            {
                label: {"training": name, "validation": f"val_{name}"}
                for label, name in panels.items()
            },
            title=title,
        ),
    )


def picture_reconstructions(run: Run, model: Autoencoder, data: Any, title: str) -> None:
    r"""``reconstructions``: test images, and what came back."""
    x = first_images(run, data)
    model.eval()
    with mg.no_grad():
        run.picture(
            "reconstructions",
            plot_images({"test image": x, "decoded": model.reconstruct(x)}, title),
        )


def picture_interpolation(run: Run, model: Autoencoder, data: Any) -> None:
    r"""``interpolation``: from one test image to another, in the code and, below it, in the
    pixels, where one image fades into the other."""
    x = first_images(run, data, 4)
    share = mg.linspace(0, 1, 12, device=run.device).reshape(12, 1)
    model.eval()
    rows: dict[str, Any] = {}
    with mg.no_grad():
        z = model.encoder(x)
        shape = (len(share), *x.shape[1:])
        for a, b, blank in ((0, 1, ""), (2, 3, " ")):
            codes = (1 - share) * z[a].reshape(1, -1) + share * z[b].reshape(1, -1)
            pixels = (1 - share) * x[a].reshape(1, -1) + share * x[b].reshape(1, -1)
            rows[f"codes{blank}"] = model.decode(codes).reshape(*shape)
            rows[f"pixels{blank}"] = pixels.reshape(*shape)
    run.picture("interpolation", plot_images(rows, "From one test image to another"))


def picture_plane(
    run: Run, model: Autoencoder, codes: np.ndarray, labels: np.ndarray, title: str
) -> None:
    r"""``latent``, where the test images are in a two-dimensional code, and ``manifold``, what the
    decoder makes of the middle of that plane."""
    run.picture("latent", plot_latent(codes, labels, title))
    # Codes may lie anywhere, some far out: around the median, as far as most of them are.
    centre = np.median(codes, axis=0)
    half = max(3 * float(np.median(abs(codes - centre), axis=0).max()), 1e-3)

    def decode(z: np.ndarray) -> np.ndarray:
        with mg.no_grad():
            images = model.decode(mg.tensor(z, device=run.device)).cpu().numpy()
        return images.reshape(len(z), 1, 28, 28)

    model.eval()
    run.picture(
        "manifold",
        plot_manifold(
            decode,
            limit=half,
            title="Decoded latent plane, where most codes are",
            centre=(float(centre[0]), float(centre[1])),
        ),
    )
