r"""The autoencoders: their sizes, the mathematics behind them, and that they learn."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import CIFAR10, TensorDataset
from minigrad.train import Run
from models.autoencoders import (
    colourisation,
    common,
    conv,
    conv_pool,
    deep,
    denoising,
    denoising_classifier,
    dense,
    plain,
    plane,
    plane_classifier,
    state,
)

pytest.importorskip("matplotlib")


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_parameter_counts() -> None:
    assert count(plain.LinearAutoencoder()) == 17
    assert count(dense.DenseAutoencoder()) == 50_992
    assert count(deep.DeepAutoencoder()) == 222_384
    assert count(conv_pool.PoolAutoencoder()) == 739_073
    assert (count(conv.Encoder()), count(conv.Decoder())) == (69_008, 108_993)
    assert count(conv.ConvAutoencoder()) == 178_001
    assert count(plane.plane_autoencoder()) == 218_514
    assert count(plane_classifier.ClassifyingAutoencoder()) == 218_514 + 30
    network = denoising_classifier.Network()
    parts = [count(part) for part in (network.encoder, network.decoder, network.classifier)]
    assert parts == [69_074, 109_249, 142_602]
    colour = colourisation.ColourAutoencoder()
    assert (count(colour.encoder), count(colour.decoder)) == (1_418_496, 2_013_315)
    assert count(colour) == 3_431_811
    assert count(state.StateAutoencoder()) == 75_554


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (dense.DenseAutoencoder, (32,)),
        (deep.DeepAutoencoder, (32,)),
        (conv_pool.PoolAutoencoder, (256, 7, 7)),
        (conv.ConvAutoencoder, (16,)),
        (plane.plane_autoencoder, (2,)),
        (plane_classifier.ClassifyingAutoencoder, (2,)),
        (denoising_classifier.Network, (16,)),
    ],
)
def test_shapes(make: Any, code: tuple[int, ...]) -> None:
    model, x = make(), mg.rand(3, 1, 28, 28)
    z = model.encoder(x)
    assert z.shape == (3, *code) and model(x).shape == x.shape
    restored = model.reconstruct(x).detach().numpy()
    assert restored.shape == x.shape and 0 < restored.min() and restored.max() < 1
    np.testing.assert_array_equal(model.eval().decode(z).shape, x.shape)


# ------------------------------------------------------------------------------------ the losses
unit = st.floats(0.0, 1.0)


@given(
    x=hnp.arrays(np.float64, (2, 1, 3, 3), elements=unit),
    logits=hnp.arrays(np.float64, (2, 1, 3, 3), elements=st.floats(-30, 30)),
)
def test_losses_are_means_over_pixels(x: np.ndarray, logits: np.ndarray) -> None:
    p = 1 / (1 + np.exp(-logits))
    mse = common.squared_error(mg.tensor(logits), mg.tensor(x)).item()
    assert mse == pytest.approx(((p - x) ** 2).mean(), abs=1e-12)
    softplus = np.log1p(np.exp(-abs(logits))) + np.maximum(logits, 0)
    bce = common.cross_entropy(mg.tensor(logits), mg.tensor(x)).item()
    assert bce == pytest.approx((softplus - x * logits).mean(), rel=1e-9, abs=1e-12)


@given(x=hnp.arrays(np.float64, (3, 1, 2, 2), elements=unit))
def test_no_cross_entropy_is_below_the_pixels_entropy(x: np.ndarray) -> None:
    """And perfect reconstructions reach it."""
    floor = common.pixel_entropy(TensorDataset(x))
    assert 0 <= floor <= math.log(2)
    with np.errstate(divide="ignore"):
        perfect = np.clip(np.log(x) - np.log1p(-x), -700, 700)
    bce = common.cross_entropy(mg.tensor(perfect), mg.tensor(x)).item()
    assert bce == pytest.approx(floor, abs=1e-9)
    for shift in (-0.5, 0.5):
        assert common.cross_entropy(mg.tensor(perfect + shift), mg.tensor(x)).item() >= floor - 1e-9


def test_the_entropy_of_mnist() -> None:
    """45.5 nats an image, as the docstrings say."""
    data = conv_pool.load_mnist(1)[2]
    assert 784 * common.pixel_entropy(data) == pytest.approx(45.5, abs=0.05)


# ------------------------------------------------------------- three numbers through two, linear
def test_plane_angle() -> None:
    a = np.eye(3)[:, :2]
    turned = a @ np.array([[2.0, 1.0], [0.0, 0.3]])  # another basis of the same plane
    assert plain.plane_angle(a, turned) == pytest.approx(0, abs=1e-6)
    t = math.radians(30)
    tilted = np.array([[1, 0], [0, math.cos(t)], [0, math.sin(t)]])
    assert plain.plane_angle(a, tilted) == pytest.approx(30)
    assert plain.plane_angle(a, np.eye(3)[:, 1:]) == pytest.approx(90)


def test_the_exact_solution_is_a_minimum_and_saddles_are_none() -> None:
    """At the principal plane, in any basis, the gradient is 0; at the plane of the first and the
    third direction too, but there a small turn helps (Baldi and Hornik)."""
    x = plain.make_points(2000, 0.1, mg.Generator(0)).astype(np.float64)
    x -= x.mean(0)
    vectors = np.linalg.eigh(x.T @ x)[1][:, ::-1]
    mix = np.array([[1.3, 0.4], [-0.2, 0.7]])

    def loss_and_gradient(decoder: np.ndarray) -> tuple[float, float]:
        model = plain.LinearAutoencoder().to(mg.float64)
        encoder = np.linalg.pinv(decoder)
        for parameter, value in zip(model.parameters(), (encoder, 0, decoder, 0)):
            parameter.data[...] = value
        loss = plain.objective(model, (mg.tensor(x),))["mse"]
        loss.backward()
        return loss.item(), max(abs(p.grad.numpy()).max() for p in model.parameters())

    best, gradient = loss_and_gradient(vectors[:, :2] @ mix)
    least = np.linalg.eigvalsh(x.T @ x / len(x))[0] / 3
    assert best == pytest.approx(least) and gradient < 1e-12
    saddle, gradient = loss_and_gradient(vectors[:, [0, 2]] @ mix)
    assert saddle > 2 * best and gradient < 1e-12
    turned = vectors[:, [0, 2]].copy()
    turned[:, 1] += 0.1 * vectors[:, 1]
    assert loss_and_gradient(turned @ mix)[0] < saddle


# ---------------------------------------------------------------------------- the latent plane
def test_a_relu_at_the_end_leaves_a_quadrant() -> None:
    """A linear code goes in all directions. Behind a ReLU it is in the quadrant z >= 0, and on an
    axis where a unit is not active; the popular explanation of that picture is by the images."""
    x = mg.randn(500, 1, 28, 28)
    linear, relu = (
        plane.plane_autoencoder(kind).encoder(x).detach().numpy() for kind in ("linear", "relu")
    )
    assert plane.share_on_axes(linear) == 0 and linear.min() < 0
    assert relu.min() == 0 and plane.share_on_axes(relu) > 0.2
    assert plane.share_on_axes(np.array([[0.0, 1.0], [2.0, 3.0], [0.0, 0.0], [-1, 2]])) == 0.5


def test_both_heads_see_one_code() -> None:
    """Each loss reaches the encoder, and its own head only; the weight is the classifier's."""
    model = plane_classifier.ClassifyingAutoencoder()
    batch = (mg.rand(8, 1, 28, 28), mg.arange(8))
    values = plane_classifier.make_objective(0.1)(model, batch, None)
    total = values["mse"].item() + 0.1 * values["label_loss"].item()
    assert values["loss"].item() == pytest.approx(total, rel=1e-6)
    for name, own, other in (
        ("mse", model.decoder, model.classifier),
        ("label_loss", model.classifier, model.decoder),
    ):
        model.zero_grad()
        plane_classifier.make_objective(0.1)(model, batch, None)[name].backward()
        assert all(p.grad is not None for part in (model.encoder, own) for p in part.parameters())
        assert all(p.grad is None for p in other.parameters())


