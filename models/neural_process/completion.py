r"""Neural process that completes MNIST digits.

Paper: Garnelo et al., Neural processes, 2018, arXiv:1807.01622; without z: Garnelo et al.,
Conditional neural processes, ICML 2018, arXiv:1807.01613

Expect: 0.147 nats a pixel or less on the test images with 300 to 350 pixels given; of unseen pixels
0.125 or less, and 0.155 or less with 100 given (the mean image: 0.263; smoothing, which needs no
network: 0.134 and 0.189 of unseen pixels)

An image is a function from places to grey levels. Of a few of its pixels, the context
C = {(x_i, y_i)}, the model predicts all others, the targets:

    r      = mean_i h(x_i, y_i)                          whatever the order and number of pixels
    q(z|C) = N(z; mean(r), diag exp(log_var(r)))                       one z, one whole image
    p(y|x, z) = Bernoulli(y; sigmoid(g(x, z)))

The predictive probability of targets T = {(x_j, y_j)} given the context is an integral over z, and
the prior in it is what the context says, q(z|C), not N(0, I). Training maximises the bound

    log p(y_T|x_T, C) >= E_q(z|C,T) sum_j log p(y_j|x_j, z) - KL(q(z|C,T) || q(z|C))

with the number of context pixels drawn anew for every step. It makes q(z|C), which has to do
without the targets, agree with what is known after they have been seen. ``--kind conditional``
leaves out z: g reads r, and the loss is -sum_j log p(y_j|x_j, r). Its pixels are predicted each on
its own, so the samples of a digit are no digits.

The networks (``--network product``, the default) use that places are a grid and grey levels nearly
binary. Any function of a binary y is of the form b(x) + y a(x), and then r is two matrix products;
so is an inner product for g:

    h(x, y) = b(x) + y a(x),   r = f(LayerNorm(mean_i h(x_i, y_i))),   g(x, z) = u(x) . v(z) + w(x)

with a, b, u, w linear in 14 x 14 Gaussian bumps over the image and f, v with one hidden layer.
``--network mlp`` has the networks of the popular versions: h is 3-128-128-128 and g 130-128-128-1,
of plain coordinates in [0, 1]^2. A network of two coordinates is smooth and slow to become sharp,
and it works through every pixel of every image: a step takes about ten times as long.

Figures are nats a pixel, for 10, for 100 and for 300 to 350 context pixels (``..._325``).
``test_nll_...`` is the mean over *all* 784 pixels of -log p(y|x, z) with one z of q(z|C), as others
report it (115.9/784 = 0.148 at 300 to 350), ``test_unseen_...`` that of the pixels outside of the
context, and ``test_bound_...`` the bound above for these. One z is one guess at the whole digit,
and after 10 pixels most guesses are of another digit, which costs more than saying nothing.
``test_predictive_...`` has for each pixel the mean probability over 16 z, which is what the model
knows.

What needs no network: the mean image has 0.263, and smoothing (each pixel a weighted mean of the
context around it and of the mean image) 0.249 with 10 pixels, 0.175 with 100 and 0.105 with 325, of
unseen pixels 0.251, 0.189 and 0.134. So the figure that others report is worse than no network at
all. A fair one leaves out the pixels that are given: there the process is far ahead with 100, still
ahead with 325, where most unseen pixels have a neighbour to copy, and level with 10. As grey pixels
are Bernoulli targets, 0.058 is the least there can be.

Where it differs from the paper: besides the networks, the context never has more than
``--max-context`` pixels and the targets of a step are ``--targets`` of the others, the same places
for all images of a batch. Popular versions draw z with the raw output as deviation while their KL
takes it for a log-variance, and pull q(z|C) towards N(0, I): then the context is thrown away
instead of being the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.backend import default_generator
from minigrad.data import DataLoader
from minigrad.train import Result, Run, main, mean_values
from minigrad.visualize import plot_curves, plot_images
from models.mnist import load_mnist
from models.neural_process.networks import Bumps, NeuralProcess, Posterior, kl_divergence
from models.training import ImageTrainingConfig, make_schedule

SIDE = 28
PIXELS = SIDE * SIDE
DEVIATION = 0.31  # of the grey levels of MNIST
DRAWS = 16  # of z, for a predictive probability
DENSE = (300, 350)  # context pixels of the figure that others report: least and most
EVALUATED: dict[str, tuple[int, int]] = {"325": DENSE, "100": (100, 100), "10": (10, 10)}


@dataclass
class Config(ImageTrainingConfig):
    r"""The options; the defaults give the figure above."""

    kind: Literal["latent", "conditional"] = "latent"  #: with a code z (NP) or without (CNP)
    network: Literal["product", "mlp"] = "product"  #: mlp: a network for each pixel
    hidden: int = 512  #: features of a set, units of hidden layers; for mlp 128 is usual
    latent: int = 128  #: dimensions of z; for mlp it is hidden
    bumps: int = 14  #: the product's places are this many times this many bumps
    max_context: int = 350  #: context pixels in training: from 1 to this
    targets: int = 400  #: pixels predicted in a training step
    warmup: float = 2.0  #: epochs over which the weight of the KL rises from 0 to 1
    lr: float = 2e-3  #: learning rate of Adam at the beginning
    batch_size: int = 100  #: images in a step
    epochs: int = 20  #: passes over the training images
    validation: int = 2000  #: training images held out to choose the epoch

    quick_values: ClassVar = {
        "epochs": 2,
        "train_images": 5000,
        "validation": 200,
        "test_images": 500,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "hidden", "latent", "max_context", "targets")
        self.expect_at_least(2, "bumps")
        self.expect_at_least(0, "warmup")
        room = self.max_context + self.targets <= PIXELS
        self.expect("targets", room, f"at most {PIXELS} together with max_context")


def grid() -> np.ndarray:
    r"""The places of the pixels, row by row, in [0, 1]^2: (784, 2)."""
    ticks = np.linspace(0, 1, SIDE)
    return np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(PIXELS, 2)


class ProductProcess(nn.Module):
    r"""The networks of images: h(x, y) = b(x) + y a(x) and g(x, z) = u(x) . v(z) + w(x).

    ``features`` is the number of bumps, ``latent`` the size of z; None for the conditional kind.
    """

    def __init__(self, features: int, hidden: int, latent: int | None) -> None:
        super().__init__()
        self.latent = latent is not None
        self.a, self.b = nn.Linear(features, hidden), nn.Linear(features, hidden)
        self.f = nn.Sequential(
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
        )
        if latent is not None:
            self.posterior = Posterior(hidden, latent)
        self.v = nn.Sequential(
            nn.Linear(hidden if latent is None else latent, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.u, self.w = nn.Linear(features, hidden), nn.Linear(features, 1)
        self.scale = 1 / math.sqrt(hidden)

    def represent(self, x: Tensor, y: Tensor) -> Tensor:
        r"""r (B, hidden) of sets with places x (n, features), for all, and values y (B, n, 1)."""
        y = y.squeeze(2) * (1 / DEVIATION)  # (B, n)
        mean = y @ self.a(x) * (1 / len(x)) + self.b(x).mean(0)  # (B, hidden)
        return self.f(mean)

    def decode(self, x: Tensor, z: Tensor) -> Tensor:
        r"""Logits (B, m, 1) of the pixels at x (m, features), given z or r."""
        products = self.v(z) @ self.u(x).transpose(0, 1) * self.scale  # (B, m)
        return (products + self.w(x).squeeze(1)).unsqueeze(2)


class Completion(nn.Module):
    r"""A process and the places of the pixels as it wants to have them, (784, features)."""

    places: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        latent = config.kind == "latent"
        places = mg.tensor(grid().astype(np.float32))
        if config.network == "mlp":
            self.process: Any = NeuralProcess(2, 1, 1, config.hidden, latent)
        else:
            places = Bumps(config.bumps, 2, 0.0, 1.0)(places)
            self.process = ProductProcess(
                places.shape[1], config.hidden, config.latent if latent else None
            )
        self.latent = latent
        self.register_buffer("places", places, persistent=False)

    def represent(self, images: Tensor, indices: Tensor) -> Tensor:
        r"""r of what the pixels with these ``indices`` (n,) say of images (B, 784)."""
        return self.process.represent(self.places[indices], images[:, indices].unsqueeze(2))

    def posterior(self, images: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean and log-variance (B, latent) of q(z|pixels)."""
        return self.process.posterior(self.represent(images, indices))

    def decode(self, z: Tensor, indices: Tensor | None = None) -> Tensor:
        r"""Logits (B, m) of the pixels with these ``indices`` (m,), or of all."""
        places = self.places if indices is None else self.places[indices]
        return self.process.decode(places, z).squeeze(2)

    def forward(
        self, images: Tensor, context: Tensor, generator: Generator | None = None
    ) -> Tensor:
        r"""Logits (B, 784) of all pixels, from those in the context; one z of q(z|C) for each."""
        if not self.latent:
            return self.decode(self.represent(images, context))
        mean, log_var = self.posterior(images, context)
        return self.decode(mg.gaussian_sample(mean, log_var, generator=generator))


