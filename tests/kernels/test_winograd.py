r"""Winograd's convolution against the loops, its accuracy, and when it is taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels import conv, winograd
from minigrad.kernels.parallel import num_threads, set_num_threads
from tests.kernels.reference import conv2d_reference

SETTINGS = (1, 1), (1, 1), 1  # stride, dilation, groups


def case(rng, n, c, o, h, w, padding):
    r"""Arguments in float32, channels last in memory; the geometry; a cotangent."""
    x = rng.standard_normal((n, h, w, c), np.float32)
    weight = rng.standard_normal((o, c, 3, 3), np.float32) / np.float32(3 * np.sqrt(c))
    geo = conv._geometry((n, c, h, w), weight.shape, (1, 1), padding, (1, 1), 1)
    return x, weight, geo, rng.standard_normal((n, geo.OH, geo.OW, o), np.float32)


def doubled(x):
    return x.transpose(0, 3, 1, 2).astype(np.float64)


@st.composite
def cases(draw):
    h, w = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    pads = [draw(st.integers(0, 3)) for _ in range(4)]
    pads[1] = max(pads[1], 3 - h - pads[0])  # at least one output
    pads[3] = max(pads[3], 3 - w - pads[2])
    padding = ((pads[0], pads[1]), (pads[2], pads[3]))
    n, c, o = draw(st.integers(1, 9)), draw(st.integers(1, 5)), draw(st.integers(1, 5))
    return case(np.random.default_rng(draw(st.integers(0, 99))), n, c, o, h, w, padding), padding


@given(cases(), st.booleans())
def test_forward(drawn, with_bias):
    (x, w, geo, _), padding = drawn
    bias = np.arange(geo.O, dtype=np.float32) if with_bias else None
    out = np.full((geo.N, geo.OH, geo.OW, geo.O), np.nan, np.float32)
    winograd.forward(x, w, out, bias, geo)
    expected = conv2d_reference(doubled(x), w.astype(np.float64), SETTINGS[0], padding, (1, 1), 1)
    if with_bias:
        expected += np.arange(geo.O)[:, None, None]
    np.testing.assert_allclose(out.transpose(0, 3, 1, 2), expected, rtol=0, atol=5e-5)


@given(cases(), st.sampled_from([(True, True, True), (True, False, False), (False, True, False)]))
def test_backward(drawn, wanted):
    (x, w, geo, g), padding = drawn
    gx = np.full_like(x, np.nan) if wanted[0] else None
    gw = np.full((geo.O, 3, 3, geo.C), np.nan, np.float32) if wanted[1] else None
    gbias = np.full(geo.O, np.nan, np.float32) if wanted[2] else None
    winograd.backward(g, x if wanted[1] else None, w, gx, gw, gbias, geo)
    # The direct way in float64, which its own tests compare with the loops.
    expected = conv.conv2d_backward(
        doubled(g), doubled(x), w.astype(np.float64), (1, 1), padding, needs=(True, True, True)
    )
    last = (lambda a: a.transpose(0, 3, 1, 2)), (lambda a: a.transpose(0, 3, 1, 2)), np.asarray
    for got, want, turn in zip((gx, gw, gbias), expected, last):
        if got is not None:
            scale = max(np.abs(want).max(), 1.0)
            np.testing.assert_allclose(turn(got), want, rtol=0, atol=5e-5 * scale)


LARGE = (40, 64, 64, 16, 15, ((1, 1), (1, 1)))


def test_conv2d_takes_this_way_and_stays_accurate(monkeypatch):
    x, w, geo, g = case(np.random.default_rng(0), *LARGE)
    ways = []
    for name in ("forward", "backward"):
        original = getattr(winograd, name)

        def note(*arguments, name=name, original=original):
            ways.append(name)
            original(*arguments)

        monkeypatch.setattr(winograd, name, note)
    first, last = x.transpose(0, 3, 1, 2), g.transpose(0, 3, 1, 2)
    y = conv.conv2d(first, w, padding=(1, 1))
    gradients = conv.conv2d_backward(last, first, w, padding=(1, 1))
    assert ways == ["forward", "backward"]
    double = (doubled(x), w.astype(np.float64))
    expected = conv.conv2d(*double, padding=(1, 1))
    assert ways == ["forward", "backward"]  # float64 goes the direct way
    # Outputs are of size 1. Rounding of float32, 6e-8, is magnified; measured: 4e-5 at most.
    assert np.abs(y - expected).max() < 1e-4
    assert np.sqrt(np.mean((y - expected) ** 2)) < 1e-5
    for got, want in zip(gradients, conv.conv2d_backward(doubled(g), *double, padding=(1, 1))):
        assert np.abs(got - want).max() < 2e-5 * np.abs(want).max()


def test_the_bits_do_not_depend_on_the_threads():
    x, w, geo, g = case(np.random.default_rng(1), *LARGE)
    first, last = x.transpose(0, 3, 1, 2), g.transpose(0, 3, 1, 2)
    before = num_threads()
    results = []
    try:
        for n in (1, 3):
            set_num_threads(n)
            y = conv.conv2d(first, w, padding=(1, 1))
            results.append((y, *conv.conv2d_backward(last, first, w, padding=(1, 1))))
    finally:
        set_num_threads(before)
    assert all(np.array_equal(a, b) for a, b in zip(*results))


def test_when_it_is_taken():
    def pays(n=64, c=64, h=32, o=64, kernel=3, stride=1, dilation=1, padding=1, dtype=np.float32):
        pair = (stride, stride), (padding, padding), (dilation, dilation)
        geo = conv._geometry((n, c, h, h), (o, c, kernel, kernel), *pair, 1)
        return winograd.pays(geo, np.dtype(dtype))

    assert pays()
    assert not pays(dtype=np.float64)
    assert not pays(kernel=5)
    assert not pays(stride=2)
    assert not pays(dilation=2)
    assert not pays(c=16)
    assert not pays(o=16)
    assert not pays(n=1)  # few tiles
    assert not pays(h=5, padding=0)  # three quarters of each tile are empty


def test_transforms_compute_the_convolution_exactly():
    r"""In one dimension, with fractions: Aᵀ[(G w) ⊙ (Bᵀ x)] is the convolution, term by term."""
    rng = np.random.default_rng(0)
    x, w = rng.integers(-9, 9, 6).astype(float), 24.0 * rng.integers(-9, 9, 3)
    y = winograd._AT @ ((winograd._G @ w) * (winograd._BT @ x))
    expected = [sum(w[j] * x[i + j] for j in range(3)) for i in range(4)]
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n", [0, 1])
def test_no_images(n):
    x = np.zeros((n, 64, 20, 20), np.float32)
    assert conv.conv2d(x, np.zeros((64, 64, 3, 3), np.float32)).shape == (n, 64, 18, 18)
