r"""jacobian, hessian, their products and gradient penalties against PyTorch, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import autograd as ours
from minigrad import nn

torch = pytest.importorskip("torch")
theirs = torch.autograd.functional


def polynomial(x: Any, y: Any) -> Any:
    return (x**2).sum() * y.sin() + y, x * y[0].exp()


def number(x: Any, y: Any) -> Any:
    return ((x.sin() ** 2).sum() * y.exp()).sum() + (x * x).sum() * y[1] ** 3


def same(a: Any, b: Any, tolerance: float = 1e-8) -> None:
    if isinstance(b, tuple):
        assert isinstance(a, tuple) and len(a) == len(b)
        for x, y in zip(a, b):
            same(x, y, tolerance)
        return
    assert a.requires_grad == b.requires_grad
    a, b = a.detach(), b.detach().numpy()
    assert a.shape == b.shape
    np.testing.assert_allclose(a.data, b, rtol=tolerance, atol=tolerance)


def drawn(*shapes: tuple[int, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    rng = np.random.default_rng(len(shapes))
    arrays = [rng.normal(size=(*s, 2))[..., 0] for s in shapes]
    return tuple(mg.Tensor(a) for a in arrays), tuple(torch.from_numpy(a) for a in arrays)


@pytest.mark.parametrize("create_graph", [False, True])
def test_functions(create_graph: bool) -> None:
    mine, yours = drawn((2, 3), (4,))
    if create_graph:
        for t in (*mine, *yours):
            t.requires_grad_()
    v_mine, v_yours = drawn((4,), (2, 3))
    w_mine, w_yours = tuple(reversed(v_mine)), tuple(reversed(v_yours))
    for name, function, v, u in (
        ("jacobian", polynomial, (), ()),
        ("jacobian", number, (), ()),
        ("hessian", number, (), ()),
        ("vjp", polynomial, (v_mine,), (v_yours,)),
        ("vjp", number, (), ()),
        ("jvp", polynomial, (w_mine,), (w_yours,)),
        ("jvp", number, (w_mine,), (w_yours,)),
        ("vhp", number, (w_mine,), (w_yours,)),
        ("hvp", number, (w_mine,), (w_yours,)),
    ):
        a = getattr(ours, name)(function, mine, *v, create_graph=create_graph)
        b = getattr(theirs, name)(function, yours, *u, create_graph=create_graph)
        same(a, b)
    one = (mine[1], yours[1])
    for name in ("jacobian", "hessian"):
        function = (lambda x: (x**3).sum()) if name == "hessian" else (lambda x: x.sin())
        same(getattr(ours, name)(function, one[0]), getattr(theirs, name)(function, one[1]))


def test_differentiated_again() -> None:
    mine, yours = drawn((2, 3), (4,))
    for t in (*mine, *yours):
        t.requires_grad_()
    a = ours.hessian(number, mine, create_graph=True)
    b = theirs.hessian(number, yours, create_graph=True)
    total_a = sum((x**2).sum() for row in a for x in row)
    total_b = sum((x**2).sum() for row in b for x in row)
    same(ours.grad(total_a, mine), torch.autograd.grad(total_b, yours), 1e-7)


def critic(torch: Any, norm: str) -> Any:
    r"""A small convolutional critic, of PyTorch or minigrad, without batch statistics."""
    nn = torch.nn
    norms = {
        "none": lambda c: nn.Identity(),
        "group": lambda c: nn.GroupNorm(2, c),
        "instance": lambda c: nn.InstanceNorm2d(c, affine=True),
    }
    return nn.Sequential(
        nn.Conv2d(3, 4, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False),
        norms[norm](6),
        nn.LeakyReLU(0.2),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=2),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(6 * 3 * 3, 1),
    )


@pytest.mark.parametrize("norm", ["none", "group", "instance"])
@pytest.mark.parametrize("checkpointed", [False, True])
def test_gradient_penalty(norm: str, checkpointed: bool) -> None:
    rng = np.random.default_rng(1)
    yours = critic(torch, norm).double()
    mine = critic(mg, norm).to(mg.float64)
    mine.load_state_dict({k: mg.tensor(v.numpy()) for k, v in yours.state_dict().items()})
    real, fake = rng.normal(size=(2, 4, 3, 12, 12))
    mix = rng.random((4, 1, 1, 1))
    found = []
    for lib, net, make in ((mg, mine, mg.tensor), (torch, yours, torch.from_numpy)):
        x = make(mix * real + (1 - mix) * fake).requires_grad_()
        run = net
        if checkpointed and lib is mg:
            blocks = list(net)

            def run(x: Any, blocks: Any = blocks) -> Any:
                for start in range(0, len(blocks), 3):
                    x = ours.checkpoint(nn.Sequential(*blocks[start : start + 3]), x)
                return x

        (g,) = lib.autograd.grad(run(x).sum(), x, create_graph=True)
        norms = (g.reshape(4, -1) ** 2).sum(1).sqrt()
        loss = net(make(fake)).mean() - net(make(real)).mean() + 10 * ((norms - 1) ** 2).mean()
        loss.backward()
        found.append((loss, g, x.grad, *[p.grad for p in net.parameters()]))
    same(found[0][0].detach(), found[1][0].detach())
    same(found[0][1].detach(), found[1][1].detach())
    for a, b in zip(found[0][2:], found[1][2:]):
        assert (a is None) == (b is None)  # the last bias
        if a is not None:
            same(a.detach(), b.detach(), 1e-7)
