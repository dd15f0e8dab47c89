r"""jacobian, hessian and their products: closed forms, shapes, errors; a gradient penalty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.autograd import hessian, hvp, jacobian, jvp, vhp, vjp
from minigrad.testing import gradcheck

F = nn.functional


def random(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.tensor(np.random.default_rng([seed, *shape]).normal(size=shape))


def test_jacobian_of_a_linear_map() -> None:
    a, x = random(3, 4), random(4)
    np.testing.assert_array_equal(jacobian(lambda x: a @ x, x).data, a.data)


def test_jacobian_of_softmax(device: str) -> None:
    x = random(4).to(device)
    p = mg.softmax(x, 0).cpu().data
    found = jacobian(lambda x: mg.softmax(x, 0), x)
    assert found.device == device
    np.testing.assert_allclose(found.cpu().data, np.diag(p) - np.outer(p, p), atol=1e-15)


def test_hessian_of_a_quadratic_form() -> None:
    a, x = random(4, 4), random(4)
    np.testing.assert_allclose(hessian(lambda x: x @ a @ x, x).data, a.data + a.data.T, atol=1e-14)


def test_products_of_a_quadratic_form() -> None:
    a, x, v = random(4, 4), random(4), random(4, seed=1)
    symmetric = a.data + a.data.T

    def f(x: mg.Tensor) -> mg.Tensor:
        return x @ a @ x

    value, product = hvp(f, x, v)
    assert value.item() == f(x).item()
    np.testing.assert_allclose(product.data, symmetric @ v.data, atol=1e-14)
    np.testing.assert_allclose(vhp(f, x, v)[1].data, symmetric @ v.data, atol=1e-14)
    np.testing.assert_allclose(vjp(f, x)[1].data, symmetric @ x.data, atol=1e-14)
    np.testing.assert_allclose(jvp(f, x, v)[1].data, x.data @ symmetric @ v.data, atol=1e-13)


def test_products_are_rows_and_columns_of_the_jacobian() -> None:
    def f(x: mg.Tensor, y: mg.Tensor) -> Any:
        return mg.outer(mg.sin(x), y), (x**2).sum() * y

    xs = (random(3), random(2))
    whole = jacobian(f, xs)
    v = (random(3, 2, seed=1), random(2, seed=2))
    rows = vjp(f, xs, v)[1]
    w = (random(3, seed=3), random(2, seed=4))
    columns = jvp(f, xs, w)[1]
    for i in range(2):
        want = sum(np.tensordot(v[k].data, whole[k][i].data, v[k].ndim) for k in range(2))
        np.testing.assert_allclose(rows[i].data, want, atol=1e-13)
        want = sum(np.tensordot(whole[i][k].data, w[k].data, w[k].ndim) for k in range(2))
        np.testing.assert_allclose(columns[i].data, want, atol=1e-13)


def test_hessian_of_several_inputs_is_in_blocks() -> None:
    x, y = random(2, 2), random(3)
    blocks = hessian(lambda x, y: (x**3).sum() * (y**2).sum(), (x, y))
    x_, y_ = x.data.ravel(), y.data
    top = np.diag(6 * x_ * (y_**2).sum()).reshape(2, 2, 2, 2)
    np.testing.assert_allclose(blocks[0][0].data, top, atol=1e-13)
    cross = np.outer(3 * x_**2, 2 * y_)
    np.testing.assert_allclose(blocks[0][1].data, cross.reshape(2, 2, 3), atol=1e-13)
    np.testing.assert_allclose(blocks[1][0].data, cross.T.reshape(3, 2, 2), atol=1e-13)


def test_create_graph_differentiates_by_inputs_and_parameters() -> None:
    x = random(3).requires_grad_()
    w = random(3, seed=1).requires_grad_()
    total = jacobian(lambda x: w * x**3, x, create_graph=True).sum()  # Σ 3 w x²
    total.backward()
    np.testing.assert_allclose(x.grad.data, 6 * w.data * x.data)
    np.testing.assert_allclose(w.grad.data, 3 * x.data**2)
    product = hvp(lambda x: (w * x**3).sum(), x, random(3, seed=2), create_graph=True)[1]
    (g,) = mg.autograd.grad(product.sum(), w)  # Σ 6 w x v
    np.testing.assert_allclose(g.data, 6 * x.data * random(3, seed=2).data)


def test_nothing_is_left_behind() -> None:
    x = random(3).requires_grad_()
    w = random(3, seed=1).requires_grad_()
    results = [
        jacobian(lambda x: w * x, x),
        hessian(lambda x: (w * x).prod(), x),
        hvp(lambda x: (w * x).prod(), x, x.detach())[1],
        *vjp(lambda x: w * x, x, x.detach()),
        *jvp(lambda x: w * x, x, x.detach()),
    ]
    assert not any(r.requires_grad for r in results)
    assert x.grad is None and w.grad is None


def test_under_no_grad() -> None:
    with mg.no_grad():
        found = hessian(lambda x: (x**3).sum(), mg.tensor([2.0]))
        assert not mg.is_grad_enabled()
    assert found.item() == 12.0


def test_what_does_not_depend_is_zero_or_an_error() -> None:
    x, y = random(2), random(3)
    blocks = jacobian(lambda x, y: x * 2, (x, y))
    assert blocks[1].shape == (2, 3) and not blocks[1].data.any()
    assert not jacobian(lambda x: mg.ones(4, dtype=mg.float64), x).data.any()
    assert not hessian(lambda x: x.sum(), x).data.any()
    assert not hvp(lambda x: x.sum(), x, x)[1].data.any()
    assert not jvp(lambda x: mg.ones(4, dtype=mg.float64), x, x)[1].data.any()
    with pytest.raises(
        RuntimeError, match="jacobian: the outputs of func do not depend on input 1"
    ):
        jacobian(lambda x, y: x * 2, (x, y), strict=True)


def test_empty_and_dtype() -> None:
    assert jacobian(lambda x: x[:0], random(3)).shape == (0, 3)
    assert jacobian(lambda x: x.sum(), random(0)).shape == (0,)
    x = mg.randn(3)
    for found in (
        jacobian(mg.tanh, x),
        hessian(lambda x: mg.tanh(x).sum(), x),
        hvp(lambda x: x.prod(), x, x)[1],
        jvp(mg.tanh, x, x)[1],
        vjp(mg.tanh, x, x)[1],
    ):
        assert found.dtype == np.float32


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda x: hessian(lambda x: x, x), ValueError, "hessian: expected func to return one num"),
        (lambda x: hvp(lambda x: x.sum(), x, mg.ones(3)), ValueError, "hvp: expected v of the inp"),
        (lambda x: hvp(lambda x: x.sum(), x), ValueError, "hvp: v can be left out only if"),
        (
            lambda x: vjp(lambda x: x, x),
            ValueError,
            "vjp: v can be left out only if there is one o",
        ),
        (lambda x: jvp(lambda x: x, x, (x, x)), ValueError, "jvp: expected 1 tensors as v, got 2"),
        (lambda x: jvp(lambda x: x, x, 3.0), TypeError, "jvp: expected tensors as v, got float"),
        (lambda x: jacobian(lambda x: 3.0, x), TypeError, "jacobian: expected func to return ten"),
        (lambda x: jacobian(lambda x: x, 3.0), TypeError, "jacobian: expected tensors as inputs"),
        (lambda x: jacobian(lambda x: x, mg.arange(3)), TypeError, "jacobian: .* floating dtype"),
    ],
)
def test_errors(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call(mg.ones(2))


# ------------------------------------------------------------------------------ gradient penalty
def penalty(critic: Any, images: mg.Tensor) -> mg.Tensor:
    r"""Gulrajani et al., 2017: the mean of (|∂ critic / ∂ image| - 1)²."""
    images = images if images.requires_grad else images.detach().requires_grad_()
    (g,) = mg.autograd.grad(critic(images).sum(), images, create_graph=True)
    return ((mg.norm(g.flatten(1), 2, 1) - 1) ** 2).mean()


def test_gradient_penalty_through_a_conv_critic() -> None:
    r"""Its gradient, by weights and images, is that of differences."""
    images = (random(2, 2, 5, 5) * 0.8).requires_grad_()
    weights = [
        random(3, 2, 3, 3), random(3, seed=1), random(3, seed=5), random(3, seed=6),
        random(2, 3, 3, 3, seed=2), random(1, 2 * 2 * 2, seed=3),
    ]  # fmt: skip

    def critic(images: mg.Tensor, *weights: mg.Tensor) -> mg.Tensor:
        w1, b1, gain, shift, w2, w3 = weights
        h = F.conv2d(images, w1, b1, stride=2, padding=1)
        h = F.leaky_relu(F.group_norm(h, 1, gain, shift), 0.2)  # a norm within each image
        h = F.leaky_relu(F.conv2d(h, w2, stride=2, padding=1), 0.2)
        return F.linear(h.flatten(1), w3)

    def total(images: mg.Tensor, *weights: mg.Tensor) -> mg.Tensor:
        return penalty(lambda x: critic(x, *weights), images)

    assert gradcheck(total, [images, *[w.requires_grad_() for w in weights]])
