r"""Whether ops are recorded, and whether their results are examined for NaN.

Belongs here: the switches of a thread (``no_grad``, ``detect_anomaly``, ...) and nothing else.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import numpy as np

__all__ = [
    "detect_anomaly",
    "enable_grad",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]


class _State(threading.local):
    grad_enabled = True
    anomaly = False


state = _State()


def is_grad_enabled() -> bool:
    r"""True if ops on tensors that require gradients are being recorded in this thread."""
    return state.grad_enabled


class _Switch(contextlib.ContextDecorator):
    r"""Sets one field of the thread's state for a ``with`` block or a decorated function."""

    _field = "grad_enabled"

    def __init__(self, value: bool) -> None:
        self._value = value
        self._previous: list[Any] = []  # a stack: the same object may be entered repeatedly

    def __enter__(self) -> None:
        self._previous.append(getattr(state, self._field))
        setattr(state, self._field, self._value)

    def __exit__(self, *exc: object) -> None:
        setattr(state, self._field, self._previous.pop())

    def _recreate_cm(self) -> _Switch:  # each call of a decorated function gets its own stack
        return _with_value(type(self), self._value)


def _with_value(cls: type[_Switch], value: bool) -> _Switch:
    switch = cls.__new__(cls)
    _Switch.__init__(switch, value)
    return switch


class no_grad(_Switch):
    r"""Ops inside are not recorded. A context manager and a decorator.

    >>> import minigrad as mg
    >>> x = mg.ones(2, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(_Switch):
    r"""Ops inside are recorded, also within :class:`no_grad`."""

    def __init__(self) -> None:
        super().__init__(True)


class set_grad_enabled(_Switch):
    r"""Record ops, or not, according to ``mode``: at once when called, and for the block or the
    function only when used as a context manager or a decorator."""

    def __init__(self, mode: bool) -> None:
        super().__init__(bool(mode))
        self._before = state.grad_enabled
        state.grad_enabled = self._value

    def __enter__(self) -> None:
        self._previous.append(self._before)
        state.grad_enabled = self._value

    def __call__(self, function: Any) -> Any:
        state.grad_enabled = self._before  # the call that made the decorator changes nothing
        return super().__call__(function)

    def _recreate_cm(self) -> set_grad_enabled:
        return set_grad_enabled(self._value)


class detect_anomaly(_Switch):
    r"""Inside, the first NaN or infinity raises an error that names the op, whether it came out of
    the forward or of the gradient rule, and the line of the program that called the forward.

    Slow (every result is examined), so meant for finding a fault.

    >>> import minigrad as mg
    >>> x = mg.zeros(1, requires_grad=True)
    >>> with mg.autograd.detect_anomaly():
    ...     mg.sqrt(x).sum().backward()
    Traceback (most recent call last):
        ...
    FloatingPointError: anomaly: the gradient rule of Sqrt gave inf for input 0; its forward ran ...
    """

    _field = "anomaly"

    def __init__(self, mode: bool = True) -> None:
        super().__init__(bool(mode))

    def __enter__(self) -> None:
        super().__enter__()
        # The error says more than NumPy's warning about the same number would.
        self._previous.append(np.seterr(all="ignore") if self._value else np.geterr())

    def __exit__(self, *exc: object) -> None:
        np.seterr(**self._previous.pop())
        super().__exit__(*exc)