def pixel_nll(logits: Tensor, images: Tensor) -> Tensor:
    r"""-log p(y) of each pixel, in nats: (B, m) -> (B, m)."""
    return nn.functional.binary_cross_entropy_with_logits(logits, images, reduction="none")


def loss_terms(
    model: Completion,
    images: Tensor,
    context: Tensor,
    targets: Tensor,
    generator: Generator | None = None,
) -> tuple[Tensor, Tensor]:
    r"""-E log p(y_T|z) summed over the targets, with one z of q(z|C,T), and KL(q(z|C,T) || q(z|C)),
    both means over the images; their sum is the negative bound. A conditional process has no z, and
    a KL of 0."""
    if not model.latent:
        z = model.represent(images, context)
        kl = mg.zeros((), device=images.device)
    else:
        after = model.posterior(images, mg.cat([context, targets]))
        before = model.posterior(images, context)
        z = mg.gaussian_sample(*after, generator=generator)
        kl = kl_divergence(after, before).mean()
    reconstruction = pixel_nll(model.decode(z, targets), images[:, targets]).sum(1).mean()
    return reconstruction, kl


def split(
    count: int, targets: int | None, generator: Generator, device: Any
) -> tuple[Tensor, Tensor]:
    r"""``count`` context pixels and ``targets`` of the others (all if None), drawn at random."""
    order = generator.numpy.permutation(PIXELS)
    chosen = order[:count], order[count:] if targets is None else order[count : count + targets]
    return mg.tensor(chosen[0], device=device), mg.tensor(chosen[1], device=device)


