r"""``x += y`` and its relatives: in place where nothing is recorded, a new tensor where it is."""

from __future__ import annotations

import operator

import pytest

import minigrad as mg

OPERATORS = [operator.iadd, operator.isub, operator.imul, operator.itruediv]
PLAIN = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}


@pytest.mark.parametrize("change", OPERATORS)
def test_unrecorded_is_in_place(change):
    x = mg.tensor([1.0, 2.0])
    array, version = x.data, x._version[0]
    y = change(x, 2.0)
    assert y is x and x.data is array and x._version[0] == version + 1
    assert x.tolist() == PLAIN[change](mg.tensor([1.0, 2.0]), 2.0).tolist()


@pytest.mark.parametrize("change", OPERATORS)
def test_a_leaf_changes_in_place_under_no_grad_alone(change):
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        change(w, 2.0)
    assert w.tolist() == [1, 2]
    with mg.no_grad():
        same = change(w, 2.0)
    assert same is w and w.requires_grad and w.is_leaf


@pytest.mark.parametrize("change", OPERATORS)
def test_recorded_makes_a_new_tensor(change):
    w = mg.tensor([1.0, 2.0], requires_grad=True)
    for start in (w * 1.0, mg.ones(2)):
        before = start.tolist()
        total = change(start, w + 1.0)
        assert total is not start and start.tolist() == before
        assert total.requires_grad
        (expected,) = mg.autograd.grad(PLAIN[change](start, w + 1.0).sum(), w, retain_graph=True)
        (found,) = mg.autograd.grad(total.sum(), w)
        assert found.tolist() == expected.tolist()


def test_a_training_loop_by_hand():
    w = mg.tensor([2.0], requires_grad=True)
    for _ in range(3):
        (w * w).sum().backward()
        with mg.no_grad():
            w -= 0.25 * w.grad
        w.grad = None
    assert w.item() == 0.25
