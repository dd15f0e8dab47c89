r"""Bad input: the error names the op, the shapes and what was expected, and nothing is changed."""

from __future__ import annotations

import re

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops
from minigrad.autograd import grad


def t(*shape: int, dtype=np.float32, device: str = "cpu", low: int = 0) -> mg.Tensor:
    data = np.arange(low, low + int(np.prod(shape))).reshape(shape).astype(dtype)
    return mg.tensor(data, device=device)


def ints(*values: int) -> mg.Tensor:
    return mg.tensor(list(values))


# What is called, the error, and words that its message must contain.
SHAPES = [
    ("add", lambda: t(2, 3) + t(4), ValueError, ("add", "(2, 3)", "(4,)")),
    ("mul", lambda: t(2, 3) * t(2), ValueError, ("mul", "(2, 3)", "(2,)")),
    ("maximum", lambda: ops.maximum(t(2), t(3)), ValueError, ("maximum", "(2,)", "(3,)")),
    ("where", lambda: ops.where(t(2) > 0, t(3), t(3)), ValueError, ("where", "(2,)", "(3,)")),
    ("eq", lambda: t(2) == t(3), ValueError, ("(2,)", "(3,)")),
    ("matmul", lambda: t(2, 3) @ t(4, 5), ValueError, ("matmul", "(2, 3)", "(4, 5)", "inner")),
    ("matmul batch", lambda: t(2, 3, 4) @ t(3, 4, 5), ValueError, ("matmul", "(2, 3, 4)")),
    ("matmul 0-d", lambda: t(2) @ t(), ValueError, ("matmul", "()")),
    ("mm", lambda: ops.mm(t(2), t(2)), ValueError, ("mm", "2 axes", "(2,)")),
    ("bmm", lambda: ops.bmm(t(2, 3, 4), t(3, 4, 5)), ValueError, ("bmm", "(3, 4, 5)")),
    ("dot", lambda: ops.dot(t(2), t(3)), ValueError, ("dot", "(2,)", "(3,)")),
    ("linear", lambda: ops.linear(t(2, 3), t(4, 5)), ValueError, ("linear", "(2, 3)", "(4, 5)")),
    ("linear bias", lambda: ops.linear(t(2, 3), t(4, 3), t(3)), ValueError, ("linear", "(4,)")),
    ("einsum sizes", lambda: ops.einsum("ij,jk->ik", t(2, 3), t(4, 5)), ValueError, ("'j'", "3")),
    ("einsum count", lambda: ops.einsum("ij->i", t(2, 3), t(2)), ValueError, ("1", "2")),
    ("reshape", lambda: t(2, 3).reshape(4), ValueError, ("reshape", "(2, 3)", "(4,)")),
    ("cat", lambda: ops.cat([t(2, 3), t(2, 4)]), ValueError, ("cat", "(2, 3)", "(2, 4)")),
    ("cat none", lambda: ops.cat([]), ValueError, ("cat", "none")),
    ("stack", lambda: ops.stack([t(2), t(3)]), ValueError, ("stack", "(2,)", "(3,)")),
    ("expand", lambda: t(2).expand(3), ValueError, ("(2,)", "(3,)")),
    ("split", lambda: ops.split(t(4), [1, 2]), ValueError, ("split", "4")),
    ("permute", lambda: t(2, 3).permute(0), ValueError, ("permute", "2 axes")),
    ("axis", lambda: t(2, 3).sum(2), IndexError, ("sum", "2", "2 axes")),
    ("axis twice", lambda: t(2, 3).sum((0, 0)), ValueError, ("sum", "twice")),
    ("max of nothing", lambda: t(0, 3).amax(0), ValueError, ("amax", "(0, 3)")),
    ("argmax of nothing", lambda: t(0).argmax(), ValueError, ("argmax", "(0,)")),
    ("conv channels", lambda: ops.conv2d(t(1, 3, 5, 5), t(2, 2, 3, 3)), ValueError,
     ("conv2d", "(1, 3, 5, 5)", "(2, 2, 3, 3)")),
    ("conv groups", lambda: ops.conv2d(t(1, 3, 5, 5), t(2, 1, 3, 3), groups=2), ValueError,
     ("conv2d", "groups", "3")),
    ("conv out groups", lambda: ops.conv2d(t(1, 4, 5, 5), t(3, 2, 3, 3), groups=2), ValueError,
     ("conv2d", "groups", "3")),
    ("conv kernel too large", lambda: ops.conv2d(t(1, 1, 2, 2), t(1, 1, 5, 5), padding=1),
     ValueError, ("conv2d", "5", "kernel")),
    ("conv1d kernel too large", lambda: ops.conv1d(t(1, 1, 2), t(1, 1, 4)), ValueError,
     ("conv1d", "4")),
    ("conv bias", lambda: ops.conv2d(t(1, 1, 3, 3), t(2, 1, 3, 3), t(3)), ValueError,
     ("conv2d", "(2,)", "(3,)")),
    ("conv ndim", lambda: ops.conv2d(t(3, 3), t(1, 1, 3, 3)), ValueError, ("conv2d", "(3, 3)")),
    ("conv stride", lambda: ops.conv2d(t(1, 1, 3, 3), t(1, 1, 3, 3), stride=0), ValueError,
     ("conv2d", "stride", "0")),
    ("transposed channels", lambda: ops.conv_transpose2d(t(1, 3, 2, 2), t(2, 1, 3, 3)), ValueError,
     ("conv_transpose2d", "(1, 3, 2, 2)", "(2, 1, 3, 3)")),
    ("transposed output_padding",
     lambda: ops.conv_transpose2d(t(1, 1, 2, 2), t(1, 1, 3, 3), output_padding=1), ValueError,
     ("conv_transpose2d", "output_padding")),
    ("pool kernel", lambda: ops.max_pool2d(t(1, 1, 2, 2), 3), ValueError, ("max_pool2d", "3")),
    ("pool padding", lambda: ops.avg_pool2d(t(1, 1, 4, 4), 2, padding=2), ValueError,
     ("avg_pool2d", "padding")),
    ("batch_norm", lambda: ops.batch_norm(t(2, 3), t(2), t(2)), ValueError, ("batch_norm", "(3,)")),
    ("batch_norm one value", lambda: ops.batch_norm(t(1, 3), None, None, training=True), ValueError,
     ("batch_norm", "(1, 3)")),
    ("mse", lambda: ops.mse_loss(t(2, 1), t(2)), ValueError, ("mse_loss", "(2, 1)", "(2,)")),
    ("bce", lambda: ops.binary_cross_entropy_with_logits(t(2, 1), t(2)), ValueError,
     ("binary_cross_entropy_with_logits", "(2, 1)", "(2,)")),
    ("cross_entropy", lambda: ops.cross_entropy(t(2, 3), ints(0, 1, 2)), ValueError,
     ("cross_entropy", "(2,)", "(3,)")),
    ("reduction", lambda: ops.mse_loss(t(2), t(2), reduction="avg"), ValueError, ("avg",)),
    ("gaussian", lambda: ops.gaussian_sample(t(2, 3), t(3)), ValueError,
     ("gaussian_sample", "(2, 3)", "(3,)")),
    ("dropout", lambda: ops.dropout(t(2), 1.5), ValueError, ("dropout", "1.5")),
    ("gather", lambda: ops.gather(t(2, 3), 0, ints(0, 1)), ValueError, ("gather", "(2, 3)")),
]  # fmt: skip

