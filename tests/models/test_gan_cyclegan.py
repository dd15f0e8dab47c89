r"""CycleGAN: four networks of which two stand still, a pool, a cycle that proves nothing by itself,
and translations that keep what a digit is."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.data import MNIST
from minigrad.data.images import ImageDataset
from models import judge
from models.gan import cyclegan
from models.gan.cyclegan import Both, CycleGAN, Pool, changed, original, undone
from models.gan.unet import PatchGAN, UNet

pytest.importorskip("matplotlib")

TINY: dict[str, Any] = {"width": 0.125}


def game(**options: Any) -> CycleGAN:
    return CycleGAN(cyclegan.Config(**{**TINY, **options}), "cpu")


def values(module: nn.Module) -> dict[str, np.ndarray]:
    return {name: value.detach().numpy().copy() for name, value in module.state_dict().items()}


def moved(module: nn.Module, before: dict[str, np.ndarray]) -> set[str]:
    return {n for n, v in values(module).items() if v.tobytes() != before[n].tobytes()}


# -------------------------------------------------------------------------------- the networks
def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_sizes() -> None:
    # Kernels of 4 where the stride is 2, of 3 where it is 1; instance norm learns nothing.
    out = (9 * 1 + 1) * 32 + (16 * 32 + 1) * 64 + (16 * 64 + 1) * 128 + (16 * 128 + 1) * 256
    back = (16 * 256 + 1) * 128 + (16 * 256 + 1) * 64 + (16 * 128 + 1) * 32 + (9 * 64 + 1)
    assert count(UNet()) == out + back == 1_541_665
    first, last = (16 + 1) * 32 + (16 * 32 + 1) * 64, (9 * 128 + 1) * 256 + 9 * 256 + 1
    assert count(PatchGAN(size=16)) == first + (9 * 64 + 1) * 128 + last == 404_705
    assert count(PatchGAN(size=32)) == first + (16 * 64 + 1) * 128 + last == 462_049
    assert count(UNet(3, 3)) - count(UNet()) == 2 * 9 * 32 + 2 * (9 * 64 + 1)
    # The popular source's: kernels of 3 everywhere.
    assert count(UNet(kernel=3, norm_first=True)) == sum(
        (9 * a + 1) * b
        for a, b in ((1, 32), (32, 64), (64, 128), (128, 256), (256, 128), (256, 64), (128, 32))
    ) + (9 * 64 + 1)


@pytest.mark.parametrize("kernel", [3, 4, 5])
@pytest.mark.parametrize("norm_first", [False, True])
def test_shapes(kernel: int, norm_first: bool) -> None:
    for size in (16, 32):
        made = UNet(1, 3, 0.125, kernel, norm_first)(mg.rand(2, 1, size, size))
        assert made.shape == (2, 3, size, size)
        assert 0 <= made.min().item() <= made.max().item() <= 1
        assert PatchGAN(3, size, 0.125, kernel, norm_first)(made).shape == (2, 1, 4, 4)


def test_the_way_back_sees_the_way_out() -> None:
    """Cut off, each of the encoder's maps is missed in the image."""
    network, x = UNet(width=0.125), mg.rand(1, 1, 16, 16)
    whole = network(x).detach().numpy()
    for layer in (*list(network.up)[1:], network.last):
        weight = (layer[0] if isinstance(layer, nn.Sequential) else layer).weight
        kept, half = weight.data.copy(), weight.shape[0] // 2
        weight.data[half:] = 0  # (inputs, outputs, k, k): what comes from the encoder
        assert abs(network(x).detach().numpy() - whole).max() > 1e-3
        weight.data[...] = kept


def test_a_patch_has_its_own_score() -> None:
    """Without instance norm, which spreads means, a corner changes its own scores alone."""
    layers = (m for m in PatchGAN(1, 32, 0.125).modules() if isinstance(m, nn.Conv2d))
    critic = nn.Sequential(*layers)
    x = mg.zeros(1, 1, 32, 32)
    before = critic(x).detach().numpy()
    x.data[..., 0, 0] = 1
    differs = abs(critic(x).detach().numpy() - before)[0, 0] > 0
    assert differs[0, 0] and not differs[3, 3]


def test_norm_before_the_first_convolution_loses_the_contrast() -> None:
    x = mg.rand(1, 1, 16, 16)
    for norm_first in (False, True):
        network = UNet(width=0.125, norm_first=norm_first)
        first = network.down[0]
        same = abs(first(0.5 * x + 0.1) - first(x)).max().item() < 1e-3
        assert same == norm_first


# --------------------------------------------------------------------------------- the domains
@pytest.mark.parametrize("domain", ["inverted", "rotated", "coloured"])
def test_a_change_is_undone(domain: str) -> None:
    x = mg.rand(3, 1, 16, 16)
    np.testing.assert_allclose(
        undone(changed(x, domain), domain, "b").numpy(), x.numpy(), atol=1e-6
    )
    np.testing.assert_allclose(
        undone(original(x, domain), domain, "a").numpy(), x.numpy(), atol=1e-6
    )
    assert original(x, domain).shape == changed(x, domain).shape
    assert (original(x, domain) - changed(x, domain)).abs().mean().item() > 0.1
    if domain == "rotated":
        np.testing.assert_array_equal(changed(x, domain).numpy()[0, 0], np.rot90(x.numpy()[0, 0]))


