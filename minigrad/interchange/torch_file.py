r"""Files that PyTorch's ``torch.save`` wrote, read without PyTorch and without running anything.

Belongs here: the two formats, and what stands for PyTorch's names in their pickles.

- Since 1.6: an uncompressed zip file with the pickle ``<name>/data.pkl``, and for each storage (a
  piece of memory that tensors are views of) its raw bytes, ``<name>/data/<key>``.
- Before: five pickles in a row (a magic number, a version, facts about the system, the object, the
  keys of the storages), then each storage as its element count and its raw bytes.

A tensor is stored as storage, offset, shape and strides; each of them is checked against the size
of the storage before there is a view. Does not belong here: the pickle machine (``pickles.py``).
"""

from __future__ import annotations

import io
import math
import os
import struct
import sys
import zipfile
from typing import Any, NamedTuple

import numpy as np

from ..tensor import Tensor
from .files import CheckpointError
from .pickles import Call, read_pickle
from .safetensors_file import widen_bfloat16

__all__ = ["LEGACY_STARTS", "load_legacy", "load_zip"]

_BFLOAT16 = "bfloat16"  # stands for a dtype; tensors of it are widened to float32
# How a storage's class, or a tensor's dtype, is stored -> PyTorch's dtype name.
_STORAGES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_DTYPES = (*_STORAGES.values(), "uint16", "uint32", "uint64")
# An expanded tensor has more elements than it has memory. It is copied; all of them together may
# take so much.
_MOST_EXPANDED = 1 << 28  # bytes


