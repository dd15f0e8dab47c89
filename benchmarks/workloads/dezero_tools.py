r"""What DeZero leaves to its users.

Belongs here: what more than one workload needs of that library. Does not belong here: networks.

DeZero 0.0.13 drifts to float64 under NumPy 2: it turns the number in ``x * 2`` into a 0-d float64
array, whose dtype then wins. Its own losses do so. Here numbers are np.float32 and losses are
composed so that all stays float32, which is its best case.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.workloads import Arrays


def linear(weights: Arrays, name: str) -> Any:
    r"""A fully connected layer with the given weights; DeZero's are (in, out)."""
    from dezero import layers

    weight = weights[f"{name}.weight"]
    result = layers.Linear(weight.shape[0], in_size=weight.shape[1])
    result.W.data = np.ascontiguousarray(weight.T)
    result.b.data = weights[f"{name}.bias"].copy()
    return result


def conv(weights: Arrays, name: str) -> Any:
    r"""A convolution without padding, with the given weights."""
    from dezero import layers

    weight = weights[f"{name}.weight"]
    result = layers.Conv2d(weight.shape[0], weight.shape[2], in_channels=weight.shape[1])
    result.W.data = weight.copy()
    result.b.data = weights[f"{name}.bias"].copy()
    return result


def model(**layers: Any) -> Any:
    r"""A holder of layers for the optimiser."""
    from dezero import Model

    result = Model()
    for name, one in layers.items():
        setattr(result, name, one)
    return result


def cross_entropy(logits: Any, one_hot: np.ndarray) -> Any:
    r"""Mean cross-entropy of logits (N, C) and one-hot labels (N, C), float32 throughout."""
    from dezero import functions as F

    return F.sum(F.log_softmax(logits) * one_hot) * np.float32(-1 / len(one_hot))


def adam(model: Any) -> Any:
    r"""DeZero's Adam on a model. It adds eps to the root before the bias correction, the others
    after it; an eps that follows the correction makes them one."""
    from dezero import optimizers

    class Adam(optimizers.Adam):
        def update(self) -> None:
            self.eps = 1e-8 * math.sqrt(1 - self.beta2 ** (self.t + 1))
            super().update()

    return Adam(alpha=1e-3).setup(model)
