r"""The base of every schedule.

Belongs here: counting steps, setting rates, and the state. Does not belong here: formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..optimizer import Optimizer

__all__ = ["LRScheduler", "checked", "for_groups", "functions_for", "positive_int"]


class LRScheduler:
    r"""The base: counts the calls of :meth:`step` and sets what :meth:`get_lr` returns.

    Args:
        optimizer: whose groups to change. Its rates now are the initial ones.
        last_epoch: -1 to begin; else the number of steps done, and ``initial_lr`` must be in the
            groups (prefer :meth:`load_state_dict`).
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = checked(optimizer, self)
        for k, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise ValueError(
                    f"{type(self).__name__}: expected 'initial_lr' in group {k} with "
                    f"last_epoch={last_epoch}; it is set when a schedule begins"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._begin()

    def _begin(self) -> None:
        r"""The step that every schedule makes when it is created."""
        self._step_count = 0
        self._beginning = True
        try:
            self.step()
        finally:
            self._beginning = False

    def _undo(self) -> None:
        r"""Take the first step back from the count; the rates are the caller's business."""
        self.last_epoch -= 1

    def _restart(self) -> None:
        r"""Set the rates of epoch 0, whatever other schedules left behind."""
        self.last_epoch = 0
        self._set(self.closed_form() or self.get_lr())

    def get_lr(self) -> list[float]:
        r"""The rates of the groups at ``last_epoch``, from the rates that they have."""
        raise NotImplementedError

    def closed_form(self) -> list[float] | None:
        r"""The rates at ``last_epoch`` from the initial ones alone, where there is a formula."""
        return None

    def get_last_lr(self) -> list[float]:
        r"""The rates that the latest step set, one for each group."""
        return self._last_lr

    def step(self) -> None:
        r"""Go on to the next epoch; call it after ``optimizer.step()``."""
        self._step_count += 1
        self.last_epoch += 1
        self._set(self.get_lr())

    def _set(self, rates: Sequence[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._rates()]

    def _state_names(self) -> set[str]:
        r"""The attributes that are state."""
        return set(self.__dict__) - {"optimizer", "_beginning"}

    def state_dict(self) -> dict[str, Any]:
        r"""Everything but the optimiser and functions that were given, as numbers and lists. The
        optimiser's own state holds the rates; save both."""
        names = self._state_names()
        return {
            name: list(value) if isinstance(value, list) else value
            for name, value in self.__dict__.items()
            if name in names
        }

    def _check_state(self, state_dict: Any) -> None:
        expected = set(self.state_dict())
        if not isinstance(state_dict, dict) or set(state_dict) != expected:
            got = sorted(state_dict) if isinstance(state_dict, dict) else type(state_dict).__name__
            raise ValueError(
                f"{type(self).__name__}: load_state_dict: expected {sorted(expected)}, got {got}"
            )

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        r"""Continue from a :meth:`state_dict`.

        Raises:
            ValueError: an entry is missing or unknown; nothing has been changed.
        """
        self._check_state(state_dict)
        self.__dict__.update(
            {n: list(v) if isinstance(v, list) else v for n, v in state_dict.items()}
        )


def checked(optimizer: Any, schedule: Any) -> Optimizer:
    r"""``optimizer``, if it is one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{type(schedule).__name__}: expected an Optimizer, got {type(optimizer).__name__}"
        )
    return optimizer


def positive_int(schedule: Any, name: str, value: Any) -> int:
    r"""``value``, if it is one."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"{type(schedule).__name__}: expected a positive integer as {name}, got {value!r}"
        )
    return value


def for_groups(schedule: Any, name: str, value: Any, optimizer: Optimizer) -> list[Any]:
    r"""``value`` once for each group, or the values if it is a list of as many."""
    count = len(optimizer.param_groups)
    if not isinstance(value, list | tuple):
        return [value] * count
    if len(value) != count:
        raise ValueError(
            f"{type(schedule).__name__}: expected {count} {name}, one for each group, "
            f"got {len(value)}"
        )
    return list(value)


def functions_for(
    schedule: Any, lr_lambda: Any, optimizer: Optimizer
) -> list[Callable[[int], float]]:
    r"""One function for each group."""
    functions = for_groups(schedule, "functions", lr_lambda, checked(optimizer, schedule))
    for function in functions:
        if not callable(function):
            raise TypeError(
                f"{type(schedule).__name__}: expected functions of the epoch, got {function!r}"
            )
    return functions
