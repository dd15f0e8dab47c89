r"""The workloads: one file each, and what they share.

Belongs here: networks, losses and data to be timed, once for every framework. Does not belong
here: how they are timed (``harness.py``).

A workload is a module with

    TITLE        what it is, in a line
    ROWS         training examples in a step
    arrays(rng)  everything that the frameworks must share, as a dictionary of arrays: initial
                 weights named ``model.<state-dict key>``, data with the batches along the first
                 axis, BATCHES of them
    SIDES        {library: start}, where ``start(library, arrays, adam)`` builds the network from
                 the imported library and the arrays and returns ``step``; ``adam`` holds further
                 options for the optimiser. ``step(i)`` trains once on batch ``i`` and returns
                 the loss before the change
    CANNOT       {library: why it is not among the sides}

minigrad has PyTorch's names, so one function serves both. To add a workload, add a file and its
name below; a framework that cannot run it goes to CANNOT with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["BATCHES", "NAMES", "Arrays", "Step", "images", "initial", "layer", "load", "state"]

NAMES = ("mlp", "cnn", "vae", "vae_conv", "dcgan", "resnet20", "capsnet", "realnvp", "lstm", "dqn")
BATCHES = 8  # prepared before timing; a step takes them in turn

Arrays = dict[str, np.ndarray]
Step = Callable[[int], Any]


def layer(rng: np.random.Generator, name: str, out: int, *shape: int) -> Arrays:
    r"""Weight (out, *shape) and bias (out,) of a layer, uniform as PyTorch's are."""
    bound = 1 / math.sqrt(math.prod(shape))
    return {
        f"model.{name}.weight": rng.uniform(-bound, bound, (out, *shape)).astype(np.float32),
        f"model.{name}.bias": rng.uniform(-bound, bound, out).astype(np.float32),
    }


def state(arrays: Arrays, name: str = "model") -> Arrays:
    r"""The initial weights of network ``name`` among the arrays, by their names in the state
    dictionary."""
    start = name + "."
    return {k.removeprefix(start): v for k, v in arrays.items() if k.startswith(start)}


def initial(rng: np.random.Generator, **build: Callable[[Any], Any]) -> Arrays:
    r"""The initial weights of networks: ``name=build``, where ``build(minigrad)`` makes one."""
    import minigrad

    minigrad.manual_seed(int(rng.integers(2**31)))
    return {
        f"{name}.{key}": value.numpy()
        for name, make in build.items()
        for key, value in make(minigrad).state_dict().items()
    }


def load(torch: Any, model: Any, arrays: Arrays, name: str) -> Any:
    r"""``model``, of PyTorch or minigrad, with the weights of network ``name``."""
    values = state(arrays, name)
    model.load_state_dict({k: torch.as_tensor(v) for k, v in values.items()})
    return model


def images(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, np.ndarray]:
    r"""MNIST images (BATCHES, rows, 1, 28, 28), float32 in [0, 1], and labels (BATCHES, rows)."""
    from minigrad.data import MNIST

    data = MNIST(train=True)
    chosen = rng.permutation(len(data))[: BATCHES * rows]
    pairs = [data[int(i)] for i in chosen]
    pixels = np.stack([np.asarray(x, np.float32) for x, _ in pairs])
    labels = np.array([int(y) for _, y in pairs], np.int64)
    return pixels.reshape(BATCHES, rows, 1, 28, 28), labels.reshape(BATCHES, rows)
