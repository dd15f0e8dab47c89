r"""Run: what every training program needs beside its algorithm.

Belongs here: the folder of a run, its log, pictures, checkpoints and result. Does not belong here:
any algorithm, the file format (``checkpoint.py``), the command line (``config.py``, ``entry.py``).

    def train(config: Config) -> Result:
        run = Run(config)                              # seeds, makes the folder
        model = Net().to(run.device)
        optimizer = optim.Adam(model.parameters())
        loader = DataLoader(data, 128, shuffle=True)
        run.track(model=model, optimizer=optimizer, loader=loader)
        for epoch in run.epochs(config.epochs):        # starts where the checkpoint stopped
            for x, y in run.batches(loader):
                loss = ...
                run.record(loss=loss)
            run.log(val_loss=...)
        return run.finish(model, test_loss=...)

    if __name__ == "__main__":
        main(train, Config)

A run killed at any moment and started again with ``resume`` ends with the same bytes in
``model.safetensors`` and ``metrics.jsonl`` as one that was never stopped. Everything that a step
changes is in one file (``checkpoint.safetensors``), which is replaced at once; what was logged
after it is cut off on resuming, and happens again.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import backend
from minigrad.backend import Device
from minigrad.tensor import Tensor

from . import checkpoint
from .checkpoint import CheckpointError, load_safetensors, save_safetensors, write_atomically
from .config import RunConfig
from .metrics import Mean
from .progress import ProgressBar, format_metrics, terminal
from .record import (
    CHECKPOINT,
    CONFIG,
    LOG,
    RESULT,
    WEIGHTS,
    command,
    hardware,
    is_leftover,
    module_name,
    run_folder,
)

__all__ = ["Result", "Run", "RunError"]


class RunError(RuntimeError):
    r"""A run that cannot start or continue, for a reason that one line explains."""


@dataclass
class Result:
    r"""What a run came to: its metrics, the lines that it logged, and its folder."""

    model: str
    metrics: dict[str, Any]
    history: list[dict[str, Any]] = field(repr=False)
    folder: Path
    seconds: float

    def line(self) -> str:
        r"""The metrics as one line of JSON."""
        values = {"model": self.model, **self.metrics, "seconds": round(self.seconds, 1)}
        return json.dumps(values)


class Run:
    r"""The folder, log, checkpoints and pictures of one training run.

    Args:
        config: says where, with which seed, and whether to resume.
        name: of the model, ``family.name``; by default the module that defines ``config``'s class.
        checkpoint_seconds: save a checkpoint in the middle of an epoch when the last one is older
            than this. One is saved after every epoch in any case.
        checkpoint_steps: the same, counted in steps.

    The run seeds the default generator with ``config.seed``, so build the model after it.

    Raises:
        RunError: the folder holds a run and ``resume`` is not set, or holds one with another
            configuration.
        RuntimeError: ``config.device`` is not there.
    """

    def __init__(
        self,
        config: RunConfig,
        name: str | None = None,
        checkpoint_seconds: float = 60.0,
        checkpoint_steps: int | None = None,
    ) -> None:
        self.config = config
        self.name = name or module_name(type(config).__module__)
        self.device = Device(config.device)
        backend.module_of_device(self.device)
        self.folder = run_folder(self.name, config)
        #: epochs and steps (batches) completed
        self.epoch = 0
        self.step = 0
        #: set it to leave the loop after this epoch, in resumed runs too
        self.stop = False
        #: called before a checkpoint is saved; what it raises ends the run, and the checkpoint
        #: before, the last good one, stays
        self.guard: Callable[[], None] = lambda: None
        #: the lines of metrics.jsonl
        self.history: list[dict[str, Any]] = []
        #: the best value seen by keep_best, and its epoch
        self.best: dict[str, Any] | None = None
        self._tracked: dict[str, Any] = {}
        self._means: dict[str, Mean] = {}
        self._in_epoch = False
        #: whether this epoch was begun by a process that was killed in the middle of it
        self.resumed_in_epoch = False
        self._every = (checkpoint_seconds, checkpoint_steps)
        self._started = self._saved_at = time.monotonic()
        self._seconds_before = 0.0
        self._step_saved = 0
        self._open()
        backend.manual_seed(config.seed)

    def _open(self) -> None:
        """Make or enter the folder. Afterwards the log is open at its end."""
        config_file = self.folder / CONFIG
        record = {"model": self.name, "config": self.config.to_dict()}
        if config_file.exists():
            if not self.config.resume:
                raise RunError(
                    f"{self.folder} holds a run already; --resume continues it, another --out "
                    "starts a new one"
                )
            _same_run(config_file, record, self.config)
        elif self.folder.is_dir() and any(not is_leftover(p) for p in self.folder.iterdir()):
            raise RunError(f"{self.folder} is not empty and holds no run; choose another --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in filter(is_leftover, self.folder.iterdir()):
            path.unlink()
        self._resuming = self.config.resume and (self.folder / CHECKPOINT).exists()
        write_atomically(config_file, (json.dumps(record, indent=2) + "\n").encode())
        # The log of a resumed run is cut to the checkpoint's length in restore.
        self._log = open(self.folder / LOG, "r+b" if self._resuming else "wb")
        weakref.finalize(self, self._log.close)  # of a run that an error ended

    # -------------------------------------------------------------------------- what is kept
    def track(self, **objects: Any) -> None:
        r"""Name what a checkpoint must hold beside the run's own counters and the default
        generator: modules, optimisers, schedules, loaders, generators; anything with
        ``state_dict``/``load_state_dict`` or ``get_state``/``set_state``."""
        self._tracked.update(objects)

    def save(self) -> None:
        r"""Save a checkpoint now. If that fails, the previous one is still there."""
        self.guard()
        self._log.flush()
        os.fsync(self._log.fileno())  # the log must not be shorter than the checkpoint says
        own = {
            "epoch": self.epoch,
            "step": self.step,
            "stop": self.stop,
            "best": self.best,
            "means": {name: mean.state_dict() for name, mean in self._means.items()},
            "in_epoch": self._in_epoch,
            "log_bytes": self._log.tell(),
            "seconds": self.seconds,
        }
        states = {"run": own, "generator": backend.default_generator(), **self._tracked}
        checkpoint.save_checkpoint(self.folder / CHECKPOINT, states)
        for file in self.folder.glob("best-*.safetensors"):  # no checkpoint speaks of them now
            if self.best is None or file.name != self.best["file"]:
                file.unlink()
        self._saved_at, self._step_saved = time.monotonic(), self.step

    def restore(self) -> None:
        r"""Put everything back as the checkpoint has it; does nothing in a new run. The loops
        (:meth:`epochs`, :meth:`steps`) begin with it."""
        if not self._resuming:
            return
        self._resuming = False
        into = {"generator": backend.default_generator(), **self._tracked}
        own = checkpoint.load_checkpoint(self.folder / CHECKPOINT, into)["run"]
        self._log.seek(0)
        lines = self._log.read(own["log_bytes"])
        if len(lines) < own["log_bytes"]:
            raise CheckpointError(
                f"{self.folder / LOG}: expected at least {own['log_bytes']} bytes, as the "
                f"checkpoint says, got {len(lines)}"
            )
        self._log.seek(own["log_bytes"])
        self._log.truncate()
        self.history[:] = [json.loads(line) for line in lines.splitlines()]
        self.epoch, self.step, self.stop = own["epoch"], own["step"], own["stop"]
        self.best, self._in_epoch = own["best"], own["in_epoch"]
        for name, state in own["means"].items():
            self._means[name] = Mean()
            self._means[name].load_state_dict(state)
        self._seconds_before, self._started = own["seconds"], time.monotonic()
        self._step_saved = self.step
        self._say(f"resuming after epoch {self.epoch}, step {self.step}")

    @property
    def saved_step(self) -> int:
        r"""The step of the last checkpoint; 0 if there is none."""
        return self._step_saved

    @property
    def seconds(self) -> float:
        r"""Time spent so far, in all the processes that worked on this run."""
        return self._seconds_before + time.monotonic() - self._started

    # ------------------------------------------------------------------------------- the loop
    def epochs(self, total: int) -> Iterator[int]:
        r"""The numbers of the epochs still to do, 1 to ``total``; a checkpoint after each.

        A run that was killed in the middle of an epoch enters the loop's body again from its
        beginning, with the rest of the batches. So what must happen once an epoch (a schedule's
        step) goes after the batches, and one loop over :meth:`batches` is in the body.
        """
        self.restore()
        self._total_epochs = total
        while self.epoch < total and not self.stop:
            self.resumed_in_epoch = self._in_epoch
            if not self._in_epoch:
                self._means = {}
                self._in_epoch = True
            self._epoch_started = time.monotonic()
            yield self.epoch + 1
            self.epoch += 1
            self._in_epoch = False
            self._means = {}
            self.save()

    def batches(
        self, loader: Any, values: Callable[[], dict[str, float]] | None = None
    ) -> Iterator[Any]:
        r"""The batches of one epoch of ``loader``, counted and shown. A resumed run gets the rest
        of the epoch it was in, provided that the loader is tracked. Checkpoints are saved between
        batches, when they are due. Beside the bar stand :meth:`means`, or what ``values()`` gives.
        """
        n = len(loader)
        position = loader.state_dict()["position"] if hasattr(loader, "state_dict") else 0
        label = f"epoch {self.epoch + 1}/{self._total_epochs}" if self._in_epoch else self.name
        with ProgressBar(n, label, position, values or self.means) as bar:
            for batch in loader:
                yield batch
                self._count(bar)

    def steps(self, total: int) -> Iterator[int]:
        r"""The numbers of the steps still to do, 1 to ``total``: for loops that have no epochs.
        Checkpoints are saved between steps, when they are due, and at the end."""
        self.restore()
        with ProgressBar(total, self.name, self.step, self.means) as bar:
            while self.step < total and not self.stop:
                yield self.step + 1
                self._count(bar)
        if self.step != self._step_saved:
            self.save()

    def _count(self, bar: ProgressBar) -> None:
        self.step += 1
        bar.update()
        seconds, steps = self._every
        due = time.monotonic() - self._saved_at > seconds
        if due or (steps is not None and self.step - self._step_saved >= steps):
            self.save()

    # ----------------------------------------------------------------------------- the numbers
    def record(self, weight: int = 1, **values: Any) -> None:
        r"""Take a step's numbers into the means that the next :meth:`log` writes. Tensors are not
        looked at until then, so a GPU is not waited for. ``weight`` is the batch's size, where
        batches differ."""
        for name, value in values.items():
            if name not in self._means:
                self._means[name] = Mean()
            self._means[name].update(value, weight)

    def means(self) -> dict[str, float]:
        r"""The means of what was recorded since the last :meth:`log`."""
        return {name: mean.compute() for name, mean in self._means.items()}

    def log(self, **values: Any) -> dict[str, Any]:
        r"""Append a line to ``metrics.jsonl``: epoch, step, the recorded means, and ``values``.

        Raises:
            FloatingPointError: one of them is nan or infinite.
        """
        epoch = self.epoch + 1 if self._in_epoch else self.epoch
        line: dict[str, Any] = {"epoch": epoch, "step": self.step, **self.means()}
        line |= {name: _number(value) for name, value in values.items()}
        for name, value in line.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise FloatingPointError(
                    f"{name} is {value} after step {self.step} (epoch {epoch}); a smaller learning "
                    "rate may help, minigrad.autograd.detect_anomaly() finds where it began"
                )
        self._means = {}
        self._log.write(json.dumps(line, allow_nan=False).encode() + b"\n")
        self._log.flush()
        self.history.append(line)
        shown = {k: v for k, v in line.items() if k not in ("epoch", "step")}
        if self._in_epoch:
            took = time.monotonic() - self._epoch_started
            where = f"epoch {epoch:>{len(str(self._total_epochs))}}/{self._total_epochs}"
            self._say(f"{where}  {format_metrics(shown)}  ({took:.1f} s)")
        else:
            self._say(f"step {self.step}  {format_metrics(shown)}")
        return line

    def keep_best(self, value: Any, model: Any, mode: str = "min") -> bool:
        r"""Save the model's weights as the best if ``value``, measured on *validation* data, is
        better than all before. :meth:`load_best` brings them back.

        Args:
            mode: ``"min"`` if smaller is better, ``"max"`` if larger.
        """
        if mode not in ("min", "max"):
            raise ValueError(f"keep_best: expected mode 'min' or 'max', got {mode!r}")
        value = _number(value)
        if self.best is not None:
            before = self.best["value"]
            if value >= before if mode == "min" else value <= before:
                return False
        # A new file for each: the last checkpoint may still speak of the one before.
        epoch = self.epoch + 1 if self._in_epoch else self.epoch
        file = f"best-{epoch:04d}-{self.step:08d}.safetensors"
        save_safetensors(self.folder / file, model.state_dict())
        self.best = {"value": value, "epoch": epoch, "file": file}
        return True

    def load_best(self, model: Any) -> None:
        r"""Give ``model`` the weights of the best epoch; the last ones if none was kept."""
        if self.best is not None:
            model.load_state_dict(load_safetensors(self.folder / self.best["file"]))

    # -------------------------------------------------------------------------------- pictures
    def picture(self, name: str, picture: Any) -> Path:
        r"""Save a matplotlib figure, or an image array with values in [0, 1] ((H, W), (H, W, 3) or
        (C, H, W)), enlarged threefold, as ``name.png`` in the run's folder."""
        if not re.fullmatch(r"[\w.-]+", name):
            raise ValueError(f"picture: expected a plain file name, got {name!r}")
        path = self.folder / f"{name}.png"
        if hasattr(picture, "savefig"):
            picture.savefig(path, bbox_inches="tight")
        else:
            from minigrad.visualize import save_image

            save_image(path, picture, scale=3)
        return path

    # ----------------------------------------------------------------------------------- result
    def finish(self, model: Any = None, **metrics: Any) -> Result:
        r"""End the run: write the final weights and ``result.json``, and return the result."""
        values = {name: _number(value) for name, value in metrics.items()}
        parameters = None
        if model is not None:
            save_safetensors(self.folder / WEIGHTS, model.state_dict())
            parameters = sum(p.numel() for p in model.parameters())
        self._log.close()
        record = {
            "model": self.name,
            "command": command(self.name, self.config),
            "seed": self.config.seed,
            "quick": self.config.quick,
            "epochs": self.epoch,
            "steps": self.step,
            "parameters": parameters,
            "metrics": values,
            "seconds": round(self.seconds, 1),
            "hardware": hardware(self.device),
            "numpy": np.__version__,
        }
        write_atomically(self.folder / RESULT, (json.dumps(record, indent=2) + "\n").encode())
        self._say(f"everything is in {self.folder}")
        return Result(self.name, values, self.history, self.folder, self.seconds)

    def _say(self, text: str) -> None:
        if terminal():
            with contextlib.suppress(ImportError):
                from tqdm import tqdm

                tqdm.write(text)
                return
        print(text, flush=True)


def _number(value: Any) -> Any:
    """A JSON-able value: one-element tensors and arrays become Python numbers."""
    if isinstance(value, Tensor):
        return value.item()
    if isinstance(value, np.generic):
        return value.item()
    if backend.is_array(value):
        return backend.to_numpy(value).item()
    return value


def _same_run(config_file: Path, record: dict[str, Any], config: RunConfig) -> None:
    """Refuse to resume a run that was another one."""
    try:
        before = json.loads(config_file.read_bytes())
        old, new = before["config"], record["config"]
        old_name = before["model"]
    except (ValueError, KeyError, TypeError):
        raise RunError(f"{config_file} is not the configuration of a run") from None
    if old_name != record["model"]:
        raise RunError(f"{config_file.parent} holds a run of {old_name}, not of {record['model']}")
    differ = [k for k in new if k not in config.resumable and new[k] != old.get(k)]
    if differ:
        details = ", ".join(f"{k}={old.get(k)!r} there, {new[k]!r} here" for k in differ)
        raise RunError(f"{config_file.parent} holds a run with another configuration: {details}")