def evaluate(
    model: Completion, loader: Any, counts: tuple[int, int], draws: int = 0, seed: int = 0
) -> dict[str, float]:
    r"""Means over the images, in nats a pixel: ``nll`` of all pixels and ``unseen`` of those
    outside of the context, with one z of q(z|C); ``bound`` of the unseen ones; and with ``draws``
    the same two of the mean probability over so many z, ``predictive`` and ``predictive_unseen``.
    The number of context pixels is drawn between the two ``counts`` for each batch."""
    generator, more = Generator(seed), Generator(seed + 1)

    def values(batch: Any) -> dict[str, Tensor]:
        images = batch[0].flatten(1)
        n = int(generator.numpy.integers(counts[0], counts[1] + 1))
        context, rest = split(n, None, generator, images.device)
        nll = pixel_nll(model(images, context, generator), images)
        reconstruction, kl = loss_terms(model, images, context, rest, generator)
        found = {
            "nll": nll,
            "unseen": nll[:, rest],
            "bound": (reconstruction + kl) / len(rest),
        }
        if draws:
            p = sum(model(images, context, more).sigmoid() for _ in range(draws)) / draws
            nll = nn.functional.binary_cross_entropy(p, images, reduction="none")
            found |= {"predictive": nll, "predictive_unseen": nll[:, rest]}
        return found

    return mean_values(values, loader)


def smooth(images: np.ndarray, context: np.ndarray, mean_image: np.ndarray) -> np.ndarray:
    r"""What needs no network: each pixel the weighted mean of the context around it, and a little
    of the mean image where there is none. Images (B, 784), context (n,): (B, 784) in (0, 1).

    Width and weight are the best of a few on training images, for 10, 100 and 325 pixels.
    """
    width, weight = (
        (1.0, 0.3) if len(context) < 30 else (0.8, 0.1) if len(context) < 200 else (0.6, 0.03)
    )
    places = grid() * (SIDE - 1)
    squares = ((places[:, None] - places[context]) ** 2).sum(2)  # (784, n)
    near = np.exp(-0.5 * squares / width**2)
    values = images[:, context] @ near.T + weight * mean_image
    return (values / (near.sum(1) + weight)).clip(1e-3, 1 - 1e-3)


