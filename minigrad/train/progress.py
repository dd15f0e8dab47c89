r"""Progress on the terminal: a bar where somebody watches, plain lines where a file listens.

Belongs here: everything that decides what is shown while a loop runs. Does not belong here: what
is kept (``run.py`` writes ``metrics.jsonl``).
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["ProgressBar", "format_metrics", "terminal"]


def terminal() -> bool:
    r"""Whether somebody watches: stderr is a terminal, and this is not continuous integration."""
    return sys.stderr.isatty() and not os.environ.get("CI") and os.environ.get("TERM") != "dumb"


def format_metrics(values: Mapping[str, Any]) -> str:
    r"""``loss 0.1234  accuracy 0.98``: numbers short enough to read.

    >>> format_metrics({"loss": 0.123456, "steps": 400, "lr": 1e-5})
    'loss 0.1235  steps 400  lr 1e-05'
    """
    return "  ".join(f"{name} {_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class ProgressBar:
    r"""How far a loop has come. On a terminal a bar (tqdm's if it is installed), otherwise a line
    twice a minute, so that a log file of a long run says that it lives.

    Args:
        total: steps in all.
        label: what stands before the bar.
        start: steps done already.
        values: gives the numbers behind the bar; asked a few times a second at most, because
            looking at a number on a GPU waits for it.
        show: False shows nothing; None asks :func:`terminal`.
    """

    _BAR_SECONDS, _LINE_SECONDS = 0.5, 30.0

    def __init__(
        self,
        total: int,
        label: str = "",
        start: int = 0,
        values: Callable[[], Mapping[str, Any]] | None = None,
        show: bool | None = None,
    ) -> None:
        self.total, self.label, self.done = total, label, start
        self._values = values if values is not None else dict
        self._silent = show is False
        self._watched = terminal() if show is None else show
        self._tqdm = _tqdm_bar(total, label, start) if self._watched else None
        self._width = 0
        self._shown = self._began = time.monotonic()
        self._start = start

    def update(self, steps: int = 1) -> None:
        r"""Count ``steps`` more."""
        self.done += steps
        if self._silent:
            return
        if self._tqdm is not None:
            self._tqdm.update(steps)
        now = time.monotonic()
        wait = self._BAR_SECONDS if self._watched else self._LINE_SECONDS
        if now - self._shown >= wait:
            self._shown = now
            self._show(now)

    def _show(self, now: float) -> None:
        text = format_metrics(self._values())
        if self._tqdm is not None:
            self._tqdm.set_postfix_str(text, refresh=False)
            return
        left = (now - self._began) * (self.total - self.done) / max(1, self.done - self._start)
        line = f"{self.label}  {self.done}/{self.total}  {text}  {left:.0f} s left"
        if not self._watched:
            print(line, flush=True)
            return
        filled = 20 * self.done // max(1, self.total)
        line = f"[{'=' * filled}{' ' * (20 - filled)}] {line}"
        sys.stderr.write("\r" + line.ljust(self._width))
        sys.stderr.flush()
        self._width = len(line)

    def close(self) -> None:
        r"""Take the bar off the terminal."""
        if self._tqdm is not None:
            self._tqdm.close()
        elif self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
            self._width = 0

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tqdm_bar(total: int, label: str, start: int) -> Any:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    return tqdm(total=total, initial=start, desc=label, leave=False, dynamic_ncols=True)
