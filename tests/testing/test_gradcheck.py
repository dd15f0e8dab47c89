r"""The checker is checked: planted wrong rules must be caught, right ones must pass."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops
from minigrad.autograd import Function
from minigrad.testing import GradcheckError, gradcheck, gradgradcheck


def leaf(*shape: int, low: float = 0.5, high: float = 2.0, seed: int = 0) -> mg.Tensor:
    values = np.random.default_rng(seed).uniform(low, high, shape)
    return mg.Tensor(values, requires_grad=True)


# ---------------------------------------------------------------- wrong rules of first order
class WrongSign(Function):
    def forward(self, x):
        return 1 / x

    def backward(self, g, out):
        return g * out * out  # should be negative


class WrongFactor(Function):
    def forward(self, x):
        return x * x

    def backward(self, g, x):
        return g * x  # should be 2 x


class OnePercentOff(Function):
    def forward(self, x):
        return x * x

    def backward(self, g, x):
        return g * x * 2.02


class DroppedTerm(Function):
    r"""x sin x."""

    def forward(self, x):
        return x * np.sin(x)

    def backward(self, g, x):
        return g * ops.sin(x)  # + g x cos x


class SwappedArguments(Function):
    r"""x y^2."""

    def forward(self, x, y):
        return x * y * y

    def backward(self, g, x, y):
        return g * 2 * x * y, g * y * y


class MissingSum(Function):
    r"""Adds a row to a matrix, and forgets that the row was used once for every line."""

    def forward(self, x, row):
        return x + row

    def backward(self, g):
        return g, g[0]


class SoftmaxWithoutOffDiagonal(Function):
    r"""Its gradient with a cotangent of ones is not what is missing: the rows of the Jacobian sum
    to 0, and so does what this rule gives if the diagonal is corrected by its mean."""

    def forward(self, x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def backward(self, g, out):
        diagonal = g * out
        return diagonal - diagonal.mean(-1, keepdims=True) * (out * 0 + 1)


class SoftmaxSilentOnOnes(Function):
    r"""The right rule, times 0: with a cotangent of ones nobody can tell."""

    def forward(self, x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    def backward(self, g, out):
        return g * 0


class BatchNormWithoutMeanTerms(Function):
    r"""Standardise columns; the gradient treats mean and variance as constants."""

    def forward(self, x):
        self.std = x.std(0)
        return (x - x.mean(0)) / self.std

    def backward(self, g):
        return g / self.std


class WrongOnlyWhenAlone(Function):
    def forward(self, x, y):
        return x * y

    def backward(self, g, x, y):
        both = all(self.needs_input_grad)
        return (g * y, g * x) if both else (g * y * 1.5, g * x * 1.5)


class WrongLayout(Function):
    r"""Reads memory in its own order instead of the array's."""

    def forward(self, x):
        return x * np.arange(x.size).reshape(x.shape)

    def backward(self, g):
        if not isinstance(g, np.ndarray):
            return g * np.arange(g.data.size).reshape(g.shape)
        return (g.ravel("K") * np.arange(g.size)).reshape(g.shape)


class ForgetsInput(Function):
    def forward(self, x, y):
        return x + y

    def backward(self, g):
        return g, None


class BrokenAtOneEntry(Function):
    def forward(self, x):
        return x * x

    def backward(self, g, x):
        mask = np.ones(x.shape)
        mask[-1, 1] = 0.5
        return g * 2 * x * mask


FIRST_ORDER = [
    (WrongSign, (leaf(3),)),
    (WrongFactor, (leaf(2, 2),)),
    (OnePercentOff, (leaf(2, 2),)),
    (DroppedTerm, (leaf(3),)),
    (SwappedArguments, (leaf(3), leaf(3, seed=1))),
    (MissingSum, (leaf(3, 2), leaf(2))),
    (SoftmaxWithoutOffDiagonal, (leaf(2, 3),)),
    (SoftmaxSilentOnOnes, (leaf(2, 3),)),
    (BatchNormWithoutMeanTerms, (leaf(5, 2),)),
    (WrongOnlyWhenAlone, (leaf(3), leaf(3, seed=1))),
    (WrongLayout, (leaf(3, 2),)),
    (ForgetsInput, (leaf(3), leaf(3, seed=1))),
    (BrokenAtOneEntry, (leaf(3, 2),)),
    (OnePercentOff, (leaf(10, 10),)),  # too large for entry by entry: a random direction
]


