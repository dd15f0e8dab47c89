r"""The same network on every device: equal results, and no waiting for the device in between."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import minigrad as mg
from minigrad import ops
from minigrad.testing.strict import strict


def _mlp(device: str) -> tuple[list[mg.Tensor], Callable[[], mg.Tensor]]:
    r"""Parameters, and a function that computes the loss of one batch."""
    g = mg.Generator(0)
    shapes = [(16, 8), (16,), (4, 16), (4,)]
    p = [(mg.randn(*s, generator=g) * 0.3).to(device).detach().requires_grad_() for s in shapes]
    x = mg.randn(32, 8, generator=g).to(device)
    y = mg.randint(0, 4, (32,), generator=g).to(device)

    def loss() -> mg.Tensor:
        hidden = ops.relu(ops.linear(x, p[0], p[1]))
        return ops.cross_entropy(ops.linear(hidden, p[2], p[3]), y)

    return p, loss


def test_gradients_are_those_of_the_cpu(device: str) -> None:
    found = []
    for where in ("cpu", device):
        p, loss = _mlp(where)
        loss().backward()
        found.append([q.grad.cpu().numpy() for q in p])
        assert all(q.grad.device == where for q in p)
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_training_step_never_waits_for_the_device(name: str) -> None:
    p, loss = _mlp("strict")
    optimiser = getattr(mg.optim, name)(p, lr=0.01)

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    step()  # sets up the optimiser's state
    before = loss().item()
    with strict.count() as c:
        for _ in range(5):
            step()
    assert c.synchronisations == 0
    assert c.copies_to_device == 0
    assert 0 < c.launches < 5 * 120
    assert loss().item() < before


def test_convolutional_step_never_waits_for_the_device() -> None:
    g = mg.Generator(0)
    w = (mg.randn(4, 1, 3, 3, generator=g) * 0.3).to("strict").requires_grad_()
    gamma = mg.ones(4, device="strict", requires_grad=True)
    beta = mg.zeros(4, device="strict", requires_grad=True)
    mean, var = mg.zeros(4, device="strict"), mg.ones(4, device="strict")
    head = (mg.randn(3, 36, generator=g) * 0.1).to("strict").requires_grad_()
    x = mg.randn(2, 1, 6, 6, generator=g).to("strict")
    y = mg.tensor([0, 2], device="strict")

    def step() -> None:
        h = ops.batch_norm(ops.conv2d(x, w, padding=1), mean, var, gamma, beta, training=True)
        h = ops.max_pool2d(ops.relu(h), 2)
        ops.cross_entropy(ops.linear(h.reshape(2, 36), head), y).backward()

    step()
    with strict.count() as c:
        step()
    assert c.synchronisations == 0


def test_moving_keeps_the_graph(device: str) -> None:
    x = mg.ones(2, requires_grad=True)
    y = (x.to(device) * 3).cpu()
    y.sum().backward()
    assert x.grad.device == "cpu"
    assert x.grad.tolist() == [3.0, 3.0]


def test_random_numbers_are_the_same_on_every_device(device: str) -> None:
    for make in (
        lambda d: mg.randn(3, device=d, generator=mg.Generator(1)),
        lambda d: ops.dropout(mg.ones(20, device=d), 0.5, generator=mg.Generator(1)),
        lambda d: ops.gaussian_sample(
            mg.zeros(5, device=d), mg.zeros(5, device=d), generator=mg.Generator(1)
        ),
    ):
        assert make("cpu").tolist() == make(device).tolist()


def test_scalars_keep_float32(device: str) -> None:
    r"""NEP 50: a NumPy scalar on the way would turn everything into float64."""
    x = mg.ones(3, device=device, requires_grad=True)
    y = (x * 2.0 + 1) / 3 - np.float64(0.5)
    y = y * np.sqrt(2.0) + mg.ones((), device=device)
    y = ops.softplus(ops.gelu(ops.elu(y))) ** 0.5
    y = y / y.sum() + y.mean() - y.std() + y.norm()
    assert y.dtype == np.float32
    y.sum().backward()
    assert x.grad.dtype == np.float32
