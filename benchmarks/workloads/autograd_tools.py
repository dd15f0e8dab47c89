r"""What HIPS autograd leaves to its users: an optimiser that can be asked for one step.

Belongs here: what more than one workload needs of that library. Does not belong here: networks.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Params = dict[str, np.ndarray]


def relu(x: Any) -> Any:
    r"""max(x, 0), in its fastest form: autograd's own maximum takes care of ties, at a price."""
    return x * (x > 0)


class Adam:
    r"""The lines of ``autograd.misc.optimizers.adam``, which is a loop around a whole training, as
    an object. Array by array and in float32: the original first copies all into one in float64."""

    def __init__(self, params: Params, lr: float = 1e-3) -> None:
        self.params, self.lr = params, lr
        self.m = {k: np.zeros_like(p) for k, p in params.items()}
        self.v = {k: np.zeros_like(p) for k, p in params.items()}
        self.t = 0

    def step(self, grads: Params, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> None:
        r"""Change every parameter once."""
        self.t += 1
        for k, g in grads.items():
            m = self.m[k] = (1 - b1) * g + b1 * self.m[k]
            v = self.v[k] = (1 - b2) * (g**2) + b2 * self.v[k]
            mhat = m / (1 - b1**self.t)
            vhat = v / (1 - b2**self.t)
            self.params[k] = self.params[k] - self.lr * mhat / (np.sqrt(vhat) + eps)


def trainer(autograd: Any, params: Params, loss: Callable[..., Any]) -> Callable[..., Any]:
    r"""``train(*batch)``: one step of Adam on ``loss(params, *batch)``, which it returns."""
    from autograd import value_and_grad

    optimizer = Adam(params)
    value_and_gradient = value_and_grad(loss)

    def train(*batch: np.ndarray) -> Any:
        value, grads = value_and_gradient(optimizer.params, *batch)
        optimizer.step(grads)
        return value

    return train
