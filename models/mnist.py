r"""MNIST as the models use it: training, validation and test images.

Belongs here: which images are for what. Does not belong here: reading the files
(``minigrad.data``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backend import Generator
from minigrad.data import MNIST, FashionMNIST, Subset, random_split

KINDS = {"mnist": MNIST, "fashion": FashionMNIST}  # what an option ``data`` may name

# The split is the same in all runs, so that validation figures of different seeds compare.
SPLIT_SEED = 0


def load_mnist(
    validation: int = 5000,
    train: int | None = None,
    test: int | None = None,
    transform: Callable[[Any], Any] | None = None,
    kind: type[MNIST] = MNIST,
) -> tuple[Subset, Subset, Subset]:
    r"""Training, validation and test data; samples are ((1, 28, 28) float32 in [0, 1], label).

    Args:
        validation: images held out of the 60,000 training images, drawn at random.
        train: at most this many of the others; None takes all.
        test: at most this many of the 10,000 test images, the first ones; None takes all.
        transform: what to make of an image, as for :class:`~minigrad.data.MNIST`.
        kind: the data set, MNIST or Fashion-MNIST, which has the same form.
    """
    images = kind(train=True, transform=transform)
    rest, held_out = random_split(
        images, [len(images) - validation, validation], Generator(SPLIT_SEED)
    )
    tests = kind(train=False, transform=transform)
    training = Subset(images, rest.indices[:train])
    return training, Subset(images, held_out.indices), Subset(tests, np.arange(len(tests))[:test])
