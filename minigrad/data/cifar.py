r"""CIFAR-10, from the official archives or from one of JPEG files. None ships with minigrad.

Belongs here: finding an archive, checking that it is a published one, and reading it. Does not
belong here: samples and batches of images in memory (``images.py``), reading pickles
(``minigrad.interchange``).

The archive is checked against its sha256 before anything is read from it. The pickles of the
"python version" are read without unpickling them: nothing in the file is run.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .images import ImageDataset

__all__ = ["CIFAR10"]

_RECORD = 1 + 3 * 32 * 32  # of the binary version: a label, then the red, green and blue plane


class CIFAR10(ImageDataset):
    r"""CIFAR-10 [1]: 50,000 training and 10,000 test photographs of ten kinds of things.

    A sample is ``(image, label)``: the image a float32 array ``(3, 32, 32)``, red, green and blue
    in [0, 1], the label an integer from 0 to 9, ``classes[label]`` in words.

    The first of these archives that is found is read:

    - ``cifar-10-python.tar.gz`` and ``cifar-10-binary.tar.gz``, the official ones, of 170 MB, which
      the authors' page https://www.cs.toronto.edu/~kriz/cifar.html offers;
    - ``cifar10_jpg.tar.xz``, of 19 MB: the same images as JPEG files, hence with small errors, and
      ordered by class. It needs Pillow.

    Args:
        root: folder with an archive, or with a folder ``cifar10`` that has one. Without it the
            environment variable ``MINIGRAD_DATA`` names the folder. ``repr()`` says what was read.
        train: the training images if true, the test images if not.
        transform: what to make of an image, given as a uint8 array ``(3, 32, 32)``; by default
            :class:`~minigrad.data.transforms.ToTensor`, which scales it to [0, 1].
        target_transform: what to make of a label, called label by label.

    Raises:
        FileNotFoundError: no archive; the message says where one is to be had and where to put it.
        ValueError: an archive is not the published one.

    ``images`` ``(N, 3, 32, 32)`` uint8 and ``labels`` ``(N,)`` int64 are the raw arrays, and
    :meth:`arrays` gives them scaled.

    [1] Krizhevsky: Learning multiple layers of features from tiny images, technical report,
    University of Toronto, 2009.
    """

    #: folder of the archives under the root
    folder: ClassVar[str] = "cifar10"
    #: sha256 of the published archives, in the order in which they are looked for
    checksums: ClassVar[dict[str, str]] = {
        "cifar-10-python.tar.gz": (
            "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
        ),
        "cifar-10-binary.tar.gz": (
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
        ),
        "cifar10_jpg.tar.xz": "613bffa31430dd9578c0a742c42ae36f0f2ff20bf75d41bea3cde4dc33da81d5",
    }
    #: what each label stands for
    classes: ClassVar[tuple[str, ...]] = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    #: images of the training and of the test set
    sizes: ClassVar[tuple[int, int]] = (50_000, 10_000)

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
        with open(self.path, "rb") as file:
            got = hashlib.file_digest(file, "sha256").hexdigest()
            expected = self.checksums[self.path.name]
            if got != expected:
                raise ValueError(
                    f"CIFAR10: {self.path} is damaged or not the published file: "
                    f"expected sha256 {expected}, got {got} ({file.tell()} bytes)"
                )
            file.seek(0)
            kind = self.path.name.partition(".")[0]
            read = {
                "cifar-10-python": _read_python,
                "cifar-10-binary": _read_binary,
                "cifar10_jpg": _read_jpeg,
            }[kind]
            images, labels = read(file, train, self.classes)
        size = self.sizes[0] if train else self.sizes[1]
        if images.shape != (size, 3, 32, 32) or labels.shape != (size,):
            raise ValueError(
                f"CIFAR10: {self.path}: expected {size} images, got {images.shape} with labels "
                f"{labels.shape}"
            )
        images.flags.writeable = False
        #: ``(N, 3, 32, 32)`` uint8, read-only
        self.images: np.ndarray = images
        #: ``(N,)`` int64
        self.labels: np.ndarray = labels

    @classmethod
    def available(cls, root: str | os.PathLike[str] | None = None) -> bool:
        r"""True if an archive is where the constructor looks; it is not read."""
        try:
            cls._find(root)
        except FileNotFoundError:
            return False
        return True

    @classmethod
    def _find(cls, root: str | os.PathLike[str] | None) -> tuple[Path, str]:
        """The archive to read, and in words where it came from."""
        source = "root" if root is not None else "MINIGRAD_DATA"
        name = root if root is not None else os.environ.get("MINIGRAD_DATA")
        if name:
            base = Path(name).expanduser()
            for file in cls.checksums:
                for path in (base / cls.folder / file, base / file):
                    if path.is_file():
                        return path, source
        official = " or ".join(file for file in cls.checksums if file.startswith("cifar-10-"))
        raise FileNotFoundError(
            f"CIFAR10: the images do not ship with minigrad. Get {official} from "
            f"https://www.cs.toronto.edu/~kriz/cifar.html, put it into a folder "
            f"{cls.folder!r}, and name the folder above it in root= or in the environment variable "
            f"MINIGRAD_DATA (looked in {name or 'no folder, none is named'})"
        )

    def __repr__(self) -> str:
        part = "train" if self.train else "test"
        return f"CIFAR10({part}, {len(self)} images, from {self.source}: {self.path})"


_Arrays = tuple[np.ndarray, np.ndarray]


def _batches(train: bool) -> list[str]:
    return [f"data_batch_{i}" for i in range(1, 6)] if train else ["test_batch"]


def _members(file: Any, names: list[str]) -> list[bytes]:
    """The contents of the members of an archive that have these names, folders aside."""
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=file) as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            if member.isfile() and name in names:
                found[name] = archive.extractfile(member).read()  # type: ignore[union-attr]
                if len(found) == len(names):
                    break
    missing = [name for name in names if name not in found]
    if missing:
        raise ValueError(f"CIFAR10: expected {' '.join(missing)} in the archive, found none")
    return [found[name] for name in names]


def _read_binary(file: Any, train: bool, _: tuple[str, ...]) -> _Arrays:
    """A record an image: a byte for the label, then 3072 bytes of pixels."""
    contents = _members(file, [f"{name}.bin" for name in _batches(train)])
    records = np.frombuffer(b"".join(contents), np.uint8).reshape(-1, _RECORD)
    return records[:, 1:].reshape(-1, 3, 32, 32).copy(), records[:, 0].astype(np.int64)


def _read_python(file: Any, train: bool, _: tuple[str, ...]) -> _Arrays:
    """Dictionaries with ``data``, uint8 (n, 3072), and ``labels``, a list of n integers."""
    from ..interchange.files import CheckpointError
    from ..interchange.numpy_pickle import read_numpy_pickle

    images, labels = [], []
    for name, content in zip(_batches(train), _members(file, _batches(train)), strict=True):
        try:
            batch = read_numpy_pickle(io.BytesIO(content), name)
        except CheckpointError as error:
            raise ValueError(f"CIFAR10: {error}") from None
        images.append(batch["data"].reshape(-1, 3, 32, 32))
        labels.append(np.array(batch["labels"], np.int64))
    return np.concatenate(images), np.concatenate(labels)


def _read_jpeg(file: Any, train: bool, classes: tuple[str, ...]) -> _Arrays:
    """Files {train,test}/<class>/NNNN.jpg, the test images first."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(
            "CIFAR10: reading the JPEG archive needs Pillow: pip install 'minigrad[models]'"
        ) from None
    part = "train" if train else "test"
    images: list[np.ndarray] = []
    labels: list[int] = []
    with tarfile.open(fileobj=file, mode="r|xz") as archive:
        for member in archive:
            folder, _, rest = member.name.partition("/")
            if folder != part or not member.isfile():
                if images and folder != part:
                    break  # what follows belongs to the other part
                continue
            content = archive.extractfile(member).read()  # type: ignore[union-attr]
            with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
                images.append(np.asarray(image.convert("RGB")))
            labels.append(classes.index(rest.partition("/")[0]))
    stacked = np.stack(images).transpose(0, 3, 1, 2)  # (N, 3, 32, 32)
    return np.ascontiguousarray(stacked), np.array(labels, np.int64)
