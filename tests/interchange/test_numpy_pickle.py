r"""Pickles of NumPy arrays: every array of numbers comes back, and nothing else is let in."""

from __future__ import annotations

import io
import os
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigrad.interchange.files import CheckpointError
from minigrad.interchange.numpy_pickle import read_numpy_pickle


def read(content: bytes) -> Any:
    return read_numpy_pickle(io.BytesIO(content))


numbers = hnp.arrays(
    st.sampled_from(["u1", "i8", ">i4", "<f4", ">f8", "f2", "?"]),
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=4),
)


@given(array=numbers, protocol=st.integers(2, 4), fortran=st.booleans())
def test_arrays_come_back(array, protocol, fortran):
    if fortran:
        array = np.asfortranarray(array)
    found = read(pickle.dumps({"data": array, "rest": [array, "text", 3]}, protocol))
    for value in (found["data"], found["rest"][0]):
        assert value.dtype == array.dtype
        np.testing.assert_array_equal(value, array)
    assert found["rest"][1:] == ["text", 3]
    np.testing.assert_array_equal(read(pickle.dumps(array, protocol)), array)


# What Python 2 wrote, instruction by instruction, as the batches of CIFAR-10 are: bytes are text.
PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04"
    b"K\x00\x85U\x01b\x87Rq\x05(K\x01K\x02K\x03\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07("
    b"K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x06\x00\x01\xfe\xff\x80\x7ftb"
    b"U\x06labelsq\x08]q\x09(K\x07K\x02eu."
)


def test_python_2():
    found = read(PYTHON_2)
    assert found["data"].tolist() == [[0, 1, 254], [255, 128, 127]]
    assert found["data"].dtype == np.uint8
    assert found["labels"] == [7, 2]


@pytest.mark.parametrize("cut", range(1, len(PYTHON_2)))
def test_truncated(cut):
    with pytest.raises(CheckpointError):
        read(PYTHON_2[:cut])


@given(position=st.integers(0, len(PYTHON_2) - 1), byte=st.integers(0, 255))
def test_damaged_is_an_error_or_plain_data(position, byte):
    content = bytearray(PYTHON_2)
    content[position] = byte
    try:
        found = read(bytes(content))
    except CheckpointError:
        return
    plain = (dict, list, tuple, np.ndarray, str, bytes, int, float, bool, type(None))
    assert isinstance(found, plain)


class Runs:
    def __reduce__(self) -> Any:
        return os.system, ("echo run",)


@pytest.mark.parametrize(
    "value",
    [
        Runs(),
        np.array([{}], dtype=object),
        np.zeros(2, "datetime64[s]"),
        np.zeros(2, [("a", "f4")]),
        np.zeros(2, "U3"),
        np.zeros(2, "c8"),
        (np.zeros(2),),
        np.float64(3.0),
    ],
    ids=["call", "object", "datetime64", "structure", "text", "complex", "tuple", "scalar"],
)
def test_everything_else_is_refused(value, monkeypatch):
    content = pickle.dumps(value, 2)
    monkeypatch.setattr(os, "system", lambda *_: pytest.fail("it was run"))
    with pytest.raises(CheckpointError):
        read(content)


def test_containers_that_hold_each_other():
    nested: list[Any] = [np.arange(2)]
    for _ in range(60):  # 2^60 paths
        nested = [nested, nested]
    nested.append(nested)
    found = read(pickle.dumps(nested, 2))
    assert found[2] is found
    while isinstance(found, list):
        found = found[0]
    assert found.tolist() == [0, 1]


def test_work_is_bounded_by_the_length():
    text = b"X\x10\x27\x00\x00" + b"a" * 10_000 + b"q\x00"  # 10,000 letters, then used again
    again = b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R0"
    with pytest.raises(CheckpointError, match="repeats itself"):
        read(b"\x80\x02" + text + again * 200 + b".")
