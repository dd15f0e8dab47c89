r"""What a run is called, where it lies, and what its result says about it.

Belongs here: names, folders, the command that makes a run again, the hardware in words.
Does not belong here: anything that happens during a run (``run.py``).
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shlex
import sys
from pathlib import Path

from minigrad import backend
from minigrad.backend import Device

from .config import RunConfig

ROOT = Path("runs")
CONFIG, LOG, RESULT = "config.json", "metrics.jsonl", "result.json"
CHECKPOINT, WEIGHTS = "checkpoint.safetensors", "model.safetensors"


def module_name(module: str) -> str:
    """``supervised.mlp`` for the module ``models.supervised.mlp``, run with ``-m`` or imported."""
    spec = getattr(sys.modules.get(module), "__spec__", None)
    if module == "__main__" and spec is not None:
        module = spec.name
    elif module == "__main__":
        module = Path(sys.argv[0]).stem or "run"
    return module.removeprefix("models.")


def _runs_of(name: str) -> list[Path]:
    """The numbered folders of a model's runs, oldest first."""
    folders = (ROOT / name).glob("[0-9]*")
    return sorted((f for f in folders if f.name.isdigit()), key=lambda f: int(f.name))


def is_leftover(path: Path) -> bool:
    """Whether ``path`` is a file of a run that a killed process was still writing."""
    return path.name in {f"{name}.tmp" for name in (CONFIG, RESULT, CHECKPOINT, WEIGHTS)} or (
        re.fullmatch(r"best-\d+-\d+\.safetensors\.tmp", path.name) is not None
    )


def run_folder(name: str, config: RunConfig) -> Path:
    """Where the run goes: ``--out``, else the newest numbered folder to resume, else a new one."""
    if config.out is not None:
        return Path(config.out)
    existing = _runs_of(name)
    if config.resume and existing:
        return existing[-1]
    number = int(existing[-1].name) + 1 if existing else 1
    return ROOT / name / f"{number:03d}"


def command(name: str, config: RunConfig) -> str:
    """The command line that makes this run: every option that is not the default."""
    default = type(config)(quick=config.quick).to_dict()
    words = ["python", "-m", f"models.{name}"]
    for key, value in config.to_dict().items():
        option = "--" + key.replace("_", "-")
        if key == "quick":
            words += ["--quick"] if value else []
        elif key == "seed" or value != default[key]:
            if isinstance(value, bool):
                words.append(option if value else "--no-" + option[2:])
            else:
                text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
                words += [option, text.lower() if value is None else text]
    return shlex.join(words)


def hardware(device: Device) -> str:
    """The processor or the GPU, in a few words."""
    if device.type == "cuda":
        properties = backend.module_of_device(device).cuda.runtime.getDeviceProperties(
            device.index or 0
        )
        return str(properties["name"].decode())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
        model = found.group(1).strip() if found else model
    return f"{cores} core{'s' * (cores != 1)} of {model}"
