r"""Averages of a model's weights over the course of training.

Belongs here: exponential moving averages (EMA) and stochastic weight averaging (SWA), and what the
latter needs beside: its learning-rate schedule, and batch-norm statistics for averaged weights.
Does not belong here: optimisers.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Self

import numpy as np

from ..backend import get_array_module, to_device
from ..gradmode import no_grad
from ..nn.module import Module
from ..nn.norm import _BatchNorm
from ..tensor import Tensor
from .lr_scheduler.base import LRScheduler, checked, for_groups
from .optimizer import Optimizer

__all__ = [
    "SWALR",
    "AveragedModel",
    "get_ema_avg_fn",
    "get_ema_multi_avg_fn",
    "get_swa_avg_fn",
    "get_swa_multi_avg_fn",
    "update_bn",
]

AvgFn = Callable[[Tensor, Tensor, int], Tensor]
MultiAvgFn = Callable[[Sequence[Tensor], Sequence[Tensor], int], None]


def _checked_decay(decay: float) -> float:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"get_ema_avg_fn: expected 0 <= decay <= 1, got {decay!r}")
    return decay


def get_ema_avg_fn(decay: float = 0.999) -> AvgFn:
    r"""The rule :math:`a \leftarrow \gamma a + (1 - \gamma) \theta`, for one tensor."""
    gamma = _checked_decay(decay)

    def ema_update(average: Tensor, current: Tensor, count: int) -> Tensor:
        return average * gamma + current * (1 - gamma)

    return ema_update


def get_swa_avg_fn() -> AvgFn:
    r"""The rule :math:`a \leftarrow a + (\theta - a) / (n + 1)`, the plain mean, for one tensor."""

    def swa_update(average: Tensor, current: Tensor, count: int) -> Tensor:
        return average + (current - average) / (count + 1)

    return swa_update


def _approach(average: Tensor, current: Tensor, weight: float) -> None:
    r"""average += weight (current - average), in place; the weight is exact at 0 and at 1. Integers
    (batch norm's counter) are copied."""
    a, b = average.data, current.data
    if a.dtype.kind != "f":
        a[...] = b
        return
    step = b - a
    if weight < 0.5:
        step *= weight
        a += step
    else:
        step *= 1 - weight
        get_array_module(a).subtract(b, step, out=a)


def get_ema_multi_avg_fn(decay: float = 0.999) -> MultiAvgFn:
    r"""The rule of :func:`get_ema_avg_fn` for all tensors, in place."""
    gamma = _checked_decay(decay)

    def ema_update(averages: Sequence[Tensor], currents: Sequence[Tensor], count: int) -> None:
        for average, current in zip(averages, currents, strict=True):
            _approach(average, current, 1 - gamma)

    return ema_update


def get_swa_multi_avg_fn() -> MultiAvgFn:
    r"""The rule of :func:`get_swa_avg_fn` for all tensors, in place."""

    def swa_update(averages: Sequence[Tensor], currents: Sequence[Tensor], count: int) -> None:
        for average, current in zip(averages, currents, strict=True):
            _approach(average, current, 1 / (count + 1))

    return swa_update


class AveragedModel(Module):
    r"""A copy of a model whose weights are an average of that model's, over the calls of
    :meth:`update_parameters`. Call it like the model; save it like any module.

    The first update copies the weights. Buffers (batch norm's running statistics) are copied at
    every update, or averaged too with ``use_buffers``.

    Args:
        model: what to average; it is copied deeply, so parts may be shared inside of it.
        device: where the average lives; the model's by default.
        avg_fn: new average from (average, current, number of updates before).
        multi_avg_fn: the same for all tensors at once, in place; at most one of the two. With
            neither, the plain mean of all updates (SWA).
        use_buffers: average the buffers too.

    Reference: Polyak and Juditsky, Acceleration of stochastic approximation by averaging, 1992;
    Izmailov et al., Averaging weights leads to wider optima and better generalization, 2018.

    >>> import minigrad as mg
    >>> model = mg.nn.Linear(1, 1, bias=False)
    >>> ema = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.75))
    >>> for weight in (0.0, 4.0):
    ...     model.weight.data[...] = weight
    ...     ema.update_parameters(model)
    >>> ema.module.weight.item(), list(ema.state_dict())
    (1.0, ['n_averaged', 'module.weight'])
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: AvgFn | None = None,
        multi_avg_fn: MultiAvgFn | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: expected avg_fn or multi_avg_fn, got both")
        self.module = copy.deepcopy(model)
        self.register_buffer("n_averaged", Tensor(np.asarray(0, np.int64)))
        self.avg_fn, self.multi_avg_fn = avg_fn, multi_avg_fn
        self.use_buffers = use_buffers
        if device is not None:
            self.to(device)

    def to(self: Self, *args: Any, device: Any = None, dtype: Any = None) -> Self:
        super().to(*args, device=device, dtype=dtype)
        # The count stays on the host: no update waits for a device.
        self.n_averaged.data = to_device(self.n_averaged.data, "cpu")
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        r"""Take the present weights of ``model`` into the average.

        Raises:
            ValueError: its parameters or buffers are not the average's in number or shape; nothing
                has been changed.
        """
        averages, currents = self._pairs(self.module, model, self.use_buffers)
        kept, news = ([], []) if self.use_buffers else self._buffers(self.module, model)
        count = int(self.n_averaged)
        with no_grad():
            if count == 0:
                self._copy(averages, currents)
            elif self.avg_fn is not None:
                values = [self.avg_fn(a, c, count) for a, c in zip(averages, currents)]
                self._copy(averages, values)
            else:
                (self.multi_avg_fn or get_swa_multi_avg_fn())(averages, currents, count)
            self._copy(kept, news)
        for tensor in (*averages, *kept):
            tensor._version[0] += 1
        self.n_averaged.data[...] = count + 1

    def _pairs(
        self, own: Module, model: Module, buffers: bool
    ) -> tuple[list[Tensor], list[Tensor]]:
        def tensors(module: Module) -> Iterator[Tensor]:
            rest = module.buffers() if buffers else ()
            return itertools.chain(module.parameters(), rest)

        return self._matched(list(tensors(own)), list(tensors(model)))

    def _buffers(self, own: Module, model: Module) -> tuple[list[Tensor], list[Tensor]]:
        return self._matched(list(own.buffers()), list(model.buffers()))

    @staticmethod
    def _matched(own: list[Tensor], other: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        ours, theirs = [t.shape for t in own], [t.shape for t in other]
        if ours != theirs:
            raise ValueError(
                f"update_parameters: expected the model that was copied, with tensors of {ours}, "
                f"got {theirs}"
            )
        currents = [
            Tensor(to_device(c.data, a.device).astype(a.dtype, copy=False))
            for a, c in zip(own, other)
        ]
        return [a.detach() for a in own], currents

    @staticmethod
    def _copy(targets: Sequence[Tensor], sources: Sequence[Tensor]) -> None:
        for target, source in zip(targets, sources):
            target.data[...] = source.data


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    r"""Set the running statistics of all batch norms in ``model`` to those of the data: averaged
    weights have activations that no training step has seen.

    Args:
        loader: gives batches: the model's input, or a tuple or list that begins with it.
        model: is run in training mode, and left in the mode it had.
        device: where to move the inputs.
    """
    momenta = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    if not momenta:
        return
    training = [(module, module.training) for module in model.modules()]
    try:
        model.train()
        for module in momenta:
            module.reset_running_stats()
            module.momentum = None  # the plain mean over all batches
        with no_grad():
            for batch in loader:
                inputs = batch[0] if isinstance(batch, list | tuple) else batch
                model(inputs if device is None else inputs.to(device))
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum
        for part, mode in training:
            part.training = mode


class SWALR(LRScheduler):
    r"""From the present rate to ``swa_lr`` over ``anneal_epochs``, and constant from then on.

    Args:
        optimizer: whose groups to change.
        swa_lr: the final rate, for all groups or one for each.
        anneal_epochs: how many steps the way takes; 0 to be there after the first.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        last_epoch: see :class:`~minigrad.optim.lr_scheduler.LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        rates = for_groups(self, "swa_lr", swa_lr, checked(optimizer, self))
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"SWALR: expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}"
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: expected anneal_epochs >= 0, got {anneal_epochs!r}")
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        for group, rate in zip(optimizer.param_groups, rates):
            group["swa_lr"] = rate
        super().__init__(optimizer, last_epoch)

    def _part(self, step: int) -> float:
        r"""How much of the way is done after ``step`` steps."""
        part = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * part)) / 2 if self.anneal_strategy == "cos" else part

    def get_lr(self) -> list[float]:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._part(step - 1), self._part(step)
        rates = []
        for group in self.optimizer.param_groups:
            end = group["swa_lr"]
            # Where the rate began, from where it is: other schedules may act beside this one.
            start = end if before == 1 else (group["lr"] - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
