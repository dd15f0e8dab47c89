r"""Datasets: things with a length and samples, and ways to put them together.

Belongs here: :class:`Dataset` and the datasets that hold, combine or make samples.
Does not belong here: reading files (``mnist.py``), batching and order (``loader.py``), changes to
the samples (``transforms.py``).

A dataset gives one sample with ``dataset[i]`` and, for speed, a whole batch with
``dataset.get_batch(indices)``: one fancy index of an array instead of a Python loop. The two agree;
a dataset that defines only ``__getitem__`` and ``__len__`` gets the second from the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ..backend import (
    Generator,
    default_generator,
    device_of,
    get_array_module,
    is_array,
    to_device,
)
from ..creation import as_tensor, tensor
from ..tensor import Tensor
from .transforms import current_generator

__all__ = [
    "ConcatDataset",
    "Dataset",
    "FreshDataset",
    "Subset",
    "TensorDataset",
    "default_collate",
    "random_split",
]


class Dataset:
    r"""Base class of datasets. A subclass defines ``__getitem__`` and ``__len__``.

    >>> class Squares(Dataset):
    ...     def __len__(self):
    ...         return 5
    ...
    ...     def __getitem__(self, index):
    ...         return index, index**2
    >>> Squares()[3]
    (3, 9)
    >>> x, y = Squares().get_batch(np.array([1, 3]))
    >>> y.numpy()
    array([1, 9])
    """

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} does not define __len__")

    def get_batch(self, indices: np.ndarray) -> Any:
        r"""The samples at ``indices`` ``(B,)`` as one batch: the structure of a sample, with arrays
        or Tensors ``(B, ...)`` in its places. Override it where something faster than a loop over
        ``self[i]`` is at hand."""
        return default_collate([self[int(i)] for i in indices])

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


def fetch_batch(dataset: Any, indices: np.ndarray) -> Any:
    r"""``dataset.get_batch(indices)``, or a loop over samples for a sequence that is no
    :class:`Dataset` (a list of pairs, say)."""
    get_batch = getattr(dataset, "get_batch", None)
    if get_batch is not None:
        return get_batch(indices)
    return default_collate([dataset[int(i)] for i in indices])


class TensorDataset(Dataset):
    r"""Samples along the first axis of one or more tensors or arrays of equal length.

    Sample ``i`` is the tuple ``(tensors[0][i], tensors[1][i], ...)``.

    >>> data = TensorDataset(np.eye(3, dtype=np.float32), np.array([0, 1, 2]))
    >>> len(data)
    3
    >>> x, y = data[1]
    >>> x.numpy(), y.item()
    (array([0., 1., 0.], dtype=float32), 1)
    """

    def __init__(self, *tensors: Any) -> None:
        if not tensors:
            raise ValueError("TensorDataset: expected at least one tensor, got none")
        self.tensors: tuple[Tensor, ...] = tuple(
            t if isinstance(t, Tensor) else as_tensor(t) for t in tensors
        )
        shapes = [t.shape for t in self.tensors]
        if any(len(shape) == 0 for shape in shapes) or len({s[0] for s in shapes if s}) > 1:
            raise ValueError(
                "TensorDataset: expected tensors of one length along the first axis, "
                f"got shapes {', '.join(map(str, shapes))}"
            )

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return int(self.tensors[0].shape[0])

    def get_batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        return tuple(_take(t.data, indices) for t in self.tensors)


class FreshDataset(Dataset):
    r"""``size`` samples that are made when they are asked for, other ones each time.

    Args:
        size: samples in an epoch.
        make: called as ``make(n, generator=...)``, returns a tuple of arrays ``(n, ...)``, as
            ``make_moons`` and its like do. In a loader that shuffles the generator is that of the
            batch: each epoch has other samples, and a resumed run the same ones.

    >>> data = FreshDataset(100, lambda n, generator: (generator.numpy.standard_normal((n, 2)),))
    >>> (x,) = data.get_batch(np.arange(4))
    >>> len(data), x.shape, data[0][0].shape
    (100, (4, 2), (2,))
    """

    def __init__(self, size: int, make: Callable[..., tuple[Any, ...]]) -> None:
        if size < 1:
            raise ValueError(f"FreshDataset: expected a size >= 1, got {size}")
        self.size, self.make = size, make

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        return tuple(part[0] for part in self.get_batch(np.zeros(1, np.int64)))

    def __len__(self) -> int:
        return self.size

    def get_batch(self, indices: np.ndarray) -> tuple[Any, ...]:
        return self.make(len(indices), generator=current_generator())


def _take(array: Any, indices: np.ndarray) -> Any:
    """``array[indices]`` with the indices moved to where the array lives."""
    return array[to_device(indices, device_of(array))]


class Subset(Dataset):
    r"""The samples of ``dataset`` at ``indices``, in that order.

    Raises ``IndexError`` for an index outside the dataset: here, not in the middle of an epoch.

    >>> list(Subset("abcdef", [4, 0, -1]))
    ['e', 'a', 'f']
    """

    def __init__(self, dataset: Any, indices: Iterable[int] | np.ndarray) -> None:
        given = np.asarray(indices if isinstance(indices, np.ndarray) else list(indices))
        if given.size == 0:
            given = given.astype(np.int64)
        if given.ndim != 1 or given.dtype.kind not in "iu":
            raise TypeError(
                "Subset: expected a 1-D sequence of integer indices, "
                f"got shape {given.shape} of {given.dtype}"
            )
        n = len(dataset)
        outside = given[(given < -n) | (given >= n)]
        if outside.size:
            raise IndexError(f"Subset: expected indices in [{-n}, {n - 1}], got {int(outside[0])}")
        self.dataset = dataset
        self.indices: np.ndarray = np.where(given < 0, given + n, given).astype(np.int64)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[index])]

    def __len__(self) -> int:
        return len(self.indices)

    def get_batch(self, indices: np.ndarray) -> Any:
        return fetch_batch(self.dataset, self.indices[indices])


class ConcatDataset(Dataset):
    r"""Datasets one after another; ``a + b`` makes one too.

    >>> both = ConcatDataset(["abc", "de"])
    >>> len(both), both[2], both[3], both[-1]
    (5, 'c', 'd', 'e')
    """

    def __init__(self, datasets: Iterable[Any]) -> None:
        self.datasets: list[Any] = list(datasets)
        if not self.datasets:
            raise ValueError("ConcatDataset: expected at least one dataset, got none")
        #: where each dataset ends, as in PyTorch
        self.cumulative_sizes: list[int] = np.cumsum([len(d) for d in self.datasets]).tolist()

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]

    def __getitem__(self, index: int) -> Any:
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"ConcatDataset: expected an index in [{-n}, {n - 1}], got {index}")
        which, offset = self._locate(np.array([index % n]))
        return self.datasets[which[0]][int(offset[0])]

    def _locate(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which dataset each index falls in, and its index there."""
        which = np.searchsorted(self.cumulative_sizes, indices, side="right")
        starts = np.array([0, *self.cumulative_sizes[:-1]])
        return which, indices - starts[which]

    def get_batch(self, indices: np.ndarray) -> Any:
        which, offset = self._locate(indices)
        parts = np.unique(which)
        if len(parts) == 1:
            return fetch_batch(self.datasets[parts[0]], offset)
        return super().get_batch(indices)


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None
) -> list[Subset]:
    r"""Split ``dataset`` at random into disjoint subsets of the given ``lengths``.

    ``lengths`` are counts that add up to ``len(dataset)``, or fractions that add up to 1 (rounded
    down, and what is left over goes to the subsets in turn, as in PyTorch).

    >>> train, val = random_split(range(10), [0.8, 0.2], Generator(0))
    >>> len(train), len(val), sorted([*train, *val]) == list(range(10))
    (8, 2, True)
    """
    n = len(dataset)
    total = math.fsum(lengths)
    if any(length < 0 for length in lengths):
        raise ValueError(f"random_split: expected lengths >= 0, got {list(lengths)}")
    if math.isclose(total, 1) and total <= 1 + 1e-9 and not (n == 1 and set(lengths) <= {0, 1}):
        counts = [math.floor(n * length) for length in lengths]
        for i in range(n - sum(counts)):
            counts[i % len(counts)] += 1
    else:
        if any(length != int(length) for length in lengths) or total != n:
            raise ValueError(
                f"random_split: expected lengths that add up to {n} or fractions that add up to 1, "
                f"got {list(lengths)}"
            )
        counts = [int(length) for length in lengths]
    order = (generator or default_generator()).numpy.permutation(n)
    ends = np.cumsum(counts)
    return [Subset(dataset, order[end - count : end]) for end, count in zip(ends, counts)]


