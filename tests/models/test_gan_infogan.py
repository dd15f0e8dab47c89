r"""InfoGAN: the bounds, that nobody looks at a label, what becomes of the codes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from models.gan import infogan
from models.gan.infogan import InfoGAN
from models.gan.networks import Generator, TwoHeaded

pytest.importorskip("matplotlib")

TINY: dict[str, Any] = {"width": 0.125, "latent": 7}


def game(**options: Any) -> InfoGAN:
    config = infogan.Config(**{**TINY, **options})
    one = InfoGAN(config, "cpu", Generator(19, 0.125), TwoHeaded(12, 0.125))
    one.generator.train()
    return one


def values(module: nn.Module) -> dict[str, bytes]:
    return {n: v.detach().numpy().tobytes() for n, v in module.state_dict().items()}


def test_parameter_counts() -> None:
    statistics = 2 * (128 + 128 + 64 + 32)  # batch norm's, which the sources count
    assert sum(p.numel() for p in Generator(74, 1.0).parameters()) + statistics == 1_138_433
    assert sum(p.numel() for p in TwoHeaded(12, 1.0).parameters()) == 1_606_541


@pytest.mark.parametrize("codes, variance", [("uniform", 1 / 3), ("normal", 1 / 4)])
def test_what_the_generator_is_given(codes: Any, variance: float) -> None:
    mg.manual_seed(0)
    one = game(codes=codes)
    z, c, u = one.draw(5000)
    assert (z.shape, c.shape, u.shape) == ((5000, 7), (5000, 10), (5000, 2))
    assert (c.numpy().sum(1) == 1).all() and abs(c.numpy().mean(0) - 0.1).max() < 0.02
    assert abs(u.numpy().mean()) < 0.02 and abs(u.numpy().var(0) - variance).max() < 0.02
    assert one.draw(3, mg.tensor([7, 0, 7]))[1].argmax(1).tolist() == [7, 0, 7]


# -------------------------------------------------------------------------------------- the bounds
def test_entropies() -> None:
    """Of ten classes ln 10; of two uniform codes 2 ln 2, of two normal ones ln(2 pi e / 4)."""
    assert game().entropies() == pytest.approx((math.log(10), 2 * math.log(2)))
    assert game(codes="normal").entropies()[1] == pytest.approx(math.log(math.pi * math.e / 2))


@settings(max_examples=25)
@given(seed=st.integers(0, 1000), scale=st.floats(0, 30))
def test_the_class_bound_is_at_most_ln_10(seed: int, scale: float) -> None:
    """Whatever Q says; and 0 for a Q that says one in ten."""
    one, rng = game(), np.random.default_rng(seed)
    inputs = one.draw(20)
    answer = mg.tensor(scale * rng.normal(size=(20, 12)), dtype=mg.float32)
    figures = one.information(answer, inputs)[1]
    assert figures["class_information"].item() <= math.log(10) + 1e-6
    nothing = one.information(mg.zeros(20, 12), inputs)[1]["class_information"]
    assert nothing.item() == pytest.approx(0, abs=1e-6)
    sure = mg.cat([60 * inputs[1], mg.zeros(20, 2)], 1)
    assert one.information(sure, inputs)[1]["class_information"].item() == pytest.approx(
        math.log(10)
    )


@pytest.mark.parametrize("deviation", [0.1, 0.2, 0.4])
def test_the_bound_of_the_codes_is_tight_at_the_posterior(deviation: float) -> None:
    """x = u + N(0, .25^2) with u ~ N(0, .5^2): I(u; x) = 1/2 ln(1 + .5^2 / .25^2) for each code,
    and the posterior is N(.8 x, .05). 50,000 draws."""
    mg.manual_seed(0)
    one = game(codes="normal", deviation=deviation)
    inputs = one.draw(50_000)
    mean = 0.8 * (inputs[2] + 0.25 * mg.randn(50_000, 2))
    answer = mg.cat([mg.zeros(50_000, 10), mean], 1)
    bound = one.information(answer, inputs)[1]["code_information"].item()
    exact, posterior = math.log(5), 0.05
    # E ln Q falls short by the KL of two normal distributions that differ in their variances.
    gap = posterior / deviation**2 - 1 - math.log(posterior / deviation**2)
    assert gap >= 0 and bound == pytest.approx(exact - gap, abs=0.03 + 0.01 * gap)
    best = game(codes="normal", deviation=math.sqrt(posterior))
    tight = best.information(answer, inputs)[1]["code_information"].item()
    assert tight == pytest.approx(exact, abs=0.02) and tight > bound - 0.01


def test_the_popular_loss_of_a_code_is_no_bound() -> None:
    """-mean(u ln q) with a sigmoid q: for codes below 0 it falls without end as q falls, so what Q
    learns of them is to say 0, and no number of nats comes out."""
    u = mg.full((5,), -0.5)
    losses = [-(u * nn.functional.logsigmoid(mg.full((5,), x))).mean().item() for x in (0, -9, -99)]
    assert losses[0] > losses[1] + 4 > losses[2] + 40
    # Q's normal distribution is sharpest where it says the code.
    one = game()
    inputs = (mg.zeros(5, 7), mg.zeros(5, 10), mg.full((5, 2), -0.5))
    bounds = [
        one.log_q(mg.cat([mg.zeros(5, 10), mg.full((5, 2), x)], 1), inputs)[1].item()
        for x in (-0.6, -0.5, -0.4)
    ]
    assert bounds[1] > bounds[0] == pytest.approx(bounds[2])


# -------------------------------------------------------------------------------- without a label
def test_no_label_of_a_real_image_is_looked_at() -> None:
    """The same steps, to the last bit, with the labels, with wrong ones, without."""
    after = []
    for labels in (mg.arange(20) % 10, mg.zeros(20, dtype=mg.int64), None):
        mg.manual_seed(0)
        one = game()
        real = mg.rand(20, 1, 28, 28)
        for _ in range(2):
            one.discriminator_step(real, labels)  # type: ignore[arg-type]
            one.generator_step(20)
        after.append((values(one.generator), values(one.discriminator)))
    assert after[0] == after[1] == after[2]


def test_q_learns_from_generated_images_only() -> None:
    """Its head's gradient is the same whatever the real images are, and so is what it is told."""
    gradients = []
    for seed in (1, 2):
        mg.manual_seed(0)
        one = game()
        inputs = one.draw(20)
        fake = one.generator(*inputs).detach()
        real = mg.rand(20, 1, 28, 28, generator=mg.Generator(seed))
        loss, _ = one.discriminator_loss(real, None, fake, inputs)
        loss.backward()
        gradients.append([p.grad.numpy().copy() for p in one.discriminator.answer.parameters()])  # type: ignore[union-attr]
        assert any(abs(g).max() > 0 for g in gradients[-1])
        assert abs(one.discriminator.score.weight.grad.numpy()).max() > 0  # type: ignore[union-attr]
    for a, b in zip(*gradients):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-9)