def train(config: Config) -> Result:
    r"""Train, keep the epoch with the best validation figure at 300 to 350 pixels, and test it."""
    run = Run(config)
    train_data, val_data, test_data = load_mnist(
        config.validation, config.train_images, config.test_images
    )
    loader = DataLoader(train_data, config.batch_size, shuffle=True, device=run.device)
    val_loader = DataLoader(val_data, 100, device=run.device)
    test_loader = DataLoader(test_data, 100, device=run.device)

    model = Completion(config).to(run.device)
    optimizer = optim.Adam(model.parameters(), lr=config.lr)
    schedule = make_schedule(config.schedule, optimizer, config.epochs * len(loader))

    rising = max(1.0, config.warmup * len(loader))

    run.track(model=model, optimizer=optimizer, schedule=schedule, loader=loader)
    for _ in run.epochs(config.epochs):
        for batch, _ in run.batches(loader):
            images = batch.flatten(1)  # (B, 784)
            generator = default_generator()
            count = int(generator.numpy.integers(1, config.max_context + 1))
            context, targets = split(count, config.targets, generator, run.device)
            reconstruction, kl = loss_terms(model, images, context, targets)
            weight = min(1.0, run.step / rising)
            loss = (reconstruction + weight * kl) * (1 / config.targets)  # nats a pixel
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bound = (reconstruction + kl) * (1 / config.targets)
            run.record(len(images), bound=bound, kl=kl)
        validation = evaluate(model, val_loader, DENSE)
        run.log(**{f"val_{name}": value for name, value in validation.items()})
        run.keep_best(validation["nll"], model)

    run.load_best(model)
    metrics: dict[str, float] = {}
    for name, counts in EVALUATED.items():
        found = evaluate(model, test_loader, counts, DRAWS if model.latent else 1)
        metrics |= {f"test_{kind}_{name}": value for kind, value in found.items()}
    pictures(run, model, test_loader)
    return run.finish(
        model,
        **metrics,
        val_nll=run.best["value"],
        best_epoch=run.best["epoch"],
    )


def pictures(run: Run, model: Completion, loader: Any) -> None:
    r"""Contexts with completions beside the truth, several completions of one context, curves."""
    images = next(iter(loader))[0][:10].flatten(1)
    generator = Generator(0)
    truth = images.cpu().numpy()
    rows: dict[str, np.ndarray] = {}
    samples: dict[str, np.ndarray] = {}
    repeats = 5
    for count in (10, 50, 150, 325):
        context, _ = split(count, None, generator, run.device)
        with mg.no_grad():
            drawn = np.stack(
                [
                    model(images, context, generator).sigmoid().cpu().numpy()
                    for _ in range(32 if model.latent else 1)
                ]
            )  # (samples, B, 784)
        mean = drawn.mean(0)
        rows[f"{count} pixels"] = masked(truth, context.cpu().numpy())
        rows[f"predicted from {count}"] = as_colour(mean)
        if model.latent:
            # The deviation between the images that different z give, twice as bright.
            rows[f"deviation at {count}"] = as_colour(np.minimum(2 * drawn.std(0), 1))
        if count in (10, 50):
            samples[f"{count} pixels"] = rows[f"{count} pixels"]
            for i in range(repeats if model.latent else 1):
                samples[f"{count} pixels, z {i + 1}"] = as_colour(drawn[i])
    rows["truth"] = samples["truth"] = as_colour(truth)
    title = "Digits from a few pixels (blue: not seen)"
    run.picture("completions", plot_images(square(rows), title))
    run.picture("samples", plot_images(square(samples), "Several completions of the same pixels"))
    run.picture(
        "curves",
        plot_curves(
            run.history,
            {
                "nats a pixel": {
                    "bound, training": "bound",
                    "300 to 350 pixels, validation": "val_nll",
                    "unseen, validation": "val_unseen",
                },
                **({"KL (nats)": {"training": "kl"}} if model.latent else {}),
            },
            title="Neural process on MNIST",
        ),
    )


def as_colour(images: np.ndarray) -> np.ndarray:
    r"""Grey (B, 784) to colour (B, 784, 3)."""
    return images[:, :, None].repeat(3, 2)


def masked(images: np.ndarray, context: np.ndarray) -> np.ndarray:
    r"""Images (B, 784) whose pixels outside of the context are blue: (B, 784, 3)."""
    shown = np.broadcast_to(np.array([0.1, 0.15, 0.4], np.float32), (*images.shape, 3)).copy()
    shown[:, context] = images[:, context, None]
    return shown


def square(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    r"""(B, 784, 3) to (B, 3, 28, 28), in every row."""
    return {
        label: images.reshape(-1, SIDE, SIDE, 3).transpose(0, 3, 1, 2)
        for label, images in rows.items()
    }


if __name__ == "__main__":
    main(train, Config)
