r"""What is shown while a loop runs."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from minigrad.train import progress
from minigrad.train.progress import ProgressBar, format_metrics


def test_numbers_are_short() -> None:
    assert format_metrics({"loss": 2 / 3, "n": 10**6, "tiny": 1e-9}) == (
        "loss 0.6667  n 1000000  tiny 1e-09"
    )


def test_a_file_gets_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with ProgressBar(3, "epoch 1/1", show=None) as bar:
        for _ in range(3):
            bar.update()
    out, err = capsys.readouterr()
    assert out == err == "" and bar.done == 3


def test_a_file_gets_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter([0.0, 20.0, 31.0, 32.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    bar = ProgressBar(8, "epoch 1/1", values=lambda: {"loss": 0.5})
    for _ in range(3):
        bar.update()
    assert capsys.readouterr().out == "epoch 1/1  2/8  loss 0.5  93 s left\n"


def test_nothing_is_asked_for_when_nothing_is_shown() -> None:
    def forbidden() -> dict[str, Any]:
        raise AssertionError("looked at the device")

    bar = ProgressBar(2, values=forbidden, show=False)
    bar.update(2)
    bar = ProgressBar(2, values=forbidden)
    bar.update()


def test_a_terminal_without_tqdm(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without_tqdm(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "tqdm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    monkeypatch.setattr(ProgressBar, "_BAR_SECONDS", 0)
    with ProgressBar(4, "epoch 1/1", values=lambda: {"loss": 0.5}, show=True) as bar:
        bar.update(2)
    err = capsys.readouterr().err
    assert "[==========          ] epoch 1/1  2/4  loss 0.5" in err
    assert err.endswith("\r") and err.count("\n") == 0  # it takes itself away


def test_a_terminal_with_tqdm(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    with ProgressBar(4, "epoch 1/1", start=1, show=True) as bar:
        bar.update()
    assert "epoch 1/1" in capsys.readouterr().err


@pytest.mark.parametrize(("variable", "value"), [("CI", "true"), ("TERM", "dumb")])
def test_who_watches(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert progress.terminal()
    monkeypatch.setenv(variable, value)
    assert not progress.terminal()
