"""safetensors: every layout and dtype comes back, files are whole or not there."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.interchange import CheckpointError
from minigrad.testing.strict import strict

safetensors_numpy = pytest.importorskip("safetensors.numpy")

BASE = np.arange(24.0).reshape(4, 6)
LAYOUTS = {
    "plain": BASE,
    "transposed": BASE.T,
    "negative strides": BASE[::-1, ::-2],
    "every other": BASE[::2, 1::2],
    "broadcast": np.broadcast_to(BASE[:, :1], (4, 5)),
    "channels last": np.moveaxis(np.arange(24.0).reshape(2, 3, 4), -1, 1),
    "number": np.array(2.5),
    "empty": np.zeros((0, 3)),
    "empty, transposed": np.zeros((3, 0)).T,
    "big-endian": BASE.astype(">f8"),
    "read-only": np.frombuffer(BASE.tobytes()),
}
DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_layout(dtype, tmp_path):
    path = tmp_path / "w.safetensors"
    arrays = {name: a.astype(dtype) if name == "plain" else a.astype(dtype, copy=False)
              for name, a in LAYOUTS.items()}  # fmt: skip
    if dtype == "float64":  # views stay views
        assert not arrays["transposed"].flags.c_contiguous
    arrays["transposed"] = arrays["transposed"].astype(dtype, order="F")
    mg.save_safetensors(arrays, path)
    for reader in (mg.load_safetensors, mg.load):
        for name, tensor in reader(path).items():
            assert tensor.dtype == np.dtype(dtype) and tensor.dtype.isnative
            assert tensor.shape == arrays[name].shape, name
            np.testing.assert_array_equal(tensor.numpy(), arrays[name], err_msg=name)
    # The library's own reader agrees.
    for name, array in safetensors_numpy.load_file(path).items():
        np.testing.assert_array_equal(array, arrays[name])


def test_modules_tensors_and_devices(tmp_path):
    path = tmp_path / "w.safetensors"
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    mg.save_safetensors(net, path, {"note": "hello"})
    other = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    other.load_state_dict(mg.load(path))
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(other.state_dict()[name].numpy(), value.numpy())
    device = mg.Tensor(strict.asarray(BASE)).T
    mg.save_safetensors({"a": device, "b": net[0].weight}, path)
    np.testing.assert_array_equal(mg.load(path)["a"].numpy(), BASE.T)
    assert not mg.load(path)["b"].requires_grad


def test_both_orders_of_the_arguments(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    mg.save_safetensors({"x": BASE}, a)
    mg.save_safetensors(str(b), {"x": BASE})
    assert a.read_bytes() == b.read_bytes()
    for wrong in [({"x": BASE}, 3), (BASE, a), (a, b)]:
        with pytest.raises(TypeError, match="save_safetensors: expected a module"):
            mg.save_safetensors(*wrong)


def raw_file(path, tensors: dict[str, tuple[str, list[int], bytes]], header=None) -> None:
    entries, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        entries[name] = {
            "dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)],
        }  # fmt: skip
        data += content
    text = json.dumps(entries if header is None else header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_bfloat16(tmp_path):
    path = tmp_path / "b.safetensors"
    values = np.array([[1.0, -2.5, np.inf], [1e-40, 3e38, 0.0]], np.float32)
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    half = np.array([0.5], np.float16)
    raw_file(path, {"x": ("BF16", [2, 3], bits.tobytes()), "y": ("F16", [1], half.tobytes())})
    loaded = mg.load(path)
    assert loaded["x"].dtype == np.float32 and loaded["y"].dtype == np.float16
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(loaded["x"].numpy(), exact)
    loaded["x"].numpy()[0, 0] = 1  # writable


def test_what_cannot_be_read(tmp_path):
    path = tmp_path / "x.safetensors"
    raw_file(path, {"x": ("F8_E4M3", [2], b"\0\0")})
    with pytest.raises(CheckpointError, match="'x' has dtype F8_E4M3"):
        mg.load(path)
    for header in (
        {"x": {"dtype": "F32", "shape": [4], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 2**40]}},
        {"x": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 4]}},
        {"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}},
        {"x": 3},
    ):
        raw_file(path, {"x": ("F32", [1], bytes(4))}, header)
        with pytest.raises(CheckpointError, match=r"load: .*x\.safetensors"):
            mg.load(path)
    mg.save_safetensors({"x": BASE}, path)
    content = path.read_bytes()
    for stop in range(1, len(content), 7):
        path.write_bytes(content[:stop])
        with pytest.raises(CheckpointError):
            mg.load(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.safetensors"
    mg.save_safetensors({"x": BASE}, path)
    before = path.read_bytes()
    for bad in ({"x": np.ones(2, complex)}, {"x": [1.0]}, {1: BASE}, {"x": np.array(["a"])}):
        with pytest.raises(TypeError, match="save: "):
            mg.save_safetensors(bad, path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
