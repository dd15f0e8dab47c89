"""MobileNetV2 against the same network in PyTorch: logits of photos, and gradients."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import minigrad as mg  # noqa: E402
from models.supervised import mobilenet_v2  # noqa: E402
from models.supervised.mobilenet_v2 import BLOCKS, MobileNetV2, preprocess, pretrained  # noqa: E402

DATA = Path(os.environ.get("MINIGRAD_DATA", "/nonexistent"))
t = torch.nn


def unit(c_in, c_out, kernel, stride=1, groups=1):
    conv = t.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False)
    return t.Sequential(conv, t.BatchNorm2d(c_out), t.ReLU6())


class Block(t.Module):
    def __init__(self, c_in, c_out, stride, expansion):
        super().__init__()
        wide = c_in * expansion
        first = [unit(c_in, wide, 1)] if expansion != 1 else []
        self.conv = t.Sequential(
            *first, unit(wide, wide, 3, stride, wide),
            t.Conv2d(wide, c_out, 1, bias=False), t.BatchNorm2d(c_out),
        )  # fmt: skip
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x):
        return x + self.conv(x) if self.residual else self.conv(x)


class Theirs(t.Module):
    def __init__(self):
        super().__init__()
        layers, channels = [unit(3, 32, 3, 2)], 32
        for expansion, c, count, stride in BLOCKS:
            for k in range(count):
                layers.append(Block(channels, c, stride if k == 0 else 1, expansion))
                channels = c
        self.features = t.Sequential(*layers, unit(channels, 1280, 1))
        self.classifier = t.Sequential(t.Dropout(0.2), t.Linear(1280, 1000))

    def forward(self, x):
        return self.classifier(self.features(x).mean((2, 3)))


def test_logits_and_gradients_in_float64(tmp_path):
    torch.manual_seed(0)
    theirs = Theirs().double().eval()
    for buffer in theirs.buffers():
        if buffer.is_floating_point():
            buffer += torch.rand_like(buffer) * 0.2
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    ours = MobileNetV2().double().eval()
    ours.load_state_dict(mg.load(tmp_path / "weights.pth"))
    x = np.random.default_rng(0).normal(size=(2, 3, 64, 64))
    a = mg.tensor(x, requires_grad=True)
    b = torch.tensor(x, requires_grad=True)
    mine, other = ours(a), theirs(b)
    np.testing.assert_allclose(mine.detach().numpy(), other.detach().numpy(), atol=1e-10)
    cotangent = np.random.default_rng(1).normal(size=(2, 1000))
    (mine * mg.tensor(cotangent)).sum().backward()
    (other * torch.tensor(cotangent)).sum().backward()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), atol=1e-10)
    gradients = dict(theirs.named_parameters())
    for name, p in ours.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), gradients[name].grad.numpy(), atol=1e-9)


@pytest.mark.skipif(
    not (DATA / mobilenet_v2.WEIGHTS).is_file(), reason="the weights are not in MINIGRAD_DATA"
)
def test_photos_get_the_same_logits():
    pil = pytest.importorskip("PIL.Image")
    ours = pretrained(DATA / mobilenet_v2.WEIGHTS)
    theirs = Theirs().eval()
    theirs.load_state_dict({n: torch.tensor(v.numpy()) for n, v in ours.state_dict().items()})
    names = ["chelsea.png", "coffee.png", "china.jpg", "rocket.jpg", "astronaut.png"]
    x = np.stack([preprocess(pil.open(DATA / "photos" / name)) for name in names])
    with mg.no_grad(), torch.no_grad():
        mine, other = ours(mg.tensor(x)).numpy(), theirs(torch.tensor(x)).numpy()
    np.testing.assert_allclose(mine, other, atol=2e-4)
    assert (mine.argmax(1) == other.argmax(1)).all()
