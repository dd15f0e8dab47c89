r"""What all GANs promise: who stands still does stand still, the losses are what they say, a game
that is over ends in one line. What one model promises is in ``test_gan_<model>.py``."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.nn.adversarial import discriminator_loss, generator_loss
from minigrad.train import Run, RunError
from models.gan import common, dcgan, dcgan_dropout, dcgan_selu
from models.gan.common import EQUILIBRIUM, BodyConfig, Game
from models.gan.networks import Discriminator, Generator, ShallowDiscriminator, one_hot, up

pytest.importorskip("matplotlib")

TINY: dict[str, Any] = {"width": 0.125, "latent": 7}


def game(config: BodyConfig | None = None) -> Game:
    config = config or BodyConfig(**TINY)
    generator = Generator(config.latent, config.width)
    return Game(config, "cpu", generator, Discriminator(*config.judging))


def values(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def changed(module: nn.Module, before: dict[str, np.ndarray]) -> list[str]:
    return [
        n
        for n, v in module.state_dict().items()
        if v.detach().numpy().tobytes() != before[n].tobytes()
    ]


# -------------------------------------------------------------------------------- the networks
def count(module: nn.Module) -> int:
    """As the sources count: batch norm's statistics too."""
    statistics = sum(b.numel() for n, b in module.named_buffers() if "running" in n)
    return sum(p.numel() for p in module.parameters()) + statistics


def test_the_bodies() -> None:
    generator, discriminator = Generator(100, 1.0), Discriminator(1.0)
    assert count(generator) == 1_301_505 and count(discriminator) == 1_080_577
    assert count(Generator(110, 1.0)) == 1_364_225  # with a class beside the noise
    assert count(Generator(74, 1.0)) == 1_138_433  # with InfoGAN's codes
    assert count(Discriminator(1.0, channels=2)) == 1_081_377
    assert count(dcgan_dropout.Generator(100, 1.0)) == 2_330_944
    assert count(dcgan_selu.Generator(32, 1.0)) == 414_209
    assert count(ShallowDiscriminator(1.0)) == 212_865
    x = Generator(7, 0.125)(mg.randn(3, 4), mg.randn(3, 3))
    assert x.shape == (3, 1, 28, 28) and 0 <= x.min().item() <= x.max().item() <= 1
    assert Discriminator(0.125)(x).shape == (3,)
    w = generator.dense.weight.detach().numpy()  # Glorot: uniform up to sqrt(6 / (in + out))
    bound = math.sqrt(6 / (100 + 7 * 7 * 128))
    assert abs(w.max() / bound - 1) < 0.01 and abs(w.std() / bound - 1 / math.sqrt(3)) < 0.01


@pytest.mark.parametrize("kernel", [4, 5])
def test_kernels_and_the_checkerboard(kernel: int) -> None:
    """How many places of the layer before make a pixel: all the same number with 4, not with 5."""
    layer = up(1, 1, 2, kernel)
    nn.init.ones_(layer.weight)
    pixels = layer(mg.ones(1, 1, 8, 8)).detach().numpy()[0, 0, 4:-4, 4:-4]
    assert sorted({round(float(v)) for v in pixels.ravel()}) == ([4] if kernel == 4 else [4, 6, 9])
    assert Generator(7, 0.125, kernel)(mg.randn(2, 7)).shape == (2, 1, 28, 28)


def test_noise_in_the_labels() -> None:
    """With targets t of real and f of generated ones the best score is the logit of their mean."""
    torn = dcgan.DCGAN(
        dcgan.Config(**TINY, label_noise=0.05), "cpu", Generator(7, 0.125), Discriminator(0.125)
    )
    torn.discriminator.forward = lambda x: x.sum((1, 2, 3))  # type: ignore[method-assign]
    sure = mg.full((1000, 1, 1, 1), 20.0)
    loss, _ = torn.discriminator_loss(sure, mg.arange(1000), -sure, ())
    # Certainty costs 20 nats for each unit that the target is off 1 or 0: .025 on the average.
    assert abs(loss.item() - 2 * 20 * 0.025) < 0.05


