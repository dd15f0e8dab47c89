r"""What the classifiers of MNIST share: their options, their training, their pictures.

Belongs here: the ordinary supervised run on MNIST. Does not belong here: networks (each in its own
file), the loop itself (``minigrad.train.fit``), which images are for what (``mnist.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from minigrad import nn, optim
from minigrad.data import DataLoader
from minigrad.train import (
    Accuracy,
    Callback,
    ConfusionMatrix,
    LRScheduler,
    ModelCheckpoint,
    Run,
    RunConfig,
    evaluate,
    fit,
)
from minigrad.visualize import plot_confusion, plot_curves
from models.mnist import load_mnist

TEST_BATCH = 500  # images at once where nothing is learned


@dataclass
class ClassifierConfig(RunConfig):
    r"""The options that all classifiers have."""

    lr: float = 1e-3  #: learning rate at the beginning
    schedule: Literal["constant", "cosine"] = "cosine"  #: cosine: lr falls to 0 over the run
    batch_size: int = 128  #: images in a step
    epochs: int = 10  #: passes over the training images
    validation: int = 5000  #: training images held out to choose the epoch
    train_images: int | None = None  #: train on this many only
    test_images: int | None = None  #: test on this many only

    resumable: ClassVar = ("device", "out", "resume")  # the schedule depends on the epochs

    def check(self) -> None:
        self.expect_at_least(1, "batch_size", "epochs", "validation")
        self.expect("lr", self.lr > 0, "a positive number")


def train_classifier(
    run: Run, model: nn.Module, optimizer: optim.Optimizer, config: ClassifierConfig, title: str
) -> dict[str, Any]:
    r"""Minimise the cross-entropy, go back to the epoch that is best on the validation images, and
    test it, once.

    Leaves the pictures ``curves`` and ``confusion`` in the run's folder.

    Returns:
        test_accuracy, test_loss (nats), val_accuracy and best_epoch.
    """
    train_data, val_data, test_data = load_mnist(
        config.validation, config.train_images, config.test_images
    )
    loader = DataLoader(train_data, config.batch_size, shuffle=True)

    callbacks: list[Callback] = [
        ModelCheckpoint(monitor="val_accuracy", mode="max", restore_best=True)
    ]
    if config.schedule == "cosine":
        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * len(loader))
        callbacks.append(LRScheduler(schedule, "batch"))

    history = fit(
        model,
        nn.functional.cross_entropy,
        optimizer,
        loader,
        config.epochs,
        DataLoader(val_data, TEST_BATCH),
        metrics={"accuracy": Accuracy()},
        callbacks=callbacks,
        run=run,
    )

    test = evaluate(
        model,
        DataLoader(test_data, TEST_BATCH),
        nn.functional.cross_entropy,
        {"accuracy": Accuracy(), "confusion": ConfusionMatrix(10)},
    )
    run.picture(
        "curves",
        plot_curves(
            history,
            {
                "cross-entropy (nats)": {"training": "loss", "validation": "val_loss"},
                "accuracy": {"training": "accuracy", "validation": "val_accuracy"},
            },
            title=title,
        ),
    )
    run.picture("confusion", plot_confusion(test["confusion"], title="Test images"))
    return {
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "val_accuracy": run.best["value"],
        "best_epoch": run.best["epoch"],
    }