def test_the_halves_of_the_training_images_are_disjoint(tmp_path: Path) -> None:
    options = {"train_images": 200, "validation": 20, "test_images": 30, "samples": 25}
    config = cyclegan.Config(**TINY, **options, out=str(tmp_path / "run"))
    domains = cyclegan.Domains.of(config, cyclegan.Run(config))
    pairs, labels = domains.train.dataset.get_batch(np.arange(100))
    a, b = np.asarray(pairs)[:, 0], 1 - np.asarray(pairs)[:, 1]
    assert len(domains.train.dataset) == 100 and labels.shape == (100,)
    distances = abs(a[:, None] - b[None]).mean((2, 3))
    assert distances.min() > 0.01  # no digit is in both
    test = domains.test
    assert len(test.a) == len(test.b) == len(test.labels) == 25
    np.testing.assert_allclose(test.b.numpy(), 1 - test.a.numpy(), atol=1e-6)

    paired = cyclegan.Config(**TINY, **options, paired=True, out=str(tmp_path / "paired"))
    x = cyclegan.Domains.of(paired, cyclegan.Run(paired)).train.dataset.get_batch(np.arange(200))[0]
    np.testing.assert_allclose(np.asarray(x)[:, 1], 1 - np.asarray(x)[:, 0], atol=1e-6)


def test_the_judge_still_reads_digits_of_16_pixels() -> None:
    """What the translations can reach at most."""
    x, y = MNIST(train=False).arrays()
    small = cyclegan.for_the_judge(cyclegan.prepare(mg.tensor(x[:1000]), 16))
    assert judge.recognised(small, y[:1000]) > 0.97
    large = cyclegan.for_the_judge(cyclegan.prepare(mg.tensor(x[:10]), 32))
    assert large.numpy().tobytes() == x[:10].tobytes()


# ------------------------------------------------------------------------------------ the pool
def test_the_pool() -> None:
    pool, images = Pool(50), mg.arange(50).reshape(50, 1)
    assert pool.exchange(images).tolist() == images.tolist()  # while there is room
    new = mg.arange(50, 1050).reshape(1000, 1)
    given = pool.exchange(new).numpy()[:, 0]
    own = given == new.numpy()[:, 0]
    assert abs(own.mean() - 0.5) < 0.05
    # What is not given back is kept, once.
    kept = [int(image.item()) for image in pool.images]
    assert sorted([*given, *kept]) == list(range(1050))
    assert (given[~own] < new.numpy()[~own, 0]).all()

    restored = Pool(50)
    restored.load_state_dict(pool.state_dict())
    state = mg.backend.default_generator().get_state()
    first = pool.exchange(new).tolist()
    mg.backend.default_generator().set_state(state)
    assert restored.exchange(new).tolist() == first
    assert Pool(0).exchange(new) is new


