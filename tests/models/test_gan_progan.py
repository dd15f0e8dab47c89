r"""ProGAN: a network that grows is at first the one it was, and what keeps it in bounds does so."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.data.images import ImageDataset
from minigrad.testing.strict import strict
from models import judge
from models.gan import progan
from models.gan.progan import PIXELS, Discriminator, Equalised, Generator, down, up

pytest.importorskip("matplotlib")

COUNTS = (8, 6, 4, 2)
TINY: dict[str, Any] = {"filters": COUNTS, "width": 1.0, "latent": 5}


def game(**options: Any) -> progan.ProGAN:
    """With 10 steps at each size: 10 to 14 fade the second one in."""
    return progan.ProGAN(progan.Config(**{**TINY, **options}), "cpu", 10)


def at(network: Any, stage: int, alpha: float = 1.0) -> Any:
    network.stage, network.alpha = stage, alpha
    return network


def values(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, np.ndarray]) -> set[str]:
    return {n for n, v in values(module).items() if v.tobytes() != before[n].tobytes()}


# -------------------------------------------------------------------------------- the networks
def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_sizes() -> None:
    config = progan.Config()
    generator, critic = Generator(100, config.filters), Discriminator(config.filters)
    # 4 x 4: the layer after z, 128-128; then 128-128-128, 128-64-64, 64-32-32; pixels
    convolutions = 9 * (128 * 128 + 2 * 128 * 128 + 128 * 64 + 64 * 64 + 64 * 32 + 32 * 32)
    biases = 128 + 2 * 128 + 2 * 64 + 2 * 32
    assert count(generator) == 101 * 2048 + convolutions + biases + (128 + 128 + 64 + 32) + 4
    assert count(generator) == 788_388
    end = (9 * 129 + 1) * 128 + (16 * 128 + 1) * 128 + 129
    convolutions = 9 * (2 * 128 * 128 + 64 * 64 + 64 * 128 + 32 * 32 + 32 * 64)
    biases = 2 * 128 + 64 + 128 + 32 + 64
    assert count(critic) == end + convolutions + biases + 2 * (128 + 128 + 64 + 32)
    assert count(critic) == 845_537
    # The paper's table: 4.2 million numbers in the layer after z, 2.4 in the next.
    after_z, convolution = (
        count(layer)
        for layer in Generator(512, (512,)).blocks[0].modules()
        if isinstance(layer, Equalised)
    )
    assert round(after_z / 1e6, 1) == 4.2 and round(convolution / 1e6, 1) == 2.4


def test_shapes() -> None:
    generator, critic = Generator(5, COUNTS, 3), Discriminator(COUNTS, 3)
    for stage, pixels in enumerate(PIXELS):
        image = at(generator, stage)(mg.randn(4, 5))
        assert image.shape == (4, 3, pixels, pixels)
        assert 0 <= image.min().item() <= image.max().item() <= 1
        assert at(critic, stage)(image).shape == (4,)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_new_layer_fades_in(stage: int) -> None:
    """At 0 both networks are what they were, to the last bit; at 1 nothing of the old path is left;
    between them it is a straight line."""
    generator, critic = Generator(5, COUNTS), Discriminator(COUNTS)
    z, x = mg.randn(4, 5), mg.rand(4, 1, PIXELS[stage], PIXELS[stage])
    old_image = up(at(generator, stage - 1)(z)).detach().numpy()
    old_score = at(critic, stage - 1)(down(x)).detach().numpy()
    assert at(generator, stage, 0.0)(z).detach().numpy().tobytes() == old_image.tobytes()
    assert at(critic, stage, 0.0)(x).detach().numpy().tobytes() == old_score.tobytes()

    new_image = at(generator, stage, 1.0)(z).detach().numpy()
    new_score = at(critic, stage, 1.0)(x).detach().numpy()
    part = at(generator, stage, 0.25)(z).detach().numpy()
    np.testing.assert_allclose(part, 0.25 * new_image + 0.75 * old_image, rtol=1e-5, atol=1e-6)
    assert abs(new_image - old_image).max() > 0.01 and abs(new_score - old_score).max() > 0.01
    # Near the ends, near the ends' values: no jump.
    for alpha, image, score in ((1e-4, old_image, old_score), (1 - 1e-4, new_image, new_score)):
        near = at(generator, stage, alpha)(z).detach().numpy(), at(critic, stage, alpha)(x).detach()
        np.testing.assert_allclose(near[0], image, atol=1e-3)
        np.testing.assert_allclose(near[1].numpy(), score, atol=5e-3)

    for network in (generator.to_image, critic.from_image):
        for p in network[stage - 1].parameters():
            p.data[...] = np.nan
    assert at(generator, stage, 1.0)(z).detach().numpy().tobytes() == new_image.tobytes()
    assert at(critic, stage, 1.0)(x).detach().numpy().tobytes() == new_score.tobytes()


@pytest.mark.parametrize("shape", [(7, 30), (7, 30, 3, 3)])
def test_the_learning_rate_is_equalised(shape: tuple[int, ...]) -> None:
    """Weights are used times sqrt(2 / fan_in), and a step of Adam changes what is used by the same
    part of it, whatever the layer's size."""
    layer = Equalised(*shape, padding=1)
    fan_in = math.prod(shape[1:])
    x = mg.randn(50, 30) if len(shape) == 2 else mg.randn(50, 30, 6, 6)
    explicit = layer.weight.detach() * (2 / fan_in) ** 0.5
    if len(shape) == 2:
        expected = nn.functional.linear(x, explicit, layer.bias)
    else:
        expected = nn.functional.conv2d(x, explicit, layer.bias, padding=1)
    np.testing.assert_allclose(
        layer(x).detach().numpy(), expected.detach().numpy(), rtol=1e-5, atol=1e-5
    )
    assert abs(layer.weight.detach().numpy().std() - 1) < 0.1

    optimizer = optim.Adam(layer.parameters(), lr=0.01, betas=(0.0, 0.99))
    layer(x).square().mean().backward()
    optimizer.step()
    used = layer.weight.detach().numpy() * (2 / fan_in) ** 0.5
    step = abs(used - explicit.numpy()).mean() / explicit.numpy().std()
    assert abs(step - 0.01) < 0.001


