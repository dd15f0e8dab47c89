r"""Learning-rate schedules.

Belongs here: objects that set ``lr`` in an optimiser's groups, once a call of ``step()``. Does
not belong here: optimisers, and when to step (the training loop decides: after each epoch, or
after each batch).

The schedules are PyTorch's and give the same sequences. All but :class:`LambdaLR` multiply the
rate that they find, so several may act on one optimiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .optimizer import Optimizer

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "ReduceLROnPlateau",
    "StepLR",
]


class LRScheduler:
    r"""The base: counts the calls of :meth:`step` and sets what :meth:`get_lr` returns.

    Args:
        optimizer: whose groups to change. Its rates now are the initial ones.
        last_epoch: -1 to begin; else the number of steps done, and ``initial_lr`` must be in the
            groups (prefer :meth:`load_state_dict`).
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self.optimizer = _checked(optimizer, self)
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
        self._step_count = 0
        self._beginning = True
        self.step()
        self._beginning = False

    def get_lr(self) -> list[float]:
        r"""The rates of the groups at ``last_epoch``, from the rates that they have."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        r"""The rates that the latest step set, one for each group."""
        return self._last_lr

    def step(self) -> None:
        r"""Go on to the next epoch; call it after ``optimizer.step()``."""
        self._step_count += 1
        self.last_epoch += 1
        for group, lr in zip(self.optimizer.param_groups, self.get_lr(), strict=True):
            group["lr"] = lr
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._rates()]

    def state_dict(self) -> dict[str, Any]:
        r"""Everything but the optimiser, as numbers and lists. The optimiser's own state holds
        the rates; save both."""
        skip = ("optimizer", "_beginning")
        return {
            name: list(value) if isinstance(value, list) else value
            for name, value in self.__dict__.items()
            if name not in skip
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        r"""Continue from a :meth:`state_dict`.

        Raises:
            ValueError: an entry is missing or unknown; nothing has been changed.
        """
        expected = set(self.state_dict())
        if not isinstance(state_dict, dict) or set(state_dict) != expected:
            got = sorted(state_dict) if isinstance(state_dict, dict) else type(state_dict).__name__
            raise ValueError(
                f"{type(self).__name__}: load_state_dict: expected {sorted(expected)}, got {got}"
            )
        self.__dict__.update(
            {n: list(v) if isinstance(v, list) else v for n, v in state_dict.items()}
        )


def _checked(optimizer: Any, schedule: Any) -> Optimizer:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{type(schedule).__name__}: expected an Optimizer, got {type(optimizer).__name__}"
        )
    return optimizer


def _positive_int(schedule: Any, name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"{type(schedule).__name__}: expected a positive integer as {name}, got {value!r}"
        )
    return value


class StepLR(LRScheduler):
    r"""Multiply by ``gamma`` every ``step_size`` epochs:
    :math:`\eta_t = \eta_0 \gamma^{\lfloor t / s \rfloor}`."""

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.step_size = _positive_int(self, "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0 or self.last_epoch % self.step_size != 0:
            return self._rates()
        return self._scaled(self.gamma)


class MultiStepLR(LRScheduler):
    r"""Multiply by ``gamma`` at each of the ``milestones`` (twice where one is there twice)."""

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        count = self.milestones.count(self.last_epoch)
        return self._scaled(self.gamma**count) if count else self._rates()


class ExponentialLR(LRScheduler):
    r"""Multiply by ``gamma`` every epoch: :math:`\eta_t = \eta_0 \gamma^t`."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return self._rates() if self._beginning else self._scaled(self.gamma)


class ConstantLR(LRScheduler):
    r"""``factor`` times the rate until epoch ``total_iters``, then the rate itself."""

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < factor <= 1:
            raise ValueError(f"ConstantLR: expected 0 < factor <= 1, got {factor!r}")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        if self.last_epoch != self.total_iters:
            return self._rates()
        return self._scaled(1.0 / self.factor)


