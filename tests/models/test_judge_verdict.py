r"""The judge's verdict: each fault of a generator is seen by the figure that is there for it."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import MNIST, FashionMNIST
from models import judge

N = 2000


@pytest.fixture(scope="module")
def real() -> tuple[np.ndarray, np.ndarray]:
    """Training images."""
    images, labels = MNIST(train=True).arrays(flatten=True)
    some = np.random.default_rng(7).permutation(len(images))[:N]
    return images[some], labels[some]


@pytest.fixture(scope="module")
def truth(real: tuple[np.ndarray, np.ndarray]) -> dict[str, float]:
    return judge.verdict(mg.tensor(real[0]), real[1])


def test_features_are_the_averaged_channels_before_the_last_layer() -> None:
    images = MNIST(train=False).arrays()[0][:7]
    model = judge.load_judge()
    with mg.no_grad():
        maps = model.features(mg.tensor(images)).numpy()
    assert maps.shape == (7, 32, 3, 3)
    np.testing.assert_allclose(judge.features(images), maps.mean((2, 3)), rtol=1e-5)


def test_real_images(real: tuple[np.ndarray, np.ndarray], truth: dict[str, float]) -> None:
    """2,000 real images reach the floors, and are copies of training images. Bounds: the mean of
    eight draws and four of their standard deviations, rounded up."""
    assert truth["judge_score"] == pytest.approx(judge.score(real[0]))
    assert truth["judge_score"] == pytest.approx(9.71, abs=0.13)
    assert truth["frechet"] == pytest.approx(judge.frechet(real[0]))
    assert truth["frechet"] == pytest.approx(0.042, abs=0.03)
    assert truth["frechet_floor"] == pytest.approx(0.042, abs=0.02)
    assert truth["knn_error"] == pytest.approx(truth["knn_error_real"], abs=0.04)
    assert truth["precision"] == pytest.approx(0.88, abs=0.022)
    assert truth["recall"] == pytest.approx(0.90, abs=0.04)
    assert truth["diversity"] == pytest.approx(1.008, abs=0.014)
    assert truth["nearest"] < 0.001
    assert truth["confident"] == pytest.approx(0.968, abs=0.02)
    assert truth["least_class"] == pytest.approx(0.087, abs=0.018)
    assert truth["greatest_class"] == pytest.approx(0.115, abs=0.028)
    assert truth["recognised_accuracy"] == pytest.approx(0.994, abs=0.006)


def test_test_images_are_no_copies() -> None:
    """500 others than those that the figure is relative to, or 475 of them."""
    images = MNIST(train=False).arrays()[0][::10]
    assert judge.verdict(images)["nearest"] == pytest.approx(1, abs=0.06)


def test_a_lost_class(real: tuple[np.ndarray, np.ndarray], truth: dict[str, float]) -> None:
    images, labels = real
    found = judge.verdict(images[labels != 4])
    assert found["least_class"] < 0.005
    assert found["judge_score"] < truth["judge_score"] - 0.6
    assert found["frechet"] > 2 * truth["frechet"]
    assert found["recall"] < truth["recall"] - 0.03 and found["precision"] > 0.85
    assert found["knn_error"] > found["knn_error_real"] + 0.05


def test_ten_images_again_and_again(real: tuple[np.ndarray, np.ndarray]) -> None:
    """A perfect score, and nothing else."""
    images, labels = real
    ten = np.stack([images[labels == k][0] for k in range(10)])
    found = judge.verdict(np.tile(ten, (40, 1)), np.arange(400) % 10)
    assert found["judge_score"] > 9.5 and found["confident"] >= 0.9
    assert found["recall"] < 0.02 and found["diversity"] < 1e-3
    assert found["frechet"] > 20 * found["frechet_floor"] and found["knn_error"] > 0.4


def test_blurred_images(real: tuple[np.ndarray, np.ndarray], truth: dict[str, float]) -> None:
    x = np.pad(real[0].reshape(-1, 28, 28), ((0, 0), (1, 1), (1, 1)))
    blurred = sum(x[:, i : i + 28, j : j + 28] for i in range(3) for j in range(3)) / 9
    found = judge.verdict(blurred, real[1])
    assert found["recognised_accuracy"] > 0.9  # it can still read them
    assert found["frechet"] > 20 * truth["frechet"]
    assert found["recall"] < 0.05 and found["precision"] < 0.7
    assert found["diversity"] < 0.8 and found["nearest"] > 0.5


def test_noise() -> None:
    """Confident, and wrong: of noise it thinks one digit."""
    found = judge.verdict(np.random.default_rng(0).random((500, 784)))
    assert found["judge_score"] < 1.01 and found["greatest_class"] > 0.99
    assert found["precision"] == found["recall"] == 0.0
    assert found["frechet"] > 30 and found["nearest"] > 3 and found["knn_error"] > 0.85


def test_labels_that_were_asked_for(real: tuple[np.ndarray, np.ndarray]) -> None:
    """With wrong labels the images are the same, but nothing that needs labels is."""
    images, labels = real
    right = judge.verdict(images[:600], mg.tensor(labels[:600]))
    wrong = judge.verdict(images[:600], np.roll(labels[:600], 1))
    for name in ("judge_score", "frechet", "precision", "recall", "confident", "nearest"):
        assert right[name] == wrong[name]
    assert right["recognised_accuracy"] > 0.98 and wrong["recognised_accuracy"] < 0.2
    assert wrong["knn_error"] > 0.7 > 0.3 > right["knn_error"]
    assert wrong["diversity"] > right["diversity"] + 0.03  # classes of all digits differ more
    with pytest.raises(ValueError, match="judge: expected 600 labels"):
        judge.verdict(images[:600], labels)


def test_diversity_of_a_known_set() -> None:
    """Images c and -c around another: all pairs in a class at known distances. A class with one
    image, or none, counts 0."""
    images, labels = MNIST(train=False).arrays(flatten=True)
    everything = judge.diversity(images, labels)
    assert everything == pytest.approx(1.0)  # against itself
    assert judge.diversity(images / 2, labels) == pytest.approx(0.5)
    few = np.concatenate([np.flatnonzero(labels == k)[: 1 if k < 5 else 1000] for k in range(10)])
    assert judge.diversity(images[few], labels[few]) == pytest.approx(0.5, abs=0.01)


def test_a_glance(real: tuple[np.ndarray, np.ndarray]) -> None:
    images, _ = real
    assert judge.glance(images) == {
        "judge_score": judge.score(images[:1000]),
        "frechet": judge.frechet(images[:1000]),
    }
    assert judge.frechet(images[:1000], images[:1000]) == pytest.approx(0, abs=1e-9)
    known = judge.features(images[:1000])
    assert judge.glance(images, known)["frechet"] == pytest.approx(0, abs=1e-9)


def test_fashion() -> None:
    """A judge of its own, 89.49 % right; its data do not ship. Real clothes have a score of 7.5."""
    try:
        images, labels = FashionMNIST(train=False).arrays()
    except FileNotFoundError:
        pytest.skip("Fashion-MNIST is not here")
    assert judge.recognised(images, labels, "fashion") >= 0.89
    assert judge.recognised(images, labels) < 0.3  # the judge of digits knows no clothes
    found = judge.verdict(images[:1000], labels[:1000], "fashion")
    assert found["judge_score"] > 7 and found["nearest"] == pytest.approx(1, abs=0.1)
    noise = judge.glance(np.random.default_rng(0).random((500, 784)), data="fashion")
    assert noise["judge_score"] < 1.5 and noise["frechet"] > 100 * found["frechet"]


def test_unknown_data() -> None:
    with pytest.raises(ValueError, match="judge: expected data mnist or fashion, got 'cifar'"):
        judge.load_judge("cifar")
