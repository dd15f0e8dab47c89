r"""A normalising flow: six affine coupling layers on vectors of eight numbers (Dinh et al., 2017).

Each layer keeps one half and, by a small network of it, shifts and scales the other; the halves
take turns. The loss is the negative log-likelihood of data that went through a random linear map
and a tanh."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step, layer, state

TITLE = "RealNVP, 6 affine couplings of hidden 128 on 8-D data, batch 256, Adam"
ROWS, SIZE, HIDDEN, LAYERS = 256, 8, 128, 6
HALF = SIZE // 2


def arrays(rng: np.random.Generator) -> Arrays:
    noise = rng.standard_normal((BATCHES, ROWS, SIZE))
    mixed = np.tanh(noise @ rng.standard_normal((SIZE, SIZE))) + 0.1 * noise
    weights: Arrays = {}
    for i in range(LAYERS):
        weights |= layer(rng, f"{i}.0", HIDDEN, HALF)
        weights |= layer(rng, f"{i}.2", HIDDEN, HIDDEN)
        weights |= layer(rng, f"{i}.4", 2 * HALF, HIDDEN)
    return {"x": mixed.astype(np.float32), **weights}


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    nn, F = torch.nn, torch.nn.functional

    def network() -> Any:
        return nn.Sequential(
            nn.Linear(HALF, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 2 * HALF),
        )

    networks = nn.ModuleList([network() for _ in range(LAYERS)])
    networks.load_state_dict({k: torch.from_numpy(v) for k, v in state(arrays).items()})
    optimizer = torch.optim.Adam(networks.parameters(), lr=1e-3, **adam)
    batches = list(torch.from_numpy(arrays["x"]))

    def step(i: int) -> Any:
        kept, rest = batches[i].chunk(2, -1)  # (N, 4) each
        log_det: Any = 0.0
        for net in networks:
            shift, log_scale = net(kept).chunk(2, -1)
            log_scale = F.tanh(log_scale)
            kept, rest = rest * log_scale.exp() + shift, kept
            log_det = log_det + log_scale.sum(-1)
        square = (kept * kept).sum(-1) + (rest * rest).sum(-1)
        loss = (0.5 * square - log_det).mean() + 0.5 * SIZE * math.log(2 * math.pi)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def start_autograd(autograd: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    import autograd.numpy as anp

    from benchmarks.workloads.autograd_tools import relu, trainer

    def dense(p: Any, name: str, x: Any) -> Any:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def loss(p: Any, x: Any) -> Any:
        kept, rest = x[:, :HALF], x[:, HALF:]
        log_det: Any = np.float32(0)
        for i in range(LAYERS):
            h = relu(dense(p, f"{i}.2", relu(dense(p, f"{i}.0", kept))))
            both = dense(p, f"{i}.4", h)
            shift, log_scale = both[:, :HALF], anp.tanh(both[:, HALF:])
            kept, rest = rest * anp.exp(log_scale) + shift, kept
            log_det = log_det + anp.sum(log_scale, 1)
        square = anp.sum(kept * kept, 1) + anp.sum(rest * rest, 1)
        return anp.mean(0.5 * square - log_det) + 0.5 * SIZE * math.log(2 * math.pi)

    train = trainer(autograd, state(arrays), loss)
    return lambda i: train(arrays["x"][i])


SIDES = {"minigrad": start, "torch": start, "autograd": start_autograd}
CANNOT = {"dezero": "not written for it"}
