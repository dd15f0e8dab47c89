r"""The judge: it knows digits, it says so only of digits, and its figures are what they claim."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import MNIST
from models import judge


def test_it_recognises_the_test_images() -> None:
    """99.25 %, measured when the weights were made; a network with one layer reaches 92."""
    images, labels = MNIST(train=False).arrays()
    assert judge.recognised(images, labels) >= 0.99
    assert sum(p.numel() for p in judge.load_judge().parameters()) == 21_706


def test_it_depends_on_the_label_asked_for() -> None:
    images, labels = (a[:500] for a in MNIST(train=False).arrays())
    assert judge.recognised(images, labels) > 0.95
    assert judge.recognised(images, (labels + 1) % 10) < 0.05


def test_scores_of_digits_of_one_digit_and_of_noise() -> None:
    images, labels = MNIST(train=False).arrays()
    rng = np.random.default_rng(0)
    assert judge.score(images) > 9.5
    assert judge.score(images[labels == 3]) < 1.2  # clear, but all the same
    assert judge.score(rng.random((1000, 784))) < 1.2
    # Two digits, equally frequent, of which the judge is sure: exp(ln 2).
    sure = judge.opinions(images)[np.arange(len(labels)), labels] > 0.999
    two = np.concatenate([images[sure & (labels == k)][:500] for k in (0, 7)])
    assert judge.score(two) == pytest.approx(2.0, abs=0.01)


def test_opinions_are_probabilities_whatever_the_shape() -> None:
    images = MNIST(train=False).arrays()[0][:3]
    p = judge.opinions(images)
    assert p.shape == (3, 10) and p.sum(1) == pytest.approx(1.0)
    for same in (images.reshape(3, 784), mg.tensor(images), mg.tensor(images[:, 0])):
        np.testing.assert_array_equal(judge.opinions(same), p)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 100)), r"judge: expected images \(N, ...\) of 784 pixels, got \(2, 100\)"),
        (np.zeros(784), "of 784 pixels"),
        (np.zeros((0, 784)), "of 784 pixels"),
        (np.full((2, 784), 255.0), r"judge: expected values in \[0, 1\], got 255 to 255"),
        (np.full((2, 784), np.nan), r"expected values in \[0, 1\]"),
    ],
)
def test_what_is_no_image(images: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge.opinions(images)


def test_labels_are_one_for_each_image() -> None:
    with pytest.raises(ValueError, match="judge: expected 2 labels, got shape"):
        judge.recognised(np.zeros((2, 784)), [1, 2, 3])


def test_asking_it_draws_no_random_number() -> None:
    """Not even the first time, when it is made: a run would depend on what ran before it."""
    state = str(mg.backend.default_generator().get_state())
    judge.load_judge.cache_clear()
    judge.load_judge()
    assert str(mg.backend.default_generator().get_state()) == state