@pytest.mark.parametrize(("fn", "inputs"), FIRST_ORDER, ids=[f.__name__ for f, _ in FIRST_ORDER])
def test_wrong_first_order_is_caught(fn: Any, inputs: Any) -> None:
    for seed in range(5):
        with pytest.raises(GradcheckError):
            gradcheck(fn, inputs, seed=seed)
    assert gradcheck(fn, inputs, raise_exception=False) is False


def test_ones_hide_what_a_random_cotangent_shows() -> None:
    x = leaf(20, 5)  # large enough that the Jacobian is not looked at entry by entry
    assert gradcheck(SoftmaxSilentOnOnes, x, cotangent="ones")
    with pytest.raises(GradcheckError):
        gradcheck(SoftmaxSilentOnOnes, x)


# --------------------------------------------------------------- wrong rules of second order
class DetachedFactor(Function):
    r"""x^3, first gradient right, but its factor x^2 was frozen in the forward."""

    def forward(self, x):
        self.factor = 3 * x * x
        return x * x * x

    def backward(self, g):
        return g * self.factor


class DetachedSoftmax(Function):
    def forward(self, x):
        e = np.exp(x - x.max(-1, keepdims=True))
        self.y = e / e.sum(-1, keepdims=True)
        return self.y

    def backward(self, g):
        inner = g * self.y
        return (
            inner - inner.sum(-1, keepdims=True) * self.y
            if isinstance(g, np.ndarray)
            else (inner - ops.sum(inner, -1, keepdim=True) * self.y)
        )


class WrongDifferentiableRule(Function):
    r"""The fast rule for arrays is right, the differentiable one is not."""

    def forward(self, x):
        return x * x

    def backward(self, g, x):
        return g * 3 * x

    def backward_array(self, g, x):
        return g * 2 * x


class WrongFastRule(Function):
    def forward(self, x):
        return x * x

    def backward(self, g, x):
        return g * 2 * x

    def backward_array(self, g, x):
        return g * 2.02 * x


class _SquaredWrongSlope(Function):
    def forward(self, x):
        return x * x

    def backward(self, g, x):
        return g * x  # should be 2 x


class WrongInside(Function):
    r"""x^3 with the right gradient 3 x^2, computed by an op whose own gradient is wrong."""

    def forward(self, x):
        return x**3

    def backward(self, g, x):
        return g * 3 * _SquaredWrongSlope.apply(x)


SECOND_ORDER = [DetachedFactor, DetachedSoftmax, WrongDifferentiableRule, WrongInside]


@pytest.mark.parametrize("fn", SECOND_ORDER)
def test_wrong_second_order_is_caught(fn: Any) -> None:
    x = leaf(2, 3)
    assert gradcheck(fn, x)
    for seed in range(5):
        with pytest.raises(GradcheckError, match="order"):
            gradgradcheck(fn, x, seed=seed)


def test_wrong_fast_rule_is_caught_at_first_order() -> None:
    with pytest.raises(GradcheckError):
        gradcheck(WrongFastRule, leaf(3))


# --------------------------------------------------------------------- what must not be touched
class ChangesInput(Function):
    def forward(self, x):
        x *= 1.5
        return x * 2

    def backward(self, g):
        return g * 2


class ChangesInputInRule(Function):
    def forward(self, x):
        return x * x

    def backward(self, g, x):
        result = g * 2 * x
        if isinstance(x, np.ndarray):
            x += 1
        return result


class ChangesCotangent(Function):
    def forward(self, x):
        return x * 2

    def backward(self, g):
        if isinstance(g, np.ndarray):
            g *= 2
            return g
        return g * 2


@pytest.mark.parametrize("fn", [ChangesInput, ChangesInputInRule, ChangesCotangent])
def test_in_place_changes_are_caught(fn: Any) -> None:
    with pytest.raises(GradcheckError, match="in place"):
        gradcheck(fn, leaf(3))


