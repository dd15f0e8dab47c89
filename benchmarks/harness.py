r"""Comparing one workload across frameworks: who runs when, and whether they compute the same.

Belongs here: the processes, their turns, the check of the losses, the statistics. Does not belong
here: timing a step (``worker.py``), printing (``report.py``), networks (``workloads/``).

The sides take turns, A B C A B C ..., so that what else happens on the machine strikes all alike;
while one runs the others wait on their standard input. A ratio is the median over rounds of the
ratio within a round, and its spread is the smallest and largest of these.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["LIBRARIES", "SIDES", "Comparison", "LossMismatch", "Side", "compare", "missing"]

#: Losses of the first steps must agree to this relative difference. Float32 rounds at 6e-8; sums
#: in another order, and Adam, which divides by gradients, make more of it within a few steps.
LOSS_TOLERANCE = 1e-4
LOSS_STEPS = 6

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "MINIGRAD_NUM_THREADS",
)


@dataclass(frozen=True)
class Side:
    r"""A library, with options for its Adam."""

    library: str
    label: str
    adam: dict[str, Any] = field(default_factory=dict)


#: The libraries that minigrad is compared with.
LIBRARIES = ("torch", "dezero", "autograd")
SIDES = (
    Side("minigrad", "minigrad"),
    Side("torch", "PyTorch"),
    Side("torch", "PyTorch, Adam(fused=True)", {"fused": True}),
    Side("dezero", "DeZero"),
    Side("autograd", "autograd"),
)


def missing(library: str) -> bool:
    r"""True if the library is not installed."""
    return importlib.util.find_spec(library) is None


class LossMismatch(Exception):
    r"""Two sides did not compute the same: their times cannot be compared."""


@dataclass
class Result:
    r"""What was measured of one side."""

    side: Side
    version: str
    losses: list[float]
    rounds: list[float] = field(default_factory=list)  #: median ms of a step, round by round
    memory: dict[str, float] = field(default_factory=dict)

    @property
    def ms(self) -> float:
        r"""Median over the rounds of the milliseconds of a step."""
        return statistics.median(self.rounds)


@dataclass
class Comparison:
    r"""What was measured of one workload, in the order of the sides."""

    name: str
    title: str
    results: list[Result]
    skipped: dict[str, str]  #: library: why it did not run

    def ratio(self, other: Result) -> tuple[float, float, float] | None:
        r"""minigrad's time divided by the other's: median, smallest, largest over the rounds."""
        for ours in self.results:
            if ours.side.library == "minigrad" and ours is not other:
                ratios = [a / b for a, b in zip(ours.rounds, other.rounds)]
                return statistics.median(ratios), min(ratios), max(ratios)
        return None


class _Worker:
    r"""A child process that runs a side when asked."""

    def __init__(self, side: Side, workload: str, arrays: Path, threads: int | None) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in _THREAD_VARIABLES}
        if threads is not None:
            environment |= {name: str(threads) for name in _THREAD_VARIABLES}
        root = str(Path(__file__).parent.parent)
        paths = [root, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        adam = json.dumps(side.adam)
        self.label = side.label
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", side.library, workload, str(arrays), adam],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise RuntimeError(f"{self.label} ended with status {code}; its error is above")
        return dict(json.loads(line))

    def ask(self, command: str) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def check_losses(results: Sequence[Result]) -> None:
    r"""Every side must have computed the losses of the first.

    Raises:
        LossMismatch: naming the sides, the step and both values.
    """
    for other in results[1:]:
        for step, (a, b) in enumerate(zip(results[0].losses, other.losses, strict=True)):
            if not math.isclose(a, b, rel_tol=LOSS_TOLERANCE):
                raise LossMismatch(
                    f"step {step}: loss {a:.8g} of {results[0].side.label}, {b:.8g} of "
                    f"{other.side.label}; expected a relative difference of at most "
                    f"{LOSS_TOLERANCE:g}"
                )


def compare(
    workload: str,
    sides: Sequence[Side] = SIDES,
    rounds: int = 9,
    seconds: float = 0.5,
    seed: int = 0,
    threads: int | None = None,
) -> Comparison:
    r"""Time one workload on every side that has it.

    Args:
        workload: name of its module.
        sides: who takes part, if installed.
        rounds: turns of each side.
        seconds: length of a turn, at least three steps.
        seed: of initial weights and data.
        threads: for each side; by default what each takes by itself, which is every core.

    Raises:
        LossMismatch: the sides do not compute the same.
        RuntimeError: a side failed.
    """
    module = importlib.import_module(workload)
    skipped = dict(module.CANNOT)
    chosen = []
    for side in sides:
        if side.library not in module.SIDES:
            skipped.setdefault(side.library, "has no such workload")
        elif missing(side.library):
            skipped[side.library] = f"not installed (pip install {side.library})"
        else:
            chosen.append(side)
    wanted = {side.library for side in sides}
    skipped = {library: why for library, why in skipped.items() if library in wanted}

    workers: list[_Worker] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "arrays.npz")
        np.savez(path, **module.arrays(np.random.default_rng(seed)))
        try:
            results = []
            for side in chosen:  # one after the other: starting up is work too
                workers.append(_Worker(side, workload, path, threads))
                version = workers[-1].read()["version"]
                losses = workers[-1].ask(f"losses {LOSS_STEPS}")["losses"]
                results.append(Result(side, version, losses))
            check_losses(results)
            for _ in range(rounds):
                for worker, result in zip(workers, results):
                    time.sleep(0.1)  # until the threads of the side before have gone to sleep
                    worker.ask("run 0")  # and ours are awake
                    result.rounds.append(statistics.median(worker.ask(f"run {seconds}")["times"]))
            for worker, result in zip(workers, results):
                result.memory = worker.ask("memory")
        finally:
            for worker in workers:
                worker.close()
    return Comparison(workload.rpartition(".")[2], module.TITLE, results, skipped)
