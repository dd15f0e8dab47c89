r"""scatter_add against np.add.at, its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backend import to_numpy
from minigrad.kernels.scatter import scatter_add
from minigrad.testing import strategies as mst
from minigrad.testing.strict import strict


@st.composite
def cases(draw):
    r"""(array, index, values): rows, entries, masks, slices mixed with index arrays."""
    rng = draw(mst.generators())
    shape = tuple(draw(st.lists(st.integers(1, 5), min_size=1, max_size=3)))
    kind = draw(st.sampled_from(("integers", "mask", "mixed")))
    if kind == "mask":
        index = rng.random(shape[: draw(st.integers(1, len(shape)))]) < 0.5
    else:
        n = draw(st.integers(1, len(shape)))
        many = draw(st.sampled_from(((), (4,), (0,), (2, 3))))
        ints = np.dtype(draw(st.sampled_from(("int64", "int32", "uint8"))))
        index = tuple(
            np.asarray(rng.integers(-k if ints.kind == "i" else 0, k, many)).astype(ints)
            for k in shape[:n]
        )
        if kind == "mixed" and n < len(shape):
            index = (*index[:-1], slice(None), index[-1] % shape[n])
        elif n == 1 and draw(st.booleans()):
            index = index[0]
    out = rng.standard_normal(shape)
    values = rng.standard_normal(np.shape(out[index]))
    if values.ndim and draw(st.booleans()):
        values = values[:1]  # broadcasts
    dtype = draw(mst.float_dtypes())
    return draw(mst.layouts())(out.astype(dtype)), index, values.astype(dtype)


@given(cases())
def test_is_add_at(case):
    out, index, values = case
    expected, before = out.copy(), values.copy()
    np.add.at(expected, index, values)
    scatter_add(out, index, values)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(values, before)


@given(cases())
def test_other_array_modules(case):
    out, index, values = case
    to = strict.asarray
    there = to(np.ascontiguousarray(out))
    parts = index if isinstance(index, tuple) else (index,)
    moved = tuple(to(p) if isinstance(p, np.ndarray) else p for p in parts)
    scatter_add(there, moved, to(values))
    np.add.at(out, index, values)
    np.testing.assert_allclose(to_numpy(there), out, rtol=1e-6, atol=1e-6)


def test_a_number():
    out = np.zeros((3, 2))
    scatter_add(out, np.array([2, 2]), 1.5)
    assert out.tolist() == [[0, 0], [0, 0], [3, 3]]


def test_values_of_another_dtype():
    out = np.zeros(3)
    scatter_add(out, np.array([0, 0]), np.ones(2, np.float32))
    assert out.tolist() == [2, 0, 0]


@pytest.mark.parametrize(
    "index", [np.array([3]), np.array([0, -4]), (np.array([0]), np.array([2]))]
)
def test_out_of_range(index):
    out = np.zeros((3, 2))
    with pytest.raises(IndexError, match="scatter_add: index -?[0-9] is out of range for axis"):
        scatter_add(out, index, 1.0)
    assert not out.any()