def test_one_hot() -> None:
    rows = one_hot(mg.tensor([2, 0]), 3)
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]] and rows.dtype == mg.float32


# ------------------------------------------------------------------------------------ the game
@pytest.mark.parametrize("ema, batch_norm", [(0.0, False), (0.5, False), (0.0, True)])
def test_who_stands_still(ema: float, batch_norm: bool) -> None:
    """To the last bit, batch norm's statistics included; and who does not does not."""
    one = game(BodyConfig(**TINY, ema=ema, batch_norm=batch_norm))
    one.generator.train()
    x, y = mg.rand(4, 1, 28, 28), mg.arange(4)
    g, d = values(one.generator), values(one.discriminator)
    one.discriminator_step(x, y)
    assert changed(one.generator, g) == [] and len(changed(one.discriminator, d)) == len(d)
    g, d = values(one.generator), values(one.discriminator)
    one.generator_step(4)
    assert changed(one.discriminator, d) == [] and len(changed(one.generator, g)) == len(g)
    if ema:
        assert changed(one.shown, values(one.generator)) == []  # the first update copies
        g = values(one.generator)
        one.generator_step(4)
        middle = 0.5 * (one.generator.dense.weight.detach().numpy() + g["dense.weight"])
        np.testing.assert_allclose(
            one.shown.dense.weight.detach().numpy(), middle, rtol=1e-5, atol=1e-8
        )


def test_a_source_that_does_not_freeze_is_caught() -> None:
    """The popular mistake: the generator's loss trains the critic, to help the generator."""
    one = game()
    d = values(one.discriminator)
    everything = [*one.generator.parameters(), *one.discriminator.parameters()]
    optimizer = mg.optim.Adam(everything, lr=1e-3)
    generator_loss(one.discriminator(one.generator(*one.draw(4)))).backward()
    optimizer.step()
    assert len(changed(one.discriminator, d)) == len(d)


def test_looking_at_samples_changes_nothing() -> None:
    one = game()
    g, state = values(one.generator), mg.backend.default_generator().get_state()
    first, labels = one.samples(12)
    again, _ = one.samples(12)
    assert first.shape == (12, 1, 28, 28) and first.tobytes() == again.tobytes()
    assert labels.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert changed(one.generator, g) == [] and one.generator.training
    assert str(mg.backend.default_generator().get_state()) == str(state)
    assert one.samples(12, seed=1)[0].tobytes() != first.tobytes()


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_noise(noise: Any) -> None:
    z = game(BodyConfig(width=0.125, latent=200, noise=noise)).noise(500).numpy()
    assert z.shape == (500, 200) and abs(z.mean()) < 0.02
    assert abs(z.var() - (1.0 if noise == "normal" else 1 / 3)) < 0.02
    assert (abs(z).max() <= 1) == (noise == "uniform")


def test_the_equilibrium() -> None:
    """Of a discriminator that says one half, whatever it sees."""
    undecided = mg.zeros(5)
    half = {"least_squares": undecided + 0.5}
    for kind, (of_discriminator, of_generator) in EQUILIBRIUM.items():
        score = half.get(kind, undecided)
        assert math.isclose(
            discriminator_loss(score, score, kind).item(), of_discriminator, rel_tol=1e-6
        )
        assert math.isclose(generator_loss(score, kind).item(), of_generator, rel_tol=1e-6)


# ---------------------------------------------------------------------- a game that is over
def small(tmp_path: Path, **options: Any) -> BodyConfig:
    sizes = {"train_images": 60, "validation": 20, "test_images": 20, "samples": 20}
    return dcgan.Config(
        **{**TINY, "out": str(tmp_path / "run"), "batch_size": 20, "epochs": 3, **sizes, **options}
    )


def play_with(config: BodyConfig, spoil: Any) -> tuple[Run, Game]:
    """A game in which ``spoil`` is called before each step of the discriminator."""
    run = Run(config)
    loaders = common.Loaders.of_mnist(config, run)
    one = game(config)
    real = one.discriminator_step

    def step(x: Any, y: Any) -> Any:
        spoil(run, one)
        return real(x, y)

    one.discriminator_step = step  # type: ignore[method-assign]
    common.play(run, one, config, loaders.train)
    return run, one


