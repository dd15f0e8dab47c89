r"""Random programs: what is composed of ops has the right first and second derivatives.

The table checks ops one by one; here values are used again, broadcast, cut, joined and reduced in
any order, so that what the engine adds up is checked too.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad import ops
from minigrad.testing import gradcheck
from minigrad.testing.strategies import Choices

# Smooth and bounded, so that long programs stay within the reach of finite differences.
UNARY: list[Callable] = [
    ops.tanh, ops.sin, ops.sigmoid, lambda x: x * 0.5, lambda x: x * x * 0.1, lambda x: 1 - x,
    lambda x: ops.softmax(x, -1) if x.ndim else x, lambda x: ops.flip(x, (0,)) if x.ndim else x,
    lambda x: x.T, lambda x: x.reshape(-1), lambda x: x[..., :1] if x.ndim else x,
    lambda x: x.mean(0) if x.ndim else x, lambda x: ops.logsumexp(x, -1) if x.ndim else x,
    lambda x: x.clone() + x, lambda x: ops.stack([x, x]) if x.ndim < 2 else x,
    lambda x: ops.split(x, 1)[0] if x.ndim and x.shape[0] else x, lambda x: ops.cumsum(x, 0)
    if x.ndim else x, lambda x: ops.softplus(x), lambda x: x.expand(2, *x.shape)[0],
    lambda x: x[np.array([0, 0])] if x.ndim else x,
]  # fmt: skip
BINARY: list[Callable] = [
    lambda x, y: x + y, lambda x, y: x * y, lambda x, y: x - y,
    lambda x, y: x / (1.5 + ops.tanh(y)), lambda x, y: ops.where(x.detach() > 0.0123, x, y),
]  # fmt: skip


def _fits(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return all(n == m or 1 in (n, m) for n, m in zip(a[::-1], b[::-1]))


def program(seed: int, steps: int) -> Callable:
    r"""A function of two tensors: each step applies an op to earlier values."""

    def run(*inputs: mg.Tensor) -> tuple[mg.Tensor, ...]:
        choose = Choices(np.random.default_rng(seed))
        values = list(inputs)
        for _ in range(steps):
            x = choose.of(*values)
            if choose.boolean():
                values.append(choose.of(*UNARY)(x))
                continue
            partners = [v for v in values if _fits(v.shape, x.shape)]
            values.append(choose.of(*BINARY)(x, choose.of(*partners)))
        return values[-1], values[-2]

    return run


def _inputs(seed: int) -> tuple[mg.Tensor, mg.Tensor]:
    rng = np.random.default_rng(seed)
    return (
        mg.Tensor(rng.uniform(0.2, 1.0, (2, 3)), requires_grad=True),
        mg.Tensor(rng.uniform(-1.0, -0.2, (3,)), requires_grad=True),
    )


@given(st.integers(0, 2**32 - 1), st.integers(2, 12))
def test_derivatives(seed: int, steps: int) -> None:
    # A looser rtol than for single ops: a dozen steps multiply the error of the differences.
    fn, inputs = program(seed, steps), _inputs(seed)
    gradcheck(fn, inputs, order=2, rtol=1e-4, atol=1e-6, seed=seed)


@settings(max_examples=settings.default.max_examples * 4)
@given(st.integers(0, 2**32 - 1), st.integers(2, 40))
def test_grad_agrees_with_backward_and_with_itself(seed: int, steps: int) -> None:
    r"""Three ways to the same gradients: backward, grad, grad with create_graph."""
    found = []
    for way in range(3):
        x, y = _inputs(seed)
        a, b = program(seed, steps)(x, y)
        loss = a.sum() + (b * b).sum()
        if way == 0:
            loss.backward(retain_graph=True)
            loss.backward()
            g = [None if t.grad is None else t.grad.data / 2 for t in (x, y)]
        else:
            g = mg.autograd.grad(loss, [x, y], create_graph=way == 2, allow_unused=True)
            g = [None if t is None else t.data for t in g]
        found.append([np.zeros(t.shape) if v is None else v for v, t in zip(g, (x, y))])
    for other in found[1:]:
        for p, q in zip(found[0], other):
            np.testing.assert_allclose(p, q, rtol=1e-9, atol=1e-12)