# ------------------------------------------------------------------------------------ the noise
def test_noise_is_clipped_and_fresh() -> None:
    x = mg.rand(50, 1, 28, 28)
    noisy = denoising.add_noise(x).numpy()
    assert noisy.dtype == np.float32 and noisy.min() == 0 and noisy.max() == 1
    assert not np.array_equal(noisy, denoising.add_noise(x).numpy())
    one, same = (denoising.add_noise(x, generator=mg.Generator(3)).numpy() for _ in range(2))
    np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(denoising.add_noise(x, 0.0, 0.0).numpy(), x.numpy())


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_noise_has_the_moments_it_should(seed: int) -> None:
    """A background pixel is clip(e, 0, 1), e ~ N(.5, .5): by symmetry its mean is .5, and 0 and 1
    have a probability of Phi(-1) = .1587 each."""
    noisy = denoising.add_noise(mg.zeros(100_000), generator=mg.Generator(seed)).numpy()
    error = noisy.std() / math.sqrt(len(noisy))
    assert abs(noisy.mean() - 0.5) < 3 * error
    for end in (0, 1):
        error = math.sqrt(0.1587 * 0.8413 / len(noisy))
        assert abs((noisy == end).mean() - 0.1587) < 3 * error


class Echo(nn.Module):
    """Gives its input back as logits of it, and remembers it."""

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        self.seen = x
        p = x.clip(1e-6, 1 - 1e-6)
        return (p / (1 - p)).log()


