r"""IntroVAE: who pushes and who pulls, where gradients stop, and when the hinge is open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.data import make_gaussian_ring
from models.variational import elbo, introvae

pytest.importorskip("matplotlib")

ALPHA, BETA, MARGIN = 0.3, 2.0, 30.0


def values(module: nn.Module) -> np.ndarray:
    return np.concatenate([p.detach().numpy().ravel().copy() for p in module.parameters()])


def gradients(module: nn.Module) -> list[np.ndarray | None]:
    return [None if p.grad is None else p.grad.numpy().copy() for p in module.parameters()]


def setting() -> tuple[introvae.IntroVAE, mg.Tensor, mg.Tensor]:
    mg.manual_seed(0)
    model = introvae.IntroVAE(2, latent=3, hidden=8)
    return model, mg.randn(16, 2), mg.randn(16, 3)


def test_parameter_counts() -> None:
    def count(module: nn.Module) -> int:
        return sum(p.numel() for p in module.parameters())

    model = introvae.IntroVAE()
    assert count(model.encoder) == 785 * 256 + 257 * 256 + 257 * 32
    assert count(model.decoder) == 17 * 256 + 257 * 256 + 257 * 784


# ------------------------------------------------------------------------- algorithm 1, by terms
def test_the_losses_are_the_papers() -> None:
    """Recomputed from the formulas in NumPy, with the same noise."""
    model, x, z_p = setting()
    state = mg.default_generator().get_state()
    loss, z, figures = introvae.encoder_loss(model, x, z_p, ALPHA, BETA, MARGIN)
    mg.default_generator().set_state(state)
    with mg.no_grad():
        mean, log_var = model.encode(x)
        again = mg.gaussian_sample(mean, log_var)
        x_r, x_p = model.decoder(again), model.decoder(z_p)

        def kl(data: mg.Tensor) -> float:
            m, s = (t.detach().numpy().astype(float) for t in model.encode(data))
            return float(0.5 * (np.exp(s) + m**2 - 1 - s).sum(1).mean())

        l_ae = float(0.5 * ((x_r.detach().numpy() - x.numpy()) ** 2).sum(1).mean())
        hinges = max(0.0, MARGIN - kl(x_r)) + max(0.0, MARGIN - kl(x_p))
        pulled = introvae.decoder_loss(model, x, z, z_p, ALPHA, BETA).item()
    np.testing.assert_array_equal(z.numpy(), again.numpy())
    assert loss.item() == pytest.approx(kl(x) + ALPHA * hinges + BETA * l_ae, rel=1e-4)
    assert pulled == pytest.approx(ALPHA * (kl(x_r) + kl(x_p)) + BETA * l_ae, rel=1e-4)
    assert figures["hinge_active"].item() == 1.0 and kl(x_p) < MARGIN


def test_each_step_moves_its_own_network_only() -> None:
    model, x, z_p = setting()
    learner = introvae.Learner.of(model, 1e-2)
    before = values(model.encoder), values(model.decoder)
    loss, z, _ = introvae.encoder_loss(model, x, z_p, ALPHA, BETA, MARGIN)
    loss.backward()
    assert all(g is None or not g.any() for g in gradients(model.decoder))
    learner.encoder.step()
    between = values(model.encoder)
    assert abs(between - before[0]).max() > 0
    np.testing.assert_array_equal(values(model.decoder), before[1])

    learner.encoder.zero_grad()
    introvae.decoder_loss(model, x, z, z_p, ALPHA, BETA).backward()
    assert all(g is None or not g.any() for g in gradients(model.encoder))
    learner.decoder.step()
    np.testing.assert_array_equal(values(model.encoder), between)
    assert abs(values(model.decoder) - before[1]).max() > 0
    assert all(p.requires_grad for p in model.parameters())


def test_nothing_passes_through_what_the_encoder_judges() -> None:
    """The hinge's gradient reaches the encoder by its judgement of x_r, not by the z that made x_r:
    taking x_r for a constant gives the same gradient."""
    model, x, z_p = setting()
    weights = {"alpha": ALPHA, "beta": 0.0, "margin": MARGIN}
    state = mg.default_generator().get_state()
    introvae.encoder_loss(model, x, z_p, **weights)[0].backward()
    found = gradients(model.encoder)

    model.zero_grad()
    mg.default_generator().set_state(state)
    mean, log_var = model.encode(x)
    with mg.no_grad():
        x_r, x_p = model.decoder(mg.gaussian_sample(mean, log_var)), model.decoder(z_p)
    loss = elbo.kl_divergence(mean, log_var).mean()
    for fake in (x_r, x_p):
        loss = loss + ALPHA * (MARGIN - elbo.kl_divergence(*model.encode(fake)).mean()).relu()
    loss.backward()
    for a, b in zip(found, gradients(model.encoder)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_hinge_that_is_closed_pushes_nothing() -> None:
    """With a margin below the fakes' KL the encoder's gradient is the VAE's."""
    model, x, z_p = setting()
    found = []
    for alpha, margin in ((0.0, MARGIN), (ALPHA, 1e-6), (ALPHA, MARGIN)):
        mg.manual_seed(1)
        model.zero_grad()
        loss, _, figures = introvae.encoder_loss(model, x, z_p, alpha, BETA, margin)
        loss.backward()
        found.append(gradients(model.encoder))
    assert figures["hinge_active"].item() == 1.0
    for vae, closed, _ in zip(*found):
        np.testing.assert_allclose(vae, closed, rtol=1e-5, atol=1e-7)
    assert any(abs(vae - opened).max() > 1e-3 for vae, _, opened in zip(*found))


