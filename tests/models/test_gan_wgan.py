r"""The Wasserstein GAN: what its critic estimates, and what keeps it from being steep."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import MNIST
from minigrad.nn.adversarial import discriminator_loss, gradient_penalty
from minigrad.nn.utils import clip_parameters_
from minigrad.testing.strict import strict
from models.gan import wgan
from models.gan.networks import Discriminator, Generator

pytest.importorskip("matplotlib")

TINY: dict[str, Any] = {"width": 0.125, "latent": 7}
#: as the first paper has it
CLIPPED: dict[str, Any] = {
    "penalty": 0.0,
    "optimizer": "rmsprop",
    "lr": 5e-5,
    "lr_generator": None,
    "schedule": "constant",
    "critic_steps": 5,
    "ema": 0.0,
}


def game(critic: nn.Module | None = None, **options: Any) -> wgan.WGAN:
    config = wgan.Config(**{**TINY, **CLIPPED, **options})
    generator = Generator(config.latent, config.width)
    return wgan.WGAN(config, "cpu", generator, critic or Discriminator(config.width))


def greatest(module: nn.Module) -> float:
    """The largest size of a weight or bias."""
    return max(float(abs(p.detach().numpy()).max()) for p in module.parameters())


# ------------------------------------------------------------------------------------ clipping
def test_weights_and_biases_are_clipped_after_every_step_of_the_critic() -> None:
    """At a rate at which every step leaves [-c, c] if it is let."""
    clipped, free = game(lr=0.05), game(lr=0.05, penalty=1e-9)
    assert greatest(clipped.discriminator) > 0.05  # as it begins
    bound = np.float32(0.01)
    for _ in range(5):
        x = mg.rand(4, 1, 28, 28)
        clipped.discriminator_step(x, mg.arange(4))
        free.discriminator_step(x, mg.arange(4))
        assert greatest(clipped.discriminator) == bound
        assert max(float(abs(b.data).max()) for n, b in biases(clipped.discriminator)) > 0
        clipped.generator_step(4)
        assert greatest(clipped.discriminator) == bound
    assert greatest(free.discriminator) > 0.1
    assert greatest(clipped.generator) > 0.05  # which is nobody's business


def biases(module: nn.Module) -> list[tuple[str, Any]]:
    return [(n, p) for n, p in module.named_parameters() if n.endswith("bias")]


def test_statistics_of_batch_norm_are_not_clipped() -> None:
    """A popular version cuts running variances to 0.01. gamma is a weight, they are none."""
    one = game(Discriminator(0.125, batch_norm=True), lr=1e-3, batch_norm=True)
    for _ in range(3):
        one.discriminator_step(5 * mg.rand(8, 1, 28, 28), mg.arange(8))
    norms = [m for m in one.discriminator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == 3
    for norm in norms:
        assert abs(norm.weight.detach().numpy()).max() <= np.float32(0.01)
        assert norm.running_var.numpy().min() > 0.3 and norm.num_batches_tracked.item() == 6


def test_batch_norm_in_the_critic_is_for_clipping_only() -> None:
    wgan.Config(batch_norm=True, penalty=0.0)
    with pytest.raises(ValueError, match="batch_norm: expected False with a penalty, which is of"):
        wgan.Config(batch_norm=True, penalty=10.0)


def spectral_norm(layer: nn.Module, shape: tuple[int, ...]) -> float:
    """Of a layer without its bias, as the matrix that it is, from what it makes of a basis."""
    basis = mg.eye(math.prod(shape)).reshape(-1, *shape)
    with mg.no_grad():
        zero = layer(mg.zeros(1, *shape))
        matrix = (layer(basis) - zero).numpy().reshape(len(basis), -1)
    return float(np.linalg.svd(matrix.astype(np.float64), compute_uv=False)[0])


def test_a_clipped_critic_is_no_steeper_than_the_product_of_spectral_norms() -> None:
    r"""\|D(x) - D(y)\| <= product \|x - y\| for 10,000 pairs; leaky ReLUs are no steeper than 1.
    The bound is not idle: without clipping, the same steps make a critic that breaks it."""
    images = MNIST(train=False).arrays()[0].reshape(-1, 1, 28, 28)
    other = np.random.default_rng(0).random((10_000, 1, 28, 28), np.float32)
    other[:5000] = images[np.random.default_rng(1).permutation(5000)]
    steepest, bounds = [], []
    for penalty in (0.0, 1e-9):
        mg.manual_seed(0)
        one = game(lr=0.02, penalty=penalty)
        for i in range(20):
            one.discriminator_step(mg.tensor(images[32 * i : 32 * i + 32]), mg.arange(32))
        critic, bound, x = one.discriminator, 1.0, mg.zeros(1, 1, 28, 28)
        for layer in [*critic.features, critic.score]:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                bound *= spectral_norm(layer, x.shape[1:])
            x = layer(x)
        with mg.no_grad():
            a, b = (
                np.concatenate([critic(mg.tensor(p)).numpy() for p in np.split(part, 10)])
                for part in (images, other)
            )
        distance = np.sqrt(((images - other).reshape(10_000, -1).astype(np.float64) ** 2).sum(1))
        slopes = abs(a.astype(np.float64) - b) / distance
        assert (slopes <= bound * (1 + 1e-5)).all()
        steepest.append(float(slopes.max()))
        bounds.append(bound)
    assert bounds[0] < steepest[1]


# ------------------------------------------------------------------------------------- penalty
def test_the_penalty_of_a_linear_critic() -> None:
    rng = np.random.default_rng(0)
    for size in (0.0, 0.3, 1.0, 7.0):
        w = rng.normal(size=12)
        w *= size / np.linalg.norm(w)
        weight = mg.tensor(w, requires_grad=True)
        real, fake = (mg.tensor(rng.normal(size=(5, 3, 4))) for _ in range(2))
        value = gradient_penalty(lambda x, w=weight: x.reshape(5, 12) @ w, real, fake)
        assert value.item() == pytest.approx((size - 1) ** 2, abs=2e-6)
        value.backward()  # 2 (|w| - 1) w / |w|, and nothing infinite at 0
        expected = 2 * (size - 1) * w / max(size, 1e-30)
        np.testing.assert_allclose(weight.grad.numpy(), expected, rtol=1e-6, atol=1e-12)


def test_the_penalty_is_taken_between_each_pair() -> None:
    """D(x) = |x|^2 / 2 has slope |x|; at u x + (1 - u) y, which is on the pair's own segment."""
    seen: list[Any] = []

    def critic(x: Any) -> Any:
        seen.append(x)
        return 0.5 * (x**2).sum(1)

    real, fake = mg.rand(400, 2, requires_grad=True), mg.rand(400, 2, requires_grad=True)
    value = gradient_penalty(critic, real, fake)
    x, y, z = real.detach().numpy(), fake.detach().numpy(), seen[0].detach().numpy()
    u = (z - y) / (x - y)
    np.testing.assert_allclose(u[:, 0], u[:, 1], rtol=1e-2, atol=1e-3)
    assert u.min() < 0.02 and u.max() > 0.98 and abs(u.mean() - 0.5) < 0.05
    assert value.item() == pytest.approx(((np.linalg.norm(z, axis=1) - 1) ** 2).mean(), rel=1e-5)
    assert not value.requires_grad or real.grad is None
    with pytest.raises(ValueError, match="of one shape, got"):
        gradient_penalty(critic, real, fake[:3])