def default_collate(samples: Sequence[Any]) -> Any:
    r"""Stack a list of samples into one batch of the same structure.

    Tensors, arrays and numbers become Tensors with a new first axis; tuples, named tuples, lists
    and dicts are gone through; anything else (strings, say) becomes a list. Python floats become
    the default dtype (float32; PyTorch makes float64 of them here), integers int64.

    >>> x, labels = default_collate([(np.zeros(2), 3), (np.ones(2), 4)])
    >>> x.shape, labels.numpy()
    ((2, 2), array([3, 4]))
    """
    if len(samples) == 0:
        raise ValueError("default_collate: expected at least one sample, got none")
    first = samples[0]
    if isinstance(first, Tensor):
        for sample in samples:
            if not isinstance(sample, Tensor):
                raise TypeError(
                    "default_collate: expected every sample to be a Tensor as the first is, "
                    f"got {type(sample).__name__}"
                )
        return Tensor(_stack([sample.data for sample in samples]))
    if is_array(first):
        return Tensor(_stack(list(samples)))
    if isinstance(first, (bool, int, float)):
        return tensor(list(samples))
    if isinstance(first, dict):
        _same(samples, dict, lambda s: set(s), "keys")
        return {key: default_collate([s[key] for s in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        _same(samples, (tuple, list), len, "length")
        fields = [default_collate(field) for field in zip(*samples)]
        if hasattr(first, "_fields"):
            return type(first)(*fields)
        return tuple(fields) if isinstance(first, tuple) else fields
    return list(samples)


def _same(samples: Sequence[Any], kind: Any, what: Callable[[Any], Any], name: str) -> None:
    for sample in samples:
        if not isinstance(sample, kind) or what(sample) != what(samples[0]):
            raise ValueError(
                f"default_collate: expected samples of the same {name}, got {samples[0]!r} and "
                f"{sample!r}; pass collate_fn to say how they go together"
            )


def _stack(arrays: list[Any]) -> Any:
    shapes = {np.shape(a) for a in arrays}
    if len(shapes) > 1:
        raise ValueError(
            f"default_collate: expected samples of one shape, got {sorted(shapes)}; "
            "pass collate_fn to say how they go together"
        )
    dtypes = sorted({str(a.dtype) for a in arrays})
    if len(dtypes) > 1:
        raise TypeError(f"default_collate: expected samples of one dtype, got {', '.join(dtypes)}")
    return get_array_module(*arrays).stack(arrays)
