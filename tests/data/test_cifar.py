r"""CIFAR-10: the two official forms of the archive are read alike, a file that is not the published
one is refused, and what is missing is said."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from minigrad.data import CIFAR10, DataLoader

DATA = os.environ.get("MINIGRAD_DATA")  # of the user; the tests below unset it
PER_BATCH = 4
Contents = list[tuple[str, bytes]]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)


def small(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """All six batches of a small data set: the five of the training set, and the test set's."""
    rng = np.random.default_rng(seed)
    return (
        rng.integers(0, 256, (6, PER_BATCH, 3, 32, 32)).astype(np.uint8),
        rng.integers(0, 10, (6, PER_BATCH)),
    )


NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def python_version(x: np.ndarray, y: np.ndarray) -> Contents:
    contents = [("cifar-10-batches-py/readme.html", b"about it")]
    for name, images, labels in zip(NAMES, x, y):
        batch = {
            "batch_label": name,
            "labels": labels.tolist(),
            "data": images.reshape(PER_BATCH, -1),
            "filenames": [f"{i}.png" for i in range(PER_BATCH)],
        }
        contents.append((f"cifar-10-batches-py/{name}", pickle.dumps(batch, 2)))
    return contents


def binary_version(x: np.ndarray, y: np.ndarray) -> Contents:
    contents = []
    for name, images, labels in zip(NAMES, x, y):
        records = np.concatenate([labels[:, None], images.reshape(PER_BATCH, -1)], axis=1)
        contents.append((f"cifar-10-batches-bin/{name}.bin", records.astype(np.uint8).tobytes()))
    return contents


