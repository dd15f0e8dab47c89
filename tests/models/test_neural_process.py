r"""Neural processes: sets without order, the right KL, the exact posterior as the judge."""

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
from minigrad.data import make_gp_curves
from minigrad.distributions import Normal
from minigrad.distributions import kl_divergence as kl_of_distributions
from minigrad.train import load_safetensors
from models.neural_process import completion, curves
from models.neural_process.networks import Bumps, JoinedLinear, NeuralProcess, kl_divergence

pytest.importorskip("matplotlib")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts() -> None:
    # The popular networks: h 3-128-128-128, g 130-128-128-1, mean and log-variance of z.
    h = 4 * 128 + 2 * 129 * 128
    g = 131 * 128 + 129 * 128 + 129
    options = {"network": "mlp", "hidden": 128}
    assert count(completion.Completion(completion.Config(**options))) == h + 2 * 129 * 128 + g
    conditional = completion.Config(kind="conditional", **options)
    assert count(completion.Completion(conditional)) == h + g == 66_945
    # 14 x 14 bumps: a, b, u with 512 outputs, w with 1; f and v; z of 128.
    product = 3 * 197 * 512 + 197 + 2 * 512 + 2 * 513 * 512 + 2 * 513 * 128
    product += 129 * 512 + 513 * 512
    assert count(completion.Completion(completion.Config())) == product
    # 16 bumps and y; the decoder says a mean and a deviation.
    curve = (16 + 2) * 128 + 2 * 129 * 128 + (16 + 129) * 128 + 129 * 128 + 129 * 2
    assert count(NeuralProcess(1, 1, 2, 128, False, Bumps(16, 1, -2.0, 2.0))) == curve


# ------------------------------------------------------------------------------------------- sets
def processes() -> list[tuple[str, NeuralProcess, mg.Tensor, mg.Tensor]]:
    found = []
    for latent in (False, True):
        model = NeuralProcess(1, 1, 2, 16, latent, Bumps(8, 1, -2.0, 2.0)).double()
        x, y = mg.randn(3, 7, 1, dtype=mg.float64), mg.randn(3, 7, 1, dtype=mg.float64)
        found.append(("latent" if latent else "conditional", model, x, y))
    return found


def test_order_and_repetition_change_nothing() -> None:
    """A mean over a set: exact up to the order of a sum. A point given twice is not: it counts."""
    for _, model, x, y in processes():
        r = model.represent(x, y)
        order = mg.tensor([3, 1, 6, 0, 2, 5, 4])
        np.testing.assert_allclose(
            model.represent(x[:, order], y[:, order]).detach().numpy(),
            r.detach().numpy(),
            rtol=1e-12,
            atol=1e-14,
        )
        twice = model.represent(mg.cat([x, x], 1), mg.cat([y, y], 1)).detach().numpy()
        np.testing.assert_allclose(twice, r.detach().numpy(), rtol=1e-12, atol=1e-14)
        other = model.represent(mg.cat([x, x[:, :1]], 1), mg.cat([y, y[:, :1]], 1))
        assert abs(other.detach().numpy() - r.detach().numpy()).max() > 1e-6


