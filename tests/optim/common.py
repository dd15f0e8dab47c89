"""Parameters, gradients and optimisers that the tests of this folder share."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim

SHAPES = [(3, 4), (5,), (), (2, 1, 3), (0,)]

MAKERS = {
    "sgd": lambda params: optim.SGD(params, lr=0.1),
    "momentum": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, dampening=0.2),
    "nesterov": lambda params: optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True),
    "rmsprop": lambda params: optim.RMSprop(params, lr=0.05, momentum=0.5, centered=True),
    "adam": lambda params: optim.Adam(params, lr=0.05, weight_decay=0.1),
    "amsgrad": lambda params: optim.Adam(params, lr=0.05, amsgrad=True),
    "adamw": lambda params: optim.AdamW(params, lr=0.05),
    "adagrad": lambda params: optim.Adagrad(
        params, lr=0.3, lr_decay=0.01, initial_accumulator_value=0.1
    ),
    "adadelta": lambda params: optim.Adadelta(params, lr=5.0, eps=1e-4),
    "adamax": lambda params: optim.Adamax(params, lr=0.05, weight_decay=0.1),
    "nadam": lambda params: optim.NAdam(params, lr=0.05, momentum_decay=0.1),
    "radam": lambda params: optim.RAdam(params, lr=0.05, betas=(0.9, 0.9)),
}
every = pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)


def parameters(seed: int = 0, dtype=np.float64, shapes=SHAPES) -> list[mg.Tensor]:
    rng = np.random.default_rng(seed)
    return [mg.tensor(rng.normal(size=s).astype(dtype), requires_grad=True) for s in shapes]


def set_gradients(params: list[mg.Tensor], rng: np.random.Generator) -> None:
    for p in params:
        p.grad = mg.Tensor(np.asarray(rng.normal(size=p.shape), p.dtype))


def run(optimizer, params, steps: int, seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        set_gradients(params, rng)
        optimizer.step()


def values(params) -> list[np.ndarray]:
    return [p.detach().numpy().copy() for p in params]


def assert_equal(a, b) -> None:
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)