class LinearLR(LRScheduler):
    r"""Scale the rate by a factor that goes from ``start_factor`` to ``end_factor`` in a straight
    line over ``total_iters`` epochs: a warm-up, by default."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: expected 0 < start_factor <= 1, got {start_factor!r}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: expected 0 <= end_factor <= 1, got {end_factor!r}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = _positive_int(self, "total_iters", total_iters)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return self._scaled(self.start_factor)
        if self._beginning or self.last_epoch > self.total_iters:
            return self._rates()
        slope = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * slope
        return self._scaled(1.0 + slope / before)


class CosineAnnealingLR(LRScheduler):
    r"""Half a cosine from the initial rate to ``eta_min`` over ``T_max`` epochs:

    .. math:: \eta_t = \eta_{min} + (\eta_0 - \eta_{min}) (1 + \cos(\pi t / T_{max})) / 2

    After ``T_max`` it rises again. The rate is computed from the one before, so that other
    schedules can act beside it.

    Reference: Loshchilov and Hutter, SGDR, 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_max: int,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_max = _positive_int(self, "T_max", T_max)
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        low, t, period = self.eta_min, self.last_epoch, self.T_max
        if self._beginning:
            return self._rates()
        if (t - 1 - period) % (2 * period) == 0:  # leaving the minimum: the ratio would be 0/0
            rise = (1 - math.cos(math.pi / period)) / 2
            return [lr + (base - low) * rise for lr, base in zip(self._rates(), self.base_lrs)]
        ratio = (1 + math.cos(math.pi * t / period)) / (1 + math.cos(math.pi * (t - 1) / period))
        return [ratio * (lr - low) + low for lr in self._rates()]


class LambdaLR(LRScheduler):
    r"""The initial rate times ``lr_lambda(epoch)``; one function, or one for each group.

    The functions are not part of the state.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        count = len(_checked(optimizer, self).param_groups)
        if isinstance(lr_lambda, list | tuple):
            if len(lr_lambda) != count:
                raise ValueError(f"LambdaLR: expected {count} functions, got {len(lr_lambda)}")
            self.lr_lambdas = list(lr_lambda)
        else:
            self.lr_lambdas = [lr_lambda] * count
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [
            base * function(self.last_epoch)
            for base, function in zip(self.base_lrs, self.lr_lambdas, strict=True)
        ]

    def state_dict(self) -> dict[str, Any]:
        return {n: v for n, v in super().state_dict().items() if n != "lr_lambdas"}


class ReduceLROnPlateau(LRScheduler):
    r"""Multiply by ``factor`` when a metric has not improved for more than ``patience`` epochs.

    Args:
        optimizer: whose groups to change.
        mode: ``"min"`` if smaller is better, ``"max"`` if larger.
        factor: below 1.
        patience: how many epochs without improvement are let pass.
        threshold: how much counts as an improvement: a fraction of the best (``"rel"``) or a
            difference (``"abs"``), as ``threshold_mode`` says.
        cooldown: epochs to wait after a reduction before counting again.
        min_lr: lower bound, one for all groups or one for each.
        eps: a smaller change than this is not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ) -> None:
        self.optimizer = _checked(optimizer, self)
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau: expected mode 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"ReduceLROnPlateau: expected threshold_mode 'rel' or 'abs', got {threshold_mode!r}"
            )
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau: expected 0 <= factor < 1, got {factor!r}")
        count = len(optimizer.param_groups)
        min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * count
        if len(min_lrs) != count:
            raise ValueError(f"ReduceLROnPlateau: expected {count} min_lr, got {len(min_lrs)}")
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lrs, self.eps = cooldown, min_lrs, eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = self._rates()

    def step(self, metrics: Any) -> None:  # type: ignore[override]
        r"""Go on to the next epoch, whose metric was ``metrics`` (a number or 0-d tensor)."""
        current = float(metrics)
        self.last_epoch += 1
        if self._better(current):
            self.best = current
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, lowest in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                lr = max(group["lr"] * self.factor, lowest)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _better(self, value: float) -> bool:
        sign = 1.0 if self.mode == "min" else -1.0
        relative = self.threshold_mode == "rel"
        bar = (
            self.best * (1 - sign * self.threshold)
            if relative
            else (self.best - sign * self.threshold)
        )
        return sign * value < sign * bar
