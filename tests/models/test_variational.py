r"""The VAEs: the mathematics of the bound, exact where it can be, and that they learn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import nn
from minigrad.evaluation import importance_weighted_bound
from minigrad.train import load_safetensors
from models import judge
from models.variational import elbo, vae, vae_2d, vae_conv

pytest.importorskip("matplotlib")


def test_parameter_counts() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    # 784-256-(20, 20) and 20-256-784
    assert count(vae.VAE()) == (784 + 1) * 256 + 2 * 257 * 20 + 21 * 256 + 257 * 784
    plane = vae_2d.VAE(2, 512)
    assert count(plane.encoder) + count(plane.mean) + count(plane.log_var) == 403_972
    assert count(plane.decoder) == 403_728
    assert count(vae_conv.Encoder()) == 69_076
    assert count(vae_conv.Decoder()) == 65_089
    assert count(vae_conv.VAE()) == 69_076 + 65_089


def test_shapes() -> None:
    logits, mean, log_var = vae.VAE(latent=5)(mg.rand(3, 784))
    assert (logits.shape, mean.shape, log_var.shape) == ((3, 784), (3, 5), (3, 5))
    for batch_norm in (False, True):
        logits, mean, log_var = vae_conv.VAE(4, 20, batch_norm)(mg.rand(3, 1, 28, 28))
        assert (logits.shape, mean.shape, log_var.shape) == ((3, 1, 28, 28), (3, 4), (3, 4))


# --------------------------------------------------------------------------- the KL divergence
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kl_is_what_sampling_estimates(seed: int) -> None:
    """E_q [log q(z) - log p(z)] from 100,000 samples, within three standard errors."""
    rng = np.random.default_rng(seed)
    mean, log_var = rng.normal(size=4), rng.normal(size=4)
    z = mean + np.exp(log_var / 2) * rng.standard_normal((100_000, 4))
    log_q = -0.5 * ((z - mean) ** 2 / np.exp(log_var) + log_var).sum(1)
    log_p = -0.5 * (z**2).sum(1)
    estimates = log_q - log_p
    error = estimates.std() / math.sqrt(len(estimates))
    exact = elbo.kl_divergence(mg.tensor(mean[None]), mg.tensor(log_var[None])).item()
    assert abs(exact - estimates.mean()) < 3 * error


finite = st.floats(-6, 6)


@given(
    values=hnp.arrays(np.float64, (2, 3, 4), elements=finite),
)
def test_kl_is_not_negative(values: np.ndarray) -> None:
    kl = elbo.kl_divergence(mg.tensor(values[0]), mg.tensor(values[1])).numpy()
    assert kl.shape == (3,) and (kl >= -1e-12).all()


def test_kl_of_the_prior_is_zero() -> None:
    assert elbo.kl_divergence(mg.zeros(2, 3), mg.zeros(2, 3)).tolist() == [0.0, 0.0]
    # Summed over dimensions, not averaged: each of the ten adds mean^2 / 2.
    assert elbo.kl_divergence(mg.ones(1, 10), mg.zeros(1, 10)).item() == 5.0


# ---------------------------------------------------------------------------- reparameterising
def test_the_gradient_through_a_sample_is_the_analytic_one() -> None:
    r"""With f(z) = z^2: E f = mean^2 + exp(log_var), whose derivatives are 2 mean and
    exp(log_var). 100,000 samples, within three standard errors."""
    m, v = 0.7, -0.4
    mean = mg.full(100_000, m, dtype=mg.float64, requires_grad=True)
    log_var = mg.full(100_000, v, dtype=mg.float64, requires_grad=True)
    z = mg.gaussian_sample(mean, log_var, generator=mg.Generator(0))
    (z**2).sum().backward()
    for gradient, expected in ((mean.grad, 2 * m), (log_var.grad, math.exp(v))):
        assert gradient is not None
        samples = gradient.numpy()
        error = samples.std() / math.sqrt(samples.size)
        assert abs(samples.mean() - expected) < 3 * error


def test_log_var_is_the_logarithm_of_the_variance() -> None:
    """Not of the standard deviation, and not the deviation itself."""
    log_var = mg.full(100_000, math.log(4.0))
    z = mg.gaussian_sample(mg.zeros(100_000), log_var, generator=mg.Generator(0)).numpy()
    assert z.std() == pytest.approx(2.0, rel=0.02)


# ------------------------------------------------- a linear-Gaussian VAE: everything is known
# p(z) = N(0, I), p(x|z) = N(W z + b, s^2 I), hence p(x) = N(b, W W^T + s^2 I). With orthogonal
# columns of W the posterior has a diagonal covariance, so q can be exact and the gap can close.
class LinearGaussian:
    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.s2 = 0.3
        self.w = np.linalg.qr(rng.normal(size=(5, 2)))[0] * [1.5, 0.7]
        self.b = rng.normal(size=5)
        self.x = rng.normal(size=(4, 5)) + self.b

    def log_p(self) -> np.ndarray:
        covariance = self.w @ self.w.T + self.s2 * np.eye(5)
        d = self.x - self.b
        mahalanobis = (d @ np.linalg.inv(covariance) * d).sum(1)
        return -0.5 * (mahalanobis + np.linalg.slogdet(2 * np.pi * covariance)[1])

    def posterior(self) -> tuple[np.ndarray, np.ndarray]:
        m = self.w.T @ self.w + self.s2 * np.eye(2)
        mean = (self.x - self.b) @ self.w @ np.linalg.inv(m)
        log_var = np.log(self.s2 / np.diag(m))
        return mean, np.broadcast_to(log_var, mean.shape).copy()

    def elbo(self, mean: mg.Tensor, log_var: mg.Tensor) -> mg.Tensor:
        r"""E_q ||x - W z - b||^2 = ||x - W mean - b||^2 + tr(W diag(var) W^T), and our KL."""
        w, d = mg.tensor(self.w), mg.tensor(self.x - self.b)
        squares = ((d - mean @ w.T) ** 2).sum(1) + (log_var.exp() * (w**2).sum(0)).sum(1)
        log_likelihood = -0.5 * (squares / self.s2 + 5 * math.log(2 * math.pi * self.s2))
        return log_likelihood - elbo.kl_divergence(mean, log_var)


@given(
    seed=st.integers(0, 100),
    values=hnp.arrays(np.float64, (2, 4, 2), elements=st.floats(-4, 4)),
)
def test_the_elbo_is_a_lower_bound(seed: int, values: np.ndarray) -> None:
    known = LinearGaussian(seed)
    elbo = known.elbo(mg.tensor(values[0]), mg.tensor(values[1])).numpy()
    assert (elbo <= known.log_p() + 1e-9).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_gap_is_zero_at_the_posterior_and_training_finds_it(seed: int) -> None:
    known = LinearGaussian(seed)
    mean, log_var = (mg.tensor(a, requires_grad=True) for a in known.posterior())
    np.testing.assert_allclose(known.elbo(mean, log_var).detach().numpy(), known.log_p())

    mean = mg.zeros(4, 2, dtype=mg.float64, requires_grad=True)
    log_var = mg.zeros(4, 2, dtype=mg.float64, requires_grad=True)
    optimizer = mg.optim.Adam([mean, log_var], lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        (-known.elbo(mean, log_var).sum()).backward()
        optimizer.step()
    gap = known.log_p() - known.elbo(mean, log_var).detach().numpy()
    assert (gap >= -1e-9).all() and gap.max() < 1e-5
    np.testing.assert_allclose(mean.detach().numpy(), known.posterior()[0], atol=1e-2)


# ------------------------------------------------------------------ the importance-weighted bound
def test_bounds_rise_to_the_likelihood() -> None:
    """With one latent dimension, log p(x) is an integral that a grid computes. A decoder with large
    weights and an untrained encoder leave a gap; more samples close it."""
    mg.manual_seed(0)
    model = vae.VAE(latent=1, hidden=16)
    for parameter in model.decoder.parameters():
        parameter.data *= 3
    x = mg.cat([mg.bernoulli(mg.full((1, 784), p)) for p in (0.3, 0.5, 0.6, 0.7)], 0)
    grid = np.linspace(-8, 8, 4001, dtype=np.float32)
    with mg.no_grad():
        logits = model.decode(mg.tensor(grid[:, None]))  # (4001, 784)
        log_joint = np.stack(
            [
                -elbo.reconstruction_loss(logits, x[i : i + 1].expand(4001, 784)).numpy()
                for i in range(4)
            ]
        ).astype(float) - 0.5 * (grid**2 + math.log(2 * math.pi))
        top = log_joint.max(1, keepdims=True)
        exact = top[:, 0] + np.log(np.exp(log_joint - top).sum(1) * (grid[1] - grid[0]))

        def bound(samples: int, repeats: int) -> tuple[float, float]:
            """Mean over images and repeats, and its standard error."""
            found = np.array(
                [
                    importance_weighted_bound(
                        elbo.log_weights(model, x, samples, mg.Generator(1000 * samples + r))
                    )
                    .numpy()
                    .mean()
                    for r in range(repeats)
                ]
            )
            return float(found.mean()), float(found.std() / math.sqrt(repeats))

        (b1, e1), (b10, e10), (b100, e100) = bound(1, 200), bound(10, 60), bound(100, 20)
        generator = mg.Generator(7)
        elbos = []
        for _ in range(200):
            logits, mean, log_var = model(x, generator)
            bound_1 = -elbo.reconstruction_loss(logits, x) - elbo.kl_divergence(mean, log_var)
            elbos.append(bound_1.numpy().mean())
    assert b1 < b10 - 3 * (e1 + e10) < b10 < b100 - 3 * (e10 + e100)
    assert b100 <= exact.mean() + 3 * e100 + 1e-3
    assert exact.mean() - b100 < 0.2 * (exact.mean() - b1)
    # One sample: the same expectation as the ELBO, with the KL estimated instead of computed.
    error = math.hypot(e1, np.std(elbos) / math.sqrt(len(elbos)))
    assert abs(np.mean(elbos) - b1) < 3 * error


# ---------------------------------------------------------------------------------- the losses
def test_annealing() -> None:
    """From a hundredth to the whole, in the steps that it is given, and never more."""
    weights = [elbo.annealed(step, 100) for step in (0, 50, 99, 100, 5000)]
    assert weights == pytest.approx([0.01, 0.51, 1.0, 1.0, 1.0])
    assert elbo.annealed(0, 0) == 1.0


def test_reconstruction_losses_are_sums_over_pixels() -> None:
    x = mg.rand(3, 1, 28, 28)
    p = mg.rand(3, 1, 28, 28) * 0.8 + 0.1
    logits = (p / (1 - p)).log()
    pn, xn = p.numpy().astype(float), x.numpy().astype(float)
    bernoulli = -(xn * np.log(pn) + (1 - xn) * np.log(1 - pn)).sum((1, 2, 3))
    gaussian = ((pn - xn) ** 2).sum((1, 2, 3))
    for loss, expected in (
        (elbo.reconstruction_loss(logits.flatten(1), x.flatten(1)), bernoulli),
        (elbo.reconstruction_loss(logits, x), bernoulli),
        (elbo.reconstruction_loss(logits, x, "gaussian"), gaussian),
    ):
        assert loss.shape == (3,)
        np.testing.assert_allclose(loss.numpy(), expected, rtol=1e-4)


# ------------------------------------------------------------------------------------ learning
def test_vae_learns(tmp_path: Path) -> None:
    """55,000 images, 5 epochs: at most 112 nats with a KL between 15 and 30. Three seeds gave 109.9
    to 110.2 and 23.7 to 23.9. Miss: 205.97 is a collapsed posterior, 171.9 the class means; below
    45.5 there is an error."""
    metrics = vae.train(vae.Config(out=str(tmp_path), epochs=5)).metrics
    assert 45.5 < metrics["test_negative_elbo"] <= 112
    assert 15 <= metrics["test_kl"] <= 30
    # 100 samples tighten the bound by some nats; three seeds gave 5.5 to 5.7.
    assert 3 < metrics["test_negative_elbo"] - metrics["test_nll_iwae_100"] < 15


@pytest.mark.slow
def test_vae_conv_learns_in_full(tmp_path: Path) -> None:
    """55,000 images, 4 epochs: at most 165 nats, 60 % of the digits recognised from the code, and
    samples that a classifier finds clear and various, with a score of 3 or more. Seeds 0, 1 and 2
    gave 150.8, 155.7 and 159.7 nats and 68.4, 62.1 and 62.5 %; seed 0 a score of 5.3. Miss: a
    collapsed posterior has 206 nats and 10 %; noise scores 1.3, an untrained decoder 1.0, real
    digits 9.6."""
    metrics = vae_conv.train(vae_conv.Config(out=str(tmp_path / "vae"))).metrics
    assert 45.5 < metrics["test_negative_elbo"] <= 165
    assert metrics["knn_accuracy"] >= 0.6
    model = vae_conv.VAE()
    model.load_state_dict(load_safetensors(tmp_path / "vae" / "model.safetensors"))
    with mg.no_grad():
        samples = model.decoder(mg.randn(1000, 2, generator=mg.Generator(0))).sigmoid()
    noise = mg.rand(1000, 1, 28, 28, generator=mg.Generator(0))
    assert judge.score(noise) < 2 < 3 <= judge.score(samples)
