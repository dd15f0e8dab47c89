r"""DataLoader: every sample once, the same order with any number of workers, exact resumption,
and no thread left behind."""

from __future__ import annotations

import gc
import json
import threading
import time
import traceback

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.backend import Generator, manual_seed
from minigrad.data import DataLoader, Dataset, Subset, TensorDataset
from minigrad.data.transforms import current_generator
from minigrad.tensor import Tensor


def numbers(n: int) -> TensorDataset:
    return TensorDataset(np.arange(n))


def epoch(loader) -> list[list[int]]:
    return [x.numpy().tolist() for (x,) in loader]


def loader_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("minigrad-loader")]


class Slow(Dataset):
    """Batches that are ready in another order than they were asked for."""

    def __init__(self, n: int = 40) -> None:
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        time.sleep((index * 7919 % 5) / 2000)
        return (np.int64(index),)


class Noisy(Dataset):
    """Samples with a random part, drawn as random transforms draw."""

    def __len__(self):
        return 30

    def __getitem__(self, index):
        return index, current_generator().numpy.random()


# ----------------------------------------------------------------------------------- batches
@given(
    n=st.integers(1, 40),
    batch_size=st.integers(1, 45),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    workers=st.integers(0, 3),
)
def test_every_sample_once(n, batch_size, shuffle, drop_last, workers):
    if drop_last and n < batch_size:
        batch_size = n
    loader = DataLoader(numbers(n), batch_size, shuffle, drop_last, workers)
    batches = epoch(loader)
    assert len(batches) == len(loader)
    seen = [i for batch in batches for i in batch]
    assert all(len(batch) == batch_size for batch in batches[:-1])
    if drop_last:
        assert len(seen) == n // batch_size * batch_size
        assert len(set(seen)) == len(seen)
    else:
        assert sorted(seen) == list(range(n))
    if not shuffle:
        assert seen == sorted(seen)


def test_batches_are_tensors_of_the_datasets_dtypes():
    data = TensorDataset(np.zeros((5, 2), np.float32), np.zeros(5, np.uint8))
    x, y = next(iter(DataLoader(data, batch_size=3)))
    assert isinstance(x, Tensor)
    assert x.shape == (3, 2)
    assert x.dtype == np.float32
    assert y.dtype == np.uint8


def test_a_batch_shares_no_memory_with_the_dataset():
    array = np.zeros((4, 2), np.float32)
    (x,) = next(iter(DataLoader(TensorDataset(array), batch_size=4)))
    assert not np.shares_memory(x.data, array)


def test_a_plain_list_is_a_dataset():
    x, names = next(iter(DataLoader([(1.0, "a"), (2.0, "b")], batch_size=2)))
    assert x.numpy().tolist() == [1.0, 2.0]
    assert names == ["a", "b"]


@pytest.mark.parametrize("workers", [0, 2])
def test_collate_fn_gets_samples_and_its_arrays_become_tensors(workers):
    def collate(samples):
        return {"sum": np.array([sum(int(s[0].item()) for s in samples)]), "n": len(samples)}

    loader = DataLoader(numbers(5), batch_size=2, num_workers=workers, collate_fn=collate)
    batches = list(loader)
    assert [b["sum"].numpy().tolist() for b in batches] == [[1], [5], [4]]
    assert [b["n"] for b in batches] == [2, 2, 1]


def test_device_puts_batches_there():
    (x,) = next(iter(DataLoader(numbers(3), batch_size=3, device="cpu")))
    assert x.device == "cpu"


def test_device_batches_cost_one_copy_each_or_none():
    from minigrad.testing.strict import strict

    host = TensorDataset(np.arange(6, dtype=np.float32), np.arange(6))
    with strict.count() as count:
        batches = list(DataLoader(host, batch_size=3, device="strict"))
    assert all(field.device == "strict" for batch in batches for field in batch)
    assert count.synchronisations == 0
    assert count.copies_to_device == 4  # two batches of two fields

    there = TensorDataset(*(strict.asarray(t.data) for t in host.tensors))
    with strict.count() as count:
        batches = list(DataLoader(there, batch_size=3, shuffle=True, generator=Generator(0)))
    assert all(field.device == "strict" for batch in batches for field in batch)
    assert count.synchronisations == 0
    seen = np.concatenate([y.cpu().numpy() for _, y in batches])
    assert sorted(seen.tolist()) == list(range(6))