def test_who_stands_still() -> None:
    one = game()
    g, d = values(one.generator), values(one.discriminator)
    one.discriminator_step(mg.rand(20, 1, 28, 28), mg.arange(20))
    assert values(one.generator) == g and not d.items() & values(one.discriminator).items()
    g, d = values(one.generator), values(one.discriminator)
    one.generator_step(20)
    assert values(one.discriminator) == d and not g.items() & values(one.generator).items()


# ------------------------------------------------------------------------ what became of the codes
class Strokes(nn.Module):
    """A generator that is known: an upright stroke whose slant is the first code."""

    def forward(self, z: mg.Tensor, c: mg.Tensor, u: mg.Tensor) -> mg.Tensor:
        y, x = np.mgrid[0:28, 0:28] - 13.5
        slant = u.numpy()[:, 0, None, None]
        noise = 0.5 + 0.5 * abs(z.numpy()[:, 0, None, None])
        images = noise * np.exp(-0.5 * ((x + slant * y) / 2) ** 2 - 0.5 * (y / 5) ** 2)
        return mg.tensor(images[:, None], dtype=mg.float32)


def test_effects_of_a_known_generator() -> None:
    one = game()
    one.shown = Strokes()
    found = infogan.effects(one, 1000)
    assert found["code_1_slant"] > 0.99 and found["code_correlation"] == found["code_1_slant"]
    assert abs(found["code_2_slant"]) < 0.15 and abs(found["code_2_width"]) < 0.15
    images = infogan.traverse(one, 0, 20, np.linspace(-1, 1, 9, dtype=np.float32))
    assert images.shape == (20, 9, 1, 28, 28)
    slant, _ = infogan.slant_and_width(images.reshape(-1, 1, 28, 28))
    assert (np.diff(slant.reshape(20, 9), axis=1) > 0.1).all()
    still = infogan.traverse(one, 1, 20, np.linspace(-1, 1, 9, dtype=np.float32))
    assert (still == still[:, :1]).all()


