r"""Convolutional variational autoencoder with a two-dimensional code, on MNIST.

Paper: Kingma and Welling, Auto-encoding variational Bayes, ICLR 2014, arXiv:1312.6114

Expect: negative ELBO of 150 to 160 nats on the test images after 4 epochs, digits recognised from
the two numbers of the code with 62 to 71 % accuracy (a collapsed posterior: 206 nats, 10 %)

The model and its bound are those of ``vae.py``: with a standard normal prior on z,

    log p(x) >= E_q [log p(x|z)] - KL(q(z|x) || p(z))                    (the ELBO)
    KL        = 1/2 sum_j (exp(log_var_j) + mean_j^2 - 1 - log_var_j)
    z         = mean + exp(log_var / 2) * eps,   eps ~ N(0, I)

Convolutions with stride 2 encode, transposed convolutions decode:

    encoder  conv(32, stride 2) - conv(64, stride 2) - linear(16) - mean(2), log_var(2)   69,076
    decoder  linear(7*7*64) - convT(64, stride 2) - convT(32, stride 2) - convT(1)        65,089

all with 3 x 3 filters and ReLUs between. Two dimensions are few for ten digits; they are chosen
because one can look at them. The pictures show where the encoder puts the test images
(``latent``), what the decoder makes of each place of the plane (``manifold``), reconstructions,
samples from the prior, and the curves.

Variants that are found in popular sources, as options:

- ``--likelihood gaussian``: 784 times the mean squared error instead of the cross-entropy. That is
  -log p(x|z), but for a constant, of a Gaussian with variance 1/2 for each pixel: another model,
  whose bound is not comparable with that of the Bernoulli pixels.
- ``--kl-average``: the KL averaged over the latent dimensions instead of summed, which weighs it
  half as much here: no bound on log p(x) any more. The figures reported are those of the ELBO in
  any case.
- ``--batch-norm --hidden 20``: batch norm after each convolution and the dense layer.

Where it differs from the paper: the paper has one hidden layer of tanh units and Adagrad. Grey
pixels are Bernoulli targets as they are, so 45.5 nats an image cannot be undercut (see ``vae.py``).
Popular versions train for 30 epochs with batches of 128 at a constant rate of 0.001
(``--epochs 30 --batch-size 128 --lr 1e-3 --schedule constant``), which reached 160 nats after 3
epochs here. Batches of 64 and a rate that falls from 0.002 along half a cosine reached 153 in as
many, and 4 epochs take minutes on two cores. RMSprop is the sources' choice, and a good one: in the
runs tried with Adam, one of the two dimensions stayed idle for most of the first epoch. The epoch
that is best on 5,000 held-out training images is the one that is tested.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader
from minigrad.train import Mean, Result, Run, RunConfig, main
from minigrad.visualize import image_grid, plot_curves, plot_images, plot_latent, plot_manifold
from models.mnist import load_mnist


@dataclass
class Config(RunConfig):
    r"""The options; the defaults give the figure above."""

    latent: int = 2  #: dimensions of z
    hidden: int = 16  #: units of the dense layer of the encoder
    batch_norm: bool = False  #: after each layer of the encoder but the last
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"  #: of a pixel given z
    beta: float = 1.0  #: weight of the KL in training
    kl_average: bool = False  #: average the KL over the latent dimensions in training
    optimizer: Literal["rmsprop", "adam"] = "rmsprop"  #: rmsprop with alpha 0.9
    lr: float = 2e-3  #: learning rate at the start
    schedule: Literal["constant", "cosine"] = "cosine"  #: cosine: lr falls to 0 over the run
    batch_size: int = 64  #: images in a step
    epochs: int = 4  #: passes over the training images
    validation: int = 5000  #: training images held out to choose the epoch
    train_images: int | None = None  #: train on this many only
    test_images: int | None = None  #: test on this many only

    quick_values: ClassVar = {
        "epochs": 1,
        "train_images": 2000,
        "validation": 500,
        "test_images": 1000,
    }

    resumable: ClassVar = ("device", "out", "resume")  # the schedule depends on the epochs

    def check(self) -> None:
        self.expect_at_least(1, "latent", "hidden", "batch_size", "epochs", "validation")
        self.expect_at_least(0, "beta")
        self.expect("lr", self.lr > 0, "a positive number")


class Encoder(nn.Module):
    r"""Images (N, 1, 28, 28) to mean and log-variance (N, latent) of q(z|x)."""

    def __init__(self, latent: int = 2, hidden: int = 16, batch_norm: bool = False) -> None:
        super().__init__()

        def normed(layer: nn.Module, norm: nn.Module) -> list[nn.Module]:
            return [layer, norm, nn.ReLU()] if batch_norm else [layer, nn.ReLU()]

        self.layers = nn.Sequential(
            *normed(nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32)),  # 14 x 14
            *normed(nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64)),  # 7 x 7
            nn.Flatten(),  # (N, 3136)
            *normed(nn.Linear(7 * 7 * 64, hidden), nn.BatchNorm1d(hidden)),
        )
        self.mean = nn.Linear(hidden, latent)
        self.log_var = nn.Linear(hidden, latent)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.layers(x)
        return self.mean(h), self.log_var(h)


class Decoder(nn.Module):
    r"""Codes (N, latent) to logits (N, 1, 28, 28); their sigmoids are the means of p(x|z)."""

    def __init__(self, latent: int = 2) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent, 7 * 7 * 64),
            nn.Unflatten(1, (64, 7, 7)),
            nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),  # 14 x 14
            nn.ReLU(),
            nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),  # 28 x 28
            nn.ReLU(),
            nn.ConvTranspose2d(32, 1, 3, padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class VAE(nn.Module):
    r"""Encoder, a sample of the code, decoder."""

    def __init__(self, latent: int = 2, hidden: int = 16, batch_norm: bool = False) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = Encoder(latent, hidden, batch_norm)
        self.decoder = Decoder(latent)

    def forward(
        self, x: Tensor, generator: Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encoder(x)
        z = mg.gaussian_sample(mean, log_var, generator=generator)
        return self.decoder(z), mean, log_var


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""KL(N(mean, exp(log_var)) || N(0, I)), summed over the latent dimensions: (N, D) -> (N,)."""
    return 0.5 * (log_var.exp() + mean**2 - 1.0 - log_var).sum(1)