# ------------------------------------------------------------------------------------- the roles
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_encoder_pushes_and_the_decoder_pulls(seed: int) -> None:
    """On eight Gaussians. An encoder that learns against a fixed decoder tells held-out data from
    samples by more than half the margin; then a decoder that learns against it closes that gap. A
    program with the roles exchanged, or whose hinge never opens, moves both the other way or not
    at all. Seeds 0 to 2 gave gaps of 15.5, 9.2 and 10.3, and then of -0.5, -1.3 and -0.7."""
    mg.manual_seed(seed)
    model = introvae.IntroVAE(2, latent=2, hidden=64)
    learner = introvae.Learner.of(model, 3e-3)
    margin = 8.0

    def batch() -> tuple[mg.Tensor, mg.Tensor]:
        return mg.tensor(make_gaussian_ring(128, **introvae.RING)[0]), mg.randn(128, 2)

    def gap() -> float:
        held_out = mg.tensor(
            make_gaussian_ring(2000, **introvae.RING, generator=mg.Generator(7))[0]
        )
        with mg.no_grad():
            real = elbo.kl_divergence(*model.encode(held_out)).mean().item()
            fake = elbo.kl_divergence(*model.encode(model.sample(2000, seed=8))).mean().item()
        return fake - real

    for _ in range(150):  # a VAE: what it draws looks as likely to its encoder as the data
        learner.step(*batch(), 0.0, 4.0, margin)
    assert gap() < 0.5
    for _ in range(400):
        loss, _, _ = introvae.encoder_loss(model, *batch(), 0.6, 4.0, margin)
        learner.encoder.zero_grad()
        loss.backward()
        learner.encoder.step()
    apart = gap()
    for _ in range(300):
        x, z_p = batch()
        with mg.no_grad():
            z = mg.gaussian_sample(*model.encode(x))
        loss = introvae.decoder_loss(model, x, z, z_p, 0.6, 4.0)
        learner.decoder.zero_grad()
        loss.backward()
        learner.decoder.step()
    closed = gap()
    assert apart >= 0.5 * margin
    assert closed < 0.5 * apart


def test_modes_and_bridges() -> None:
    points, _ = make_gaussian_ring(4000, **introvae.RING)
    modes, bridges = introvae.modes_and_bridges(points)
    assert modes == 8 and bridges < 0.02  # exp(-9/2) lies beyond three deviations
    assert introvae.modes_and_bridges(points[points[:, 0] > 0.5])[0] == 3
    assert introvae.modes_and_bridges(np.zeros((100, 2))) == (0, 1.0)


# -------------------------------------------------------------------------------------- learning
RING = {
    "data": "ring",
    "latent": 2,
    "hidden": 128,
    "margin": 4.0,
    "alpha": 0.6,
    "beta": 4.0,
    "vae_epochs": 3,
    "lr": 2e-3,
    "epochs": 25,
}


def test_introvae_learns(tmp_path: Path) -> None:
    """Eight Gaussians, 2,500 steps: 7 modes or more, a hinge open for 5 to 95 % of the samples, and
    at most 85 % of the bridges of the VAE that learned on the same batches. Three seeds gave 8
    modes, 65 and 66 %, and 66 to 69 % of the bridges. Miss: the VAE."""
    metrics = introvae.train(introvae.Config(out=str(tmp_path), **RING)).metrics
    assert metrics["modes"] >= 7
    assert 0.05 <= metrics["hinge_active"] <= 0.95
    assert metrics["bridges"] <= 0.85 * metrics["vae_bridges"]
    # Twin and all: a VAE's samples do not look less likely to its encoder than the data.
    assert metrics["vae_test_kl_sampled"] <= metrics["vae_test_kl_real"]
    assert metrics["test_kl_sampled"] > metrics["test_kl_real"]


@pytest.mark.slow
def test_introvae_learns_in_full(tmp_path: Path) -> None:
    """MNIST, 8 epochs: samples that score at least 0.3 more than those of the VAE that learned on
    the same batches, at no more than 1.3 times its reconstruction error; a hinge open for 5 to 95 %
    of the samples. Seed 0 gave 0.50 more, 0.92 times, and 25 %. Miss: the VAE."""
    metrics = introvae.train(introvae.Config(out=str(tmp_path))).metrics
    assert metrics["judge_score"] >= metrics["vae_judge_score"] + 0.3
    assert metrics["test_mse"] <= 1.3 * metrics["vae_test_mse"]
    assert 0.05 <= metrics["hinge_active"] <= 0.95
    assert metrics["test_kl_sampled"] > metrics["test_kl_real"]