def test_recovery_and_purity_of_a_known_q() -> None:
    """Q reads what is written in the corner of an image: the code, in an order of its own."""
    one, order = game(), np.array([3, 1, 4, 0, 5, 9, 2, 6, 8, 7])

    class Corner(nn.Module):
        def forward(self, z: mg.Tensor, c: mg.Tensor, u: mg.Tensor) -> mg.Tensor:
            x = np.zeros((len(c), 1, 28, 28), np.float32)
            x[:, 0, 0, :10], x[:, 0, 0, 10:12] = c.numpy(), (u.numpy() + 1) / 2
            return mg.tensor(x)

    def read(x: mg.Tensor) -> tuple[mg.Tensor, mg.Tensor]:
        row = x[:, 0, 0]
        return x.mean((1, 2, 3)), mg.cat([60 * row[:, :10], 2 * row[:, 10:12] - 1], 1)

    one.shown = Corner()
    one.discriminator.forward = read  # type: ignore[method-assign]
    found = infogan.recovery(one, 700)
    assert found["code_recovery"] == 1.0
    assert found["class_information"] == pytest.approx(math.log(10), abs=1e-5)
    # Exact means: all but the width of Q is known of the codes.
    peak = 2 * (math.log(2) - 0.5 * math.log(2 * math.pi * 0.5**2))
    assert found["code_information"] == pytest.approx(peak, abs=1e-5)
    labels = np.arange(300) % 10
    images = one.images(one.draw(300, mg.tensor(order[labels])))
    assert infogan.purity(one, mg.tensor(images), mg.tensor(labels)) == 1.0
    wrong = np.where(np.arange(300) < 60, (labels + 1) % 10, labels)
    assert infogan.purity(one, mg.tensor(images), mg.tensor(wrong)) == pytest.approx(0.8)


# ----------------------------------------------------------------------------------------- learning
def test_infogan_learns(tmp_path: Path) -> None:
    """700 steps of 32 images at an eighth of the width: 95 % of the codes read back, 2.1 of 2.303
    nats, and real digits sorted to 25 %. Two seeds gave 100 %, 2.298 and 2.295 nats, 31.8 and
    35.4 %; that is before the codes are digits. Miss: 10 %, 0 nats, 14 % for an untrained Q."""
    small = {"width": 0.125, "batch_size": 32, "epochs": 1, "train_images": 22_400}
    small |= {"validation": 500, "samples": 1000, "schedule": "constant", "ema": 0.99}
    small |= {"width_discriminator": None, "batch_norm": False, "code_weight": 0.5}
    metrics = infogan.train(infogan.Config(out=str(tmp_path / "run"), **small)).metrics
    assert metrics["code_recovery"] >= 0.95
    assert 2.1 <= metrics["class_information"] <= math.log(10) + 1e-6
    assert metrics["purity"] >= 0.25
