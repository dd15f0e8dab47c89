r"""Numbers that change over a run, as functions of the step: how often to explore, how far to
correct for the priorities of a replay.

Belongs here: such functions. Does not belong here: learning rates (``minigrad.optim``), which
change an optimiser.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ExponentialSchedule", "LinearSchedule"]


@dataclass(frozen=True)
class LinearSchedule:
    r"""From ``start`` to ``end`` in ``steps`` steps along a line, and ``end`` from then on:

    .. math:: v(t) = start + (end - start) \min(t / steps, 1)

    Raises:
        ValueError: ``steps < 1``.

    >>> epsilon = LinearSchedule(1.0, 0.1, 100)
    >>> epsilon(0), epsilon(50), epsilon(1000)
    (1.0, 0.55, 0.1)
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"LinearSchedule: expected steps >= 1, got {self.steps}")

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * step / self.steps


@dataclass(frozen=True)
class ExponentialSchedule:
    r"""From ``start`` on, multiplied by ``decay`` with each step, but never beyond ``end``:

    .. math:: v(t) = \max(start \cdot decay^t, end)

    What a step is, a step of the environment or an episode, is the caller's; a decay that was
    meant for one does not suit the other.

    Raises:
        ValueError: ``decay`` is not in (0, 1], or ``end > start``.

    >>> epsilon = ExponentialSchedule(0.9, 0.1, 0.9)
    >>> epsilon(0), round(epsilon(1), 2), epsilon(1000)
    (0.9, 0.81, 0.1)
    """

    start: float
    end: float
    decay: float

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise ValueError(f"ExponentialSchedule: expected decay in (0, 1], got {self.decay}")
        if self.end > self.start:
            raise ValueError(
                f"ExponentialSchedule: expected end <= start, got {self.end} > {self.start}"
            )

    def __call__(self, step: int) -> float:
        return max(self.start * self.decay**step, self.end)
