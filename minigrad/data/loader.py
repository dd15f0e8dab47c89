r"""DataLoader: batches of a dataset in an order that can be repeated and resumed.

Belongs here: which samples make the next batch, worker threads, and the position in the epoch.
Does not belong here: how samples are stored (``datasets.py``) or changed (``transforms.py``).

Each epoch draws one seed. It fixes the order of the samples and everything that random transforms
draw, batch by batch, so an epoch is the same however many workers make it, and can be taken up in
the middle from that seed and a position alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..backend import Device, Generator, default_generator, is_array
from ..tensor import Tensor
from .datasets import fetch_batch
from .transforms import batch_stream

__all__ = ["DataLoader"]

# Batches that workers make ahead of the one in use, for each worker.
_PREFETCH = 2


class DataLoader:
    r"""Iterate over ``dataset`` in batches of Tensors.

    Args:
        dataset: a :class:`~minigrad.data.Dataset`, or anything with ``len`` and ``[]``.
        batch_size: samples in a batch.
        shuffle: a new random order every epoch.
        drop_last: leave out the last batch if it is not full.
        num_workers: threads that make batches ahead of time; 0 makes each when it is asked for.
            Threads, not processes: they pay where making a batch waits or decodes, and a batch
            that is one index of an array is faster without.
        collate_fn: makes a batch of a list of samples. By default the dataset makes the batch
            (:meth:`~minigrad.data.Dataset.get_batch`), or
            :func:`~minigrad.data.default_collate` does.
        generator: where the seed of each epoch comes from; the default generator if none is given.
            Without ``shuffle`` and ``generator`` nothing is drawn from it, and random transforms
            draw the same in each epoch, so that evaluating does not disturb training.
        device: where to put the batches; by default they stay where the dataset has them.

    The dataset's ``get_batch``, ``[]`` and ``collate_fn`` must be safe to call from several threads
    if there are workers. Leaving a loop early stops the workers.

    Raises:
        TypeError, ValueError: at once, not in the loop, for arguments that make no sense, among
            them those that leave no batch at all.

    >>> from minigrad.data import TensorDataset
    >>> data = TensorDataset(np.arange(5, dtype=np.float32))
    >>> [x.numpy().tolist() for (x,) in DataLoader(data, batch_size=2)]
    [[0.0, 1.0], [2.0, 3.0], [4.0]]
    >>> len(DataLoader(data, batch_size=2, drop_last=True))
    2
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        num_workers: int = 0,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        generator: Generator | None = None,
        device: str | Device | None = None,
    ) -> None:
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise TypeError(
                "DataLoader: expected a dataset with __getitem__ and __len__, "
                f"got {type(dataset).__name__}"
            )
        _check_count("batch_size", batch_size, 1)
        _check_count("num_workers", num_workers, 0)
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(
                f"DataLoader: expected a minigrad.Generator, got {type(generator).__name__}"
            )
        if len(dataset) == 0:
            raise ValueError("DataLoader: the dataset is empty")
        if drop_last and len(dataset) < batch_size:
            raise ValueError(
                f"DataLoader: {len(dataset)} samples with batch_size={batch_size} and "
                "drop_last=True leave no batch"
            )
        self.dataset = dataset
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.num_workers = int(num_workers)
        self.collate_fn = collate_fn
        self.generator = generator
        self.device = None if device is None else Device(device)
        # Of the epoch under way: its seed, and how many of its batches were handed out.
        self._seed: int | None = None
        self._position = 0
        self._resume = False
        self._epoch: object = None  # the iterator that may move the position: the last one made

    def __len__(self) -> int:
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        if self._resume:
            self._resume = False
        else:
            self._seed, self._position = self._draw_seed(), 0
        assert self._seed is not None
        self._epoch = epoch = object()
        return self._batches(self._seed, self._position, epoch)

    def _draw_seed(self) -> int:
        if not self.shuffle and self.generator is None:
            return 0
        return int((self.generator or default_generator()).numpy.integers(2**63))

    def _batches(self, seed: int, start: int, epoch: object) -> Iterator[Any]:
        n = len(self.dataset)
        if self.shuffle:
            order = np.random.Generator(np.random.PCG64(seed)).permutation(n)
        else:
            order = np.arange(n)

        def make(batch: int) -> Any:
            with batch_stream(seed, batch):
                indices = order[batch * self.batch_size : (batch + 1) * self.batch_size]
                if self.collate_fn is None:
                    return fetch_batch(self.dataset, indices)
                return self.collate_fn([self.dataset[int(i)] for i in indices])

        numbers = range(start, len(self))
        made = map(make, numbers) if self.num_workers == 0 else self._in_threads(make, numbers)
        try:
            for number, batch in zip(numbers, made):
                tensors = _to_tensors(batch, self.device)
                if self._epoch is epoch:
                    self._position = number + 1  # before the yield: the loop body has this batch
                yield tensors
            if self._epoch is epoch:
                self._seed, self._position = None, 0
        finally:
            close = getattr(made, "close", None)
            if close is not None:
                close()

    def _in_threads(self, make: Callable[[int], Any], numbers: range) -> Iterator[Any]:
        """``make(number)`` for each number, in order, made ahead by the worker threads."""
        from concurrent.futures import Future, ThreadPoolExecutor

        executor = ThreadPoolExecutor(self.num_workers, thread_name_prefix="minigrad-loader")
        ahead: deque[Future[Any]] = deque()
        waiting = iter(numbers)
        try:
            for number in waiting:
                ahead.append(executor.submit(make, number))
                if len(ahead) >= _PREFETCH * self.num_workers:
                    break
            while ahead:
                batch = ahead.popleft().result()  # an error in a worker is raised here
                for number in waiting:
                    ahead.append(executor.submit(make, number))
                    break
                yield batch
        finally:  # also when the loop over the loader is left early
            executor.shutdown(wait=True, cancel_futures=True)

    # ----------------------------------------------------------------------------- resuming
    def state_dict(self) -> dict[str, Any]:
        r"""Where the loader stands, in JSON-able values.

        Taken inside the loop, it leads to the batch after the one in hand; taken between epochs,
        to a new epoch. The state of ``generator`` is in it if one was given; the default generator
        is everybody's, so whoever checkpoints it saves it.
        """
        return {
            "seed": self._seed,
            "position": self._position,
            "generator": None if self.generator is None else self.generator.get_state(),
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        r"""Continue where :meth:`state_dict` was taken: the next loop over this loader goes through
        the rest of that epoch, in the same order.

        Raises ``ValueError``, and changes nothing, if the state is of another loader or damaged.

        >>> loader = DataLoader(list(range(6)), batch_size=2, shuffle=True, generator=Generator(0))
        >>> batches = iter(loader)
        >>> first, state = next(batches), loader.state_dict()
        >>> rest = [x.numpy().tolist() for x in batches]
        >>> loader.load_state_dict(state)
        >>> [x.numpy().tolist() for x in loader] == rest
        True
        """
        mine = self.state_dict()
        if not isinstance(state, dict) or set(state) != set(mine):
            raise ValueError(
                f"DataLoader.load_state_dict: expected the keys {', '.join(mine)}, "
                f"got {', '.join(map(str, state)) if isinstance(state, dict) else repr(state)}"
            )
        for key in ("samples", "batch_size", "shuffle", "drop_last"):
            if state[key] != mine[key]:
                raise ValueError(
                    f"DataLoader.load_state_dict: the state is of a loader with "
                    f"{key}={state[key]}, this one has {key}={mine[key]}"
                )
        seed, position = state["seed"], state["position"]
        if seed is None:
            good = position == 0
        else:
            good = _is_int(seed) and 0 <= seed < 2**63
            good = good and _is_int(position) and 0 <= position <= len(self)
        if not good:
            raise ValueError(
                "DataLoader.load_state_dict: expected a seed in [0, 2**63) and a position in "
                f"[0, {len(self)}], got {seed!r} and {position!r}"
            )
        if (state["generator"] is None) != (self.generator is None):
            raise ValueError(
                "DataLoader.load_state_dict: the state is of a loader "
                f"{'without' if state['generator'] is None else 'with'} a generator of its own, "
                f"this one is {'without' if self.generator is None else 'with'}"
            )
        if self.generator is not None:
            self.generator.set_state(state["generator"])
        self._seed, self._position, self._resume = seed, position, seed is not None
        self._epoch = None  # an iterator still in use no longer counts


def _to_tensors(batch: Any, device: Device | None) -> Any:
    """Arrays in a nest of tuples, lists and dicts become Tensors; all go to ``device``."""
    if is_array(batch):
        batch = Tensor(batch)
    if isinstance(batch, Tensor):
        return batch if device is None else batch.to(device)
    if isinstance(batch, tuple):
        fields = [_to_tensors(field, device) for field in batch]
        return type(batch)(*fields) if hasattr(batch, "_fields") else tuple(fields)
    if isinstance(batch, list):
        return [_to_tensors(field, device) for field in batch]
    if isinstance(batch, dict):
        return {key: _to_tensors(value, device) for key, value in batch.items()}
    return batch


def _is_int(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _check_count(name: str, value: Any, least: int) -> None:
    if not _is_int(value):
        raise TypeError(f"DataLoader: expected {name} to be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"DataLoader: expected {name} >= {least}, got {value}")
