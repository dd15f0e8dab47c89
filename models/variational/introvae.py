r"""IntroVAE: an encoder that judges its decoder, on MNIST or eight Gaussians.

Paper: Huang et al., IntroVAE: introspective variational autoencoders for photographic image
synthesis, NeurIPS 2018, arXiv:1807.06358

Expect: a judge's score of 6.0 for the samples, where the VAE of the same networks has 5.5 (real
digits 9.7, noise 1.0), at no more than its squared error, with a hinge that is open for 5 to 95 %
of the samples

A VAE's samples are blurred because nothing looks at them in training. Here the encoder does: the
KL of q(z|x) from the prior is small for real x, and the encoder learns to make it large, up to a
margin m, for what the decoder made, while the decoder learns to make it small again. With KL(x)
short for KL(q(z|x) || N(0, I)), summed over the latent dimensions, and

    z   ~ q(z|x),   x_r = D(z)       a reconstruction
    z_p ~ N(0, I),  x_p = D(z_p)     a sample
    L_AE = 1/2 |x_r - x|^2           summed over the pixels

each step of training is (the paper's algorithm 1; ng: no gradient passes), averaged over a batch,

    encoder  KL(x) + alpha sum_{s in r, p} max(0, m - KL(ng(x_s))) + beta L_AE
    decoder          alpha sum_{s in r, p} KL(x_s)                 + beta L_AE

The decoder learns *through* the encoder, which stands still meanwhile, and the encoder through a
decoder that stands still. Beta weighs the reconstruction here, as in the paper. The margin must lie
above KL(x), or the encoder has nothing to tell apart, and near enough that fakes reach it: a hinge
that is never or always open teaches little. ``hinge_active`` is the share of the samples, over all
steps, for which it was open, KL(x_p) < m. The hinge is one for each sample, as in the paper's
equation 5: of a batch's mean, as in the authors' program, a few samples with a huge KL would close
it for all. The first epochs, ``--vae-epochs``, have alpha = 0, as in the authors' program.

Beside it the same networks learn as a plain VAE, alpha = 0 throughout, from the same weights on the
same batches: the miss that the run reports as ``vae_...``.

    encoder  784 - 256 - 256 - mean(16), log_var(16)     decoder  16 - 256 - 256 - 784 sigmoid

On eight Gaussians on a circle (``--data ring --latent 2 --hidden 128 --margin 4 --alpha 0.6
--vae-epochs 3 --lr 2e-3 --epochs 25``) the VAE leaves bridges between neighbours: 68 % of its
samples are farther than three standard deviations from each of the eight. Of IntroVAE's 47 % are.

Where it differs from the paper: dense networks for small pictures instead of residual ones for
faces, a rate that falls along half a cosine, and log_var = -softplus(h). A posterior is then never
wider than the prior, and the encoder cannot push by way of exp(log_var), which overflowed here.
What a popular notebook does instead: its hinge has the KL summed over a batch of 32 against m = 10,
so that it never opens, and "sigma" is a ReLU's output that is the deviation in the sample and
log sigma^2 in the KL; it has no stop-gradient and no samples x_p. It is a VAE then. The text beside
it has the roles exchanged: it is the *encoder* that pushes fakes away from the prior, and the
decoder that pulls them back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

import minigrad as mg
from minigrad import Generator, Tensor, nn, optim
from minigrad.data import DataLoader, TensorDataset, make_gaussian_ring, ring_centres
from minigrad.evaluation import mode_coverage
from minigrad.nn.utils import frozen
from minigrad.train import Result, Run, main, mean_values
from minigrad.visualize import image_grid, plot_curves, plot_images, plot_latent
from models import judge
from models.mnist import load_mnist
from models.training import ImageTrainingConfig, make_schedule
from models.variational.elbo import kl_divergence

RING = {"modes": 8, "radius": 2.0, "noise": 0.05}


@dataclass
class Config(ImageTrainingConfig):
    r"""The options; the defaults give the figure above."""

    data: Literal["mnist", "ring"] = "mnist"  #: ring: eight Gaussians in the plane
    latent: int = 16  #: dimensions of z
    hidden: int = 256  #: units of each hidden layer
    margin: float = 20.0  #: m: the KL up to which the encoder pushes what the decoder made
    alpha: float = 0.5  #: weight of the KL of what the decoder made
    beta: float = 4.0  #: weight of the reconstruction
    vae_epochs: int = 1  #: epochs with alpha = 0 at the beginning
    lr: float = 1e-3  #: learning rate at the beginning, of both optimisers
    batch_size: int = 100  #: images in a step
    epochs: int = 8  #: passes over the training images
    samples: int = 5000  #: drawn from the prior to be judged
    validation: int = 5000  #: training images held out for the curves
    train_images: int | None = None  #: train on this many only; of the ring, 10,000 if not said
    test_images: int | None = None  #: test on this many only; of the ring, 5,000 if not said

    quick_values: ClassVar = {
        "epochs": 2,
        "train_images": 3000,
        "validation": 500,
        "test_images": 1000,
        "samples": 1000,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "latent", "hidden", "samples")
        self.expect_at_least(0, "alpha", "beta", "margin", "vae_epochs")


class IntroVAE(nn.Module):
    r"""Encoder and decoder; ``features`` is 784, or 2 for points of the plane."""

    def __init__(self, features: int = 784, latent: int = 16, hidden: int = 256) -> None:
        super().__init__()
        self.latent = latent
        self.encoder = layers(features, hidden, 2 * latent)
        self.decoder = layers(latent, hidden, features)
        if features == 784:
            self.decoder.append(nn.Sigmoid())

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean and log-variance (N, latent) of q(z|x), of (N, features); a variance is below 1."""
        h = self.encoder(x)
        return h[:, : self.latent], -nn.functional.softplus(h[:, self.latent :])

    def sample(self, n: int, device: Any = "cpu", seed: int = 0) -> Tensor:
        r"""``n`` samples (n, features) from the prior, always the same ones."""
        with mg.no_grad():
            z = mg.randn(n, self.latent, generator=Generator(seed), device=device)
            return self.decoder(z)


def layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    r"""Two hidden layers of leaky ReLUs."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.2),
        nn.Linear(hidden, outputs),
    )


def reconstruction(x_r: Tensor, x: Tensor) -> Tensor:
    r"""L_AE: half the squared error, summed over the features, averaged over the batch."""
    return 0.5 * ((x_r - x) ** 2).sum(1).mean()


def encoder_loss(
    model: IntroVAE, x: Tensor, z_p: Tensor, alpha: float, beta: float, margin: float
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    r"""The encoder's loss, the codes z it drew, and the figures of the step."""
    mean, log_var = model.encode(x)
    z = mg.gaussian_sample(mean, log_var)
    with frozen(model.decoder):
        x_r = model.decoder(z)
        l_ae = reconstruction(x_r, x)
    kl_real = kl_divergence(mean, log_var).mean()
    loss = kl_real + beta * l_ae
    figures = {"reconstruction": l_ae, "kl_real": kl_real}
    if alpha > 0:
        with mg.no_grad():
            x_p = model.decoder(z_p)
        kl_r = kl_divergence(*model.encode(x_r.detach()))  # (N,)
        kl_p = kl_divergence(*model.encode(x_p))
        hinges = (margin - kl_r).relu() + (margin - kl_p).relu()
        loss = loss + alpha * hinges.mean()
        figures |= {
            "kl_reconstructed": kl_r.mean(),
            "kl_sampled": kl_p.mean(),
            "hinge_active": (kl_p.detach() < margin).to(x.dtype).mean(),
        }
    return loss, z.detach(), figures


