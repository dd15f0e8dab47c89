r"""Distributions with random parameters, as the tests of this folder draw them.

Belongs here: :data:`CASES`, which say how to make a distribution, from this library or from another
with the same names, and how to draw parameters and values of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

Rng = np.random.Generator


@dataclasses.dataclass(frozen=True)
class Case:
    r"""One distribution.

    Attributes:
        name: of the test.
        make: from a library of distributions and parameters.
        parameters: draws arrays from a generator and a batch shape.
        value: draws a value from a generator and the shape of a sample.
        event: the shape of one draw.
        discrete: values are whole numbers, by which nothing is differentiated.
    """

    name: str
    make: Callable[..., Any]
    parameters: Callable[[Rng, tuple[int, ...]], list[np.ndarray]]
    value: Callable[[Rng, tuple[int, ...]], np.ndarray]
    event: tuple[int, ...] = ()
    discrete: bool = False


def broadcast(rng: Rng, batch: tuple[int, ...]) -> tuple[int, ...]:
    r"""A shape that broadcasts to ``batch``, often itself."""
    return tuple(1 if rng.random() < 0.3 else n for n in batch)[
        rng.integers(0, 2) if batch else 0 :
    ]


def number(rng: Rng, batch: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=broadcast(rng, batch)) * 1.5


def positive(rng: Rng, batch: tuple[int, ...]) -> np.ndarray:
    return np.exp(rng.normal(size=broadcast(rng, batch)) * 0.7)


def unit(rng: Rng, batch: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.02, 0.98, broadcast(rng, batch))


def both(*draws: Callable[[Rng, tuple[int, ...]], np.ndarray]) -> Any:
    r"""Parameters of which one has the whole batch shape."""

    def draw(rng: Rng, batch: tuple[int, ...]) -> list[np.ndarray]:
        arrays = [d(rng, batch) for d in draws]
        arrays[0] = np.broadcast_to(arrays[0], batch).copy()
        return arrays

    return draw


def _interval(rng: Rng, batch: tuple[int, ...]) -> list[np.ndarray]:
    low = rng.uniform(-3, -1, batch)
    return [low, low + 3 + rng.random(batch)]


def _classes(k: int, kind: str) -> Any:
    def draw(rng: Rng, batch: tuple[int, ...]) -> list[np.ndarray]:
        x = rng.normal(size=(*batch, k)) * 2
        return [x if kind == "logits" else np.exp(x)]

    return draw


def _hot(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def _simplex(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    x = rng.uniform(0.1, 1, shape)
    return x / x.sum(-1, keepdims=True)


def _log_simplex(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return np.log(_simplex(rng, shape))


def _triangle(rng: Rng, batch: tuple[int, ...], d: int) -> np.ndarray:
    x = np.tril(rng.normal(size=(*batch, d, d)), -1)
    return x + np.exp(rng.normal(size=(*batch, d)) * 0.4)[..., None] * np.eye(d)


def _gaussian(kind: str, d: int = 3) -> Any:
    def draw(rng: Rng, batch: tuple[int, ...]) -> list[np.ndarray]:
        l = _triangle(rng, broadcast(rng, batch), d)
        return [rng.normal(size=(*batch, d)), l if kind == "scale_tril" else l @ l.swapaxes(-1, -2)]

    return draw


def _mixture(rng: Rng, batch: tuple[int, ...]) -> list[np.ndarray]:
    shape = (*batch, 4)
    return [rng.normal(size=shape), rng.normal(size=shape) * 2, np.exp(rng.normal(size=shape))]


def _reals(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return rng.normal(size=shape) * 2


def _positives(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return np.exp(rng.normal(size=shape) * 0.8)


def _units(rng: Rng, shape: tuple[int, ...]) -> np.ndarray:
    return rng.uniform(0.02, 0.98, shape)


def _upto(n: int) -> Any:
    return lambda rng, shape: rng.integers(0, n + 1, shape).astype(np.float64)


CASES = [
    Case("Normal", lambda D, m, s: D.Normal(m, s), both(number, positive), _reals),
    Case("LogNormal", lambda D, m, s: D.LogNormal(m, s), both(number, positive), _positives),
    Case("Uniform", lambda D, a, b: D.Uniform(a, b), _interval,
         lambda rng, shape: rng.uniform(-1, 0, shape)),
    Case("Laplace", lambda D, m, s: D.Laplace(m, s), both(number, positive), _reals),
    Case("Exponential", lambda D, r: D.Exponential(r), both(positive), _positives),
    Case("Gumbel", lambda D, m, s: D.Gumbel(m, s), both(number, positive), _reals),
    Case("Gamma", lambda D, a, b: D.Gamma(a, b), both(positive, positive), _positives),
    Case("Beta", lambda D, a, b: D.Beta(a, b), both(positive, positive), _units),
    Case("Dirichlet", lambda D, a: D.Dirichlet(a),
         lambda rng, batch: [np.exp(rng.normal(size=(*batch, 3)))], _simplex, (3,)),
    Case("Bernoulli-probs", lambda D, p: D.Bernoulli(probs=p), both(unit), _upto(1),
         discrete=True),
    Case("Bernoulli-logits", lambda D, l: D.Bernoulli(logits=l), both(number), _upto(1),
         discrete=True),
    Case("Binomial", lambda D, l: D.Binomial(5, logits=l), both(number), _upto(5), discrete=True),
    Case("Binomial-probs", lambda D, p: D.Binomial(3, probs=p), both(unit), _upto(3),
         discrete=True),
    Case("Poisson", lambda D, r: D.Poisson(r), both(positive), _upto(6), discrete=True),
    Case("Categorical-logits", lambda D, l: D.Categorical(logits=l), _classes(4, "logits"),
         _upto(3), discrete=True),
    Case("Categorical-probs", lambda D, p: D.Categorical(probs=p), _classes(3, "probs"),
         _upto(2), discrete=True),
    Case("OneHotCategorical", lambda D, l: D.OneHotCategorical(logits=l), _classes(4, "logits"),
         _hot, (4,), discrete=True),
    Case("LogitRelaxedBernoulli",
         lambda D, t, l: _relaxed(D, "LogitRelaxedBernoulli")(t, logits=l),
         lambda rng, batch: [positive(rng, ()), rng.normal(size=batch)], _reals),
    Case("RelaxedBernoulli", lambda D, t, p: D.RelaxedBernoulli(t, probs=p),
         lambda rng, batch: [positive(rng, ()), rng.uniform(0.05, 0.95, batch)], _units),
    Case("ExpRelaxedCategorical",
         lambda D, t, l: _relaxed(D, "ExpRelaxedCategorical")(t, logits=l),
         lambda rng, batch: [positive(rng, ()), rng.normal(size=(*batch, 3))], _log_simplex, (3,)),
    Case("RelaxedOneHotCategorical", lambda D, t, p: D.RelaxedOneHotCategorical(t, probs=p),
         lambda rng, batch: [positive(rng, ()), rng.uniform(0.1, 1, (*batch, 4))], _simplex, (4,)),
    Case("MultivariateNormal-tril", lambda D, m, l: D.MultivariateNormal(m, scale_tril=l),
         _gaussian("scale_tril"), _reals, (3,)),
    Case("MultivariateNormal-covariance",
         lambda D, m, c: D.MultivariateNormal(m, covariance_matrix=c),
         _gaussian("covariance_matrix"), _reals, (3,)),
    Case("MultivariateNormal-precision",
         lambda D, m, c: D.MultivariateNormal(m, precision_matrix=c),
         _gaussian("precision_matrix"), _reals, (3,)),
    Case("Independent", lambda D, m, s: D.Independent(D.Normal(m, s), 1),
         lambda rng, batch: [rng.normal(size=(*batch, 3)), np.exp(rng.normal(size=3))],
         _reals, (3,)),
    Case("MixtureSameFamily",
         lambda D, w, m, s: D.MixtureSameFamily(D.Categorical(logits=w), D.Normal(m, s)),
         _mixture, _reals),
    Case("Transformed-tanh",
         lambda D, m, s: D.TransformedDistribution(
             D.Normal(m, s), [D.AffineTransform(0.5, -2.0), D.TanhTransform()]),
         both(number, positive), lambda rng, shape: rng.uniform(-0.9, 0.9, shape)),
    Case("Transformed-sigmoid",
         lambda D, m, s: D.TransformedDistribution(
             D.Laplace(m, 1.0), [D.AffineTransform(0.0, s), D.SigmoidTransform()]),
         both(number, positive), _units),
    Case("Transformed-vector",
         lambda D, m, s: D.TransformedDistribution(
             D.Normal(m, 1.0), [D.AffineTransform(1.0, s, event_dim=1), D.ExpTransform()]),
         lambda rng, batch: [rng.normal(size=(*batch, 3)), np.exp(rng.normal(size=3))],
         _positives, (3,)),
]  # fmt: skip


def _relaxed(D: Any, name: str) -> Any:
    r"""PyTorch keeps these two in files of their own."""
    if hasattr(D, name):
        return getattr(D, name)
    part = D.relaxed_bernoulli if name.endswith("Bernoulli") else D.relaxed_categorical
    return getattr(part, name)


BATCHES = [(), (4,), (2, 3)]
