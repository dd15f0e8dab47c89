r"""Datasets and their combinations: samples and batches agree, bad input is refused at once."""

from __future__ import annotations

from collections import namedtuple
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backend import Generator
from minigrad.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    FreshDataset,
    Subset,
    TensorDataset,
    default_collate,
    make_moons,
    random_split,
)
from minigrad.tensor import Tensor


def as_array(x):
    return x.data if isinstance(x, Tensor) else np.asarray(x)


def make(n: int, start: int = 0) -> TensorDataset:
    x = np.arange(start, start + n, dtype=np.float32)
    return TensorDataset(np.stack([x, -x], axis=1), x.astype(np.int64) * 10)


# ------------------------------------------------------------------------------ TensorDataset
def test_tensor_dataset_samples_are_tuples_of_rows():
    data = make(4)
    x, y = data[2]
    assert len(data) == 4
    assert x.shape == (2,)
    assert as_array(x).tolist() == [2.0, -2.0]
    assert y.item() == 20


def test_tensor_dataset_keeps_dtypes_and_accepts_tensors():
    data = TensorDataset(Tensor(np.zeros((2, 3), np.float64)), np.array([1, 2], np.uint8))
    x, y = data.get_batch(np.array([0, 1]))
    assert x.dtype == np.float64
    assert y.dtype == np.uint8


@pytest.mark.parametrize(
    "tensors",
    [(), (np.zeros(3), np.zeros(4)), (np.zeros(()),), (np.zeros(3), np.zeros(()))],
    ids=["none", "lengths", "scalar", "array and scalar"],
)
def test_tensor_dataset_refuses(tensors):
    with pytest.raises(ValueError, match="TensorDataset: expected"):
        TensorDataset(*tensors)


# ------------------------------------------------------------------------------- FreshDataset
def test_fresh_samples_are_others_each_epoch_and_the_same_each_run():
    data = FreshDataset(100, partial(make_moons, noise=0.05))
    loader = DataLoader(data, 50, shuffle=True, generator=Generator(0))
    (a, b), (c, _) = ([x.numpy() for x, _ in loader] for _ in range(2))
    assert len(data) == 100 and a.shape == (50, 2)
    assert abs(a - b).max() > 0 and abs(a - c).max() > 0
    again = DataLoader(data, 50, shuffle=True, generator=Generator(0))
    np.testing.assert_array_equal(next(iter(again))[0].numpy(), a)


def test_fresh_dataset_refuses_no_samples():
    with pytest.raises(ValueError, match="FreshDataset: expected a size >= 1, got 0"):
        FreshDataset(0, make_moons)


# ------------------------------------------------------------------- batches against samples
class Loop(Dataset):
    """Only samples: the base class makes the batches."""

    def __len__(self):
        return 7

    def __getitem__(self, index):
        return {"x": np.full(3, index, np.float32), "name": f"n{index}", "value": float(index)}


@pytest.mark.parametrize(
    "dataset",
    [
        make(7),
        Subset(make(20), [5, 3, 3, 0, 19, -1, 8]),
        make(3) + make(4, start=100),
        ConcatDataset([make(2), Subset(make(9), [8, 1]), make(3, start=50)]),
        Subset(make(3) + make(4, start=100), [6, 2, 0, 5, 3, 1, 4]),
    ],
    ids=["tensors", "subset", "sum", "concat", "subset of concat"],
)
@given(indices=st.lists(st.integers(0, 6), min_size=1, max_size=9))
def test_a_batch_is_its_samples(dataset, indices):
    assert len(dataset) == 7
    x, y = dataset.get_batch(np.array(indices))
    np.testing.assert_array_equal(as_array(x), np.stack([as_array(dataset[i][0]) for i in indices]))
    np.testing.assert_array_equal(as_array(y), np.stack([as_array(dataset[i][1]) for i in indices]))


def test_default_batch_keeps_the_structure():
    batch = Loop().get_batch(np.array([4, 1]))
    assert set(batch) == {"x", "name", "value"}
    assert batch["x"].numpy().tolist() == [[4.0] * 3, [1.0] * 3]
    assert batch["name"] == ["n4", "n1"]
    assert batch["value"].dtype == np.float32


def test_base_class_says_what_is_missing():
    class Empty(Dataset):
        pass

    with pytest.raises(NotImplementedError, match="Empty does not define __getitem__"):
        Empty()[0]
    with pytest.raises(NotImplementedError, match="Empty does not define __len__"):
        len(Empty())