def test_nan_ends_the_run_and_the_last_good_checkpoint_stays(tmp_path: Path) -> None:
    def spoil(run: Run, one: Game) -> None:
        if run.step == 4:
            one.discriminator.score.bias.data[...] = np.nan  # type: ignore[union-attr]

    with pytest.raises(FloatingPointError, match=r"is nan .* checkpoint, after step 3, is in"):
        play_with(small(tmp_path), spoil)
    run, one = play_with(small(tmp_path, resume=True), lambda *_: None)
    assert run.step == 9 and all(np.isfinite(v).all() for v in values(one.discriminator).values())


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    """The losses of an epoch are finite, and its last step has ruined the generator."""
    config = small(tmp_path, epochs=1)
    run = Run(config)
    one = game(config)
    one.generator.dense.weight.data[0, 0] = np.inf
    with pytest.raises(FloatingPointError, match="weights of the generator are nan or infinite"):
        common.check(run, one, {"discriminator_loss": 1.0})


def test_a_discriminator_that_has_won(tmp_path: Path) -> None:
    run, one = Run(small(tmp_path)), game()
    run.step = 200
    common.check(run, one, {"discriminator_loss": 0.01, "generator_loss": 5.0})
    with pytest.raises(RunError, match=r"has won: its loss is 1.0e-04 up to step 200"):
        common.check(run, one, {"discriminator_loss": 1e-4, "generator_loss": 9.0})
    one.kind = "wasserstein"  # a distance: small is good
    common.check(run, one, {"discriminator_loss": 1e-4})


def test_critic_steps_are_counted_across_a_resume(tmp_path: Path) -> None:
    """The generator's turns depend on the number of the batch, not on when the process began."""
    turns: list[int] = []
    config = small(tmp_path, critic_steps=2)
    run = Run(config)
    one = game(config)
    real = one.generator_step

    def step(n: int) -> Any:
        turns.append(run.step + 1)
        return real(n)

    one.generator_step = step  # type: ignore[method-assign]
    common.play(run, one, config, common.Loaders.of_mnist(config, run).train)
    assert turns == [2, 4, 6, 8]


def test_looks_divide_an_epoch(tmp_path: Path) -> None:
    """Each line has the means of the steps since the one before, and what a resumed run writes is
    what one that was not stopped writes."""

    def lines(out: str, stop: int | None = None, **options: Any) -> list[dict[str, Any]]:
        config = small(tmp_path, batch_size=10, epochs=2, looks=3, **options)
        config.out = str(tmp_path / out)
        run = Run(config, checkpoint_steps=1)
        one = game(config)

        def step(x: Any, y: Any) -> dict[str, Any]:
            if run.step == stop:
                raise KeyboardInterrupt
            return {"discriminator_loss": mg.tensor(float(run.step))}

        one.discriminator_step, one.generator_step = step, lambda n: {}  # type: ignore
        loader = common.Loaders.of_mnist(config, run).train
        common.play(run, one, config, loader, lambda _: {"looked": run.step})
        return run.history

    history = lines("whole")
    assert [line["step"] for line in history] == [2, 4, 6, 8, 10, 12]
    assert [line["epoch"] for line in history] == [1, 1, 1, 2, 2, 2]
    assert [line["looked"] for line in history] == [2, 4, 6, 8, 10, 12]
    assert [line["discriminator_loss"] for line in history] == [0.5, 2.5, 4.5, 6.5, 8.5, 10.5]
    for stop in (3, 4, 6, 8):
        with pytest.raises(KeyboardInterrupt):
            lines(f"stopped{stop}", stop)
        assert lines(f"stopped{stop}", resume=True) == history


def test_every_gan_has_a_test_of_its_own() -> None:
    here = Path(__file__).parent
    tests = "".join(path.read_text() for path in here.glob("test_gan*.py"))
    for path in Path(common.__file__).parent.glob("*.py"):
        if path.stem not in ("__init__", "common", "networks", "unet"):
            assert importlib.import_module(f"models.gan.{path.stem}").Config
            assert path.stem in tests, path