@pytest.mark.parametrize("victim", ["input", "cotangent", "gradient"])
def test_shared_memory_is_caught(victim: str, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""The engine copies, so the fault is planted in it."""
    honest = mg.autograd.grad

    def aliasing(outputs: Any, inputs: Any, grad_outputs: Any, **options: Any) -> Any:
        found = list(honest(outputs, inputs, grad_outputs, **options))
        if victim == "input":
            inputs[0].data[...] = inputs[0].data
            found[0] = mg.Tensor(inputs[0].data)
        elif victim == "cotangent":
            found[0] = grad_outputs[0]
        elif len(found) > 1:
            found[1] = mg.Tensor(found[0].data)
        return tuple(found)

    monkeypatch.setattr(mg.autograd, "grad", aliasing)
    with pytest.raises(GradcheckError, match="shares memory"):
        gradcheck(lambda x, y: x + y, (leaf(3), leaf(3, seed=1)))


class WrongShape(Function):
    def forward(self, x):
        return x * 2

    def backward(self, g):
        return g[None] * 2


def test_wrong_shape_is_an_error() -> None:
    with pytest.raises((GradcheckError, RuntimeError), match="shape"):
        gradcheck(WrongShape, leaf(3))


# -------------------------------------------------------------------------- what must pass
def _two_outputs(x: Any) -> Any:
    return ops.exp(x), x.sum(0)


RIGHT = [
    ("sum of products", lambda x, y: (x * y).sum(), (leaf(3), leaf(3, seed=1))),
    ("broadcast", lambda x, y: x / y, (leaf(2, 3), leaf(3, seed=1))),
    ("softmax", ops.softmax, (leaf(2, 3),)),
    ("two outputs", _two_outputs, (leaf(3, 2),)),
    ("zero size", ops.exp, (leaf(0, 3),)),
    ("0-d", ops.exp, (leaf(),)),
    ("constant", lambda x: ops.floor(x), (leaf(3, low=0.1, high=0.9),)),
    ("does not depend on y", lambda x, y: x * 2, (leaf(3), leaf(2))),
    ("identity", lambda x: x, (leaf(3),)),
    ("large", lambda x: ops.tanh(x), (leaf(12, 12),)),
    ("one tensor twice", lambda x: x * x + x, (leaf(3),)),
]


@pytest.mark.parametrize(("name", "fn", "inputs"), RIGHT, ids=[r[0] for r in RIGHT])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_rules_pass(name: str, fn: Any, inputs: Any, order: int) -> None:
    assert gradcheck(fn, inputs, order=order)


class Cube(Function):
    def forward(self, x):
        return x * x * x

    def backward(self, g, x):
        return g * 3 * x * x


def test_user_function_passes(device: str) -> None:
    x = leaf(2, 3).detach().to(device).requires_grad_()
    assert gradcheck(Cube, x, order=3)


def test_complex_step() -> None:
    assert gradcheck(lambda x: ops.exp(x) * ops.sin(x), leaf(3), method="complex", rtol=1e-12)
    with pytest.raises(GradcheckError):
        gradcheck(DroppedTerm, leaf(3), method="complex", rtol=1e-12)


def test_given_cotangent_and_generator() -> None:
    assert gradcheck(ops.exp, leaf(3), cotangent=np.array([1.0, 0.0, -2.0]))
    assert gradcheck(ops.exp, leaf(3), generator=mg.Generator(3))


# ------------------------------------------------------------------------------ messages, misuse
def test_the_message_names_argument_entry_and_values() -> None:
    def scaled(weight: Any, x: Any) -> Any:
        return weight * BrokenAtOneEntry.apply(x)

    with pytest.raises(GradcheckError) as caught:
        gradcheck(scaled, (leaf(3, 2), leaf(3, 2, seed=1)), cotangent="ones")
    text = str(caught.value)
    assert "input 1 ('x') of shape (3, 2)" in text
    assert "(2, 1)" in text
    assert "the rule gave" in text
    assert "differences" in text


def test_misuse() -> None:
    with pytest.raises(TypeError, match="float64"):
        gradcheck(ops.exp, mg.ones(3, requires_grad=True))
    with pytest.raises(ValueError, match="requires gradients"):
        gradcheck(ops.exp, mg.ones(3, dtype=mg.float64))
    with pytest.raises(ValueError, match="order"):
        gradcheck(ops.exp, leaf(3), order=0)
    with pytest.raises(ValueError, match="method"):
        gradcheck(ops.exp, leaf(3), method="forward")
    with pytest.raises(ValueError, match="cotangent|random"):
        gradcheck(ops.exp, leaf(3), cotangent="twos")


def test_a_function_that_changes_its_mind_is_refused() -> None:
    with pytest.raises(GradcheckError, match="seed"):
        gradcheck(lambda x: ops.dropout(x, 0.5), leaf(8, 8))


def test_a_function_that_is_not_finite_is_refused() -> None:
    with pytest.raises(GradcheckError, match="finite"), np.errstate(all="ignore"):
        gradcheck(lambda x: ops.log(x - x), leaf(3))


def test_inputs_stay_as_they_were() -> None:
    x = leaf(3)
    before = x.data.copy()
    gradcheck(ops.exp, x, order=2)
    np.testing.assert_array_equal(x.data, before)
    assert x.grad is None