# ------------------------------------------------------------------------------------- order
def test_shuffle_differs_by_epoch_and_repeats_with_the_seed():
    loader = DataLoader(numbers(100), 10, shuffle=True, generator=Generator(1))
    first, second = epoch(loader), epoch(loader)
    again = DataLoader(numbers(100), 10, shuffle=True, generator=Generator(1))
    assert first != second
    assert [epoch(again), epoch(again)] == [first, second]


def test_the_default_generator_decides_when_none_is_given():
    loader = DataLoader(numbers(100), 10, shuffle=True)
    manual_seed(5)
    first = epoch(loader)
    manual_seed(5)
    assert epoch(loader) == first


def test_evaluation_draws_nothing_from_the_default_generator():
    state = manual_seed(5).get_state()
    epoch(DataLoader(numbers(100), 10))
    assert manual_seed(5).get_state() == state
    generator = manual_seed(5)
    epoch(DataLoader(numbers(100), 10))
    assert generator.get_state() == state


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_order_does_not_depend_on_the_number_of_workers(workers):
    def run(workers):
        loader = DataLoader(Slow(), 4, True, num_workers=workers, generator=Generator(3))
        return epoch(loader) + epoch(loader)

    assert run(workers) == run(0)


@pytest.mark.parametrize("workers", [1, 4])
def test_random_samples_do_not_depend_on_the_number_of_workers(workers):
    def run(workers):
        loader = DataLoader(Noisy(), 4, True, num_workers=workers, generator=Generator(3))
        return [(i.numpy().tolist(), u.numpy().tolist()) for _ in range(2) for i, u in loader]

    batches = run(0)
    assert run(workers) == batches
    draws = [u for _, us in batches for u in us]
    assert len(set(draws)) == len(draws)  # and they do differ, by batch and by epoch


def test_random_samples_leave_the_default_generator_alone():
    generator = manual_seed(0)
    state = generator.get_state()
    list(DataLoader(Noisy(), 4))
    assert generator.get_state() == state


# ---------------------------------------------------------------------------------- resuming
@given(
    n=st.integers(1, 30),
    batch_size=st.integers(1, 8),
    shuffle=st.booleans(),
    workers=st.sampled_from([0, 2]),
    own=st.booleans(),
    data=st.data(),
)
def test_resuming_continues_with_the_next_batch(n, batch_size, shuffle, workers, own, data):
    def new(seed):
        generator = Generator(seed) if own else None
        if not own:
            manual_seed(seed)
        return DataLoader(numbers(n), batch_size, shuffle, num_workers=workers, generator=generator)

    loader = new(11)
    epoch(loader)
    stop = data.draw(st.integers(1, len(loader)), label="batches before the stop")
    batches = iter(loader)
    for _ in range(stop):
        next(batches)
    state = json.loads(json.dumps(loader.state_dict()))
    rest = epoch(batches)
    shared = manual_seed(12).get_state()  # what a checkpoint restores when there is no own one
    after = epoch(loader)

    resumed = new(99)
    resumed.load_state_dict(state)
    assert epoch(resumed) == rest
    manual_seed(12).set_state(shared)
    assert epoch(resumed) == after


def test_state_between_epochs_starts_a_new_one():
    loader = DataLoader(numbers(20), 6, shuffle=True, generator=Generator(2))
    first = epoch(loader)
    state = loader.state_dict()
    second = epoch(loader)
    resumed = DataLoader(numbers(20), 6, shuffle=True, generator=Generator(77))
    resumed.load_state_dict(state)
    assert epoch(resumed) == second != first


def test_prefetched_batches_do_not_count_as_handed_out():
    loader = DataLoader(numbers(20), 2, num_workers=3)
    batches = iter(loader)
    next(batches)
    time.sleep(0.02)
    assert loader.state_dict()["position"] == 1
    batches.close()