def reconstruction_loss(logits: Tensor, x: Tensor, likelihood: str = "bernoulli") -> Tensor:
    r"""-log p(x|z), summed over the pixels: (N, 1, 28, 28) -> (N,). For a Gaussian with variance
    1/2 the constant 784/2 log(pi) is left out, as in the sources."""
    if likelihood == "gaussian":
        return ((logits.sigmoid() - x) ** 2).sum((1, 2, 3))
    pixels = nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return pixels.sum((1, 2, 3))


def evaluate(
    model: VAE, loader: Iterable[Any], likelihood: str = "bernoulli", seed: int = 0
) -> dict[str, float]:
    r"""Means over all images of the negative ELBO and its two parts, with one sample of z each,
    from a generator of its own, so that evaluating does not change the training that follows."""
    generator = Generator(seed)
    parts = {"reconstruction": Mean(), "kl": Mean()}
    model.eval()
    with mg.no_grad():
        for x, _ in loader:
            logits, mean, log_var = model(x, generator)
            parts["reconstruction"].update(
                reconstruction_loss(logits, x, likelihood).mean(), len(x)
            )
            parts["kl"].update(kl_divergence(mean, log_var).mean(), len(x))
    model.train()
    values = {name: mean.compute() for name, mean in parts.items()}
    return {"negative_elbo": values["reconstruction"] + values["kl"], **values}


