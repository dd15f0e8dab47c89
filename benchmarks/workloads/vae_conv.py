r"""The convolutional variational autoencoder of ``models/variational/vae_conv.py``. The noise is
given, so that every framework draws the same codes."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step, images, initial, load

TITLE = "convolutional VAE on MNIST, batch 64, Adam"
ROWS = 64


def build(torch: Any) -> Any:
    r"""For PyTorch and minigrad."""
    nn = torch.nn

    class VAE(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Sequential(
                nn.Conv2d(1, 32, 3, stride=2, padding=1),  # (N, 32, 14, 14)
                nn.ReLU(),
                nn.Conv2d(32, 64, 3, stride=2, padding=1),  # (N, 64, 7, 7)
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(7 * 7 * 64, 16),
                nn.ReLU(),
            )
            self.mean = nn.Linear(16, 2)
            self.log_var = nn.Linear(16, 2)
            self.decoder = nn.Sequential(
                nn.Linear(2, 7 * 7 * 64),
                nn.Unflatten(1, (64, 7, 7)),
                nn.ConvTranspose2d(64, 64, 3, stride=2, padding=1, output_padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(64, 32, 3, stride=2, padding=1, output_padding=1),
                nn.ReLU(),
                nn.ConvTranspose2d(32, 1, 3, padding=1),
            )

        def forward(self, x: Any, noise: Any) -> Any:
            h = self.encoder(x)
            mean, log_var = self.mean(h), self.log_var(h)
            return self.decoder(mean + (0.5 * log_var).exp() * noise), mean, log_var

    return VAE()


def arrays(rng: np.random.Generator) -> Arrays:
    x, _ = images(rng, ROWS)
    noise = rng.standard_normal((BATCHES, ROWS, 2), np.float32)
    return {"x": x, "noise": noise, **initial(rng, model=build)}


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    F = torch.nn.functional
    model = load(torch, build(torch), arrays, "model")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, **adam)
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


SIDES = {"minigrad": start, "torch": start}
CANNOT = {
    "dezero": "not written for it",
    "autograd": "has no convolution with a usable gradient rule for batches of images",
}
