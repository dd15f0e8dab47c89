r"""One thread pool for every kernel, and the truce between it and BLAS's own threads.

Belongs here: running a function over chunks of work on all cores, and limiting BLAS meanwhile.
Does not belong here: any mathematics (the other files of ``kernels/``).

Python threads are enough, because NumPy releases the interpreter lock inside copies, elementwise
functions and matrix products. Inside a parallel region each thread calls BLAS for itself, so BLAS
is held to one thread there; and where BLAS uses its own threads, they are told to go to sleep soon.
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

__all__ = [
    "blas_threads", "in_region", "num_threads", "parallel_for", "set_num_threads", "stop_spinning",
]  # fmt: skip

_lock = threading.Lock()
_local = threading.local()  # .inside is True in a thread that is working on a parallel region
_n_threads: int | None = None
_n_workers = 0  # threads that listen to _tasks
_tasks: SimpleQueue[Callable[[], None] | None] | None = None  # made when first needed


# ---------------------------------------------------------------------------- BLAS's own threads
_blas_libraries: list[Any] | None = None
_blas_limits: list[_BlasThreads] = []  # the contexts entered and not left, in order
_blas_saved: list[int] = []  # what each library was set to before the first of them


def _blas() -> list[Any]:
    r"""The controllers of the BLAS libraries in this process, looked up once (about 1 ms)."""
    global _blas_libraries
    if _blas_libraries is None:
        from threadpoolctl import ThreadpoolController

        _blas_libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    return _blas_libraries


class _BlasThreads:
    r"""See :func:`blas_threads`. Contexts of different threads may overlap in any order: the last
    one entered decides, and the first setting comes back when all have been left."""

    __slots__ = ("n",)

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> None:
        libraries = _blas()
        with _lock:
            if not _blas_limits:
                _blas_saved[:] = [library.get_num_threads() for library in libraries]
            if not _blas_limits or _blas_limits[-1].n != self.n:
                for library in libraries:
                    library.set_num_threads(self.n)
            _blas_limits.append(self)

    def __exit__(self, *exception: object) -> None:
        with _lock:
            _blas_limits.remove(self)
            if _blas_limits:
                wanted = [_blas_limits[-1].n] * len(_blas_saved)
            else:
                wanted = _blas_saved
            for library, n in zip(_blas(), wanted, strict=False):
                if n != self.n or not _blas_limits:
                    library.set_num_threads(n)


def blas_threads(n: int) -> _BlasThreads:
    r"""Context in which BLAS uses ``n`` threads; entering and leaving costs about 3 µs.

    The number is the whole process's (BLAS has no other), so keep the context short.

    >>> with blas_threads(1):
    ...     pass
    """
    return _BlasThreads(n)


# OpenBLAS reads this variable when it is loaded: its threads spin for 2^n cycles of the processor's
# clock before they sleep. 2^19 is 0.2 ms, longer than from one product of a network to the next.
_SPIN_VARIABLE, _SPIN = "OPENBLAS_THREAD_TIMEOUT", "19"


def stop_spinning() -> None:
    r"""Let OpenBLAS's threads sleep when they have had nothing to do for 0.2 ms, not for 0.1 s.

    By default they wait for the next product in a loop that keeps every core busy, for about 0.1 s,
    and take the cores from the convolutions that follow on our pool. OpenBLAS has no function to
    change that once NumPy has loaded it; but it reads its environment again when told to, and
    starts its threads again when it needs them.

    A setting of the whole process, made when ``minigrad`` is imported. It is left alone where the
    user has made one (``OPENBLAS_THREAD_TIMEOUT`` in the environment), where other threads might be
    using BLAS, and where NumPy does not use OpenBLAS with threads of its own.
    """
    if _SPIN_VARIABLE in os.environ or threading.active_count() > 1:
        return
    for library in _blas():
        if library.internal_api != "openblas" or library.threading_layer != "pthreads":
            continue
        try:
            read_environment = library.dynlib.openblas_read_env
            stop_threads = library.dynlib.blas_thread_shutdown_
        except AttributeError:  # a build that does not show them
            continue
        os.environ[_SPIN_VARIABLE] = _SPIN
        try:
            read_environment()
        finally:
            del os.environ[_SPIN_VARIABLE]
        stop_threads()


# ----------------------------------------------------------------------------------- the pool
def num_threads() -> int:
    r"""How many threads a parallel region uses: a thread a core that this process may run on,
    unless ``MINIGRAD_NUM_THREADS`` or :func:`set_num_threads` says otherwise."""
    global _n_threads
    if _n_threads is None:
        wanted = os.environ.get("MINIGRAD_NUM_THREADS", "")
        if wanted:
            if not wanted.isdigit() or int(wanted) < 1:
                raise ValueError(f"MINIGRAD_NUM_THREADS: expected an integer >= 1, got {wanted!r}")
            _n_threads = int(wanted)
        elif hasattr(os, "sched_getaffinity"):
            _n_threads = len(os.sched_getaffinity(0))
        else:
            _n_threads = os.cpu_count() or 1
    return _n_threads


def set_num_threads(n: int) -> None:
    r"""Use ``n`` threads from now on. Results do not depend on the number, to the last bit."""
    global _n_threads
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"set_num_threads: expected an integer >= 1, got {n!r}")
    if n != _n_threads:
        _n_threads = n
        _forget_pool()


def _forget_pool() -> None:
    r"""Let the threads end when they have done what is queued; new ones start when needed."""
    global _tasks
    with _lock:
        if _tasks is not None:
            for _ in range(_n_workers):
                _tasks.put(None)
        _tasks = None


if hasattr(os, "register_at_fork"):  # threads do not survive a fork, nor does who held the lock

    def _after_fork() -> None:
        global _lock, _tasks
        _lock = threading.Lock()
        _tasks = None
        _blas_limits.clear()

    os.register_at_fork(after_in_child=_after_fork)


def _serve(tasks: SimpleQueue[Callable[[], None] | None]) -> None:
    while (task := tasks.get()) is not None:
        task()


def _task_queue() -> SimpleQueue[Callable[[], None] | None]:
    r"""The queue that the pool's threads listen to, one thread fewer than we use: the caller of a
    region works too."""
    global _tasks, _n_workers
    n = num_threads() - 1
    with _lock:
        if _tasks is None:
            _tasks, _n_workers = SimpleQueue(), n
            for i in range(n):
                threading.Thread(
                    target=_serve, args=(_tasks,), name=f"minigrad-{i}", daemon=True
                ).start()
        return _tasks


def parallel_for(
    fn: Callable[[int, int], object],
    n_items: int,
    grain: int = 1,
    threads: int | None = None,
) -> None:
    r"""Call ``fn(start, stop)`` on chunks of ``grain`` items of ``range(n_items)``, on all cores.

    Chunks are handed out as threads become free, so ``fn`` must not depend on the order, and two
    calls must not write to the same place. The chunks are the same however many threads there are,
    so results are too. BLAS runs on one thread inside. A call from inside a region runs serially.
    Waking the other threads costs about 30 µs: pass ``threads=1`` for less work than a few of
    those.

    Args:
        fn: called with a half-open range of items.
        n_items: how many items there are; nothing happens for zero.
        grain: items a chunk.
        threads: at most this many threads; ``None`` means :func:`num_threads`.

    Raises:
        Whatever ``fn`` raised first; chunks not yet begun are then dropped.

    >>> squares = [0] * 5
    >>> def square(start, stop):
    ...     for i in range(start, stop):
    ...         squares[i] = i * i
    >>> parallel_for(square, 5, grain=2)
    >>> squares
    [0, 1, 4, 9, 16]
    """
    if n_items <= 0:
        return
    if grain < 1:
        raise ValueError(f"parallel_for: expected grain >= 1, got {grain}")
    n_chunks = -(-n_items // grain)
    if in_region():  # BLAS is limited already
        for start in range(0, n_items, grain):
            fn(start, min(start + grain, n_items))
        return
    wanted = min(num_threads() if threads is None else threads, n_chunks)
    if wanted <= 1:
        with blas_threads(1):
            for start in range(0, n_items, grain):
                fn(start, min(start + grain, n_items))
        return

    region = _Region(fn, n_items, grain)
    tasks = _task_queue()
    with blas_threads(1):
        for _ in range(wanted - 1):
            tasks.put(region.help)
        region.work()  # this thread is one of them
        region.close()
    if region.errors:
        raise region.errors[0]


def in_region() -> bool:
    r"""Whether this thread is working on a chunk of :func:`parallel_for`."""
    return getattr(_local, "inside", False)


class _Region:
    r"""One call of :func:`parallel_for`: hands out its chunks, and knows who is still at work."""

    __slots__ = ("closed", "errors", "finished", "fn", "grain", "n_items", "next_chunk", "started")

    def __init__(self, fn: Callable[[int, int], object], n_items: int, grain: int) -> None:
        self.fn, self.n_items, self.grain = fn, n_items, grain
        self.next_chunk = itertools.count().__next__  # atomic
        self.errors: list[BaseException] = []
        self.started = 0
        self.finished: SimpleQueue[None] = SimpleQueue()
        self.closed = False

    def work(self) -> None:
        _local.inside = True
        try:
            while not self.errors:
                start = self.next_chunk() * self.grain
                if start >= self.n_items:
                    return
                self.fn(start, min(start + self.grain, self.n_items))
        except BaseException as error:
            self.errors.append(error)
        finally:
            _local.inside = False

    def help(self) -> None:
        with _lock:
            if self.closed:  # it was all done before this thread woke
                return
            self.started += 1
        self.work()
        self.finished.put(None)

    def close(self) -> None:
        r"""Wait for those who began; who has not begun yet never will."""
        with _lock:
            self.closed = True
            started = self.started
        for _ in range(started):
            self.finished.get()