def test_targets_do_not_influence_each_other() -> None:
    for _, model, x, _ in processes():
        z = mg.randn(3, 16, dtype=mg.float64)
        alone = mg.cat([model.decode(x[:, i : i + 1], z) for i in range(7)], 1)
        together = model.decode(x, z)
        np.testing.assert_allclose(together.detach().numpy(), alone.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("network", ["product", "mlp"])
@pytest.mark.parametrize("kind", ["latent", "conditional"])
def test_order_of_pixels(network: str, kind: str) -> None:
    config = completion.Config(network=network, kind=kind, hidden=16, latent=8)  # type: ignore[arg-type]
    model = completion.Completion(config).double()
    images = mg.rand(3, 784, dtype=mg.float64)
    pixels = np.random.default_rng(0).permutation(784)[:50]
    r = model.represent(images, mg.tensor(pixels)).detach().numpy()
    again = model.represent(images, mg.tensor(pixels[::-1].copy())).detach().numpy()
    np.testing.assert_allclose(again, r, rtol=1e-9, atol=1e-12)
    changed = images.clone()
    changed[:, int(np.setdiff1d(np.arange(784), pixels)[0])] = 0.5  # not in the context
    np.testing.assert_array_equal(model.represent(changed, mg.tensor(pixels)).detach().numpy(), r)


def test_the_last_layer_after_the_mean_is_the_last_layer_before_it() -> None:
    _, model, x, y = processes()[0]
    points = model.h_second(model.h_first(model.see(x), y).relu()).relu()
    before = model.h_last(points).mean(1)
    np.testing.assert_allclose(
        model.represent(x, y).detach().numpy(), before.detach().numpy(), rtol=1e-12
    )


def test_joined_linear_is_a_linear_layer_of_the_inputs_side_by_side() -> None:
    joined = JoinedLinear((3, 2), 4)
    a, b = mg.randn(5, 6, 3), mg.randn(5, 1, 2)
    weight = np.concatenate([part.weight.detach().numpy() for part in joined.parts], 1)
    side = np.concatenate([a.numpy(), np.broadcast_to(b.numpy(), (5, 6, 2))], 2)
    expected = side @ weight.T + joined.parts[0].bias.detach().numpy()
    np.testing.assert_allclose(joined(a, b).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    assert count(joined) == 6 * 4


def test_the_product_network_is_any_function_of_binary_pixels() -> None:
    """h(x, y) = b(x) + y a(x) takes the values b and b + a at y = 0 and 1, and no others are
    possible: the mean over a context is that of its black and of its white pixels."""
    config = completion.Config(kind="conditional", hidden=16, bumps=4)
    process = completion.Completion(config).process.double()
    x = mg.randn(9, 16, dtype=mg.float64)
    y = mg.tensor([[0.0, 1, 0, 0, 1, 1, 0, 1, 0]], dtype=mg.float64)
    a, b = process.a(x).detach().numpy(), process.b(x).detach().numpy()
    values = np.where(y.numpy()[0][:, None] == 1, b + a / completion.DEVIATION, b)
    expected = process.f(mg.tensor(values.mean(0)[None])).detach().numpy()
    found = process.represent(x, y.unsqueeze(2)).detach().numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_bumps() -> None:
    place = Bumps(5, 2, 0.0, 1.0)
    x = np.random.default_rng(0).random((7, 2)).astype(np.float32)
    ticks = np.linspace(0, 1, 5)
    centres = np.stack(np.meshgrid(ticks, ticks, indexing="ij"), -1).reshape(-1, 2)
    squares = ((x[:, None] - centres) ** 2).sum(2)
    expected = np.exp(-0.5 * squares / (0.7 / 4) ** 2) * place.scale
    np.testing.assert_allclose(place(mg.tensor(x)).numpy(), expected, rtol=2e-4, atol=1e-5)
    fine = np.random.default_rng(1).random((100_000, 2)).astype(np.float32)
    assert place(mg.tensor(fine)).numpy().std() == pytest.approx(1, rel=0.02)


# --------------------------------------------------------------------------------- the divergence
@given(values=hnp.arrays(np.float64, (4, 3, 2), elements=st.floats(-3, 3)))
def test_kl_is_that_of_two_normals(values: np.ndarray) -> None:
    """Against the distributions, whose arguments are standard deviations; never negative."""
    mean_p, log_var_p, mean_q, log_var_q = (mg.tensor(v) for v in values)
    found = kl_divergence((mean_p, log_var_p), (mean_q, log_var_q)).numpy()
    p = Normal(mean_p, (log_var_p / 2).exp())
    q = Normal(mean_q, (log_var_q / 2).exp())
    expected = kl_of_distributions(p, q).numpy().sum(1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    assert (found >= -1e-12).all()


def test_kl_is_what_sampling_estimates() -> None:
    """With samples as the training draws them: one convention for the variance in both places."""
    rng = np.random.default_rng(0)
    p = mg.tensor(rng.normal(size=(1, 4))), mg.tensor(rng.normal(size=(1, 4)))
    q = mg.tensor(rng.normal(size=(1, 4))), mg.tensor(rng.normal(size=(1, 4)))
    many = (mg.tensor(np.repeat(part.numpy(), 100_000, 0)) for part in p)
    z = mg.gaussian_sample(*many, generator=mg.Generator(0)).numpy()

    def log_density(mean: mg.Tensor, log_var: mg.Tensor) -> np.ndarray:
        m, v = mean.numpy(), log_var.numpy()
        return -0.5 * ((z - m) ** 2 / np.exp(v) + v).sum(1)

    estimates = log_density(*p) - log_density(*q)
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(kl_divergence(p, q).item() - estimates.mean()) < 3 * error


def test_the_prior_is_what_the_context_says() -> None:
    """The KL of a process is that between q(z|C,T) and q(z|C), in this order, and not to N(0, I):
    with no targets beyond the context it is exactly 0."""
    config = completion.Config(hidden=16, latent=8)
    model = completion.Completion(config)
    images = mg.rand(4, 784)
    some, rest = mg.arange(0, 30), mg.arange(30, 90)
    with mg.no_grad():
        _, kl = completion.loss_terms(model, images, some, rest)
        after = model.posterior(images, mg.arange(0, 90))
        before = model.posterior(images, some)
        assert kl.item() == pytest.approx(kl_divergence(after, before).mean().item(), rel=1e-5)
        assert kl.item() != pytest.approx(kl_divergence(before, after).mean().item(), rel=1e-3)
        prior = mg.zeros(4, 8), mg.zeros(4, 8)
        assert kl_divergence(after, prior).mean().item() > 10 * kl.item()
        _, same = completion.loss_terms(model, images, some, mg.arange(0, 30))
    assert same.item() == pytest.approx(0, abs=1e-5)


def test_the_prior_learns_too() -> None:
    """Gradients of the KL reach q(z|C): it is no constant that the posterior is pulled towards."""
    for kind in ("latent", "conditional"):
        config = curves.Config(kind=kind, hidden=8)  # type: ignore[arg-type]
        model = NeuralProcess(1, 1, 2, 8, kind == "latent")
        x, y = (mg.tensor(part) for part in make_gp_curves(2, 9))
        nll, kl = curves.loss_terms(model, x, y, 4, config.floor)
        (nll + kl).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and abs(parameter.grad.numpy()).max() > 0, name
        assert (kl.item() > 0) == (kind == "latent")


# ------------------------------------------------------------------------------------ likelihoods
def test_curve_likelihood() -> None:
    rng = np.random.default_rng(0)
    output = mg.tensor(rng.normal(size=(2, 5, 2)))
    mean, std = curves.likelihood(output, 0.01)
    assert (std.numpy() > 0.01).all()
    y = rng.normal(size=(2, 5))
    expected = Normal(mean, std).log_prob(mg.tensor(y)).numpy()
    np.testing.assert_allclose(curves.log_normal(mg.tensor(y), mean, std).numpy(), expected)
    one = curves.log_prob(mean.numpy()[None], std.numpy()[None], y)
    np.testing.assert_allclose(one, expected)
    several = curves.log_prob(rng.normal(size=(3, 2, 5)), np.full((3, 2, 5), 1e-3), y)
    assert np.isfinite(several).all()  # far from every sample


def test_nll_of_pixels_and_their_split() -> None:
    context, rest = completion.split(300, None, mg.Generator(0), "cpu")
    assert sorted(np.r_[context.numpy(), rest.numpy()]) == list(range(784))
    context, targets = completion.split(300, 100, mg.Generator(0), "cpu")
    assert len(targets) == 100 and not np.intersect1d(context.numpy(), targets.numpy()).size


def test_what_smoothing_reaches() -> None:
    """The figures that a network has to be compared with, here on 1,000 test images with a context
    for every 20. A popular figure, 0.148 at 300 to 350 pixels, is worse than no network at all."""
    from minigrad.data import MNIST

    mean_image = MNIST().arrays(flatten=True)[0].mean(0)
    test = MNIST(train=False).arrays(flatten=True)[0][::10]

    def nll(p: np.ndarray, images: np.ndarray) -> np.ndarray:
        p = p.clip(1e-3, 1 - 1e-3)
        return -(images * np.log(p) + (1 - images) * np.log(1 - p))

    assert nll(mean_image, test).mean() == pytest.approx(0.263, abs=0.004)
    rng = np.random.default_rng(0)
    for n, everywhere, unseen in ((10, 0.249, 0.251), (100, 0.175, 0.189), (325, 0.105, 0.134)):
        found, hidden = [], []
        for images in np.split(test, 50):
            order = rng.permutation(784)
            values = nll(completion.smooth(images, order[:n], mean_image), images)
            found.append(values.mean())
            hidden.append(values[:, order[n:]].mean())
        assert np.mean(found) == pytest.approx(everywhere, abs=0.004)
        assert np.mean(hidden) == pytest.approx(unseen, abs=0.004)


# --------------------------------------------------------------------------------------- learning
def uncertainty(model: NeuralProcess, config: curves.Config) -> tuple[float, float]:
    """The mean deviation at and far from one to five context points, all left of 0."""
    x, y = make_gp_curves(100, 5, config.length_scale, noise=config.noise, limit=0.5)
    x = x - np.float32(1.3)
    at = np.concatenate([x, np.full((100, 1, 1), 1.8, np.float32)], 1)
    means, stds = curves.predict(model, (x, y), at, config)
    total = np.sqrt((stds**2).mean(0) + means.var(0))  # (B, 6)
    return float(total[:, :5].mean()), float(total[:, 5].mean())


def trained(config: curves.Config) -> tuple[NeuralProcess, dict[str, float]]:
    metrics = curves.train(config).metrics
    bumps = Bumps(config.bumps, 1, -2.0, 2.0)
    model = NeuralProcess(1, 1, 2, config.hidden, config.kind == "latent", bumps)
    model.load_state_dict(load_safetensors(f"{config.out}/model.safetensors"))
    return model, metrics


def test_curves_are_learned(tmp_path: Path) -> None:
    """1,500 steps of the conditional process: -0.55 nats a point or more after 5 context points
    and -0.13 after 20, rising from 1 to 5 to 20. Five seeds gave -0.53 to -0.50 and -0.07 to 0.00,
    so the bars are their means - 3 standard deviations. Miss: -1.42 is a model that ignores the
    context, and the exact posterior's -0.05 and 0.67 cannot be passed."""
    config = curves.Config(out=str(tmp_path), epochs=5, steps=300, test_curves=300)
    model, metrics = trained(config)
    scores = [metrics[f"test_log_prob_{n}"] for n in curves.CONTEXTS]
    assert scores == sorted(scores)
    assert scores[1] >= -0.55 and scores[2] >= -0.13
    for n in curves.CONTEXTS:  # nothing predicts better than the exact posterior
        assert metrics[f"test_gap_{n}"] > 0
    at, away = uncertainty(model, config)
    assert at < 0.6 * away
    assert 0.7 < away < 1.3  # far from the context a curve has its deviation of 1


def test_digits_are_completed(tmp_path: Path) -> None:
    """20,000 images, 3 epochs: at most 0.20 nats a pixel at 300 to 350 pixels, falling from 10 to
    100 to them. Three seeds gave 0.182 to 0.185. Miss: the mean image has 0.263, whatever the
    context; less than 0.058 is impossible."""
    config = completion.Config(
        out=str(tmp_path),
        epochs=3,
        warmup=3.0,
        train_images=20_000,
        validation=100,
        test_images=500,
    )
    metrics = completion.train(config).metrics
    scores = [metrics[f"test_nll_{n}"] for n in completion.EVALUATED]
    assert 0.058 < scores[0] < scores[1] < scores[2]
    assert scores[0] <= 0.20


@pytest.mark.slow
def test_curves_are_learned_in_full(tmp_path: Path) -> None:
    """15,000 steps: within 0.35 nats a point of the exact posterior after 20 points; seed 0 was
    0.20 below it. Miss: a model that ignores the context is 2.1 below."""
    _, metrics = trained(curves.Config(out=str(tmp_path)))
    assert 0 < metrics["test_gap_20"] <= 0.35


@pytest.mark.slow
def test_digits_are_completed_in_full(tmp_path: Path) -> None:
    """All images, 20 epochs: at most 0.147 nats a pixel at 300 to 350 pixels, and of unseen pixels
    better than smoothing there and at 100. Seed 0 gave 0.126, 0.118 and 0.148. Miss: smoothing has
    0.134 and 0.189 of unseen pixels, the mean image 0.263."""
    metrics = completion.train(completion.Config(out=str(tmp_path))).metrics
    assert 0.058 < metrics["test_nll_325"] <= 0.147
    assert metrics["test_predictive_unseen_325"] <= 0.125
    assert metrics["test_predictive_unseen_100"] <= 0.155