def test_the_penalty_is_in_the_loss_and_not_in_the_estimate() -> None:
    one = game(penalty=10.0)
    x, y = mg.rand(2, 4, 1, 28, 28)
    loss, figures = one.discriminator_loss(x, mg.arange(4), y, ())
    estimate = (one.discriminator(x).mean() - one.discriminator(y).mean()).item()
    assert figures["distance"].item() == pytest.approx(estimate, abs=1e-7)
    penalty = figures["gradient_penalty"].item()
    assert penalty > 0
    assert loss.item() == pytest.approx(-estimate + 10 * penalty, rel=1e-6)
    assert figures["discriminator_loss"] is loss


def test_the_penalty_does_not_wait() -> None:
    config = wgan.Config(**TINY, device="strict")
    one = wgan.WGAN(config, "strict", Generator(7, 0.125), Discriminator(0.125))
    x, y = mg.rand(4, 1, 28, 28, device="strict"), mg.zeros(4, dtype=mg.int64, device="strict")
    with strict.count() as counts:
        figures = one.discriminator_step(x, y)
    assert counts.synchronisations == 0
    assert figures["gradient_penalty"].device == mg.device("strict")


# -------------------------------------------------------------------------- the parallel lines
def trained_critic(theta: float, kind: str, penalty: float = 0.0) -> float:
    """What a critic says of two parallel lines at distance ``theta``, after it was trained: the
    estimate of W, or the divergence ln 2 - L_D / 2 of a cross-entropy."""
    mg.manual_seed(0)
    critic = nn.Sequential(
        nn.Linear(2, 32), nn.LeakyReLU(0.2), nn.Linear(32, 32), nn.LeakyReLU(0.2), nn.Linear(32, 1)
    )
    optimizer = optim.RMSprop(critic.parameters(), lr=5e-3)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 500)

    def lines(n: int) -> list[mg.Tensor]:
        return [mg.cat([mg.full((n, 1), x), mg.rand(n, 1)], 1) for x in (0.0, theta)]

    for _ in range(500):
        real, fake = lines(256)
        loss = discriminator_loss(critic(real), critic(fake), kind)
        if penalty:
            loss = loss + penalty * gradient_penalty(critic, real, fake)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if kind == "wasserstein" and not penalty:
            clip_parameters_(critic.parameters(), 0.1)
    with mg.no_grad():
        real, fake = lines(5000)
        value = discriminator_loss(critic(real), critic(fake), kind).item()
    return -value if kind == "wasserstein" else math.log(2) - value / 2


