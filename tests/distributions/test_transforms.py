r"""Transforms: the inverse undoes them, and log|det J| is that of the Jacobian by autograd."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import distributions as D
from minigrad.autograd import jacobian
from minigrad.testing import gradcheck


def random(*shape: int, seed: int = 0) -> mg.Tensor:
    return mg.tensor(np.random.default_rng([seed, *shape]).normal(size=shape))


def network(seed: int, n_in: int, n_out: int) -> Callable[[mg.Tensor], Any]:
    w, v = random(n_in, 8, seed=seed), random(8, 2 * n_out, seed=seed + 1) * 0.3
    return lambda h: (mg.tanh(h @ w) @ v).chunk(2, -1)


SHAPE = (4,)  # of one value, for those that act on vectors

VECTORS = {
    "affine": lambda: D.AffineTransform(random(4), random(4, seed=1), event_dim=1),
    "coupling": lambda: D.AffineCoupling(2, network(2, 2, 2)),
    "coupling-uneven": lambda: D.AffineCoupling(1, network(4, 1, 3)),
    "planar": lambda: D.PlanarTransform(random(4), random(4, seed=1), 0.3),
    "planar-strong": lambda: D.PlanarTransform(random(4), random(4) * -3, random(1)[0]),
    "radial": lambda: D.RadialTransform(random(4), mg.tensor(0.2).double(), random(1)[0]),
    "radial-inwards": lambda: D.RadialTransform(
        random(4), mg.tensor(0.9).double(), mg.tensor(-4.0).double()
    ),
    "permutation": lambda: D.PermutationTransform([2, 0, 3, 1]),
    "independent": lambda: D.IndependentTransform(D.SigmoidTransform(), 1),
    "flow": lambda: D.ComposeTransform(
        [
            D.AffineCoupling(2, network(2, 2, 2)),
            D.PermutationTransform([3, 2, 1, 0]),
            D.PlanarTransform(random(4, seed=5), random(4, seed=6)),
            D.AffineTransform(0.1, -0.2),
            D.TanhTransform(),
        ]
    ),
}
NUMBERS = {
    "exp": D.ExpTransform,
    "sigmoid": D.SigmoidTransform,
    "tanh": D.TanhTransform,
    "softplus": D.SoftplusTransform,
    "affine": lambda: D.AffineTransform(1.5, -0.7),
    "composed": lambda: D.ComposeTransform([D.AffineTransform(0.1, 0.5), D.TanhTransform()]),
}
ALL = [*(("number", k) for k in NUMBERS), *(("vector", k) for k in VECTORS)]


def made(kind: str, name: str) -> tuple[D.Transform, mg.Tensor]:
    transform = (NUMBERS if kind == "number" else VECTORS)[name]()
    return transform, random(3, 5, *(SHAPE if kind == "vector" else ()), seed=9)


@pytest.mark.parametrize("kind, name", ALL)
def test_inverse(kind: str, name: str) -> None:
    transform, x = made(kind, name)
    y = transform(x)
    np.testing.assert_allclose(transform.inv(y).data, x.data, atol=1e-9)
    assert transform.inv.inv is transform
    there = transform.log_abs_det_jacobian(x, y)
    np.testing.assert_array_equal(transform.inv.log_abs_det_jacobian(y, x).data, -there.data)
    both = transform.forward_and_log_det(x)
    np.testing.assert_allclose(both[0].data, y.data, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(both[1].data, there.data, rtol=1e-14, atol=1e-14)
    assert transform.forward_shape(x.shape) == y.shape
    assert transform.inverse_shape(y.shape) == x.shape


@pytest.mark.parametrize("kind, name", ALL)
def test_log_determinant(kind: str, name: str) -> None:
    transform, x = made(kind, name)
    log_det = transform.log_abs_det_jacobian(x, transform(x))
    assert log_det.shape == x.shape[: x.ndim - transform.domain_event_dim]
    for index in np.ndindex(x.shape[:2]):
        j = jacobian(transform, x[index]).data
        j = j.reshape(int(np.sqrt(j.size)), -1)
        np.testing.assert_allclose(log_det.data[index], np.linalg.slogdet(j)[1], atol=1e-10)


@pytest.mark.parametrize("kind, name", ALL)
def test_derivatives(kind: str, name: str) -> None:
    r"""Of the map, its inverse and the determinant, to second order."""
    transform, x = made(kind, name)
    x = x[0, :2].detach().requires_grad_()
    y = transform(x).detach().requires_grad_()
    assert gradcheck(lambda x: transform.log_abs_det_jacobian(x, transform(x)), x, order=2)
    if transform.domain_event_dim or name in ("affine", "exp"):
        assert gradcheck(lambda y: transform.inv(y), y, order=2, rtol=1e-4)


@pytest.mark.parametrize("inverse", [False, True])
def test_parameters_of_flows_are_differentiated(inverse: bool) -> None:
    def planar(x: mg.Tensor, w: mg.Tensor, u: mg.Tensor, b: mg.Tensor) -> mg.Tensor:
        f = D.PlanarTransform(w, u, b)
        return f.inv(x) if inverse else f(x)

    def radial(x: mg.Tensor, c: mg.Tensor, a: mg.Tensor, b: mg.Tensor) -> mg.Tensor:
        f = D.RadialTransform(c, a, b)
        return f.inv(x) if inverse else f(x)

    def leaf(*shape: int, seed: int) -> mg.Tensor:
        return random(*shape, seed=seed).requires_grad_()

    x = leaf(2, 3, seed=1)
    assert gradcheck(planar, [x, leaf(3, seed=2), leaf(3, seed=3), leaf(seed=4)], order=2)
    assert gradcheck(radial, [x, leaf(3, seed=2), leaf(seed=3), leaf(seed=4)], order=2)


def test_a_flow_for_each_member_of_a_batch() -> None:
    r"""Parameters (5, 4) and (5,): row i goes through the transform with the i-th parameters."""
    x, w, u = random(5, 4), random(5, 4, seed=1), random(5, 4, seed=2)
    a, b = random(5, seed=3), random(5, seed=4)
    for make in (lambda i: D.PlanarTransform(w[i], u[i], a[i]),
                 lambda i: D.RadialTransform(w[i], a[i], b[i])):  # fmt: skip
        whole = make(slice(None))
        y, log_det = whole.forward_and_log_det(x)
        assert log_det.shape == (5,)
        for i in range(5):
            alone = make(i).forward_and_log_det(x[i])
            np.testing.assert_allclose(y.data[i], alone[0].data, atol=1e-14)
            np.testing.assert_allclose(log_det.data[i], alone[1].data, atol=1e-14)
        np.testing.assert_allclose(whole.inv(y).data, x.data, atol=1e-9)
        base = D.Normal(mg.zeros(4, dtype=mg.float64), 1.0)
        flow = D.TransformedDistribution(base, [whole])
        assert (flow.batch_shape, flow.event_shape) == ((5,), (4,))
        assert flow.log_prob(flow.sample((3,))).shape == (3, 5)


def test_planar_is_invertible_however_u_points() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        w, u = (mg.tensor(rng.normal(size=3) * 4) for _ in range(2))
        f = D.PlanarTransform(w, u, float(rng.normal()))
        x = mg.tensor(rng.normal(size=(50, 3)))
        assert np.isfinite(f.log_abs_det_jacobian(x, f(x)).data).all()
        np.testing.assert_allclose(f.inv(f(x)).data, x.data, atol=1e-6)


def test_extremes() -> None:
    for dtype in (np.float32, np.float64):
        x = mg.tensor(np.array([-1e4, -90.0, 0.0, 90.0, 1e4], dtype))
        for transform in (D.SigmoidTransform(), D.TanhTransform(), D.SoftplusTransform()):
            y = transform(x)
            log_det = transform.log_abs_det_jacobian(x, y)
            assert y.dtype == log_det.dtype == dtype
            assert np.isfinite(log_det.data).all()
        y = D.SigmoidTransform()(x)
        assert ((y.data > 0) & (y.data < 1)).all()
        assert np.isfinite(
            D.SigmoidTransform().inv(mg.tensor(np.array([0.0, 1.0], dtype))).data
        ).all()


def test_cache() -> None:
    x = mg.tensor([25.0])
    cached, plain = D.TanhTransform(cache_size=1), D.TanhTransform(cache_size=0)
    y = cached(x)
    assert cached.inv(y) is x and cached(x) is y and cached.inv(y) is x
    with np.errstate(divide="ignore"):
        assert np.isinf(plain.inv(y).data).all()  # tanh 25 is 1
    policy = D.TransformedDistribution(D.Normal(mg.tensor([20.0]), 1.0), [cached])
    assert np.isfinite(policy.log_prob(policy.rsample()).data).all()


def test_base_batch_becomes_event() -> None:
    base = D.Normal(mg.zeros(5, 4, dtype=mg.float64), 1.0)
    flow = D.TransformedDistribution(base, [VECTORS["flow"]()])
    assert (flow.batch_shape, flow.event_shape) == ((5,), (4,))
    assert flow.rsample((2,)).shape == (2, 5, 4)
    assert flow.log_prob(flow.sample()).shape == (5,)
    assert flow.expand((3, 5)).sample().shape == (3, 5, 4)
    broadcast = D.TransformedDistribution(
        base, [D.AffineTransform(mg.zeros(2, 5, 4).double(), 2.0)]
    )
    assert broadcast.batch_shape == (2, 5, 4)
    assert broadcast.sample().shape == (2, 5, 4)


def test_a_flow_integrates_to_one() -> None:
    parts = [
        D.AffineCoupling(1, network(1, 1, 1)),
        D.PermutationTransform([1, 0]),
        D.PlanarTransform(random(2, seed=3), random(2, seed=4)),
        D.RadialTransform(random(2, seed=5), mg.tensor(0.5).double(), mg.tensor(2.0).double()),
    ]
    flow = D.TransformedDistribution(D.Normal(mg.zeros(2, dtype=mg.float64), 1.0), parts)
    side = np.linspace(-14, 14, 561)
    grid = np.stack(np.meshgrid(side, side, indexing="ij"), -1)
    density = np.exp(flow.log_prob(mg.tensor(grid)).data)
    np.testing.assert_allclose(density.sum() * (side[1] - side[0]) ** 2, 1, atol=2e-3)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: D.PermutationTransform([0, 0]), "expected a permutation of 0 ... 1, got"),
        (lambda: D.PermutationTransform([1, 0])(mg.ones(3)), "expected 2 entries along the last"),
        (lambda: D.AffineCoupling(0, network(0, 1, 1)), "expected a split of at least 1, got 0"),
        (lambda: D.AffineCoupling(3, network(0, 3, 1))(mg.ones(2, 3)), "more than 3 entries"),
        (lambda: D.AffineCoupling(1, lambda h: (h, h))(mg.ones(3)), "shift and log_scale of shape"),
        (lambda: D.PlanarTransform(mg.ones(2), mg.ones(3)), "weight and u of one shape"),
        (lambda: D.PlanarTransform(mg.ones(2), mg.ones(2))(mg.ones(3)), "expected 2 entries"),
        (lambda: D.RadialTransform(mg.ones(()), mg.ones(()), mg.ones(())), "center of shape"),
        (lambda: D.PermutationTransform([0])(mg.ones(())), "with at least 1 axes, got shape"),
        (lambda: D.TanhTransform(cache_size=2), "expected cache_size 0 or 1, got 2"),
        (
            lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), D.PermutationTransform([0])),
            "expected a base distribution with at least 1 axes",
        ),
    ],
)
def test_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
