r"""What was measured, for people and for programs.

Belongs here: the table, the JSON, and on what machine it was. Does not belong here: measuring.
"""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.harness import Comparison

__all__ = ["as_json", "machine", "table"]


def machine() -> dict[str, Any]:
    r"""Processor, cores, system, versions, date, and how busy the machine is with other work."""
    processor = platform.processor() or platform.machine()
    flags = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name":
                    processor = value.strip()
                elif key.strip() == "flags":
                    flags = value
                    break
    except OSError:
        pass
    widest = next((name for name in ("avx512f", "avx2") if name in flags.split()), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": f"{processor} ({widest})" if widest else processor,
        "cores": cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }


def table(comparisons: Sequence[Comparison], machine: dict[str, Any]) -> str:
    r"""Everything in plain text: what it ran on, and for each workload a row a side."""
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; "
        f"Python {machine['python']}, NumPy {machine['numpy']}; {machine['date']}",
    ]
    if machine["load"] is not None and machine["load"] > 0.5:
        lines.append(
            f"The machine was busy with other work (load {machine['load']}): trust ratios, not "
            "times, and ratios as far as their spread allows."
        )
    for comparison in comparisons:
        lines += ["", f"{comparison.name}: {comparison.title}"]
        lines.append(
            f"  {'':36} {'ms a step':>10}  {'minigrad / it':>21}  {'peak MiB':>8}  {'training':>8}"
        )
        for result in comparison.results:
            ratio = comparison.ratio(result)
            spread = "{:.2f} [{:.2f}, {:.2f}]".format(*ratio) if ratio else ""
            lines.append(
                f"  {result.side.label + ' ' + result.version:36} {result.ms:10.3f}  {spread:>21}  "
                f"{result.memory['total']:8.0f}  {result.memory['training']:8.0f}"
            )
        lines += [f"  {library}: {why}" for library, why in comparison.skipped.items()]
    return "\n".join(lines)


def as_json(comparisons: Sequence[Comparison], machine: dict[str, Any]) -> dict[str, Any]:
    r"""The same as a dictionary for a JSON file."""
    workloads = {}
    for comparison in comparisons:
        workloads[comparison.name] = {
            "title": comparison.title,
            "sides": [
                {
                    "library": r.side.library,
                    "label": r.side.label,
                    "adam": r.side.adam,
                    "version": r.version,
                    "ms": r.ms,
                    "ms_by_round": r.rounds,
                    "ratio": dict(zip(("median", "min", "max"), comparison.ratio(r) or ())),
                    "memory_mib": r.memory,
                    "first_losses": r.losses,
                }
                for r in comparison.results
            ],
            "skipped": comparison.skipped,
        }
    return {"machine": machine, "workloads": workloads}
