r"""Normalising flows: exact densities, and what a wrong account of them gives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd import jacobian
from minigrad.data import make_moons
from minigrad.data.potentials import POTENTIALS, log_partition
from minigrad.evaluation import bits_per_dim, importance_weighted_bound
from models.flows import energies, realnvp, realnvp_mnist, vae_nf
from models.variational import elbo

pytest.importorskip("matplotlib")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shaken(module: nn.Module, size: float, seed: int = 0) -> nn.Module:
    """The module in float64 with noise on all its weights: away from identities and zeros."""
    rng = np.random.default_rng(seed)
    module = module.double()
    for parameter in module.parameters():
        parameter.data = parameter.data + size * rng.normal(size=parameter.shape)
    return module


def test_parameter_counts() -> None:
    network = 3 * 256 + 257 * 256 + 257 * 2
    assert network == 67_074
    assert count(realnvp.RealNVP()) == 6 * 2 * network == 804_888

    def image_coupling(c: int, h: int) -> int:
        convolutions = (2 * c * 9 + 1) * h + (h + 1) * h + (h * 9 + 1) * 4 * c
        return convolutions + 2 * c  # and the scale of the tanh

    fine, coarse = image_coupling(1, 48), image_coupling(2, 96)
    assert count(realnvp_mnist.RealNVP()) == 2 * 784 + 6 * fine + 4 * coarse == 110_708
    for kind, layer in (("planar", 5), ("radial", 4)):
        assert count(energies.Flow(kind, 8)) == 4 * (4 + 8 * layer)

    plain = 785 * 256 + 2 * 257 * 40 + 41 * 256 + 257 * 784
    counts = {
        "none": 0,
        "planar": 257 * 16 * 81,
        "radial": 257 * 16 * 42,
        "coupling": 16 * ((20 + 256 + 1) * 256 + 257 * 40),
    }
    for flow, more in counts.items():
        assert count(vae_nf.VAE(vae_nf.Config(flow=flow))) == plain + more  # type: ignore[arg-type]


# ------------------------------------------------------------------------ RealNVP of the plane
@pytest.mark.parametrize("limit", [3.0, None])
def test_realnvp_is_invertible_with_the_determinant_of_its_jacobian(limit: float | None) -> None:
    flow = shaken(realnvp.RealNVP(6, 16, limit), 0.1)
    x = mg.tensor(np.random.default_rng(1).normal(size=(20, 2)) * 2)
    z, log_det = flow(x)
    assert abs(flow.inverse(z).data - x.data).max() <= 1e-10
    assert abs(flow(flow.inverse(x))[0].data - x.data).max() <= 1e-10
    for i in range(20):
        j = jacobian(lambda x: flow(x.unsqueeze(0))[0][0], x[i]).data
        assert log_det.data[i] == pytest.approx(np.linalg.slogdet(j)[1], abs=1e-10)
    normal = -0.5 * (z.data**2).sum(1) - math.log(2 * math.pi)
    np.testing.assert_allclose(flow.log_prob(x).data, normal + log_det.data, atol=1e-12)


def test_couplings_take_turns() -> None:
    x = mg.tensor(np.random.default_rng(0).normal(size=(5, 2)))
    for i, layer in enumerate(shaken(realnvp.RealNVP(6, 8), 0.1).layers):
        y, _ = layer(x)
        stays = 1 if i % 2 == 0 else 0
        np.testing.assert_array_equal(y.data[:, stays], x.data[:, stays])
        assert (y.data[:, 1 - stays] != x.data[:, 1 - stays]).all()
        s, t = layer.scale_and_shift(mg.tensor(np.full((1, 2), 1e6)) * layer.mask)
        assert (abs(s.data) <= 3.0).all()  # however far away the point is


def test_a_density_integrates_to_one() -> None:
    flow = shaken(realnvp.RealNVP(4, 8), 0.2)
    density = realnvp.density_on_grid(flow, 0.05, (-15.0, 15.0, -15.0, 15.0))
    assert density.sum() * 0.05**2 == pytest.approx(1, abs=2e-3)


@pytest.mark.parametrize("noise, entropy", [(0.05, 0.2892), (0.1, 1.0076)])
def test_the_density_of_the_moons(noise: float, entropy: float) -> None:
    places = np.meshgrid(np.arange(-1.6, 2.6, 0.025), np.arange(-1.1, 1.6, 0.025))
    log_density = realnvp.moons_log_density(np.stack(places, -1).reshape(-1, 2), noise, 200)
    density = np.exp(log_density)
    assert density.sum() * 0.025**2 == pytest.approx(1, abs=1e-6)
    exact = -(density * log_density).sum() * 0.025**2
    assert exact == pytest.approx(entropy, abs=0.001)
    # What the generator draws is from this density: the cross-entropy is the entropy.
    x, _ = make_moons(20_000, noise, mg.Generator(0))
    values = -realnvp.moons_log_density(x, noise, 200)
    assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(len(x))


def test_with_the_wrong_sign_the_loss_beats_the_entropy() -> None:
    """log p(z) - log |det| instead of +: the "NLL" is soon below what any density can reach, which
    is why the figure has a lower bar too."""
    mg.manual_seed(0)
    flow = realnvp.RealNVP(4, 32)
    optimizer = mg.optim.Adam(flow.parameters(), lr=3e-3)
    generator = mg.Generator(0)
    for _ in range(250):
        x = mg.tensor(make_moons(100, 0.05, generator)[0])
        z, log_det = flow(x)
        wrong = (0.5 * (z**2).sum(1) + log_det).mean() + math.log(2 * math.pi)
        optimizer.zero_grad()
        wrong.backward()
        optimizer.step()
    assert wrong.item() < 0.257 - 1
    test = mg.tensor(make_moons(2000, 0.05, mg.Generator(1))[0])
    assert realnvp.nll(flow, test) > 1.889  # the right account: worse than one Gaussian


# ------------------------------------------------------------------------------ RealNVP of images
def test_squeezing() -> None:
    x = mg.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    squeezed = realnvp_mnist.squeeze(x)
    assert squeezed.shape == (2, 3, 2, 2, 2, 3)
    np.testing.assert_array_equal(realnvp_mnist.unsqueeze(squeezed).data, x.data)
    i, j = np.indices((4, 6))
    colour, row = (
        realnvp_mnist.squeeze(mg.tensor(a[None, None])).data for a in ((i + j) % 2, i % 2)
    )
    assert (colour[:, :, 0] == 0).all() and (colour[:, :, 1] == 1).all()
    assert (row[:, :, :, 0] == 0).all() and (row[:, :, :, 1] == 1).all()


@pytest.mark.parametrize("mask", ["checkerboard", "channels"])
@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("blocks", [0, 1])
def test_couplings_of_images(mask: str, turn: int, blocks: int) -> None:
    layer = shaken(realnvp_mnist.Coupling(2, mask, turn, 5, blocks), 0.3)
    image = mg.tensor(np.random.default_rng(0).normal(size=(3, 2, 4, 6)))

    def on_image(x: mg.Tensor) -> mg.Tensor:
        return realnvp_mnist.unsqueeze(layer(realnvp_mnist.squeeze(x))[0])

    i, j = np.indices((4, 6))
    stays = ((i + j) % 2 if mask == "checkerboard" else i % 2) == turn
    changed = on_image(image).data != image.data
    np.testing.assert_array_equal(changed, np.broadcast_to(~stays, changed.shape))
    y, log_det = layer(realnvp_mnist.squeeze(image))
    np.testing.assert_allclose(
        realnvp_mnist.unsqueeze(layer.inverse(y)).data, image.data, atol=1e-12
    )
    for n in range(3):
        j = jacobian(lambda x: on_image(x.unsqueeze(0))[0], image[n]).data.reshape(48, 48)
        assert log_det.data[n] == pytest.approx(np.linalg.slogdet(j)[1], abs=1e-9)


def test_the_whole_flow_of_an_image() -> None:
    """Inverse, and log |det| of the 784 x 784 Jacobian by central differences in float64."""
    flow = shaken(realnvp_mnist.RealNVP(2), 0.1)
    y = np.random.default_rng(0).normal(size=(1, 1, 28, 28))
    z, log_det = flow(mg.tensor(y))
    assert z.shape == (1, 784)
    assert abs(flow.inverse(z).data - y).max() <= 1e-10
    step = 1e-5 * np.eye(784).reshape(784, 1, 28, 28)
    with mg.no_grad():
        j = (flow(mg.tensor(y + step))[0].data - flow(mg.tensor(y - step))[0].data) / 2e-5
    assert log_det.item() == pytest.approx(np.linalg.slogdet(j)[1], abs=1e-5)


def test_the_logit_and_its_jacobian() -> None:
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.random((4, 1, 3, 3)))
    y, log_det = realnvp_mnist.to_logits(x, 0.05)
    np.testing.assert_allclose(realnvp_mnist.from_logits(y, 0.05).data, x.data, atol=1e-14)
    for n in range(4):
        j = jacobian(lambda x: realnvp_mnist.to_logits(x.unsqueeze(0), 0.05)[0][0], x[n]).data
        assert log_det.data[n] == pytest.approx(np.linalg.slogdet(j.reshape(9, 9))[1], abs=1e-10)


def test_bits_of_a_density_that_is_known() -> None:
    """x uniform on [0, 1]^784 is a code of 8 bits a pixel, whatever logit is put between. The three
    wrong accounts of it give more, less, and 0."""
    rng = np.random.default_rng(0)
    x = mg.tensor(rng.random((200, 1, 28, 28)))
    y, log_det = realnvp_mnist.to_logits(x, 0.05)
    log_py = -log_det  # the density of y if that of x is 1

    def bits(log_px: mg.Tensor) -> mg.Tensor:
        return bits_per_dim(log_px, 784)

    np.testing.assert_allclose(bits(log_py + log_det).data, 8.0)
    without_logit = bits(log_py).data.mean()
    assert without_logit == pytest.approx(8 + (log_det.data / (784 * math.log(2))).mean())
    assert without_logit > 9.5  # the logit's Jacobian is worth 2.3 bits a pixel here
    twice = bits(log_py + 2 * log_det).data.mean()  # and so on the other side with its sign wrong
    assert twice < 6.5
    # Levels taken for a density of [0, 1] without their 256: 0 bits, and any model less.
    assert (bits(log_py + log_det).data - 8.0).mean() == pytest.approx(0, abs=1e-12)


def test_without_noise_the_density_of_levels_is_unbounded() -> None:
    """A Gaussian around the level 0 of ever black pixels gains log 10 nats for each tenfold
    sharpening; with noise it has a best width, and 8 bits remain 0 or more."""
    black = np.zeros((1000, 1, 2, 2), np.uint8)
    noisy = realnvp_mnist.Dequantize()(black)
    assert noisy.dtype == np.float32 and 0 <= noisy.min() and noisy.max() < 1 / 256

    def bits(x: np.ndarray, width: float) -> float:
        square = ((x - x.mean()) / width) ** 2
        log_p = -0.5 * (square + math.log(2 * math.pi)) - math.log(width)
        return float(8 - log_p.mean() / math.log(2))

    levels = black.astype(float) / 256
    assert bits(levels, 1e-6) < bits(levels, 1e-5) - 3 < bits(levels, 1e-4) - 6 < -6
    assert min(bits(noisy, width) for width in np.geomspace(1e-6, 1, 50)) > 0.2


def test_dequantize_takes_levels() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    x = realnvp_mnist.Dequantize()(levels)
    np.testing.assert_array_equal(np.floor(x * 256).clip(max=255), levels)
    with pytest.raises(TypeError, match="expected uint8 levels, got float32"):
        realnvp_mnist.Dequantize()(x)


def test_standardizing() -> None:
    rng = np.random.default_rng(0)
    y = (rng.normal(size=(500, 1, 28, 28)) * 3 + 1).astype(np.float32)
    y[:, :, :4] = -2.9 + 0.02 * rng.random((500, 1, 4, 28)).astype(np.float32)
    flow = realnvp_mnist.RealNVP(2)
    flow.standardize(mg.tensor(y))
    z, _ = flow(mg.tensor(y))  # the couplings are the identity at first
    assert abs(z.data.mean(0)).max() < 1e-3
    assert z.data.std(0).max() == pytest.approx(1, abs=1e-2)
    assert z.data.std(0).min() > 0.04  # the black ones are not blown up


# --------------------------------------------------------------------------------------- energies
@pytest.mark.parametrize("kind", ["planar", "radial"])
def test_density_of_flows(kind: str) -> None:
    """What sampling says of the density is what inverting says; both integrate to one."""
    mg.manual_seed(0)
    flow = shaken(energies.Flow(kind, 5), 0.4)
    noise = mg.tensor(np.random.default_rng(0).normal(size=(4, 50, 2)))
    z, log_q = flow(noise)
    np.testing.assert_allclose(flow.log_prob(z).data, log_q.data, atol=1e-8)
    for i in range(4):
        for n in range(5):

            def one(point: mg.Tensor, i: int = i) -> mg.Tensor:
                return flow(point.reshape(1, 1, 2).expand(4, 1, 2))[0][i, 0]

            _, log_det = np.linalg.slogdet(jacobian(one, noise[i, n]).data)
            normal = -0.5 * (noise.data[i, n] ** 2).sum() - math.log(2 * math.pi)
            assert log_q.data[i, n] == pytest.approx(normal - log_det, abs=1e-9)
    side = np.linspace(-12, 12, 241)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
    density = flow.log_prob(mg.tensor(np.broadcast_to(grid, (4, *grid.shape)).copy())).exp()
    np.testing.assert_allclose(density.data.sum(1) * 0.1**2, 1, atol=0.02)


@pytest.mark.parametrize("kind", ["planar", "radial"])
def test_layers_begin_as_the_identity(kind: str) -> None:
    mg.manual_seed(0)
    noise = mg.randn(4, 20, 2)
    z, _ = energies.Flow(kind, 8)(noise)
    np.testing.assert_allclose(z.data, noise.data, atol=1e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_free_energies_are_bounded(seed: int) -> None:
    """F + log Z = KL >= 0 for flows that learned nothing, within three standard errors."""
    log_z = np.array([log_partition(name, 4.0) for name in POTENTIALS])
    mg.manual_seed(seed)
    flow = energies.Flow("planar", 8)
    for parameter in flow.parameters():
        parameter.data = parameter.data + 0.3 * mg.randn(*parameter.shape).data
    values, errors = energies.free_energies(flow, 4.0, 20_000)
    assert (values + log_z > -3 * errors).all()


# ------------------------------------------------------------------------------- VAE with a flow
FLOWS = ("planar", "radial", "coupling", "none")


def small(flow: str, seed: int = 0, **options: Any) -> vae_nf.VAE:
    """A VAE with a two-dimensional code and wild weights in its flow, in float64."""
    mg.manual_seed(seed)
    config = vae_nf.Config(flow=flow, latent=2, length=3, hidden=8, flow_hidden=8, **options)  # type: ignore[arg-type]
    model = vae_nf.VAE(config).double()
    shaken(model.flow, 0.3, seed)
    return model


@pytest.mark.parametrize("flow", FLOWS)
def test_log_q_is_the_density_of_the_sample(flow: str) -> None:
    """Normal density of z_0 minus log |det| of the Jacobian, for each image its own."""
    model = small(flow)
    x = mg.tensor(np.random.default_rng(0).random((4, 784)))
    mean, log_var, h = model.encode(x)
    z, log_q = model.sample(x, mg.Generator(3))
    z0 = mg.gaussian_sample(mean, log_var, generator=mg.Generator(3))
    for n in range(4):

        def one(z: mg.Tensor, n: int = n) -> mg.Tensor:
            return model.flow(z.unsqueeze(0), h[n : n + 1])[0][0]

        j = jacobian(one, z0[n].detach()).data
        std = np.exp(log_var.data[n] / 2)
        normal = -0.5 * ((z0.data[n] - mean.data[n]) / std) ** 2 - np.log(std)
        expected = normal.sum() - math.log(2 * math.pi) - np.linalg.slogdet(j)[1]
        assert log_q.data[n] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("flow", FLOWS)
def test_the_ratio_to_the_prior_has_mean_one(flow: str) -> None:
    """E_q [p(z) / q(z|x)] = 1 whatever q is, and E_q [log q - log p] = KL >= 0. With the popular
    source's slip, z_0 drawn with exp(log_var) for its deviation, the first is not 1."""
    model = small(flow, 1)
    nn.init.constant_(model.log_var.weight, 0.0)
    nn.init.constant_(model.log_var.bias, 0.7)  # a little wider than p, so that the ratio is tame
    nn.init.constant_(model.mean.weight, 0.0)
    for parameter in model.flow.parameters():
        parameter.data = parameter.data * (0.3 if flow == "coupling" else 1.0)
    x = mg.tensor(np.random.default_rng(0).random((1, 784))).expand(50_000, 784)
    with mg.no_grad():
        z, log_q = model.sample(x, mg.Generator(0))
        log_ratio = (elbo.log_normal(z) - log_q).data
    ratio = np.exp(log_ratio)
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(len(ratio))
    assert -log_ratio.mean() > -3 * log_ratio.std() / math.sqrt(len(ratio))

    with mg.no_grad():
        mean, log_var, h = model.encode(x)
        noise = mg.randn(*mean.shape, generator=mg.Generator(0), dtype=mg.float64)
        z0 = mean + log_var.exp() * noise
        z, log_det = model.flow(z0, h)
        log_q = elbo.log_normal(z0, mean, log_var) - log_det
        wrong = np.exp((elbo.log_normal(z) - log_q).data)
    assert abs(wrong.mean() - 1) > 20 * wrong.std() / math.sqrt(len(wrong))


