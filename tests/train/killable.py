r"""A small training run that kills itself, for ``test_resume.py``.

    python killable.py FOLDER LOOP [EVENT:NUMBER]

LOOP is ``epochs`` (a loop of its own over batches), ``fit`` or ``steps``. With an event, the
process sends itself SIGKILL at the NUMBER-th ``step``, ``write`` (before anything of a file is
written), ``half`` (when half of it is), ``rename`` (between the finished temporary file and its
name) or ``renamed`` (just after). A folder that holds a run is resumed.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad import nn, optim
from minigrad.data import DataLoader, TensorDataset
from minigrad.interchange import files as checkpoint_module
from minigrad.train import (
    Accuracy,
    CSVLogger,
    EarlyStopping,
    LRScheduler,
    ModelCheckpoint,
    Run,
    RunConfig,
    cycle,
    fit,
)

EPOCHS, CHECKPOINT_STEPS = 3, 4  # 3 epochs of 7 batches


@dataclass
class Config(RunConfig):
    epochs: int = EPOCHS


class Bomb:
    """Kills the process at the ``number``-th ``event``."""

    def __init__(self, event: str, number: int) -> None:
        self.event, self.left = event, number

    def __call__(self, event: str) -> None:
        if event == self.event:
            self.left -= 1
            if self.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def arm(bomb: Bomb) -> None:
    """Let file operations of checkpoints count as events."""
    real_open, real_replace = open, os.replace

    def bombed_open(path: Any, mode: str = "r") -> Any:
        bomb("write")
        file = real_open(path, mode)
        if "w" in mode:
            real_write = file.write

            class Slow:
                def __enter__(self) -> Any:
                    return self

                def __exit__(self, *_: object) -> None:
                    file.close()

                def __getattr__(self, name: str) -> Any:
                    return getattr(file, name)

                def write(self, content: bytes) -> None:
                    real_write(content[: len(content) // 2])
                    file.flush()
                    bomb("half")
                    real_write(content[len(content) // 2 :])

            return Slow()
        return file

    def bombed_replace(source: Any, target: Any) -> None:
        bomb("rename")
        real_replace(source, target)
        bomb("renamed")

    checkpoint_module.open = bombed_open  # type: ignore[attr-defined]
    checkpoint_module.os.replace = bombed_replace


def network() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
    )


def data() -> tuple[TensorDataset, TensorDataset]:
    generator = mg.Generator(1)
    x = mg.randn(70, 4, generator=generator)
    y = x[:, :3].argmax(1)
    return TensorDataset(x[:50], y[:50]), TensorDataset(x[50:], y[50:])


def train(folder: Path, loop: str, bomb: Bomb) -> None:
    run = Run(
        Config(out=str(folder), resume=True, seed=3), "test", checkpoint_steps=CHECKPOINT_STEPS
    )
    train_data, val_data = data()
    loader = DataLoader(train_data, 8, shuffle=True)
    val_loader = DataLoader(val_data, 20)
    model = network()
    optimizer = optim.Adam(model.parameters(), lr=0.02)
    schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)

    def step(x: mg.Tensor, y: mg.Tensor) -> mg.Tensor:
        loss = nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        bomb("step")
        return loss

    def validate() -> mg.Tensor:
        model.eval()
        with mg.no_grad():
            x, y = next(iter(val_loader))
            loss = nn.functional.cross_entropy(model(x), y)
        model.train()
        return loss

    if loop == "fit":

        def loss_fn(output: mg.Tensor, target: mg.Tensor) -> mg.Tensor:
            if model.training:
                bomb("step")
            return nn.functional.cross_entropy(output, target)

        fit(
            model,
            loss_fn,
            optimizer,
            loader,
            EPOCHS,
            val_loader,
            metrics={"accuracy": Accuracy()},
            callbacks=[
                ModelCheckpoint(restore_best=True),
                EarlyStopping(patience=2),
                LRScheduler(schedule),
                CSVLogger(folder / "log.csv"),
            ],
            run=run,
        )
    elif loop == "epochs":
        run.track(model=model, optimizer=optimizer, loader=loader, schedule=schedule)
        for _ in run.epochs(EPOCHS):
            for x, y in run.batches(loader):
                run.record(len(x), loss=step(x, y))
            schedule.step()
            value = validate()
            run.log(val_loss=value, lr=schedule.get_last_lr()[0])
            run.keep_best(value, model)
        run.load_best(model)
    else:
        run.track(model=model, optimizer=optimizer, loader=loader)
        batches = None
        for number in run.steps(EPOCHS * 7):
            batches = batches or cycle(loader)
            run.record(loss=step(*next(batches)))
            if number % 5 == 0:
                run.log(val_loss=validate())
    run.finish(model, val_loss=validate(), draw=mg.rand(1))


if __name__ == "__main__":
    kind, _, number = sys.argv[3].partition(":") if len(sys.argv) > 3 else ("never", "", "1")
    bomb = Bomb(kind, int(number))
    arm(bomb)
    print("ready", flush=True)
    train(Path(sys.argv[1]), sys.argv[2], bomb)
