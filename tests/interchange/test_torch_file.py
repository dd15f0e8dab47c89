"""PyTorch's files, made by hand: what they hold, and what in them is refused."""

from __future__ import annotations

import struct
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad as mg
from minigrad import nn
from minigrad.interchange import CheckpointError
from tests.interchange.torch_files import (
    Program,
    state_of,
    storage,
    tensor,
    write_legacy,
    write_zip,
)

DTYPES = ["float64", "float32", "float16", "int64", "int32", "int16", "int8", "uint8", "bool"]


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    base = rng.normal(size=(4, 6)).astype(np.float32)
    result = {dtype: (rng.normal(size=(2, 3)) * 50).astype(dtype) for dtype in DTYPES}
    return {
        **result,
        "scalar": np.array(3.5, np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "transposed": base.T,
        "part": base[1:3, 2:5],
        "every other": base[::2, ::3],
        "column": base[:, 4],
    }


@pytest.mark.parametrize("legacy", [False, True])
def test_arrays_of_every_dtype_and_layout(legacy, tmp_path):
    expected = arrays()
    pickled, storages = state_of(expected)
    path = tmp_path / "weights.pth"
    if legacy:
        sizes = {}
        for key, array in zip(storages, expected.values()):
            base = array if array.base is None else array.base
            sizes[key] = (base.size, storages[key])
        write_legacy(path, pickled, sizes)
    else:
        write_zip(path, pickled, storages)
    loaded = mg.load(path)
    assert list(loaded) == list(expected) and type(loaded) is dict
    for name, array in expected.items():
        assert loaded[name].dtype == array.dtype and not loaded[name].requires_grad
        np.testing.assert_array_equal(loaded[name].numpy(), array)
        loaded[name].numpy()[...] = 1  # the tensors are the caller's own
    assert {n: v.item() for n, v in mg.load(path).items() if n == "scalar"} == {"scalar": 3.5}


def test_into_a_module(tmp_path):
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    state = {n: np.asarray(v.numpy() + 1) for n, v in net.state_dict().items()}
    pickled, storages = state_of(state)
    net.load_state_dict(mg.load(write_zip(tmp_path / "net.pt", pickled, storages)))
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name])


def test_bfloat16_becomes_float32_and_stays_shared(tmp_path):
    values = np.array([1.0, -2.5, np.inf, 3e38, 1e-40, 0.0], np.float32)
    bits = (values.view(np.uint32) >> 16).astype("<u2")
    program = Program().value(
        [tensor("0", "bfloat16", 6, 0, (6,), (1,)), tensor("0", "bfloat16", 6, 2, (2, 2), (2, 1))]
    )
    path = write_zip(tmp_path / "b.pt", program.end(), {"0": bits.tobytes()})
    whole, part = mg.load(path)
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    assert whole.dtype == np.float32
    np.testing.assert_array_equal(whole.numpy(), exact)
    np.testing.assert_array_equal(part.numpy(), exact[2:].reshape(2, 2))
    part.numpy()[0, 0] = 7
    assert whole.numpy()[2] == 7


def test_tied_weights_stay_tied(tmp_path):
    shared = tensor("0", "float32", 4, 0, (2, 2), (2, 1))
    program = Program().value({"a": shared.raw(b"q\x05"), "b": Program().raw(b"h\x05"),
                               "c": tensor("0", "float32", 4, 0, (4,), (1,))})  # fmt: skip
    path = write_zip(tmp_path / "tied.pt", program.end(), {"0": bytes(16)})
    loaded = mg.load(path)
    assert loaded["a"] is loaded["b"]
    assert np.shares_memory(loaded["a"].numpy(), loaded["c"].numpy())


def test_big_endian(tmp_path):
    values = np.array([1.5, -2.0, 3.25])
    program = tensor("0", "float64", 3, 1, (2,), (1,))
    path = write_zip(
        tmp_path / "b.pt", program.end(), {"0": values.astype(">f8").tobytes()}, byteorder="big"
    )
    np.testing.assert_array_equal(mg.load(path).numpy(), values[1:])
    assert mg.load(path).dtype.isnative