def test_an_iterator_left_behind_does_not_move_the_position():
    loader = DataLoader(numbers(20), 2, shuffle=True, generator=Generator(2))
    old, new = iter(loader), iter(loader)
    next(new)
    state = loader.state_dict()
    list(old)
    assert loader.state_dict() == state
    rest = epoch(new)
    loader.load_state_dict(state)
    assert epoch(loader) == rest


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": 11}, "samples=11, this one has samples=10"),
        ({"batch_size": 4}, "batch_size=4, this one has batch_size=3"),
        ({"shuffle": False}, "shuffle=False"),
        ({"drop_last": True}, "drop_last=True"),
        ({"position": 5}, r"a position in \[0, 4\], got .* and 5"),
        ({"position": -1}, "a position in"),
        ({"position": "1"}, "a position in"),
        ({"seed": -1}, "a seed in"),
        ({"seed": None}, "a seed in"),
        ({"generator": None}, "without a generator"),
        ({"generator": {"seed": 0}}, "not a state of a minigrad Generator"),
        ({"extra": 1}, "expected the keys"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(change, message):
    def new():
        return DataLoader(numbers(10), 3, shuffle=True, generator=Generator(4))

    loader = new()
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    other = new()
    before = other.state_dict()
    with pytest.raises(ValueError, match=message):
        other.load_state_dict({**state, **change})
    assert other.state_dict() == before
    assert epoch(other) == epoch(new())


@pytest.mark.parametrize("state", [None, [], {}, "state"])
def test_what_is_no_state_is_refused(state):
    with pytest.raises(ValueError, match="expected the keys"):
        DataLoader(numbers(10)).load_state_dict(state)


# ----------------------------------------------------------------------------------- threads
@pytest.mark.parametrize("workers", [1, 3])
def test_leaving_the_loop_stops_the_workers(workers):
    for (x,) in DataLoader(Slow(), 2, num_workers=workers):
        assert loader_threads()
        assert x.shape == (2,)
        break
    gc.collect()
    assert loader_threads() == []


def test_no_workers_remain_after_an_epoch():
    epoch(DataLoader(Slow(10), 2, num_workers=3))
    assert loader_threads() == []


def test_an_error_in_the_loop_stops_the_workers():
    def loop():
        for _ in DataLoader(Slow(), 2, num_workers=2):
            raise KeyError("body")

    with pytest.raises(KeyError, match="body"):
        loop()
    gc.collect()
    assert loader_threads() == []


def test_workers_do_not_run_far_ahead():
    asked = []

    class Counted(Slow):
        def get_batch(self, indices):
            asked.append(indices)
            return super().get_batch(indices)

    batches = iter(DataLoader(Counted(100), 1, num_workers=2))
    next(batches)
    time.sleep(0.05)
    assert len(asked) <= 1 + 2 * 2
    batches.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_a_worker_arrives_in_its_turn_with_its_traceback(workers):
    class Broken(Dataset):
        def __len__(self):
            return 10

        def __getitem__(self, index):
            return self.explode(index) if index == 5 else index

        def explode(self, index):
            raise LookupError(f"sample {index} is unreadable")

    got = []
    with pytest.raises(LookupError, match="sample 5 is unreadable") as caught:
        for x in DataLoader(Broken(), 2, num_workers=workers):
            got.append(x.numpy().tolist())
    assert got == [[0, 1], [2, 3]]
    assert "explode" in [f.name for f in traceback.extract_tb(caught.value.__traceback__)]
    del caught
    gc.collect()
    assert loader_threads() == []


# --------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "expected batch_size >= 1, got 0"),
        ({"batch_size": -3}, ValueError, "expected batch_size >= 1, got -3"),
        ({"batch_size": 2.0}, TypeError, "expected batch_size to be an integer, got 2.0"),
        ({"batch_size": None}, TypeError, "expected batch_size to be an integer"),
        ({"batch_size": True}, TypeError, "expected batch_size to be an integer"),
        ({"num_workers": -1}, ValueError, "expected num_workers >= 0, got -1"),
        ({"num_workers": "2"}, TypeError, "expected num_workers to be an integer"),
        ({"generator": np.random.default_rng(0)}, TypeError, "expected a minigrad.Generator"),
        ({"batch_size": 11, "drop_last": True}, ValueError, "leave no batch"),
        ({"device": "gpu"}, ValueError, "device: expected"),
        ({"dataset": 3}, TypeError, "expected a dataset with __getitem__ and __len__, got int"),
        ({"dataset": Subset([1], [])}, ValueError, "the dataset is empty"),
    ],
)
def test_bad_arguments_are_refused_when_the_loader_is_made(arguments, error, message):
    with pytest.raises(error, match=message):
        DataLoader(**{"dataset": numbers(10), **arguments})
