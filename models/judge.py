r"""The judge: a classifier of digits, trained apart, that looks at digits that models make.

Belongs here: the trained classifier and the figures that follow from its opinion. Does not belong
here: the network and its training (``models/supervised/cnn.py``), the figures' formulas
(``minigrad.evaluation``).

Its weights, 21,706 numbers in ``judge.safetensors``, come from

    python -m models.supervised.cnn --filters 32 --seed 0

which never saw a test image and recognises 99.25 % of them. It knows digits only: of ten answers it
gives one, whatever the picture. So what it makes of a generated image says something only beside
what it makes of real digits and of noise. No model may learn from it.

:func:`verdict` says all that follows, of 2,000 to 5,000 images in a few seconds; :func:`glance`
says two of it of 1,000 images, for a curve during training. The judge's features of an image are
the 32 channels of its last convolution, each averaged over its 3 x 3 places. (The 288 numbers
before that average see less: blurring 2,000 digits by 3 x 3 makes their Fréchet distance 13 times
as large, that of the averages 70 times, and the mean image's precision in them is 1.)

    judge_score          exp mean_n KL(p(y|x_n) || mean_m p(y|x_m)), 1 to 10: high where each image
                         is clearly one digit and all digits occur (Salimans et al., Improved
                         techniques for training GANs, 2016)
    frechet              Fréchet distance of the features from those of all real test images
    frechet_floor        the same of as many real training images: the best that can be expected
    precision, recall    in the features, of up to 2,000 images against as many real test images
    least_class,         shares of the images that the judge takes for the rarest and for the most
    greatest_class       frequent digit
    confident            share of the images of which the judge is surer than 95 %
    knn_error            errors on real test digits of a 1-nearest-neighbour classifier that knows
                         nothing but the images, as they were asked for, or as the judge calls them
    knn_error_real       the same of as many real training images
    nearest              mean distance, in pixels, from an image to the nearest of all training
                         images, as a share of that of real test images: near 0, they are copies
    diversity            mean distance, in pixels, between two images of a class, as a share of that
                         of real test images, averaged over the classes
    recognised_accuracy  share of the images that the judge takes for what they were asked for

No figure is enough: a model that knows 2,000 images by heart fails only in ``nearest``, a blurred
one in the features, one that makes the same ten images in ``recall`` and ``diversity``. Noise makes
``nearest`` and ``diversity`` larger, which is no virtue.

5,000 images of        score  frechet  prec.  recall  classes %    confid.  knn    nearest  divers.
real training images    9.70    0.030   0.88    0.88   9.3 to 11.1   0.96   0.067    0.00    1.01
the same without 4s     8.81    0.23    0.89    0.81   0.0 to 12.1   0.96   0.15     0.00    1.01
shifted by 2 pixels     9.19    0.90    0.63    0.48   9.4 to 11.1   0.89   0.37     1.44    1.01
blurred by 3 x 3        8.99    4.5     0.57    0.00   9.4 to 13.4   0.87   0.050    0.71    0.72
ten test images         9.74    4.4     0.80    0.00  10.0 to 10.0   1.00   0.59     1.13    0.00
the classes' means      8.72    13      0.00    0.00  10.0 to 10.0   0.90   0.17     1.09    0.00
the mean image          1.00    25      0.00    0.00     0 to 100    0.00   0.90     1.25    0.00
uniform noise           1.00    44      0.00    0.00     0 to 100    1.00   0.90     3.55    0.12
an untrained DCGAN      1.00    29      0.00    0.00     0 to 100    1.00   0.90     3.0     0.06

The DCGAN is that of ``models/gan/networks.py``, the mean of three seeds, 27 to 30, of 2,000 images.
Of real training images 1,000, 2,000, 5,000, 20,000 and 60,000 have an error of 0.118, 0.096, 0.068,
0.041 and 0.034 by 1-NN, and Fréchet distances around 0.09, 0.05, 0.03, 0.02 and 0.02.

For Fashion-MNIST (``data="fashion"``) there is a weaker judge, of the same network: with ``--data
fashion`` the command gave ``judge_fashion.safetensors``, right about 89.49 % of the test images.
Of 5,000 training images the score is 7.5, 61 % are confident, 91 % recognised, and 1-NN errs on
0.22. Their Fréchet distance is around 0.01, that of uniform noise 13; but noise has a precision of
0.99, so there that figure says nothing alone.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad.backend import default_generator, generators_restored
from minigrad.evaluation import frechet_distance, knn_accuracy, precision_recall
from minigrad.train import load_safetensors
from models.mnist import KINDS
from models.supervised.cnn import CNN

__all__ = [
    "diversity",
    "features",
    "frechet",
    "glance",
    "load_judge",
    "look",
    "opinions",
    "recognised",
    "score",
    "verdict",
]

WEIGHTS = {
    "mnist": Path(__file__).with_name("judge.safetensors"),
    "fashion": Path(__file__).with_name("judge_fashion.safetensors"),
}
FILTERS = 32
BATCH = 500  # images at once


@functools.cache
def load_judge(data: str = "mnist", device: str = "cpu") -> CNN:
    r"""The trained classifier of ``data``, "mnist" or "fashion", in eval mode: images
    (N, 1, 28, 28) in [0, 1] to logits (N, 10)."""
    if data not in WEIGHTS:
        raise ValueError(f"judge: expected data {' or '.join(WEIGHTS)}, got {data!r}")
    # First weights are drawn, and replaced; a run must not depend on who asked the judge before.
    default = default_generator()
    with generators_restored({default: default.get_state()}):
        model = CNN(FILTERS)
    model.load_state_dict(load_safetensors(WEIGHTS[data]))
    return model.to(device).eval()


def look(images: Any, data: str = "mnist") -> tuple[np.ndarray, np.ndarray]:
    r"""The judge's features (N, 32) and probabilities p(y|x) (N, 10) of images with 784 pixels in
    [0, 1], as a tensor or an array of any shape (N, ...).

    Raises:
        ValueError: not 784 pixels each, no images, or values outside [0, 1].
    """
    x = mg.as_tensor(images, dtype=mg.float32).detach()
    if x.ndim < 2 or len(x) == 0 or x[0].numel() != 784:
        raise ValueError(f"judge: expected images (N, ...) of 784 pixels, got {x.shape}")
    low, high = x.min().item(), x.max().item()
    if not 0 <= low <= high <= 1:
        raise ValueError(f"judge: expected values in [0, 1], got {low:.3g} to {high:.3g}")
    model = load_judge(data, str(x.device))
    means, answers = [], []
    with mg.no_grad():
        for start in range(0, len(x), BATCH):
            maps = model.features(x[start : start + BATCH].reshape(-1, 1, 28, 28))  # (n, 32, 3, 3)
            means.append(maps.mean((2, 3)))
            answers.append(model.classifier(maps).softmax(1))
    seen, p = (mg.cat(parts, 0).cpu().numpy().astype(np.float64) for parts in (means, answers))
    return seen, p


def opinions(images: Any, data: str = "mnist") -> np.ndarray:
    r"""The judge's probabilities p(y|x), (N, 10); images as in :func:`look`."""
    return look(images, data)[1]