def test_without_a_byte_order(tmp_path):  # files of PyTorch 1.6 to 2.0
    pickled, storages = state_of({"w": np.arange(3.0)})
    path = write_zip(tmp_path / "b.pt", pickled, storages, byteorder=None)
    np.testing.assert_array_equal(mg.load(path)["w"].numpy(), [0, 1, 2])


def test_other_values(tmp_path):
    program = Program().value(
        {
            "epoch": 3,
            "best": 0.25,
            "size": Program().call("torch", "Size", [2, 3]),
            "device": Program().call("torch", "device", "cuda", 1),
            "dtype": Program().name("torch", "float16"),
            "bytes": Program().call("_codecs", "encode", "a\xff", "latin1"),
            "param": Program().call(
                "torch._utils", "_rebuild_parameter",
                tensor("0", "float32", 2, 0, (2,), (1,)), True,
                Program().call("collections", "OrderedDict"),
            ),
            "expanded": tensor("0", "float32", 2, 1, (3, 2), (0, 0)),
        }
    )  # fmt: skip
    content = np.array([1, 2], "<f4").tobytes()
    loaded = mg.load(write_zip(tmp_path / "v.pt", program.end(), {"0": content}))
    param, expanded = loaded.pop("param"), loaded.pop("expanded")
    assert loaded == {
        "epoch": 3, "best": 0.25, "size": (2, 3), "device": "cuda:1",
        "dtype": np.dtype("float16"), "bytes": b"a\xff",
    }  # fmt: skip
    assert param.tolist() == [1, 2] and not param.requires_grad
    expanded.numpy()[0, 0] = 9  # its elements do not share memory
    assert expanded.tolist() == [[9, 2], [2, 2], [2, 2]]


def test_untyped_storages(tmp_path):
    untyped = Program().name("torch.storage", "UntypedStorage")
    identity = Program().value(("storage", untyped, "0", "cpu", 6)).raw(b"Q")
    program = Program().call(
        "torch._utils", "_rebuild_tensor_v3", identity, 1, (2,), (1,), False, None,
        Program().name("torch", "uint16"),
    )  # fmt: skip
    content = np.array([7, 8, 9], "<u2").tobytes()
    loaded = mg.load(write_zip(tmp_path / "u.pt", program.end(), {"0": content}))
    assert loaded.dtype == np.uint16 and loaded.tolist() == [8, 9]


# ----------------------------------------------------------------------------- what is refused
def refused(path: Path, match: str) -> None:
    with pytest.raises(CheckpointError, match=match) as caught:
        mg.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("numel", "offset", "shape", "strides", "match"),
    [
        (4, 0, (5,), (1,), "element 4 of a storage of 4"),
        (4, 1, (4,), (1,), "element 4 of a storage of 4"),
        (4, 0, (2, 2), (3, 1), "element 4 of a storage of 4"),
        (4, 5, (0,), (1,), "offset 5"),
        (4, 0, (2**40,), (0,), "would expand"),
        (4, 0, (2**62, 2), (0, 0), "shape"),
        (4, 0, (2**62, 0, 2**62), (1, 1, 1), "shape"),
        (4, 0, (2,), (2**62,), "reach"),
        (4, -1, (2,), (1,), "offset"),
        (4, 0, (-2,), (1,), "shape of at most"),
        (4, 0, (2,), (-1,), "strides of at most"),
        (4, 0, (2**70,), (1,), "shape of at most"),
        (4, 0, (2,), (1, 1), "one length"),
        (4, 0, (1,) * 33, (1,) * 33, "at most 32"),
        (4, 0, [2], (1,), "shape of at most"),
        (4, 0, (2.0,), (1,), "shape of at most"),
        (4, 0, (True,), (1,), "shape of at most"),
        (4, 0.0, (2,), (1,), "offset"),
        (4, 0, "ab", (1,), "shape of at most"),
        (5, 0, (2,), (1,), "expected 20 bytes"),
        (2**60, 0, (2,), (1,), "expected .* bytes"),
        (-1, 0, (0,), (1,), "id of a storage"),
        ("4", 0, (2,), (1,), "id of a storage"),
    ],
)
def test_tensors_outside_of_their_storage(numel, offset, shape, strides, match, tmp_path):
    program = tensor("0", "float32", numel, offset, shape, strides)
    refused(write_zip(tmp_path / "x.pt", program.end(), {"0": bytes(16)}), match)


