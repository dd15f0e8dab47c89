r"""The judge: a classifier of digits, trained apart, that looks at digits that models make.

Belongs here: the trained classifier and the figures that follow from its opinion. Does not belong
here: the network and its training (``models/supervised/cnn.py``).

Its weights, 21,706 numbers in ``judge.safetensors``, come from

    python -m models.supervised.cnn --filters 32 --seed 0

which never saw a test image and recognises 99.25 % of them. It knows digits only: of ten answers it
gives one, whatever the picture. So what it makes of a generated image says something only beside
what it makes of real digits and of noise.

    recognised   share of the images that it takes for the digit that they were made as
    score        exp mean_n KL(p(y|x_n) || mean_m p(y|x_m)), between 1 and 10: high where each image
                 is clearly one digit and all digits occur (Salimans et al., Improved techniques for
                 training GANs, 2016). Real digits: 9.70; uniform noise: 1.00
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor
from minigrad.train import load_safetensors
from models.supervised.cnn import CNN

__all__ = ["load_judge", "opinions", "recognised", "score"]

WEIGHTS = Path(__file__).with_suffix(".safetensors")
FILTERS = 32
BATCH = 500  # images at once


@functools.cache
def load_judge(device: str = "cpu") -> CNN:
    r"""The trained classifier, in eval mode: images (N, 1, 28, 28) in [0, 1] to logits (N, 10)."""
    model = CNN(FILTERS)
    model.load_state_dict(load_safetensors(WEIGHTS))
    return model.to(device).eval()


def opinions(images: Any) -> np.ndarray:
    r"""The judge's probabilities p(y|x), (N, 10), of images with 784 pixels in [0, 1], as a tensor
    or an array of any shape (N, ...).

    Raises:
        ValueError: not 784 pixels each, no images, or values outside [0, 1].
    """
    x = mg.as_tensor(images, dtype=mg.float32).detach()
    if x.ndim < 2 or len(x) == 0 or x[0].numel() != 784:
        raise ValueError(f"judge: expected images (N, ...) of 784 pixels, got {x.shape}")
    low, high = x.min().item(), x.max().item()
    if not 0 <= low <= high <= 1:
        raise ValueError(f"judge: expected values in [0, 1], got {low:.3g} to {high:.3g}")
    model = load_judge(str(x.device))
    parts: list[Tensor] = []
    with mg.no_grad():
        for start in range(0, len(x), BATCH):
            part = x[start : start + BATCH].reshape(-1, 1, 28, 28)
            parts.append(model(part).softmax(1))
    return mg.cat(parts, 0).cpu().numpy().astype(np.float64)


def recognised(images: Any, labels: Any) -> float:
    r"""The share of the images that the judge takes for what ``labels`` (N,) say."""
    wanted = np.asarray(labels)
    p = opinions(images)
    if wanted.shape != (len(p),):
        raise ValueError(f"judge: expected {len(p)} labels, got shape {wanted.shape}")
    return float((p.argmax(1) == wanted).mean())


def score(images: Any) -> float:
    r"""exp of the mean divergence of one image's opinion from the average opinion: 1 to 10.

    It sees neither noise within a digit nor a class that always looks the same; a model that learns
    ten images by heart reaches 10.
    """
    p = opinions(images)
    divergence = (p * (np.log(p + 1e-12) - np.log(p.mean(0) + 1e-12))).sum(1)
    return float(np.exp(divergence.mean()))
