"""MobileNetV2: its size and names, and the right answers about photos."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from models.supervised import mobilenet_v2
from models.supervised.mobilenet_v2 import MobileNetV2, classify, preprocess, pretrained

DATA = Path(os.environ.get("MINIGRAD_DATA", "/nonexistent"))
needs_weights = pytest.mark.skipif(
    not (DATA / mobilenet_v2.WEIGHTS).is_file(), reason="the weights are not in MINIGRAD_DATA"
)

# What is on each photo, as classes of ImageNet: the first one is expected on top, the others among
# the five most probable.
PHOTOS = {
    "chelsea.png": (285, 281, 282),  # Egyptian cat, tabby, tiger cat
    "coffee.png": (967, 968),  # espresso, cup
    "camera.png": (872,),  # tripod
    "china.jpg": (698, 663, 832),  # palace, monastery, stupa
    "grace_hopper.jpg": (457, 652),  # bow tie, military uniform
}


def test_size_and_names():
    model = MobileNetV2()
    assert sum(p.numel() for p in model.parameters()) == 3_504_872
    names = list(model.state_dict())
    assert names[0] == "features.0.0.weight" and names[-1] == "classifier.1.bias"
    assert {"features.1.conv.0.0.weight", "features.1.conv.2.running_var",
            "features.2.conv.1.1.num_batches_tracked", "features.17.conv.3.bias",
            "features.18.0.weight"} <= set(names)  # fmt: skip
    assert len(names) == 314
    state = model.state_dict()
    assert state["features.2.conv.1.0.weight"].shape == (96, 1, 3, 3)
    assert state["features.17.conv.2.weight"].shape == (320, 960, 1, 1)


def test_shapes_and_strides():
    model = MobileNetV2(classes=7).eval()
    x = mg.randn(2, 3, 64, 64)
    sizes = []
    for layer in model.features:
        x = layer(x)
        sizes.append(x.shape[1:])
    assert sizes[0] == (32, 32, 32) and sizes[1] == (16, 32, 32) and sizes[3] == (24, 16, 16)
    assert sizes[6] == (32, 8, 8) and sizes[13] == (96, 4, 4) and sizes[17] == (320, 2, 2)
    assert sizes[18] == (1280, 2, 2)
    assert model(mg.randn(2, 3, 64, 64)).shape == (2, 7)
    assert [m.residual for m in model.features if hasattr(m, "residual")] == [
        k in (2, 4, 5, 7, 8, 9, 11, 12, 14, 15) for k in range(17)
    ]


def test_it_can_be_trained():
    model = MobileNetV2(classes=2, dropout=0.0)
    x, y = mg.randn(4, 3, 32, 32), mg.tensor([0, 1, 0, 1])
    optimizer = mg.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = mg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_preprocessing():
    pil = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    colour = pil.fromarray(np.full((300, 500, 3), (255, 0, 128), np.uint8))
    x = preprocess(colour)
    assert x.shape == (3, 224, 224) and x.dtype == np.float32
    expected = (np.array([1, 0, 128 / 255]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(x[:, 0, 0], expected, rtol=1e-5)
    # At 256 x 300 nothing is resized: the middle is cut out.
    pixels = rng.integers(0, 256, (300, 256, 3), dtype=np.uint8)
    x = preprocess(pil.fromarray(pixels))
    back = x.transpose(1, 2, 0) * np.array([0.229, 0.224, 0.225]) + [0.485, 0.456, 0.406]
    np.testing.assert_allclose(back * 255, pixels[38:262, 16:240], atol=1e-3)
    grey = preprocess(pil.fromarray(pixels[..., 0]))
    assert grey.shape == (3, 224, 224)


@needs_weights
def test_photos():
    pil = pytest.importorskip("PIL.Image")
    model = pretrained(DATA / mobilenet_v2.WEIGHTS)
    photos = [pil.open(DATA / "photos" / name) for name in PHOTOS]
    for (name, expected), found in zip(PHOTOS.items(), classify(model, photos)):
        assert found[0][0] == expected[0], name
        assert set(expected) <= {k for k, _ in found}, name
        assert found[0][1] > 0.5, name


@needs_weights
def test_command(capsys, monkeypatch, tmp_path):
    pytest.importorskip("PIL.Image")
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(f"class {k}" for k in range(1000)))
    photo = str(DATA / "photos" / "chelsea.png")
    mobilenet_v2.main([photo, "--labels", str(labels)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == photo and lines[1].split() == ["71.6%", "285", "class", "285"]
    monkeypatch.delenv("MINIGRAD_DATA")
    with pytest.raises(SystemExit):
        mobilenet_v2.main([photo])
    assert "expected --weights, or a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        mobilenet_v2.main([photo, "--weights", photo])
    assert "expected a file of safetensors" in capsys.readouterr().err
