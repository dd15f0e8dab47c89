r"""A residual network of 20 layers for images of 32 x 32 (He et al., 2016, section 4.2); the images
are random."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES, Arrays, Step, initial, load

TITLE = "ResNet-20, images (3, 32, 32), batch 64, Adam"
ROWS = 64


def build(torch: Any) -> Any:
    r"""For PyTorch and minigrad: 3 groups of 3 blocks with 16, 32 and 64 channels."""
    nn, F = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, channels: int, out: int, stride: int) -> None:
            super().__init__()
            self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
            self.norm1 = nn.BatchNorm2d(out)
            self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
            self.norm2 = nn.BatchNorm2d(out)
            self.shortcut = None
            if stride != 1 or channels != out:
                self.shortcut = nn.Conv2d(channels, out, 1, stride=stride, bias=False)

        def forward(self, x: Any) -> Any:
            h = F.relu(self.norm1(self.conv1(x)))
            h = self.norm2(self.conv2(h))
            return F.relu(h + (x if self.shortcut is None else self.shortcut(x)))

    blocks = []
    channels = 16
    for out in (16, 32, 64):
        for i in range(3):
            blocks.append(Block(channels, out, 2 if out > 16 and i == 0 else 1))
            channels = out
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, 10),
    )


def arrays(rng: np.random.Generator) -> Arrays:
    return {
        "x": rng.standard_normal((BATCHES, ROWS, 3, 32, 32), np.float32),
        "labels": rng.integers(0, 10, (BATCHES, ROWS)),
        **initial(rng, model=build),
    }


def start(torch: Any, arrays: Arrays, adam: dict[str, Any]) -> Step:
    r"""For PyTorch and minigrad."""
    model = load(torch, build(torch), arrays, "model")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, **adam)
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
CANNOT = {
    "dezero": "not written for it",
    "autograd": "has no convolution with a usable gradient rule for batches of images",
}