def test_the_target_is_the_clean_image() -> None:
    """A network that copies has the error of the noise, not 0."""
    echo, x = Echo(), mg.rand(20, 1, 28, 28)
    value = denoising.make_objective(0.5, 0.5)(echo, (x, None), None)["mse"].item()
    assert value == pytest.approx(((echo.seen.numpy() - x.numpy()) ** 2).mean(), rel=1e-3)
    assert value > 0.1 and not np.array_equal(echo.seen.numpy(), x.numpy())


def test_evaluating_is_repeatable_and_does_not_disturb_training() -> None:
    model, objective = conv.ConvAutoencoder(), denoising.make_objective(0.5, 0.5)
    batches = [(mg.rand(7, 1, 28, 28), mg.zeros(7)), (mg.rand(3, 1, 28, 28), mg.zeros(3))]
    mg.manual_seed(5)
    first = common.evaluate(model, objective, batches)
    after = mg.rand(4).numpy()
    mg.manual_seed(5)
    np.testing.assert_array_equal(mg.rand(4).numpy(), after)
    assert common.evaluate(model, objective, batches) == first and model.training
    # Weighted by the size of the batches.
    plain_means = [common.evaluate(model, conv.objective, [batch])["mse"] for batch in batches]
    together = common.evaluate(model, conv.objective, batches)["mse"]
    assert together == pytest.approx(0.7 * plain_means[0] + 0.3 * plain_means[1], rel=1e-6)


def test_linear_errors() -> None:
    """Noise of no width and mean .25 costs .0625, and a linear map takes it off again."""
    x = np.random.default_rng(0).uniform(0.2, 0.6, (300, 1, 4, 4)).astype(np.float32)
    noisy, linear = denoising.linear_errors(TensorDataset(x[:200]), TensorDataset(x), 0.25, 0.0)
    assert noisy == pytest.approx(0.0625, rel=1e-4) and linear < 1e-6


