r"""The tests that follow from the op table: a row is tried on every backend, and its gradients
against finite differences, at first and second order.

Belongs here: what must hold for *every* op. What is special to one op is in its own file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.backend import device_of, get_array_module, to_device, to_numpy
from minigrad.testing import gradcheck
from tests.ops.row import Case, Draw, Row
from tests.ops.table import ROWS

DIFFERENTIABLE = [row for row in ROWS if row.order > 0]
by_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
by_differentiable_row = pytest.mark.parametrize(
    "row", DIFFERENTIABLE, ids=[row.name for row in DIFFERENTIABLE]
)


def try_examples(test: Callable[[Draw], None], share: float = 1.0, *, shrink: bool = True) -> None:
    r"""Run ``test`` on a share of the profile's number of examples."""
    n = max(2, round(settings.default.max_examples * share))
    phases = settings.default.phases if shrink else [Phase.generate]
    settings(max_examples=n, phases=phases)(given(st.data())(lambda data: test(Draw(data))))()


def placed(
    d: Draw, case: Case, device: str, dtype: Any, *, differentiable: bool
) -> tuple[list[Any], list[Any]]:
    r"""The case's arrays as tensors on ``device`` in drawn memory layouts, and host copies."""
    tensors, copies = [], []
    for array in case.arrays:
        if array is None:
            tensors.append(None)
            copies.append(None)
            continue
        array = np.asarray(array)
        if array.dtype.kind == "f":
            array = array.astype(dtype)
        laid = to_device(d.choices.layout()(array), device)
        wanted = differentiable and array.dtype.kind == "f"
        tensors.append(mg.Tensor(laid, requires_grad=wanted))
        copies.append(array.copy())
    return tensors, copies


def is_float(array: np.ndarray | None) -> bool:
    return array is not None and array.dtype.kind == "f"


def as_tuple(result: Any) -> tuple[Any, ...]:
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def assert_close(actual: np.ndarray, expected: np.ndarray, rtol: float, what: str) -> None:
    r"""The error is at most ``rtol`` of the largest finite value (at least of 1)."""
    assert actual.shape == expected.shape, f"{what}: {actual.shape} instead of {expected.shape}"
    assert actual.dtype.kind == expected.dtype.kind, f"{what}: {actual.dtype}, {expected.dtype}"
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected, err_msg=what)
        return
    if np.isinf(rtol):
        return
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=1.0)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=rtol * scale, err_msg=what)


@by_row
def test_forward(row: Row, device: str) -> None:
    r"""The value is the reference's, in the input's dtype, on its device; inputs stay as they were;
    raw arrays give what tensors give."""

    def test(d: Draw) -> None:
        case = row.draw(d)
        for dtype, rtol in ((np.float64, 1e-11), (np.float32, row.rtol)):
            tensors, copies = placed(d, case, device, dtype, differentiable=row.order > 0)
            exact = [c.astype(np.float64) if is_float(c) else c for c in copies]
            expected = as_tuple(row.reference(*exact, **case.params))
            results = as_tuple(row.fn(*tensors, **case.params))
            arrays = [None if t is None else t.data for t in tensors]
            raw_results = as_tuple(row.fn(*arrays, **case.params))
            assert len(results) == len(expected) == len(raw_results)
            for result, raw, value in zip(results, raw_results, expected):
                assert isinstance(result, mg.Tensor)
                assert result.device == device
                if result.dtype.kind == "f":
                    assert result.dtype == dtype
                    assert result.requires_grad == (row.order > 0)
                assert_close(to_numpy(result.data), np.asarray(value), rtol, "value")
                assert not isinstance(raw, mg.Tensor)
                assert get_array_module(raw) is get_array_module(result.data)
                # Not to the bit: NumPy's scalars and arrays take powers in different ways.
                ulps = 4 * np.finfo(dtype).eps
                assert_close(np.asarray(to_numpy(raw)), to_numpy(result.data), ulps, "raw value")
                check_version(result, tensors)
            for t, copy in zip(tensors, copies):
                if t is not None:
                    np.testing.assert_array_equal(to_numpy(t.data), copy, err_msg="input changed")

    try_examples(test, 1.0 if device == "cpu" else 0.4)


def check_version(result: mg.Tensor, inputs: list[Any]) -> None:
    r"""A result in an input's memory shares its version, so that in-place changes are noticed."""
    for x in inputs:
        if x is None or not x.data.size or not result.data.size:
            continue
        if get_array_module(x.data).may_share_memory(x.data, result.data):
            assert result._version is x._version, "a view with a version of its own"


@by_differentiable_row
def test_mixed_dtypes(row: Row) -> None:
    r"""No silent promotion: float64 among float32 is an error that names both; an integer tensor
    among float32 leaves float32."""

    def test(d: Draw) -> None:
        case = row.draw(d)
        places = [i for i, a in enumerate(case.arrays) if a is not None and a.dtype.kind == "f"]
        if len(places) < 2 or not all(case.arrays[i].ndim for i in places):
            return
        tensors, _ = placed(d, case, "cpu", np.float32, differentiable=False)
        odd = d.of(*places)
        whole = list(tensors)
        tensors[odd] = tensors[odd].to(mg.float64)
        with pytest.raises(TypeError, match="float32.*float64"):
            row.fn(*tensors, **case.params)
        if row.name == "cross_entropy-soft":
            return  # integers would be classes there
        whole[odd] = whole[odd].to(mg.int64)
        with np.errstate(all="ignore"):
            results = as_tuple(row.fn(*whole, **case.params))
        assert {y.dtype for y in results if y.dtype.kind == "f"} <= {np.dtype(np.float32)}

    try_examples(test, 0.5)


@by_differentiable_row
def test_gradient(row: Row, device: str) -> None:
    r"""First and second order against differences in float64, with random cotangents, each
    argument alone and all together; plain and differentiable rules agree."""

    def test(d: Draw) -> None:
        case = row.draw(d)
        tensors, _ = placed(d, case, device, np.float64, differentiable=True)
        gradcheck(lambda *x: row.fn(*x, **case.params), tensors, order=row.order, seed=d.int(0, 99))

    try_examples(test, 0.34 if device == "cpu" else 0.1)


@by_differentiable_row
def test_float32_gradient(row: Row, device: str) -> None:
    r"""float32 in, float32 gradients out, close to those in float64, on the input's device."""

    def test(d: Draw) -> None:
        case = row.draw(d)
        found = []
        u = None
        for dtype in (np.float64, np.float32):
            tensors, _ = placed(d, case, device, dtype, differentiable=True)
            leaves = [t for t in tensors if t is not None and t.requires_grad]
            outputs = [y for y in as_tuple(row.fn(*tensors, **case.params)) if y.requires_grad]
            if not outputs:
                return
            if u is None:
                u = [d.floats(y.shape) for y in outputs]
            seeds = [mg.Tensor(to_device(v.astype(dtype), device)) for v in u]
            gradients = mg.autograd.grad(outputs, leaves, seeds, allow_unused=True)
            for leaf, g in zip(leaves, gradients):
                if g is not None:
                    assert g.dtype == dtype
                    assert g.device == device == device_of(leaf.data)
            found.append([None if g is None else to_numpy(g.data) for g in gradients])
        if np.isinf(row.rtol):
            return  # other random numbers in float32
        for exact, rounded in zip(*found):
            assert (exact is None) == (rounded is None)
            if exact is not None:
                assert_close(rounded.astype(np.float64), exact, 50 * row.rtol, "gradient")

    try_examples(test, 0.34 if device == "cpu" else 0.1)
