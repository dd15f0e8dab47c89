r"""The capsules of Sabour et al. (2017) without the convolutions before them: predictions of 1152
capsules for ten digits, three rounds of routing by agreement, margin loss."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step

TITLE = "CapsNet routing, 1152 x 8 to 10 x 16, 3 rounds, batch 16, Adam"
ROWS = 16
CAPSULES, DIGITS, ROUNDS = 1152, 10, 3


def arrays(rng: np.random.Generator) -> Arrays:
    u = rng.standard_normal((BATCHES, ROWS, CAPSULES, 8), np.float32)
    return {
        "u": u / np.linalg.norm(u, axis=-1, keepdims=True),
        "labels": rng.integers(0, DIGITS, (BATCHES, ROWS)),
        "weight": 0.1 * rng.standard_normal((CAPSULES, DIGITS, 8, 16), np.float32),
    }


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    F = torch.nn.functional
    weight = torch.nn.Parameter(torch.from_numpy(arrays["weight"]))
    optimizer = torch.optim.Adam([weight], lr=1e-4, **adam)
    present = torch.from_numpy(np.eye(DIGITS, dtype=np.float32)[arrays["labels"]])
    batches = list(zip(torch.from_numpy(arrays["u"]), present))

    def squash(s: Any) -> Any:
        r"""A vector of the same direction and length |s|^2 / (1 + |s|^2)."""
        square = (s * s).sum(-1, keepdim=True)
        return s * (square / (1 + square) / (square + 1e-8).sqrt())

    def step(i: int) -> Any:
        u, t = batches[i]
        predicted = torch.einsum("nci,cdio->ncdo", u, weight)  # (N, 1152, 10, 16)
        # The agreement takes no part in the gradient; the last round's vectors do.
        fixed = predicted.detach()
        b = torch.zeros(ROWS, CAPSULES, DIGITS)
        for _ in range(ROUNDS - 1):
            v = squash((F.softmax(b, 2).unsqueeze(-1) * fixed).sum(1))  # (N, 10, 16)
            b = b + (fixed * v.unsqueeze(1)).sum(-1)
        v = squash((F.softmax(b, 2).unsqueeze(-1) * predicted).sum(1))
        length = ((v * v).sum(-1) + 1e-8).sqrt()  # (N, 10)
        loss = t * F.relu(0.9 - length) ** 2 + 0.5 * (1 - t) * F.relu(length - 0.1) ** 2
        loss = loss.sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


SIDES = {"minigrad": start, "torch": start}
CANNOT = {
    "dezero": "not written for it",
    "autograd": "not written for it",
}