def train(config: Config) -> Result:
    r"""Train, keep the epoch with the best validation ELBO, and test it."""
    run = Run(config)
    train_data, val_data, test_data = load_mnist(
        config.validation, config.train_images, config.test_images
    )
    loader = DataLoader(train_data, config.batch_size, shuffle=True, device=run.device)
    val_loader = DataLoader(val_data, 500, device=run.device)
    test_loader = DataLoader(test_data, 500, device=run.device)

    model = VAE(config.latent, config.hidden, config.batch_norm).to(run.device)
    if config.optimizer == "adam":
        optimizer: optim.Optimizer = optim.Adam(model.parameters(), lr=config.lr)
    else:
        optimizer = optim.RMSprop(model.parameters(), lr=config.lr, alpha=0.9)
    schedule: optim.lr_scheduler.LRScheduler = optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    if config.schedule == "cosine":
        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * len(loader))
    kl_weight = config.beta / config.latent if config.kl_average else config.beta

    run.track(model=model, optimizer=optimizer, schedule=schedule, loader=loader)
    for _ in run.epochs(config.epochs):
        for x, _ in run.batches(loader):  # (N, 1, 28, 28)
            logits, mean, log_var = model(x)
            reconstruction = reconstruction_loss(logits, x, config.likelihood).mean()
            kl = kl_divergence(mean, log_var).mean()
            loss = reconstruction + kl_weight * kl  # the negative ELBO if the weight is 1
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            run.record(
                len(x), negative_elbo=reconstruction + kl, reconstruction=reconstruction, kl=kl
            )
        validation = evaluate(model, val_loader, config.likelihood)
        run.log(**{f"val_{name}": value for name, value in validation.items()})
        run.keep_best(validation["negative_elbo"], model)

    run.load_best(model)
    test = evaluate(model, test_loader, config.likelihood)
    codes, labels = encode(model, test_loader)
    known_codes, known_labels = encode(model, DataLoader(train_data, 500, device=run.device))
    accuracy = float((nearest_labels(codes, known_codes, known_labels) == labels).mean())
    pictures(run, model, test_loader, codes, labels)
    return run.finish(
        model,
        test_negative_elbo=test["negative_elbo"],
        test_reconstruction=test["reconstruction"],
        test_kl=test["kl"],
        knn_accuracy=accuracy,
        val_negative_elbo=run.best["value"],
        best_epoch=run.best["epoch"],
    )


def encode(model: VAE, loader: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    r"""The posterior means (N, latent) of all images, and their labels (N,)."""
    means, labels = [], []
    model.eval()
    with mg.no_grad():
        for x, y in loader:
            means.append(model.encoder(x)[0].cpu().numpy())
            labels.append(y.cpu().numpy())
    return np.concatenate(means), np.concatenate(labels)


def nearest_labels(
    codes: np.ndarray, known: np.ndarray, known_labels: np.ndarray, k: int = 15
) -> np.ndarray:
    r"""The most frequent label among the ``k`` nearest ``known`` codes of each code."""
    known, known_labels = known[:10000], known_labels[:10000]  # enough for a plane, and quick
    k = min(k, len(known))
    found = []
    for part in np.array_split(codes, max(1, len(codes) // 500)):
        # |a - b|^2 = |a|^2 - 2 a.b + |b|^2, and |a|^2 is the same for all b
        distance = (known**2).sum(1) - 2 * part @ known.T  # (n, N)
        nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
        votes = (known_labels[nearest][:, :, None] == np.arange(10)).sum(1)  # (n, 10)
        found.append(votes.argmax(1))
    return np.concatenate(found)


def pictures(
    run: Run, model: VAE, loader: Iterable[Any], codes: np.ndarray, labels: np.ndarray
) -> None:
    r"""Reconstructions, samples from the prior, curves; for a plane its map and its manifold."""
    x = next(iter(loader))[0][:12]

    def decode(z: Tensor) -> np.ndarray:
        model.eval()
        with mg.no_grad():
            return model.decoder(z).sigmoid().cpu().numpy()

    with mg.no_grad():
        mean, _ = model.encoder(x)
    title = f"Reconstructions from {model.latent} numbers"
    run.picture("reconstructions", plot_images({"test": x, "decoded": decode(mean)}, title))
    z = mg.randn(100, model.latent, generator=Generator(0), device=run.device)
    run.picture("samples", image_grid(decode(z), columns=10))
    run.picture(
        "curves",
        plot_curves(
            run.history,
            {
                "negative ELBO (nats)": {
                    "training": "negative_elbo",
                    "validation": "val_negative_elbo",
                },
                "KL (nats)": {"training": "kl", "validation": "val_kl"},
            },
            title="Convolutional VAE on MNIST",
        ),
    )
    if model.latent == 2:
        run.picture("latent", plot_latent(codes, labels, "Posterior means of the test images"))
        run.picture(
            "manifold",
            # 95 % of the prior lies within two standard deviations in each direction.
            plot_manifold(
                lambda z: decode(mg.tensor(z, device=run.device)),
                limit=2.0,
                title="Decoded latent plane",
            ),
        )


if __name__ == "__main__":
    main(train, Config)
