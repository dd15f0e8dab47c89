"""The fused optimiser steps against the textbook formulas beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels import optim as kernels
from minigrad.testing.strict import strict

# Below, at, and above the edges of blocks, and enough blocks to be shared out among threads.
SIZES = [0, 1, 7, kernels.BLOCK, kernels.BLOCK + 1, kernels.PARALLEL + 3]
rates = st.floats(1e-4, 0.5)
fractions = st.floats(0.0, 0.99)
decays = st.sampled_from([0.0, 0.1])


def draw(seed: int, n: int, count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=n) for _ in range(count)]


def copies(arrays: list) -> list:
    return [None if a is None else a.copy() for a in arrays]


def close(ours: list, book: list) -> None:
    for a, b in zip(ours, book, strict=True):
        if b is not None:
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@given(
    n=st.sampled_from(SIZES),
    seed=st.integers(0, 2**32 - 1),
    lr=rates,
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    dampening=st.sampled_from([0.0, 0.3]),
    weight_decay=decays,
    nesterov=st.booleans(),
    maximize=st.booleans(),
)
def test_sgd(n, seed, lr, momentum, dampening, weight_decay, nesterov, maximize):
    options = {
        "lr": lr,
        "momentum": momentum,
        "dampening": 0.0 if nesterov else dampening,
        "weight_decay": weight_decay,
        "nesterov": nesterov,
        "maximize": maximize,
    }
    p, *gradients = draw(seed, n, 4)
    q, buffer = p.copy(), None
    ours = np.full(n, np.nan) if momentum else None  # the first step must not read it
    for k, g in enumerate(gradients):
        given_gradient = g.copy()
        q, buffer = kernels.sgd_reference(q, g, buffer, **options)
        kernels.sgd(p, g, ours, k == 0, **options)
        assert np.array_equal(g, given_gradient)
    close([p, ours], [q, buffer])


@given(
    n=st.sampled_from(SIZES),
    seed=st.integers(0, 2**32 - 1),
    lr=rates,
    # With alpha near 0 the centered variance of the first step, alpha (1 - alpha) g^2, is all
    # cancellation.
    alpha=st.floats(0.1, 0.99),
    weight_decay=decays,
    momentum=st.sampled_from([0.0, 0.9]),
    centered=st.booleans(),
    maximize=st.booleans(),
)
def test_rmsprop(n, seed, lr, alpha, weight_decay, momentum, centered, maximize):
    options = {
        "lr": lr,
        "alpha": alpha,
        "eps": 0.1,
        "weight_decay": weight_decay,
        "momentum": momentum,
        "centered": centered,
        "maximize": maximize,
    }
    p, *gradients = draw(seed, n, 4)
    book = [p.copy(), np.zeros(n), np.zeros(n) if centered else None, np.zeros(n)]
    ours = [*copies(book[:3]), np.zeros(n) if momentum else None]
    for g in gradients:
        book[:] = kernels.rmsprop_reference(book[0], g, *book[1:], **options)
        kernels.rmsprop(ours[0], g, *ours[1:], **options)
    close(ours[:3], book[:3])
    if momentum:
        close(ours[3:], book[3:])


@given(
    n=st.sampled_from(SIZES),
    seed=st.integers(0, 2**32 - 1),
    lr=rates,
    beta1=fractions,
    beta2=fractions,
    weight_decay=decays,
    amsgrad=st.booleans(),
    decoupled=st.booleans(),
    maximize=st.booleans(),
)
def test_adam(n, seed, lr, beta1, beta2, weight_decay, amsgrad, decoupled, maximize):
    options = {
        "lr": lr,
        "betas": (beta1, beta2),
        "eps": 0.1,
        "weight_decay": weight_decay,
        "decoupled": decoupled,
        "maximize": maximize,
    }
    p, *gradients = draw(seed, n, 4)
    book = [p.copy(), np.zeros(n), np.zeros(n), np.zeros(n) if amsgrad else None]
    ours = copies(book)
    for k, g in enumerate(gradients):
        book[:] = kernels.adam_reference(book[0], g, *book[1:], k + 1, **options)
        kernels.adam(ours[0], g, *ours[1:], k + 1, **options)
    close(ours, book)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_stays(dtype):
    p, g, a, b, c = (x.astype(dtype) for x in draw(0, 10, 5))
    a, b, c = abs(a), abs(b), abs(c)
    kernels.adam(p, g, a, b, c, 3, lr=0.1, weight_decay=0.1, maximize=True)
    kernels.rmsprop(p, g, a, b * 0, c, lr=0.1, centered=True, momentum=0.5)
    kernels.sgd(p, g, a, False, lr=0.1, momentum=0.9, dampening=0.1, nesterov=True)
    assert {x.dtype for x in (p, g, a, b, c)} == {np.dtype(dtype)}


def test_on_a_device_that_refuses_to_wait():
    host = draw(1, 50, 4)
    host[2:] = [abs(x) for x in host[2:]]
    device = [strict.asarray(x) for x in host]
    with strict.count() as count:
        kernels.adam(*device, None, 4, lr=0.01, weight_decay=0.1)
        kernels.rmsprop(*device, None, lr=0.01, centered=True)
        kernels.sgd(*device[:3], False, lr=0.01, momentum=0.9, nesterov=True)
    assert count.synchronisations == 0
    kernels.adam(*host, None, 4, lr=0.01, weight_decay=0.1)
    kernels.rmsprop(*host, None, lr=0.01, centered=True)
    kernels.sgd(*host[:3], False, lr=0.01, momentum=0.9, nesterov=True)
    for a, b in zip(host, device):
        np.testing.assert_array_equal(a, b.get())