INDICES = [
    ("label", lambda d: ops.cross_entropy(t(2, 3, device=d), ints(0, 3).to(d)),
     ("cross_entropy", "3")),
    ("negative label", lambda d: ops.cross_entropy(t(2, 3, device=d), ints(0, -1).to(d)),
     ("cross_entropy", "3")),
    ("nll label", lambda d: ops.nll_loss(t(2, 3, device=d), ints(5, 0).to(d)), ("nll_loss", "3")),
    ("getitem", lambda d: t(3, device=d)[ints(0, 3).to(d)], ("getitem", "3")),
    ("getitem negative", lambda d: t(3, device=d)[ints(-4).to(d)], ("getitem", "3")),
    ("gather", lambda d: ops.gather(t(3, device=d), 0, ints(3).to(d)), ("gather", "3")),
    ("index_select", lambda d: ops.index_select(t(3, 2, device=d), 0, ints(3).to(d)),
     ("index_select", "3")),
    ("scatter_add", lambda d: ops.scatter_add(t(3, device=d), 0, ints(3).to(d), t(1, device=d)),
     ("scatter_add", "3")),
    ("embedding", lambda d: ops.embedding(ints(3).to(d), t(3, 2, device=d)), ("embedding", "3")),
    ("embedding negative", lambda d: ops.embedding(ints(-1).to(d), t(3, 2, device=d)),
     ("embedding", "3")),
    ("one_hot", lambda d: ops.one_hot(ints(3).to(d), 3), ("one_hot", "3")),
    ("integer", lambda d: t(3, device=d)[3], ("getitem", "3")),
]  # fmt: skip