def decoder_loss(
    model: IntroVAE, x: Tensor, z: Tensor, z_p: Tensor, alpha: float, beta: float
) -> Tensor:
    r"""The decoder's loss; the encoder looks on without learning."""
    x_r = model.decoder(z)
    loss = beta * reconstruction(x_r, x)
    if alpha > 0:
        with frozen(model.encoder):
            kl_r = kl_divergence(*model.encode(x_r)).mean()
            kl_p = kl_divergence(*model.encode(model.decoder(z_p))).mean()
        loss = loss + alpha * (kl_r + kl_p)
    return loss


@dataclass
class Learner:
    r"""A model with an optimiser for its encoder and one for its decoder."""

    model: IntroVAE
    encoder: optim.Optimizer
    decoder: optim.Optimizer

    @classmethod
    def of(cls, model: IntroVAE, lr: float) -> Learner:
        parts = (model.encoder, model.decoder)
        return cls(
            model, *(optim.Adam(part.parameters(), lr=lr, betas=(0.5, 0.999)) for part in parts)
        )

    def step(
        self, x: Tensor, z_p: Tensor, alpha: float, beta: float, margin: float
    ) -> dict[str, Tensor]:
        r"""The encoder's step, then the decoder's, as in the paper's algorithm 1."""
        loss, z, figures = encoder_loss(self.model, x, z_p, alpha, beta, margin)
        self.encoder.zero_grad()
        loss.backward()
        self.encoder.step()
        loss = decoder_loss(self.model, x, z, z_p, alpha, beta)
        self.decoder.zero_grad()
        loss.backward()
        self.decoder.step()
        return figures


def evaluate(model: IntroVAE, loader: Any, device: Any) -> dict[str, float]:
    r"""On images that were not trained on: the mean squared error of a feature reconstructed from
    the posterior mean, the KL of real data and of as many samples from the prior."""

    def values(batch: Any) -> dict[str, Tensor]:
        x = batch[0].flatten(1)
        mean, log_var = model.encode(x)
        return {"mse": (model.decoder(mean) - x) ** 2, "kl_real": kl_divergence(mean, log_var)}

    found = mean_values(values, loader)
    with mg.no_grad():
        kl_sampled = kl_divergence(*model.encode(model.sample(2000, device))).mean().item()
    return {**found, "kl_sampled": kl_sampled}


def modes_and_bridges(points: np.ndarray) -> tuple[int, float]:
    r"""Of points (N, 2): how many of the eight Gaussians have at least 2 % of them within three
    standard deviations, and the share that is near none."""
    centres = ring_centres(RING["modes"], RING["radius"])
    modes, near = mode_coverage(points, centres, RING["noise"], share=0.02 * len(centres))
    return modes, 1 - near


def load(config: Config) -> tuple[Any, Any, Any]:
    r"""Training, validation and test data: (pixels or points, label or number of the mode)."""
    if config.data == "mnist":
        return load_mnist(config.validation, config.train_images, config.test_images)
    sizes = (config.train_images or 10_000, config.validation, config.test_images or 5000)
    train, validation, test = (
        TensorDataset(*make_gaussian_ring(n, **RING, generator=generator))
        for n, generator in zip(sizes, (None, Generator(1), Generator(2)))
    )
    return train, validation, test


