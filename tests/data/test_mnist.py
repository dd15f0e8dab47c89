r"""MNIST: it is the real one, in full, or an error that says which file is wrong; and the idx
reader refuses everything that is not exactly an idx file."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad.data
from minigrad.data import MNIST, DataLoader, FashionMNIST, read_idx
from minigrad.data.transforms import Compose, Normalize, ToTensor

DATA = os.environ.get("MINIGRAD_DATA")  # of the user; the tests below unset it
SHIPPED = Path(minigrad.data.__file__).parent / "files" / "mnist"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)


@pytest.fixture(scope="module")
def test_set() -> MNIST:
    return MNIST(train=False)


@pytest.fixture
def copy(tmp_path) -> Path:
    """A copy of the test files under ``tmp_path/mnist``."""
    folder = tmp_path / "mnist"
    folder.mkdir()
    for file in SHIPPED.glob("t10k-*.gz"):
        shutil.copy(file, folder)
    return folder


# ------------------------------------------------------------------------- it is the real one
def test_shipped_files_are_the_published_ones():
    published = {
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    }
    for file, md5 in published.items():
        content = (SHIPPED / file).read_bytes()
        assert hashlib.md5(content, usedforsecurity=False).hexdigest() == md5
        assert md5 in (SHIPPED / "ATTRIBUTION.md").read_text()
        assert MNIST.checksums[file] in (SHIPPED / "ATTRIBUTION.md").read_text()


def test_training_set_in_full():
    train = MNIST()
    assert len(train) == 60_000
    assert train.images.shape == (60_000, 28, 28)
    assert train.images.dtype == np.uint8
    assert train.labels.dtype == np.int64
    assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(train.labels).tolist() == counts
    # the well-known mean and standard deviation of the training pixels
    assert abs(train.images.mean() / 255 - 0.1307) < 5e-5
    assert abs(train.images.std() / 255 - 0.3081) < 5e-5


def test_test_set_in_full(test_set):
    assert len(test_set) == 10_000
    counts = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(test_set.labels).tolist() == counts


def test_images_cannot_be_written_by_accident(test_set):
    with pytest.raises(ValueError, match="read-only"):
        test_set.images[0, 0, 0] = 1


@pytest.mark.parametrize("flatten", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_arrays(test_set, flatten, dtype):
    x, y = test_set.arrays(flatten=flatten, dtype=dtype)
    assert x.shape == ((10_000, 784) if flatten else (10_000, 1, 28, 28))
    assert x.dtype == dtype
    assert x.min() == 0
    assert x.max() == 1
    expected = test_set.images[:50].reshape(50, -1).astype(dtype) / dtype(255)
    np.testing.assert_array_equal(x[:50].reshape(50, -1), expected)
    assert not np.shares_memory(y, test_set.labels)


def test_arrays_refuses_integers(test_set):
    with pytest.raises(TypeError, match=r"MNIST\.arrays: expected a floating dtype, got uint8"):
        test_set.arrays(dtype=np.uint8)


# -------------------------------------------------------------------- samples and transforms
class ImageByImage:
    """A user's transform, which knows nothing of batches."""

    def __call__(self, image):
        assert image.shape == (1, 28, 28)
        return image.astype(np.float32) - image.max()


@pytest.mark.parametrize(
    "transform",
    [None, ToTensor(), Compose([ToTensor(), Normalize(0.1307, 0.3081)]), ImageByImage()],
)
def test_a_batch_is_its_samples(transform):
    data = MNIST(train=False, transform=transform)
    indices = [3, 3, 9_999, 17]
    x, y = next(iter(DataLoader(minigrad.data.Subset(data, indices), batch_size=4)))
    assert x.shape == (4, 1, 28, 28)
    assert x.dtype == np.float32
    assert y.dtype == np.int64
    np.testing.assert_array_equal(x.numpy(), np.stack([data[i][0] for i in indices]))
    assert y.numpy().tolist() == [data[i][1] for i in indices]


def test_default_scaling_equals_arrays(test_set):
    x, _ = test_set.arrays()
    batch, _ = test_set.get_batch(np.arange(20))
    np.testing.assert_array_equal(batch, x[:20])


def test_target_transform():
    data = MNIST(train=False, target_transform=lambda label: label % 2)
    assert data[0][1] == 1
    _, y = next(iter(DataLoader(data, batch_size=3)))
    assert y.numpy().tolist() == [1, 0, 1]


# ---------------------------------------------------------------------------- where it is from
def test_the_package_is_the_default():
    assert repr(MNIST(train=False)) == f"MNIST(test, 10000 images, from package: {SHIPPED})"


