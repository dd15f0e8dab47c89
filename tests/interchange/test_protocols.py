"""Tensors among NumPy's arrays, and memory shared through DLPack."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import ops
from minigrad.protocols import _UFUNCS
from minigrad.testing.strict import strict

A = np.array([[1.5, -2.0, 0.5], [3.0, 1.0, -0.25]])
B = np.array([[0.5, 2.0, -1.5], [1.0, 1.0, 4.0]])
OPERATORS = [
    "add", "sub", "mul", "truediv", "floordiv", "mod", "eq", "ne", "lt", "le", "gt", "ge",
]  # fmt: skip


def tensor(array, **options) -> mg.Tensor:
    return mg.tensor(np.array(array), **options)


# ----------------------------------------------------------------------------------- operators
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_with_arrays_on_either_side(name):
    op = getattr(operator, name)
    for left, right in ((A, tensor(B)), (tensor(A), B), (tensor(A), tensor(B))):
        result = op(left, right)
        assert type(result) is mg.Tensor
        np.testing.assert_array_equal(result.numpy(), op(A, B))


def test_matmul_and_power_with_arrays():
    for left, right in ((A, tensor(B.T)), (tensor(A), B.T)):
        assert type(left @ right) is mg.Tensor
        np.testing.assert_allclose((left @ right).numpy(), A @ B.T)
    np.testing.assert_allclose((abs(A) ** tensor(B)).numpy(), abs(A) ** B)
    np.testing.assert_allclose((tensor(abs(A)) ** B).numpy(), abs(A) ** B)


@pytest.mark.parametrize(
    "number",
    [2, 2.5, np.float32(2.5), np.float64(2.5), np.int64(2), np.array(2.5), np.array(2), True],
)
def test_numbers_of_numpy_keep_the_dtype(number):
    for dtype in (np.float32, np.float64):
        t = tensor(A, dtype=dtype)
        for result in (number * t, t * number, number + t, np.multiply(number, t)):
            assert type(result) is mg.Tensor and result.dtype == dtype and result.shape == A.shape
        np.testing.assert_allclose((number * t).numpy(), A.astype(dtype) * float(number))


def test_floating_arrays_of_another_dtype_are_refused():
    for make in (lambda a, t: a * t, lambda a, t: t * a, np.multiply):
        with pytest.raises(TypeError, match="mul: expected one floating dtype"):
            make(A, tensor(A, dtype=np.float32))


def test_gradients_flow_through_a_mixture():
    t = tensor(A, requires_grad=True)
    result = np.exp(A * t) + np.add(B, t) @ B.T @ np.ones((2, 3))
    assert result.requires_grad
    result.sum().backward()
    expected = A * np.exp(A * A) + np.ones((2, 3)) @ (B.T @ np.ones((2, 3))).T
    np.testing.assert_allclose(t.grad.numpy(), expected)


# ------------------------------------------------------------------------------------- functions
@pytest.mark.parametrize("name", _UFUNCS)
def test_functions_of_numpy_are_the_ops(name):
    function = getattr(np, name)
    arrays = [abs(A) / 10, abs(B) / 10][: function.nin]
    if name.startswith(("bitwise", "logical")):
        arrays = [a > 0.12 for a in arrays]
    if name == "matmul":
        arrays[1] = arrays[1].T
    expected = function(*arrays)
    for k in range(function.nin):
        mixed = [tensor(a) if j == k else a for j, a in enumerate(arrays)]
        result = function(*mixed)
        assert type(result) is mg.Tensor and result.dtype == expected.dtype
        np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)
    op = getattr(ops, _UFUNCS[name])(*[tensor(a) for a in arrays])
    np.testing.assert_array_equal(op.numpy(), function(*[tensor(a) for a in arrays]).numpy())


@pytest.mark.parametrize(
    "call",
    [
        lambda t: np.hypot(t, t),
        lambda t: np.add.reduce(t),
        lambda t: np.multiply.outer(A, t),
        lambda t: np.add(A, t, where=A > 0),
        lambda t: np.add(A, A, out=t),
    ],
)
def test_what_has_no_op_is_an_error(call):
    t = tensor(A)
    with pytest.raises(TypeError, match="NotImplemented from __array_ufunc__"):
        call(t)
    np.testing.assert_array_equal(t.numpy(), A)


def test_arrays_change_in_place_and_stay_arrays():
    array = A.copy()
    same = array
    array += tensor(B)
    array *= tensor(2.0)
    assert array is same and type(array) is np.ndarray
    np.testing.assert_array_equal(array, (A + B) * 2)
    with pytest.raises(RuntimeError, match="requires gradients; call detach"):
        array += tensor(B, requires_grad=True)
    np.testing.assert_array_equal(array, (A + B) * 2)


def test_tensors_change_in_place_by_arrays():
    t = tensor(A)
    same = t
    t += B
    t -= 1
    t *= np.float32(2)
    assert t is same
    np.testing.assert_array_equal(t.numpy(), (A + B - 1) * 2)


# ---------------------------------------------------------------------------------- conversions
def test_asarray():
    t = tensor(A)
    assert np.asarray(t) is t.data and np.shares_memory(np.asarray(t), t.data)
    assert not np.shares_memory(np.array(t), t.data)
    assert np.asarray(t, dtype=np.float32).dtype == np.float32
    assert np.asarray(t, dtype=np.float64) is t.data
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(t, dtype=np.float32, copy=False)
    assert np.asarray(t, copy=False) is t.data


def test_asarray_of_what_it_must_not_lose():
    t = tensor(A, requires_grad=True)
    for convert in (np.asarray, np.array, lambda x: np.concatenate([x, x])):
        with pytest.raises(RuntimeError, match="requires gradients; call detach"):
            convert(t)
    assert np.asarray(t.detach()) is t.data
    device = mg.Tensor(strict.asarray(A))
    with pytest.raises(RuntimeError, match=r"on strict; call cpu"):
        np.asarray(device)


def test_arrays_of_tensors_and_tensors_of_arrays():
    t = tensor(A)
    np.testing.assert_array_equal(np.stack([t, t]), np.stack([A, A]))
    np.testing.assert_array_equal(np.where(A > 0, t, B), np.where(A > 0, A, B))
    assert mg.from_numpy(A).data is A
    np.testing.assert_array_equal(A[mg.tensor([1, 0])], A[[1, 0]])


# ---------------------------------------------------------------------------------------- DLPack
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int64", "uint8", "bool"])
@given(data=st.data())
def test_dlpack_shares_memory_of_every_layout(dtype, data):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    array = array.transpose(data.draw(st.permutations(range(3))))
    array = array[:: data.draw(st.sampled_from([1, -1])), 1:]
    for back in (np.from_dlpack(mg.Tensor(array)), mg.from_dlpack(array).data):
        assert back.dtype == array.dtype and back.strides == array.strides
        assert np.shares_memory(back, array)
        np.testing.assert_array_equal(back, array)


def test_dlpack_of_numbers_and_nothing():
    for array in (np.array(2.5), np.zeros((0, 3))):
        assert np.from_dlpack(mg.Tensor(array)).shape == array.shape
        assert mg.from_dlpack(array).shape == array.shape


def test_dlpack_says_where_it_is():
    assert mg.ones(2).__dlpack_device__() == (1, 0)
    device = mg.Tensor(strict.asarray(A))
    with pytest.raises(BufferError, match="dlpack: "):
        device.__dlpack_device__()
    with pytest.raises(BufferError, match="dlpack: "):
        device.__dlpack__()


def test_dlpack_refuses_what_it_would_lose():
    with pytest.raises(BufferError, match="requires gradients; call detach"):
        np.from_dlpack(tensor(A, requires_grad=True))
    with pytest.raises(TypeError, match="expected an object with __dlpack__, got list"):
        mg.from_dlpack([1.0])
    with pytest.raises(BufferError, match="from_dlpack: "):
        mg.from_dlpack(A.astype(">f8"))

    class Elsewhere:
        def __dlpack_device__(self):
            return (8, 0)

        def __dlpack__(self):
            raise AssertionError

    with pytest.raises(BufferError, match="got device 8"):
        mg.from_dlpack(Elsewhere())


def test_read_only_memory_stays_so():
    array = A.copy()
    array.flags.writeable = False
    t = mg.from_dlpack(array)
    with pytest.raises(ValueError, match=r"add_|read-only"):
        t.add_(1)
    np.testing.assert_array_equal(array, A)
    assert (t + 1).numpy().flags.writeable


def test_dlpack_of_a_tensor_is_its_detached_self():
    t = tensor(A, requires_grad=True)
    assert mg.from_dlpack(t).data is t.data and not mg.from_dlpack(t).requires_grad


def test_the_class_answers_numpy_and_the_tensor_answers_cupy():
    # CuPy leaves an operator to the other side if `other.__array_ufunc__` is None.
    assert callable(mg.Tensor.__array_ufunc__) and mg.ones(2).__array_ufunc__ is None
