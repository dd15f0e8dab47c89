r"""Schedules made of schedules: one after the other, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, checked
from .plateau import ReduceLROnPlateau

__all__ = ["ChainedScheduler", "SequentialLR"]


class _Combined(LRScheduler):
    r"""What both share: the parts, checked, and their states."""

    _schedulers: list[LRScheduler]

    def _take(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None) -> None:
        name = type(self).__name__
        if not schedulers:
            raise ValueError(f"{name}: expected at least one schedule, got none")
        for k, schedule in enumerate(schedulers):
            if not isinstance(schedule, LRScheduler):
                raise TypeError(
                    f"{name}: expected schedules, got {type(schedule).__name__} at index {k}"
                )
            if isinstance(schedule, ReduceLROnPlateau):
                raise ValueError(
                    f"{name}: expected schedules without a metric, got ReduceLROnPlateau "
                    f"at index {k}"
                )
        self.optimizer = schedulers[0].optimizer if optimizer is None else checked(optimizer, self)
        for k, schedule in enumerate(schedulers):
            if schedule.optimizer is not self.optimizer:
                raise ValueError(
                    f"{name}: expected schedules of one optimizer, got another one's at index {k}"
                )
        self._schedulers = list(schedulers)

    def _undo(self) -> None:
        for schedule in self._schedulers:
            schedule._undo()

    def state_dict(self) -> dict[str, Any]:
        state = super().state_dict()
        state["_schedulers"] = [schedule.state_dict() for schedule in self._schedulers]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._check_state(state_dict)
        states = state_dict["_schedulers"]
        if not isinstance(states, list) or len(states) != len(self._schedulers):
            raise ValueError(
                f"{type(self).__name__}: load_state_dict: expected the states of "
                f"{len(self._schedulers)} schedules"
            )
        for schedule, state in zip(self._schedulers, states):
            schedule._check_state(state)
        for schedule, state in zip(self._schedulers, states):
            schedule.load_state_dict(state)
        super().load_state_dict({**state_dict, "_schedulers": self._schedulers})


class SequentialLR(_Combined):
    r"""One schedule after the other; schedule k + 1 takes over at epoch ``milestones[k]`` and
    counts from 0 there.

    Args:
        optimizer: whose groups to change.
        schedulers: at least one; just made, for this optimiser.
        milestones: rising epochs, one fewer than schedules.

    >>> import minigrad as mg
    >>> optimizer = mg.optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0)
    >>> warm_up = mg.optim.lr_scheduler.LinearLR(optimizer, 0.5, total_iters=2)
    >>> decay = mg.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> schedule, rates = SequentialLR(optimizer, [warm_up, decay], [2]), []
    >>> for _ in range(5):
    ...     rates.append(optimizer.param_groups[0]["lr"])
    ...     schedule.step()
    >>> rates
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRScheduler],
        milestones: list[int],
        last_epoch: int = -1,
    ) -> None:
        self._take(schedulers, checked(optimizer, self))
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: expected {len(schedulers) - 1} milestones for {len(schedulers)} "
                f"schedules, got {len(milestones)}"
            )
        self._milestones = list(milestones)
        self.last_epoch = last_epoch + 1
        # The schedules have each made their first step, on top of one another: back to the start.
        for group in self.optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        self._undo()
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._begin()
        self._last_lr = first.get_last_lr()

    def _restart(self) -> None:
        self.last_epoch = 0
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._restart()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        self.last_epoch += 1
        k = bisect_right(self._milestones, self.last_epoch)
        if k > 0 and self._milestones[k - 1] == self.last_epoch:
            self._schedulers[k]._restart()
        else:
            self._schedulers[k].step()
        self._last_lr = self._schedulers[k].get_last_lr()


class ChainedScheduler(_Combined):
    r"""Several schedules at once: a step of this is a step of each, in order.

    Args:
        schedulers: at least one, all of one optimiser.
        optimizer: that optimiser; the first schedule's by default.
    """

    def __init__(
        self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None
    ) -> None:
        self._take(schedulers, optimizer)
        self._last_lr = self._rates()

    def _restart(self) -> None:
        for schedule in self._schedulers:
            schedule._restart()
        self._last_lr = self._rates()

    def step(self) -> None:
        for schedule in self._schedulers:
            schedule.step()
        self._last_lr = self._rates()
