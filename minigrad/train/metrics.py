r"""Numbers that say how well a model does, accumulated over the batches of an epoch.

Belongs here: metrics of outputs against targets. Does not belong here: losses (``nn``), metrics of
images and boxes (``vision``).

A metric has ``update(output, target)``, ``compute()``, ``reset()``, and a state that a checkpoint
can hold. Sums stay on the device of what is added, as float64, so that adding never waits for a
GPU; ``compute`` looks at them once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.backend import get_array_module, is_array, to_numpy
from minigrad.tensor import Tensor

__all__ = [
    "Accuracy",
    "ConfusionMatrix",
    "Mean",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Metric",
    "TopKAccuracy",
]


def _array(value: Any) -> Any:
    """The raw array of a tensor; arrays and numbers as they are."""
    if isinstance(value, Tensor):
        return value.data
    return value if is_array(value) else np.asarray(value)


class Metric:
    r"""Base class: a subclass defines ``update`` and ``compute``, and keeps what it accumulates in
    ``self.totals``, name -> array or number."""

    #: "max" if more is better, "min" if less is
    mode = "max"

    def __init__(self) -> None:
        self.totals: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        r"""Forget everything."""
        self.totals = {"sum": 0.0, "count": 0}

    def update(self, output: Any, target: Any) -> None:
        r"""Take in a batch."""
        raise NotImplementedError(f"{type(self).__name__} does not define update")

    def compute(self) -> Any:
        r"""The metric over all batches since ``reset``; nan if there was none."""
        total, count = float(to_numpy(_array(self.totals["sum"]))), self.totals["count"]
        return total / count if count else float("nan")

    def _add(self, total: Any, count: Any) -> None:
        before = self.totals["sum"]
        self.totals = {"sum": before + total, "count": self.totals["count"] + int(count)}

    def state_dict(self) -> dict[str, Any]:
        r"""What was accumulated."""
        return dict(self.totals)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""Continue from a :meth:`state_dict`."""
        if not isinstance(state, dict) or set(state) != set(self.state_dict()):
            raise ValueError(
                f"{type(self).__name__}.load_state_dict: expected {sorted(self.totals)}, "
                f"got {sorted(state) if isinstance(state, dict) else state!r}"
            )
        self.totals = dict(state)


def _labels(name: str, output: Any, target: Any) -> tuple[Any, Any]:
    """Outputs ``(N, K, ...)`` and labels ``(N, ...)`` as arrays, their shapes checked."""
    output, target = _array(output), _array(target)
    if output.ndim < 2 or target.shape != (output.shape[0], *output.shape[2:]):
        raise ValueError(
            f"{name}: expected outputs (N, K, ...) and labels (N, ...), "
            f"got {output.shape} and {target.shape}"
        )
    return output, target


class Mean(Metric):
    r"""The mean of numbers, each with a weight: ``update(value, weight)``.

    A loss that is a batch's mean belongs in with the batch's size as weight, because the last
    batch may be smaller.

    >>> mean = Mean()
    >>> mean.update(1.0, 3)
    >>> mean.update(5.0, 1)
    >>> mean.compute()
    2.0
    """

    mode = "min"

    def update(self, output: Any, target: Any = 1) -> None:
        value = _array(output)
        if value.size != 1:
            raise ValueError(f"Mean: expected one number, got shape {value.shape}")
        weight = int(target)
        self._add(value.reshape(()).astype(np.float64) * weight, weight)


class Accuracy(Metric):
    r"""The share of samples whose largest output is at the label.

    ``output`` ``(N, K, ...)`` are logits or probabilities, ``target`` ``(N, ...)`` integers.

    >>> accuracy = Accuracy()
    >>> accuracy.update(np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([0, 0]))
    >>> accuracy.compute()
    0.5
    """

    def update(self, output: Any, target: Any) -> None:
        output, target = _labels("Accuracy", output, target)
        right = output.argmax(axis=1) == target
        self._add(right.sum(dtype=np.float64), target.size)


class TopKAccuracy(Metric):
    r"""The share of samples whose label is among the ``k`` largest outputs."""

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise ValueError(f"TopKAccuracy: expected k >= 1, got {k}")
        self.k = k
        super().__init__()

    def update(self, output: Any, target: Any) -> None:
        output, target = _labels("TopKAccuracy", output, target)
        xp = get_array_module(output)
        at_label = xp.take_along_axis(output, xp.expand_dims(target, 1), 1)  # (N, 1, ...)
        # Ties count against the label, so a constant output scores nothing.
        better = (output >= at_label).sum(axis=1) - 1
        self._add((better < self.k).sum(dtype=np.float64), target.size)


class MeanSquaredError(Metric):
    r"""The mean of ``(output - target)**2`` over all elements."""

    mode = "min"

    def update(self, output: Any, target: Any) -> None:
        self._add_errors(output, target, 2)

    def _add_errors(self, output: Any, target: Any, power: int) -> None:
        output, target = _array(output), _array(target)
        if output.shape != target.shape:
            raise ValueError(
                f"{type(self).__name__}: expected equal shapes, "
                f"got {output.shape} and {target.shape}"
            )
        error = abs(output.astype(np.float64) - target.astype(np.float64))
        self._add((error**power).sum(), output.size)


class MeanAbsoluteError(MeanSquaredError):
    r"""The mean of ``|output - target|`` over all elements."""

    def update(self, output: Any, target: Any) -> None:
        self._add_errors(output, target, 1)


class ConfusionMatrix(Metric):
    r"""How often label ``i`` (row) was taken for ``j`` (column): ``compute()`` is ``(K, K)`` int64.

    >>> confusion = ConfusionMatrix(2)
    >>> confusion.update(np.array([[2.0, 1.0], [3.0, 0.0]]), np.array([0, 1]))
    >>> confusion.compute()
    array([[1, 0],
           [1, 0]])
    """

    def __init__(self, classes: int) -> None:
        self.classes = classes
        super().__init__()

    def reset(self) -> None:
        self.totals = {"counts": 0}

    def update(self, output: Any, target: Any) -> None:
        output, target = _labels("ConfusionMatrix", output, target)
        if output.shape[1] != self.classes:
            raise ValueError(
                f"ConfusionMatrix: expected {self.classes} classes, got {output.shape[1]}"
            )
        xp = get_array_module(output)
        pairs = target.astype(np.int64) * self.classes + output.argmax(axis=1)
        counts = xp.bincount(pairs.ravel(), minlength=self.classes**2)
        self.totals = {"counts": self.totals["counts"] + counts}

    def compute(self) -> np.ndarray:
        counts = np.broadcast_to(to_numpy(_array(self.totals["counts"])), (self.classes**2,))
        return counts.reshape(self.classes, self.classes).astype(np.int64)