@pytest.mark.parametrize("flow", FLOWS)
def test_the_center_goes_through_the_flow(flow: str) -> None:
    """Without noise a sample is the center: what the decoder takes is z_K, never z_0."""
    model = small(flow)
    nn.init.constant_(model.log_var.weight, 0.0)
    nn.init.constant_(model.log_var.bias, -60.0)
    x = mg.tensor(np.random.default_rng(0).random((3, 1, 28, 28)))
    z, _ = model.sample(x.flatten(1))
    np.testing.assert_allclose(model.center(x)[0].data, z.data, atol=1e-9)
    moved = abs(z.data - model.encode(x.flatten(1))[0].data).max() > 1e-3
    assert moved == (flow != "none")


def test_densities_are_summed_not_averaged() -> None:
    z = mg.zeros(3, 40)
    assert elbo.log_normal(z).data[0] == pytest.approx(-20 * math.log(2 * math.pi), rel=1e-6)
    log_var = mg.full((3, 40), math.log(4.0))  # a deviation of 2
    expected = -40 * (0.5 * math.log(2 * math.pi) + math.log(2.0))
    assert elbo.log_normal(z, 0.0, log_var).data[0] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("flow", ["planar", "radial", "coupling"])
def test_as_many_layers_as_asked_for(flow: str) -> None:
    for length in (1, 5):
        model = vae_nf.VAE(vae_nf.Config(flow=flow, length=length))  # type: ignore[arg-type]
        layers = model.flow.layers(mg.zeros(2, 256))
        moving = [f for f in layers if not isinstance(f, mg.distributions.PermutationTransform)]
        assert len(moving) == length