def test_pixel_norm_and_minibatch_deviation() -> None:
    generator, critic = Generator(5, COUNTS), Discriminator(COUNTS)
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    for layer in generator.modules():
        if isinstance(layer, nn.PixelNorm):
            layer.register_forward_hook(
                lambda m, x, y: seen.append((x[0].detach().numpy(), y.detach().numpy()))
            )
    generator(mg.randn(4, 5))
    assert len(seen) == 1 + 2 + 3 * 2  # z, two at 4 x 4, two at each size after it
    for before, after in seen:
        size = (before**2).mean(1)
        np.testing.assert_allclose((after**2).mean(1), size / (size + 1e-8), rtol=1e-4)
        assert (size > 1e-6).mean() > 0.99  # so that it is 1 nearly everywhere

    joined: list[np.ndarray] = []
    critic.blocks[0][0].register_forward_hook(lambda m, i, out: joined.append(out.numpy()))
    with mg.no_grad():
        one = mg.rand(1, 1, 32, 32)
        critic(one.expand(4, 1, 32, 32))
        critic(mg.arange(4).reshape(4, 1, 1, 1).to(mg.float32).expand(4, 1, 32, 32))
    same, different = (maps[:, -1] for maps in joined)
    assert same.max() <= 1.01e-4 < 0.01 < different.min()  # sqrt(1e-8) is 0 here


# ------------------------------------------------------------------------------------ the game
def test_the_schedule() -> None:
    one = game()
    seen = []
    for step in (0, 9, 10, 12, 15, 19, 20, 29, 30, 34, 35, 1000):
        one.before_step(step)
        networks = (one.generator, one.shown, one.discriminator)
        assert {(n.stage, n.alpha) for n in networks} == {(one.stage, one.alpha)}
        seen.append((one.pixels, one.alpha))
    assert seen == [
        *((4, 1.0), (4, 1.0), (8, 0.0), (8, 0.4), (8, 1.0), (8, 1.0)),
        *((16, 0.0), (16, 1.0), (32, 0.0), (32, 0.8), (32, 1.0), (32, 1.0)),
    ]


