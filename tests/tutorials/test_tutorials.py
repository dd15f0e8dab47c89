r"""The tutorials run, each within two minutes, and their notebooks are in step with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tutorials.__main__ import cells, scripts

ROOT = Path(__file__).parent.parent.parent
SCRIPTS = scripts()


def test_there_are_tutorials():
    assert [script.name[:2] for script in SCRIPTS[:3]] == ["01", "02", "03"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_runs(script):
    """As a plain script, without a screen, on the package of this checkout."""
    environment = os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("all answers check\n")


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_notebook_is_in_step(script):
    """Cell by cell the script's text, with outputs, and small enough to load. If this fails, run
    ``make tutorials``."""
    file = script.with_suffix(".ipynb")
    notebook = json.loads(file.read_text(encoding="utf-8"))
    rendered = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert rendered == cells(script.read_text(encoding="utf-8"))
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not any(output["output_type"] == "error" for output in outputs)
    assert file.stat().st_size < 1_000_000


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_no_cell_is_longer_than_a_screen(script):
    long = [text for kind, text in cells(script.read_text()) if text.count("\n") >= 85]
    assert not long
