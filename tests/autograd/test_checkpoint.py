r"""checkpoint: the same gradients and random numbers as without it, in less memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd import checkpoint, grad, hvp
from minigrad.testing import gradcheck

F = nn.functional


def plain(function: Callable[..., Any], *args: Any) -> Any:
    return function(*args)


def block(width: int, p: float = 0.0) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.Tanh(), nn.Dropout(p), nn.LayerNorm(width))


def gradients(
    call: Callable[..., Any], forward: Callable[..., Any], blocks: Any, x: mg.Tensor
) -> list[np.ndarray]:
    r"""Of a loss by the input and all weights, from the same random numbers; then the next one."""
    mg.manual_seed(3)
    x = x.detach().requires_grad_()
    blocks.zero_grad()
    y = forward(call, blocks, x)
    (y * y).sum().backward()
    tensors = [y, x.grad, *[p.grad for p in blocks.parameters()], mg.rand(5)]
    return [t.detach().data for t in tensors]


def one_by_one(call: Callable[..., Any], blocks: Any, x: mg.Tensor) -> mg.Tensor:
    for part in blocks:
        x = call(part, x)
    return x


def nested(call: Callable[..., Any], blocks: Any, x: mg.Tensor) -> mg.Tensor:
    def half(x: mg.Tensor) -> mg.Tensor:
        return call(blocks[1], call(blocks[0], x))

    return call(blocks[2], call(half, x))


def residual(call: Callable[..., Any], blocks: Any, x: mg.Tensor) -> mg.Tensor:
    for part in blocks:
        x = call(lambda x, part=part: x + part(x), x)
    return x


def several(call: Callable[..., Any], blocks: Any, x: mg.Tensor) -> mg.Tensor:
    def pair(x: mg.Tensor, scale: float) -> Any:
        return blocks[0](x) * scale, x, blocks[1](x), "a note"

    a, same, b, note = call(pair, x, 0.5)
    assert note == "a note"
    return a + same


@pytest.mark.parametrize("forward", [one_by_one, nested, residual, several])
@pytest.mark.parametrize("p", [0.0, 0.4])
def test_same_to_the_bit(forward: Callable[..., Any], p: float) -> None:
    blocks = nn.ModuleList([block(6, p) for _ in range(3)])
    x = mg.randn(4, 6)
    if forward is several:  # the third block is not used
        blocks = nn.ModuleList(list(blocks)[:1] * 2)
    want = gradients(plain, forward, blocks, x)
    got = gradients(checkpoint, forward, blocks, x)
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a, b)


def test_convolutions_and_batch_statistics() -> None:
    parts = nn.ModuleList(
        [
            nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
            nn.Sequential(nn.Conv2d(4, 4, 3, stride=2), nn.Dropout2d(0.3), nn.MaxPool2d(2)),
        ]
    )
    x = mg.randn(3, 2, 9, 9)
    want = gradients(plain, one_by_one, parts, x)
    for a, b in zip(gradients(checkpoint, one_by_one, parts, x), want):
        np.testing.assert_array_equal(a, b)


def test_every_backend(device: str) -> None:
    x = mg.ones(3, device=device).requires_grad_()
    w = mg.full((3,), 2.0, device=device).requires_grad_()
    checkpoint(lambda x: mg.exp(x) * w, x).sum().backward()
    np.testing.assert_allclose(x.grad.cpu().data, 2 * np.e, rtol=1e-6)
    np.testing.assert_allclose(w.grad.cpu().data, np.e, rtol=1e-6)


# ----------------------------------------------------------------------------- random numbers
def test_a_generator_of_ones_own_is_restored_too() -> None:
    own = mg.Generator(7)

    def noisy(x: mg.Tensor) -> mg.Tensor:
        return x * mg.randn(4, generator=own) + mg.randn(4)

    x = mg.ones(4, requires_grad=True)
    mg.manual_seed(1)
    y = checkpoint(noisy, x)
    states = own.get_state(), mg.default_generator().get_state()
    y.sum().backward()
    assert (own.get_state(), mg.default_generator().get_state()) == states
    mg.manual_seed(1)
    own.manual_seed(7)
    np.testing.assert_array_equal(x.grad.data, mg.randn(4, generator=own).data)


def test_numbers_drawn_between_forward_and_backward_do_not_matter() -> None:
    x = mg.ones(1000, requires_grad=True)
    y = checkpoint(lambda x: F.dropout(x, 0.5), x)
    mg.rand(17)
    state = mg.default_generator().get_state()
    y.sum().backward()
    assert mg.default_generator().get_state() == state
    np.testing.assert_array_equal(x.grad.data, y.data)
    assert 0 < (y.data == 0).sum() < 1000


def test_generators_are_restored_after_an_error() -> None:
    calls = []

    def fails(x: mg.Tensor) -> mg.Tensor:
        calls.append(0)
        y = F.dropout(x, 0.5)
        if len(calls) == 2:
            raise ZeroDivisionError
        return y

    y = checkpoint(fails, mg.ones(5, requires_grad=True))
    mg.rand(3)
    state = mg.default_generator().get_state()
    with pytest.raises(ZeroDivisionError):
        y.sum().backward()
    assert mg.default_generator().get_state() == state


# ---------------------------------------------------------------------------------- derivatives
def test_second_order() -> None:
    w = mg.tensor([0.3, -0.4], dtype=mg.float64).requires_grad_()
    x = mg.tensor([0.5, 2.0], dtype=mg.float64).requires_grad_()

    def f(x: mg.Tensor, w: mg.Tensor) -> mg.Tensor:
        inner = checkpoint(lambda x: mg.sin(x) * w, x)  # w as a tensor from outside
        return checkpoint(lambda a, b: mg.exp(a) * b, inner, w)

    assert gradcheck(f, [x, w], order=2)
    v = mg.tensor([1.0, -2.0], dtype=mg.float64)
    want = hvp(lambda x: (mg.exp(mg.sin(x) * w) * w).sum(), x, v)[1]
    np.testing.assert_allclose(hvp(lambda x: f(x, w).sum(), x, v)[1].data, want.data, rtol=1e-13)


def test_gradients_by_name_and_of_some_inputs() -> None:
    w, x = (mg.tensor([v], requires_grad=True) for v in (2.0, 3.0))
    made = []

    def product(x: mg.Tensor, *, by: mg.Tensor) -> mg.Tensor:
        made.append(x)
        return x * x * by

    y = checkpoint(product, x, by=w).sum()
    assert grad(y, w, retain_graph=True)[0].item() == 9.0
    assert grad(y, x, retain_graph=True)[0].item() == 12.0
    assert [g.item() for g in grad(y, [x, w])] == [12.0, 9.0]
    assert len(made) == 4
    assert x.grad is None and w.grad is None


def test_gradient_taken_inside() -> None:
    x = mg.tensor([2.0], requires_grad=True)

    def slope(x: mg.Tensor) -> mg.Tensor:
        inner = x.detach().requires_grad_()  # a leaf of the function's own
        (g,) = grad((inner**3).sum(), inner)
        return x * g + inner

    checkpoint(slope, x).sum().backward()
    assert x.grad.item() == 12.0


def test_what_needs_no_gradient() -> None:
    x = mg.ones(3)
    assert not checkpoint(mg.exp, x).requires_grad
    leaf = mg.ones(3, requires_grad=True)
    with mg.no_grad():
        calls = []
        y = checkpoint(lambda x: calls.append(0) or x * 2, leaf)
        assert not y.requires_grad and len(calls) == 1
    y, mask = checkpoint(lambda x: (x * 2, x > 0), leaf)
    assert y.requires_grad and not mask.requires_grad
    y.sum().backward()
    assert leaf.grad.tolist() == [2.0, 2.0, 2.0]


# --------------------------------------------------------------------------------------- misuse
def test_second_walk_over_a_freed_graph() -> None:
    y = checkpoint(mg.exp, mg.ones(2, requires_grad=True)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match="was freed by an earlier backward"):
        y.backward()


def test_changed_in_place() -> None:
    x = mg.ones(2, requires_grad=True)
    h = x * 1
    y = checkpoint(mg.exp, h)
    with mg.no_grad():
        h.add_(1)
    with pytest.raises(RuntimeError, match=r"checkpoint: a tensor of shape \(2,\) was changed"):
        y.sum().backward()


def test_another_result_the_second_time() -> None:
    sizes = iter((3, 2))
    y = checkpoint(lambda x: x[: next(sizes)] * 2, mg.ones(3, requires_grad=True))
    with pytest.raises(RuntimeError, match="it must do the same each time"):
        y.sum().backward()
    x = mg.ones(3, requires_grad=True)
    tensors = iter((x * 1, x * 2))
    y = checkpoint(lambda: next(tensors) * 2)
    with pytest.raises(RuntimeError, match="used a tensor that it had not used before"):
        y.sum().backward()


# --------------------------------------------------------------------------------------- memory
def _peak(call: Callable[..., Any], blocks: Any, x: mg.Tensor) -> int:
    x = x.detach().requires_grad_()
    blocks.zero_grad()
    tracemalloc.start()
    one_by_one(call, blocks, x).sum().backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


def test_less_memory() -> None:
    r"""Twelve blocks of five activations each: an input a block, and one block's activations."""

    class Block(nn.Module):
        def forward(self, x: mg.Tensor) -> mg.Tensor:
            for _ in range(5):
                x = mg.tanh(x)
            return x

    blocks = nn.ModuleList([Block() for _ in range(12)])
    x = mg.randn(100, 1000)
    size = x.data.nbytes
    without, within = _peak(plain, blocks, x), _peak(checkpoint, blocks, x)
    assert without > 58 * size  # 60 activations
    assert within < 22 * size  # 12 + 5, and what is under way