@pytest.mark.parametrize("inside", [True, False])
def test_root_names_the_folder_or_the_one_above(copy, inside):
    data = MNIST(copy if inside else copy.parent, train=False)
    assert len(data) == 10_000
    assert repr(data).endswith(f"from root: {copy})")


def test_environment(copy, monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGRAD_DATA", str(copy.parent))
    assert "from MINIGRAD_DATA" in repr(MNIST(train=False))
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "elsewhere"))
    assert "from package" in repr(MNIST(train=False))


def test_root_without_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="MNIST: expected train-images.*found none of them"):
        MNIST(tmp_path)


def test_fashion_mnist_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="do not ship with minigrad.*MINIGRAD_DATA"):
        FashionMNIST()


def test_digits_are_no_clothes(copy):
    with pytest.raises(ValueError, match="FashionMNIST: .* not the published file"):
        FashionMNIST(copy, train=False)


@pytest.mark.skipif(
    DATA is None or not (Path(DATA) / "fashion_mnist").is_dir(),
    reason="Fashion-MNIST is not in MINIGRAD_DATA",
)
def test_fashion_mnist_in_full():
    data = FashionMNIST(DATA)
    assert len(data) == 60_000
    assert np.bincount(data.labels).tolist() == [6000] * 10
    assert len(data.classes) == 10


# ------------------------------------------------------------------------------ damaged files
def test_a_missing_file(copy):
    (copy / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="t10k-labels-idx1-ubyte.gz, found none"):
        MNIST(copy, train=False)


@pytest.mark.parametrize("file", ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"])
@pytest.mark.parametrize("how", ["flip a bit", "truncate", "append", "empty"])
def test_a_damaged_file(copy, file, how):
    path = copy / file
    content = bytearray(path.read_bytes())
    if how == "flip a bit":
        content[len(content) // 2] ^= 1
    elif how == "truncate":
        del content[-1]
    elif how == "append":
        content.append(0)
    else:
        content.clear()
    path.write_bytes(content)
    got = hashlib.sha256(content).hexdigest()
    with pytest.raises(ValueError) as caught:
        MNIST(copy, train=False)
    for part in (str(path), MNIST.checksums[file], got):
        assert part in str(caught.value)


# --------------------------------------------------------------------------------------- idx
CODES = {"uint8": 8, "int8": 9, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def write_idx(array: np.ndarray) -> bytes:
    header = struct.pack(">HBB", 0, CODES[array.dtype.name], array.ndim)
    shape = struct.pack(f">{array.ndim}I", *array.shape)
    return header + shape + array.astype(array.dtype.newbyteorder(">")).tobytes()


idx_arrays = st.sampled_from(sorted(CODES)).flatmap(
    lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4))
)


@given(array=idx_arrays, compress=st.booleans())
def test_idx_round_trip(array, compress, tmp_path_factory):
    content = write_idx(array)
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(content) if compress else content)
    for got in (read_idx(content), read_idx(path), read_idx(str(path))):
        assert got.dtype == array.dtype
        assert got.dtype.isnative
        np.testing.assert_array_equal(got, array)


@given(array=idx_arrays, data=st.data())
def test_idx_truncated_anywhere(array, data):
    content = write_idx(array)
    cut = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(ValueError, match="read_idx: bytes: expected"):
        read_idx(content[:cut])


@given(array=idx_arrays, tail=st.binary(min_size=1, max_size=9))
def test_idx_trailing_bytes(array, tail):
    content = write_idx(array)
    with pytest.raises(ValueError, match=f"expected {len(content)} bytes .* got"):
        read_idx(content + tail)


@given(content=st.binary(max_size=40))
def test_idx_any_bytes_are_an_array_or_a_clear_error(content):
    try:
        array = read_idx(content)
    except ValueError as error:
        assert str(error).startswith("read_idx: bytes: expected")
    else:
        assert write_idx(array) == content or array.dtype.kind == "f"  # NaNs need not round trip


@given(
    magic=st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)),
    ndim=st.integers(0, 255),
)
def test_idx_wrong_magic(magic, ndim):
    if magic[:2] == (0, 0) and magic[2] in CODES.values() and ndim > 0:
        ndim = 0
    with pytest.raises(ValueError, match="expected a magic number"):
        read_idx(bytes([*magic, ndim]) + bytes(64))


def test_idx_hostile_header_allocates_nothing():
    with pytest.raises(ValueError, match="expected .* bytes for shape"):
        read_idx(struct.pack(">HBB4I", 0, 8, 4, *[2**32 - 1] * 4))


def test_idx_damaged_gzip_names_the_file(tmp_path):
    path = tmp_path / "images.gz"
    path.write_bytes(gzip.compress(write_idx(np.zeros(100, np.uint8)))[:-12])
    with pytest.raises(ValueError, match=r"read_idx: .*images\.gz is a damaged gzip file"):
        read_idx(path)