def test_real_images_fade_in_too() -> None:
    one, x = game(), mg.rand(2, 1, 28, 28)
    framed = nn.functional.pad(x, (2, 2, 2, 2))
    one.before_step(5)
    np.testing.assert_allclose(
        one.shrink(x).numpy()[0, 0, 0, 1], framed.numpy()[0, 0, :8, 8:16].mean(), rtol=1e-5
    )
    one.before_step(30)  # the first step with 32 pixels: as coarse as 16
    assert one.shrink(x).numpy().tobytes() == up(down(framed)).numpy().tobytes()
    one.before_step(35)
    assert one.shrink(x).numpy().tobytes() == framed.numpy().tobytes()
    assert one.real(x).tobytes() == x.numpy().tobytes()  # the border is cut off again


def test_samples_have_the_data_s_size() -> None:
    for step in (0, 12, 25, 40):
        for options, shape in (({}, (1, 28, 28)), ({"data": "cifar"}, (3, 32, 32))):
            one = game(**options)
            one.before_step(step)
            assert one.samples(4)[0].shape == (4, *shape)
    one = game()
    image = one.samples(4)[0][0, 0]  # of 4 x 4 pixels
    assert len(np.unique(image)) <= 16 and (image[:6, :6] == image[0, 0]).all()


class Slope(nn.Module):
    """A critic w . x, whose slope is |w|."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(mg.full((1, 32, 32), 2 / 32))  # |w| = 2

    def forward(self, x: Any) -> Any:
        return (x * self.w).sum((1, 2, 3))


def test_the_loss() -> None:
    one = game(penalty=10.0, drift=0.25)
    one.before_step(40)
    one.discriminator = Slope()
    real, fake = mg.ones(4, 1, 32, 32), mg.zeros(4, 1, 32, 32)  # scores 64 and 0
    loss, figures = one.discriminator_loss(real, mg.arange(4), fake, ())
    assert abs(figures["distance"].item() - 64) < 1e-3
    assert abs(figures["gradient_penalty"].item() - (2 - 1) ** 2) < 1e-4
    assert abs(loss.item() - (-64 + 10 * 1 + 0.25 * 64**2)) < 0.01
    loss.backward()  # d|w|^2-like terms reach w through a gradient
    per_pixel = -1 + 10 * 2 * (2 - 1) * (2 / 32) / 2 + 0.25 * 2 * 64
    np.testing.assert_allclose(one.discriminator.w.grad.numpy(), per_pixel, rtol=1e-4)


@pytest.mark.parametrize(("step", "stage"), [(5, 0), (12, 1), (17, 1), (40, 3)])
def test_who_stands_still(step: int, stage: int) -> None:
    """To the last bit: the other network, and layers that are not there yet or not any more."""
    one = game(ema=0.5)
    one.before_step(step)
    fading = one.alpha < 1

    def used(network: str) -> set[str]:
        blocks = {f"blocks.{i}." for i in range(stage + 1)}
        return blocks | {f"{network}.{i}." for i in ((stage - 1, stage) if fading else (stage,))}

    def belongs(name: str, parts: set[str]) -> bool:
        return any(name.startswith(part) for part in parts)

    x = mg.rand(4, 1, 28, 28)
    for network, pixels, take in (
        (one.discriminator, "from_image", lambda: one.discriminator_step(x, mg.arange(4))),
        (one.generator, "to_image", lambda: one.generator_step(4)),
    ):
        before = {n: values(n) for n in (one.generator, one.discriminator)}
        take()
        for other in before:
            moved = changed(other, before[other])
            wanted = {n for n in before[other] if belongs(n, used(pixels))}
            assert moved == (wanted if other is network else set())


def test_a_step_does_not_wait_while_a_layer_fades_in() -> None:
    one = progan.ProGAN(progan.Config(**TINY), "strict", 10)
    x, y = mg.rand(4, 1, 28, 28, device="strict"), mg.arange(4, device="strict")
    with strict.count() as counts:
        for step in (9, 10, 12, 32):
            one.before_step(step)
            one.discriminator_step(x, y)
            one.generator_step(4)
    assert counts.synchronisations == 0


# ------------------------------------------------------------------------------------ the runs
RUN: dict[str, Any] = {
    **TINY,
    "epochs": 4,
    "train_images": 40,
    "validation": 20,
    "test_images": 20,
    "batch_size": 20,
    "samples": 20,
    "ema": 0.5,
}


def test_a_run_that_is_resumed_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes no step, and yet knows how far it has grown."""
    monkeypatch.setattr(judge, "verdict", lambda images: {"judge_score": judge.score(images)})
    results = [
        progan.train(progan.Config(**RUN, out=str(tmp_path / "run"), resume=resume))
        for resume in (False, True)
    ]
    assert results[0].metrics == results[1].metrics
    assert [line["pixels"] for line in results[0].history] == [4, 8, 16, 32]
    for pixels in PIXELS:
        assert (tmp_path / "run" / f"stage-{pixels:02d}.png").exists()
        for name in ("judge_score", "real_score"):
            assert 1 <= results[0].metrics[f"{name}_{pixels}"] <= 10