def test_many_expanded_tensors_together(tmp_path):
    program = Program().value([tensor("0", "uint8", 1, 0, (1 << 26,), (0,)) for _ in range(5)])
    refused(write_zip(tmp_path / "x.pt", program.end(), {"0": b"x"}), "would expand")


def test_storages_that_are_not_there_or_not_one(tmp_path):
    path = tmp_path / "x.pt"
    one = tensor("0", "float32", 4, 0, (4,), (1,))
    refused(write_zip(path, one.end(), {"1": bytes(16)}), "archive/data/0, got nothing")
    refused(write_zip(path, one.end(), {"0": bytes(15)}), "got 15 bytes")
    two = Program().value([one, tensor("0", "int32", 4, 0, (4,), (1,))])
    refused(write_zip(path, two.end(), {"0": bytes(16)}), "two descriptions")
    outside = tensor("../../etc/passwd", "float32", 4, 0, (4,), (1,))
    refused(write_zip(path, outside.end(), {"0": bytes(16)}), "got nothing")
    for identity in [("module", 1, "x", "y", 2), "0", (), ("storage", "torch", "0", "cpu", 4)]:
        program = Program().value(identity).raw(b"Q")
        refused(write_zip(path, program.end(), {"0": bytes(16)}), "id of a storage")
    wrong = Program().call("torch._utils", "_rebuild_tensor_v2", "storage", 0, (1,), (1,))
    refused(write_zip(path, wrong.end()), "does not fit: expected a storage, got str")
    complex_ = storage("0", "ComplexFloatStorage", 2)
    refused(write_zip(path, complex_.end(), {"0": bytes(16)}), r"asks for torch\.ComplexFloat")


@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_is_run(legacy, tmp_path, monkeypatch):
    import os

    ran: list[object] = []
    monkeypatch.setattr(os, "system", ran.append)
    program = Program().value({"weight": Program().call("os", "system", "echo run")})
    path = tmp_path / "x.pth"
    if legacy:
        write_legacy(path, program.end(), {})
    else:
        write_zip(path, program.end())
    refused(path, r"asks for os\.system")
    assert ran == []


def test_whole_models_are_refused_with_a_hint(tmp_path):
    program = Program().call("torch.nn.modules.linear", "Linear", 3, 2)
    refused(write_zip(tmp_path / "model.pt", program.end()), r"Linear.*only its state_dict\(\)")