def train(config: Config) -> Result:
    r"""Train an IntroVAE and its VAE twin, and compare what they make."""
    run = Run(config)
    train_data, val_data, test_data = load(config)
    loader = DataLoader(train_data, config.batch_size, shuffle=True, device=run.device)
    val_loader, test_loader = (DataLoader(d, 500, device=run.device) for d in (val_data, test_data))
    features = 784 if config.data == "mnist" else 2
    models = [IntroVAE(features, config.latent, config.hidden).to(run.device) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    intro, twin = (Learner.of(model, config.lr) for model in models)
    optimizers = [intro.encoder, intro.decoder, twin.encoder, twin.decoder]
    total = config.epochs * len(loader)
    schedules = [make_schedule(config.schedule, o, total) for o in optimizers]

    tracked = {f"optimizer_{i}": o for i, o in enumerate(optimizers)}
    tracked |= {f"schedule_{i}": s for i, s in enumerate(schedules)}
    run.track(model=intro.model, twin=twin.model, loader=loader, **tracked)
    for epoch in run.epochs(config.epochs):
        alpha = config.alpha if epoch > config.vae_epochs else 0.0
        for x, _ in run.batches(loader):
            x = x.flatten(1)
            z_p = mg.randn(len(x), config.latent, device=run.device)
            figures = intro.step(x, z_p, alpha, config.beta, config.margin)
            twin.step(x, z_p, 0.0, config.beta, config.margin)
            for schedule in schedules:
                schedule.step()
            run.record(len(x), **figures)
        validation = evaluate(intro.model, val_loader, run.device)
        run.log(**{f"val_{name}": value for name, value in validation.items()})

    found = [
        results(learner.model, config, test_loader, run.device, prefix)
        for learner, prefix in ((intro, ""), (twin, "vae_"))
    ]
    active = [line["hinge_active"] for line in run.history if "hinge_active" in line]
    pictures(run, config, intro.model, twin.model, test_loader)
    return run.finish(
        intro.model,
        **found[0],
        hinge_active=float(np.mean(active)) if active else 0.0,
        **found[1],
    )


def results(
    model: IntroVAE, config: Config, loader: Any, device: Any, prefix: str
) -> Mapping[str, float]:
    r"""The figures of a trained model: of its samples first."""
    samples = model.sample(config.samples, device)
    figures: dict[str, float]
    if config.data == "mnist":
        figures = {"judge_score": judge.score(samples)}
    else:
        modes, bridges = modes_and_bridges(samples.cpu().numpy())
        figures = {"modes": modes, "bridges": bridges}
    figures |= {f"test_{name}": value for name, value in evaluate(model, loader, device).items()}
    return {f"{prefix}{name}": value for name, value in figures.items()}


def pictures(run: Run, config: Config, model: IntroVAE, twin: IntroVAE, loader: Any) -> None:
    r"""Samples of both, reconstructions by both, curves."""
    panels = {
        "KL (nats)": {
            "real": "kl_real",
            "reconstructed": "kl_reconstructed",
            "sampled": "kl_sampled",
        },
        "share of samples": {"hinge open": "hinge_active"},
        "squared error of a feature": {"validation": "val_mse"},
    }
    if config.alpha == 0 or config.vae_epochs >= config.epochs:
        panels = {"KL (nats)": {"real": "kl_real"}, "squared error": {"validation": "val_mse"}}
    run.picture("curves", plot_curves(run.history, panels, title="IntroVAE"))
    x, labels = next(iter(loader))
    with mg.no_grad():
        decoded = [m.decoder(m.encode(x.flatten(1))[0]) for m in (model, twin)]
    if config.data == "ring":
        for name, net in (("samples", model), ("samples_vae", twin)):
            points = net.sample(3000, run.device).cpu().numpy()
            angle = np.arctan2(points[:, 1], points[:, 0]) / (2 * np.pi) * RING["modes"]
            nearest = np.round(angle).astype(int) % int(RING["modes"])
            title = "Samples, by the nearest Gaussian"
            figure = plot_latent(points, nearest, title, limit=3.0)
            figure.axes[0].set(xlabel="$x_1$", ylabel="$x_2$")
            run.picture(name, figure)
        return
    rows = {"test": x[:12]}
    for name, images in zip(("IntroVAE", "VAE"), decoded):
        rows[name] = images[:12].reshape(-1, 1, 28, 28)
    run.picture("reconstructions", plot_images(rows, "Reconstructions from the posterior mean"))
    for name, net in (("samples", model), ("samples_vae", twin)):
        images = net.sample(100, run.device).reshape(-1, 1, 28, 28)
        run.picture(name, image_grid(images, columns=10))


if __name__ == "__main__":
    main(train, Config)