class Colours(ImageDataset):
    """In the place of CIFAR-10: every image is of one colour."""

    def __init__(self, train: bool) -> None:
        super().__init__()
        shades = np.random.default_rng(int(train)).integers(0, 255, (60, 3, 1, 1))
        self.images = np.broadcast_to(shades, (60, 3, 32, 32)).astype(np.uint8)
        self.labels = np.arange(60)


def test_colours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progan, "CIFAR10", Colours)
    result = progan.train(progan.Config(**RUN, data="cifar", out=str(tmp_path / "run")))
    assert result.metrics["energy_floor"] < result.metrics["energy_noise"]
    assert math.isfinite(result.metrics["energy_distance"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 30}, "batch_size: expected a multiple of 4, got 30"),
        ({"filters": (8, 8)}, "filters: expected 4 positive numbers"),
        ({"stage_epochs": 0}, "stage_epochs: expected a number >= 1, got 0"),
        ({"drift": -1.0}, "drift: expected a number >= 0"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        progan.Config(**options)


def test_it_learns_up_to_16_pixels(tmp_path: Path) -> None:
    """400 steps at each of 4, 8 and 16 pixels with an eighth of the filters. Seeds 0 and 1: scores
    of 2.2 and 2.4 at 8 pixels, 3.8 and 3.6 at 16; distances of at most 0.07, 0.25 and 1.9.
    Untrained: scores up to 1.5, distances of 1.3, 4.0 and 10.9."""
    config = progan.Config(
        width=0.125,
        latent=32,
        lr=3e-3,
        ema=0.99,
        train_images=6400,
        epochs=3,
        validation=1000,
        samples=500,
        out=str(tmp_path / "run"),
    )
    result = progan.train(config)
    found = result.metrics
    assert found["judge_score_8"] >= 1.8 and found["judge_score_16"] >= 3
    assert [round(found[f"real_score_{pixels}"]) for pixels in (4, 8, 16)] == [2, 4, 9]
    for line, bar in zip(result.history, (0.2, 0.8, 4.0), strict=True):
        assert line["val_frechet"] <= bar


@pytest.mark.slow
def test_it_learns_up_to_32_pixels(tmp_path: Path) -> None:
    """1000 steps at 4, 8 and 16 pixels, 2000 at 32, a quarter of the filters. Seed 0: a score of
    4.6 after 4000 steps, 6.0 at the end. Untrained: up to 1.5; real digits: 9.7."""
    config = progan.Config(
        width=0.25, lr=2e-3, train_images=16_000, epochs=5, out=str(tmp_path / "run")
    )
    assert progan.train(config).metrics["judge_score_32"] >= 5
