r"""What training is told, whatever is trained: its options, and the learning rate over a run.

Belongs here: options, with their checks, that models of all families have, and the choice that
``--schedule`` makes. Does not belong here: options of every run, trained or not
(``minigrad.train.RunConfig``), options of one family (beside its models), loops.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from minigrad import optim
from minigrad.train import RunConfig

__all__ = ["TEST_BATCH", "ImageTrainingConfig", "TrainingConfig", "make_schedule"]

TEST_BATCH = 500  # images at once where nothing is learned


@dataclass
class TrainingConfig(RunConfig):
    r"""The options of every model that an optimiser trains, epoch by epoch. A model overrides the
    defaults, and says in the comment what a sample or an epoch is where that is not plain."""

    lr: float = 1e-3  #: learning rate at the beginning
    schedule: Literal["constant", "cosine"] = "cosine"  #: cosine: lr falls to 0 over the run
    batch_size: int = 128  #: samples in a step
    epochs: int = 10  #: passes over the training data

    resumable: ClassVar = ("device", "out", "resume")  # the schedule depends on the epochs

    def check(self) -> None:
        self.expect_at_least(1, "batch_size", "epochs")
        self.expect("lr", self.lr > 0, "a positive number")


@dataclass
class ImageTrainingConfig(TrainingConfig):
    r"""The options of models that learn from images, are chosen by others and tested on others, as
    ``models/mnist.py`` divides them. A model that chooses nothing inherits ``TrainingConfig``."""

    validation: int = 5000  #: training images held out to choose the epoch
    train_images: int | None = None  #: train on this many only
    test_images: int | None = None  #: test on this many only

    quick_values: ClassVar = {
        "epochs": 1,
        "train_images": 3000,
        "validation": 500,
        "test_images": 1000,
    }

    def check(self) -> None:
        super().check()
        self.expect_at_least(1, "validation")
        for name in ("train_images", "test_images"):
            value = getattr(self, name)
            self.expect(name, value is None or value >= 1, "a number >= 1 or none")


def make_schedule(
    name: str, optimizer: optim.Optimizer, steps: int
) -> optim.lr_scheduler.LRScheduler:
    r"""``cosine``: the rate falls to 0 along half a cosine in ``steps`` steps; any other name: it
    stays what it is. Step it after each step of the optimiser.

    >>> from minigrad import nn
    >>> optimizer = optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0)
    >>> schedule = make_schedule("cosine", optimizer, 2)
    >>> optimizer.step(), schedule.step(), round(optimizer.param_groups[0]["lr"], 6)
    (None, None, 0.5)
    """
    if name == "cosine":
        return optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    return optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
