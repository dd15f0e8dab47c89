r"""A classifier of convolutions, that of ``models/supervised/cnn.py`` without its dropout, which
would draw other numbers in each framework."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import Arrays, Step, images, layer, state

TITLE = "CNN 3 x conv64 3x3 on MNIST, batch 128, Adam"
ROWS = 128


def arrays(rng: np.random.Generator) -> Arrays:
    x, labels = images(rng, ROWS)
    return {
        "x": x,
        "labels": labels,
        **layer(rng, "0", 64, 1, 3, 3),
        **layer(rng, "3", 64, 64, 3, 3),
        **layer(rng, "6", 64, 64, 3, 3),
        **layer(rng, "9", 10, 576),
    }


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 64, 3),  # (N, 64, 26, 26)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 64, 13, 13)
        nn.Conv2d(64, 64, 3),  # (N, 64, 11, 11)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 64, 5, 5)
        nn.Conv2d(64, 64, 3),  # (N, 64, 3, 3)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(576, 10),
    )
    model.load_state_dict({k: torch.from_numpy(v) for k, v in state(arrays).items()})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **adam)
    batches = list(zip(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["labels"])))

    def step(i: int) -> Any:
        x, labels = batches[i]
        loss = nn.functional.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def start_dezero(dezero: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    from benchmarks.workloads import dezero_tools as tools

    F = dezero.functions
    weights = state(arrays)
    model = tools.model(
        **{f"l{k}": tools.conv(weights, k) for k in "036"}, l9=tools.linear(weights, "9")
    )
    optimizer = tools.adam(model)
    one_hot = np.eye(10, dtype=np.float32)[arrays["labels"]]

    def step(i: int) -> Any:
        h = F.pooling(F.relu(model.l0(arrays["x"][i])), 2, 2)
        h = F.pooling(F.relu(model.l3(h)), 2, 2)
        logits = model.l9(F.flatten(F.relu(model.l6(h))))
        loss = tools.cross_entropy(logits, one_hot[i])
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return loss.data

    return step


SIDES = {"minigrad": start, "torch": start, "dezero": start_dezero}
CANNOT = {"autograd": "has no convolution with a usable gradient rule for batches of images"}
