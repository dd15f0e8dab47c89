r"""MobileNetV2 with torchvision's weights: a pretrained network that classifies photos.

Paper: Sandler et al., MobileNetV2: inverted residuals and linear bottlenecks, CVPR 2018

An inverted residual block is narrow where it is stored and wide where it computes: a 1 x 1
convolution expands c channels to t c, a 3 x 3 *depthwise* convolution (one filter a channel, 9 t c
weights in place of 9 (t c)^2) looks at places, and a 1 x 1 convolution without a nonlinearity
projects back:

    h = relu6(bn(conv 1x1 (x)))             (N, t c, H, W)      left out for t = 1
    h = relu6(bn(depthwise 3x3 / s (h)))    (N, t c, H/s, W/s)
    y = bn(conv 1x1 (h))                    (N, c', H/s, W/s)   plus x, if s = 1 and c' = c

    photo (N, 3, 224, 224) -> conv 3x3 / 2, 32 -> 17 blocks -> conv 1x1, 1280 (N, 1280, 7, 7)
    -> mean over places -> dropout -> linear (N, 1000)

In all 3,504,872 parameters and 300 million multiplications, for 71.9 % top-1 accuracy on ImageNet.
Nothing is trained here. Module names and preprocessing are torchvision's, so that its weights fit:

    python -m models.supervised.mobilenet_v2 photo.jpg --weights mobilenet_v2-b0353104.pth

reads that file without PyTorch, or the same weights as ``.npz`` or ``.safetensors``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import Tensor, nn

WEIGHTS = "pretrained/mobilenet_v2_torchvision_oihw_f16.npz"  # under MINIGRAD_DATA

# ImageNet's mean and standard deviation of red, green and blue.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

# (expansion t, channels c, blocks n, stride s of the first): table 2 of the paper
BLOCKS = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


class ConvNormActivation(nn.Sequential):
    r"""Convolution without a bias, batch norm, ReLU6."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(c_out),
            nn.ReLU6(),
        )


class InvertedResidual(nn.Module):
    r"""(N, c_in, H, W) -> (N, c_out, H/stride, W/stride)."""

    def __init__(self, c_in: int, c_out: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.residual = stride == 1 and c_in == c_out
        wide = c_in * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(ConvNormActivation(c_in, wide, 1))
        layers += [
            ConvNormActivation(wide, wide, 3, stride, groups=wide),
            nn.Conv2d(wide, c_out, 1, bias=False),
            nn.BatchNorm2d(c_out),
        ]
        self.conv = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(nn.Module):
    r"""Photos (N, 3, H, W), normalised, to logits (N, classes)."""

    def __init__(self, classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        layers: list[nn.Module] = [ConvNormActivation(3, 32, 3, stride=2)]
        channels = 32
        for expansion, c, count, stride in BLOCKS:
            for k in range(count):
                layers.append(InvertedResidual(channels, c, stride if k == 0 else 1, expansion))
                channels = c
        layers.append(ConvNormActivation(channels, 1280, 1))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Linear(1280, classes))

        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out")
            elif isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, 0.0, 0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


def pretrained(path: str | os.PathLike[str]) -> MobileNetV2:
    r"""The network with the weights in a file that :func:`minigrad.load` reads, ready to evaluate.

    Raises:
        ValueError: they are not MobileNetV2's.
    """
    model = MobileNetV2()
    model.load_state_dict(mg.load(path))
    return model.eval()


def preprocess(photo: Any) -> np.ndarray:
    r"""A Pillow image as the network's input (3, 224, 224): the shorter side to 256, the middle
    224 x 224 of that, and each colour to mean 0 and standard deviation 1 over ImageNet."""
    from PIL import Image

    photo = photo.convert("RGB")
    width, height = photo.size
    short = min(width, height)
    photo = photo.resize((256 * width // short, 256 * height // short), Image.Resampling.BILINEAR)
    left, top = round((photo.width - 224) / 2), round((photo.height - 224) / 2)
    pixels = np.asarray(photo.crop((left, top, left + 224, top + 224)), np.float32) / 255
    normal = (pixels - np.float32(MEAN)) / np.float32(STD)
    return np.ascontiguousarray(normal.transpose(2, 0, 1))


def classify(
    model: MobileNetV2, photos: list[Any], count: int = 5
) -> list[list[tuple[int, float]]]:
    r"""For each Pillow image the ``count`` most probable classes of ImageNet, with their
    probabilities."""
    images = mg.tensor(np.stack([preprocess(photo) for photo in photos]))
    with mg.no_grad():
        probabilities = model(images.to(next(model.parameters()).device)).softmax(1)
    return [
        [(int(k), float(row[k])) for k in np.argsort(-row)[:count]]
        for row in probabilities.cpu().numpy()
    ]


def main(argv: list[str] | None = None) -> None:
    r"""Print the most probable classes of each photo."""
    parser = argparse.ArgumentParser(
        prog="python -m models.supervised.mobilenet_v2",
        description="Classify photos with MobileNetV2, trained on ImageNet.",
    )
    parser.add_argument("photos", nargs="+", help="JPEG or PNG files")
    parser.add_argument("--weights", help=f".pth, .npz or .safetensors (MINIGRAD_DATA/{WEIGHTS})")
    parser.add_argument("--labels", help="a text file with the 1000 names of the classes in lines")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (cpu)")
    options = parser.parse_args(argv)
    weights = options.weights
    if weights is None:
        folder = os.environ.get("MINIGRAD_DATA")
        if folder is None:
            parser.error("expected --weights, or a folder with them in MINIGRAD_DATA")
        weights = Path(folder) / WEIGHTS
    try:
        from PIL import Image
    except ImportError:
        parser.error("needs pillow: pip install 'minigrad[models]'")
    names = Path(options.labels).read_text().splitlines() if options.labels else []
    try:
        model = pretrained(weights).to(options.device)
        photos = [Image.open(path) for path in options.photos]
    except (OSError, RuntimeError, ValueError) as error:
        parser.exit(1, f"{parser.prog}: error: {error}\n")
    for path, classes in zip(options.photos, classify(model, photos)):
        print(path)
        for k, probability in classes:
            print(f"  {probability:6.1%}  {k:3d}  {names[k] if k < len(names) else ''}".rstrip())


if __name__ == "__main__":
    main()