def features(images: Any, data: str = "mnist") -> np.ndarray:
    r"""The judge's features, (N, 32); images as in :func:`look`."""
    return look(images, data)[0]


def recognised(images: Any, labels: Any, data: str = "mnist") -> float:
    r"""The share of the images that the judge takes for what ``labels`` (N,) say."""
    called = opinions(images, data).argmax(1)
    return float((called == _classes(labels, len(called))).mean())


def score(images: Any, data: str = "mnist") -> float:
    r"""exp of the mean divergence of one image's opinion from the average opinion: 1 to 10.

    It sees neither noise within a digit nor a class that always looks the same; a model that learns
    ten images by heart reaches 10.
    """
    return _score(opinions(images, data))


def frechet(images: Any, reference: Any = None, data: str = "mnist") -> float:
    r"""The Fréchet distance of the features of ``images`` and of ``reference``, by default all real
    test images. It is smaller for more images: compare it with that of as many real ones."""
    other = _real(data).features if reference is None else features(reference, data)
    return frechet_distance(features(images, data), other)


def diversity(images: Any, labels: Any, data: str = "mnist") -> float:
    r"""The mean Euclidean distance between two different images of a class, of at most 300, as a
    share of that of real test images, averaged over the ten classes. A class with fewer than two
    images counts 0."""
    made = _pixels(images)
    return float((_spread(made, _classes(labels, len(made))) / _real(data).spread).mean())


def glance(images: Any, known: Any = None, data: str = "mnist") -> dict[str, float]:
    r"""``judge_score`` and ``frechet`` of the first 1,000 images: for a curve during training.

    Args:
        known: :func:`features` of the images to compare with; by default all real test images'.
    """
    seen, p = look(images[:1000], data)
    return {
        "judge_score": _score(p),
        "frechet": frechet_distance(seen, _real(data).features if known is None else known),
    }


