r"""One side of a comparison, in its own process: builds its training step and runs it when told.

Belongs here: timing a step and measuring memory. Does not belong here: whose turn it is
(``harness.py``). PyTorch's and NumPy's threads fight in one process, hence the processes.

    python -m benchmarks.worker LIBRARY WORKLOAD ARRAYS.npz ADAM-OPTIONS

It answers each line on its standard input with a line of JSON: ``losses N`` with the losses of the
next N steps, ``run S`` with the milliseconds of each step in S seconds (and of three at least),
``memory`` with the peak.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any

import numpy as np

from benchmarks.workloads import BATCHES


def memory_mib(field: str) -> float:
    r"""``VmRSS`` (memory in use) or ``VmHWM`` (its peak so far) of this process in MiB; NaN where
    the system does not say."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            for line in status:
                if line.startswith(field + ":"):
                    return int(line.split()[1]) / 1024
    except OSError:
        pass
    return float("nan")


def import_library(name: str) -> Any:
    r"""The library and what the workloads use of it."""
    if name == "dezero" and not hasattr(np, "int"):
        setattr(np, "int", int)  # noqa: B010  DeZero 0.0.13 uses a name that NumPy dropped
    library = importlib.import_module(name)
    if name == "autograd":
        importlib.import_module("autograd.numpy")
    return library


def version(library: Any) -> str:
    r"""Of an imported library."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as of

    try:
        return of(library.__name__)
    except PackageNotFoundError:
        return str(getattr(library, "__version__", "unknown"))


def main(library_name: str, workload: str, path: str, adam: str) -> None:
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    module = importlib.import_module(workload)
    before_import = memory_mib("VmRSS")
    library = import_library(library_name)
    before_training = memory_mib("VmRSS")
    step = module.SIDES[library_name](library, arrays, json.loads(adam))

    def answer(**values: Any) -> None:
        print(json.dumps(values), flush=True)

    done = 0

    def losses(count: int) -> list[float]:
        nonlocal done
        found = []
        for _ in range(count):
            found.append(float(step(done % BATCHES).item()))
            done += 1
        return found

    def times(seconds: float) -> list[float]:
        nonlocal done
        found: list[float] = []
        end = time.perf_counter() + seconds
        now = 0.0
        while len(found) < 3 or now < end:
            start = time.perf_counter()
            step(done % BATCHES)
            now = time.perf_counter()
            found.append(1e3 * (now - start))
            done += 1
        return found

    answer(version=version(library))
    for line in sys.stdin:
        command, *argument = line.split()
        if command == "losses":
            answer(losses=losses(int(argument[0])))
        elif command == "run":
            answer(times=times(float(argument[0])))
        else:
            peak = memory_mib("VmHWM")
            answer(total=peak - before_import, training=peak - before_training)


if __name__ == "__main__":
    main(*sys.argv[1:])
