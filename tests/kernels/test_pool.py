r"""Pooling kernels: against loops over every window, as adjoints, for any layout."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backend import to_numpy
from minigrad.kernels import parallel, pool
from minigrad.kernels.windows import Windows
from minigrad.testing import strategies as mst
from minigrad.testing.strict import strict


@pytest.fixture(params=["whole", "shared"], autouse=True)
def _cut(request, monkeypatch):
    if request.param == "shared":
        monkeypatch.setattr(pool, "_SERIAL_SIZE", 0)
        monkeypatch.setattr(pool, "_BLOCK_BYTES", 100)
    before = parallel.num_threads()
    parallel.set_num_threads(3)
    yield
    parallel.set_num_threads(before)


@st.composite
def cases(draw, dilated=True):
    r"""Windows and the batch and channels they slide over: overlapping, touching, with gaps, over
    the border on either side, but none of them wholly outside."""
    axes = []
    for _ in range(2):
        k, s = draw(st.integers(1, 4)), draw(st.integers(1, 4))
        d = draw(st.integers(1, 2)) if dilated else 1
        p = draw(st.integers(0, (d * (k - 1) + 1) // 2))
        n = draw(st.integers(max(1, d * (k - 1) + 1 - p), 9))
        most = (n - 1 + p) // s  # the last window that begins inside
        while most * s - p < 0 and not any(0 <= most * s - p + d * i < n for i in range(k)):
            most -= 1
        firsts = range(most + 1)
        if any(not any(0 <= u * s - p + d * i < n for i in range(k)) for u in firsts):
            p = 0
            most = (n - 1) // s
        axes.append((n, draw(st.integers(1, most + 1)), k, s, p, d))
    windows = Windows(*zip(*axes, strict=True))
    return windows, (draw(st.integers(0, 4)), draw(st.sampled_from((1, 2, 5))), *windows.size)


def entries(windows, u, v):
    r"""The positions of window (u, v) that are inside the input, row by row."""
    found = []
    for i in range(windows.kernel[0]):
        for j in range(windows.kernel[1]):
            y = u * windows.stride[0] - windows.padding[0] + i * windows.dilation[0]
            x = v * windows.stride[1] - windows.padding[1] + j * windows.dilation[1]
            if 0 <= y < windows.size[0] and 0 <= x < windows.size[1]:
                found.append((y, x))
    return found


def max_reference(x, windows):
    y = np.zeros((*x.shape[:2], *windows.out_size), x.dtype)
    indices = np.zeros(y.shape, np.int64)
    for n, c, u, v in np.ndindex(y.shape):
        best = None
        for at in entries(windows, u, v):
            if best is None or x[n, c, *at] > x[n, c, *best]:
                best = at
        y[n, c, u, v] = x[n, c, *best]
        indices[n, c, u, v] = best[0] * windows.size[1] + best[1]
    return y, indices


@given(cases(), mst.generators(), mst.layouts(), st.sampled_from(("float64", "float32", "int64")))
def test_max_is_the_first_largest(case, rng, layout, dtype):
    windows, shape = case
    x = layout(rng.integers(-2, 3, shape).astype(dtype))  # with many equals
    y, choice = pool.max_pool2d(x, windows)
    expected, indices = max_reference(x, windows)
    assert y.dtype == x.dtype
    np.testing.assert_array_equal(y, expected)
    found = pool.choice_indices(choice, windows)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, indices)
    alone, nothing = pool.max_pool2d(x, windows, want_choice=False)
    assert nothing is None
    np.testing.assert_array_equal(alone, expected)


@given(cases(), mst.generators(), mst.layouts(), mst.layouts())
def test_choice_is_gathered_and_scattered(case, rng, layout, layout_g):
    windows, shape = case
    x = layout(rng.standard_normal(shape))
    y, choice = pool.max_pool2d(x, windows)
    indices = pool.choice_indices(choice, windows)
    other = layout(rng.standard_normal(shape))
    picked = pool.gather_choice(other, choice, windows)
    flat = other.reshape(*shape[:2], shape[2] * shape[3])
    where = indices.reshape(*shape[:2], windows.out_size[0] * windows.out_size[1])
    expected = np.take_along_axis(flat, where, 2).reshape(y.shape)
    np.testing.assert_array_equal(picked, expected)
    g = layout_g(rng.standard_normal(y.shape))
    gx = pool.scatter_choice(g, choice, windows)
    wanted = np.zeros((*shape[:2], shape[2] * shape[3]))
    for n, c, u, v in np.ndindex(y.shape):
        wanted[n, c, indices[n, c, u, v]] += g[n, c, u, v]
    np.testing.assert_allclose(gx, wanted.reshape(shape), rtol=1e-12, atol=1e-12)


@given(cases(), mst.generators())
def test_everything_minus_infinity_and_nan(case, rng):
    r"""Padding is never chosen, not even against -inf; a NaN is the largest value."""
    windows, shape = case
    x = np.where(rng.random(shape) < 0.8, -np.inf, np.nan)
    y, choice = pool.max_pool2d(x, windows)
    indices = pool.choice_indices(choice, windows)
    for n, c, u, v in np.ndindex(y.shape):
        inside = entries(windows, u, v)
        assert divmod(int(indices[n, c, u, v]), shape[3]) in inside
        values = [x[n, c, *at] for at in inside]
        assert np.isnan(y[n, c, u, v]) == np.isnan(values).any()


def test_windows_of_more_than_256_places():
    x = np.zeros((2, 3, 20, 20))
    x[0, 1, 19, 18] = x[1, 2, 0, 3] = 1
    windows = Windows((20, 20), (1, 1), (20, 20), (1, 1), (0, 0), (1, 1))
    y, choice = pool.max_pool2d(x, windows)
    assert y.sum() == 2
    assert pool.choice_indices(choice, windows).ravel().tolist() == [0, 19 * 20 + 18, 0, 0, 0, 3]
    assert pool.scatter_choice(y, choice, windows).tolist() == x.tolist()


@given(cases(dilated=False), mst.generators(), mst.layouts(), st.booleans())
def test_mean_and_its_adjoint(case, rng, layout, count_padding):
    windows, shape = case
    x = layout(rng.standard_normal(shape))
    divisor = pool.divisors(windows, count_padding, windows.padding)
    y = pool.avg_pool2d(x, windows, divisor)
    share = np.zeros((*windows.out_size, *windows.size))  # the linear map, entry by entry
    for u, v in np.ndindex(windows.out_size):
        inside = entries(windows, u, v)
        n = len(inside)
        if count_padding:
            n = 1
            for a, at in enumerate((u, v)):
                start = at * windows.stride[a] - windows.padding[a]
                n *= min(start + windows.kernel[a], windows.size[a] + windows.padding[a]) - start
        for at in inside:
            share[u, v, *at] = 1 / n
    np.testing.assert_allclose(y, np.einsum("uvyx,ncyx->ncuv", share, x), atol=1e-13)
    g = layout(rng.standard_normal(y.shape))
    gx = pool.avg_pool2d_adjoint(g, windows, divisor)
    np.testing.assert_allclose(gx, np.einsum("uvyx,ncuv->ncyx", share, g), atol=1e-13)


@given(cases(dilated=False), mst.generators())
def test_other_array_modules(case, rng):
    windows, shape = case
    x, to = rng.standard_normal(shape), strict.asarray
    y, choice = pool.max_pool2d(x, windows)
    g = rng.standard_normal(y.shape)
    divisor = pool.divisors(windows, False, windows.padding)
    with strict.count() as counts:
        there, chosen = pool.max_pool2d(to(x), windows)
        results = [
            there,
            pool.choice_indices(chosen, windows),
            pool.scatter_choice(to(g), chosen, windows),
            pool.gather_choice(to(x), chosen, windows),
            pool.avg_pool2d(to(x), windows, divisor),
            pool.avg_pool2d_adjoint(to(g), windows, divisor),
        ]
    assert counts.synchronisations == 0
    expected = [
        y,
        pool.choice_indices(choice, windows),
        pool.scatter_choice(g, choice, windows),
        pool.gather_choice(x, choice, windows),
        pool.avg_pool2d(x, windows, divisor),
        pool.avg_pool2d_adjoint(g, windows, divisor),
    ]
    for a, b in zip(results, expected, strict=True):
        np.testing.assert_allclose(to_numpy(a), b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("last", [True, False])
def test_memory_order_stays(last):
    x = np.ones((2, 3, 4, 6), np.float32)
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    windows = Windows((4, 6), (2, 3), (2, 2), (2, 2), (0, 0), (1, 1))
    y, choice = pool.max_pool2d(x, windows)
    results = (
        y,
        pool.scatter_choice(y, choice, windows),
        pool.avg_pool2d(x, windows, 4),
        pool.avg_pool2d_adjoint(y, windows, 4),
    )
    for result in results:
        assert result.dtype == np.float32
        assert (result.transpose(0, 2, 3, 1) if last else result).flags.c_contiguous
