r"""What the classifiers of MNIST share: an option, their training and their pictures.

Belongs here: the ordinary supervised run on MNIST or Fashion-MNIST. Does not belong here: networks
(each in its own file), the loop itself (``minigrad.train.fit``), which images are for what
(``mnist.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from minigrad import nn, optim
from minigrad.data import DataLoader
from minigrad.train import (
    Accuracy,
    ConfusionMatrix,
    LRScheduler,
    ModelCheckpoint,
    Run,
    evaluate,
    fit,
)
from minigrad.visualize import plot_confusion, plot_curves
from models.mnist import KINDS, load_mnist
from models.training import TEST_BATCH, ImageTrainingConfig, make_schedule


@dataclass
class ClassifierConfig(ImageTrainingConfig):
    r"""Options of all classifiers."""

    data: Literal["mnist", "fashion"] = "mnist"  #: fashion: Fashion-MNIST, which does not ship


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
        config.validation, config.train_images, config.test_images, kind=KINDS[config.data]
    )
    loader = DataLoader(train_data, config.batch_size, shuffle=True)

    schedule = make_schedule(config.schedule, optimizer, config.epochs * len(loader))
    callbacks = [
        ModelCheckpoint(monitor="val_accuracy", mode="max", restore_best=True),
        LRScheduler(schedule, "batch"),
    ]

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
            title=f"{title} on {KINDS[config.data].__name__}",
        ),
    )
    run.picture("confusion", plot_confusion(test["confusion"], title="Test images"))
    return {
        "test_accuracy": test["accuracy"],
        "test_loss": test["loss"],
        "val_accuracy": run.best["value"],
        "best_epoch": run.best["epoch"],
    }