@pytest.mark.parametrize("flow", FLOWS)
def test_the_twins_start_alike(flow: str) -> None:
    """Encoder and decoder have the same weights with every flow, and the flow is the identity (up
    to the order of the dimensions)."""
    models = []
    for kind in (flow, "none"):
        mg.manual_seed(5)
        models.append(vae_nf.VAE(vae_nf.Config(flow=kind, latent=6, hidden=16)))  # type: ignore[arg-type]
    for name, value in models[1].state_dict().items():
        np.testing.assert_array_equal(models[0].state_dict()[name].data, value.data)
    z = mg.randn(3, 6)
    h = mg.zeros(3, 16) if flow in ("planar", "radial") else mg.rand(3, 16)
    out, log_det = models[0].flow(z, h)
    np.testing.assert_allclose(np.sort(out.data, 1), np.sort(z.data, 1), atol=1e-4)
    np.testing.assert_allclose(log_det.data, 0, atol=1e-4)


@pytest.mark.parametrize("flow", ["planar", "radial", "coupling"])
@pytest.mark.parametrize("context", [True, False])
def test_context_makes_a_flow_for_each_image(flow: str, context: bool) -> None:
    model = small(flow, context=context)
    z = mg.tensor(np.ones((2, 2)))
    h = mg.tensor(np.random.default_rng(0).random((2, 8)))
    moved = model.flow(z, h)[0].data
    assert (abs(moved[0] - moved[1]).max() > 1e-3) == context


