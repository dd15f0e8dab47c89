r"""Callbacks of :func:`~minigrad.train.fit`: what may happen around epochs and batches.

Belongs here: small things that an ordinary loop can do beside training. Does not belong here: the
loop (``loop.py``).

They are called in the order in which they were given. Two that set the learning rate do not mix: a
schedule of :class:`LRScheduler` that computes rates from the first one overwrites, every epoch,
what :class:`ReduceLROnPlateau` did.

``monitor`` names a number in the logs of an epoch: ``loss``, the training metrics by their names,
and with validation data the same with ``val_`` before them.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from minigrad import optim

from .checkpoint import PathLike, load_safetensors, save_safetensors
from .progress import ProgressBar, format_metrics

if TYPE_CHECKING:
    from .loop import Training

__all__ = [
    "CSVLogger",
    "Callback",
    "EarlyStopping",
    "History",
    "JSONLogger",
    "LRScheduler",
    "ModelCheckpoint",
    "Progress",
    "ReduceLROnPlateau",
]


class Callback:
    r"""Base class; a subclass defines some of these. ``training`` has ``model``, ``optimizer``,
    ``epoch``, ``epochs``, ``step``, ``logs`` (of the epoch) and ``stop`` (set it to end)."""

    def on_train_begin(self, training: Training) -> None:
        r"""Before the first epoch; in a resumed run after the state was put back."""

    def on_epoch_begin(self, training: Training) -> None:
        r"""Before the first batch of an epoch."""

    def on_batch_end(self, training: Training) -> None:
        r"""After each step of the optimiser."""

    def on_epoch_end(self, training: Training) -> None:
        r"""After validation; ``training.logs`` is complete."""

    def on_train_end(self, training: Training) -> None:
        r"""After the last epoch."""

    def state_dict(self) -> dict[str, Any]:
        r"""What a checkpoint must hold for the callback to continue."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""Continue from a :meth:`state_dict`."""


def _monitored(callback: Callback, logs: dict[str, Any], name: str) -> float:
    if name not in logs:
        raise ValueError(
            f"{type(callback).__name__}: expected {name!r} in the logs, got {', '.join(logs)}"
        )
    return float(logs[name])


class _Best(Callback):
    """Keeps track of the best value of a monitored number."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"{type(self).__name__}: expected mode 'min' or 'max', got {mode!r}")
        self.monitor, self.mode, self.min_delta = monitor, mode, min_delta
        #: the best value so far and the epoch it was seen in
        self.best: float | None = None
        self.best_epoch = 0

    def improved(self, training: Training) -> bool:
        """Note the epoch's value; True if it is the best by more than ``min_delta``."""
        value = _monitored(self, training.logs, self.monitor)
        if self.best is not None:
            gain = self.best - value if self.mode == "min" else value - self.best
            if not gain > self.min_delta:
                return False
        elif math.isnan(value):
            return False
        self.best, self.best_epoch = value, training.epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]


class History(Callback):
    r"""The logs of all epochs: ``history["val_loss"]`` is a list, ``history.records`` the dicts.

    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> history["loss"]
    [0.5, 0.25]
    """

    def __init__(self, records: list[dict[str, Any]] | None = None) -> None:
        self.records = records if records is not None else []

    def on_train_begin(self, training: Training) -> None:
        self.records = training.records  # one list, which the loop appends to

    def __getitem__(self, name: str) -> list[Any]:
        if self.records and not any(name in record for record in self.records):
            raise KeyError(f"{name!r}; the logs have {', '.join(self.records[-1])}")
        return [record[name] for record in self.records if name in record]

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.records)

    def __repr__(self) -> str:
        last = format_metrics(self.records[-1]) if self.records else ""
        return f"History({len(self)} epochs; {last})"


class Progress(Callback):
    r"""Shows a bar while an epoch runs, and a line after it. A :class:`~minigrad.train.Run` does
    so by itself."""

    def __init__(self) -> None:
        self._bar: ProgressBar | None = None

    def on_epoch_begin(self, training: Training) -> None:
        label = f"epoch {training.epoch}/{training.epochs}"
        self._bar = ProgressBar(training.batches_in_epoch, label, values=training.running)

    def on_batch_end(self, training: Training) -> None:
        if self._bar is not None:
            self._bar.update()

    def on_epoch_end(self, training: Training) -> None:
        if self._bar is not None:
            self._bar.close()
        shown = {k: v for k, v in training.logs.items() if k not in ("epoch", "step")}
        print(f"epoch {training.epoch}/{training.epochs}  {format_metrics(shown)}", flush=True)


