r"""``python -m benchmarks.rl``: how many steps of the environment an agent makes in a second of
playing and learning, here and in Stable-Baselines3; see README.md.

Belongs here: the processes, their turns, the statistics. Does not belong here: the agents
(``agents/``).

Both sides have the same settings, a process and one thread each, and take turns. Seconds are the
processor's: they do not run while other work has it, and on a quiet machine they are the clock's. A
ratio is taken within a round; printed are its median and, in brackets, its smallest and largest
value.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.__main__ import at_least, names
from benchmarks.agents import NAMES
from benchmarks.harness import _THREAD_VARIABLES, missing
from benchmarks.report import machine

LABELS = {"minigrad": "minigrad", "stable_baselines3": "Stable-Baselines3"}


@dataclass
class Speed:
    r"""What was measured of one side."""

    library: str
    version: str
    rounds: list[float] = field(default_factory=list)  #: steps per second, round by round

    @property
    def median(self) -> float:
        r"""Steps per second."""
        return statistics.median(self.rounds)


# ------------------------------------------------------------------------------------- a side
def work(library: str, name: str) -> None:
    r"""One side, in its own process: answers each number of steps on its standard input with the
    steps that it made and the seconds that they took. The first one is not told what for."""
    from importlib.metadata import version

    answer = sys.stdout
    with contextlib.redirect_stdout(sys.stderr), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if library != "minigrad":
            importlib.import_module("torch").set_num_threads(1)
        agent = importlib.import_module(f"benchmarks.agents.{name}")
        advance = agent.SIDES[library]()
        advance(agent.STEPS)
        found = "this tree" if library == "minigrad" else version(library)
        print(json.dumps({"version": found}), file=answer, flush=True)
        for line in sys.stdin:
            start = time.process_time()
            steps = advance(int(line))
            seconds = time.process_time() - start
            print(json.dumps({"steps": steps, "seconds": seconds}), file=answer, flush=True)


class Side:
    r"""A child process that plays when asked."""

    def __init__(self, library: str, name: str) -> None:
        root = str(Path(__file__).parent.parent)
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, "1")}
        paths = [root, environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rl", "--side", library, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.speed = Speed(library, self._read()["version"])

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a side ended with status {self.process.wait()}; see above")
        return dict(json.loads(line))

    def play(self, steps: int) -> None:
        r"""A turn."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        found = self._read()
        self.speed.rounds.append(found["steps"] / found["seconds"])

    def close(self) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.kill()
        self.process.wait()


# --------------------------------------------------------------------------------- the comparison
def compare(name: str, rounds: int, steps: int) -> list[Speed]:
    r"""The speeds of all sides that are installed, minigrad's first."""
    agent = importlib.import_module(f"benchmarks.agents.{name}")
    sides: list[Side] = []
    try:
        for library in agent.SIDES:
            if not missing(library):
                sides.append(Side(library, name))
        for _ in range(rounds):
            for side in sides:
                side.play(steps)
    finally:
        for side in sides:
            side.close()
    return [side.speed for side in sides]


def ratio(ours: Speed, other: Speed) -> tuple[float, float, float]:
    r"""How many times as fast ours is: median, smallest, largest over the rounds."""
    ratios = [a / b for a, b in zip(ours.rounds, other.rounds)]
    return statistics.median(ratios), min(ratios), max(ratios)


def table(title: str, speeds: list[Speed]) -> str:
    r"""A comparison as text."""
    lines = [title]
    for speed in speeds:
        label = f"{LABELS[speed.library]} {speed.version}"
        line = f"  {label:<28}{speed.median:>8.0f} steps/s"
        if speed is not speeds[0]:
            middle, low, high = ratio(speeds[0], speed)
            line += f"   minigrad is {middle:.2f} times as fast [{low:.2f}, {high:.2f}]"
        lines.append(line)
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rl", description=(__doc__ or "").partition(";")[0]
    )
    parser.add_argument(
        "--agents", type=names(NAMES), default=list(NAMES), help=f"some of {','.join(NAMES)}"
    )
    parser.add_argument("--rounds", type=at_least(1), default=9, help="turns of each side (9)")
    parser.add_argument("--steps", type=at_least(1), default=2048, help="of a turn (2048)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--side", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.side:
        work(*options.side)
        return 0
    if missing("stable_baselines3"):
        print("without Stable-Baselines3 (pip install stable-baselines3): minigrad alone")
    found = {}
    for name in options.agents:
        title = importlib.import_module(f"benchmarks.agents.{name}").TITLE
        print(f"{name} ...", file=sys.stderr, flush=True)
        speeds = compare(name, options.rounds, options.steps)
        print(table(title, speeds), flush=True)
        found[name] = {
            "title": title,
            "steps_per_second": {s.library: s.rounds for s in speeds},
            "versions": {s.library: s.version for s in speeds},
            "ratio": {s.library: ratio(speeds[0], s) for s in speeds[1:]},
        }
    if options.json is not None:
        record = {"machine": machine(), "agents": found}
        options.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
