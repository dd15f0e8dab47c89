r"""MNIST, which ships with minigrad in full, and Fashion-MNIST, which has the same form.

Belongs here: reading idx files, checking that they are the published ones, and the two datasets.
Does not belong here: samples and batches of images in memory (``images.py``, ``loader.py``), and
changes to them (``transforms.py``).

The files are checked against their sha256 before anything is read from them, so a dataset is the
published one or an error, never something in between.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .images import ImageDataset

__all__ = ["MNIST", "FashionMNIST", "read_idx"]

# The third byte of an idx file says what its (big-endian) numbers are.
_IDX_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(source: str | os.PathLike[str] | bytes) -> np.ndarray:
    r"""The array in an idx file (the format of MNIST), given as a path or as its bytes.

    A gzip-compressed file is unpacked. The format is: two zero bytes, a byte for the type, a byte
    for the number of axes, each length as a big-endian 32-bit integer, then the numbers.
    The array is read-only where it shares memory with the bytes.

    Raises ``ValueError`` unless the file is exactly that: a wrong magic number, a truncated file
    and trailing bytes are all refused.

    >>> read_idx(bytes([0, 0, 0x08, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([7, 8, 9], dtype=uint8)
    """
    if isinstance(source, bytes):
        return _parse_idx(source, "bytes")
    path = Path(source)
    return _parse_idx(_unpack(path.read_bytes(), path), str(path))


def _unpack(content: bytes, path: Path) -> bytes:
    if content[:2] != b"\x1f\x8b":  # not gzip
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"read_idx: {path} is a damaged gzip file: {error}") from None


def _parse_idx(content: bytes, name: str) -> np.ndarray:
    if len(content) < 4:
        raise ValueError(f"read_idx: {name}: expected at least 4 bytes, got {len(content)}")
    zeros, code, ndim = struct.unpack_from(">HBB", content)
    if zeros != 0 or code not in _IDX_DTYPES or ndim == 0:
        raise ValueError(
            f"read_idx: {name}: expected a magic number 0000TTNN with type TT in "
            f"{{{', '.join(f'{c:02x}' for c in _IDX_DTYPES)}}} and NN >= 1 axes, "
            f"got {content[:4].hex()}"
        )
    header = 4 + 4 * ndim
    if len(content) < header:
        raise ValueError(
            f"read_idx: {name}: expected a header of {header} bytes for {ndim} axes, "
            f"got {len(content)} bytes"
        )
    shape = struct.unpack_from(f">{ndim}I", content, 4)
    dtype = np.dtype(_IDX_DTYPES[code])
    size = 1
    for length in shape:  # Python integers: a hostile header cannot overflow
        size *= length
    expected = header + size * dtype.itemsize
    if len(content) != expected:
        raise ValueError(
            f"read_idx: {name}: expected {expected} bytes for shape {shape} of "
            f"{dtype.newbyteorder('=')}, got {len(content)}"
        )
    array = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


class MNIST(ImageDataset):
    r"""The MNIST database of handwritten digits [1]: 60,000 training and 10,000 test images.

    A sample is ``(image, label)``: the image a float32 array ``(1, 28, 28)`` with values in [0, 1],
    the label an integer from 0 to 9.

    Args:
        root: folder with the four official ``.gz`` files, or with a folder ``mnist`` of them.
            Without it the environment variable ``MINIGRAD_DATA`` is tried, then the copy inside
            the package is used. ``repr()`` says which one it was.
        train: the training images if true, the test images if not.
        transform: what to make of an image, given as a uint8 array ``(1, 28, 28)``; by default
            :class:`~minigrad.data.transforms.ToTensor`, which scales it to [0, 1]. The transforms
            of :mod:`minigrad.data.transforms` work on whole batches, any other function is called
            image by image.
        target_transform: what to make of a label, called label by label.

    Raises:
        FileNotFoundError: a file is missing; the message says where it was looked for.
        ValueError: a file is not the published one.

    For everything at once, ``images`` ``(N, 28, 28)`` uint8 and ``labels`` ``(N,)`` int64 are the
    raw arrays and :meth:`arrays` the scaled ones.

    >>> test = MNIST(train=False)
    >>> image, label = test[0]
    >>> image.shape, image.dtype, label
    ((1, 28, 28), dtype('float32'), 7)
    >>> x, y = test.arrays(flatten=True)
    >>> x.shape, y.shape
    ((10000, 784), (10000,))

    [1] LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition,
    Proceedings of the IEEE 86(11), 1998.
    """

    #: folder of the files under the root
    folder: ClassVar[str] = "mnist"
    #: whether the package holds the files
    ships: ClassVar[bool] = True
    #: sha256 of the published files
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
        ),
        "train-labels-idx1-ubyte.gz": (
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
        ),
    }
    #: what each label stands for
    classes: ClassVar[tuple[str, ...]] = tuple("0123456789")

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[int], Any] | None = None,
    ) -> None:
        super().__init__(transform, target_transform)
        self.train = train
        self.path, self.source = self._find(root)
        part = "train" if train else "t10k"
        images = self._read(f"{part}-images-idx3-ubyte.gz")
        labels = self._read(f"{part}-labels-idx1-ubyte.gz")
        #: ``(N, 28, 28)`` uint8, read-only
        self.images: np.ndarray = images
        #: ``(N,)`` int64
        self.labels: np.ndarray = labels.astype(np.int64)

    def _find(self, root: str | os.PathLike[str] | None) -> tuple[Path, str]:
        """The folder to read from, and in words where it came from."""
        name = type(self).__name__
        if root is not None:
            base = Path(root).expanduser()
            for path in (base / self.folder, base):
                if path.is_dir() and any((path / file).exists() for file in self.checksums):
                    return path, "root"
            raise FileNotFoundError(
                f"{name}: expected {' '.join(self.checksums)} in {base} or {base / self.folder}, "
                "found none of them"
            )
        base_name = os.environ.get("MINIGRAD_DATA")
        if base_name and (Path(base_name).expanduser() / self.folder).is_dir():
            return Path(base_name).expanduser() / self.folder, "MINIGRAD_DATA"
        if self.ships:
            return Path(__file__).parent / "files" / self.folder, "package"
        raise FileNotFoundError(
            f"{name}: the files do not ship with minigrad. Put {' '.join(self.checksums)} into a "
            f"folder {self.folder!r}, and name the folder above it in root= or in the environment "
            f"variable MINIGRAD_DATA (now {base_name or 'not set'})"
        )

    def _read(self, file: str) -> np.ndarray:
        path = self.path / file
        if not path.is_file():
            raise FileNotFoundError(f"{type(self).__name__}: expected the file {path}, found none")
        content = path.read_bytes()
        got = hashlib.sha256(content).hexdigest()
        expected = self.checksums[file]
        if got != expected:
            raise ValueError(
                f"{type(self).__name__}: {path} is damaged or not the published file: "
                f"expected sha256 {expected}, got {got} ({len(content)} bytes)"
            )
        return _parse_idx(_unpack(content, path), str(path))

    def __repr__(self) -> str:
        part = "train" if self.train else "test"
        return f"{type(self).__name__}({part}, {len(self)} images, from {self.source}: {self.path})"


class FashionMNIST(MNIST):
    r"""Fashion-MNIST [1]: ten kinds of clothing in the form of :class:`MNIST`.

    The files (30 MB) do not ship with minigrad: put them into a folder ``fashion_mnist`` and name
    the folder above it in ``root`` or in the environment variable ``MINIGRAD_DATA``.

    [1] Xiao, Rasul, Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking machine
    learning algorithms, arXiv:1708.07747, 2017.
    """

    folder = "fashion_mnist"
    ships = False
    checksums: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        "train-labels-idx1-ubyte.gz": (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    }
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