class ModelCheckpoint(_Best):
    r"""Saves the weights of the epoch that was best on validation data.

    Args:
        path: a ``.safetensors`` file. In a run it can be left out: the run keeps the file.
        monitor, mode: what is best. Never a number measured on test data.
        restore_best: give the model the best weights at the end of training.
    """

    def __init__(
        self,
        path: PathLike | None = None,
        monitor: str = "val_loss",
        mode: str = "min",
        restore_best: bool = False,
    ) -> None:
        super().__init__(monitor, mode)
        self.path = None if path is None else Path(path)
        self.restore_best = restore_best

    def on_train_begin(self, training: Training) -> None:
        if self.path is None and training.run is None:
            raise ValueError("ModelCheckpoint: expected a path, as fit was called without a run")

    def on_epoch_end(self, training: Training) -> None:
        if not self.improved(training):
            return
        if self.path is None:
            training.run.keep_best(self.best, training.model, self.mode)
        else:
            save_safetensors(self.path, training.model.state_dict())

    def on_train_end(self, training: Training) -> None:
        if not self.restore_best or self.best is None:
            return
        if self.path is None:
            training.run.load_best(training.model)
        else:
            training.model.load_state_dict(load_safetensors(self.path))


class EarlyStopping(_Best):
    r"""Ends training when the monitored number has not improved for ``patience`` epochs.

    Args:
        monitor, mode: what should improve.
        patience: epochs without improvement that are put up with.
        min_delta: a smaller improvement counts as none.
        restore_best: give the model the weights of the best epoch at the end.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "min",
        restore_best: bool = False,
    ) -> None:
        if patience < 1:
            raise ValueError(f"EarlyStopping: expected patience >= 1, got {patience}")
        super().__init__(monitor, mode, abs(min_delta))
        self.patience, self.restore_best = patience, restore_best
        self.weights: dict[str, Any] = {}

    def on_epoch_end(self, training: Training) -> None:
        if self.improved(training):
            if self.restore_best:
                state = training.model.state_dict()
                self.weights = {name: value.detach().clone() for name, value in state.items()}
        elif training.epoch - self.best_epoch >= self.patience:
            training.stop = True

    def on_train_end(self, training: Training) -> None:
        if self.weights:
            training.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.weights = state["weights"]


class LRScheduler(Callback):
    r"""Steps a schedule of :mod:`minigrad.optim.lr_scheduler`, after each ``"epoch"`` or
    ``"batch"``."""

    def __init__(self, scheduler: Any, interval: str = "epoch") -> None:
        if interval not in ("epoch", "batch"):
            raise ValueError(f"LRScheduler: expected interval 'epoch' or 'batch', got {interval!r}")
        self.scheduler, self.interval = scheduler, interval

    def on_batch_end(self, training: Training) -> None:
        if self.interval == "batch":
            self.scheduler.step()

    def on_epoch_end(self, training: Training) -> None:
        if self.interval == "epoch":
            self.scheduler.step()

    def state_dict(self) -> dict[str, Any]:
        return dict(self.scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


class ReduceLROnPlateau(Callback):
    r"""Multiplies the learning rate by ``factor`` when the monitored number stands still.

    The arguments are those of :class:`minigrad.optim.lr_scheduler.ReduceLROnPlateau`.
    """

    def __init__(
        self,
        optimizer: Any,
        monitor: str = "val_loss",
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        **settings: Any,
    ) -> None:
        self.monitor = monitor
        self.scheduler = optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, mode=mode, factor=factor, patience=patience, **settings
        )

    def on_epoch_end(self, training: Training) -> None:
        self.scheduler.step(_monitored(self, training.logs, self.monitor))

    def state_dict(self) -> dict[str, Any]:
        return dict(self.scheduler.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.scheduler.load_state_dict(state)


class _FileLogger(Callback):
    """Appends a line an epoch. In a resumed run the file is first cut to where it was when the
    checkpoint was saved."""

    def __init__(self, path: PathLike) -> None:
        self.path = Path(path)
        self._length = 0
        self._file: BinaryIO | None = None

    def on_train_begin(self, training: Training) -> None:
        self._file = open(self.path, "r+b" if self._length else "wb")
        self._file.truncate(self._length)
        self._file.seek(self._length)

    def on_epoch_end(self, training: Training) -> None:
        assert self._file is not None
        self._file.write(self.line(training.logs, first=self._length == 0).encode())
        self._file.flush()
        os.fsync(self._file.fileno())  # before a checkpoint says how long the file is
        self._length = self._file.tell()

    def on_train_end(self, training: Training) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def line(self, logs: dict[str, Any], first: bool) -> str:
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        return {"length": self._length}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._length = state["length"]


class JSONLogger(_FileLogger):
    r"""Writes the logs of each epoch as a line of JSON."""

    def line(self, logs: dict[str, Any], first: bool) -> str:
        return json.dumps(logs) + "\n"


class CSVLogger(_FileLogger):
    r"""Writes the logs of each epoch as a row of a table; the first row names the columns."""

    def line(self, logs: dict[str, Any], first: bool) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if first:
            writer.writerow(logs)
        writer.writerow(logs.values())
        return text.getvalue()
