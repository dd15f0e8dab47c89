"""The fused steps of the less usual adaptive optimisers against the textbook beside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels import optim as blocks
from minigrad.kernels import optim_adaptive as kernels
from minigrad.testing.strict import strict

SIZES = [0, 1, 7, blocks.BLOCK + 1, blocks.PARALLEL + 3]
betas = st.tuples(st.floats(0.0, 0.99), st.floats(0.3, 0.999))
common = {
    "lr": st.floats(1e-4, 0.5),
    "weight_decay": st.sampled_from([0.0, 0.1]),
    "maximize": st.booleans(),
}
# name -> options, number of state arrays, what a call gets besides them at step t
STEPS = {
    "adagrad": ({**common, "lr_decay": st.sampled_from([0.0, 0.3])}, 1, lambda t: (t,)),
    "adadelta": ({**common, "rho": st.floats(0.0, 1.0)}, 2, lambda t: ()),
    "adamax": ({**common, "betas": betas}, 2, lambda t: (t,)),
    "nadam": (
        {**common, "betas": betas, "decoupled": st.booleans()},
        2,
        lambda t: (t, 0.5, 0.6, 0.5**t),
    ),
    "radam": ({**common, "betas": betas, "decoupled": st.booleans()}, 2, lambda t: (t,)),
}


@pytest.mark.parametrize("name", STEPS)
@given(data=st.data())
def test_fused_equals_textbook(name, data):
    choices, arrays, extra = STEPS[name]
    n = data.draw(st.sampled_from(SIZES))
    options = {k: data.draw(v) for k, v in choices.items()}
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    p = rng.normal(size=n)
    ours = [p, *(np.zeros(n) for _ in range(arrays))]
    book = [a.copy() for a in ours]
    fused, textbook = getattr(kernels, name), getattr(kernels, f"{name}_reference")
    for t in range(1, 8):  # RAdam's rectification begins at step 6 with a long memory
        g = rng.normal(size=n)
        given_gradient = g.copy()
        book[:] = textbook(book[0], g, *book[1:], *extra(t), **options, eps=0.01)
        fused(ours[0], g, *ours[1:], *extra(t), **options, eps=0.01)
        assert np.array_equal(g, given_gradient)
    for a, b in zip(ours, book, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


def test_radam_rectification():
    # With beta2 = 0.999 the first five steps do without the variance; the factor rises to 1.
    factors = [kernels.radam_rectification(t, 0.999) for t in range(1, 10_000)]
    assert factors[:5] == [None] * 5 and None not in factors[5:]
    assert all(a < b for a, b in zip(factors[5:], factors[6:]))
    # rho_6 is 6 - O(1/1000): by hand, sqrt(2 * 4 * 1999 / (1995 * 1997 * 6)) = 0.0259
    assert factors[5] == pytest.approx(0.0259, rel=0.01) and 0.99 < factors[-1] < 1
    assert kernels.radam_rectification(100, 0.5) is None  # a memory of 3 gradients never suffices


@pytest.mark.parametrize("name", STEPS)
def test_dtype_stays_and_devices_never_wait(name):
    _, arrays, extra = STEPS[name]
    rng = np.random.default_rng(0)
    host = [np.abs(rng.normal(size=20)).astype(np.float32) for _ in range(2 + arrays)]
    device = [strict.asarray(a) for a in host]
    options = {"lr": 0.1, "weight_decay": 0.1, "maximize": True}
    with strict.count() as count:
        getattr(kernels, name)(*device, *extra(9), **options)
    assert count.synchronisations == 0
    getattr(kernels, name)(*host, *extra(9), **options)
    for a, b in zip(host, device):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b.get())