def test_compressed_and_encrypted_files_are_refused(tmp_path):
    pickled, _ = state_of({"w": np.zeros(1)})
    bomb = {"0": bytes(10_000_000)}
    path = write_zip(tmp_path / "bomb.pt", pickled, bomb, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    refused(path, "uncompressed members")
    path = write_zip(tmp_path / "secret.pt", pickled, {"0": bytes(8)})
    content = bytearray(path.read_bytes())
    for k in range(len(content) - 4):  # the flag in the central directory
        if content[k : k + 4] == b"PK\x01\x02":
            content[k + 8] |= 1
    path.write_bytes(content)
    refused(path, "encrypted")


def test_members_that_overlap(tmp_path):
    """One piece of the file under many names: a small file that claims to be large."""
    pickled, _ = state_of({})
    path = write_zip(tmp_path / "x.pt", pickled, {"0": bytes(100_000)})
    with zipfile.ZipFile(path, "a") as archive:
        info = next(i for i in archive.infolist() if i.filename == "archive/data/0")
        for k in range(1, 50):
            twin = zipfile.ZipInfo(f"archive/data/{k}")
            for name in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(twin, name, getattr(info, name))
            archive.filelist.append(twin)
        archive._didModify = True
    refused(path, "more than the file has")


def test_sizes_that_are_lies(tmp_path):
    pickled, storages = state_of({"w": np.arange(4.0)})
    path = write_zip(tmp_path / "x.pt", pickled, storages)
    content = path.read_bytes()
    size = struct.pack("<II", 32, 32)  # of the storage, compressed and not
    assert content.count(size) == 2
    path.write_bytes(content.replace(size, struct.pack("<II", 2**31, 2**31)))
    refused(path, "more than the file has")


def test_zip_files_of_others(tmp_path):
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    refused(path, "one data.pkl, got a zip file with readme.txt")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", "x")
        archive.writestr("b/data.pkl", "x")
    refused(path, "one data.pkl")
    with pytest.warns(UserWarning, match="Duplicate"):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a/data.pkl", "x")
            archive.writestr("a/data.pkl", "y")
    refused(path, "same name")
    refused(write_zip(path, Program().value(1).end(), byteorder="middle"), "byte order 'middle'")


def test_other_files(tmp_path):
    path = tmp_path / "x"
    for content in (b"", b"hello", b"\x80\x04\x95", b"\x89PNG\r\n", bytes(100)):
        path.write_bytes(content)
        refused(path, "expected a file of safetensors, PyTorch or NumPy")
    with pytest.raises(FileNotFoundError, match=r"load: .*nothing\.pth, found none"):
        mg.load(tmp_path / "nothing.pth")


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_cut_anywhere(legacy, tmp_path):
    pickled, storages = state_of({"w": np.arange(4.0), "b": np.ones(3, np.float32)})
    path = tmp_path / "x.pth"
    if legacy:
        write_legacy(path, pickled, {"0": (4, storages["0"]), "1": (3, storages["1"])})
    else:
        write_zip(path, pickled, storages)
    content = path.read_bytes()
    assert set(mg.load(path)) == {"w", "b"}
    for stop in range(len(content)):
        path.write_bytes(content[:stop])
        with pytest.raises(CheckpointError, match=r"load: "):
            mg.load(path)


@given(data=st.data(), legacy=st.booleans())
def test_a_file_with_flipped_bytes(data, legacy, tmp_path_factory):
    path = tmp_path_factory.mktemp("flipped") / "x.pth"
    pickled, storages = state_of({"w": np.arange(4.0)})
    if legacy:
        write_legacy(path, pickled, {"0": (4, storages["0"])})
    else:
        write_zip(path, pickled, storages)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        mg.load(path)
    except CheckpointError:
        pass


def test_legacy_files_that_disagree_with_themselves(tmp_path):
    pickled, storages = state_of({"w": np.arange(4.0)})
    path = tmp_path / "x.pth"
    refused(write_legacy(path, pickled, {"0": (5, storages["0"])}), "storage '0'")
    refused(write_legacy(path, pickled, {"0": (4, bytes(31))}), "32 bytes of storage '0'")
    refused(write_legacy(path, pickled, {"9": (4, storages["0"])}), "not those of its tensors")
    huge = tensor("0", "float64", 2**50, 0, (1,), (1,))
    refused(write_legacy(path, huge.end(), {"0": (2**50, bytes(8))}), "truncated")


def test_hostile_files_take_no_memory(tmp_path):
    """The largest memory of this process hardly moves while such files are refused."""
    if not sys.platform.startswith("linux"):
        pytest.skip("counts memory in Linux' units")
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    test_many_expanded_tensors_together(tmp_path)
    huge = tensor("0", "float64", 2**45, 0, (2**45,), (1,))
    refused(write_zip(tmp_path / "a.pt", huge.end(), {"0": bytes(8)}), "expected .* bytes")
    refused(write_legacy(tmp_path / "b.pt", huge.end(), {"0": (2**45, b"")}), "truncated")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


# ---------------------------------------------------------------------------------------- .npz
def test_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, a=np.arange(3), b=np.ones((2, 2), np.float32).T)
    loaded = mg.load(path)
    assert loaded["a"].dtype == np.int64 and loaded["b"].shape == (2, 2)
    np.savez(path, a=np.array([object()], object))
    refused(path, "cannot be read")
    np.savez(path, a=np.array(["text"]))
    refused(path, "expected arrays of numbers")
    path.write_bytes(path.read_bytes()[:-30])
    refused(path, "truncated or damaged")
