r"""``backward`` and ``grad``: what they compute, what they keep, what they free."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops
from minigrad.autograd import Function, grad


def leaf(values, device: str = "cpu") -> mg.Tensor:
    return mg.tensor(values, dtype=mg.float64, device=device, requires_grad=True)


# -------------------------------------------------------------------------------- shapes of graphs
def test_tensor_used_twice(device: str) -> None:
    x = leaf([2.0, 3.0], device)
    (x * x).sum().backward()
    assert x.grad.tolist() == [4.0, 6.0]


def test_diamond(device: str) -> None:
    x = leaf(3.0, device)
    a = x * 2
    b, c = a * a, a + 1
    (b * c).backward()  # 4x^2 (2x + 1) = 8x^3 + 4x^2
    assert x.grad.item() == pytest.approx(24 * 9 + 8 * 3)


def test_chain_of_diamonds_is_linear_work() -> None:
    r"""2^60 paths, 60 nodes."""
    calls = 0

    class Half(Function):
        def forward(self, x):
            return x * 0.5

        def backward(self, g):
            nonlocal calls
            calls += 1
            return g * 0.5

    x = leaf(1.0)
    y = x
    for _ in range(60):
        y = Half.apply(y) + Half.apply(y)
    y.backward()
    assert calls == 120
    assert x.grad.item() == 1.0


def test_many_branches_into_a_scalar(device: str) -> None:
    r"""Three and more gradients that meet at a 0-d value."""
    x = leaf(2.0, device)
    s = x * 1
    (s * 2 + s * 3 + s * 5 + s * s).backward()
    assert x.grad.item() == 14.0


def test_accumulates_over_backwards(device: str) -> None:
    x = leaf([1.0, 2.0], device)
    (x * 3).sum().backward()
    first = x.grad
    (x * 4).sum().backward()
    assert x.grad.tolist() == [7.0, 7.0]
    assert first.tolist() == [3.0, 3.0], "the old gradient was changed in place"
    x.grad = None
    x.sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]


def test_nothing_flows_to_what_does_not_require_it() -> None:
    x, y = leaf([1.0]), mg.tensor([2.0], dtype=mg.float64)
    z = x * y
    assert z.requires_grad
    assert not (y * 2).requires_grad
    z.sum().backward()
    assert y.grad is None


def test_only_wanted_gradients_are_computed() -> None:
    seen = []

    class Watch(Function):
        def forward(self, x, y):
            return x * y

        def backward(self, g, x, y):
            seen.append(tuple(self.needs_input_grad))
            return g * y, g * x

    x, y = leaf([1.0]), leaf([2.0])
    Watch.apply(x, y.detach()).sum().backward()
    grad(Watch.apply(x, y).sum(), y)
    assert [tuple(map(bool, s)) for s in seen] == [(True, False), (False, True)]


def test_gradients_of_outputs_of_one_op() -> None:
    x = leaf([[1.0, 2.0, 3.0, 4.0]])
    a, b, _ = ops.split(x, [1, 2, 1], dim=1)
    (a.sum() * 2 + b.sum() * 3).backward()
    assert x.grad.tolist() == [[2.0, 3.0, 3.0, 0.0]]


# --------------------------------------------------------------------------------- no shared memory
def test_gradients_are_never_aliased(device: str) -> None:
    x, y = leaf([1.0, 2.0], device), leaf([3.0, 4.0], device)
    u = mg.tensor([1.0, 1.0], dtype=mg.float64, device=device)
    (x + y).backward(u)
    x.grad.mul_(10)
    assert y.grad.tolist() == [1.0, 1.0]
    assert u.tolist() == [1.0, 1.0]
    gx, gy = grad(x + y, [x, y], u)
    gx.mul_(10)
    assert gy.tolist() == [1.0, 1.0]
    assert u.tolist() == [1.0, 1.0]


def test_same_input_twice_gets_two_gradients() -> None:
    x = leaf([1.0, 2.0])
    a, b = grad((x * x).sum(), [x, x])
    a.mul_(10)
    assert b.tolist() == [2.0, 4.0]


def test_broadcast_gradient_owns_its_memory() -> None:
    x = leaf([1.0, 2.0])
    x.sum().backward()
    x.grad.data[0] = 5  # would write through a stride-0 view
    assert x.grad.tolist() == [5.0, 1.0]


# ---------------------------------------------------------------------------- retain_graph, freeing
def test_second_backward_is_an_error_that_says_how() -> None:
    x = leaf([1.0])
    y = ops.exp(x).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="retain_graph"):
        y.backward()
    assert x.grad.tolist() == [np.e]
    with pytest.raises(RuntimeError, match="freed"):
        grad(y, x)


def test_second_backward_through_a_shared_part() -> None:
    x = leaf([1.0])
    shared = ops.exp(x)
    (shared * 2).sum().backward()
    with pytest.raises(RuntimeError, match="Exp"):
        (shared * 3).sum().backward()


def test_retain_graph() -> None:
    x = leaf([1.0, 2.0])
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == [4.0, 8.0]
    with pytest.raises(RuntimeError):
        y.backward()


def test_retain_grad() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    z = y * y
    y.retain_grad()
    z.sum().backward()
    assert y.grad.tolist() == [6.0, 12.0]
    assert z.grad is None
    assert x.grad.tolist() == [18.0, 36.0]


def test_retain_grad_on_a_leaf_changes_nothing() -> None:
    x = leaf([1.0])
    x.retain_grad()
    x.sum().backward()
    assert x.grad.tolist() == [1.0]


# --------------------------------------------------------------------------------------------- grad
def test_grad_leaves_no_trace() -> None:
    x, y = leaf([1.0, 2.0]), leaf([3.0, 4.0])
    (gx,) = grad((x * y).sum(), x)
    assert gx.tolist() == [3.0, 4.0]
    assert x.grad is None
    assert y.grad is None
    assert not gx.requires_grad


def test_grad_of_an_intermediate() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    z = (y * y).sum()
    gy, gx = grad(z, [y, x])
    assert gy.tolist() == [6.0, 12.0]
    assert gx.tolist() == [18.0, 36.0]


def test_grad_of_several_outputs() -> None:
    x = leaf([1.0, 2.0])
    (g,) = grad([x * 2, x.sum()], x, [mg.tensor([1.0, 10.0], dtype=mg.float64), None])
    assert g.tolist() == [3.0, 21.0]


def test_grad_of_the_output_itself() -> None:
    x = leaf(2.0)
    y = x * x
    (g,) = grad(y, y)
    assert g.item() == 1.0


def test_unused_input() -> None:
    x, y = leaf([1.0]), leaf([1.0])
    with pytest.raises(RuntimeError, match="allow_unused"):
        grad(x.sum(), [x, y], retain_graph=True)
    gx, gy = grad(x.sum(), [x, y], allow_unused=True)
    assert gx.tolist() == [1.0]
    assert gy is None


def test_grad_outputs_as_a_single_tensor() -> None:
    x = leaf([1.0, 2.0])
    (g,) = grad(x * x, x, mg.tensor([1.0, 0.5], dtype=mg.float64))
    assert g.tolist() == [2.0, 2.0]


def test_backward_with_inputs_fills_only_those() -> None:
    x, y = leaf([1.0]), leaf([2.0])
    (x * y).sum().backward(inputs=[x])
    assert x.grad.tolist() == [2.0]
    assert y.grad is None


# ------------------------------------------------------------------------------------ higher orders
def test_third_derivative(device: str) -> None:
    x = leaf([0.5, -1.0], device)
    y = ops.sin(x).sum()
    for _ in range(3):
        (g,) = grad(y, x, create_graph=True)
        y = g.sum()
    np.testing.assert_allclose(g.tolist(), -np.cos([0.5, -1.0]))


def test_create_graph_in_backward() -> None:
    x = leaf([2.0])
    (x**3).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    first = x.grad
    x.grad = None
    first.sum().backward()
    assert x.grad.tolist() == [12.0]


def test_gradient_penalty() -> None:
    r"""d/dw of |dy/dx|^2 with y = w x^2: 8 w x^2."""
    x, w = leaf([3.0]), leaf([2.0])
    (gx,) = grad((w * x * x).sum(), x, create_graph=True)
    (gx * gx).sum().backward()
    assert w.grad.item() == pytest.approx(8 * 2 * 9)
    assert x.grad.item() == pytest.approx(8 * 4 * 3)


def test_derivative_of_piecewise_linear_is_zero_not_an_error() -> None:
    x = leaf([1.0, -1.0])
    (g,) = grad(ops.relu(x).sum(), x, create_graph=True)
    (second,) = grad(g.sum(), x)
    assert second.tolist() == [0.0, 0.0]
    # Also where the gradient depends on something else; and 0 * inf is no 0.
    x, v = leaf([1.0, np.inf]), leaf([2.0, 3.0])
    (g,) = grad((ops.relu(x) * v).sum(), x, create_graph=True)
    by_x, by_v = grad(g.sum(), [x, v])
    assert by_x.tolist() == [0.0, 0.0] and by_v.tolist() == [1.0, 1.0]


def test_what_a_linear_map_does_not_depend_on_stays_out() -> None:
    a, w = leaf(np.ones((2, 3))), leaf(np.ones((3, 2)))
    (g,) = grad((a @ w).sum(), a, create_graph=True)
    by_a, by_w = grad(g.sum(), [a, w], allow_unused=True)
    assert by_a is None and by_w is not None


def test_hessian_of_a_quadratic_form() -> None:
    rng = np.random.default_rng(0)
    a = rng.standard_normal((3, 3))
    x = leaf(rng.standard_normal(3))
    y = (x.reshape(1, 3) @ mg.tensor(a) @ x.reshape(3, 1)).sum()
    (g,) = grad(y, x, create_graph=True)
    rows = [grad(g[i], x, retain_graph=True)[0].numpy() for i in range(3)]
    np.testing.assert_allclose(rows, a + a.T)


# -------------------------------------------------------------------------------------------- hooks
def test_hook_on_a_leaf_sees_and_replaces() -> None:
    x = leaf([1.0, 2.0])
    seen = []
    handle = x.register_hook(lambda g: seen.append(g.tolist()))
    x.register_hook(lambda g: g * 10)
    (x * 3).sum().backward()
    assert seen == [[3.0, 3.0]]
    assert x.grad.tolist() == [30.0, 30.0]
    handle.remove()
    handle.remove()
    (x * 3).sum().backward()
    assert len(seen) == 1


def test_hook_on_an_intermediate_runs_once_on_the_whole_gradient() -> None:
    x = leaf([1.0])
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.item()))
    y.register_hook(lambda g: g * 0.5)
    (y * 3 + y * 4).sum().backward()
    assert seen == [7.0]
    assert x.grad.item() == 7.0


def test_hook_may_not_change_the_shape() -> None:
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: g.sum())
    with pytest.raises(ValueError, match="shape"):
        (x * 2).sum().backward()
    assert x.grad is None


def test_hook_under_create_graph_is_differentiable() -> None:
    x = leaf([2.0])
    y = x * x
    handle = y.register_hook(lambda g: g * 3)
    (g,) = grad((y * y).sum(), x, create_graph=True)  # 3 * 4 x^3
    handle.remove()  # or it would act on the second walk too
    (second,) = grad(g.sum(), x)
    assert g.item() == pytest.approx(12 * 8)
    assert second.item() == pytest.approx(36 * 4)


# ------------------------------------------------------------------------------- user-defined ops
def test_function_with_constants_and_output() -> None:
    class Scale(Function):
        def __init__(self, k):
            self.k = k

        def forward(self, x):
            return x * self.k

        def backward(self, g, out):
            return g * out / out * self.k

    x = leaf([1.0, 2.0])
    Scale.apply(x, k=3.0).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0]
    assert type(Scale.apply(np.ones(2), k=2.0)) is np.ndarray


def test_rule_that_asks_for_an_unknown_name_is_refused_at_definition() -> None:
    with pytest.raises(TypeError, match="'z'"):

        class Broken(Function):
            def forward(self, x, y):
                return x * y

            def backward(self, g, z):
                return g * z, g


def test_function_without_a_rule() -> None:
    class NoRule(Function):
        def forward(self, x):
            return x * 2

    x = leaf([1.0])
    y = NoRule.apply(x)
    with pytest.raises(NotImplementedError, match="NoRule"):
        y.sum().backward()
    assert x.grad is None


def test_rule_with_too_few_gradients() -> None:
    class TooFew(Function):
        def forward(self, x, y):
            return x * y

        def backward(self, g):
            return g

    x, y = leaf([1.0]), leaf([1.0])
    with pytest.raises(RuntimeError, match="TooFew"):
        TooFew.apply(x, y).sum().backward()
    assert x.grad is None
    assert y.grad is None


def test_rule_that_returns_none_gives_no_gradient() -> None:
    class Stop(Function):
        def forward(self, x):
            return x * 2

        def backward(self, g):
            return None

    x = leaf([1.0])
    Stop.apply(x).sum().backward()
    assert x.grad is None


# -------------------------------------------------------------------------------- conveniences
def test_formatting_a_number() -> None:
    assert f"{leaf(1.234):.2f}" == "1.23"
    assert f"{leaf([1.0])}" == str(leaf([1.0]))
    assert "tensor" in f"{leaf([1.0]):>40}"
