r"""A classifier that reads MNIST row by row: an LSTM of 128 units, 28 steps, and a linear head."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step, images, initial, load

TITLE = "LSTM 128 on rows of MNIST, 28 steps, batch 128, Adam"
ROWS = 128


def build(torch: Any) -> Any:
    r"""For PyTorch and minigrad."""
    nn = torch.nn

    class Reader(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(28, 128)
            self.head = nn.Linear(128, 10)

        def forward(self, x: Any) -> Any:
            _, (h, _) = self.lstm(x)  # x (28, N, 28)
            return self.head(h[0])

    return Reader()


def arrays(rng: np.random.Generator) -> Arrays:
    x, labels = images(rng, ROWS)
    rows = np.ascontiguousarray(x.reshape(BATCHES, ROWS, 28, 28).transpose(0, 2, 1, 3))
    return {"x": rows, "labels": labels, **initial(rng, model=build)}


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    model = load(torch, build(torch), arrays, "model")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **adam)
    batches = list(zip(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["labels"])))

    def step(i: int) -> Any:
        x, labels = batches[i]
        loss = torch.nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


SIDES = {"minigrad": start, "torch": start}
CANNOT = {"dezero": "not written for it", "autograd": "not written for it"}
