"""Makes files in PyTorch's formats without PyTorch: pickles instruction by instruction, and zips.

``Program`` writes the pickle; what it writes is whatever a test wants, however wicked.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

STORAGES = {
    "float64": "DoubleStorage", "float32": "FloatStorage", "float16": "HalfStorage",
    "int64": "LongStorage", "int32": "IntStorage", "int16": "ShortStorage", "int8": "CharStorage",
    "uint8": "ByteStorage", "bool": "BoolStorage", "bfloat16": "BFloat16Storage",
}  # fmt: skip


class Program:
    """A pickle in the making. Every method adds instructions and returns the program."""

    def __init__(self, protocol: int = 2) -> None:
        self.code = bytearray([0x80, protocol])

    def raw(self, code: bytes) -> Program:
        self.code += code
        return self

    def value(self, value: Any) -> Program:
        """A constant; lists, tuples and dictionaries of them too."""
        if isinstance(value, Program):
            return self.raw(bytes(value.code[2:]))
        if value is None or isinstance(value, bool):
            return self.raw({None: b"N", True: b"\x88", False: b"\x89"}[value])
        if isinstance(value, int):
            size = max(1, (value.bit_length() + 8) // 8)
            return self.raw(b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True))
        if isinstance(value, float):
            return self.raw(b"G" + struct.pack(">d", value))
        if isinstance(value, str):
            text = value.encode()
            return self.raw(b"X" + struct.pack("<I", len(text)) + text)
        if isinstance(value, tuple):
            self.raw(b"(")
            for v in value:
                self.value(v)
            return self.raw(b"t")
        if isinstance(value, list):
            self.raw(b"](")
            for v in value:
                self.value(v)
            return self.raw(b"e")
        if isinstance(value, dict):
            self.raw(b"}(")
            for k, v in value.items():
                self.value(k).value(v)
            return self.raw(b"u")
        raise TypeError(type(value))

    def name(self, module: str, name: str) -> Program:
        return self.raw(b"c" + module.encode() + b"\n" + name.encode() + b"\n")

    def call(self, module: str, name: str, *arguments: Any) -> Program:
        return self.name(module, name).value(tuple(arguments)).raw(b"R")

    def end(self) -> bytes:
        return bytes(self.code) + b"."


def storage(key: str, dtype: str, numel: Any, module: str = "torch") -> Program:
    kind = Program().name(module, STORAGES.get(dtype, dtype))
    return Program().value(("storage", kind, key, "cpu", numel)).raw(b"Q")


def tensor(key: str, dtype: str, numel: Any, offset: Any, shape: Any, strides: Any) -> Program:
    no_hooks = Program().call("collections", "OrderedDict")
    return Program().call(
        "torch._utils", "_rebuild_tensor_v2",
        storage(key, dtype, numel), offset, shape, strides, False, no_hooks,
    )  # fmt: skip


def write_zip(
    path: Path,
    pickled: bytes,
    storages: dict[str, bytes] | None = None,
    compression: int = zipfile.ZIP_STORED,
    byteorder: str | None = "little",
    folder: str = "archive",
) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{folder}/data.pkl", pickled)
        if byteorder is not None:
            archive.writestr(f"{folder}/byteorder", byteorder)
        for key, content in (storages or {}).items():
            archive.writestr(f"{folder}/data/{key}", content)
        archive.writestr(f"{folder}/version", "3\n")
    return path


def write_legacy(path: Path, pickled: bytes, storages: dict[str, tuple[int, bytes]]) -> Path:
    file = io.BytesIO()
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    for value in (0x1950A86A20F9469CFC6C, 1001, system):
        file.write(pickle.dumps(value, protocol=2))
    file.write(pickled)
    file.write(pickle.dumps(list(storages), protocol=2))
    for numel, content in storages.values():
        file.write(struct.pack("<q", numel) + content)
    path.write_bytes(file.getvalue())
    return path


def state_of(arrays: dict[str, np.ndarray]) -> tuple[bytes, dict[str, bytes]]:
    """The pickle of a state dictionary as PyTorch writes it, and its storages. An array that is a
    view keeps its strides and its offset into its base."""
    program = Program().call("collections", "OrderedDict").raw(b"(")
    storages: dict[str, bytes] = {}
    for k, (name, array) in enumerate(arrays.items()):
        base = array if array.base is None else array.base
        assert isinstance(base, np.ndarray)
        offset = (
            array.__array_interface__["data"][0] - base.__array_interface__["data"][0]
        ) // array.itemsize
        strides = tuple(s // array.itemsize for s in array.strides)
        storages[str(k)] = base.tobytes()
        program.value(name).value(
            tensor(str(k), array.dtype.name, base.size, offset, array.shape, strides)
        )
    program.raw(b"u").value({"_metadata": {"": {"version": 1}}}).raw(b"b")
    return program.end(), storages
