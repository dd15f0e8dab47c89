r"""Convolution kernels: against the formula, as each other's adjoints, for any layout and cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backend import to_numpy
from minigrad.kernels import conv_blocks, conv_phases, parallel
from minigrad.kernels.conv import (
    _geometry,
    conv2d,
    conv2d_backward,
    conv2d_input_grad,
    conv2d_weight_grad,
)
from minigrad.testing import strategies as mst
from minigrad.testing.strict import strict
from tests.kernels.reference import conv2d_reference, convolutions


def close(a, b, factor=1.0):
    assert a.shape == b.shape
    np.testing.assert_allclose(a, b, rtol=1e-11 * factor, atol=1e-11 * factor)


@pytest.fixture(params=["whole", "rows", "images"])
def cut(request, monkeypatch):
    r"""Blocks as they come, of a row or two, and of a few images; shared among three threads."""
    if request.param != "whole":
        monkeypatch.setattr(conv_blocks, "_BLOCK_BYTES", 200 if request.param == "rows" else 9000)
        monkeypatch.setattr(conv_blocks, "_BLOCK_MIN_ROWS", 1)
        monkeypatch.setattr(conv_blocks, "_SERIAL_WORK", 0)
    before = parallel.num_threads()
    parallel.set_num_threads(3)
    yield
    parallel.set_num_threads(before)


def test_forward_is_the_formula(cut):
    @given(convolutions(), mst.generators(), mst.layouts(), mst.layouts(), st.booleans())
    def check(case, rng, layout_x, layout_w, with_bias):
        x, w = rng.standard_normal(case.x), rng.standard_normal(case.w)
        bias = rng.standard_normal(case.w[0]) if with_bias else None
        y = conv2d(layout_x(x), layout_w(w), *case.settings, bias=bias)
        expected = conv2d_reference(x, w, *case.settings)
        close(y, expected if bias is None else expected + bias[:, None, None])

    check()


def test_gradients_are_the_adjoints(cut):
    r"""<x * w, g> = <x, input gradient> = <w, weight gradient>, whatever the layouts."""

    @given(convolutions(), mst.generators(), mst.layouts(), mst.layouts(), mst.layouts())
    def check(case, rng, layout_x, layout_w, layout_g):
        x, w, g = (rng.standard_normal(s) for s in (case.x, case.w, case.y))
        inner = np.vdot(conv2d_reference(x, w, *case.settings), g)
        x, w, g = layout_x(x), layout_w(w), layout_g(g)
        gx = conv2d_input_grad(g, w, case.x, *case.settings)
        gw = conv2d_weight_grad(g, x, case.w, *case.settings)
        assert gx.shape == case.x
        assert gw.shape == case.w
        size = 1 + np.abs(g).sum()
        np.testing.assert_allclose(np.vdot(x, gx), inner, rtol=0, atol=1e-10 * size)
        np.testing.assert_allclose(np.vdot(w, gw), inner, rtol=0, atol=1e-10 * size)

    check()


@pytest.mark.parametrize("channels", [1, 20])
@pytest.mark.parametrize("stride", [(2, 2), (1, 2), (3, 2), (2, 1), (3, 3)])
@pytest.mark.parametrize("kernel", [(3, 3), (4, 4), (5, 5), (7, 6)])
def test_both_ways_of_a_strided_gradient(cut, kernel, stride, channels):
    r"""Phase by phase (``conv_phases``) and by adding columns up, which are tried where they are
    not the faster way too."""
    rng, found = np.random.default_rng(0), 0
    for size in [(7, 9), (8, 6)]:
        for padding in [(0, 0), (1, 2), ((0, 2), (2, 1))]:
            x_shape, w_shape = (3, channels, *size), (3, channels, *kernel)
            if min(n + 2 - k for n, k in zip(size, kernel)) < 1:
                continue
            geo = _geometry(x_shape, w_shape, stride, padding, (1, 1), 1)
            if not conv_phases.suits(geo):
                continue
            g = rng.standard_normal((3, geo.OH, geo.OW, 3))
            w, bias = rng.standard_normal((geo.K, 3)), rng.standard_normal(channels)
            by_phase, added = (np.full((3, *size, channels), np.nan) for _ in range(2))
            conv_phases.input_grad(g, w, by_phase, bias, geo)
            conv_blocks.scatter(g, w, added, bias, geo)
            close(by_phase, added)
            found += 1
    assert found > 0 or kernel == (3, 3) and 3 in stride


def test_gradients_entry_by_entry(cut):
    r"""One output at a time: its gradient is the part of the input that it reads."""

    @given(convolutions(max_batch=1), mst.generators(), st.integers(0))
    def check(case, rng, k):
        x, w, g = rng.standard_normal(case.x), rng.standard_normal(case.w), np.zeros(case.y)
        if not g.size:
            return
        g.reshape(-1)[k % g.size] = 1
        gx = conv2d_input_grad(g, w, case.x, *case.settings)
        gw = conv2d_weight_grad(g, x, case.w, *case.settings)
        dx, dw = rng.standard_normal(case.x), rng.standard_normal(case.w)
        at = k % g.size
        of_x = conv2d_reference(dx, w, *case.settings).reshape(-1)[at]
        of_w = conv2d_reference(x, dw, *case.settings).reshape(-1)[at]
        np.testing.assert_allclose(np.vdot(dx, gx), of_x, atol=1e-11)
        np.testing.assert_allclose(np.vdot(dw, gw), of_w, atol=1e-11)

    check()


def test_backward_shares_work_not_results(cut):
    @given(convolutions(), mst.generators(), mst.layouts(), st.tuples(*[st.booleans()] * 3))
    def check(case, rng, layout, needs):
        x, w, g = (layout(rng.standard_normal(s)) for s in (case.x, case.w, case.y))
        before = x.copy(), w.copy(), g.copy()
        bias = rng.standard_normal(case.x[1])
        got = conv2d_backward(g, x, w, *case.settings, needs=needs)
        transposed = conv2d_input_grad(g, w, case.x, *case.settings, bias=bias)
        expected = (
            transposed - bias[:, None, None],
            conv2d_weight_grad(g, x, case.w, *case.settings),
            g.sum(axis=(0, 2, 3)),
        )
        for wanted, a, b in zip(needs, got, expected, strict=True):
            if wanted:
                close(a, b, factor=10)
            else:
                assert a is None
        for array, copy in zip((x, w, g), before, strict=True):
            np.testing.assert_array_equal(array, copy)

    check()


@given(convolutions(), mst.generators())
def test_other_array_modules(case, rng):
    r"""The path of a GPU, on the strict module: the same results, and no waiting for the device."""
    x, w, g = (rng.standard_normal(s) for s in (case.x, case.w, case.y))
    bias = rng.standard_normal(case.w[0])
    to = strict.asarray
    with strict.count() as counts:
        y = conv2d(to(x), to(w), *case.settings, bias=to(bias))
        grads = conv2d_backward(to(g), to(x), to(w), *case.settings)
        gx = conv2d_input_grad(
            to(g), to(w), case.x, *case.settings, bias=to(x[0, :, 0, 0]) if len(x) else None
        )
    assert counts.synchronisations == 0
    close(to_numpy(y), conv2d(x, w, *case.settings, bias=bias), 10)
    for a, b in zip(grads, conv2d_backward(g, x, w, *case.settings), strict=True):
        close(to_numpy(a), b, 10)
    shift = x[0, :, 0, 0][:, None, None] if len(x) else 0
    close(to_numpy(gx), to_numpy(grads[0]) + shift, 10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_and_channels_last_stay(dtype):
    x = np.ones((2, 3, 6, 5), dtype)
    w = np.ones((4, 3, 3, 2), dtype)
    y = conv2d(x, w, padding=(1, 1))
    gx, gw, gb = conv2d_backward(y, x, w, padding=(1, 1))
    for result in (y, gx, gw, gb):
        assert result.dtype == dtype
    assert y.transpose(0, 2, 3, 1).flags.c_contiguous
    assert gx.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "stride", "padding"),
    [
        ((40, 16, 12, 12), (32, 16, 3, 3), 1, 1),
        ((40, 16, 12, 12), (32, 16, 3, 3), 1, 0),
        ((40, 1, 28, 28), (32, 1, 3, 3), 1, 0),
        ((40, 16, 12, 12), (32, 16, 4, 4), 2, 1),
        ((1, 16, 70, 70), (32, 16, 3, 3), 1, 1),
    ],
)
def test_any_number_of_threads_gives_the_same_bits(x_shape, w_shape, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.standard_normal(x_shape).astype(np.float32)
    w = rng.standard_normal(w_shape).astype(np.float32)
    s, p = (stride, stride), (padding, padding)
    g = rng.standard_normal(conv2d(x, w, s, p).shape).astype(np.float32)
    before = parallel.num_threads()
    found = []
    try:
        for n in (1, 2, 4, 4):
            parallel.set_num_threads(n)
            found.append((conv2d(x, w, s, p), *conv2d_backward(g, x, w, s, p)))
    finally:
        parallel.set_num_threads(before)
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_large_float32_sums_keep_their_digits():
    r"""Sums over 86,528 positions: partial sums by block, so the error stays at a few ulp."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((128, 1, 28, 28)).astype(np.float32)
    g = (1 + rng.standard_normal((128, 8, 26, 26))).astype(np.float32)
    _, gw, gb = conv2d_backward(g, x, np.ones((8, 1, 3, 3), np.float32))
    exact = conv2d_weight_grad(g.astype(float), x.astype(float), (8, 1, 3, 3))
    np.testing.assert_allclose(gb, g.sum(axis=(0, 2, 3), dtype=float), rtol=3e-6)
    np.testing.assert_allclose(gw, exact, atol=3e-3)