TYPES = [
    ("float32 + float64", lambda: t(2) + t(2, dtype=np.float64), TypeError,
     ("add", "float32", "float64")),
    ("where dtypes", lambda: ops.where(t(2) > 0, t(2), t(2, dtype=np.float64)), TypeError,
     ("where", "float32", "float64")),
    ("matmul dtypes", lambda: t(2, 2) @ t(2, 2, dtype=np.float64), TypeError,
     ("matmul", "float32", "float64")),
    ("conv dtypes", lambda: ops.conv2d(t(1, 1, 3, 3), t(1, 1, 3, 3, dtype=np.float64)), TypeError,
     ("conv2d", "float32", "float64")),
    ("integer gradients", lambda: mg.tensor([1, 2], requires_grad=True), TypeError,
     ("requires_grad", "int64")),
    ("integer gradients later", lambda: ints(1, 2).requires_grad_(), TypeError, ("int64",)),
    ("bool gradients", lambda: (t(2) > 0).requires_grad_(), TypeError, ("bool",)),
    ("a string", lambda: t(2) + "a", TypeError, ("str",)),
    ("a list", lambda: t(2) + [1, 2], TypeError, ("list",)),
    ("float index", lambda: t(3)[t(1)], IndexError, ("getitem", "float32")),
    ("float labels", lambda: ops.nll_loss(t(2, 3), t(2)), TypeError, ("nll_loss", "float32")),
    ("mask dtype", lambda: ops.masked_fill(t(2), ints(0, 1), 0.0), TypeError,
     ("masked_fill", "int64")),
    ("dropout of integers", lambda: ops.dropout(ints(1, 2)), TypeError, ("dropout", "int64")),
    ("axis", lambda: t(2).sum("0"), (TypeError, IndexError), ("sum", "'0'")),
    ("None", lambda: t(2) * None, TypeError, ("None",)),
]  # fmt: skip


def _check(call, error, words) -> None:
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    for word in words:
        assert re.search(re.escape(word), text, re.IGNORECASE), f"{word!r} is not in {text!r}"


@pytest.mark.parametrize(("name", "call", "error", "words"), SHAPES, ids=[c[0] for c in SHAPES])
def test_shapes(name, call, error, words) -> None:
    _check(call, error, words)


@pytest.mark.parametrize(("name", "call", "error", "words"), TYPES, ids=[c[0] for c in TYPES])
def test_types(name, call, error, words) -> None:
    _check(call, error, words)


@pytest.mark.parametrize(("name", "call", "words"), INDICES, ids=[c[0] for c in INDICES])
def test_indices(name, call, words, device: str) -> None:
    r"""Off the CPU the error may come when the host next looks at a result, not never."""

    def look() -> None:
        result = call(device)
        result.cpu().numpy()

    _check(look, IndexError, words)
    mg.ones(1, device=device).cpu().numpy()  # and it came once