def test_the_estimate_is_proportional_to_the_distance_of_parallel_lines() -> None:
    """The ratio was 1.86 to 2.07 with seeds 0 to 4. Cross-entropy says ln 2 of any distance."""
    near, far = (trained_critic(theta, "wasserstein") for theta in (0.5, 1.0))
    assert far / near == pytest.approx(2, abs=0.2)
    flat = [trained_critic(theta, "non_saturating") for theta in (0.5, 1.0)]
    assert all(math.log(2) - 0.02 < value <= math.log(2) for value in flat)


@pytest.mark.parametrize("theta", [0.5, 1.0])
def test_with_a_penalty_the_estimate_is_the_distance(theta: float) -> None:
    r"""-a theta + lambda (a - 1)^2 is least at the slope a = 1 + theta / (2 lambda)."""
    expected = theta * (1 + theta / 20)
    assert trained_critic(theta, "wasserstein", penalty=10.0) == pytest.approx(expected, rel=0.04)


@pytest.mark.parametrize("slope", [0.0, 1.0, 2.0])
def test_the_penalty_is_of_the_slope_that_is_asked_for(slope: float) -> None:
    """D(x) = w.x with w = (3, 4) is 5 steep everywhere: (5 - s)^2, with the gradient
    2 (5 - s) w / 5 in w. The mean of the squared slopes less s^2 would be 25, 24, 21."""
    w = mg.tensor([3.0, 4.0], requires_grad=True)
    x, y = mg.randn(6, 2), mg.randn(6, 2)
    penalty = gradient_penalty(lambda points: points @ w, x, y, slope=slope)
    penalty.backward()
    assert penalty.item() == pytest.approx((5 - slope) ** 2, rel=1e-5)
    assert w.grad is not None
    wanted = 2 * (5 - slope) * np.array([0.6, 0.8])
    np.testing.assert_allclose(w.grad.numpy(), wanted, rtol=1e-5)


# --------------------------------------------------------------------------------- it learns
def test_it_learns_and_its_estimate_says_so(tmp_path: Path) -> None:
    """Budget: 600 steps of the critic on 2,400 digits at an eighth of the width, 45 s. One seed
    reached a score of 4.2, a distance of 3.5 and a correlation of .93; an untrained generator has
    a score of 1 and a distance of 26. (After 200 steps they are 1.5 and 19.)"""
    config = wgan.Config(
        out=str(tmp_path / "run"),
        width=0.125,
        width_discriminator=None,
        lr=1e-3,
        lr_generator=None,
        schedule="constant",
        ema=0.0,
        train_images=2400,
        epochs=8,
        looks=1,
        samples=1000,
    )
    figures = wgan.train(config).metrics
    assert figures["judge_score"] >= 3 and figures["frechet"] <= 6.5
    assert figures["distance_frechet_correlation"] >= 0.5
