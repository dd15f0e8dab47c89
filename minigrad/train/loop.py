r"""The ordinary loop: inputs, targets, a loss, an optimiser.

Belongs here: ``fit``, and what looks at a model over a loader, ``evaluate``, ``mean_values`` and
``predict``. Does not belong here: loops of particular models, which stand in their files under
``models/`` and use :class:`~minigrad.train.Run`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import minigrad as mg
from minigrad import nn
from minigrad.backend import Device, is_array
from minigrad.creation import as_tensor
from minigrad.tensor import Tensor

from .callbacks import Callback, History
from .metrics import Mean, Metric

__all__ = ["Training", "cycle", "evaluate", "fit", "mean_values", "predict"]


class Training:
    r"""What callbacks see of a running :func:`fit`."""

    def __init__(
        self, model: Any, optimizer: Any, metrics: dict[str, Metric], epochs: int, run: Any
    ) -> None:
        self.model, self.optimizer, self.metrics = model, optimizer, metrics
        self.epochs, self.run = epochs, run
        #: epoch under way (from 1), and steps done
        self.epoch = self.step = 0
        self.batches_in_epoch = 0
        #: the numbers of this epoch, complete in ``on_epoch_end``
        self.logs: dict[str, Any] = {}
        #: the logs of all epochs
        self.records: list[dict[str, Any]] = [] if run is None else run.history
        #: set it to end after this epoch
        self.stop = False

    def running(self) -> dict[str, float]:
        r"""The means so far in this epoch; looks at the device."""
        return {name: metric.compute() for name, metric in self.metrics.items()}


class _Metrics:
    """The states of several metrics, as one thing that a checkpoint holds."""

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self.metrics = metrics

    def state_dict(self) -> dict[str, Any]:
        return {name: metric.state_dict() for name, metric in self.metrics.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if set(state) != set(self.metrics):
            raise ValueError(f"expected {sorted(self.metrics)}, got {sorted(state)}")
        for name, metric in self.metrics.items():
            metric.load_state_dict(state[name])


def fit(
    model: Any,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    optimizer: Any,
    train_loader: Any,
    epochs: int,
    val_loader: Any = None,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[Callback] = (),
    run: Any = None,
    max_norm: float | None = None,
) -> History:
    r"""Train ``model`` to make ``loss_fn(model(inputs), target)`` small.

    Args:
        model: a module.
        loss_fn: of (output, target), giving the batch's *mean*.
        optimizer: of the model's parameters.
        train_loader: batches ``(input, ..., target)``.
        epochs: passes over ``train_loader``.
        val_loader: if given, evaluated after each epoch; its numbers get the prefix ``val_``.
        metrics: name -> :class:`~minigrad.train.Metric` of (output, target). The training metrics
            are means over the epoch, of a model in training mode that changes meanwhile.
        callbacks: called in this order.
        run: a :class:`~minigrad.train.Run` keeps log, progress and checkpoints, and resumes.
        max_norm: clip the norm of the gradients to this before each step.

    Returns:
        The logs of all epochs.

    Raises:
        FloatingPointError: the loss became nan or infinite.

    >>> import minigrad as mg
    >>> from minigrad import nn, optim
    >>> from minigrad.data import DataLoader, TensorDataset
    >>> x = mg.linspace(-1, 1, 16).reshape(16, 1)
    >>> loader = DataLoader(TensorDataset(x, 2 * x + 3), batch_size=4)
    >>> line = nn.Linear(1, 1)
    >>> sgd = optim.SGD(line.parameters(), lr=0.1)
    >>> history = fit(line, nn.functional.mse_loss, sgd, loader, epochs=50)
    >>> round(line.weight.item(), 2), round(line.bias.item(), 2)
    (2.0, 3.0)
    """
    measured: dict[str, Metric] = {"loss": Mean(), **(metrics or {})}
    training = Training(model, optimizer, measured, epochs, run)
    training.batches_in_epoch = len(train_loader)
    if run is not None:
        states = {"model": model, "optimizer": optimizer, "metrics": _Metrics(measured)}
        if hasattr(train_loader, "state_dict"):
            states["loader"] = train_loader
        numbered = {str(i): callback for i, callback in enumerate(callbacks)}
        run.track(**states, callbacks=_Metrics(numbered))
        run.restore()
        training.step, training.stop = run.step, run.stop

    def tell(event: str) -> None:
        for callback in callbacks:
            getattr(callback, event)(training)

    device = _device_of(model)
    tell("on_train_begin")
    for epoch in range(1, epochs + 1) if run is None else run.epochs(epochs):
        training.epoch, training.logs = epoch, {}
        if run is None or not run.resumed_in_epoch:
            for metric in measured.values():
                metric.reset()
        tell("on_epoch_begin")
        model.train()
        for batch in train_loader if run is None else run.batches(train_loader, training.running):
            *inputs, target = _moved(batch, device)
            output = model(*inputs)
            loss = loss_fn(output, target)
            optimizer.zero_grad()
            loss.backward()
            if max_norm is not None:
                nn.utils.clip_grad_norm_(list(model.parameters()), max_norm)
            optimizer.step()
            training.step += 1
            measured["loss"].update(loss, len(target))
            for name, metric in measured.items():
                if name != "loss":
                    metric.update(output, target)
            tell("on_batch_end")

        values = {name: metric.compute() for name, metric in measured.items()}
        if val_loader is not None:
            validated = evaluate(model, val_loader, loss_fn, metrics)
            values |= {f"val_{name}": value for name, value in validated.items()}
        if run is None:
            training.logs = {"epoch": epoch, "step": training.step, **values}
            _check_finite(training.logs)
            training.records.append(training.logs)
        else:
            training.logs = run.log(**values)
        tell("on_epoch_end")
        if run is not None:
            run.stop = training.stop
        elif training.stop:
            break
    tell("on_train_end")
    return History(training.records)


def _check_finite(logs: dict[str, Any]) -> None:
    for name, value in logs.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise FloatingPointError(f"fit: {name} is {value} in epoch {logs['epoch']}")


def _device_of(model: Any) -> Device | None:
    for parameter in model.parameters():
        return Device(parameter.device)
    return None


def _moved(batch: Any, device: Device | None) -> list[Tensor]:
    """A batch as a list of tensors on ``device``."""
    parts = batch if isinstance(batch, (tuple, list)) else [batch]
    tensors = [as_tensor(part) for part in parts]
    return tensors if device is None else [t.to(device) for t in tensors]


def evaluate(
    model: Any,
    loader: Any,
    loss_fn: Callable[[Tensor, Tensor], Tensor] | None = None,
    metrics: Mapping[str, Metric] | None = None,
) -> dict[str, float]:
    r"""Loss and metrics of ``model``, in evaluation mode, over all of ``loader``.

    The metrics passed in serve as patterns and are left as they are. The model's mode is put back.
    """
    measured = {name: copy.deepcopy(metric) for name, metric in (metrics or {}).items()}
    for metric in measured.values():
        metric.reset()
    losses = Mean()
    device = _device_of(model)
    was_training = model.training
    model.eval()
    try:
        with mg.no_grad():
            for batch in loader:
                *inputs, target = _moved(batch, device)
                output = model(*inputs)
                if loss_fn is not None:
                    losses.update(loss_fn(output, target), len(target))
                for metric in measured.values():
                    metric.update(output, target)
    finally:
        model.train(was_training)
    result = {} if loss_fn is None else {"loss": losses.compute()}
    return result | {name: metric.compute() for name, metric in measured.items()}


def mean_values(
    values: Callable[[Any], Mapping[str, Tensor]], loader: Iterable[Any]
) -> dict[str, float]:
    r"""What ``values(batch)`` gives under each name, averaged over all samples of ``loader``,
    without gradients: the measure of models that are no function from inputs to targets.

    Args:
        values: of a batch, whose first part is ``(N, ...)``, to named tensors: one number for each
            sample, or their mean. A model's mode is the caller's affair.

    >>> loader = [(mg.tensor([1.0, 3.0]),), (mg.tensor([8.0]),)]
    >>> mean_values(lambda batch: {"x": batch[0], "square": (batch[0] ** 2).mean()}, loader)
    {'x': 4.0, 'square': 24.666666666666668}
    """
    means: dict[str, Mean] = {}
    with mg.no_grad():
        for batch in loader:
            for name, value in values(batch).items():
                means.setdefault(name, Mean()).update(mg.mean(value), len(batch[0]))
    return {name: mean.compute() for name, mean in means.items()}


def predict(model: Any, inputs: Any, batch_size: int = 256) -> Tensor:
    r"""The outputs of ``model``, in evaluation mode, for all inputs, one after another.

    Args:
        inputs: a tensor or array ``(N, ...)``, cut into batches; or a loader, of whose batches the
            first part is the input.
        batch_size: samples at a time, for a tensor.

    Returns:
        Outputs ``(N, ...)`` on the model's device, without a graph.
    """
    if isinstance(inputs, Tensor) or is_array(inputs):
        whole = as_tensor(inputs)
        batches: Any = (whole[i : i + batch_size] for i in range(0, len(whole), batch_size))
    else:
        batches = (b[0] if isinstance(b, (tuple, list)) else b for b in inputs)
    device = _device_of(model)
    was_training = model.training
    model.eval()
    try:
        with mg.no_grad():
            outputs = [model(*_moved(batch, device)) for batch in batches]
    finally:
        model.train(was_training)
    if not outputs:
        raise ValueError("predict: expected at least one batch, got none")
    return mg.cat(outputs, 0)


def cycle(loader: Any) -> Iterator[Any]:
    r"""The batches of ``loader``, again and again, for loops that count steps.

    >>> batches = cycle([1, 2])
    >>> [next(batches) for _ in range(5)]
    [1, 2, 1, 2, 1]
    """
    while True:
        yield from loader
