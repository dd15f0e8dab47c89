r"""The flows learn: figures that a wrong implementation misses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import make_moons
from minigrad.data.potentials import POTENTIALS
from minigrad.train import load_safetensors
from models.flows import energies, realnvp, realnvp_mnist, vae_nf

pytest.importorskip("matplotlib")


def test_realnvp_learns(tmp_path: Path) -> None:
    """2,000 steps of networks with 128 units: at most 0.40 nats, and not below the entropy. Three
    seeds gave 0.331 to 0.352. Miss: 1.889 is a single Gaussian; below 0.257 there is an error
    (true: 0.289)."""
    config = realnvp.Config(
        out=str(tmp_path), epochs=8, hidden=128, lr=3e-3, test_points=5000, grid=0.02
    )
    metrics = realnvp.train(config).metrics
    assert 0.257 <= metrics["test_nll"] <= 0.40
    assert metrics["density_integral"] == pytest.approx(1, abs=0.02)
    assert metrics["inverse_error"] <= 1e-10


@pytest.mark.slow
def test_realnvp_learns_in_full(tmp_path: Path) -> None:
    """5,000 steps: at most 0.327 nats, not below 0.257. Noise of the right kind comes out of the
    data (mean 0, deviation 1). The energy distance of samples to data, counted with each point's
    distance 0 to itself as most do, would be 0.0012 for 2,000 points of real data; the estimate
    here leaves these pairs out, so twice that is another 0.0012 at most. Miss: one Gaussian has
    1.889 nats."""
    metrics = realnvp.train(realnvp.Config(out=str(tmp_path))).metrics
    assert 0.257 <= metrics["test_nll"] <= 0.327
    assert metrics["density_integral"] == pytest.approx(1, abs=0.02)
    assert metrics["inverse_error"] <= 1e-10
    assert metrics["energy_distance"] <= 0.0012
    flow = realnvp.RealNVP()
    flow.load_state_dict(load_safetensors(tmp_path / "model.safetensors"))
    x, _ = make_moons(10_000, 0.05, mg.Generator(5))
    with mg.no_grad():
        z = flow(mg.tensor(x))[0].numpy()
    assert abs(z.mean(0)).max() < 0.1 and abs(z.std(0) - 1).max() < 0.1
    assert abs(np.corrcoef(z.T)[0, 1]) < 0.1


def test_realnvp_of_images_learns(tmp_path: Path) -> None:
    """4,000 images once, 12 filters: at most 3.25 bits. Three seeds gave 2.95 to 3.06 (mean + 4
    standard deviations). Miss: 8 is knowing nothing, 4.85 independent Gaussians in logit space,
    3.90 one Gaussian with all covariances (fitted to 60,000 images)."""
    config = realnvp_mnist.Config(
        out=str(tmp_path),
        epochs=1,
        train_images=4000,
        hidden=12,
        validation=100,
        test_images=1000,
    )
    metrics = realnvp_mnist.train(config).metrics
    assert 0 < metrics["test_bits_per_dim"] <= 3.25
    # The wrong accounts are far from it.
    assert metrics["test_bits_without_logit"] > metrics["test_bits_per_dim"] + 3
    assert metrics["test_bits_without_levels"] < 0


def test_energies_are_learned(tmp_path: Path) -> None:
    """500 steps: KL(q || p) of at most 0.75 nats with 8 layers, and 0.3 less than with 2. Three
    seeds gave 0.45 to 0.59, and differences of 0.48 to 0.68. Miss: the best Gaussian has 1.55, less
    than 0 is impossible."""
    config = energies.Config(out=str(tmp_path), epochs=2, steps=250, anneal=250, lengths=(2, 8))
    metrics = energies.train(config).metrics
    assert metrics["kl_8_layers"] <= min(0.75, metrics["kl_2_layers"] - 0.3)
    error = metrics["largest_standard_error"]
    for name in POTENTIALS:
        assert metrics[f"kl_{name}_8_layers"] > -3 * error


@pytest.mark.slow
def test_energies_are_learned_in_full(tmp_path: Path) -> None:
    """5,000 steps: at most 0.60, 0.25 and 0.06 nats with 2, 8 and 32 layers; for each energy the
    free energy falls with their number. Seed 0 gave 0.53, 0.20 and 0.035. Miss as above."""
    metrics = energies.train(energies.Config(out=str(tmp_path))).metrics
    for length, bar in ((2, 0.60), (8, 0.25), (32, 0.06)):
        assert metrics[f"kl_{length}_layers"] <= bar
    for name in POTENTIALS:
        few, more, many = (metrics[f"kl_{name}_{n}_layers"] for n in (2, 8, 32))
        assert few > more > many > -3 * metrics["largest_standard_error"]


def test_a_flow_is_no_worse_than_its_twin(tmp_path: Path) -> None:
    """A code of two numbers, 5,000 images, 6 epochs: with ten planar layers at most half a nat
    worse than with a Gaussian posterior. Five seeds gave 1.1 to 3.1 nats better (mean - 2.8
    standard deviations), at 174 to 177 nats. Miss: a collapsed posterior has 206 nats."""
    found = {}
    for flow in ("planar", "none"):
        config = vae_nf.Config(
            out=str(tmp_path / flow),
            flow=flow,  # type: ignore[arg-type]
            epochs=6,
            anneal=0,
            length=10,
            latent=2,
            train_images=5000,
            validation=200,
            test_images=2000,
            iwae_images=20,
        )
        found[flow] = vae_nf.train(config).metrics
    assert found["planar"]["test_negative_elbo"] <= found["none"]["test_negative_elbo"] + 0.5
    assert found["planar"]["test_negative_elbo"] <= 182
    assert found["planar"]["test_kl"] > 3  # not the sources' -5 to -7, and not collapsed


@pytest.mark.slow
def test_a_flow_is_better_than_its_twin_in_full(tmp_path: Path) -> None:
    """40 numbers, 55,000 images, 40 epochs: sixteen couplings gain at least 2 nats on the Gaussian
    posterior as it is best, without annealing; seed 0 gave 2.20. Misses: a flow that does nothing
    gains 0, a wrong determinant more than the bound of many samples leaves."""
    found = []
    for flow, anneal in (("coupling", 0.45), ("none", 0.0)):
        config = vae_nf.Config(out=str(tmp_path / flow), flow=flow, anneal=anneal)  # type: ignore[arg-type]
        found.append(vae_nf.train(config).metrics)
    gain = found[1]["test_negative_elbo"] - found[0]["test_negative_elbo"]
    assert 2 <= gain <= found[1]["test_negative_elbo"] - found[0]["test_nll_iwae_100"]