# ------------------------------------------------------------------------ Subset, Concat
@pytest.mark.parametrize("index", [7, -8, 10**6])
def test_subset_refuses_indices_outside_when_it_is_made(index):
    with pytest.raises(IndexError, match=rf"Subset: expected indices in \[-7, 6\], got {index}"):
        Subset(make(7), [0, index])


@pytest.mark.parametrize("indices", [[0.5], [[0, 1]], np.array([True, False])])
def test_subset_refuses_what_is_no_list_of_indices(indices):
    with pytest.raises(TypeError, match="Subset: expected a 1-D sequence"):
        Subset(make(7), indices)


def test_subset_may_be_empty():
    assert len(Subset(make(7), [])) == 0


@pytest.mark.parametrize("index", [5, -6])
def test_concat_index_error(index):
    with pytest.raises(IndexError, match=r"ConcatDataset: expected an index in \[-5, 4\]"):
        ConcatDataset(["abc", "de"])[index]


def test_concat_skips_empty_parts():
    both = ConcatDataset(["", "ab", "", "c"])
    assert [both[i] for i in range(3)] == ["a", "b", "c"]


def test_concat_of_nothing():
    with pytest.raises(ValueError, match="at least one dataset"):
        ConcatDataset([])


# ------------------------------------------------------------------------------ random_split
@given(counts=st.lists(st.integers(0, 20), min_size=1, max_size=5), seed=st.integers(0, 2**32))
def test_random_split_is_a_partition(counts, seed):
    n = sum(counts)
    parts = random_split(range(n), counts, Generator(seed))
    assert [len(p) for p in parts] == counts
    assert sorted(i for p in parts for i in p) == list(range(n))


@given(n=st.integers(2, 300), cuts=st.lists(st.integers(1, 50), min_size=2, max_size=5))
def test_random_split_by_fractions(n, cuts):
    fractions = [c / sum(cuts) for c in cuts]
    parts = random_split(range(n), fractions, Generator(0))
    assert sum(len(p) for p in parts) == n
    for part, fraction in zip(parts, fractions):
        assert int(n * fraction) <= len(part) <= n * fraction + 1
    assert sorted(i for p in parts for i in p) == list(range(n))


def test_random_split_depends_on_the_generator_alone():
    first, second, other = (
        [p.indices.tolist() for p in random_split(range(50), [40, 10], Generator(s))]
        for s in (3, 3, 4)
    )
    assert first == second != other


@pytest.mark.parametrize("lengths", [[5, 4], [0.5, 0.6], [11, -1], [9.5, 0.5], [-0.5, 1.5]])
def test_random_split_refuses(lengths):
    with pytest.raises(ValueError, match="random_split: expected"):
        random_split(range(10), lengths)


# ---------------------------------------------------------------------------- default_collate
def test_collate_numbers_arrays_tensors():
    ints, floats, bools, arrays, tensors = default_collate(
        [
            (1, 0.5, True, np.zeros(2, np.float32), Tensor(np.ones(3, np.float32))),
            (2, 1.5, False, np.ones(2, np.float32), Tensor(np.ones(3, np.float32))),
        ]
    )
    assert ints.dtype == np.int64
    assert ints.numpy().tolist() == [1, 2]
    assert floats.dtype == np.float32
    assert bools.dtype == np.bool_
    assert arrays.shape == (2, 2)
    assert tensors.shape == (2, 3)


def test_collate_keeps_named_tuples_and_lists():
    pair = namedtuple("pair", "a b")
    batch = default_collate([pair(1, "x"), pair(2, "y")])
    assert type(batch) is pair
    assert batch.b == ["x", "y"]
    assert isinstance(default_collate([[1, 2], [3, 4]]), list)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ([], "at least one sample"),
        ([np.zeros(2), np.zeros(3)], r"samples of one shape, got \[\(2,\), \(3,\)\]"),
        ([(1, 2), (1,)], "same length"),
        ([{"a": 1}, {"b": 1}], "same keys"),
    ],
)
def test_collate_refuses(samples, message):
    with pytest.raises(ValueError, match=f"default_collate: expected .*{message}"):
        default_collate(samples)


def test_collate_refuses_tensors_mixed_with_others():
    with pytest.raises(TypeError, match="every sample to be a Tensor"):
        default_collate([Tensor(np.zeros(2, np.float32)), np.zeros(2, np.float32)])


def test_collate_refuses_to_promote():
    with pytest.raises(TypeError, match="samples of one dtype, got float32, float64"):
        default_collate([np.zeros(2, np.float32), np.zeros(2)])
