r"""The graph as a thing in memory: deep ones, freed ones, values changed behind its back."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops
from minigrad.autograd import grad

DEEP = 100_000


def deep(x: mg.Tensor) -> mg.Tensor:
    y = x
    for _ in range(DEEP):
        y = y + 1
    return y


def test_deep_graph_forward_and_backward() -> None:
    assert sys.getrecursionlimit() < DEEP
    x = mg.zeros((), dtype=mg.float64, requires_grad=True)
    y = deep(x)
    assert y.item() == DEEP
    y.backward()
    assert x.grad.item() == 1.0


def test_deep_graph_dropped_without_backward() -> None:
    x = mg.zeros((), dtype=mg.float64, requires_grad=True)
    y = deep(x)
    del y
    gc.collect()


def test_deep_graph_with_retain_graph_and_grad() -> None:
    x = mg.zeros((), dtype=mg.float64, requires_grad=True)
    y = deep(x)
    y.backward(retain_graph=True)
    (g,) = grad(y, x)
    assert g.item() == 1.0
    del y
    gc.collect()


def test_deep_graph_under_create_graph() -> None:
    x = mg.full((), 1.0, dtype=mg.float64, requires_grad=True)
    y = x
    for _ in range(20_000):
        y = y * 1.0
    (g,) = grad(y * y, x, create_graph=True)
    (second,) = grad(g, x)
    assert second.item() == 2.0


# ------------------------------------------------------------------------------------------- memory
def _alive_after(build) -> bool:
    r"""Whether the array that ``build`` returns beside its result outlives what it should."""
    result, reference = build()
    gc.collect()
    alive = reference() is not None
    del result
    return alive


def _net(x: mg.Tensor) -> tuple[mg.Tensor, weakref.ref]:
    hidden = ops.exp(x)  # saved by its own rule
    return (hidden * hidden).sum(), weakref.ref(hidden.data)


def test_backward_frees_the_graph() -> None:
    x = mg.ones(1000, requires_grad=True)

    def build():
        loss, reference = _net(x)
        loss.backward()
        return loss, reference

    assert not _alive_after(build)


def test_graph_lives_until_backward() -> None:
    x = mg.ones(1000, requires_grad=True)
    assert _alive_after(lambda: _net(x))


def test_dropped_graph_is_freed_without_the_cycle_collector() -> None:
    r"""No reference cycles: memory goes when the last name goes, not some time later."""
    gc.collect()
    gc.disable()
    try:
        x = mg.ones(1000, requires_grad=True)
        loss, reference = _net(x)
        del loss
        assert reference() is None
        loss, reference = _net(x)
        loss.backward()
        assert reference() is None
    finally:
        gc.enable()


def test_create_graph_leaves_no_cycles() -> None:
    gc.collect()
    gc.disable()
    try:
        x = mg.ones(1000, requires_grad=True)
        hidden = ops.exp(x)
        reference = weakref.ref(hidden.data)
        (g,) = grad((hidden * hidden).sum(), x, create_graph=True)
        del hidden, g
        assert reference() is None
    finally:
        gc.enable()


def test_no_graph_is_kept_without_need() -> None:
    x = mg.ones(1000)
    y = ops.exp(x)
    reference = weakref.ref(y.data)
    z = y * 2
    del y
    assert reference() is None
    assert z.is_leaf


def test_what_no_rule_needs_is_not_held() -> None:
    r"""Addition saves nothing, so its operands can go while the graph lives."""
    x = mg.ones(1000, requires_grad=True)
    y = x * 2.0
    reference = weakref.ref(y.data)
    z = y + 1
    del y
    assert reference() is None
    z.sum().backward()
    assert x.grad.data[0] == 2


# -------------------------------------------------------------------------------- changes in place
def leaf(*values: float) -> mg.Tensor:
    return mg.tensor(list(values), dtype=mg.float64, requires_grad=True)


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.add_(1), lambda t: t.mul_(2), lambda t: t.zero_(), lambda t: t.fill_(3),
        lambda t: t.copy_(mg.zeros(2, dtype=mg.float64)), lambda t: t.__setitem__(0, 5.0),
        lambda t: t.sub_(1), lambda t: t.div_(2), lambda t: t.clamp_(0, 1),
        lambda t: t.detach().add_(1), lambda t: t[0:1].mul_(2), lambda t: t.reshape(2, 1).zero_(),
        lambda t: t.view(1, 2)[0].add_(1), lambda t: t.T.add_(1), lambda t: t.flip(0).add_(1),
        lambda t: ops.split(t, 1)[0].add_(1),
    ],
)  # fmt: skip
def test_changing_a_saved_value_is_an_error(change) -> None:
    x = leaf(1.0, 2.0)
    y = x * 3
    z = (y * y).sum()
    with mg.no_grad():
        change(y)
    with pytest.raises(RuntimeError, match="in place"):
        z.backward()
    assert x.grad is None


def test_changing_a_saved_output_is_an_error() -> None:
    x = leaf(1.0, 2.0)
    y = ops.exp(x)
    with mg.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="Exp"):
        y.sum().backward()


def test_changing_a_leaf_that_is_needed_is_an_error() -> None:
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    with mg.no_grad():
        x.add_(1)
    with pytest.raises(RuntimeError, match="in place"):
        y.backward()


def test_changing_what_nobody_needs_is_fine() -> None:
    x = leaf(1.0, 2.0)
    y = x * 3  # its rule needs x's partner only, a number
    z = (y + 1).sum()
    with mg.no_grad():
        y.zero_()
    z.backward()
    assert x.grad.tolist() == [3.0, 3.0]


def test_in_place_on_a_tensor_in_a_graph_is_refused() -> None:
    x = leaf(1.0, 2.0)
    for change in (lambda: x.add_(1), lambda: x.zero_(), lambda: x.__setitem__(0, 1.0)):
        with pytest.raises(RuntimeError, match="in-place"):
            change()
    assert x.tolist() == [1.0, 2.0]
    t = mg.zeros(2, dtype=mg.float64)
    with pytest.raises(RuntimeError, match="in-place"):
        t.add_(x)
    assert t.tolist() == [0.0, 0.0]


def test_refused_changes_change_nothing() -> None:
    t = mg.zeros(2, dtype=mg.float64)
    for change in (
        lambda: t.copy_(mg.ones(3, dtype=mg.float64)),
        lambda: t.add_(mg.ones(3, dtype=mg.float64)),
        lambda: t.__setitem__(5, 1.0),
    ):
        with pytest.raises((ValueError, IndexError)):
            change()
    assert t.tolist() == [0.0, 0.0]


def test_array_mutated_by_an_optimiser_style_update() -> None:
    r"""The ordinary training loop: a new graph for every step."""
    w = leaf(1.0, 1.0)
    x = mg.tensor(np.array([1.0, 2.0]))
    for _ in range(3):
        w.grad = None
        ((w * x) ** 2).sum().backward()
        with mg.no_grad():
            w.sub_(w.grad * 0.1)
    assert np.isfinite(w.tolist()).all()