# -------------------------------------------------------------------------------------- the run
class Constant(nn.Module):
    """One number for everything; the best is the mean of the targets."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(mg.zeros(1))

    def forward(self, x: mg.Tensor) -> mg.Tensor:
        return self.value.expand(*x.shape)


def constants(*values: float) -> list[TensorDataset]:
    return [TensorDataset(np.full((4, 1), value, np.float32)) for value in values]


def squared(model: Any, batch: Any, generator: Any) -> dict[str, mg.Tensor]:
    return {"mse": ((model(batch[0]) - batch[0]) ** 2).mean(), "value": model.value.sum()}


def test_the_epoch_is_chosen_on_validation_data(tmp_path: Path) -> None:
    """Training pulls the number from 0 to 1, validation likes it at .5, the test data at 1: the
    run must come back with about .5, and report what that is worth on the test data."""
    config = conv.Config(out=str(tmp_path), epochs=20, lr=0.1, batch_size=4, schedule="constant")
    run, model = Run(config), Constant()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    found = common.train_autoencoder(run, model, squared, config, constants(1.0, 0.5, 1.0), sgd)
    assert model.value.item() == pytest.approx(0.5, abs=0.06)
    assert 1 < found["best_epoch"] < 10
    assert found["test_mse"] == pytest.approx((1 - model.value.item()) ** 2, rel=1e-5)
    assert found["val_mse"] == pytest.approx((0.5 - model.value.item()) ** 2, rel=1e-4)


def test_schedules(tmp_path: Path) -> None:
    """Where validation never gets better: plateau divides the rate by sqrt(10) after 6 epochs of no
    gain; cosine ends at 0; constant stays."""
    rates = {}
    for schedule in ("constant", "cosine", "plateau"):
        config = conv.Config(
            out=str(tmp_path / schedule), epochs=8, lr=0.01, batch_size=4, schedule=schedule
        )
        run, model = Run(config), Constant()
        sgd = optim.SGD(model.parameters(), lr=0.01)
        data = constants(1.0, -1.0, 1.0)
        common.train_autoencoder(run, model, squared, config, data, sgd)
        rates[schedule] = sgd.param_groups[0]["lr"]
    assert rates["constant"] == 0.01 and rates["cosine"] == pytest.approx(0, abs=1e-12)
    assert rates["plateau"] == pytest.approx(0.01 / math.sqrt(10))


def test_another_value_may_choose_the_epoch(tmp_path: Path) -> None:
    config = conv.Config(out=str(tmp_path), epochs=5, lr=0.1, batch_size=4, schedule="constant")
    run, model = Run(config), Constant()
    sgd = optim.SGD(model.parameters(), lr=0.1)
    found = common.train_autoencoder(
        run, model, squared, config, constants(1.0, 1.0, 1.0), sgd, choose_by="value"
    )
    assert found["best_epoch"] == 1 and "val_value" in found and "val_mse" not in found


def test_fashion_mnist_is_taken_where_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    assert conv_pool.choose_data("auto")[0] == "mnist"
    assert "Fashion-MNIST is not here" in capsys.readouterr().out
    assert conv_pool.choose_data("mnist")[0] == "mnist" and capsys.readouterr().out == ""
    with pytest.raises(FileNotFoundError, match="fashion_mnist"):
        conv_pool.choose_data("fashion")


# ----------------------------------------------------------------------------------- the colours
def test_brightness_is_kept() -> None:
    y = mg.rand(2, 1, 32, 32)
    given = colourisation.ColourAutoencoder("given")
    np.testing.assert_allclose(
        colourisation.to_grey(given(y)).detach().numpy(), y.numpy(), atol=1e-6
    )
    predicted = colourisation.ColourAutoencoder("predicted")
    difference = colourisation.to_grey(predicted(y)).detach().numpy() - y.numpy()
    assert abs(difference).mean() > 0.1
    grey = mg.full((1, 3, 2, 2), 0.3)
    np.testing.assert_allclose(colourisation.to_grey(grey).numpy(), 0.3, rtol=1e-6)


def test_structural_similarity_is_the_formula() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 1, 3, 13, 12))
    line = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    w = np.outer(line, line)
    w /= w.sum()
    values = []
    for c in range(3):
        for i in range(3):
            for j in range(2):
                p, q = a[0, c, i : i + 11, j : j + 11], b[0, c, i : i + 11, j : j + 11]
                m_p, m_q = (w * p).sum(), (w * q).sum()
                v_p, v_q = (w * (p - m_p) ** 2).sum(), (w * (q - m_q) ** 2).sum()
                cov = (w * (p - m_p) * (q - m_q)).sum()
                values.append(
                    (2 * m_p * m_q + 1e-4)
                    * (2 * cov + 9e-4)
                    / ((m_p**2 + m_q**2 + 1e-4) * (v_p + v_q + 9e-4))
                )
    found = colourisation.structural_similarity(mg.tensor(a), mg.tensor(b))
    np.testing.assert_allclose(found.numpy(), [np.mean(values)], rtol=1e-9)
    same = colourisation.structural_similarity(mg.tensor(a), mg.tensor(a))
    np.testing.assert_allclose(same.numpy(), 1.0)


def test_what_grey_and_perfect_colours_measure(tmp_path: Path) -> None:
    run = Run(colourisation.Config(out=str(tmp_path)))
    x = np.random.default_rng(0).random((20, 3, 16, 16)).astype(np.float32)

    class Grey(nn.Module):
        def forward(self, y: mg.Tensor) -> mg.Tensor:
            return y.expand(len(y), 3, 16, 16)

    class Perfect(nn.Module):
        def forward(self, y: mg.Tensor) -> mg.Tensor:
            return mg.tensor(x)

    grey = colourisation.measure(run, Grey(), TensorDataset(x))
    assert grey["below_grey"] == pytest.approx(0, abs=1e-6)
    assert grey["ssim"] == pytest.approx(grey["grey_ssim"]) and grey["saturation"] < 1e-3
    perfect = colourisation.measure(run, Perfect(), TensorDataset(x))
    assert perfect["below_grey"] == 1 and perfect["ssim"] == pytest.approx(1)
    assert perfect["correlation"] == pytest.approx(1) == perfect["saturation"]


# ------------------------------------------------------------------------------------ the states
def test_states_fill_the_box() -> None:
    pytest.importorskip("gymnasium")
    low, high = state.mountain_car_box()
    np.testing.assert_allclose([low, high], [[-1.2, -0.07], [0.6, 0.07]])
    states = state.draw_states(5000, mg.Generator(0))
    assert (states >= low).all() and (states <= high).all() and states.dtype == np.float32
    np.testing.assert_allclose(states.var(0), (high - low) ** 2 / 12, rtol=0.05)
    scaled = state.Scale(low, high)(mg.tensor(states)).numpy()
    assert scaled.min() == pytest.approx(-1, abs=1e-2) and scaled.max() == pytest.approx(
        1, abs=1e-2
    )


def test_a_raw_error_hides_the_velocity() -> None:
    """Forgetting the velocity altogether costs .0008 on raw states, and a sixth scaled."""
    states = state.draw_states(100_000, mg.Generator(0))
    forgetful = states * [1, 0]
    raw = ((forgetful - states) ** 2).mean()
    assert raw == pytest.approx(0.07**2 / 3 / 2, rel=0.02) and raw < 0.001
    r2 = state.r2_score(forgetful, states)
    assert r2[0] == 1 and abs(r2[1]) < 1e-3
    scale = state.Scale(*state.mountain_car_box())
    x, y = (scale(mg.tensor(s.astype(np.float32))).numpy() for s in (states, forgetful))
    assert ((x - y) ** 2).mean() == pytest.approx(1 / 6, rel=0.02)


def test_a_frozen_encoder_stays_as_it_is() -> None:
    model = state.StateAutoencoder()
    frozen = state.frozen_encoder(model)
    before = {name: value.numpy().copy() for name, value in frozen.state_dict().items()}
    head = nn.Linear(32, 1)
    trainable = [p for part in (frozen, head) for p in part.parameters() if p.requires_grad]
    assert len(trainable) == 2
    optimizer = optim.Adam(trainable, lr=0.1)
    for _ in range(3):
        (head(frozen(mg.rand(16, 2))) ** 2).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, value in frozen.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[name])
    assert all(p.requires_grad for p in model.parameters())
    model.encoder[1].weight.data += 1
    np.testing.assert_array_equal(frozen.state_dict()["1.weight"].numpy(), before["1.weight"])


# ------------------------------------------------------------------------------------ learning
# Budgets and bars. A bar is the mean of the seeds it was calibrated with, and three standard
# deviations, and always better than the *miss*: what a wrong or trivial method reaches.
FEW = {"train_images": 10_000, "batch_size": 32}


def test_plain_finds_the_principal_plane(tmp_path: Path) -> None:
    """200 epochs: at most 2 % above PCA, and its plane within 2 degrees. Three seeds gave .04, -.5
    and .06 % (PCA is fitted to other points) and .1 to .2 degrees. Miss: the mean has 100 times the
    error; two directions at random are 40 degrees off."""
    metrics = plain.train(plain.Config(out=str(tmp_path))).metrics
    assert -0.02 < metrics["over_pca"] <= 0.02 and metrics["angle_to_pca"] <= 2


def test_dense_learns(tmp_path: Path) -> None:
    """10,000 images, 12 epochs: at most .100 nats a pixel, and a squared error of .0125, although
    that is not what was minimised. Three seeds gave .0962 to .0976 and .0110 to .0114. Miss: the
    mean image .263 nats; PCA with as many numbers .0169; below .058 nats there is an error."""
    metrics = dense.train(dense.Config(out=str(tmp_path), epochs=12, **FEW)).metrics
    assert 0.058 < metrics["test_bce"] <= 0.100 and metrics["test_mse"] <= 0.0125


def test_plane_learns(tmp_path: Path) -> None:
    """10,000 images, 8 epochs: at most .045, and 63 % of the digits recognised in the plane. Three
    seeds gave .0437 to .0442 and 66 to 69 %. Miss: PCA with two numbers .0557."""
    metrics = plane.train(plane.Config(out=str(tmp_path), epochs=8, **FEW)).metrics
    assert metrics["test_mse"] <= 0.045 < 0.055 < metrics["pca_mse"]
    assert metrics["knn_accuracy"] >= 0.63 and metrics["on_axes"] == 0


def test_plane_classifier_learns(tmp_path: Path) -> None:
    """10,000 images, 8 epochs: 91.5 % from two numbers, and a squared error of .049. Three seeds
    gave 92.1 to 92.4 % and .0479 to .0484. Miss: 69 % without the second loss, PCA .0557."""
    config = plane_classifier.Config(out=str(tmp_path), epochs=8, **FEW)
    metrics = plane_classifier.train(config).metrics
    assert metrics["test_accuracy"] >= 0.915 and metrics["test_mse"] <= 0.049


def test_conv_learns(tmp_path: Path) -> None:
    """10,000 images, 2 epochs: at most .0193. Three seeds gave .0180, .0171 and .0181. Miss: PCA
    with as many numbers .0269, .0254 with its values cut to [0, 1]."""
    metrics = conv.train(conv.Config(out=str(tmp_path), epochs=2, **FEW)).metrics
    assert metrics["test_mse"] <= 0.0193 < 0.0254 < metrics["pca_mse"]


def test_state_learns(tmp_path: Path) -> None:
    """20,000 states, 3 epochs: R² of .999 for both coordinates. Three seeds gave .9999 or more.
    Miss: 0 for the coordinate that is ignored."""
    pytest.importorskip("gymnasium")
    config = state.Config(out=str(tmp_path), epochs=3, train_samples=20_000)
    metrics = state.train(config).metrics
    assert min(metrics["position_r2"], metrics["velocity_r2"]) >= 0.999


@pytest.mark.slow
def test_denoising_learns(tmp_path: Path) -> None:
    """10,000 images, 5 epochs: at most .019. One seed gave .0167. Miss: the best linear denoiser
    .0267 from as many images, .025 from all; the noisy images themselves .329."""
    config = denoising.Config(out=str(tmp_path), epochs=5, **FEW)
    metrics = denoising.train(config).metrics
    assert metrics["test_mse"] <= 0.019 < metrics["linear_mse"]


@pytest.mark.slow
@pytest.mark.skipif(not CIFAR10.available(), reason="CIFAR-10 is not here")
def test_colourisation_learns(tmp_path: Path) -> None:
    """2,000 photographs, 2 epochs: at least 8.5 % below the grey copy. One seed gave 10.2 % and a
    correlation of .32. Miss: 0 for the grey copy, 7 % for a constant tint."""
    config = colourisation.Config(
        out=str(tmp_path), data="cifar", epochs=2, train_images=2000, test_images=2000
    )
    metrics = colourisation.train(config).metrics
    assert metrics["cifar_below_grey"] >= 0.085 and metrics["cifar_correlation"] > 0.25
    assert metrics["cifar_ssim"] > metrics["cifar_grey_ssim"]
    assert metrics["cifar_saturation"] < 1  # means of possible colours are pale


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "low", "high"),
    [
        (deep, {}, {"test_bce": 0.083}),
        (conv, {}, {"test_mse": 0.010}),
        (plane, {"knn_accuracy": 0.75}, {"test_mse": 0.039}),
        (plane_classifier, {"test_accuracy": 0.955}, {"test_mse": 0.0445}),
        (denoising, {}, {"test_mse": 0.012}),
        (denoising_classifier, {"test_accuracy": 0.94}, {"test_mse": 0.022}),
        (conv_pool, {}, {"fashion_test_bce": 0.28}),
        (colourisation, {"cifar_below_grey": 0.15}, {"cifar_saturation": 1.0}),
    ],
)
def test_in_full(model: Any, low: dict[str, float], high: dict[str, float], tmp_path: Path) -> None:
    """The runs of models/RESULTS.md, seed 0. Misses: one hidden layer .091; PCA with 16 numbers
    .0269; PCA with two .0557 and 45 %, for the classifier's plane too; the best linear denoiser
    .025, and linear regression on noisy pixels 78 %; the mean image .491; a constant tint 7 %."""
    if model is conv_pool and conv_pool.choose_data("auto")[0] != "fashion":
        pytest.skip("Fashion-MNIST is not here")
    if model is colourisation and not CIFAR10.available():
        pytest.skip("CIFAR-10 is not here")
    metrics = model.train(model.Config(out=str(tmp_path))).metrics
    assert all(metrics[name] >= bar for name, bar in low.items()), metrics
    assert all(metrics[name] <= bar for name, bar in high.items()), metrics
