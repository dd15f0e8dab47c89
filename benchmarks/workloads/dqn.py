r"""One update of deep Q-learning on a problem of CartPole's size: a small network, for which the
cost of a framework is what it does around the arithmetic.

    target = r + gamma (1 - done) max_a' Q(s', a'; old weights),   no gradient
    loss   = mean smooth_l1(Q(s, a) - target)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step, layer, state

TITLE = "DQN update 4-128-128-2, batch 64, Adam"
ROWS = 64
GAMMA = 0.99


def arrays(rng: np.random.Generator) -> Arrays:
    shape = (BATCHES, ROWS)
    return {
        "states": rng.standard_normal((*shape, 4), np.float32),
        "next_states": rng.standard_normal((*shape, 4), np.float32),
        "actions": rng.integers(0, 2, (*shape, 1)),
        # Spread so that both branches of smooth_l1 are taken.
        "rewards": rng.normal(1, 2, shape).astype(np.float32),
        "going_on": (rng.random(shape) > 0.05).astype(np.float32),
        **layer(rng, "0", 128, 4),
        **layer(rng, "2", 128, 128),
        **layer(rng, "4", 2, 128),
    }


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    nn, F = torch.nn, torch.nn.functional
    networks = []
    for _ in range(2):
        network = nn.Sequential(
            nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2)
        )
        network.load_state_dict({k: torch.from_numpy(v) for k, v in state(arrays).items()})
        networks.append(network)
    online, target = networks
    optimizer = torch.optim.Adam(online.parameters(), lr=1e-3, **adam)
    names = ("states", "actions", "rewards", "next_states", "going_on")
    batches = list(zip(*[torch.from_numpy(arrays[name]) for name in names]))

    def step(i: int) -> Any:
        states, actions, rewards, next_states, going_on = batches[i]
        with torch.no_grad():
            best = target(next_states).amax(1)  # (N,)
            wanted = rewards + GAMMA * going_on * best
        chosen = online(states).gather(1, actions).squeeze(1)  # (N,)
        loss = F.smooth_l1_loss(chosen, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def start_dezero(dezero: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    from benchmarks.workloads import dezero_tools as tools

    F = dezero.functions
    weights = state(arrays)
    online, target = (
        tools.model(**{f"l{k}": tools.linear(weights, k) for k in "024"}) for _ in range(2)
    )
    optimizer = tools.adam(online)
    rows = np.arange(ROWS)
    half, mean = np.float32(0.5), np.float32(1 / ROWS)

    def q(model: Any, states: np.ndarray) -> Any:
        return model.l4(F.relu(model.l2(F.relu(model.l0(states)))))

    def step(i: int) -> Any:
        with dezero.no_grad():
            best = q(target, arrays["next_states"][i]).data.max(axis=1)
        wanted = arrays["rewards"][i] + GAMMA * arrays["going_on"][i] * best
        chosen = q(online, arrays["states"][i])[rows, arrays["actions"][i, :, 0]]
        # There is no smooth_l1; with c = clip(d, -1, 1) it is c (d - c / 2).
        difference = chosen - wanted
        clipped = F.clip(difference, -1, 1)
        loss = F.sum(clipped * (difference - clipped * half)) * mean
        online.cleargrads()
        loss.backward()
        optimizer.update()
        return loss.data

    return step


def start_autograd(autograd: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    import autograd.numpy as anp

    from benchmarks.workloads.autograd_tools import relu, trainer

    def q(p: Any, x: Any) -> Any:
        h = relu(x @ p["0.weight"].T + p["0.bias"])
        h = relu(h @ p["2.weight"].T + p["2.bias"])
        return h @ p["4.weight"].T + p["4.bias"]

    def loss(p: Any, states: Any, actions: Any, wanted: Any) -> Any:
        difference = q(p, states)[rows, actions] - wanted
        size = anp.abs(difference)
        return anp.mean(anp.where(size < 1, 0.5 * difference**2, size - 0.5))

    rows = np.arange(ROWS)
    old = state(arrays)
    train = trainer(autograd, state(arrays), loss)

    def step(i: int) -> Any:
        best = q(old, arrays["next_states"][i]).max(axis=1)
        wanted = arrays["rewards"][i] + GAMMA * arrays["going_on"][i] * best
        return train(arrays["states"][i], arrays["actions"][i, :, 0], wanted)

    return step


SIDES = {"minigrad": start, "torch": start, "dezero": start_dezero, "autograd": start_autograd}
CANNOT: dict[str, str] = {}