def write(path: Path, contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    """An archive that counts as published, of a data set with few images."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, f"w:{path.suffix[1:]}") as archive:
        for name, content in contents:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(CIFAR10.checksums, path.name, digest)
    monkeypatch.setattr(CIFAR10, "sizes", (5 * PER_BATCH, PER_BATCH))


FORMS: dict[str, Callable[[np.ndarray, np.ndarray], Contents]] = {
    "cifar-10-python.tar.gz": python_version,
    "cifar-10-binary.tar.gz": binary_version,
}


@pytest.mark.parametrize("file", FORMS)
@pytest.mark.parametrize("folder", ["cifar10", "."])
def test_official_archives(file, folder, tmp_path, monkeypatch):
    x, y = small(0)
    write(tmp_path / folder / file, FORMS[file](x, y), monkeypatch)
    train, test = CIFAR10(tmp_path), CIFAR10(tmp_path, train=False)
    np.testing.assert_array_equal(train.images, x[:5].reshape(-1, 3, 32, 32))
    np.testing.assert_array_equal(train.labels, y[:5].reshape(-1))
    np.testing.assert_array_equal(test.images, x[5])
    np.testing.assert_array_equal(test.labels, y[5])
    assert train.images.dtype == np.uint8 and train.labels.dtype == np.int64
    assert repr(test).startswith("CIFAR10(test, 4 images, from root: ") and file in repr(test)
    with pytest.raises(ValueError, match="read-only"):
        train.images[0, 0, 0, 0] = 1


def test_samples_batches_and_arrays(tmp_path, monkeypatch):
    x, y = small(1)
    write(tmp_path / "cifar-10-binary.tar.gz", binary_version(x, y), monkeypatch)
    data = CIFAR10(tmp_path, train=False)
    image, label = data[2]
    assert image.shape == (3, 32, 32) and image.dtype == np.float32 and label == y[5, 2]
    np.testing.assert_array_equal(image, x[5, 2].astype(np.float32) / np.float32(255))
    batch, labels = next(iter(DataLoader(data, batch_size=4)))
    np.testing.assert_array_equal(batch[2].numpy(), image)
    assert labels.tolist() == y[5].tolist()
    np.testing.assert_array_equal(data.arrays()[0], batch.numpy())
    assert data.arrays(flatten=True)[0].shape == (4, 3 * 32 * 32)


def test_the_environment_names_the_folder(tmp_path, monkeypatch):
    assert not CIFAR10.available()
    write(tmp_path / "cifar10" / "cifar-10-binary.tar.gz", binary_version(*small(2)), monkeypatch)
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path))
    assert CIFAR10.available()
    assert "from MINIGRAD_DATA" in repr(CIFAR10())


def test_missing(tmp_path, monkeypatch):
    for root, where in ((tmp_path, str(tmp_path)), (None, "no folder")):
        with pytest.raises(FileNotFoundError, match=r"do not ship.*cs\.toronto\.edu") as error:
            CIFAR10(root)
        assert where in str(error.value) and "cifar-10-python.tar.gz" in str(error.value)
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match="nothing"):
        CIFAR10()


@pytest.mark.parametrize("file", list(CIFAR10.checksums))
def test_another_file_under_the_name(file, tmp_path):
    (tmp_path / file).write_bytes(b"not an archive")
    with pytest.raises(
        ValueError, match=r"not the published file: expected sha256 .* \(14 bytes\)"
    ):
        CIFAR10(tmp_path)


def test_a_pickle_that_wants_to_run_something(tmp_path, monkeypatch):
    class Runs:
        def __reduce__(self):
            return os.system, ("echo run",)

    contents = [(f"cifar-10-batches-py/{name}", pickle.dumps(Runs(), 2)) for name in NAMES]
    write(tmp_path / "cifar-10-python.tar.gz", contents, monkeypatch)
    monkeypatch.setattr(os, "system", lambda _: pytest.fail("it was run"))
    with pytest.raises(ValueError, match=r"posix\.system"):
        CIFAR10(tmp_path)


@pytest.mark.parametrize("file", FORMS)
def test_a_batch_is_missing(file, tmp_path, monkeypatch):
    write(tmp_path / file, FORMS[file](*small(3))[:-2], monkeypatch)
    with pytest.raises(ValueError, match="expected data_batch_5"):
        CIFAR10(tmp_path)


def test_jpeg(tmp_path, monkeypatch):
    """Smooth images survive JPEG nearly unchanged; test images come first in the archive."""
    image_module = pytest.importorskip("PIL.Image")
    contents: Contents = []
    for part, shift in (("test", 0), ("train", 100)):
        for label, name in enumerate(("airplane", "cat")):
            level = shift + 40 * label
            pixels = np.full((32, 32, 3), [level, level + 10, level + 50], np.uint8)
            file = io.BytesIO()
            image_module.fromarray(pixels).save(file, "JPEG", quality=95)
            contents.append((f"{part}/{name}/0001.jpg", file.getvalue()))
    write(tmp_path / "cifar10_jpg.tar.xz", contents, monkeypatch)
    monkeypatch.setattr(CIFAR10, "sizes", (2, 2))
    for train, shift in ((False, 0), (True, 100)):
        data = CIFAR10(tmp_path, train=train)
        assert data.labels.tolist() == [0, 3]
        for image, level in zip(data.images.astype(int), (shift, shift + 40)):
            expected = np.array([level, level + 10, level + 50])[:, None, None]
            assert abs(image - expected).max() <= 3


@pytest.mark.skipif(DATA is None, reason="MINIGRAD_DATA is not set")
def test_the_real_test_set(monkeypatch):
    assert DATA is not None
    monkeypatch.setenv("MINIGRAD_DATA", DATA)
    if not CIFAR10.available():
        pytest.skip("MINIGRAD_DATA has no CIFAR-10")
    data = CIFAR10(train=False)
    assert len(data) == 10_000
    assert np.bincount(data.labels).tolist() == [1000] * 10
    # the well-known means of the three channels, of the training images
    means = data.images.mean((0, 2, 3)) / 255
    assert abs(means - [0.4914, 0.4822, 0.4465]).max() < 0.01