class _Dtype:
    r"""How the elements of a storage are stored; stands for the storage's class in the pickle."""

    __slots__ = ("array", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.array = np.dtype(np.uint16 if name == _BFLOAT16 else name)  # how its bytes are read


_UNTYPED = _Dtype("uint8")  # UntypedStorage: bytes; the tensor knows the dtype


class _Storage:
    r"""A piece of memory that tensors view. Its bytes may come after the pickle."""

    __slots__ = ("data", "dtype", "key", "numel")

    def __init__(self, key: str, dtype: _Dtype, numel: int) -> None:
        self.key, self.dtype, self.numel = key, dtype, numel
        self.data: bytearray | None = None


class _View(NamedTuple):
    r"""A tensor that gets its memory when the storages have theirs."""

    tensor: Tensor
    storage: _Storage
    dtype: _Dtype
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    expanded: bool


class _Reader:
    r"""What a pickle's names and persistent ids stand for, and the tensors that it made."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.storages: dict[str, _Storage] = {}
        self.tensors: list[_View] = []
        self.expanded = 0  # bytes
        self.dtypes = {name: _Dtype(name) for name in _DTYPES}
        self.allowed: dict[str, Any] = {
            **{f"torch.{name}": self.dtypes[dtype] for name, dtype in _STORAGES.items()},
            # As values, dtypes are NumPy's, and the one that it lacks is its name.
            **{f"torch.{name}": np.dtype(name) for name in _DTYPES if name != _BFLOAT16},
            "torch.bfloat16": _BFLOAT16,
            "torch.storage.UntypedStorage": _UNTYPED,
            "torch.UntypedStorage": _UNTYPED,
            "collections.OrderedDict": Call("OrderedDict", _ordered_dict),
            "collections.Counter": Call("Counter", _counter),  # of a MultiStepLR
            "torch.Size": Call("Size", _size),
            "torch.device": Call("device", _device),
            "torch._utils._rebuild_tensor": Call("tensor", self.tensor),
            "torch._utils._rebuild_tensor_v2": Call("tensor", self.tensor),
            "torch._utils._rebuild_tensor_v3": Call("tensor", self.tensor_v3),
            "torch._utils._rebuild_parameter": Call("parameter", _parameter),
            "_codecs.encode": Call("bytes", _bytes),  # how protocol 2 writes bytes, and how it
            "__builtin__.bytes": Call("bytes", _no_bytes),  # writes none
        }

    # --------------------------------------------------------------------------- while reading
    def storage(self, identity: Any) -> _Storage:
        r"""The storage with a persistent id ('storage', class, key, location, element count)."""
        if not isinstance(identity, tuple) or len(identity) not in (5, 6):
            raise CheckpointError(f"load: {self.source}: expected the id of a storage")
        kind, dtype, key, _, numel = identity[:5]
        if (
            kind != "storage"
            or not isinstance(dtype, _Dtype)
            or not isinstance(key, str)
            or not _is_count(numel)
            or identity[5:] not in ((), (None,))  # a view of another storage, in very old files
        ):
            raise CheckpointError(f"load: {self.source}: expected the id of a storage")
        storage = self.storages.setdefault(key, _Storage(key, dtype, numel))
        if storage.dtype is not dtype or storage.numel != numel:
            raise CheckpointError(f"load: {self.source}: storage {key!r} has two descriptions")
        return storage

    def tensor(self, storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
        r"""A tensor; the arguments after the strides say whether it requires gradients."""
        if not isinstance(storage, _Storage):
            raise TypeError(f"expected a storage, got {type(storage).__name__}")
        return self._view(storage, storage.dtype, offset, shape, strides)

    def tensor_v3(
        self,
        storage: Any,
        offset: Any,
        shape: Any,
        strides: Any,
        requires_grad: Any,
        hooks: Any,
        dtype: Any,
        *_: Any,
    ) -> Tensor:
        r"""A tensor of a dtype that has no storage class of its own."""
        if not isinstance(storage, _Storage) or str(dtype) not in self.dtypes:
            raise TypeError("expected a storage and a dtype")
        return self._view(storage, self.dtypes[str(dtype)], offset, shape, strides)

    def _view(
        self, storage: _Storage, dtype: _Dtype, offset: Any, shape: Any, strides: Any
    ) -> Tensor:
        for name, value in (("shape", shape), ("strides", strides)):
            if not isinstance(value, tuple) or len(value) > 32 or not all(map(_is_count, value)):
                raise ValueError(f"expected {name} of at most 32 whole numbers >= 0")
        if not _is_count(offset) or len(shape) != len(strides):
            raise ValueError("expected an offset, and shape and strides of one length")
        size = dtype.array.itemsize
        count = storage.numel * storage.dtype.array.itemsize // size
        elements = math.prod(shape)
        last = offset + sum((n - 1) * stride for n, stride in zip(shape, strides))
        if offset > count or math.prod(max(n, 1) for n in shape) > sys.maxsize // 8:
            raise ValueError(f"shape {shape} and offset {offset}, of a storage of {count} elements")
        if elements and last >= count:
            raise ValueError(
                f"shape {shape}, strides {strides} and offset {offset} reach element {last} of a "
                f"storage of {count}"
            )
        expanded = elements > last - offset + 1
        if expanded:
            self.expanded += elements * size
            if self.expanded > _MOST_EXPANDED:
                raise ValueError(f"shape {shape} would expand {count} elements to {elements}")
        tensor = Tensor(np.empty(0, np.float32))
        self.tensors.append(_View(tensor, storage, dtype, offset, shape, strides, expanded))
        return tensor

    # ----------------------------------------------------------------------------- after reading
    def finish(self, byteorder: Any) -> None:
        r"""Give the tensors their memory, now that the storages have theirs, in byte order ``<`` or
        ``>``."""
        widened: dict[str, np.ndarray] = {}
        for tensor, storage, dtype, offset, shape, strides, expanded in self.tensors:
            assert storage.data is not None
            kind = dtype.array.newbyteorder(byteorder)
            key = f"{storage.key} {dtype.name}"
            flat = widened.get(key)
            if flat is None:
                whole = len(storage.data) // kind.itemsize
                flat = np.frombuffer(storage.data, kind, whole).astype(dtype.array, copy=False)
                if dtype.name == _BFLOAT16:
                    flat = widen_bfloat16(flat)
                widened[key] = flat
            array = np.lib.stride_tricks.as_strided(
                flat[offset : offset if 0 in shape else None],
                shape,
                [stride * flat.itemsize for stride in strides],
            )
            tensor.data = array.copy() if expanded else array


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= sys.maxsize


# ------------------------------------------------------------------------------ small stand-ins
def _ordered_dict(items: Any = ()) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for item in items:
        key, value = item
        if not isinstance(key, str | int):
            raise TypeError(f"expected strings as keys, got {type(key).__name__}")
        result[key] = value
    return result


def _counter(counts: Any) -> dict[Any, Any]:
    if not isinstance(counts, dict):
        raise TypeError("expected a dictionary")
    return dict(counts)


def _size(sizes: Any = ()) -> tuple[int, ...]:
    if not isinstance(sizes, tuple | list) or not all(_is_count(n) for n in sizes):
        raise TypeError("expected whole numbers")
    return tuple(sizes)


def _device(kind: Any, index: Any = None) -> str:
    if not isinstance(kind, str) or not (index is None or _is_count(index)):
        raise TypeError("expected a name and a number")
    return kind if index is None else f"{kind}:{index}"


def _parameter(data: Any, requires_grad: Any = None, hooks: Any = None) -> Tensor:
    if not isinstance(data, Tensor):
        raise TypeError(f"expected a tensor, got {type(data).__name__}")
    return data


def _bytes(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise TypeError("expected text in latin1")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


# ----------------------------------------------------------------------------------- zip format
def load_zip(path: str) -> Any:
    r"""The object in a file of today's format.

    The sizes that a zip file declares are not believed: members must be uncompressed, and all of
    them together no larger than the file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read_zip(archive, path)
    except (
        zipfile.BadZipFile, struct.error, NotImplementedError, EOFError, OSError, ValueError
    ) as error:  # fmt: skip
        raise CheckpointError(f"load: {path} is truncated or damaged: {error}") from None


def _read_zip(archive: zipfile.ZipFile, path: str) -> Any:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise CheckpointError(f"load: {path}: two members have the same name")
    pickles = [name for name in members if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise CheckpointError(
            f"load: {path}: expected a file of PyTorch's, with one data.pkl, got a zip file with "
            f"{', '.join(sorted(members)[:5]) or 'nothing'}"
        )
    for info in members.values():
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise CheckpointError(
                f"load: {path}: expected uncompressed members, as PyTorch writes them; "
                f"{info.filename} is compressed or encrypted"
            )
    declared = sum(max(info.file_size, info.compress_size) for info in members.values())
    if declared > os.path.getsize(path):
        raise CheckpointError(
            f"load: {path}: its members claim {declared} bytes, more than the file has"
        )
    folder = pickles[0].removesuffix("data.pkl")
    order = "little"
    if f"{folder}byteorder" in members:
        order = archive.read(f"{folder}byteorder").decode("ascii", "replace")
        if order not in ("little", "big"):
            raise CheckpointError(f"load: {path}: unknown byte order {order!r:.20}")
    reader = _Reader(path)
    result = read_pickle(io.BytesIO(archive.read(pickles[0])), reader.allowed, reader.storage, path)
    for key, storage in reader.storages.items():
        name = f"{folder}data/{key}"
        size = storage.numel * storage.dtype.array.itemsize
        if name not in members or members[name].file_size < size:
            got = f"{members[name].file_size} bytes" if name in members else "nothing"
            raise CheckpointError(f"load: {path}: expected {size} bytes in {name}, got {got}")
        storage.data = bytearray(archive.read(name)[:size])
    reader.finish("<" if order == "little" else ">")
    return result


# -------------------------------------------------------------------------------- legacy format
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
# The magic number as a pickle of protocol 2 begins with it (and that of 0 to 1, as text).
LEGACY_STARTS = (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",)


def load_legacy(path: str) -> Any:
    r"""The object in a file of the format before 1.6."""
    with open(path, "rb") as file:
        magic, version, system = (read_pickle(file, {}, None, path) for _ in range(3))
        if magic != _MAGIC or version != _PROTOCOL or not isinstance(system, dict):
            raise CheckpointError(
                f"load: {path}: expected version {_PROTOCOL}, got {version!r:.40}"
            )
        reader = _Reader(path)
        result = read_pickle(file, reader.allowed, reader.storage, path)
        keys = read_pickle(file, {}, None, path)
        if not isinstance(keys, list) or set(keys) != set(reader.storages):
            raise CheckpointError(f"load: {path}: its storages are not those of its tensors")
        order = "<" if system.get("little_endian", True) else ">"
        size = os.path.getsize(path)
        for key in keys:
            storage = reader.storages[key]
            header = file.read(8)
            wanted = storage.numel * storage.dtype.array.itemsize
            if (
                len(header) != 8
                or int(np.frombuffer(header, order + "i8")[0]) != storage.numel
                or wanted > size - file.tell()
            ):
                raise CheckpointError(
                    f"load: {path} is truncated or damaged: expected {wanted} bytes of storage "
                    f"{key!r:.40}"
                )
            storage.data = bytearray(file.read(wanted))
        reader.finish(order)
    return result
