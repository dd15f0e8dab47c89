r"""Schedules that go up and down, some with the momentum in the opposite direction."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler, checked, for_groups, positive_int

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


class CosineAnnealingWarmRestarts(LRScheduler):
    r"""Half a cosine from the initial rate to ``eta_min`` over :math:`T_i` epochs, then from the
    top again, with :math:`T_{i+1} = T_{mult} T_i`:

    .. math:: \eta_t = \eta_{min} + (\eta_0 - \eta_{min}) (1 + \cos(\pi T_{cur} / T_i)) / 2

    Args:
        optimizer: whose groups to change.
        T_0: epochs until the first restart.
        T_mult: factor by which each period is longer than the one before.
        eta_min: the lowest rate.
        last_epoch: see :class:`LRScheduler`.

    Reference: Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ) -> None:
        self.T_0 = self.T_i = positive_int(self, "T_0", T_0)
        self.T_mult = positive_int(self, "T_mult", T_mult)
        self.eta_min = eta_min
        self.T_cur: float = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * height for base in self.base_lrs]

    def _restart(self) -> None:
        self.T_cur, self.T_i = 0, self.T_0
        super()._restart()

    def step(self, epoch: float | None = None) -> None:
        r"""Go on to the next epoch, or to ``epoch``, which may be a fraction: after batch i of n in
        epoch k, ``step(k + i / n)``."""
        if epoch is None and self.last_epoch >= 0:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            epoch = 0 if epoch is None else epoch
            if not epoch >= 0:
                raise ValueError(
                    f"CosineAnnealingWarmRestarts: expected an epoch >= 0, got {epoch!r}"
                )
            # The period that epoch is in: sums of the periods before it are a geometric series.
            period, start = self.T_0, 0
            if self.T_mult == 1:
                start = int(epoch // period) * period
            else:
                while epoch >= start + period:
                    start += period
                    period *= self.T_mult
            self.T_i, self.T_cur = period, epoch - start
        self.last_epoch = math.floor(epoch)
        self._set(self.get_lr())


class _WithMomentum(LRScheduler):
    r"""What both cyclic schedules share: they may also set momentum, or Adam's first beta."""

    def _cycle_momentum(
        self, optimizer: Optimizer, low: Any, high: Any, begin: bool
    ) -> tuple[list[float], list[float]]:
        r"""Check, note which name the momentum has, and start it at its highest."""
        if "momentum" not in optimizer.defaults and "betas" not in optimizer.defaults:
            raise ValueError(
                f"{type(self).__name__}: cycle_momentum expected an optimizer with momentum or "
                f"betas, got {type(optimizer).__name__}"
            )
        self.use_beta1 = "betas" in optimizer.defaults
        lows = for_groups(self, "base_momentum", low, optimizer)
        highs = for_groups(self, "max_momentum", high, optimizer)
        if begin:
            for group, bottom, top in zip(optimizer.param_groups, lows, highs):
                self._set_momentum(group, top)
                group["max_momentum"], group["base_momentum"] = top, bottom
        return lows, highs

    def _set_momentum(self, group: dict[str, Any], momentum: float) -> None:
        if self.use_beta1:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum


class CyclicLR(_WithMomentum):
    r"""Up and down in straight lines between ``base_lr`` and ``max_lr``, once a cycle; step it
    after every batch.

    Args:
        optimizer: whose groups to change.
        base_lr, max_lr: the bounds, for all groups or one for each.
        step_size_up, step_size_down: batches on the way up and down (as many, if not given).
        mode: ``"triangular"`` (constant height), ``"triangular2"`` (half as high every cycle) or
            ``"exp_range"`` (times ``gamma`` every batch).
        gamma: for ``"exp_range"``.
        scale_fn: instead of ``mode``: the height as a function of the cycle (1, 2, ...) or of the
            batch (0, 1, ...), as ``scale_mode`` says. It is not part of the state.
        scale_mode: ``"cycle"`` or ``"iterations"``.
        cycle_momentum: also move the momentum, from ``max_momentum`` down to ``base_momentum``
            while the rate goes up, and back.
        base_momentum, max_momentum: its bounds.
        last_epoch: see :class:`LRScheduler`.

    Reference: Smith, Cyclical learning rates for training neural networks, 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | list[float],
        max_lr: float | list[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float = 0.8,
        max_momentum: float = 0.9,
        last_epoch: int = -1,
    ) -> None:
        checked(optimizer, self)
        lows = for_groups(self, "base_lr", base_lr, optimizer)
        self.max_lrs = for_groups(self, "max_lr", max_lr, optimizer)
        modes = ("triangular", "triangular2", "exp_range")
        if scale_fn is None and mode not in modes:
            raise ValueError(f"CyclicLR: expected a mode among {modes}, got {mode!r}")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(
                f"CyclicLR: expected scale_mode 'cycle' or 'iterations', got {scale_mode!r}"
            )
        down = step_size_up if step_size_down is None else step_size_down
        if not step_size_up > 0 or not down > 0:
            raise ValueError(
                "CyclicLR: expected step_size_up and step_size_down > 0, "
                f"got {step_size_up!r} and {step_size_down!r}"
            )
        self.total_size = float(step_size_up) + float(down)
        self.step_ratio = step_size_up / self.total_size
        self.mode, self.gamma, self._scale_fn = mode, gamma, scale_fn
        self.scale_mode = scale_mode
        if scale_fn is None:
            self.scale_mode = "iterations" if mode == "exp_range" else "cycle"
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            self.base_momentums, self.max_momentums = self._cycle_momentum(
                optimizer, base_momentum, max_momentum, begin=last_epoch == -1
            )
        if last_epoch == -1:
            for group, low in zip(optimizer.param_groups, lows):
                group["lr"] = low
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lows

    def scale_fn(self, x: float) -> float:
        r"""The height of cycle or batch ``x``, of 1."""
        if self._scale_fn is not None:
            return self._scale_fn(x)
        if self.mode == "triangular2":
            return 0.5 ** (x - 1)
        return self.gamma**x if self.mode == "exp_range" else 1.0

    def get_lr(self) -> list[float]:
        turns = self.last_epoch / self.total_size
        cycle = math.floor(1 + turns)
        x = 1.0 + turns - cycle  # how far in this cycle, of 1
        if x <= self.step_ratio:
            height = x / self.step_ratio
        else:
            height = (x - 1) / (self.step_ratio - 1)
        scale = self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.cycle_momentum:
            for group, low, high in zip(
                self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True
            ):
                self._set_momentum(group, high - (high - low) * height * scale)
        return [
            low + (high - low) * height * scale for low, high in zip(self.base_lrs, self.max_lrs)
        ]

    def _state_names(self) -> set[str]:
        return super()._state_names() - {"_scale_fn"}


class OneCycleLR(_WithMomentum):
    r"""Up to ``max_lr`` and down to almost nothing, once in the whole training; step it after every
    batch.

    The rate goes from ``max_lr / div_factor`` up to ``max_lr`` in the first ``pct_start`` of the
    steps, then down to ``max_lr / div_factor / final_div_factor``.

    Args:
        optimizer: whose groups to change.
        max_lr: the highest rate, for all groups or one for each.
        total_steps: how often :meth:`step` will be called; or give
        epochs, steps_per_epoch: whose product it is.
        pct_start: the part of the steps on the way up.
        anneal_strategy: ``"cos"`` or ``"linear"``.
        cycle_momentum: also move the momentum, from ``max_momentum`` down to ``base_momentum``
            while the rate goes up, and back.
        base_momentum, max_momentum: its bounds, for all groups or one for each.
        div_factor, final_div_factor: see above.
        three_phase: come down to the initial rate in as many steps as it went up, and only then
            to the lowest.
        last_epoch: see :class:`LRScheduler`.

    Raises:
        ValueError: it is stepped more than ``total_steps`` times.

    Reference: Smith and Topin, Super-convergence, 2018 (which has three phases).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | list[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | list[float] = 0.85,
        max_momentum: float | list[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        checked(optimizer, self)
        if total_steps is not None:
            self.total_steps = positive_int(self, "total_steps", total_steps)
        elif epochs is not None and steps_per_epoch is not None:
            self.total_steps = positive_int(self, "epochs", epochs) * positive_int(
                self, "steps_per_epoch", steps_per_epoch
            )
        else:
            raise ValueError(
                "OneCycleLR: expected total_steps, or epochs and steps_per_epoch, got neither"
            )
        if not isinstance(pct_start, float | int) or not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: expected 0 <= pct_start <= 1, got {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR: expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}"
            )
        highs = for_groups(self, "max_lr", max_lr, optimizer)
        self.anneal_strategy, self.cycle_momentum = anneal_strategy, cycle_momentum
        # Each phase: its last step, from which rate to which, from which momentum to which. The
        # names are entries of the groups.
        top = float(pct_start * self.total_steps) - 1
        last = self.total_steps - 1
        self._phases: list[tuple[float, str, str, str, str]] = [
            (top, "initial_lr", "max_lr", "max_momentum", "base_momentum"),
        ]
        if three_phase:
            back = float(2 * pct_start * self.total_steps) - 2
            self._phases += [
                (back, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self._phases.append((last, "max_lr", "min_lr", "base_momentum", "max_momentum"))
        if cycle_momentum:
            self._cycle_momentum(optimizer, base_momentum, max_momentum, begin=last_epoch == -1)
        if last_epoch == -1:
            for group, high in zip(optimizer.param_groups, highs):
                group["initial_lr"] = high / div_factor
                group["max_lr"] = high
                group["min_lr"] = group["initial_lr"] / final_div_factor
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, part: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (math.cos(math.pi * part) + 1)
        return (end - start) * part + start

    def get_lr(self) -> list[float]:
        step = self.last_epoch
        if step > self.total_steps:
            raise ValueError(
                f"OneCycleLR: expected at most {self.total_steps} steps, got step {step}"
            )
        phases = self._phases
        k = next((k for k, phase in enumerate(phases) if step <= phase[0]), len(phases) - 1)
        first = phases[k - 1][0] if k else 0.0
        last, lr, lr_then, momentum, momentum_then = phases[k]
        # A phase of no length (pct_start 0 or 1, or one step) is at its end.
        part = (step - first) / (last - first) if last != first else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[lr], group[lr_then], part))
            if self.cycle_momentum:
                self._set_momentum(
                    group, self._between(group[momentum], group[momentum_then], part)
                )
        return rates

    def _state_names(self) -> set[str]:
        return super()._state_names() - {"_phases"}