# ------------------------------------------------------------------------------------------ devices
@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("add", lambda a, b: a + b),
        ("matmul", lambda a, b: a @ b),
        ("where", lambda a, b: ops.where(a > 0, a, b)),
        ("eq", lambda a, b: a == b),
        ("cat", lambda a, b: ops.cat([a, b])),
        ("linear", lambda a, b: ops.linear(a, b)),
        ("mse_loss", lambda a, b: ops.mse_loss(a, b)),
        ("copy in place", lambda a, b: a.add_(b)),
        ("cross_entropy", lambda a, b: ops.cross_entropy(a, ints(0, 1).to(b.device))),
        ("gradient", lambda a, b: (a.clone().requires_grad_() * 2).backward(b)),
        ("array", lambda a, b: a + b.data),
    ],
)  # fmt: skip
def test_mixed_devices(name: str, call) -> None:
    a, b = t(2, 2), t(2, 2, device="strict")
    for x, y in ((a, b), (b, a)):
        with pytest.raises((RuntimeError, TypeError)) as caught:
            call(x, y)
        assert "strict" in str(caught.value)
    assert a.tolist() == b.tolist() == [[0.0, 1.0], [2.0, 3.0]]


def test_absent_device() -> None:
    if mg.cuda_is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="CuPy") as caught:
        mg.ones(2, device="cuda")
    assert "\n" not in str(caught.value)
    with pytest.raises(RuntimeError, match="CuPy"):
        mg.ones(2).cuda()
    with pytest.raises(ValueError, match="tpu"):
        mg.ones(2, device="tpu")


# ----------------------------------------------------------------------------------------- backward
def test_backward_of_a_non_scalar() -> None:
    x = mg.ones(2, 3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"\(2, 3\)"):
        (x * 2).backward()
    assert x.grad is None


def test_backward_without_a_graph() -> None:
    with pytest.raises(RuntimeError, match="does not require gradients"):
        mg.ones(1).backward()
    with pytest.raises(RuntimeError, match="does not require gradients"):
        grad(mg.ones(1, requires_grad=True).sum(), mg.ones(1))


def test_gradient_that_does_not_fit() -> None:
    x = mg.ones(2, requires_grad=True)
    y = x * 2
    with pytest.raises(ValueError, match=r"\(2,\).*\(3,\)"):
        y.backward(mg.ones(3))
    with pytest.raises(TypeError, match="float64"):
        y.backward(mg.ones(2, dtype=mg.float64))
    with pytest.raises((ValueError, TypeError)):
        y.backward(1.0)
    assert x.grad is None
    y.backward(mg.ones(2))  # the graph is still there
    assert x.grad.tolist() == [2.0, 2.0]


def test_failed_ops_change_nothing() -> None:
    r"""A training batch with a bad label leaves weights, statistics and gradients as they were."""
    x = mg.tensor(np.ones((2, 3), np.float32), requires_grad=True)
    mean, var = mg.zeros(2), mg.ones(2)
    with pytest.raises(ValueError):
        ops.batch_norm(x, mean, var, training=True)
    assert mean.tolist() == [0.0, 0.0]
    assert var.tolist() == [1.0, 1.0]
    state = mg.default_generator().get_state()
    with pytest.raises(ValueError):
        ops.gaussian_sample(t(2, 3), t(3))
    with pytest.raises(ValueError):
        ops.dropout(t(2), -0.1)
    assert mg.default_generator().get_state() == state
    with pytest.raises(IndexError):
        ops.cross_entropy(x, ints(0, 7)).backward()
    assert x.grad is None


def test_rule_raises_midway_and_no_gradient_is_left() -> None:
    class Fails(mg.autograd.Function):
        def forward(self, x):
            return x * 1

        def backward(self, g):
            raise ArithmeticError("planted")

    x, w = mg.ones(2, requires_grad=True), mg.ones(2, requires_grad=True)
    with pytest.raises(ArithmeticError, match="planted"):
        (Fails.apply(x) * w).sum().backward()
    assert x.grad is None
    assert w.grad is None
    assert mg.is_grad_enabled()
