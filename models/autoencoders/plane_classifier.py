r"""Autoencoder with a latent plane and a classifier on it, on MNIST.

Paper: Le, Patterson and White, Supervised autoencoders, NeurIPS 2018 (one loss for both tasks)

Expect: 95.5 % test accuracy or more from two numbers, and a mean squared error of .0445 or less,
after 40 epochs (without the classifier's loss, ``plane.py``: .0366, and 81 % by neighbours; PCA
with 2 components: .0557, and 45 %)

The network of ``plane.py``, and a linear classifier that sees nothing but its two numbers:

    z      = encoder(x)                        784 - 128 - 64 - 2, linear at the end
    x_hat  = decoder(z)                        2 - 64 - 128 - 784
    logits = W z + b                           (N, 10): 30 parameters more, 218,544 in all
    loss   = mean_ni (x_hat_ni - x_ni)^2 + 0.1 mean_n -log softmax(logits_n)[label_n]

The two terms pull in different directions. The classifier wants each digit in a sector of its own,
for ten linear functions of two numbers cut the plane into convex pieces; the decoder wants
neighbours to look alike, whatever they mean. The picture ``latent`` shows the compromise: rays,
one a digit, on which the style of the digit changes along the ray. The reconstruction gets worse
for it, which is the price, and must not be kept silent about.

Decoder and classifier see the *same* z, and the accuracy is of test images; the source's 99.2 % on
training images says how far the plane was bent to fit them. The cross-entropy of the validation
images rises again after a few epochs, while their accuracy and squared error still improve: the
classifier gets too sure of itself. So the epoch is chosen by the squared error.

Where it differs: the paper has a wide code; two numbers are the source's. ``--bottleneck relu`` is
the source's variant, see ``plane.py``; so is ``--schedule constant --lr 1e-3 --batch-size 256``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from minigrad import Generator, Tensor, nn
from minigrad.train import Result, Run, main
from models.autoencoders.common import (
    AutoencoderConfig,
    encode,
    initialise,
    picture_curves,
    picture_interpolation,
    picture_plane,
    picture_reconstructions,
    squared_error,
    train_autoencoder,
)
from models.autoencoders.deep import DeepAutoencoder
from models.mnist import load_mnist


@dataclass
class Config(AutoencoderConfig):
    r"""The options; the defaults give the figure above."""

    bottleneck: Literal["linear", "relu"] = "linear"  #: what the two numbers pass through
    weight: float = 0.1  #: of the classifier's loss, that of the pixels being 1
    epochs: int = 40  #: passes over the training images

    def check(self) -> None:
        super().check()
        self.expect_at_least(0, "weight")


class ClassifyingAutoencoder(DeepAutoencoder):
    r"""784 - 128 - 64 - 2 - 64 - 128 - 784, and 2 - 10 for the label."""

    def __init__(self, bottleneck: str = "linear") -> None:
        super().__init__(latent=2, hidden=(128, 64), code_relu=bottleneck == "relu")
        self.classifier = nn.Linear(2, 10)
        initialise(self.classifier)


def make_objective(weight: float) -> Any:
    r"""The sum of both losses, then each; and how many labels were right."""

    def objective(model: Any, batch: Any, generator: Generator | None = None) -> dict[str, Tensor]:
        x, label = batch
        z = model.encoder(x)  # (N, 2), for decoder and classifier
        logits = model.classifier(z)
        mse = squared_error(model.decoder(z), x)
        label_loss = nn.functional.cross_entropy(logits, label)
        return {
            "loss": mse + weight * label_loss,
            "mse": mse,
            "label_loss": label_loss,
            "accuracy": (logits.detach().argmax(1) == label).float().mean(),
        }

    return objective


def train(config: Config) -> Result:
    r"""Train, keep the epoch that is best on the validation images, and test it."""
    run = Run(config)
    data = load_mnist(config.validation, config.train_images, config.test_images)
    model = ClassifyingAutoencoder(config.bottleneck).to(run.device)
    objective = make_objective(config.weight)
    found = train_autoencoder(run, model, objective, config, data, choose_by="mse")

    codes, labels = encode(run, model, data[2])
    picture_plane(run, model, codes, labels, f"Codes of the test images, {config.bottleneck}")
    picture_reconstructions(run, model, data[2], "Through two numbers and back")
    picture_interpolation(run, model, data[2])
    panels = {"mean squared error": "mse", "accuracy": "accuracy"}
    picture_curves(run, panels, "Autoencoder with a classifier on its plane")
    return run.finish(model, test_accuracy=found.pop("test_accuracy"), **found)


if __name__ == "__main__":
    main(train, Config)
