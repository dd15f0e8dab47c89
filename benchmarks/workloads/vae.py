r"""The variational autoencoder of ``models/variational/vae.py``: 784-256-(20, 20)-256-784,
Bernoulli pixels. The noise is given, so that every framework draws the same codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step, images, layer, state

TITLE = "VAE 784-256-20-256-784, batch 100, Adam"
ROWS = 100


def arrays(rng: np.random.Generator) -> Arrays:
    x, _ = images(rng, ROWS)
    return {
        "x": x.reshape(BATCHES, ROWS, 784),
        "noise": rng.standard_normal((BATCHES, ROWS, 20), np.float32),
        **layer(rng, "encoder", 256, 784),
        **layer(rng, "mean", 20, 256),
        **layer(rng, "log_var", 20, 256),
        **layer(rng, "hidden", 256, 20),
        **layer(rng, "decoder", 784, 256),
    }


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    nn, F = torch.nn, torch.nn.functional

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(784, 256)
            self.mean = nn.Linear(256, 20)
            self.log_var = nn.Linear(256, 20)
            self.hidden = nn.Linear(20, 256)
            self.decoder = nn.Linear(256, 784)

        def forward(self, x: Any, noise: Any) -> Any:
            h = F.relu(self.encoder(x))
            mean, log_var = self.mean(h), self.log_var(h)
            z = mean + (0.5 * log_var).exp() * noise  # (N, 20)
            return self.decoder(F.relu(self.hidden(z))), mean, log_var

    model = VAE()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in state(arrays).items()})
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **adam)
    batches = list(zip(torch.from_numpy(arrays["x"]), torch.from_numpy(arrays["noise"])))

    def step(i: int) -> Any:
        x, noise = batches[i]
        logits, mean, log_var = model(x, noise)
        reconstruction = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        kl = 0.5 * (log_var.exp() + mean**2 - 1 - log_var).sum()
        loss = (reconstruction + kl) / ROWS
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def start_dezero(dezero: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    from benchmarks.workloads import dezero_tools as tools

    F = dezero.functions
    weights = state(arrays)
    names = ("encoder", "mean", "log_var", "hidden", "decoder")
    model = tools.model(**{k: tools.linear(weights, k) for k in names})
    optimizer = tools.adam(model)
    half, one = np.float32(0.5), np.float32(1)
    complement = 1 - arrays["x"]

    def step(i: int) -> Any:
        x = arrays["x"][i]
        h = F.relu(model.encoder(x))
        mean, log_var = model.mean(h), model.log_var(h)
        z = mean + F.exp(log_var * half) * arrays["noise"][i]
        logits = model.decoder(F.relu(model.hidden(z)))
        # There is no softplus: log sigmoid twice, which is exact enough for |logits| < 80.
        likelihood = F.log(F.sigmoid(logits)) * x + F.log(F.sigmoid(-logits)) * complement[i]
        kl = F.sum(F.exp(log_var) + mean * mean - one - log_var) * half
        loss = (kl - F.sum(likelihood)) * np.float32(1 / ROWS)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return loss.data

    return step


def start_autograd(autograd: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    import autograd.numpy as anp

    from benchmarks.workloads.autograd_tools import relu, trainer

    def dense(p: Any, name: str, x: Any) -> Any:
        return x @ p[f"{name}.weight"].T + p[f"{name}.bias"]

    def loss(p: Any, x: Any, noise: Any) -> Any:
        h = relu(dense(p, "encoder", x))
        mean, log_var = dense(p, "mean", h), dense(p, "log_var", h)
        z = mean + anp.exp(0.5 * log_var) * noise
        logits = dense(p, "decoder", relu(dense(p, "hidden", z)))
        reconstruction = anp.sum(anp.logaddexp(np.float32(0), logits) - x * logits)
        kl = 0.5 * anp.sum(anp.exp(log_var) + mean**2 - 1 - log_var)
        return (reconstruction + kl) / ROWS

    train = trainer(autograd, state(arrays), loss)
    return lambda i: train(arrays["x"][i], arrays["noise"][i])


SIDES = {"minigrad": start, "torch": start, "dezero": start_dezero, "autograd": start_autograd}
CANNOT: dict[str, str] = {}