def test_the_twin_has_the_closed_form() -> None:
    """Its KL is exact, and what sampling estimates."""
    model = small("none")
    x = mg.tensor(np.random.default_rng(0).random((1, 784))).expand(20_000, 784)
    with mg.no_grad():
        exact = vae_nf.bound_terms(model, x)["kl"].data
        z, log_q = model.sample(x, mg.Generator(0))
        estimates = (log_q - elbo.log_normal(z)).data
    error = estimates.std() / math.sqrt(len(estimates))
    assert abs(estimates.mean() - exact[0]) < 3 * error


def test_more_samples_tighten_the_bound() -> None:
    model = small("coupling")
    x = mg.tensor(np.random.default_rng(0).integers(0, 2, (20, 784)).astype(float))
    bounds = []
    with mg.no_grad():
        for k in (1, 10, 100):
            values = [
                importance_weighted_bound(
                    vae_nf.log_weights(model, x, k, mg.Generator(seed))
                ).data.mean()
                for seed in range(10)
            ]
            bounds.append((np.mean(values), np.std(values) / math.sqrt(10)))
        terms = [vae_nf.bound_terms(model, x, generator=mg.Generator(s)) for s in range(200)]
    elbos = [-(t["reconstruction"] + t["kl"]).data.mean() for t in terms]
    error = np.std(elbos) / math.sqrt(len(elbos))
    assert abs(np.mean(elbos) - bounds[0][0]) < 4 * math.hypot(error, bounds[0][1])
    assert bounds[0][0] < bounds[1][0] < bounds[2][0]