def verdict(images: Any, labels: Any = None, data: str = "mnist") -> dict[str, float]:
    r"""All figures that the file's first lines explain.

    Args:
        images: as in :func:`look`, at least 4, and 2,000 or more to say much.
        labels: (N,) what a conditional model was asked for. Without them the judge says what is
            what, and there is no ``recognised_accuracy``.
        data: "mnist" or "fashion".
    """
    seen, p = look(images, data)
    made, real, called = _pixels(images), _real(data), p.argmax(1)
    wanted = called if labels is None else _classes(labels, len(p))
    few = min(2000, len(p))
    precision, recall = precision_recall(
        real.features[_some(10_000, few)], seen[_some(len(p), few)]
    )
    shares = np.bincount(called, minlength=10) / len(p)
    figures = {
        "judge_score": _score(p),
        "frechet": frechet_distance(seen, real.features),
        "precision": precision,
        "recall": recall,
        "least_class": float(shares.min()),
        "greatest_class": float(shares.max()),
        "confident": float((p.max(1) > 0.95).mean()),
        "knn_error": _knn_error(made, wanted, data),
        "nearest": _nearest(made[_some(len(made), 500)], real.known) / real.nearest,
        "diversity": diversity(made, wanted, data),
        **_floor(len(p), data),
    }
    if labels is not None:
        figures["recognised_accuracy"] = float((called == wanted).mean())
    return figures


class _Real:
    r"""The real images, and what the generated ones are compared with."""

    def __init__(self, data: str) -> None:
        train, test = KINDS[data](train=True), KINDS[data](train=False)
        self.known, self.known_labels = train.arrays(flatten=True)  # (60000, 784), (60000,)
        self.images, self.labels = test.arrays(flatten=True)  # (10000, 784), (10000,)
        self.features = features(self.images, data)  # (10000, 32)
        self.spread = _spread(self.images, self.labels)  # (10,)

    @functools.cached_property
    def nearest(self) -> float:
        return _nearest(self.images[_some(len(self.images), 500)], self.known)


@functools.cache
def _real(data: str) -> _Real:
    return _Real(data)


@functools.cache
def _floor(n: int, data: str) -> dict[str, float]:
    """What ``n`` real training images reach in the figures that depend on how many they are; the
    Fréchet distance, which varies by a fifth, is the mean of three draws where there are enough."""
    real = _real(data)
    count = 3 if 3 * n <= len(real.known) else 1
    draws = np.array_split(_some(len(real.known), count * n), count)
    return {
        "frechet_floor": sum(frechet(real.known[some], data=data) for some in draws) / count,
        "knn_error_real": _knn_error(real.known[draws[0]], real.known_labels[draws[0]], data),
    }


def _score(p: np.ndarray) -> float:
    divergence = (p * (np.log(p + 1e-12) - np.log(p.mean(0) + 1e-12))).sum(1)
    return float(np.exp(divergence.mean()))


def _knn_error(images: np.ndarray, labels: np.ndarray, data: str) -> float:
    """On 2,000 test images."""
    real, some = _real(data), _some(10_000, 2000)
    return 1 - knn_accuracy(real.images[some], real.labels[some], images, labels, k=1)


def _nearest(images: np.ndarray, known: np.ndarray) -> float:
    """The mean distance from (N, 784) to the nearest of (M, 784), in float32: 60,000 images have
    many numbers, and the third digit says enough."""
    squares = np.einsum("md,md->m", known, known)
    found = [
        (squares - 2 * part @ known.T).min(1) + (part**2).sum(1)
        for part in np.array_split(images, max(1, len(images) // 100))
    ]
    return float(np.sqrt(np.maximum(np.concatenate(found), 0)).mean())


def _spread(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The mean distance between two of at most 300 images of each class, (10,)."""
    found = np.zeros(10)
    for k in range(10):
        members = np.flatnonzero(labels == k)
        x = images[members[_some(len(members), 300)]].astype(np.float64)
        if len(x) >= 2:
            squares = (x**2).sum(1)
            d = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0)
            np.fill_diagonal(d, 0)
            found[k] = np.sqrt(d).sum() / (len(x) * (len(x) - 1))
    return found


def _some(n: int, count: int) -> np.ndarray:
    """``count`` of the numbers below n, at most all, always the same. Drawn at random: every
    twelfth MNIST image is a sample with a Fréchet distance of 0.20, not 0.03."""
    return np.random.default_rng(0).permutation(n)[:count]


def _pixels(images: Any) -> np.ndarray:
    x = mg.as_tensor(images, dtype=mg.float32).detach().cpu().numpy()
    return x.reshape(len(x), -1)


def _classes(labels: Any, n: int) -> np.ndarray:
    y = labels.cpu().numpy() if isinstance(labels, mg.Tensor) else np.asarray(labels)
    if y.shape != (n,):
        raise ValueError(f"judge: expected {n} labels, got shape {y.shape}")
    return y