# ------------------------------------------------------------------------------------ the game
OPTIONS: list[dict[str, Any]] = [
    {},
    {"identity": 5.0, "ema": 0.5},
    {"paired": True},
    {"domain": "coloured", "semantic": 1.0},
    {"norm_first": True, "kernel": 3, "pool": 0, "identity": 0.5, "optimizer": "rmsprop"},
    {"data": "cifar", "size": 32},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_who_stands_still(options: dict[str, Any]) -> None:
    """All four networks, to the last bit, and the classifier of CyCADA's loss."""
    one = game(**options)
    size = one.config.size
    x, y = mg.rand(4, one.in_a + one.in_b, size, size), mg.arange(4)
    networks = {"generator": one.generator, "discriminator": one.discriminator}
    if one.config.semantic:
        networks["classifier"] = one.classifier
    for step, learns in (
        (lambda: one.discriminator_step(x, y), {"discriminator", "classifier"}),
        (lambda: one.generator_step(4), {"generator"}),
    ):
        before = {name: values(network) for name, network in networks.items()}
        step()
        for name, network in networks.items():
            changes = moved(network, before[name])
            if name in learns:  # but for biases that instance norm takes away again
                assert {n for n in before[name] if n.endswith("weight")} <= changes
            else:
                assert changes == set()
    assert all(p.requires_grad for network in networks.values() for p in network.parameters())


class Given(nn.Module):
    """A network that gives what it is told to give."""

    def __init__(self, give: Any) -> None:
        super().__init__()
        self.give = give

    def forward(self, x: Any) -> Any:
        return self.give(x)


def test_the_losses() -> None:
    """With G(a) = a + .25, F(b) = b - .5, and critics that say the mean of an image."""
    one = game(cycle=10.0, identity=5.0)
    mean = Given(lambda x: x.mean((1, 2, 3)))
    one.generator = Both(Given(lambda b: b - 0.5), Given(lambda a: a + 0.25))
    one.discriminator = Both(mean, mean)
    a, b = mg.full((2, 1, 16, 16), 0.25), mg.full((2, 1, 16, 16), 0.75)
    loss, parts = one.translation_loss(a, b)
    game_loss = (0.5 - 1) ** 2 + (0.25 - 1) ** 2  # of G(a) = .5 and F(b) = .25
    there_and_back = 0.25 + 0.25
    nothing = 0.25 + 0.5
    assert abs(loss.item() - (game_loss + 10 * there_and_back + 5 * nothing)) < 1e-5
    assert abs(parts["generator_loss"].item() - game_loss / 4) < 1e-6
    assert abs(parts["cycle"].item() - there_and_back / 2) < 1e-6
    assert abs(parts["identity"].item() - nothing / 2) < 1e-6

    paired = game(paired=True)
    paired.generator, paired.discriminator = one.generator, Both(mean, mean)
    loss, parts = paired.translation_loss(a, b)
    assert "cycle" not in parts
    # The critic of B sees a (.25) and G(a) (.5), that of A sees b (.75) and F(b) (.25).
    game_loss = (0.375 - 1) ** 2 + (0.5 - 1) ** 2
    assert abs(loss.item() - (game_loss + 100 * (0.25 + 0.0))) < 1e-4


def test_the_semantic_loss() -> None:
    """Least where the translation is what the original was, by the classifier's own answer."""
    one = game(domain="coloured", semantic=1.0)
    one.classifier = Given(lambda x: 20 * x[:, :1, 0, :10].reshape(-1, 10))
    threes, fives = (mg.zeros(2, 3, 16, 16) for _ in range(2))
    threes.data[..., 3] = fives.data[..., 5] = 1
    kept = one.semantic_loss(threes, threes, fives, fives).item()
    lost = one.semantic_loss(threes, fives, fives, threes).item()
    assert kept < 1e-6 and abs(lost - 2 * 20) < 1e-3


def test_doing_nothing_is_found_out() -> None:
    """The miss: the cycle of two networks that do nothing is perfect, and the critics know within
    some steps what was not translated."""
    one = game(lr=1e-3)
    nothing = Given(lambda x: x)
    one.generator = Both(nothing, nothing)
    digits = cyclegan.prepare(mg.tensor(MNIST(train=False).arrays()[0][:2560]), 16)
    for i in range(0, 1280, 16):
        x = mg.cat([digits[i : i + 16], changed(digits[1280 + i : 1296 + i], "inverted")], 1)
        loss = one.discriminator_step(x, mg.arange(16))["discriminator_loss"]
    _, parts = one.translation_loss(*one.batch[:2])
    assert parts["cycle"].item() == 0
    assert loss.item() < 0.05  # seeds 0 to 3: 0.019 to 0.026; translations that pass for real: 0.25
    assert parts["generator_loss"].item() > 0.4  # 0.485 to 0.501, and 0.125


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "cifar"}, "size: expected 32 with cifar"),
        ({"data": "cifar", "size": 32, "identity": 5.0}, "identity: expected 0 between grey and"),
        ({"data": "cifar", "size": 32, "semantic": 1.0}, "semantic: expected 0 with cifar"),
        ({"latent": 100}, "latent: expected 1, as there is no noise"),
        ({"cycle": -1.0}, "cycle: expected a number >= 0"),
    ],
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cyclegan.Config(**options)


# ------------------------------------------------------------------------------------ the runs
class Colours(ImageDataset):
    """In the place of CIFAR-10: every image is of one colour."""

    def __init__(self, train: bool) -> None:
        super().__init__()
        shades = np.random.default_rng(int(train)).integers(0, 255, (80, 3, 1, 1))
        self.images = np.broadcast_to(shades, (80, 3, 32, 32)).astype(np.uint8)
        self.labels = np.arange(80)


@pytest.mark.parametrize("options", [{"paired": True}, {"data": "cifar", "size": 32}])
def test_variants_run(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cyclegan, "CIFAR10", Colours)
    sizes = {"epochs": 1, "train_images": 40, "validation": 20, "test_images": 20}
    config = cyclegan.Config(**TINY, **sizes, **options, out=str(tmp_path / "run"))
    metrics = cyclegan.train(config).metrics
    assert all(math.isfinite(value) for value in metrics.values())
    assert ("frechet" in metrics) == (config.data == "mnist")


def test_it_translates_digits(tmp_path: Path) -> None:
    """400 steps with 3200 digits of each domain and an eighth of the filters. Seeds 0 and 1: a
    cycle of 0.038 and 0.032, at least 91 and 94 % recognised. With the identity loss, which is
    wrong here, the cycle is 0.067, and 4 and 6 % are recognised; who does nothing is far from the
    counterparts."""
    config = cyclegan.Config(
        width=0.125,
        lr=1e-3,
        train_images=6400,
        epochs=2,
        samples=1000,
        out=str(tmp_path / "run"),
    )
    found = cyclegan.train(config).metrics
    assert found["cycle_l1"] <= 0.06
    assert min(found["semantics_a_to_b"], found["semantics_b_to_a"]) >= 0.85
    assert found["counterpart_l1"] <= 0.06 < 0.9 < found["unchanged_l1"]
    assert abs(found["critic_real"] - found["critic_translated"]) < 0.15
