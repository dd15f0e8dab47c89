r"""``python -m benchmarks.import_time``: what ``import minigrad`` costs above ``import numpy``.

Each import runs in a fresh process, in turn; the processes' own clocks, medians, smallest and
largest are printed. The first round, which may read from the disk, does not count.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import time
start = time.perf_counter()
import {module}
print(1e3 * (time.perf_counter() - start))
"""


def import_ms(module: str) -> float:
    r"""Milliseconds to import a module in a fresh process."""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(module=module)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout)


def main(rounds: int = 11) -> None:
    times: dict[str, list[float]] = {"numpy": [], "minigrad": []}
    for _ in range(rounds + 1):
        for module, found in times.items():
            found.append(import_ms(module))
    for module, found in times.items():
        found.pop(0)
        print(
            f"import {module:10} {statistics.median(found):6.0f} ms "
            f"[{min(found):.0f}, {max(found):.0f}]"
        )
    above = [b - a for a, b in zip(times["numpy"], times["minigrad"])]
    print(
        f"minigrad above numpy: {statistics.median(above):.0f} ms "
        f"[{min(above):.0f}, {max(above):.0f}], median and range of {rounds} runs"
    )


if __name__ == "__main__":
    main()
