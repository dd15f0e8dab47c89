r"""A run killed at any moment and resumed ends with the same bytes as one that was never stopped.

The runs are processes of their own (``killable.py``) and die by SIGKILL: nothing gets a chance to
tidy up. What counts is the final weights, the log with all its digits, the loggers' files, and a
number drawn from the generator at the end.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("killable.py")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(ROOT),
    "PYTHONDONTWRITEBYTECODE": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")


def start(folder: Path, loop: str, *event: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder), loop, *event],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> int:
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode


def ending(folder: Path) -> dict[str, object]:
    """What two runs must have in common."""
    files = ["model.safetensors", "metrics.jsonl", "config.json", "log.csv"]
    parts: dict[str, object] = {
        name: (folder / name).read_bytes() for name in files if (folder / name).exists()
    }
    result = json.loads((folder / "result.json").read_text())
    parts["metrics"] = {**result["metrics"], "epochs": result["epochs"], "steps": result["steps"]}
    parts["names"] = sorted(path.name for path in folder.iterdir())
    return parts


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    folders = {loop: tmp_path_factory.mktemp(loop) for loop in ("epochs", "fit", "steps")}
    running = {loop: start(folder, loop) for loop, folder in folders.items()}
    for process in running.values():
        assert finish(process) == 0
    return {loop: ending(folder) for loop, folder in folders.items()}


def test_the_reference_has_what_is_compared(unbroken: dict[str, dict[str, object]]) -> None:
    for loop, parts in unbroken.items():
        assert "model.safetensors" in parts
        lines = bytes(parts["metrics.jsonl"]).splitlines()  # type: ignore[call-overload]
        assert len(lines) == (4 if loop == "steps" else 3)
        names = parts["names"]
        assert isinstance(names, list) and not any(name.endswith(".tmp") for name in names)
    assert len(bytes(unbroken["fit"]["log.csv"]).splitlines()) == 4  # type: ignore[call-overload]
    weights = {loop: parts["model.safetensors"] for loop, parts in unbroken.items()}
    assert weights["fit"] == weights["epochs"]  # the same loop, once written out
    assert weights["steps"] != weights["epochs"]


# 7 steps an epoch, checkpoints every 4 steps and after each epoch. In "epochs" and "fit" files are
# written in this order: config, checkpoint, best weights, checkpoint, ...
EVENTS = {
    "epochs": ["step:1 step:6 step:4 rename:2", "half:3 write:1 renamed:2 step:9"],
    "fit": ["step:5 rename:3 half:2 step:8", "write:4 renamed:3 step:2 rename:2"],
    "steps": ["step:3 half:2 rename:2 step:7", "renamed:2 step:1 write:3 step:6"],
}


@pytest.mark.parametrize(
    ("loop", "events"), [(loop, events) for loop in EVENTS for events in EVENTS[loop]]
)
def test_killed_at_chosen_moments(
    unbroken: dict[str, dict[str, object]], tmp_path: Path, loop: str, events: str
) -> None:
    for event in events.split():
        assert finish(start(tmp_path, loop, event)) == -signal.SIGKILL, event
    assert finish(start(tmp_path, loop)) == 0
    assert ending(tmp_path) == unbroken[loop]


@pytest.mark.slow
@pytest.mark.parametrize("loop", list(EVENTS))
@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_moments(
    unbroken: dict[str, dict[str, object]], tmp_path: Path, loop: str, seed: int
) -> None:
    rng = random.Random(seed)
    kills = 0
    for _ in range(30):
        process = start(tmp_path, loop)
        assert process.stdout is not None
        process.stdout.readline()  # everything is imported and the training begins
        time.sleep(rng.uniform(0, 0.08))
        process.kill()
        if finish(process) == 0 or kills == 6:
            break
        kills += 1
    assert finish(start(tmp_path, loop)) == 0
    assert ending(tmp_path) == unbroken[loop]


def test_a_finished_run_can_be_resumed_again(
    unbroken: dict[str, dict[str, object]], tmp_path: Path
) -> None:
    for _ in range(2):
        assert finish(start(tmp_path, "epochs")) == 0
        assert ending(tmp_path) == unbroken["epochs"]
