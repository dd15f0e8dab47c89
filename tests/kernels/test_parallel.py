r"""The thread pool: every item once, errors, nesting, and BLAS's threads given back."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigrad.kernels import parallel
from minigrad.kernels.parallel import blas_threads, num_threads, parallel_for, set_num_threads
from minigrad.kernels.workspace import scratch


@pytest.fixture(autouse=True)
def _three_threads():
    before = num_threads()
    set_num_threads(3)
    yield
    set_num_threads(before)


def blas_setting() -> list[int]:
    return [library.get_num_threads() for library in parallel._blas()]


@given(st.integers(-1, 50), st.integers(1, 60), st.sampled_from((None, 1, 2, 5)))
def test_every_item_once(n, grain, threads):
    seen = []
    parallel_for(lambda a, b: seen.append((a, b)), n, grain, threads)
    assert sorted(seen) == [(a, min(a + grain, n)) for a in range(0, max(n, 0), grain)]


def test_threads_work_at_the_same_time():
    meet = threading.Barrier(3, timeout=30)  # breaks unless three threads are inside together
    parallel_for(lambda a, b: meet.wait(), 3)


def test_threads_argument_is_a_limit():
    names = set()

    def note(start, stop):
        names.add(threading.get_ident())
        time.sleep(0.001)

    parallel_for(note, 20, threads=1)
    assert names == {threading.get_ident()}


def test_first_error_arrives_and_the_pool_lives_on():
    done = []

    def fail(start, stop):
        if start == 3:
            raise LookupError("of item 3")
        done.append(start)

    with pytest.raises(LookupError, match="of item 3"):
        parallel_for(fail, 1000)
    assert len(done) < 999  # the rest was dropped
    parallel_for(lambda a, b: done.append("after"), 1)
    assert done[-1] == "after"


def test_error_in_another_thread_arrives():
    meet = threading.Barrier(2, timeout=30)
    caller = threading.get_ident()

    def fail(start, stop):
        meet.wait()
        if threading.get_ident() != caller:
            raise LookupError("elsewhere")

    with pytest.raises(LookupError, match="elsewhere"):
        parallel_for(fail, 2)


def test_nested_regions_run_in_their_thread():
    owners = []

    def outer(start, stop):
        mine = threading.get_ident()
        parallel_for(lambda a, b: owners.append(threading.get_ident() == mine), 5)

    parallel_for(outer, 4)
    assert owners == [True] * 20


def test_regions_of_several_threads_at_once():
    totals = [0.0] * 4

    def user(k):
        for _ in range(20):
            parts = np.zeros(7)

            def fill(start, stop, parts=parts):
                parts[start:stop] = k

            parallel_for(fill, 7)
            totals[k] += parts.sum()

    users = [threading.Thread(target=user, args=(k,)) for k in range(4)]
    before = blas_setting()
    for thread in users:
        thread.start()
    for thread in users:
        thread.join()
    assert totals == [140.0 * k for k in range(4)]
    assert blas_setting() == before


@pytest.mark.parametrize("threads", [1, None])
def test_blas_has_one_thread_inside_and_its_own_number_after(threads):
    with blas_threads(2):
        inside = []
        parallel_for(lambda a, b: inside.append(blas_setting()), 4, threads=threads)
        assert all(n == 1 for setting in inside for n in setting)
        assert blas_setting() == [2] * len(parallel._blas())
        with pytest.raises(ZeroDivisionError):
            parallel_for(lambda a, b: 1 // 0, 4, threads=threads)
        assert blas_setting() == [2] * len(parallel._blas())


def test_blas_contexts_may_be_left_in_any_order():
    before = blas_setting()
    first, second = blas_threads(1), blas_threads(2)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas_setting()) <= {2}
    second.__exit__(None, None, None)
    assert blas_setting() == before


def test_number_of_threads_from_the_environment():
    code = "from minigrad.kernels.parallel import num_threads; print(num_threads())"

    def run(value):
        environment = {**os.environ, "MINIGRAD_NUM_THREADS": value}
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )

    assert run("5").stdout.strip() == "5"
    for bad in ("0", "many", "-1"):
        result = run(bad)
        assert result.returncode != 0
        assert "MINIGRAD_NUM_THREADS: expected an integer >= 1" in result.stderr


@pytest.mark.parametrize("bad", [0, -1, 2.0, True, "2"])
def test_bad_number_of_threads(bad):
    with pytest.raises(ValueError, match="set_num_threads: expected an integer >= 1"):
        set_num_threads(bad)
    assert num_threads() == 3


def test_bad_grain():
    with pytest.raises(ValueError, match="parallel_for: expected grain >= 1, got 0"):
        parallel_for(lambda a, b: None, 3, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_pool_works_after_a_fork():
    code = """
import os, sys, warnings
warnings.simplefilter("ignore")
from minigrad.kernels.parallel import parallel_for, set_num_threads
set_num_threads(3)
seen = []
parallel_for(lambda a, b: seen.append(a), 9)
child = os.fork()
if not child:
    seen.clear()
    parallel_for(lambda a, b: seen.append(a), 9)
    os._exit(0 if sorted(seen) == list(range(9)) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_scratch_is_each_threads_own_and_reused():
    a = scratch("test", (3, 4), np.float32)
    b = scratch("test", (2, 2), np.float64)
    assert a.shape == (3, 4)
    assert b.dtype == np.float64
    assert np.shares_memory(a, b)
    assert not np.shares_memory(a, scratch("other", (3, 4), np.float32))
    other = []
    thread = threading.Thread(target=lambda: other.append(scratch("test", (3, 4), np.float32)))
    thread.start()
    thread.join()
    assert not np.shares_memory(a, other[0])
    big = scratch("test", (1 << 24,), np.float32)  # 64 MiB: not kept
    assert not np.shares_memory(big, scratch("test", (1,), np.float32))


_SPINNING = """
import sys, time
import numpy as np
{before}
from threadpoolctl import ThreadpoolController
(blas,) = ThreadpoolController().select(user_api="blas").info()
if blas["internal_api"] != "openblas" or blas["threading_layer"] != "pthreads":
    sys.exit("not OpenBLAS's own threads: " + str(blas))
if blas["num_threads"] != 2:
    sys.exit("expected two threads")
a = np.ones((512, 512), np.float32)
a @ a
start = time.process_time()
time.sleep(0.2)
print(time.process_time() - start)
assert (a @ a == 512).all()
"""


def test_blas_threads_sleep_soon_after_a_product():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    environment.pop("OPENBLAS_THREAD_TIMEOUT", None)

    def cpu_seconds(before, **more):
        code = _SPINNING.format(before=before)
        result = subprocess.run(
            [sys.executable, "-c", code],
            env=environment | more,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if "expected two" in result.stderr or "not OpenBLAS" in result.stderr:
            pytest.skip(result.stderr.strip())
        assert result.returncode == 0, result.stderr
        return float(result.stdout)

    assert cpu_seconds("import minigrad") < 0.03  # 0.0002 s measured; 0.1 s without the setting
    # The user's own setting is left alone: 2^28 cycles, which is 0.1 s.
    if cpu_seconds("") > 0.03:
        assert cpu_seconds("import minigrad", OPENBLAS_THREAD_TIMEOUT="28") > 0.03
