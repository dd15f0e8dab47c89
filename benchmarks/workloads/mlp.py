r"""A classifier of fully connected layers: 784-256-256-10 with ReLU, cross-entropy, Adam."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step, images, layer, state

TITLE = "MLP 784-256-256-10, batch 128, Adam"
ROWS = 128


def arrays(rng: np.random.Generator) -> Arrays:
    x, labels = images(rng, ROWS)
    return {
        "x": x.reshape(BATCHES, ROWS, 784),
        "labels": labels,
        **layer(rng, "0", 256, 784),
        **layer(rng, "2", 256, 256),
        **layer(rng, "4", 10, 256),
    }


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    nn = torch.nn
    model = nn.Sequential(
        nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10)
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
    model = tools.model(**{f"l{k}": tools.linear(weights, k) for k in "024"})
    optimizer = tools.adam(model)
    one_hot = np.eye(10, dtype=np.float32)[arrays["labels"]]

    def step(i: int) -> Any:
        logits = model.l4(F.relu(model.l2(F.relu(model.l0(arrays["x"][i])))))
        loss = tools.cross_entropy(logits, one_hot[i])
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return loss.data

    return step


def start_autograd(autograd: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    import autograd.numpy as anp

    from benchmarks.workloads.autograd_tools import relu, trainer

    def loss(p: Any, x: Any, one_hot: Any) -> Any:
        h = relu(x @ p["0.weight"].T + p["0.bias"])
        h = relu(h @ p["2.weight"].T + p["2.bias"])
        logits = h @ p["4.weight"].T + p["4.bias"]
        shifted = logits - anp.max(logits, axis=1, keepdims=True)
        log_sum = anp.log(anp.sum(anp.exp(shifted), axis=1))
        return anp.mean(log_sum - anp.sum(shifted * one_hot, axis=1))

    train = trainer(autograd, state(arrays), loss)
    one_hot = np.eye(10, dtype=np.float32)[arrays["labels"]]
    return lambda i: train(arrays["x"][i], one_hot[i])


SIDES = {"minigrad": start, "torch": start, "dezero": start_dezero, "autograd": start_autograd}
CANNOT: dict[str, str] = {}
