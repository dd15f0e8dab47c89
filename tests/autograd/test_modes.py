r"""Recording switched off and on, detached values, and anomaly mode."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops
from minigrad.autograd import Function, detect_anomaly


def leaf(*values: float) -> mg.Tensor:
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


def test_no_grad_block_and_nesting() -> None:
    x = leaf(1.0)
    with mg.no_grad():
        assert not mg.is_grad_enabled()
        assert not (x * 2).requires_grad
        with mg.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert mg.is_grad_enabled()
    assert (x * 2).requires_grad


def test_no_grad_decorator() -> None:
    @mg.no_grad()
    def double(x: mg.Tensor, depth: int = 3) -> mg.Tensor:
        return double(x, depth - 1) if depth else x * 2

    assert not double(leaf(1.0)).requires_grad
    assert mg.is_grad_enabled()


def test_state_is_restored_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), mg.no_grad():
        raise ZeroDivisionError
    assert mg.is_grad_enabled()


def test_set_grad_enabled() -> None:
    x = leaf(1.0)
    with mg.set_grad_enabled(False):
        assert not (x * 2).requires_grad
    assert mg.is_grad_enabled()
    mg.set_grad_enabled(False)
    try:
        assert not (x * 2).requires_grad
    finally:
        mg.set_grad_enabled(True)

    @mg.set_grad_enabled(False)
    def double(x: mg.Tensor) -> mg.Tensor:
        return x * 2

    assert mg.is_grad_enabled()
    assert not double(x).requires_grad


def test_mode_belongs_to_the_thread() -> None:
    seen = []
    with mg.no_grad():
        thread = threading.Thread(target=lambda: seen.append(mg.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_backward_inside_no_grad() -> None:
    x = leaf(2.0)
    y = (x * x).sum()
    with mg.no_grad():
        y.backward()
    assert x.grad.tolist() == [4.0]
    assert not x.grad.requires_grad


def test_detach() -> None:
    x = leaf(2.0)
    d = (x * 3).detach()
    assert not d.requires_grad
    assert d.is_leaf
    (x * d).sum().backward()
    assert x.grad.tolist() == [6.0]


def test_detach_shares_memory_clone_does_not() -> None:
    x = mg.tensor([1.0, 2.0])
    x.detach().add_(1)
    assert x.tolist() == [2.0, 3.0]
    x.clone().add_(1)
    assert x.tolist() == [2.0, 3.0]


def test_numpy_of_a_tensor_that_requires_gradients_is_refused() -> None:
    with pytest.raises(RuntimeError, match="detach"):
        leaf(1.0).numpy()


def test_requires_grad_can_be_cleared_on_leaves_only() -> None:
    x = leaf(1.0)
    with pytest.raises(RuntimeError, match="detach"):
        (x * 2).requires_grad = False
    x.requires_grad_(False)
    assert not (x * 2).requires_grad


# ------------------------------------------------------------------------------------ anomaly mode
def test_anomaly_names_the_rule_and_the_line() -> None:
    x = mg.zeros(2, requires_grad=True)
    with pytest.raises(FloatingPointError) as caught, np.errstate(all="ignore"), detect_anomaly():
        y = ops.sqrt(x)  # THE LINE
        (y * 2).sum().backward()
    text = str(caught.value)
    assert "Sqrt" in text
    assert "rule" in text
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    line = 1 + next(i for i, s in enumerate(lines) if s.endswith("# THE LINE"))
    assert f"test_modes.py:{line}" in text
    assert x.grad is None


def test_anomaly_names_the_forward() -> None:
    x = mg.tensor([1.0, -1.0], requires_grad=True)
    with pytest.raises(FloatingPointError, match="forward of Log"), np.errstate(all="ignore"):
        with detect_anomaly():
            ops.log(x)


def test_anomaly_blames_the_first() -> None:
    r"""A NaN that came in is not the fault of the op that passes it on."""
    x = mg.tensor([float("nan"), 1.0], requires_grad=True)
    with detect_anomaly():
        y = ops.exp(x) * x
    assert np.isnan(y.tolist()).any()
    with detect_anomaly():
        (x * 2).sum().backward()
    assert x.grad.tolist() == [2.0, 2.0]


def test_anomaly_on_a_device_without_a_gpu() -> None:
    x = mg.zeros(2, device="strict", requires_grad=True)
    with pytest.raises(FloatingPointError, match="Sqrt"), np.errstate(all="ignore"):
        with detect_anomaly():
            ops.sqrt(x).sum().backward()


def test_anomaly_sees_a_users_function() -> None:
    class Bad(Function):
        def forward(self, x):
            return x * 2

        def backward(self, g):
            return g * float("inf")

    x = leaf(1.0)
    with pytest.raises(FloatingPointError, match="Bad"), detect_anomaly():
        Bad.apply(x).sum().backward()
    Bad.apply(x).sum().backward()  # outside, nothing is examined
    assert np.isinf(x.grad.tolist()).all()


def test_anomaly_off_inside() -> None:
    x = mg.zeros(1, requires_grad=True)
    with np.errstate(all="ignore"), detect_anomaly(), detect_anomaly(False):
        ops.sqrt(x).sum().backward()
