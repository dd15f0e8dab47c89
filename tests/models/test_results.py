r"""The table of results: in step with the records, and nothing in it but them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from models import results
from models.__main__ import entries

RECORD: dict[str, Any] = {
    "model": "supervised.mlp",
    "command": "python -m models.supervised.mlp --seed 3 --epochs 2",
    "seed": 3,
    "quick": False,
    "epochs": 2,
    "metrics": {"test_accuracy": 0.98765, "test_loss": 0.043219},
    "seconds": 150.0,
    "hardware": "2 cores",
}


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "HERE", tmp_path / "models")
    monkeypatch.setattr(results, "RECORDS", tmp_path / "models" / "results")
    monkeypatch.setattr(results, "TABLE", tmp_path / "models" / "RESULTS.md")
    monkeypatch.setattr(results, "README", tmp_path / "README.md")
    (tmp_path / "models").mkdir()
    (tmp_path / "README.md").write_text(f"before\n{results.BEGIN}STALE\n{results.END}after\n")
    return tmp_path


def put(folder: Path, **changes: Any) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps({**RECORD, **changes}))
    return str(folder)


def test_a_run_becomes_a_row(elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results.main([put(elsewhere / "run")])
    text = (elsewhere / "models" / "RESULTS.md").read_text()
    assert (
        "| `python -m models.supervised.mlp --seed 3 --epochs 2` | test accuracy 98.77 %, "
        "test loss 0.04322 | 2 | 2.5 min | 2 cores |"
    ) in text
    assert "models/results/supervised.mlp-epochs-2-seed3.json" in capsys.readouterr().out
    results.main([])  # the same again from the records alone
    assert (elsewhere / "models" / "RESULTS.md").read_text() == text


def test_the_readme_gets_the_range_over_seeds(elsewhere: Path) -> None:
    for seed, accuracy in ((0, 0.98), (1, 0.97)):
        command = f"python -m models.supervised.mlp --seed {seed}"
        metrics = {"test_accuracy": accuracy}
        run = put(elsewhere / f"run{seed}", command=command, seed=seed, metrics=metrics)
        results.main([run])
    text = (elsewhere / "README.md").read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "STALE" not in text
    assert "| test accuracy: 97.00 % to 98.00 % (2 seeds) |" in text
    (elsewhere / "README.md").write_text("no table")
    with pytest.raises(SystemExit, match="README.md lacks the line <!-- models"):
        results.main([])


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"quick": True}, "quick run"), ({"model": "no.model"}, "models that do not exist")],
)
def test_what_is_refused(elsewhere: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SystemExit, match=message):
        results.main([put(elsewhere / "run", **changes)])
    with pytest.raises(SystemExit, match="cannot be read"):
        results.main([str(elsewhere / "nothing")])


def test_the_table_in_the_repository_is_in_step() -> None:
    assert results.TABLE.read_text(encoding="utf-8") == results.table()
    readme = results.README.read_text(encoding="utf-8")
    assert results.with_overview(readme) == readme


def test_every_model_has_a_result_or_says_that_it_has_none(elsewhere: Path) -> None:
    results.main([put(elsewhere / "run")])
    text = (elsewhere / "models" / "RESULTS.md").read_text()
    sections = {part.partition(":")[0]: part for part in text.split("\n## ")[1:]}
    assert list(sections) == [entry.name for entry in entries()]
    without = [name for name, part in sections.items() if "Not run at full size yet." in part]
    assert without == [name for name in sections if name != "supervised.mlp"]
    assert not any("Expect:" in sections[name] for name in without)
    readme = (elsewhere / "README.md").read_text()
    assert readme.count("| not run at full size yet |") == len(sections)  # seed 3 ran 2 epochs
